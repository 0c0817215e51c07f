//! The one reading end of all rings of a pool.

use std::{io, ops::Deref, time::Duration};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollTimeout},
};

use super::{
    error::{ReleaseError, StaleLease},
    pool::{self, LeaseId, Shared},
    ring::{Reader, Record, Ring},
    stats::{RingStats, Waiting},
    sync::Arc,
};

/// The one reading end of a pool. There is one per pool, returned with it; dropping it makes
/// [`Pool::acquire`](super::Pool::acquire) refuse, and a full ring then refuses for good.
///
/// # Two ways to read
/// - **Woken**: [`wait`](Self::wait), or the application's own epoll after
///   [`attach`](Self::attach); then [`next_ready`](Self::next_ready) until `None`, and
///   [`drain`](Self::drain) for each lease it names. A ring that is drained is armed, and costs
///   nothing until its next message.
/// - **Polled**: [`get`](Self::get) at leisure. A ring that is never armed costs its producer no
///   system call, ever.
///
/// A lease starts armed: its first message, or its close, makes it ready.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    readers: Box<[Reader]>,
    pass: Option<Pass>,
    /// Gone once the application's epoll took its place.
    epoll: Option<Epoll>,
}

/// One pass over the ready bitmap.
#[derive(Debug, Default)]
struct Pass {
    /// The next word to take.
    word: usize,
    /// Bits taken from the word before it and not yet named.
    bits: u64,
}

/// What a [`drain`](Consumer::drain) left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing: the ring is armed, and its next message makes it ready.
    Empty,
    /// The limit was reached: the ring stays ready.
    More,
    /// Nothing, and nothing will come: [`release`](Consumer::release) it.
    Closed,
}

