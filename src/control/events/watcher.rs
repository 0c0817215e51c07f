//! Finds the events between two snapshots.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{Events, Subject, What};
use crate::{
    control::sampler::Snapshot,
    engine::{Admitted, Handle, HealthChange, RecordingTotals},
    ledger::{Entry, Network},
};

/// Late ticks are reported no more often than this.
const OVERLOAD_REST: Duration = Duration::from_secs(10);

/// Finds what happened from one snapshot to the next.
#[derive(Debug)]
pub(in crate::control) struct Watcher {
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
    pub(in crate::control) fn new(events: Arc<Events>) -> Self {
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
    pub(in crate::control) fn look(&mut self, snapshot: &Snapshot, handle: &Handle) {
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
            self.events.note_started(admitted);
        }
        self.events.have_started(self.started);
        // Before the ends.
        self.events.note_talking(handle);
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
pub(super) struct Overload {
    /// Late ticks that were reported, and when.
    told: u64,
    told_at: Option<Duration>,
    /// When all of them had been reported.
    quiet_at: Duration,
}

impl Overload {
    /// The text to report when so many ticks were late by now.
    pub(super) fn look(&mut self, now: Duration, late_ticks: u64) -> Option<String> {
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
