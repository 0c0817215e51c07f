//! Feeds, by which audio leaves the mixer block by block: a room, a room without one stream, or one stream.

use std::sync::{Arc, atomic::AtomicU64};

use super::{
    ReaderId, Settings, delayed::Delayed, line::Line, mix_minus::MixMinus, room_line::RoomLine,
};
use crate::queue::{LeaseId, Pool, Producer};

/// A room as the mixer knows it: its place, and how many rooms had that place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl RoomId {
    /// The room that is always there.
    pub const MAIN: Self = Self {
        slot: 0,
        generation: 0,
    };

    /// The room in this place, below the mixer's [`rooms_max`](Settings::rooms_max), before which the place had so many
    /// others.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Its place among the rooms, from 0.
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// As the samples of a frame that names it.
    pub(super) fn to_samples(self) -> [i16; 4] {
        bytemuck::cast([self.slot, self.generation])
    }

    /// The room that a [`same`](crate::audio::FrameHeader::same) frame names.
    pub fn from_samples(samples: &[i16]) -> Option<Self> {
        let samples: [i16; 4] = samples.try_into().ok()?;
        let [slot, generation] = bytemuck::cast(samples);
        Some(Self { slot, generation })
    }
}

/// The signal of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// A room's mix. Its blocks come in the reader's mix ring, or in a ring of the feed's own.
    Room(RoomId),
    /// The mix of a stream's room without the stream: the very samples that a mixer of the others alone would give.
    MixMinus(LeaseId),
    /// A stream's block of each tick, before gain, mute and solo, and silence where it has none, delayed as the mix
    /// is.
    Alone(LeaseId),
    /// The contribution of a stream to one room, after gain, mute, solo and fades, delayed as the mix is and cut to 16 bits by itself;
    /// silence where it adds nothing. The tracks of all streams of a room, added and cut to 16 bits, are its mix, if that is
    /// at unity gain and not limited.
    ///
    /// It ends with the stream, with the room, and by a move: a fade to the other room is its last sound.
    Track {
        /// The stream, which is in the room.
        stream: LeaseId,
        /// The room.
        room: RoomId,
    },
}

/// A feed to be [opened](super::Command::OpenFeed): one frame a tick, from the next tick until it is
/// [closed](super::Command::CloseFeed) or its stream has ended. The caller allocates all that it needs, not the mixer. A
/// stream has at most [`STREAM_FEEDS_MAX`](super::STREAM_FEEDS_MAX) feeds of one signal; any more are closed at once.
///
/// A frame's first sample is at its index in the mix. A frame with the flag
/// [`same`](crate::audio::FrameHeader::same) names a room: the block is, bit for bit, that of the room, which is in the
/// reader's mix ring of the same tick.
#[derive(Debug)]
pub struct Feed {
    pub(super) signal: Signal,
    pub(super) reader: ReaderId,
    pub(super) makes: Makes,
}

/// The mixer's part of a feed, made by its caller.
#[derive(Debug)]
pub(super) enum Makes {
    Room,
    RoomLine(Box<RoomLine>),
    MixMinus(Box<MixMinus>),
    Delayed(Box<Delayed>),
}

/// An open feed, to close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeedId {
    pub(super) signal: Signal,
    pub(super) reader: ReaderId,
    /// Its ring's, if it has one of its own.
    pub(super) lease: Option<LeaseId>,
}

impl Feed {
    /// A room's mix for this reader.
    pub fn room(room: RoomId, reader: ReaderId) -> Self {
        Self {
            signal: Signal::Room(room),
            reader,
            makes: Makes::Room,
        }
    }

    /// A room's mix for this reader, into a ring of `pool`: of the reader's [single
    /// feeds](super::MixRing::with_room_rings). Its first sample is that of the tick after the command that opens it, its last
    /// the one before the tick after the command that closes it, or the room. Allocates 200 bytes.
    pub fn room_ring(
        room: RoomId,
        reader: ReaderId,
        (producer, pool): (Producer, &Pool),
        settings: &Settings,
    ) -> Self {
        let line = Line::new(reader, producer, pool, settings.format);
        Self {
            signal: Signal::Room(room),
            reader,
            makes: Makes::RoomLine(Box::new(RoomLine::new(room, line))),
        }
    }