/// The token of the pool's own epoll; nothing else is registered there.
#[cfg(not(loom))]
const OWN_TOKEN: u64 = 0;

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let readers = (0..shared.slots())
            .map(|slot| Reader::new(shared.memory(slot), shared.ring(slot)))
            .collect();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        #[cfg(not(loom))]
        shared.wake().register(&epoll, OWN_TOKEN)?;
        Ok(Self {
            shared,
            readers,
            pass: None,
            epoll: Some(epoll),
        })
    }

    /// From now on the application's epoll reports the pool, edge-triggered under `token`; the
    /// pool's own epoll is closed, and [`wait`](Self::wait) is an error.
    ///
    /// On that token, call [`next_ready`](Self::next_ready) until it returns `None`. The pool never
    /// closes the epoll, and the registration ends with the pool's last handle.
    ///
    /// # Errors
    /// The kernel's reason, if `epoll_ctl` refuses.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use mixpool_queue::Pool;
    /// use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
    ///
    /// let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    /// let (pool, mut consumer) = Pool::builder().slots(1).ring_bytes(1 << 16).build()?;
    /// consumer.attach(&epoll, 42)?;
    ///
    /// pool.acquire()?.publish(b"one")?;
    /// let mut events = [EpollEvent::empty()];
    /// assert_eq!(epoll.wait(&mut events, EpollTimeout::NONE)?, 1);
    /// assert_eq!(events[0].data(), 42);
    /// let lease = consumer.next_ready().unwrap();
    /// assert_eq!(&*consumer.get(lease)?.unwrap(), b"one");
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach(&mut self, epoll: &Epoll, token: u64) -> io::Result<()> {
        self.shared.wake().register(epoll, token)?;
        self.epoll = None;
        // What is ready already made its edge elsewhere: make one here.
        self.shared.wake().ring();
        Ok(())
    }

    /// Sleeps in the pool's own epoll until a ring is ready or the time is over; `None` waits
    /// without end. It may return early, and does at a signal; `next_ready` tells. It returns at
    /// once while a ring is ready and not yet named, or the last pass was not finished.
    ///
    /// # Errors
    /// The kernel's reason, or that the consumer is [attached](Self::attach) elsewhere.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Some(epoll) = &self.epoll else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the pool is attached to the application's epoll: wait there",
            ));
        };
        // An earlier wait may have taken the edge of a ring that no pass has named since.
        if self.pass.is_some() || !self.shared.wake().want() {
            return Ok(());
        }
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            // Up, not down: a wait that ends early would spin. Over 24 days: wait 24 days.
            let millis = timeout.as_nanos().div_ceil(1_000_000);
            EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
                .unwrap_or(EpollTimeout::MAX)
        });
        match self.shared.wake().sleep(epoll, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next lease that has something: messages, or its close. `None` ends the pass, and
    /// promises that the pool will be reported again as soon as there is something: then it is safe
    /// to sleep.
    ///
    /// A ring that becomes ready behind the pass's back waits for the next one, so a pass always
    /// ends. A ready ring may turn out empty. Lock-free; enters the kernel only at the end of a pass
    /// that leaves rings ready, to report the pool again.
    pub fn next_ready(&mut self) -> Option<LeaseId> {
        let Self { shared, pass, .. } = self;
        let wake = shared.wake();
        let current = pass.get_or_insert_with(|| {
            wake.unwant();
            Pass::default()
        });
        loop {
            while current.bits == 0 {
                let Some(bits) = wake.take(current.word) else {
                    *pass = None;
                    if !wake.want() {
                        wake.ring();
                    }
                    return None;
                };
                current.bits = bits;
                current.word += 1;
            }
            let slot = (current.word - 1) * 64 + current.bits.trailing_zeros() as usize;
            current.bits &= current.bits - 1;
            // A bit may outlive its lease; a free slot has nothing to say.
            if let Some(lease) = shared.lease_of(slot) {
                return Some(lease);
            }
        }
    }

    /// Rings of the pool.
    pub fn slots(&self) -> usize {
        self.shared.slots()
    }

    fn half(&mut self, lease: LeaseId) -> Result<(&Ring, &mut Reader), StaleLease> {
        self.shared.check(lease)?;
        Ok((
            self.shared.ring(lease.slot()),
            &mut self.readers[lease.slot()],
        ))
    }

    /// The oldest message, in place; `None` if there is none now. Until it is acked, the next `get`
    /// returns it again. Wait-free.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn get(&mut self, lease: LeaseId) -> Result<Option<Message<'_>>, StaleLease> {
        let (ring, reader) = self.half(lease)?;
        let record = reader.oldest(ring);
        Ok(record.map(|record| Message {
            half: Half {
                slot: lease.slot(),
                consumer: self,
            },
            record,
        }))
    }

    /// The oldest messages, in place, at most `max` of them, by one look at the producer. They are
    /// acked together. Walks the messages once; wait-free.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn get_batch(&mut self, lease: LeaseId, max: usize) -> Result<Batch<'_>, StaleLease> {
        let (ring, reader) = self.half(lease)?;
        let available = reader.refresh(ring);
        let mut batch = BatchSize::default();
        while batch.messages < max as u64
            && let Some(record) = reader.record_at(batch.ring_bytes, available)
        {
            batch.add(&record);
        }
        Ok(Batch {
            half: Half {
                slot: lease.slot(),
                consumer: self,
            },
            size: batch,
        })
    }

    /// Hands the waiting messages to `each`, at most `max` of them, acks them, and arms the ring if
    /// that left it empty. A ring left with messages stays ready, so the next pass of
    /// [`next_ready`](Self::next_ready) names it again: a busy ring cannot starve the others.
    ///
    /// If `each` panics, nothing is acked and the ring stays ready.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn drain(
        &mut self,
        lease: LeaseId,
        max: usize,
        each: impl FnMut(&[u8]),
    ) -> Result<Drained, StaleLease> {
        Unread(Some(self.get_batch(lease, max)?)).hand_out(each);
        if self.arm(lease)? {
            return Ok(Drained::Empty);
        }
        if self.is_finished(lease)? {
            return Ok(Drained::Closed);
        }
        self.keep_ready(lease)?;
        Ok(Drained::More)
    }

    /// Asks to be told of the ring's next message: it will make the ring ready and wake the pool.
    /// Returns false, and asks nothing, if there is news already: a message waits or the ring was
    /// closed. Costs a full fence, or a `membarrier` in a [polled](super::PoolBuilder::polled) pool.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn arm(&mut self, lease: LeaseId) -> Result<bool, StaleLease> {
        self.shared.check(lease)?;
        let ring = self.shared.ring(lease.slot());
        let reader = &mut self.readers[lease.slot()];
        Ok(self.shared.wake().arm(ring.armed(), || {
            reader.refresh(ring) > 0 || ring.is_closed()
        }))
    }

    /// Makes the next pass of [`next_ready`](Self::next_ready) name this lease again. Enters the
    /// kernel only after the end of a pass, to report the pool.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn keep_ready(&mut self, lease: LeaseId) -> Result<(), StaleLease> {
        self.shared.check(lease)?;
        self.shared.wake().keep(lease.slot());
        Ok(())
    }

    /// Whether the producer closed its ring: nothing will be added to what waits there.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn is_closed(&self, lease: LeaseId) -> Result<bool, StaleLease> {
        self.shared.check(lease)?;
        Ok(self.shared.ring(lease.slot()).is_closed())
    }

    /// Whether the producer closed its ring and all was acked: nothing will ever come.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn is_finished(&mut self, lease: LeaseId) -> Result<bool, StaleLease> {
        let (ring, reader) = self.half(lease)?;
        Ok(pool::check_drained(ring, reader).is_ok())
    }

    /// Returns the slot of a closed and drained ring to the pool. Takes the pool's mutex.
    ///
    /// # Errors
    /// [`ReleaseError::Open`] or [`ReleaseError::NotEmpty`] too early, [`ReleaseError::Stale`] too
    /// late.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), ReleaseError> {
        let (ring, reader) = self.half(lease)?;
        pool::check_drained(ring, reader)?;
        self.shared.release(lease);
        Ok(())
    }

    /// Messages and payload bytes that wait in the ring, by the counters of both sides. Exact for
    /// what was committed before the call. Wait-free.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn waiting(&self, lease: LeaseId) -> Result<Waiting, StaleLease> {
        self.shared.check(lease)?;
        Ok(self.shared.ring(lease.slot()).waiting())
    }

    /// The figures of one lease. Wait-free, unlike [`Pool::lease_stats`](super::Pool::lease_stats):
    /// only the consumer could release it meanwhile.
    ///
    /// # Errors
    /// [`StaleLease`].
    pub fn lease_stats(&self, lease: LeaseId) -> Result<RingStats, StaleLease> {
        self.shared.check(lease)?;
        let capacity = self.shared.memory(lease.slot()).capacity();
        Ok(self.shared.ring(lease.slot()).stats(capacity))
    }

    /// Asks the processor to load the oldest message of this lease, its first `bytes`, and the producer's
    /// position where it must be looked at. A hint: it changes nothing, and a stale lease is fine.
    ///
    /// Worth it when many rings are visited in turn, for the ring some visits ahead: the cost of a cold
    /// ring is memory latency. It looks at where the message lies; if that is cold too, ask for it with
    /// [`prefetch_position`](Self::prefetch_position) some visits before.
    pub fn prefetch(&self, lease: LeaseId, bytes: usize) {
        if let Some(reader) = self.readers.get(lease.slot()) {
            reader.prefetch_record(self.shared.ring(lease.slot()), bytes);
        }
    }

    /// Asks the processor to load the consumer's position in this lease's ring. A hint, as
    /// [`prefetch`](Self::prefetch) is; it looks at nothing.
    pub fn prefetch_position(&self, lease: LeaseId) {
        if let Some(reader) = self.readers.get(lease.slot()) {
            reader.prefetch_position(self.shared.ring(lease.slot()));
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.set_consumer_gone();
        self.shared.wake().unwant();
    }
}

