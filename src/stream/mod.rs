//! The producer's side of a stream: its ring, its account, and where its next block belongs.

use std::sync::Arc;

use crate::{
    audio::{FrameHeader, FrameMut, Grid, MixClock, frame::frame_bytes},
    ledger::{Account, StreamState},
    os::now_ns,
    queue::{LeaseId, Producer},
};

/// The producer's side of one stream: a ring to publish to, the account to count in, and its place on the mix
/// clock. Dropping it closes the ring, and the mixer ends the stream when it has played its ring.
#[derive(Debug)]
pub struct Stream {
    producer: Producer,
    account: Arc<Account>,
    grid: Grid,
    channels: usize,
    /// Samples per channel from now to the first that plays, at the start and after the stream ran dry.
    delay: u64,
    /// Where the block after the last that was [offered](Self::offer) begins, per channel.
    next: Option<u64>,
    /// Samples that wait for the rest of their block.
    held: Box<[i16]>,
    held_samples: usize,
    /// Whether the ring was full when it was last asked for room.
    was_full: bool,
}

/// The outcome of one offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// A block is in the ring.
    Published,
    /// The ring was full: a block is dropped, and counted.
    Dropped,
    /// The samples wait for the rest of their block.
    Held,
    /// There was none: the source has ended.
    Ended,
}

impl Stream {
    /// A stream on this grid, without a delay. Allocates.
    pub fn new(producer: Producer, account: Arc<Account>, grid: Grid) -> Self {
        let channels = usize::from(grid.format().channels());
        Self {
            producer,
            account,
            channels,
            delay: 0,
            next: None,
            held: vec![0; grid.block_samples() * channels].into(),
            held_samples: 0,
            was_full: false,
            grid,
        }
    }

    /// Has blocks that are [offered](Self::offer) play so many blocks later, from the first on and after the stream ran
    /// dry.
    #[must_use]
    pub fn delayed(mut self, blocks: u64) -> Self {
        self.delay = blocks.saturating_mul(self.grid.block_samples() as u64);
        self
    }

