//! A bounded log of events: streams that started and ended, first drops, overload, rooms; and beside it one of talking,
//! as there may be hundreds of those a second.
//!
//! Events of streams, recordings and the server are found by comparing snapshots, so that nothing that mixes or places
//! audio spends time on them. Those of rooms and of talking are the engine's: of rooms noted before what happens in them,
//! of talking after each tick.

mod watcher;

use std::{
    collections::{BTreeSet, VecDeque},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

pub(super) use self::watcher::Watcher;
use crate::{
    cluster::{Alignment, Event as ClusterEvent},
    engine::{Admitted, Handle, RecordingState, RoomChange},
    ledger::{SourceKind, named},
    mixer::RoomId,
};

/// Events that are kept of each log: a start and an end of each of 4000 streams.
const EVENTS_MAX: usize = 8192;

named! {
    /// The kind of an event.
    #[derive(Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    What {
        /// A stream was admitted.
        StreamStarted = "stream_started",
        /// A stream ended; its ledger is final.
        StreamEnded = "stream_ended",
        /// A stream lost samples for the first time.
        FirstDrop = "first_drop",
        /// Audio came faster than it plays, and was discarded; once a stream.
        StreamBurstDiscarded = "stream_burst_discarded",
        /// Much of its audio is lost or dropped: 3 % in 5 s.
        StreamLosing = "stream_losing",
        /// No more than 1 % of it was in 10 s.
        StreamRecovered = "stream_recovered",
        /// It comes over a network, and nothing came for 2 s.
        StreamStalled = "stream_stalled",
        /// Packets come again.
        StreamResumed = "stream_resumed",
        /// Ticks began after the next was due.
        Overload = "overload",
        /// A recording failed to take what it should.
        RecordingError = "recording_error",
        /// A recording ended, and the disk has its last file: its facts are in `recording`.
        RecordingDone = "recording_done",
        /// A room was opened.
        RoomOpened = "room_opened",
        /// A room was closed.
        RoomClosed = "room_closed",
        /// A stream moved into another room, the name of which is the detail.
        StreamMoved = "stream_moved",
        /// A stream began to talk; the detail is the name of its room.
        TalkingStarted = "talking_started",
        /// It talks no more.
        TalkingStopped = "talking_stopped",
        /// A node of the cluster is taken in.
        NodeUp = "node_up",
        /// No part of a node comes any more.
        NodeDown = "node_down",
        /// A node has left, or does not come back.
        NodeLeft = "node_left",
        /// A node is refused, as its clock is off.
        NodeRefused = "node_refused",
        /// This node has joined the cluster.
        ClusterJoined = "cluster_joined",
        /// This node goes on alone; the detail says why.
        ClusterAlone = "cluster_alone",
        /// A room's blocks are others than on a node.
        RoomDiffers = "room_differs",
        /// They are the same again.
        RoomSame = "room_same",
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Event {
    /// Ids only grow, from one run of the server to the next, too.
    pub(super) id: u64,
    /// Since the start of the server.
    pub(super) at_s: f64,
    #[serde(rename = "event")]
    pub(super) what: What,
    /// The stream that it happened to, the recording or the room.
    pub(super) name: Option<String>,
    /// The kind of the stream's source; null for other events.
    pub(super) kind: Option<SourceKind>,
    /// For people.
    pub(super) detail: String,
    /// The index in the mix, per channel: of a moved stream's first sample in its new room; of the first sample of the block
    /// with which talking began or ended. Null for other events, and if the stream moved on at once.
    pub(super) sample: Option<u64>,
    /// The recording that ended, and the facts of its last file; null for other events.
    pub(super) recording: Option<Box<RecordingState>>,
}

/// The subject of an event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    Server,
    Stream(&'a Admitted),
    Recording(&'a RecordingState),
    Room(&'a str),
    Node(&'a str),
}

/// The latest events.
#[derive(Debug)]
pub(super) struct Events {
    log: Mutex<Log>,
    /// The latest id.
    news: watch::Sender<u64>,
    /// The number of the latest event of a room that is in the log.
    rooms: Mutex<u64>,
    /// The same of talking.
    talking: Mutex<u64>,
    /// The same of the cluster.
    cluster: Mutex<u64>,
    started: Mutex<Started>,
}

/// The streams with their start in the log.
#[derive(Debug, Default)]
struct Started {
    /// All before this number.
    before: u64,
    /// And those that talked before a snapshot had them.
    early: BTreeSet<u64>,
}

#[derive(Debug)]
struct Log {
    kept: VecDeque<Arc<Event>>,
    /// Those of talking.
    talking: VecDeque<Arc<Event>>,
    next_id: u64,
}

impl Events {
    /// An empty log. Its first id lies beyond those of a log that began a second before, unless that had
    /// a million of them.
    pub(super) fn new(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let next_id = since.unwrap_or_default().as_secs() << 20 | 1;
        Self {
            log: Mutex::new(Log {
                kept: VecDeque::new(),
                talking: VecDeque::new(),
                next_id,
            }),
            news: watch::Sender::new(next_id - 1),
            rooms: Mutex::new(0),
            talking: Mutex::new(0),
            started: Mutex::default(),
            cluster: Mutex::new(0),
        }
    }

    /// Adds one; forgets the oldest if there are too many.
    pub(super) fn note(&self, at: Duration, what: What, subject: Subject<'_>, detail: String) {
        self.note_at(at, what, subject, detail, None);
    }

    /// The same of an event that has its place in the mix.
    fn note_at(
        &self,
        at: Duration,
        what: What,
        subject: Subject<'_>,
        detail: String,
        sample: Option<u64>,
    ) {
        let (name, kind) = match subject {
            Subject::Server => (None, None),
            Subject::Stream(stream) => (Some(stream.id()), Some(stream.kind())),
            Subject::Recording(recording) => (Some(&*recording.name), None),
            Subject::Room(name) | Subject::Node(name) => (Some(name), None),
        };
        let recording = match (what, subject) {
            (What::RecordingDone, Subject::Recording(recording)) => Some(recording.clone().into()),
            _ => None,
        };
        let mut log = self.lock();
        let id = log.next_id;
        log.next_id += 1;
        let kept = match what {
            What::TalkingStarted | What::TalkingStopped => &mut log.talking,
            _ => &mut log.kept,
        };
        if kept.len() >= EVENTS_MAX {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Event {
            id,
            at_s: at.as_secs_f64(),
            what,
            name: name.map(str::to_owned),
            kind,
            detail,
            sample,
            recording,
        }));
        drop(log);
        self.news.send_replace(id);
    }

    /// Notes the rooms that opened and closed since the last call, and the streams that moved: before anything is noted that
    /// happens in the rooms.
    pub(super) fn note_rooms(&self, handle: &Handle) {
        let mut seen = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for event in handle.room_events(*seen) {
            let name = event.room.name();
            let (what, subject, detail, sample) = match &event.change {
                RoomChange::Opened => (What::RoomOpened, Subject::Room(name), "room opened", None),
                RoomChange::Closed => (What::RoomClosed, Subject::Room(name), "room closed", None),
                RoomChange::Entered { stream, sample } => {
                    (What::StreamMoved, Subject::Stream(stream), name, *sample)
                }
            };
            self.note_at(event.at, what, subject, detail.to_owned(), sample);
            *seen = event.number;
        }
    }

    /// Notes the streams that began or ended talking since the last call. Their starts come before.
    pub(super) fn note_talking(&self, handle: &Handle) {
        let mut seen = self.talking.lock().unwrap_or_else(PoisonError::into_inner);
        let events = handle.talking_events(*seen);
        if events.is_empty() {
            return;
        }
        self.note_rooms(handle);
        for event in events {
            let what = if event.is_talking {
                What::TalkingStarted
            } else {
                What::TalkingStopped
            };
            self.note_started(&event.stream);
            let room = event.stream.room().name().to_owned();
            let subject = Subject::Stream(&event.stream);
            self.note_at(event.at, what, subject, room, Some(event.sample));
            *seen = event.number;
        }
    }

    /// Notes that a stream was admitted, unless it is in the log.
    fn note_started(&self, stream: &Admitted) {
        let mut started = self.lock_started();
        if stream.number() >= started.before && started.early.insert(stream.number()) {
            let (subject, from) = (Subject::Stream(stream), stream.from().to_owned());
            self.note(stream.at(), What::StreamStarted, subject, from);
        }
    }

    /// All streams before this number are in the log.
    fn have_started(&self, before: u64) {
        let mut started = self.lock_started();
        started.before = before;
        started.early = started.early.split_off(&before);
    }

    fn lock_started(&self) -> MutexGuard<'_, Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the news of the cluster since the last call.
    pub(super) fn note_cluster(&self, handle: &Handle) {
        let Some(face) = handle.cluster() else {
            return;
        };
        let mut seen = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        for news in face.news(*seen) {
            *seen = news.number;
            self.note_news(handle, &news.event);
        }
    }

    fn note_news(&self, handle: &Handle, news: &ClusterEvent) {
        let rooms = handle.rooms();
        let room = |id: RoomId| {
            let found = rooms.iter().find(|room| room.id() == id);
            found.map_or("a closed room", |room| room.name())
        };
        let at = handle.uptime();
        let (what, subject, detail) = match news {
            ClusterEvent::Alignment { alignment, .. } => match alignment {
                Alignment::Aligned => (What::ClusterJoined, Subject::Server, String::new()),
                Alignment::Alone(off) => (What::ClusterAlone, Subject::Server, off.to_string()),
                Alignment::Idle | Alignment::Listening => return,
            },
            ClusterEvent::NodeUp { node, block, .. } => (
                What::NodeUp,
                Subject::Node(node),
                format!("from block {block} on"),
            ),
            ClusterEvent::NodeDown {
                node,
                rooms: down,
                streams,
                last_block,
            } => {
                let names: Vec<_> = down.iter().map(|&id| room(id)).collect();
                let names = names.join(", ");
                let detail = format!("{streams} streams of {names}, last block {last_block}");
                (What::NodeDown, Subject::Node(node), detail)
            }
            ClusterEvent::NodeGone { node } => (What::NodeLeft, Subject::Node(node), String::new()),
            ClusterEvent::NodeOff { node, ahead_ns } => {
                let detail = format!("its clock is off by {:.1} ms", *ahead_ns as f64 / 1e6);
                (What::NodeRefused, Subject::Node(node), detail)
            }
            ClusterEvent::Differs {
                room: id,
                node,
                block,
            } => {
                let detail = format!("from node {node} since block {block}");
                (What::RoomDiffers, Subject::Room(room(*id)), detail)
            }
            ClusterEvent::Same {
                room: id,
                node,
                block,
            } => {
                let detail = format!("as on node {node} since block {block}");
                (What::RoomSame, Subject::Room(room(*id)), detail)
            }
            // It is in the sidecars, and in the accounts.
            ClusterEvent::Missing { .. } => return,
        };
        self.note(at, what, subject, detail);
    }

    /// At most so many of those after this id, the oldest first.
    pub(super) fn after(&self, id: u64, max: usize) -> Vec<Arc<Event>> {
        let log = self.lock();
        let after = |kept: &VecDeque<Arc<Event>>| {
            let first = kept.partition_point(|event| event.id <= id);
            let events: Vec<_> = kept.iter().skip(first).take(max).cloned().collect();
            events
        };
        let mut events = [after(&log.kept), after(&log.talking)].concat();
        events.sort_unstable_by_key(|event| event.id);
        events.truncate(max);
        events
    }

    /// The latest with these ids but for those of talking, at most so many, the oldest first.
    pub(super) fn beside_talking(&self, ids: RangeInclusive<u64>, max: usize) -> Vec<Arc<Event>> {
        let log = self.lock();
        let first = log.kept.partition_point(|event| event.id < *ids.start());
        let end = log.kept.partition_point(|event| event.id <= *ids.end());
        let first = first.max(end.saturating_sub(max));
        log.kept.iter().take(end).skip(first).cloned().collect()
    }

    /// The id of the latest.
    pub(super) fn latest(&self) -> u64 {
        *self.news.borrow()
    }

    /// Announces news: the latest id.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
