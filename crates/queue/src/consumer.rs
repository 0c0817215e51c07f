//! The reading ends of a pool: all its rings by one bell, or one ring by a bell of its own.

#[cfg(not(loom))]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::{cell::Cell, io, mem, time::Duration};

#[cfg(not(loom))]
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use crate::{
    error::{DetachError, LeaseError, ReleaseError},
    loom::Arc,
    pool::{LeaseId, Shared},
    ring::{Batch, Message, Reader},
    stats::{RingStats, Waiting},
    wake::{Arming, OWN_BELL, POOLS_BELL, Wake},
};

/// The one reading end of a pool. There is one per pool, returned with it; dropping it makes
/// [`Pool::acquire`](crate::Pool::acquire) refuse, and a full ring then refuses for good.
///
/// # Two ways to read
/// - **Woken**: [`wait`](Self::wait), or an event loop of the application's, in which this is a descriptor to read
///   from ([`AsFd`]); then [`next_ready`](Self::next_ready) until `None`, and
///   [`drain`](Self::drain) for each lease it names. A ring that is drained is armed, and costs
///   nothing until its next message.
/// - **Polled**: [`get`](Self::get) at leisure. A ring that is never armed costs its producer no
///   system call, ever.
///
/// A lease starts armed: its first message, or its close, makes it ready.
#[derive(Debug)]
pub struct Consumer {
    /// One for each slot, for the lease that it last read there.
    readers: Box<[OwnLine]>,
    /// The pass of `next_ready` under way.
    pass: Option<Pass>,
    /// The pool's own epoll, in which `wait` sleeps.
    #[cfg(not(loom))]
    epoll: Epoll,
    /// The descriptor was asked for, so each pass clears it.
    is_watched: Cell<bool>,
    /// Keeps the memory that the readers point to alive.
    shared: Arc<Shared>,
}

/// On a cache line of its own: readers are visited in turn, and each visit then waits for one line.
#[derive(Debug)]
#[repr(align(64))]
struct OwnLine(Reader);

#[derive(Debug, Default)]
struct Pass {
    /// The next word of the ready bitmap.
    word: usize,
    /// Bits of the word before it, not yet named.
    bits: u64,
}

/// State of a ring after [`Consumer::drain`] or [`Receiver::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Empty and armed: its next message, or its close, makes it ready.
    Empty,
    /// Messages are left; the ring is ready.
    More,
    /// Closed and empty: nothing will ever come. [Release](Consumer::release) it.
    Closed,
}

