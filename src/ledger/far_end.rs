//! The far end's view of the mix that goes back to it: its last RTCP report.
//!
//! One thread writes, any reads; nothing locks, allocates or enters the kernel.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

/// The figures of the last report of the mix's receiver.
#[derive(Debug, Default)]
pub struct FarEnd {
    /// Whether it reported.
    known: AtomicBool,
    lost: AtomicI64,
    /// In 256ths.
    lost_of_256: AtomicU64,
    jitter_ns: AtomicU64,
    /// `u64::MAX` if it is not known.
    round_trip_ns: AtomicU64,
}

/// The figures of a receiver of the mix that goes back, by its last report.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FarEndEntry {
    /// Packets that it lost since the beginning; below zero if some came twice.
    pub lost: i64,
    /// The share of packets that it lost since its report before: 0 to 1.
    pub loss_rate: f64,
    /// Interarrival jitter there.
    pub jitter: Duration,
    /// From here to there and back; none before it knows of a report of ours.
    pub round_trip: Option<Duration>,
}

impl FarEnd {
    /// It reported this: packets lost since the beginning and, of 256, since its last report; the jitter there, and the
    /// round trip if that is known.
    pub fn set(&self, lost: i32, lost_of_256: u8, jitter: Duration, round_trip: Option<Duration>) {
        let round_trip_ns = round_trip.map_or(u64::MAX, |time| time.as_nanos() as u64);
        self.lost.store(lost.into(), Ordering::Relaxed);
        for (figure, value) in [
            (&self.lost_of_256, u64::from(lost_of_256)),
            (&self.jitter_ns, jitter.as_nanos() as u64),
            (&self.round_trip_ns, round_trip_ns),
        ] {
            figure.store(value, Ordering::Relaxed);
        }
        self.known.store(true, Ordering::Relaxed);
    }

    /// Its figures as they stand.
    pub(super) fn read(&self) -> Option<FarEndEntry> {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let known = self.known.load(Ordering::Relaxed);
        known.then(|| FarEndEntry {
            lost: self.lost.load(Ordering::Relaxed),
            loss_rate: load(&self.lost_of_256) as f64 / 256.0,
            jitter: Duration::from_nanos(load(&self.jitter_ns)),
            round_trip: match load(&self.round_trip_ns) {
                u64::MAX => None,
                ns => Some(Duration::from_nanos(ns)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_report() {
        let far_end = FarEnd::default();
        assert_eq!(far_end.read(), None);
        let jitter = Duration::from_millis(3);
        far_end.set(-2, 64, jitter, None);
        let entry = far_end.read().unwrap();
        assert_eq!((entry.lost, entry.loss_rate), (-2, 0.25));
        assert_eq!((entry.jitter, entry.round_trip), (jitter, None));
        far_end.set(0, 0, jitter, Some(jitter));
        assert_eq!(far_end.read().unwrap().round_trip, Some(jitter));
    }
}
