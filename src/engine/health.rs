//! The health of streams: whether they lose audio, and whether their packets come. It is watched here alone, for
//! the log and for the API's events. Passive: figures and time are arguments.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Admitted, Handle, StreamFigures};
use crate::ledger::{Entry, rate};

/// A stream is stalled after so long a silence.
pub const STALL: Duration = Duration::from_secs(2);

/// From look to look at all streams, at least.
const LOOK_PERIOD: Duration = Duration::from_millis(90);

/// Changes that are kept for readers that are late.
const CHANGES_MAX: usize = 4096;

/// From figure to figure of a window, and by how much less it may be: looks are not on time.
const STEP: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(50);

/// Over this time a stream begins to lose audio, at this rate or more.
const LOSING: (usize, f64) = (5, 0.03);

/// Over this time it has recovered, at this rate or less.
const RECOVERED: (usize, f64) = (10, 0.01);

/// A change of a stream's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// 3 % or more of its audio is missing over 5 s.
    Losing,
    /// No more than 1 % of it is, over 10 s.
    Recovered,
    /// Nothing came for 2 s, and nothing of it waits to be played.
    Stalled,
    /// Packets come again.
    Resumed,
}

/// How long a stream has been silent, with a last packet so old: a sender that is ahead of its playout is not
/// silent while audio of it waits in the ring.
pub fn silence(ledger: &Entry, last_packet_age: Option<Duration>) -> Duration {
    match last_packet_age {
        Some(age) if ledger.in_ring == 0 => age,
        _ => Duration::ZERO,
    }
}

/// A change of the health of a stream that ran then.
#[derive(Debug, Clone)]
pub struct HealthEvent {
    /// How many there were with it.
    pub number: u64,
    /// Since the start of the server.
    pub at: Duration,
    /// The stream.
    pub stream: Arc<Admitted>,
    /// The change.
    pub change: HealthChange,
    /// Figures, for people.
    pub detail: String,
}

/// The health of all streams that run.
#[derive(Debug, Default)]
pub(super) struct HealthWatch {
    streams: BTreeMap<u64, Health>,
    looked_at: Option<Duration>,
    changes: VecDeque<HealthEvent>,
    count: u64,
}

impl HealthWatch {
    fn look(&mut self, running: &[Arc<Admitted>], at: Duration) {
        if self
            .looked_at
            .is_some_and(|before| at < before + LOOK_PERIOD)
        {
            return;
        }
        self.looked_at = Some(at);
        let mut known = std::mem::take(&mut self.streams);
        for stream in running {
            let figures = StreamFigures::read(stream);
            let mut health = known.remove(&stream.number()).unwrap_or_default();
            let changes = health.look(at, &figures.ledger, figures.last_packet_age());
            for (change, detail) in changes.into_iter().flatten() {
                self.count += 1;
                self.changes.push_back(HealthEvent {
                    number: self.count,
                    at,
                    stream: Arc::clone(stream),
                    change,
                    detail,
                });
            }
            self.streams.insert(stream.number(), health);
        }
        let over = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..over);
    }
}

impl Handle {
    /// Changes of streams' health after the `seen`th, the latest 4096: any caller, ten times a second or once, has
    /// all streams looked at. Takes mutexes, and allocates.
    pub fn health_events(&self, seen: u64) -> Vec<HealthEvent> {
        let running = self.running();
        let mut watch = self.shared().health();
        watch.look(&running, self.uptime());
        let news = watch.changes.iter().filter(|event| event.number > seen);
        news.cloned().collect()
    }
}

/// The figures of a stream's last seconds. Takes less than 400 bytes.
#[derive(Debug, Default)]
struct Health {
    /// Missing and sent samples, one second apart, the latest last. No more than a window and one.
    seconds: VecDeque<(u64, u64)>,
    /// When the latest of them was taken.
    taken_at: Option<Duration>,
    losing: bool,
    /// Whether it was silent for long at the last look.
    silent: bool,
    stalled: bool,
}

impl Health {
    /// Looks at the figures of now, ten times a second or once. Returns each change with its text.
    fn look(
        &mut self,
        at: Duration,
        ledger: &Entry,
        last_packet_age: Option<Duration>,
    ) -> [Option<(HealthChange, String)>; 2] {
        [
            self.look_at_losses(at, ledger),
            self.look_at_silence(silence(ledger, last_packet_age)),
        ]
    }

    fn look_at_losses(&mut self, at: Duration, ledger: &Entry) -> Option<(HealthChange, String)> {
        if self.taken_at.is_some_and(|taken| at + SLACK < taken + STEP) {
            return None;
        }
        self.taken_at = Some(at);
        if self.seconds.len() > RECOVERED.0 {
            self.seconds.pop_front();
        }
        self.seconds.push_back((ledger.missing(), ledger.sent()));
        let (window, what) = if self.losing {
            (RECOVERED, HealthChange::Recovered)
        } else {
            (LOSING, HealthChange::Losing)
        };
        let missing = self.missing_rate(window.0)?;
        let changes = if self.losing {
            missing <= window.1
        } else {
            missing >= window.1
        };
        if !changes {
            return None;
        }
        self.losing = !self.losing;
        let detail = format!(
            "{:.1} % of its audio is missing in the last {} s",
            100.0 * missing,
            window.0
        );
        Some((what, detail))
    }

    /// Over the last seconds; none before there are so many, or where nothing was sent.
    fn missing_rate(&self, seconds: usize) -> Option<f64> {
        let first = self.seconds.len().checked_sub(seconds + 1)?;
        let ((missing_before, sent_before), (missing, sent)) =
            (self.seconds[first], *self.seconds.back()?);
        // Packets that came after all take back what was missing.
        let (missing, sent) = (
            missing.saturating_sub(missing_before),
            sent.saturating_sub(sent_before),
        );
        (sent > 0).then(|| rate(missing, sent))
    }