    /// The stream's ring.
    pub fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        self.account.id()
    }

    /// Whether it is ended by command: its source drops it then, which closes the ring. Costs a load.
    pub fn is_ending(&self) -> bool {
        self.account.state() == StreamState::Ending
    }

    /// Whether a block fits the ring now. If it does, [`offer`](Self::offer) publishes it.
    pub fn has_room(&mut self) -> bool {
        let has_room = self.producer.has_room(frame_bytes(self.held.len()));
        self.was_full |= !has_room;
        has_room
    }

    /// The clock that its blocks are placed on, once it runs.
    pub(crate) fn clock(&self) -> Option<MixClock> {
        self.grid.clock()
    }

    /// Where the next block that is [offered](Self::offer) begins in the mix, once there was one, per channel.
    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Offers the next samples, which `read` writes, at most the rest of a block; it returns how many, 0 at the end.
    /// A whole block is published, in place if it comes whole; if the ring is full, it is dropped and counted. Blocks
    /// follow each other on the mix clock: the first begins with the first tick after now, or as much later as the
    /// stream is [delayed](Self::delayed); so does one that comes after the stream ran dry, its block's tick being
    /// past and the ring empty. Never waits for room. Allocates nothing; enters the kernel only as `read`
    /// does, or to wake the mixer.
    ///
    /// # Errors
    /// The errors of `read`; the stream is as before the call.
    ///
    /// # Panics
    /// If `read` claims more than it was asked for.
    pub fn offer<E>(
        &mut self,
        read: impl FnOnce(&mut [i16]) -> Result<usize, E>,
    ) -> Result<Offered, E> {
        self.offer_at(now_ns(), read)
    }

    /// [`offer`](Self::offer) at this time on the monotonic clock.
    pub(crate) fn offer_at<E>(
        &mut self,
        now_ns: u64,
        read: impl FnOnce(&mut [i16]) -> Result<usize, E>,
    ) -> Result<Offered, E> {
        let block = self.held.len();
        let header = self.next_header(now_ns);
        if self.held_samples == 0
            && let Ok(mut reservation) = self.producer.reserve(frame_bytes(block))
        {
            let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
            let samples = read(frame.samples_mut())?;
            if samples == block {
                frame.seal(header);
                self.account.offer(samples as u64);
                reservation.commit();
                self.account.settle();
                self.advance(header);
                return Ok(Offered::Published);
            }
            self.held[..samples].copy_from_slice(&frame.samples_mut()[..samples]);
            self.held_samples = samples;
        } else {
            let samples = read(&mut self.held[self.held_samples..])?;
            self.held_samples += samples;
            if samples == 0 {
                self.flush(now_ns);
            } else if self.held_samples == block {
                return Ok(self.place_held(header));
            }
        }
        Ok(match self.held_samples {
            0 => Offered::Ended,
            _ => Offered::Held,
        })
    }

    /// Samples of a block that wait for the rest of it, interleaved.
    pub(crate) fn held_samples(&self) -> usize {
        self.held_samples
    }

    /// Publishes samples that wait for the rest of their block as a shorter one: no more come in time, or at all.
    pub(crate) fn flush(&mut self, now_ns: u64) {
        if self.held_samples > 0 {
            let header = self.next_header(now_ns);
            self.place_held(header);
        }
    }

    /// Discards samples that wait for the rest of their block, counted.
    pub(crate) fn discard_held(&mut self) -> u64 {
        let samples = std::mem::take(&mut self.held_samples) as u64;
        self.account.offer(samples);
        self.account.settle_discarded(samples);
        samples
    }

    /// The header of the next block that is offered.
    fn next_header(&self, now_ns: u64) -> FrameHeader {
        let due = self.grid.first_after(now_ns);
        let given = self.held.len() / self.channels;
        match self.next {
            // While anything waits, the mix itself stands behind its clock.
            Some(next) if next >= due || self.producer.stats().filled_bytes > 0 => {
                FrameHeader::new(next, given)
            }
            next => FrameHeader {
                // A sender that waited for room is not to blame.
                after_pause: next.is_some() && self.was_full,
                ..FrameHeader::new(due + self.delay, given)
            },
        }
    }

    fn advance(&mut self, header: FrameHeader) {
        if self.next.is_none() {
            self.account.begin_segment();
        }
        self.next = Some(header.first + self.grid.block_samples() as u64);
        self.was_full = false;
    }

    fn place_held(&mut self, header: FrameHeader) -> Offered {
        let samples = std::mem::take(&mut self.held_samples);
        let header = FrameHeader {
            given: (samples / self.channels) as u32,
            ..header
        };
        let held = std::mem::take(&mut self.held);
        let offered = self.place(header, &held[..samples]);
        self.held = held;
        self.advance(header);
        offered
    }

    /// Publishes a block, interleaved, where its header says; only the last of a run may be shorter. Drops it, counted,
    /// if the ring is full. Samples that the sender gave are offered; the others are in no term of the
    /// equation. Never waits or allocates; enters the kernel only to wake the mixer.
    ///
    /// # Panics
    /// If more samples are given than there are.
    pub fn place(&mut self, header: FrameHeader, samples: &[i16]) -> Offered {
        let Self {
            producer, account, ..
        } = self;
        let bytes = frame_bytes(samples.len());
        let given = u64::from(header.given) * self.channels as u64;
        let made_up = samples.len() as u64 - given;
        let Ok(mut reservation) = producer.reserve(bytes) else {
            producer.count_drop(bytes);
            account.offer(given);
            account.settle_dropped(given);
            // The mix plays without them. Concealment was counted when it was made.
            account.miss(given);
            return Offered::Dropped;
        };
        let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(header);
        account.offer(given);
        account.fill(made_up);
        reservation.commit();
        account.settle();
        Offered::Published
    }

    /// The stream's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

/// Samples that wait for the rest of their block are its last.
impl Drop for Stream {
    fn drop(&mut self) {
        self.flush(now_ns());
    }
}

