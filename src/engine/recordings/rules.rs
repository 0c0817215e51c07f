//! Rules: the recordings of a room that begin by themselves or by one command, as its config says.
//!
//! The feed of a stream's track is opened with the very command that brings the stream into the room, so that the first
//! sample is in it; that of a room's mix before the first stream comes. The files are opened afterwards, by a
//! [thread](super::opener) that may wait for a disk: blocks wait in the rings until then.
//!
//! Locks in this order: the rooms, the queue of admissions, a rule, the register or the queue that steers. The recordings
//! are locked without a rule.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    kept::Recorded,
    opener::{Opening, Queue, Reserved},
};
use crate::{
    config::RecordWhen,
    engine::{Admitted, OpenRoom},
    mixer::{self, Feed, FeedId, ReaderId},
    output::{Recorder, Writer},
    queue::{LeaseId, Pool, Producer},
    wire::sidecar::Point,
};

/// The recordings that a room's config asks for.
#[derive(Debug)]
pub(in crate::engine) struct Rule {
    pub(super) when: RecordWhen,
    mixing: mixer::Settings,
    /// Whether the mixer waits for the disk.
    is_waited_for: bool,
    queue: Arc<Queue>,
    /// Recordings that did not begin.
    refused: AtomicU64,
    state: Mutex<State>,
}

/// A rule as it is now.
#[derive(Debug)]
pub(super) struct State {
    /// Whether streams that come are recorded.
    pub(super) on: bool,
    pub(super) mix: Mix,
    /// Since when the room has been seen empty.
    pub(super) empty_since: Option<Instant>,
    to_mix: Option<Way>,
    to_streams: Option<Way>,
}

/// The recording of the room's mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// There is none.
    Off,
    /// Its file is about to be opened.
    Opening,
    /// The recording of this number.
    On(u64),
}

/// Where recordings of a rule go.
#[derive(Debug)]
pub(super) struct Way {
    /// The file, with words in braces.
    pub(super) template: PathBuf,
    pub(super) writer: Arc<Writer>,
    pub(super) reader: ReaderId,
}

/// A recording in its ring, with its feed on the way to the mixer.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) feed: FeedId,
    pub(super) template: PathBuf,
    /// Gone once it is kept.
    pub(super) recorder: Option<Recorder>,
    _reserved: Reserved,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            // Its ring is given back.
            recorder.give_up_waiting();
        }
    }
}

/// The present state of a room's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleState {
    /// `always`, `occupied` or `command`.
    #[schema(value_type = String, example = "always")]
    pub when: RecordWhen,
    /// Whether streams that come into the room are recorded.
    pub on: bool,
    /// Recordings that did not begin: all places were taken, or the file could not be made.
    pub refused: u64,
}

impl State {
    /// The paths of its files, with words in braces.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let ways = [&self.to_mix, &self.to_streams].into_iter().flatten();
        ways.map(|way| way.template.clone()).collect()
    }

    /// Neither streams that come nor the mix are recorded any longer.
    pub(super) fn stop(&mut self) {
        (self.on, self.mix) = (false, Mix::Off);
    }
}

