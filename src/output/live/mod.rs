//! Audio for listeners: the whole mix, a stream alone, the mix without a stream.
//!
//! Each output has a ring from the mixer, and here a circle of its last seconds in which every listener
//! has a place of its own ([`Cursor`]). A listener costs the mixer nothing, and others nothing but the
//! time to send: a slow one falls out of the circle, goes on near the newest, and its missed samples are
//! counted. Listeners of an output that are in step share the bytes of their chunks ([`Grid`]).
//!
//! Passive: it has no thread and no socket. Its owner waits for [`Live::as_fd`], calls [`Live::drain`] and
//! lets its listeners [`read`](Live::read). A frame that a full ring refused, because the owner was late,
//! is silence here and counted, so an index in the mix stays an index in the mix.

mod buffer;
mod grid;
mod output;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use self::output::Output;
pub use self::{
    grid::Grid,
    output::{Chunk, Cursor, Delivery, OutputFigures},
};
use crate::{
    audio::{
        Format, Frame,
        frame::frame_bytes,
        meter::{Measured, Meter},
    },
    queue::{AcquireError, BuildError, Consumer, Drained, LeaseId, Pool, PoolPlan, Producer},
};

/// Most outputs beside the whole mix, at once.
pub(crate) const MONITORS_MAX: usize = 64;

/// How much of an output is kept: how far a listener may be behind before it skips.
pub(crate) const KEPT: Duration = Duration::from_secs(4);

/// Time that a ring from the mixer holds, at least: so long the owner may be late.
const BUFFERED: Duration = Duration::from_millis(500);
/// And so many frames, at least.
const RING_FRAMES_MIN: usize = 16;
/// Messages taken from a ring at a time.
const BATCH: usize = 64;

/// Why there is nothing to listen to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The rings cannot be made.
    #[error("cannot make the rings for listening")]
    Rings(#[from] BuildError),
    /// The limit of outputs is reached.
    #[error(
        "{MONITORS_MAX} outputs beside the mix are being heard, and no more may be; try again when one of them is left alone"
    )]
    Monitors,
}

/// An output of a [`Live`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId(u64);

impl OutputId {
    /// The whole mix.
    pub const MIX: Self = Self(0);
}

/// All that can be heard.
#[derive(Debug)]
pub struct Live {
    format: Format,
    block_samples: usize,
    kept_samples: u64,
    pool: Pool,
    consumer: Consumer,
    tap: LeaseId,
    mix: Output,
    meter: Meter,
    /// The blocks of the mix that came last: where they begin, and how long they are. Frames without
    /// samples refer to them.
    blocks: VecDeque<(u64, u64)>,
    blocks_max: usize,
    monitors: HashMap<OutputId, Output>,
    /// The owner of each ring, by slot.
    owners: Box<[Option<(LeaseId, OutputId)>]>,
    /// Number of the last output.
    last: u64,
    /// The totals of monitored outputs that were closed.
    skipped_before: u64,
    lost_before: u64,
    taken: Taken,
}

/// Frames that were taken from a ring: where each begins, how many samples it has, and all samples.
#[derive(Debug, Default)]
struct Taken {
    frames: Vec<(u64, usize)>,
    samples: Vec<i16>,
}

impl Taken {
    /// Each frame: where it begins, and its samples, if it has any.
    fn iter(&self) -> impl Iterator<Item = (u64, &[i16])> {
        let mut rest = &self.samples[..];
        self.frames.iter().map(move |&(at, len)| {
            let (samples, after) = rest.split_at(len);
            rest = after;
            (at, samples)
        })
    }
}