const ALIGNED: &str = "a message starts at a multiple of 8 and is as long as its frame";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::{Format, Frame},
        queue::{Consumer, Pool},
    };

    /// Counts up; at its end it fails if `fails` is set.
    struct Ramp {
        next: i16,
        end: i16,
        fails: bool,
    }

    /// Why a [`Ramp`] fails.
    #[derive(Debug)]
    struct Failed;

    impl Ramp {
        fn read(&mut self, out: &mut [i16]) -> Result<usize, Failed> {
            let count = out.len().min((self.end - self.next) as usize);
            out.iter_mut()
                .zip(self.next..self.end)
                .for_each(|(out, sample)| *out = sample);
            self.next += count as i16;
            if count == 0 && self.fails {
                return Err(Failed);
            }
            Ok(count)
        }
    }

    fn stream(channels: u16) -> (Stream, Arc<Account>, Consumer) {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let account = Arc::new(Account::new("ramp"));
        let format = Format::new(8000, channels).unwrap();
        let stream = Stream::new(
            pool.acquire().unwrap(),
            Arc::clone(&account),
            Grid::new(format, 100),
        );
        (stream, account, consumer)
    }

    /// First sample, given samples and all samples of the oldest frame, which is acked.
    fn take(consumer: &mut Consumer, lease: LeaseId) -> (u64, u32, Vec<i16>) {
        let message = consumer.get(lease).unwrap().unwrap();
        let frame = Frame::parse(&message).unwrap();
        assert!(frame.checksum_ok());
        let taken = (
            frame.header().first,
            frame.header().given,
            frame.samples().to_vec(),
        );
        message.ack();
        taken
    }

    #[test]
    fn frames_are_contiguous_and_only_the_last_is_short() {
        for channels in [1, 2] {
            let (mut stream, account, mut consumer) = stream(channels);
            let len = 100 * channels as i16;
            let mut ramp = Ramp {
                next: 0,
                end: 2 * len + 50,
                fails: false,
            };
            let offered: Vec<_> = (0..5)
                .map(|_| stream.offer(|out| ramp.read(out)).unwrap())
                .collect();
            assert_eq!(offered[..2], [Offered::Published; 2]);
            assert_eq!(
                offered[2..],
                [Offered::Held, Offered::Ended, Offered::Ended]
            );
            let lease = stream.lease();
            assert_eq!(take(&mut consumer, lease), (0, 100, (0..len).collect()));
            let second = (len..2 * len).collect();
            assert_eq!(take(&mut consumer, lease), (100, 100, second));
            let last = (2 * len..2 * len + 50).collect();
            let given = 50 / u32::from(channels);
            assert_eq!(take(&mut consumer, lease), (200, given, last));
            assert_eq!(account.read().offered, 2 * len as u64 + 50);
        }
    }

    #[test]
    fn a_full_ring_drops_the_block_and_keeps_its_place() {
        let (mut stream, account, mut consumer) = stream(1);
        let mut ramp = Ramp {
            next: 0,
            end: i16::MAX,
            fails: false,
        };
        let mut published = 0u32;
        while stream.has_room() {
            assert_eq!(
                stream.offer(|out| ramp.read(out)).unwrap(),
                Offered::Published
            );
            published += 1;
        }
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Dropped
        );
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Dropped
        );
        let lease = stream.lease();
        for _ in 0..published {
            take(&mut consumer, lease);
        }
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Published
        );
        let number = published + 2;
        let first = number as i16 * 100;
        let expected = (u64::from(number) * 100, 100, (first..first + 100).collect());
        assert_eq!(take(&mut consumer, lease), expected);
        let entry = account.read();
        assert_eq!(
            (entry.offered, entry.dropped_full),
            (u64::from(number + 1) * 100, 200)
        );
    }

    #[test]
    fn a_source_that_fails_leaves_nothing_half_published() {
        let (mut stream, account, mut consumer) = stream(1);
        let mut ramp = Ramp {
            next: 0,
            end: 100,
            fails: true,
        };
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Published
        );
        assert!(stream.offer(|out| ramp.read(out)).is_err());
        let lease = stream.lease();
        take(&mut consumer, lease);
        assert!(consumer.get(lease).unwrap().is_none());
        account.count(crate::ledger::Fate::Mixed, 100);
        assert_eq!(account.check(|| 0), Ok(crate::ledger::Checked::Holds));
    }

    /// However a stream is cut where it comes in, the same blocks go out.
    #[test]
    fn pieces_of_any_length_make_the_same_blocks() {
        for piece in [1, 37, 80, 99, 100, 160, 999] {
            let (mut stream, _, mut consumer) = stream(1);
            let lease = stream.lease();
            let samples: Vec<i16> = (0..777).collect();
            for piece in samples.chunks(piece) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let read = |out: &mut [i16]| {
                        let count = out.len().min(rest.len());
                        out[..count].copy_from_slice(&rest[..count]);
                        rest = &rest[count..];
                        Ok::<_, Failed>(count)
                    };
                    stream.offer(read).unwrap();
                }
            }
            drop(stream);
            for (index, block) in (0..).zip(samples.chunks(100)) {
                let expected = (index * 100, block.len() as u32, block.to_vec());
                assert_eq!(take(&mut consumer, lease), expected, "pieces of {piece}");
            }
            assert!(consumer.is_finished(lease).unwrap());
        }
    }

    const PERIOD_NS: u64 = 20_000_000;

    /// A stream with a delay of three blocks, on a clock that runs.
    fn live() -> (Stream, Consumer) {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let account = Arc::new(Account::new("live"));
        let clock = MixClock {
            first_ns: PERIOD_NS,
            period_ns: PERIOD_NS,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 100,
        };
        let stream = Stream::new(pool.acquire().unwrap(), account, clock.into());
        (stream.delayed(3), consumer)
    }

    fn offer_block(stream: &mut Stream, now_ns: u64) {
        let whole = |out: &mut [i16]| Ok::<_, Failed>(out.len());
        assert_eq!(stream.offer_at(now_ns, whole).unwrap(), Offered::Published);
    }

    #[test]
    fn blocks_follow_from_the_delay_after_the_next_tick() {
        let (mut stream, mut consumer) = live();
        let lease = stream.lease();
        // Between ticks 5 and 6.
        for block in 0..3 {
            offer_block(&mut stream, 6 * PERIOD_NS + 1 + block * PERIOD_NS);
        }
        for block in 0..3 {
            let message = consumer.get(lease).unwrap().unwrap();
            let header = Frame::parse(&message).unwrap().header();
            assert_eq!(header, FrameHeader::new((9 + block) * 100, 100));
            message.ack();
        }
    }

    #[test]
    fn a_dry_stream_goes_on_a_delay_after_the_next_tick() {
        let (mut stream, mut consumer) = live();
        let lease = stream.lease();
        offer_block(&mut stream, 1);
        // Its block is due, but still waits: the mix stands behind its clock.
        offer_block(&mut stream, 20 * PERIOD_NS + 1);
        (0..2).for_each(|_| _ = take(&mut consumer, lease));
        offer_block(&mut stream, 20 * PERIOD_NS + 1);
        let message = consumer.get(lease).unwrap().unwrap();
        let header = Frame::parse(&message).unwrap().header();
        assert_eq!(header, FrameHeader::new(2300, 100));
    }

    #[test]
    fn a_stream_that_waited_for_room_is_not_to_blame() {
        let (mut stream, mut consumer) = live();
        let lease = stream.lease();
        while stream.has_room() {
            offer_block(&mut stream, 1);
        }
        while let Some(message) = consumer.get(lease).unwrap() {
            message.ack();
        }
        offer_block(&mut stream, 100 * PERIOD_NS + 1);
        let message = consumer.get(lease).unwrap().unwrap();
        assert!(Frame::parse(&message).unwrap().header().after_pause);
    }
}
