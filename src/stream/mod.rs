//! The producer's side of a stream: its ring, its account, and where its next block belongs.

mod placing;

use std::{sync::Arc, time::Duration};

use crate::{
    audio::{FrameHeader, FrameMut, Grid, MixClock, frame::frame_bytes},
    ledger::{Account, Discard, GapKind, StreamState},
    os::now_ns,
    queue::{LeaseId, Producer, prefetch_to_write},
};

pub use placing::PlacingThread;
pub(crate) use placing::PlacingThreads;

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
    /// The index behind the last block that was placed, and behind the samples that were [shed](Self::shed), per channel.
    placed_to: u64,
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
            placed_to: 0,
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

    /// Offers samples, interleaved, that are discarded at once for this reason.
    pub(crate) fn leave_out(&self, why: Discard, samples: u64) {
        self.account.offer(samples);
        self.account.settle_discarded(samples);
        if let Some(network) = self.account.network() {
            network.discard(why, samples);
        }
    }

    /// [`leave_out`](Self::leave_out) of what an overloaded thread does not work on, the last of it having come at this
    /// time of the monotonic clock: nothing plays in its place, which is that of its arrival, or follows what was placed or
    /// left out before.
    pub(crate) fn shed(&mut self, samples: u64, at_ns: u64) {
        self.leave_out(Discard::Overload, samples);
        if let Some(clock) = self.grid.clock() {
            let samples = samples / self.channels as u64;
            let since = Duration::from_nanos(at_ns.saturating_sub(clock.first_ns));
            let from = clock.samples_of(since).saturating_sub(samples);
            let from = from.max(self.placed_to);
            self.placed_to = from + samples;
            let to = self.placed_to;
            self.account.note_gap(GapKind::Discarded, from, to, samples);
        }
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

    /// [`offer`](Self::offer) of samples that depend on their place in the mix: `read` gets the index of the first, per
    /// channel.
    pub(crate) fn offer_placed<E>(
        &mut self,
        read: impl FnOnce(u64, &mut [i16]) -> Result<usize, E>,
    ) -> Result<Offered, E> {
        let now = now_ns();
        let held = (self.held_samples / self.channels) as u64;
        let index = self.next_header(now).first + held;
        self.offer_at(now, |out| read(index, out))
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
        self.place_with(header, samples.len(), |block| {
            block.copy_from_slice(samples);
        })
    }

    /// [`place`](Self::place) of so many samples, which `write` writes into the ring; if that is full, it is not
    /// called.
    pub(crate) fn place_with(
        &mut self,
        header: FrameHeader,
        samples: usize,
        write: impl FnOnce(&mut [i16]),
    ) -> Offered {
        let Self {
            producer,
            account,
            placed_to,
            channels,
            ..
        } = self;
        let bytes = frame_bytes(samples);
        let given = u64::from(header.given) * *channels as u64;
        let made_up = samples as u64 - given;
        let Ok(mut reservation) = producer.reserve(bytes) else {
            producer.count_drop(bytes);
            account.offer(given);
            account.settle_dropped(given);
            // The mix plays without them. Concealment was counted when it was made.
            account.miss(given);
            let end = header.first.saturating_add((samples / *channels) as u64);
            account.note_gap(GapKind::DroppedFull, header.first, end, header.given.into());
            return Offered::Dropped;
        };
        let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
        write(frame.samples_mut());
        frame.seal(header);
        *placed_to = header.first.saturating_add((samples / *channels) as u64);
        account.offer(given);
        account.fill(made_up);
        reservation.commit();
        account.settle();
        Offered::Published
    }

    /// Asks for the memory that the next block writes.
    pub(crate) fn prefetch(&self) {
        let (counts, state) = self.account.hot_to_ingest();
        prefetch_to_write(counts);
        prefetch_to_write(state);
        self.producer.prefetch(frame_bytes(self.held.len()));
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
mod tests;