impl Consumer {
    pub(crate) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let reader = |slot| {
            // SAFETY: `shared` lives as long as the readers, and no lease has another yet.
            OwnLine(unsafe { Reader::new(&shared, shared.no_lease(slot)) })
        };
        let readers = (0..shared.slots()).map(reader).collect();
        #[cfg(not(loom))]
        let epoll = {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            // Edge-triggered: nothing needs to be cleared.
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
            epoll.add(shared.wake().bell().fd(), event)?;
            epoll
        };
        Ok(Self {
            readers,
            pass: None,
            #[cfg(not(loom))]
            epoll,
            is_watched: Cell::new(false),
            shared,
        })
    }

    fn wake(&self) -> &Wake {
        self.shared.wake()
    }

    /// Sleeps in the pool's own epoll until a ring is ready or the time is over; `None` waits
    /// without end. It may return early, and does at a signal; `next_ready` says which it was. It returns at
    /// once while a ring is ready and not yet named, or the last pass was not finished.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // An earlier wait may have taken the edge of a ring that no pass has named since.
        if self.pass.is_some() || !self.wake().want() {
            return Ok(());
        }
        self.sleep(timeout)
    }

    #[cfg(not(loom))]
    fn sleep(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            // Up, not down: a wait that ends early would spin. Over 24 days: wait 24 days.
            let millis = timeout.as_nanos().div_ceil(1_000_000);
            EpollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX))
                .unwrap_or(EpollTimeout::MAX)
        });
        match self.epoll.wait(&mut [EpollEvent::empty()], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    #[cfg(loom)]
    #[expect(clippy::unnecessary_wraps, reason = "as the real sleep")]
    fn sleep(&self, _timeout: Option<Duration>) -> io::Result<()> {
        self.wake().bell().wait_for_edge();
        Ok(())
    }

    /// The next lease that has something: messages, or its close. `None` ends the pass, and
    /// promises that the pool will be reported again as soon as there is something: then it is safe
    /// to sleep.
    ///
    /// A ring that becomes ready behind the pass's back waits for the next one, so a pass always
    /// ends. A ready ring may turn out empty. Lock-free; enters the kernel only at the end of a pass
    /// that leaves rings ready, to report the pool again, and, where the pool's descriptor is watched
    /// ([`AsFd`]), at the beginning of a pass, to clear it.
    pub fn next_ready(&mut self) -> Option<LeaseId> {
        if self.pass.is_none() {
            self.wake().unwant();
            if self.is_watched.get() {
                self.wake().bell().clear();
            }
        }
        let wake = self.shared.wake();
        let current = self.pass.get_or_insert_default();
        loop {
            while current.bits == 0 {
                let Some(bits) = wake.take(current.word) else {
                    self.pass = None;
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
            // A bit may outlive its lease: a free slot has nothing to say, a detached one says it by its own bell.
            let lease = self.shared.lease_of(slot);
            if let Some(lease) = lease.filter(|&lease| !self.shared.is_detached(lease)) {
                return Some(lease);
            }
        }
    }

    /// Rings of the pool.
    pub fn slots(&self) -> usize {
        self.shared.slots()
    }

    fn reader(&mut self, lease: LeaseId) -> Result<&mut Reader, LeaseError> {
        // Only the consumer ends the leases that it reads, so the one it last saw here is still held.
        if self.readers.get(lease.slot()).map(|line| line.0.lease()) != Some(lease) {
            self.take_up(lease)?;
        }
        Ok(&mut self.readers[lease.slot()].0)
    }

    /// Reads a lease for the first time.
    #[cold]
    fn take_up(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.shared.check(lease)?;
        self.readers[lease.slot()].0.begin_lease(lease);
        Ok(())
    }

    /// The oldest message, in place; `None` if there is none now. Until it is acked, the next `get`
    /// returns it again. Wait-free.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn get(&mut self, lease: LeaseId) -> Result<Option<Message<'_>>, LeaseError> {
        Ok(self.reader(lease)?.get())
    }

    /// The oldest messages, in place, at most `max` of them, by one look at the producer. They are
    /// acked together. Walks the messages once; wait-free.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn get_batch(&mut self, lease: LeaseId, max: usize) -> Result<Batch<'_>, LeaseError> {
        Ok(self.reader(lease)?.get_batch(max))
    }

    /// Hands the waiting messages to `each`, at most `max` of them, acks them, and arms the ring if
    /// that left it empty. A ring left with messages stays ready, so the next pass of
    /// [`next_ready`](Self::next_ready) names it again: a busy ring cannot starve the others.
    ///
    /// If `each` panics, nothing is acked and the ring stays ready.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn drain(
        &mut self,
        lease: LeaseId,
        max: usize,
        each: impl FnMut(&[u8]),
    ) -> Result<Drained, LeaseError> {
        self.reader(lease)?;
        let kept = KeptReady {
            wake: self.shared.wake(),
            slot: lease.slot(),
        };
        hand_out(&mut self.readers[lease.slot()].0, max, each);
        mem::forget(kept);
        if self.arm(lease)? {
            return Ok(Drained::Empty);
        }
        if self.is_finished(lease)? {
            return Ok(Drained::Closed);
        }
        self.keep_ready(lease)?;
        Ok(Drained::More)
    }

    /// Asks for a wake at the ring's next message: it will make the ring ready and wake the pool.
    /// Returns false, and asks nothing, if there is news already: a message waits or the ring was
    /// closed. Costs a full fence, or a `membarrier` in a [polled](crate::PoolBuilder::polled) pool.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn arm(&mut self, lease: LeaseId) -> Result<bool, LeaseError> {
        self.reader(lease)?;
        let reader = &mut self.readers[lease.slot()].0;
        Ok(reader.arm(self.shared.wake(), POOLS_BELL) == Arming::Armed)
    }

    /// Makes the next pass of [`next_ready`](Self::next_ready) name this lease again. Enters the
    /// kernel only after the end of a pass, to report the pool.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn keep_ready(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.reader(lease)?;
        self.wake().keep(lease.slot());
        Ok(())
    }

    /// Whether the producer closed its ring: no message will be added.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn is_closed(&self, lease: LeaseId) -> Result<bool, LeaseError> {
        self.shared.check(lease)?;
        Ok(self.shared.words(lease.slot()).is_closed())
    }

    /// Whether the producer closed its ring and all was acked: nothing will ever come.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn is_finished(&mut self, lease: LeaseId) -> Result<bool, LeaseError> {
        Ok(self.reader(lease)?.check_finished().is_ok())
    }

    /// Returns the slot of a closed and drained ring to the pool. Takes the pool's mutex.
    ///
    /// # Errors
    /// [`ReleaseError::Open`] or [`ReleaseError::NotEmpty`] too early, [`ReleaseError::Lease`] for a lease that is
    /// not the consumer's to return.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), ReleaseError> {
        let reader = self.reader(lease)?;
        reader.check_finished()?;
        reader.end_lease();
        self.shared.release(lease);
        Ok(())
    }

    /// Moves a lease out of the set: its receiver has a bell of its own, and may go to another thread. Until it is
    /// dropped or released, the lease is [`LeaseError::Detached`] here.
    ///
    /// The receiver's descriptor is readable at first: [arm](Receiver::arm) it, or look. Makes an eventfd the first
    /// time that a slot is detached.
    ///
    /// # Errors
    /// [`DetachError`]: no such lease, or no descriptor is left.
    pub fn detach(&mut self, lease: LeaseId) -> Result<Receiver, DetachError> {
        let slot = lease.slot();
        self.reader(lease)?;
        self.wake()
            .make_own_bell(slot)
            .map_err(DetachError::Descriptor)?;
        self.shared.set_detached(lease, true);
        self.readers[slot].0.end_lease();
        // SAFETY: `shared` lives as long as the reader, and the consumer's own reader of the lease just ended.
        let reader = unsafe { Reader::new(&self.shared, lease) };
        // The commits so far may have rung the pool's bell alone.
        reader.disarm();
        self.wake().ring_own(slot);
        Ok(Receiver {
            reader,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Messages and payload bytes that wait in the ring, by the counters of both sides. Exact for
    /// what was committed before the call. Wait-free.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn waiting(&self, lease: LeaseId) -> Result<Waiting, LeaseError> {
        self.shared.check(lease)?;
        Ok(self.shared.words(lease.slot()).waiting())
    }

    /// Ring space that waiting messages take, with headers and padding, in bytes. Wait-free. Touches no cache line
    /// that [`get`](Self::get) does not; [`lease_stats`](Self::lease_stats) takes that of the producer's counters
    /// from its core.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn filled(&mut self, lease: LeaseId) -> Result<u64, LeaseError> {
        Ok(self.reader(lease)?.look_at_writer())
    }

    /// The figures of one lease. Wait-free, unlike [`Pool::lease_stats`](crate::Pool::lease_stats):
    /// only the consumer could release it meanwhile.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn lease_stats(&self, lease: LeaseId) -> Result<RingStats, LeaseError> {
        self.shared.check(lease)?;
        Ok(self.shared.ring_stats(lease.slot()))
    }

    /// Asks the processor to load the oldest message of this lease, its first `bytes`, and the producer's
    /// position where it must be looked at. A hint: it changes nothing, and a stale lease is fine.
    ///
    /// Worth it when many rings are visited in turn, for the ring some visits ahead: the cost of a cold
    /// ring is memory latency. Of a thousand rings in turn, a message of 320 bytes took 58 ns instead of 74; of ten
    /// thousand, 90 instead of 137. It looks at where the message lies; if that is cold too, ask for it with
    /// [`prefetch_position`](Self::prefetch_position) some visits before.
    pub fn prefetch(&self, lease: LeaseId, bytes: usize) {
        if let Some(OwnLine(reader)) = self.readers.get(lease.slot()) {
            reader.prefetch_record(bytes);
        }
    }

    /// Asks the processor to load the consumer's position in this lease's ring. A hint, as
    /// [`prefetch`](Self::prefetch) is; it looks at nothing.
    pub fn prefetch_position(&self, lease: LeaseId) {
        if let Some(OwnLine(reader)) = self.readers.get(lease.slot()) {
            reader.prefetch_position(self.shared.words(lease.slot()));
        }
    }
}

