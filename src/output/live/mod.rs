//! Audio for listeners: rooms, a stream alone, the mix of its room without it.
//!
//! Each output is a feed of the mixer, and here a circle of its last seconds in which every listener
//! has a place of its own ([`Cursor`]). A listener costs the mixer nothing, and others nothing but the
//! time to send: a slow one falls out of the circle, goes on near the newest, and its missed samples are
//! counted. Listeners of an output that are in step share the bytes of their chunks ([`Grid`]).
//!
//! Passive: it has no thread and no socket. Its owner waits for [`Live::as_fd`], calls [`Live::drain`] and
//! lets its listeners [`read`](Live::read). Samples that the rings refused, because the owner was late,
//! are silence here and counted, so an index in the mix stays an index in the mix.

mod buffer;
mod grid;
mod output;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use self::output::Output;
pub use self::{
    grid::Grid,
    output::{Chunk, Cursor, Delivery, OutputFigures},
};
use super::feed_reader::{self, FeedReader, FeedRings};
use crate::{
    audio::{
        Format,
        meter::{Measured, Meter},
    },
    mixer::{MixRing, RoomId},
    queue::{AcquireError, BuildError, Pool, Producer},
};

/// Most outputs beside the whole mix, at once.
pub(crate) const MONITORS_MAX: usize = 64;

/// How much of an output is kept: how far a listener may be behind before it skips.
pub(crate) const KEPT: Duration = Duration::from_secs(4);

/// And so many blocks, at least: some chunks of the longest.
const KEPT_BLOCKS_MIN: usize = 64;

/// Time that the rings from the mixer hold, at least: so long the owner may be late.
const BUFFERED: Duration = Duration::from_millis(500);

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
    /// The mix of `main`.
    pub const MIX: Self = Self(0);
}

/// All that can be heard.
#[derive(Debug)]
pub struct Live {
    format: Format,
    block_samples: usize,
    kept_samples: u64,
    reader: FeedReader,
    mix: Output,
    meter: Meter,
    monitors: HashMap<OutputId, Output>,
    /// Those of them that are rooms.
    rooms: HashMap<RoomId, OutputId>,
    /// Number of the last output.
    last: u64,
    /// The totals of monitored outputs that were closed.
    skipped_before: u64,
    lost_before: u64,
}

impl Live {
    /// Rings and room for the outputs of a mixer of this format, block and number of rooms, and the mixer's end of the
    /// rings, to which it is to send the whole mix. Takes a megabyte or two for 8 kHz mono, and in proportion for more;
    /// all rings are made present now, so the mixer meets no page for the first time.
    ///
    /// # Errors
    /// [`LiveError::Rings`].
    pub fn new(
        format: Format,
        block_samples: usize,
        rooms: usize,
    ) -> Result<(Self, MixRing), LiveError> {
        let (reader, ring) = FeedReader::new(FeedRings {
            format,
            block_samples,
            rooms,
            rooms_heard: 1 + MONITORS_MAX,
            feeds: MONITORS_MAX,
            buffered: BUFFERED,
            prefault: true,
        })?;
        let kept =
            (KEPT.as_nanos() * u128::from(format.rate_hz())).div_ceil(1_000_000_000) as usize;
        let kept_samples = kept.max(KEPT_BLOCKS_MIN * block_samples) as u64;
        let live = Self {
            format,
            block_samples,
            kept_samples,
            reader,
            mix: Output::new(format.channels(), kept_samples),
            meter: Meter::new(format),
            monitors: HashMap::new(),
            rooms: HashMap::new(),
            last: OutputId::MIX.0,
            skipped_before: 0,
            lost_before: 0,
        };
        Ok((live, ring.with_room(RoomId::MAIN)))
    }

    /// The mix's rate and channels.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The grid of the listener with this number, for chunks of about this length.
    pub(crate) fn grid(&self, chunk: Duration, number: u64) -> Grid {
        Grid::new(self.format, self.block_samples, chunk, number)
    }

    /// The output of a room, fed by the mix ring. To be called once while it is open; `main` always is.
    ///
    /// # Errors
    /// [`LiveError::Monitors`].
    pub fn open_room(&mut self, room: RoomId) -> Result<OutputId, LiveError> {
        if room == RoomId::MAIN {
            return Ok(OutputId::MIX);
        }
        self.has_room()?;
        let id = self.add();
        self.rooms.insert(room, id);
        Ok(id)
    }

    fn has_room(&self) -> Result<(), LiveError> {
        if self.monitors.len() == MONITORS_MAX {
            return Err(LiveError::Monitors);
        }
        Ok(())
    }

    fn add(&mut self) -> OutputId {
        self.last += 1;
        let id = OutputId(self.last);
        let output = Output::new(self.format.channels(), self.kept_samples);
        self.monitors.insert(id, output);
        id
    }

    /// One more output, and the ring and its pool for the mixer's feed of it.
    ///
    /// # Errors
    /// [`LiveError::Monitors`].
    pub fn open(&mut self) -> Result<(OutputId, Producer, Pool), LiveError> {
        self.has_room()?;
        let pool = self.reader.pool().ok_or(LiveError::Monitors)?.clone();
        let producer = pool.acquire().map_err(|refused| match refused {
            // Rings that were closed come back with the next tick.
            AcquireError::Exhausted { .. } | AcquireError::ConsumerGone => LiveError::Monitors,
        })?;
        let id = self.add();
        self.reader.own(producer.lease(), id.0);
        Ok((id, producer, pool))
    }

    /// Forgets an output without listeners. Frames that still come in its ring are discarded
    /// until the mixer closes that. Nothing happens to the whole mix.
    pub fn close(&mut self, id: OutputId) {
        self.rooms.retain(|_, output| *output != id);
        if let Some(output) = self.monitors.remove(&id) {
            let figures = output.figures();
            self.skipped_before += figures.skipped_samples;
            self.lost_before += figures.lost_samples;
        }
    }

    /// No more will come of an output: its listeners get the rest, and then the end.
    pub fn end(&mut self, id: OutputId) {
        if let Some(output) = self.monitors.get_mut(&id) {
            output.ended = true;
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

    /// Takes what has come from the mixer, some tens of blocks of each output. To be called when
    /// [`as_fd`](Live::as_fd) is readable, and it is again at once if that was not all. Never waits.
    pub fn drain(&mut self) {
        let Self {
            reader,
            mix,
            meter,
            monitors,
            rooms,
            ..
        } = self;
        reader.drain(|delivery| match delivery {
            feed_reader::Delivery::Room(RoomId::MAIN, piece) => {
                mix.push(&piece);
                meter.push(piece.samples);
            }
            feed_reader::Delivery::Feed(key, piece) => {
                if let Some(output) = monitors.get_mut(&OutputId(key)) {
                    output.push(&piece);
                }
            }
            // A room may be here for its mix-minuses alone.
            feed_reader::Delivery::Room(room, piece) => {
                let output = rooms.get(&room).and_then(|id| monitors.get_mut(id));
                if let Some(output) = output {
                    output.push(&piece);
                }
            }
            // It may be heard again in the same output.
            feed_reader::Delivery::RoomEnded(_) => {}
            feed_reader::Delivery::Ended(key) => {
                if let Some(output) = monitors.get_mut(&OutputId(key)) {
                    output.ended = true;
                }
            }
        });
        mix.ended = reader.is_closed();
        if mix.ended {
            for output in monitors.values_mut() {
                output.ended = true;
            }
        }
    }
}

/// Readable when there is something to [`drain`](Live::drain).
impl AsFd for Live {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
