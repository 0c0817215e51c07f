//! A bounded log of events: streams that started and ended, first drops, overload, rooms.
//!
//! Events of streams, recordings and the server are found by comparing snapshots, so that nothing that mixes or places
//! audio spends time on them. Those of rooms are the engine's, noted before what happens in the rooms.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::sampler::Snapshot;
use crate::{
    engine::{Admitted, Handle, HealthChange, RecordingState, RecordingTotals, RoomChange},
    ledger::{Entry, Network, SourceKind, named},
};

/// Events that are kept: a start and an end of each of 4000 streams.
const EVENTS_MAX: usize = 8192;

/// Late ticks are reported no more often than this.
const OVERLOAD_REST: Duration = Duration::from_secs(10);

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
    /// The index in the mix, per channel, of a moved stream's first sample in its new room; null for other events, and if
    /// the stream moved on at once.
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
}

/// The latest events.
#[derive(Debug)]
pub(super) struct Events {
    log: Mutex<Log>,
    /// The latest id.
    news: watch::Sender<u64>,
    /// The number of the latest event of a room that is in the log.
    rooms: Mutex<u64>,
}

#[derive(Debug)]
struct Log {
    kept: VecDeque<Arc<Event>>,
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
                next_id,
            }),
            news: watch::Sender::new(next_id - 1),
            rooms: Mutex::new(0),
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
            Subject::Room(name) => (Some(name), None),
        };
        let recording = match (what, subject) {
            (What::RecordingDone, Subject::Recording(recording)) => Some(recording.clone().into()),
            _ => None,
        };
        let mut log = self.lock();
        let id = log.next_id;
        log.next_id += 1;
        if log.kept.len() >= EVENTS_MAX {
            log.kept.pop_front();
        }
        log.kept.push_back(Arc::new(Event {
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

    /// At most so many of those after this id, the oldest first.
    pub(super) fn after(&self, id: u64, max: usize) -> Vec<Arc<Event>> {
        let log = self.lock();
        let first = log.kept.partition_point(|event| event.id <= id);
        log.kept.iter().skip(first).take(max).cloned().collect()
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

/// Finds what happened from one snapshot to the next.
#[derive(Debug)]
pub(super) struct Watcher {
    events: Arc<Events>,
    /// Streams with their start reported.
    started: u64,
    /// Running streams with their first drop reported.
    dropped: BTreeSet<u64>,
    /// Running streams with their burst in the log.
    bursts: BTreeSet<u64>,
    /// The latest change of a stream's health.
    health: u64,
    overload: Overload,
    /// The totals of recordings when they were looked at one by one.
    recorded: RecordingTotals,
    /// Recordings reported as failed, as having lost samples, or as ended.
    failed: BTreeSet<u64>,
    lossy: BTreeSet<u64>,
    ended: BTreeSet<u64>,
}

impl Watcher {
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            started: 0,
            dropped: BTreeSet::new(),
            bursts: BTreeSet::new(),
            health: 0,
            overload: Overload::default(),
            recorded: RecordingTotals::default(),
            failed: BTreeSet::new(),
            lossy: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// Notes what happened since the last look.
    pub(super) fn look(&mut self, snapshot: &Snapshot, handle: &Handle) {
        self.events.note_rooms(handle);
        let begun = |number: u64| (self.started..snapshot.counted_before).contains(&number);
        let mut started: BTreeMap<u64, Arc<Admitted>> = snapshot
            .streams
            .iter()
            .map(|figures| (figures.admitted.number(), Arc::clone(&figures.admitted)))
            .filter(|(number, _)| begun(*number))
            .collect();
        let mut ended: BTreeMap<u64, Arc<Admitted>> = snapshot
            .ended
            .iter()
            .map(|admitted| (admitted.number(), Arc::clone(admitted)))
            .collect();
        let count = snapshot.counted_before - self.started;
        if (started.len() as u64) < count {
            // Some came and went between two snapshots.
            for admitted in handle.ended(count as usize + ended.len()) {
                let number = admitted.number();
                if begun(number) && !started.contains_key(&number) {
                    started.insert(number, Arc::clone(&admitted));
                    ended.insert(number, admitted);
                }
            }
        }
        self.started = snapshot.counted_before;
        for admitted in started.values() {
            let from = admitted.from().to_owned();
            self.note_of(admitted, admitted.at(), What::StreamStarted, from);
        }
        for figures in &snapshot.streams {
            self.look_at_drops(&figures.admitted, &figures.ledger, snapshot.at);
            self.look_at_burst(&figures.admitted, snapshot.at, handle);
        }
        self.look_at_health(handle);
        for (number, admitted) in &ended {
            // Some of it may have been lost since the last look, or all that was.
            let ledger = admitted.account().read();
            self.look_at_drops(admitted, &ledger, snapshot.at);
            self.dropped.remove(number);
            self.look_at_burst(admitted, snapshot.at, handle);
            self.bursts.remove(number);
            let detail = format!(
                "{} samples mixed, {} lost, {} dropped, {} discarded",
                ledger.mixed,
                ledger.lost,
                ledger.dropped(),
                ledger.discarded
            );
            self.note_of(admitted, snapshot.at, What::StreamEnded, detail);
        }
        let late_ticks = snapshot.status.late_ticks;
        if let Some(detail) = self.overload.look(snapshot.at, late_ticks) {
            self.events
                .note(snapshot.at, What::Overload, Subject::Server, detail);
        }
        self.look_at_recordings(snapshot, handle);
    }

    fn look_at_drops(&mut self, admitted: &Admitted, ledger: &Entry, at: Duration) {
        let dropped = ledger.dropped();
        if dropped > 0 && self.dropped.insert(admitted.number()) {
            let detail = format!("{dropped} samples");
            self.note_of(admitted, at, What::FirstDrop, detail);
        }
    }

    fn look_at_health(&mut self, handle: &Handle) {
        for event in handle.health_events(self.health) {
            self.health = event.number;
            let what = match event.change {
                HealthChange::Losing => What::StreamLosing,
                HealthChange::Recovered => What::StreamRecovered,
                HealthChange::Stalled => What::StreamStalled,
                HealthChange::Resumed => What::StreamResumed,
            };
            self.note_of(&event.stream, event.at, what, event.detail);
        }
    }

    fn look_at_burst(&mut self, admitted: &Admitted, at: Duration, handle: &Handle) {
        let network = admitted.account().network();
        let samples = network.map_or(0, Network::burst_discarded);
        if samples > 0 && self.bursts.insert(admitted.number()) {
            let format = handle.settings().format;
            let length = format.duration_of(samples / u64::from(format.channels()));
            let detail = format!(
                "{:.2} s discarded, {samples} samples: they came faster than they play",
                length.as_secs_f64()
            );
            self.note_of(admitted, at, What::StreamBurstDiscarded, detail);
        }
    }

    /// One by one only if any of them failed, lost samples or ended since they were looked at.
    fn look_at_recordings(&mut self, snapshot: &Snapshot, handle: &Handle) {
        let totals = handle.recording_totals();
        let changing =
            |totals: &RecordingTotals| (totals.failed, totals.lost_samples, totals.ended);
        if changing(&totals) == changing(&self.recorded) {
            return;
        }
        self.recorded = totals;
        let recordings = handle.recordings();
        // Recordings forgotten there need not be known here.
        let oldest = recordings.first().map_or(0, |recording| recording.id);
        self.failed.retain(|&id| id >= oldest);
        self.lossy.retain(|&id| id >= oldest);
        self.ended.retain(|&id| id >= oldest);
        for recording in recordings {
            let subject = Subject::Recording(&recording);
            if recording.has_ended() && self.ended.insert(recording.id) {
                let (samples, files) = (recording.samples, recording.segment);
                let files = if files == 1 { "file" } else { "files" };
                let detail = format!("{samples} samples in {} {files}", recording.segment);
                self.events
                    .note(snapshot.at, What::RecordingDone, subject, detail);
            }
            let detail = match &recording.error {
                Some(error) if self.failed.insert(recording.id) => error.clone(),
                None if recording.lost_samples > 0 && self.lossy.insert(recording.id) => {
                    format!(
                        "the disk was too slow for {} samples",
                        recording.lost_samples
                    )
                }
                _ => continue,
            };
            self.events
                .note(snapshot.at, What::RecordingError, subject, detail);
        }
    }

    fn note_of(&self, admitted: &Admitted, at: Duration, what: What, detail: String) {
        self.events
            .note(at, what, Subject::Stream(admitted), detail);
    }
}

/// Late ticks, some at a time.
#[derive(Debug, Default)]
struct Overload {
    /// Late ticks that were reported, and when.
    told: u64,
    told_at: Option<Duration>,
    /// When all of them had been reported.
    quiet_at: Duration,
}

impl Overload {
    /// The text to report when so many ticks were late by now.
    fn look(&mut self, now: Duration, late_ticks: u64) -> Option<String> {
        let late = late_ticks.saturating_sub(self.told);
        let rested = self
            .told_at
            .is_none_or(|before| now.saturating_sub(before) >= OVERLOAD_REST);
        let since = now.saturating_sub(self.quiet_at);
        if late == 0 {
            self.quiet_at = now;
        }
        if late == 0 || !rested {
            return None;
        }
        *self = Self {
            told: late_ticks,
            told_at: Some(now),
            quiet_at: now,
        };
        Some(format!(
            "{late} tick{} in the last {:.1} s began after the next was due",
            if late == 1 { "" } else { "s" },
            since.as_secs_f64()
        ))
    }
}

#[cfg(test)]
mod tests;