/// The pool in an event loop of the application's: tokio's `AsyncFd`, mio, calloop, glib, an epoll. The descriptor
/// is to be watched for reading, level- or edge-triggered. Once it is readable, call
/// [`next_ready`](Consumer::next_ready) until it returns `None`. The application neither reads nor closes it.
///
/// From the first call on, each pass of `next_ready` clears the descriptor: one `read` a pass.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mixpool_queue::Pool;
/// use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
///
/// let (pool, mut consumer) = Pool::builder().slots(1).ring_bytes(1 << 16).build()?;
/// let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
/// epoll.add(&consumer, EpollEvent::new(EpollFlags::EPOLLIN, 42))?;
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
#[cfg(not(loom))]
impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.is_watched.set(true);
        self.wake().bell().fd()
    }
}

/// As [`AsFd`].
#[cfg(not(loom))]
impl AsRawFd for Consumer {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.set_consumer_gone();
        self.wake().unwant();
    }
}

/// Keeps a ring ready if it is dropped, which it is only if the application panicked over a message: then the
/// ring has news and would be neither armed nor ready.
struct KeptReady<'a> {
    wake: &'a Wake,
    slot: usize,
}

impl Drop for KeptReady<'_> {
    fn drop(&mut self) {
        self.wake.keep(self.slot);
    }
}