impl Live {
    /// Rings and room for the outputs of a mixer of this format and block, and the producer for the
    /// mixer's tap of the whole mix. Takes a megabyte or two for 8 kHz mono, and in proportion for more;
    /// all rings are made present now, so the mixer meets no page for the first time.
    ///
    /// # Errors
    /// [`LiveError::Rings`].
    ///
    /// # Panics
    /// If a new pool has no ring: a bug.
    pub fn new(format: Format, block_samples: usize) -> Result<(Self, Producer), LiveError> {
        let samples = |time: Duration| {
            (time.as_nanos() * u128::from(format.rate_hz())).div_ceil(1_000_000_000) as usize
        };
        let frames = samples(BUFFERED)
            .div_ceil(block_samples.max(1))
            .max(RING_FRAMES_MIN);
        let frame = frame_bytes(block_samples * usize::from(format.channels()));
        // Too long for any, the pool says so.
        let ring_bytes = PoolPlan::ring_bytes_for(frames as u64, frame).unwrap_or(usize::MAX);
        let (pool, consumer) = Pool::builder()
            .slots(1 + MONITORS_MAX)
            .ring_bytes(ring_bytes)
            .prefault(true)
            .build()?;
        let producer = pool.acquire().expect("a new pool has a free ring");
        // Longer than rings hold, so a block that a frame refers to is known, or was lost.
        let kept_samples = samples(KEPT).max(4 * frames * block_samples) as u64;
        let live = Self {
            format,
            block_samples,
            kept_samples,
            consumer,
            tap: producer.lease(),
            mix: Output::new(format.channels(), kept_samples),
            meter: Meter::new(format),
            blocks: VecDeque::new(),
            blocks_max: kept_samples as usize / block_samples.max(1),
            monitors: HashMap::new(),
            owners: vec![None; pool.slots()].into(),
            pool,
            last: OutputId::MIX.0,
            skipped_before: 0,
            lost_before: 0,
            taken: Taken::default(),
        };
        Ok((live, producer))
    }

    /// The mix's rate and channels.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The grid of the listener with this number, for chunks of about this length.
    pub(crate) fn grid(&self, chunk: Duration, number: u64) -> Grid {
        Grid::new(self.format, self.block_samples, chunk, number)
    }

    /// One more output, and the producer for the mixer's monitor of it.
    ///
    /// # Errors
    /// [`LiveError::Monitors`].
    pub fn open(&mut self) -> Result<(OutputId, Producer), LiveError> {
        if self.monitors.len() == MONITORS_MAX {
            return Err(LiveError::Monitors);
        }
        let producer = self.pool.acquire().map_err(|refused| match refused {
            // Rings that were closed come back with the next tick.
            AcquireError::Exhausted { .. } | AcquireError::ConsumerGone => LiveError::Monitors,
        })?;
        self.last += 1;
        let id = OutputId(self.last);
        let output = Output::new(self.format.channels(), self.kept_samples);
        self.monitors.insert(id, output);
        self.owners[producer.lease().slot()] = Some((producer.lease(), id));
        Ok((id, producer))
    }

    /// Forgets an output without listeners. Frames that still come in its ring are discarded
    /// until the mixer closes that. Nothing happens to the whole mix.
    pub fn close(&mut self, id: OutputId) {
        if let Some(output) = self.monitors.remove(&id) {
            let figures = output.figures();
            self.skipped_before += figures.skipped_samples;
            self.lost_before += figures.lost_samples;
        }
    }

    /// An output's figures; none if it was closed.
    pub fn figures(&self, id: OutputId) -> Option<OutputFigures> {
        if id == OutputId::MIX {
            return Some(self.mix.figures());
        }
        Some(self.monitors.get(&id)?.figures())
    }

    /// Samples per channel that listeners were too slow for, of all outputs, closed ones included.
    pub fn skipped_samples(&self) -> u64 {
        let outputs = self.monitors.values().chain([&self.mix]);
        let now: u64 = outputs.map(|output| output.figures().skipped_samples).sum();
        self.skipped_before + now
    }