/// A slot of a consumer that somebody has in hand: while it lives, nobody acks.
#[derive(Debug)]
struct Half<'a> {
    slot: usize,
    consumer: &'a mut Consumer,
}

impl Half<'_> {
    fn reader(&self) -> &Reader {
        &self.consumer.readers[self.slot]
    }

    fn ack(self, size: &BatchSize) {
        let ring = self.consumer.shared.ring(self.slot);
        let reader = &mut self.consumer.readers[self.slot];
        reader.ack(ring, size.ring_bytes, size.messages, size.payload_bytes);
    }
}

/// How much of a ring some messages are.
#[derive(Debug, Clone, Copy, Default)]
struct BatchSize {
    messages: u64,
    payload_bytes: u64,
    ring_bytes: u64,
}

impl BatchSize {
    fn add(&mut self, record: &Record) {
        self.messages += 1;
        self.payload_bytes += record.len as u64;
        self.ring_bytes += record.bytes();
    }
}

/// The oldest message of a ring, in place: contiguous, starting at a multiple of 8 bytes.
/// [Ack](Self::ack) gives its space back; dropping it leaves it to the next `get`.
#[derive(Debug)]
pub struct Message<'a> {
    half: Half<'a>,
    record: Record,
}

impl Message<'_> {
    /// Messages that the producer dropped just before this one; stays at `u32::MAX` beyond.
    pub fn dropped_before(&self) -> u32 {
        self.record.dropped_before
    }

    /// Gives the message's space back to the producer. Wait-free.
    pub fn ack(self) {
        let mut size = BatchSize::default();
        size.add(&self.record);
        self.half.ack(&size);
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.half.reader().payload(&self.record)
    }
}

/// The oldest messages of a ring, in place. [Ack](Self::ack) gives their space back at once;
/// dropping it leaves them to the next `get`.
#[derive(Debug)]
pub struct Batch<'a> {
    half: Half<'a>,
    size: BatchSize,
}

impl Batch<'_> {
    /// Messages.
    pub fn len(&self) -> usize {
        self.size.messages as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.size.messages == 0
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let reader = self.half.reader();
        let mut offset = 0;
        std::iter::from_fn(move || {
            let record = reader.record_at(offset, self.size.ring_bytes)?;
            offset += record.bytes();
            Some(reader.payload(&record))
        })
    }

    /// Gives the space of all its messages back to the producer, by one store. Wait-free.
    pub fn ack(self) {
        self.half.ack(&self.size);
    }
}

/// A batch that is being handed out. It is still here when it is dropped only if the application
/// panicked over a message: then its ring has news and would be neither armed nor ready.
struct Unread<'a>(Option<Batch<'a>>);

impl Unread<'_> {
    fn hand_out(mut self, each: impl FnMut(&[u8])) {
        self.0.iter().flat_map(Batch::iter).for_each(each);
        if let Some(batch) = self.0.take() {
            batch.ack();
        }
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        if let Some(Batch { half, .. }) = &self.0 {
            half.consumer.shared.wake().keep(half.slot);
        }
    }
}