fn hand_out(reader: &mut Reader, max: usize, each: impl FnMut(&[u8])) {
    let batch = reader.get_batch(max);
    batch.iter().for_each(each);
    batch.ack();
}

/// The reading end of one ring, apart from its pool's [`Consumer`]: from [`Consumer::detach`]. It may move to
/// another thread, so leases of one pool can be read by different threads. Dropping it hands the lease back to the
/// consumer, which drains and releases it.
///
/// It has a descriptor of its own ([`AsFd`]), for any event loop. That is readable from a message or the close on,
/// until [`arm`](Self::arm) finds nothing; after the close it stays readable. So a loop reads with
/// [`get`](Self::get) until `None`, or with [`drain`](Self::drain), and arms before it sleeps.
#[derive(Debug)]
pub struct Receiver {
    reader: Reader,
    /// Keeps the memory that the reader points to alive.
    shared: Arc<Shared>,
}

impl Receiver {
    /// The lease that it reads.
    pub fn lease(&self) -> LeaseId {
        self.reader.lease()
    }

    /// The oldest message, in place; `None` if there is none now. Until it is acked, the next `get`
    /// returns it again. Wait-free.
    pub fn get(&mut self) -> Option<Message<'_>> {
        self.reader.get()
    }

    /// The oldest messages, in place, at most `max` of them, by one look at the producer. They are
    /// acked together. Walks the messages once; wait-free.
    pub fn get_batch(&mut self, max: usize) -> Batch<'_> {
        self.reader.get_batch(max)
    }

    /// Hands the waiting messages to `each`, at most `max` of them, acks them, and arms the ring if
    /// that left it empty. If `each` panics, nothing is acked.
    pub fn drain(&mut self, max: usize, each: impl FnMut(&[u8])) -> Drained {
        hand_out(&mut self.reader, max, each);
        if self.arm() {
            Drained::Empty
        } else if self.is_finished() {
            Drained::Closed
        } else {
            Drained::More
        }
    }

    /// Asks for the descriptor to become readable at the next message or at the close; until then it is not.
    /// Returns false, and asks nothing, if there is news already: then the descriptor stays readable. Costs a
    /// `read` and a full fence, or a `membarrier` in a [polled](crate::PoolBuilder::polled) pool.
    pub fn arm(&mut self) -> bool {
        if self.reader.has_news() {
            return false;
        }
        let (wake, slot) = (self.shared.wake(), self.lease().slot());
        // Before the look that arming ends with, so that no bell for later news is taken away.
        wake.own_bell(slot).clear();
        match self.reader.arm(wake, OWN_BELL) {
            Arming::Armed => return true,
            Arming::Answered => {}
            Arming::TakenBack => wake.ring_own(slot),
        }
        false
    }

    /// Whether the producer closed its ring: no message will be added.
    pub fn is_closed(&self) -> bool {
        self.reader.words().is_closed()
    }

    /// Whether the producer closed its ring and all was acked: nothing will ever come.
    pub fn is_finished(&mut self) -> bool {
        self.reader.check_finished().is_ok()
    }

    /// Messages and payload bytes that wait in the ring, by the counters of both sides. Exact for
    /// what was committed before the call. Wait-free.
    pub fn waiting(&self) -> Waiting {
        self.reader.words().waiting()
    }

    /// The figures of the lease. Wait-free.
    pub fn stats(&self) -> RingStats {
        self.shared.ring_stats(self.lease().slot())
    }

    /// Returns the slot of a closed and drained ring to the pool. Takes the pool's mutex.
    ///
    /// # Errors
    /// [`ReleaseError::Open`] or [`ReleaseError::NotEmpty`], with the receiver.
    pub fn release(mut self) -> Result<(), (ReleaseError, Self)> {
        if let Err(early) = self.reader.check_finished() {
            return Err((early, self));
        }
        let lease = self.lease();
        self.reader.end_lease();
        self.shared.release(lease);
        Ok(())
    }

    /// Sleeps as an event loop does that watches the descriptor.
    #[cfg(loom)]
    pub(crate) fn wait(&self) {
        let bell = self.shared.wake().own_bell(self.lease().slot());
        bell.wait_until_readable();
    }
}

/// The descriptor of this ring alone, to be watched for reading. The application neither reads nor closes it.
#[cfg(not(loom))]
impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.wake().own_bell(self.lease().slot()).fd()
    }
}

/// As [`AsFd`].
#[cfg(not(loom))]
impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.reader.has_lease() {
            self.shared.set_detached(self.lease(), false);
            // Back in the set, which has not looked at it yet.
            self.shared.wake().announce(self.lease().slot());
        }
    }
}