    /// Samples per channel that came too late for the rings, of all outputs, closed ones included:
    /// silence stands in their place.
    pub fn lost_samples(&self) -> u64 {
        let outputs = self.monitors.values().chain([&self.mix]);
        let now: u64 = outputs.map(|output| output.figures().lost_samples).sum();
        self.lost_before + now
    }

    /// The mix's levels since the last call.
    pub fn measure(&mut self) -> Measured {
        self.meter.take()
    }

    /// The next that a listener of this output gets.
    pub fn read(&mut self, id: OutputId, cursor: &mut Cursor) -> Delivery {
        let output = match id {
            OutputId::MIX => Some(&mut self.mix),
            id => self.monitors.get_mut(&id),
        };
        output.map_or(Delivery::Ended, |output| output.read(cursor))
    }

    /// Takes what has come from the mixer, some tens of frames of each output. To be called when
    /// [`as_fd`](Live::as_fd) is readable, and it is again at once if that was not all. Never waits.
    pub fn drain(&mut self) {
        while let Some(lease) = self.consumer.next_ready() {
            let drained = self.take(lease);
            if lease == self.tap {
                self.push_mix();
                self.mix.ended |= drained == Some(Drained::Closed);
            } else {
                self.push_monitor(lease, drained == Some(Drained::Closed));
            }
            if drained == Some(Drained::Closed) {
                // It was closed and drained just now, and only this thread releases.
                let _ = self.consumer.release(lease);
            }
        }
    }

    /// Takes a batch of frames from a ring. None if the lease is over.
    fn take(&mut self, lease: LeaseId) -> Option<Drained> {
        let Taken { frames, samples } = &mut self.taken;
        frames.clear();
        samples.clear();
        let drained = self.consumer.drain(lease, BATCH, |message| {
            if let Ok(frame) = Frame::parse(message) {
                frames.push((frame.header().first, frame.samples().len()));
                samples.extend(frame.samples());
            }
        });
        drained.ok()
    }

    fn push_mix(&mut self) {
        let channels = usize::from(self.format.channels());
        for (at, samples) in self.taken.iter() {
            if samples.is_empty() {
                continue;
            }
            let missing = self.mix.buffer.push(at, samples);
            self.meter.push_silence(missing);
            self.meter.push(samples);
            if self.blocks.len() == self.blocks_max {
                self.blocks.pop_front();
            }
            self.blocks
                .push_back((at, (samples.len() / channels) as u64));
        }
    }

    fn push_monitor(&mut self, lease: LeaseId, closed: bool) {
        let slot = lease.slot();
        let Some((_, id)) = self.owners[slot].filter(|(owned, _)| *owned == lease) else {
            return;
        };
        // The mixer sends the mix's block before the frames that mean it, so it has come; perhaps
        // behind the back of this pass.
        let taken = std::mem::take(&mut self.taken);
        while self.take(self.tap).is_some() && !self.taken.frames.is_empty() {
            self.push_mix();
        }
        self.taken = taken;
        let Self {
            mix,
            monitors,
            blocks,
            ..
        } = self;
        if let Some(output) = monitors.get_mut(&id) {
            for (at, samples) in self.taken.iter() {
                if !samples.is_empty() {
                    output.buffer.push(at, samples);
                    continue;
                }
                // A lost block is not known: the next one shows the gap.
                let Ok(block) = blocks.binary_search_by_key(&at, |&(begin, _)| begin) else {
                    continue;
                };
                let to = at + blocks[block].1;
                if at >= mix.buffer.begin() {
                    let [head, tail] = mix.buffer.pieces(at, to);
                    let seam = at + (head.len() / usize::from(self.format.channels())) as u64;
                    output.buffer.push(at, head);
                    output.buffer.push(seam, tail);
                }
            }
            output.ended |= closed;
        }
        if closed {
            self.owners[slot] = None;
        }
    }
}

/// Readable when there is something to [`drain`](Live::drain).
impl AsFd for Live {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.consumer.as_fd()
    }
}