impl Rule {
    pub(super) fn new(
        when: RecordWhen,
        (to_mix, to_streams): (Option<Way>, Option<Way>),
        mixing: mixer::Settings,
        is_waited_for: bool,
        queue: Arc<Queue>,
    ) -> Self {
        Self {
            when,
            mixing,
            is_waited_for,
            queue,
            refused: AtomicU64::new(0),
            state: Mutex::new(State {
                on: when != RecordWhen::Command,
                mix: Mix::Off,
                empty_since: None,
                to_mix,
                to_streams,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more recording did not begin.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.queue.count_refused();
    }

    /// Nothing more begins by it, and it holds no thread that writes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.on = false;
        (state.to_mix, state.to_streams) = (None, None);
    }

    pub(in crate::engine) fn read(&self) -> RuleState {
        RuleState {
            when: self.when,
            on: self.lock().on,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// A recording there, unless all places are taken.
    fn begin(
        &self,
        way: &Way,
        make: impl FnOnce(ReaderId, (Producer, &Pool), &mixer::Settings) -> Feed,
    ) -> Option<(Feed, Begun)> {
        let begun = self.queue.reserve().and_then(|reserved| {
            let make = |ring: (Producer, &Pool)| make(way.reader, ring, &self.mixing);
            let (recorder, feed) = way.writer.record(make).ok()?;
            let begun = Begun {
                feed: feed.id(),
                template: way.template.clone(),
                recorder: Some(recorder),
                _reserved: reserved,
            };
            let feed = if self.is_waited_for {
                feed.waited_for()
            } else {
                feed
            };
            Some((feed, begun))
        });
        if begun.is_none() {
            self.refuse();
        }
        begun
    }
}

/// A room's rule that records, while a stream comes into the room: held until the stream is known to be there.
#[derive(Debug)]
pub(super) struct Coming<'a> {
    room: &'a Arc<OpenRoom>,
    rule: &'a Rule,
    pub(super) state: MutexGuard<'a, State>,
}

impl<'a> Coming<'a> {
    pub(super) fn new(room: &'a Arc<OpenRoom>) -> Option<Self> {
        let rule = room.rule()?;
        let state = rule.lock();
        state.on.then_some(Self { room, rule, state })
    }

    pub(super) fn is_by_command(&self) -> bool {
        self.rule.when == RecordWhen::Command
    }

    pub(super) fn refuse(&self) {
        self.rule.refuse();
    }

    /// The feed of the room's mix, if it is to begin.
    pub(super) fn mix(&self) -> Option<(Feed, Begun)> {
        let way = self.state.to_mix.as_ref()?;
        if self.state.mix != Mix::Off {
            return None;
        }
        self.rule.begin(way, |reader, ring, mixing| {
            Feed::room_ring(self.room.id(), reader, ring, mixing)
        })
    }

    /// The feed of a stream's track.
    pub(super) fn track(&self, stream: LeaseId) -> Option<(Feed, Begun)> {
        let way = self.state.to_streams.as_ref()?;
        self.rule.begin(way, |reader, ring, mixing| {
            Feed::track(stream, self.room.id(), reader, ring, mixing)
        })
    }

    /// The feed of a recording is on its way: its file is to be opened. It is one of the mix, if of no stream.
    pub(super) fn sent(&mut self, begun: Begun, stream: Option<&Arc<Admitted>>) {
        if stream.is_none() {
            self.state.mix = Mix::Opening;
            self.state.empty_since = None;
        }
        let recorded = Recorded {
            room: Arc::clone(self.room),
            stream: stream.map(|stream| (Arc::clone(stream), Point::AfterGain)),
        };
        self.rule.queue.open(Opening { begun, recorded });
    }
}

/// The recordings that begin with the arrival of a stream in a room.
#[derive(Debug)]
pub(in crate::engine) struct Arrival<'a> {
    coming: Option<Coming<'a>>,
    mix: Option<Begun>,
    track: Option<Begun>,
}

impl<'a> Arrival<'a> {
    /// The arrival of this stream, and two feeds to be opened: one of the room's mix, before the stream comes, and one of its
    /// track, with it. Takes a mutex, and allocates.
    pub(in crate::engine) fn new(
        room: &'a Arc<OpenRoom>,
        stream: LeaseId,
    ) -> (Self, Option<Feed>, Option<Feed>) {
        let coming = Coming::new(room);
        let (mix_feed, mix) = coming.as_ref().and_then(Coming::mix).unzip();
        let track = coming.as_ref().and_then(|coming| coming.track(stream));
        let (track_feed, track) = track.unzip();
        let arrival = Self { coming, mix, track };
        (arrival, mix_feed, track_feed)
    }

    /// The stream is there, and its commands are sent. Dropped instead, nothing begins.
    pub(in crate::engine) fn complete(self, stream: &Arc<Admitted>) {
        let Some(mut coming) = self.coming else {
            return;
        };
        if let Some(mix) = self.mix {
            coming.sent(mix, None);
        }
        if let Some(track) = self.track {
            coming.sent(track, Some(stream));
        }
    }
}
