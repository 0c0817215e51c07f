//! The commands to the mixer, taken between ticks.

use std::sync::Arc;

use super::{ChannelStrip, Feed, FeedId, Limiting, MixRing, ReaderId, Room, RoomId, Settings};
use crate::{
    audio::{Gain, TalkingRule},
    ledger::Account,
    queue::{LeaseId, Pool, Producer},
};

/// A command to the mixer, taken between ticks.
#[derive(Debug)]
pub enum Command {
    /// A stream comes.
    Admit(NewInput),
    /// A reader thread gets a message each tick from now on.
    OpenReader(ReaderId, Box<MixRing>),
    /// It gets no more: the rooms that it hears end with the samples before the next tick, and its ring is closed once
    /// they are sent. Feeds with rings of their own are closed by commands of their own, before.
    CloseReader(ReaderId),
    /// Opens a feed to a reader that is open.
    OpenFeed(Feed),
    /// Closes it: its last samples are those before the next tick.
    CloseFeed(FeedId),
    /// The stream's gain from now on. Like the next two, it takes 20 ms to be in force, in a straight
    /// line from the gain that is, unless the stream has given nothing yet.
    SetGain(LeaseId, Gain),
    /// Whether the stream is consumed without being heard.
    SetMuted(LeaseId, bool),
    /// Whether the stream is solo: while any is, those that are not are consumed without being heard.
    SetSolo(LeaseId, bool),
    /// Opens a room, unless there is one in its place.
    OpenRoom(Box<Room>),
    /// The gain of a room's sum, and of its mix-minuses, before the limiter. It takes 20 ms to be in force, in a straight
    /// line from the gain that is, unless the room has made no block yet. Nothing happens if there is no such room.
    SetRoomGain(RoomId, Gain),
    /// How sums of a room and of its mix-minuses beyond 16 bits become samples. From the next tick on, over 20 ms, more and
    /// more of what is beyond is cut, or less and less; at once if the room has made no block yet. Samples in the
    /// look-ahead stay as they are, and a limiter that is switched off recovers over its release: from then on sums are
    /// cut and no more. Nothing happens if there is no such room.
    SetLimiting(RoomId, Limiting),
    /// When streams of a room talk, from the next tick on. Nothing happens if there is no such room.
    SetTalking(RoomId, TalkingRule),
    /// Closes a room once the last stream and the last reader have left it. Streams that come for it after that are in
    /// `main`, which is never closed.
    CloseRoom(RoomId),
    /// The stream is in another room from the next tick on: with a cross-fade of 20 ms, in which it adds to both and counts
    /// in the new one, or at once. Its mix-minus is the new room's from the next frame on; it is no longer solo. A second
    /// move ends the fade of the first. Nothing happens if it is there already, or if there is no such room.
    Move {
        /// The stream.
        stream: LeaseId,
        /// Its new room.
        to: RoomId,
        /// Whether it fades.
        fade: bool,
        /// Its [track](Feed::track) of the new room, from the first sample on. Closed at once if it does not come to be
        /// there.
        track: Option<Feed>,
    },
    /// Ends the stream: it goes to silence in 20 ms if it plays; frames that then wait in its ring, or
    /// still come, are discarded and counted. It takes no more commands, and is over when its producer
    /// closes. The mixer cannot close it: the owner of the producer is notified by other means.
    End(LeaseId),
}

/// A stream to be [admitted](Command::Admit). The caller allocates all it needs, not the
/// mixer.
#[derive(Debug)]
pub struct NewInput {
    pub(super) lease: LeaseId,
    pub(super) account: Arc<Account>,
    pub(super) gain: Gain,
    pub(super) muted: bool,
    pub(super) source: Option<u32>,
    pub(super) room: RoomId,
    /// The mix-minus and the track that it begins with.
    pub(super) feeds: [Option<Feed>; 2],
    pub(super) channel_strip: Arc<ChannelStrip>,
}

impl NewInput {
    /// A stream with its frames in this lease's ring and its samples in this account: at unity
    /// gain in `main`, without a name or a feed.
    pub fn new(lease: LeaseId, account: Arc<Account>) -> Self {
        Self {
            lease,
            account,
            gain: Gain::UNITY,
            muted: false,
            source: None,
            room: RoomId::MAIN,
            feeds: [None, None],
            channel_strip: Arc::default(),
        }
    }

    /// The mixer's state of the stream, for any thread, for as long as that keeps it.
    pub fn channel_strip(&self) -> Arc<ChannelStrip> {
        Arc::clone(&self.channel_strip)
    }

    /// Applied to each sample before it is added.
    #[must_use]
    pub fn gain(self, gain: Gain) -> Self {
        self.channel_strip.set_gain(gain);
        Self { gain, ..self }
    }

    /// Whether it is muted from its first sample on, without a way there.
    #[must_use]
    pub fn muted(self, muted: bool) -> Self {
        self.channel_strip.set_muted(muted);
        Self { muted, ..self }
    }

    /// The room that it is in from its first block on: `main`, if it has none or that is not open.
    #[must_use]
    pub fn room(self, room: RoomId) -> Self {
        Self { room, ..self }
    }

    /// How the mix names it as a contributor ([`Block::contributors`](super::Block::contributors)): an RTP source
    /// number, or one like it.
    #[must_use]
    pub fn source(self, source: u32) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    /// A feed of the mix without this stream, from its first block on: see [`Feed::mix_minus`].
    #[must_use]
    pub fn mix_minus(self, reader: ReaderId, ring: (Producer, &Pool), settings: &Settings) -> Self {
        let mix_minus = Some(Feed::mix_minus(self.lease, reader, ring, settings));
        let [_, track] = self.feeds;
        Self {
            feeds: [mix_minus, track],
            ..self
        }
    }

    /// Its [track](Feed::track) of the room that it is in, from its admission on.
    #[must_use]
    pub fn track(self, track: Feed) -> Self {
        let [mix_minus, _] = self.feeds;
        Self {
            feeds: [mix_minus, Some(track)],
            ..self
        }
    }
}