    fn look_at_silence(&mut self, silence: Duration) -> Option<(HealthChange, String)> {
        // A stream that has just played its last is gone at the next look.
        let silent = silence >= STALL;
        let before = std::mem::replace(&mut self.silent, silent);
        let stalled = silent && before;
        if stalled == self.stalled {
            return None;
        }
        self.stalled = stalled;
        Some(if stalled {
            let detail = format!("no packet for {:.1} s", silence.as_secs_f64());
            (HealthChange::Stalled, detail)
        } else {
            (HealthChange::Resumed, "packets come again".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Account, os::now_ns};

    /// Looks every 100 ms for some seconds, in each of which so many samples are offered and lost.
    fn pass(
        health: &mut Health,
        (at, ledger): &mut (Duration, Entry),
        seconds: u64,
        offered: u64,
        lost: u64,
    ) -> Vec<(u64, HealthChange)> {
        let mut changes = Vec::new();
        for _ in 0..10 * seconds {
            let [change, _] = health.look(*at, ledger, None);
            changes.extend(change.map(|(what, _)| (at.as_secs(), what)));
            *at += Duration::from_millis(100);
            ledger.offered += offered / 10;
            ledger.lost += lost / 10;
        }
        changes
    }

    #[test]
    fn a_stream_loses_at_three_and_recovers_at_one_percent() {
        let (mut health, mut now) = (Health::default(), Default::default());
        assert_eq!(pass(&mut health, &mut now, 10, 7_800, 200), []);
        // A fifth is lost: after one second it is 4 % of five.
        let losing = pass(&mut health, &mut now, 20, 6_400, 1_600);
        assert_eq!(losing, [(11, HealthChange::Losing)]);
        // 1.6 % in ten seconds is no recovery; none at all is.
        assert_eq!(pass(&mut health, &mut now, 30, 7_870, 130), []);
        let recovered = pass(&mut health, &mut now, 20, 8_000, 0);
        assert_eq!(recovered, [(64, HealthChange::Recovered)]);
    }

    #[test]
    fn a_pause_is_no_loss_and_no_recovery() {
        let (mut health, mut now) = (Health::default(), Default::default());
        pass(&mut health, &mut now, 10, 6_400, 1_600);
        // While nothing is sent nothing is known.
        assert_eq!(pass(&mut health, &mut now, 60, 0, 0), []);
        let recovered = pass(&mut health, &mut now, 20, 8_000, 0);
        assert_eq!(recovered.len(), 1);
    }

    #[test]
    fn looks_that_are_a_little_early_leave_no_second_out() {
        let (mut health, mut ledger) = (Health::default(), Entry::default());
        let mut changes = Vec::new();
        // Once a second, less a millisecond now and then.
        for second in 0..8 {
            let at = Duration::from_millis(1_000 * second - second % 2);
            let [change, _] = health.look(at, &ledger, None);
            changes.extend(change.map(|(what, _)| (second, what)));
            ledger.offered += 6_400;
            ledger.lost += 1_600;
        }
        assert_eq!(changes, [(5, HealthChange::Losing)]);
    }

    #[test]
    fn a_sender_ahead_of_its_playout_is_not_stalled() {
        let mut health = Health::default();
        let mut changes = Vec::new();
        // A file that came at once plays for a minute; then nothing more comes.
        for (second, in_ring) in [(1, 480_000), (30, 240_000), (59, 8_000), (61, 0), (62, 0)] {
            let ledger = Entry {
                in_ring,
                ..Entry::default()
            };
            let age = Duration::from_secs(second);
            let [_, change] = health.look(age, &ledger, Some(age));
            changes.extend(change.map(|(what, _)| (second, what)));
        }
        assert_eq!(changes, [(62, HealthChange::Stalled)]);
    }

    #[test]
    fn a_stream_without_packets_stalls_once_and_resumes_once() {
        let mut health = Health::default();
        let mut changes = Vec::new();
        for age_ms in [20, 1_900, 2_000, 2_100, 9_000, 10, 20] {
            let age = Some(Duration::from_millis(age_ms));
            let [_, change] = health.look(Duration::ZERO, &Entry::default(), age);
            changes.extend(change);
        }
        assert_eq!(
            changes,
            [
                (HealthChange::Stalled, "no packet for 2.1 s".to_owned()),
                (HealthChange::Resumed, "packets come again".to_owned())
            ]
        );
    }

    #[test]
    fn looks_of_many_readers_find_a_change_once() {
        let account = Arc::new(Account::with_network("a", 0));
        let network = account.network().unwrap();
        network.set_last_packet(now_ns().saturating_sub(5_000_000_000).max(1));
        let running = [Arc::new(Admitted::for_test(Arc::clone(&account), 0))];
        let mut watch = HealthWatch::default();
        for at_ms in [0, 10, 20] {
            watch.look(&running, Duration::from_millis(at_ms));
        }
        assert!(watch.changes.is_empty(), "one look is no two");
        for at_ms in [100, 110, 200, 1_200] {
            watch.look(&running, Duration::from_millis(at_ms));
        }
        let changes: Vec<_> = watch.changes.iter().map(|event| event.change).collect();
        assert_eq!(changes, [HealthChange::Stalled]);
        assert_eq!(watch.changes[0].at, Duration::from_millis(100));
        watch.look(&[], Duration::from_secs(2));
        assert!(watch.streams.is_empty());
    }
}