    /// A room's mix without this stream, into a ring of `pool`. `settings` are the mixer's. Allocates about 12 bytes
    /// for each sample of a block and of the limiter's look-ahead.
    ///
    /// If the stream has such a feed already, the two are made once and are the same bit for bit. If it has none and was
    /// heard before, the feed begins with the state of the room's limiter, and so with what that holds of the stream:
    /// the look-ahead's 5 ms of samples are the room's own, and it stays turned down as far as the room is until the
    /// limiter has recovered, for some tenths of a second after the last peak. From then on it is exact, and without the
    /// limiter from the first sample.
    pub fn mix_minus(
        stream: LeaseId,
        reader: ReaderId,
        (producer, pool): (Producer, &Pool),
        settings: &Settings,
    ) -> Self {
        let line = Line::new(reader, producer, pool, settings.format);
        Self {
            signal: Signal::MixMinus(stream),
            reader,
            makes: Makes::MixMinus(Box::new(MixMinus::new(line, settings))),
        }
    }

    /// A stream alone, into a ring of `pool`. `settings` are the mixer's. Allocates 2 bytes for each sample of a block and of
    /// the limiter's look-ahead.
    pub fn alone(
        stream: LeaseId,
        reader: ReaderId,
        (producer, pool): (Producer, &Pool),
        settings: &Settings,
    ) -> Self {
        let line = Line::new(reader, producer, pool, settings.format);
        Self {
            signal: Signal::Alone(stream),
            reader,
            makes: Makes::Delayed(Box::new(Delayed::new(line, RoomId::MAIN, settings))),
        }
    }

    /// The contribution of a stream to a room, into a ring of `pool`. `settings` are the mixer's. Allocates 2 bytes for each sample of
    /// a block and of the limiter's look-ahead.
    ///
    /// To have the first sample, it is opened by the command that brings the stream into the room:
    /// [`NewInput::track`](super::NewInput::track), [`Command::Move`](super::Command::Move). A track of a room that the
    /// stream is not in is closed at once.
    pub fn track(
        stream: LeaseId,
        room: RoomId,
        reader: ReaderId,
        (producer, pool): (Producer, &Pool),
        settings: &Settings,
    ) -> Self {
        let line = Line::new(reader, producer, pool, settings.format);
        Self {
            signal: Signal::Track { stream, room },
            reader,
            makes: Makes::Delayed(Box::new(Delayed::new(line, room, settings))),
        }
    }

    /// A mixer that is not bound to the clock waits until the feed's own ring has room.
    #[must_use]
    pub fn waited_for(mut self) -> Self {
        if let Some(line) = self.line_mut() {
            line.is_waited_for = true;
        }
        self
    }

    /// `refused` will hold one after the index of the last sample that the feed's own ring had no room for, once that is
    /// closed: a reader then knows how many are missing after the last that came.
    #[must_use]
    pub fn noting_refused(mut self, refused: Arc<AtomicU64>) -> Self {
        if let Some(line) = self.line_mut() {
            line.refused = Some(refused);
        }
        self
    }

    /// Its signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    fn line_mut(&mut self) -> Option<&mut Line> {
        match &mut self.makes {
            Makes::Room => None,
            Makes::RoomLine(room_line) => Some(&mut room_line.line),
            Makes::MixMinus(mix_minus) => mix_minus.lines.first_mut(),
            Makes::Delayed(delayed) => delayed.lines.first_mut(),
        }
    }

    /// Its number, to close it by.
    pub fn id(&self) -> FeedId {
        FeedId {
            signal: self.signal,
            reader: self.reader,
            lease: match &self.makes {
                Makes::Room => None,
                Makes::RoomLine(room_line) => Some(room_line.line.lease),
                Makes::MixMinus(mix_minus) => mix_minus.lines.first_lease(),
                Makes::Delayed(delayed) => delayed.lines.first_lease(),
            },
        }
    }
}
