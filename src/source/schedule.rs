//! When the frames of a live stream are due: absolute deadlines, so that nothing drifts.

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// The deadlines of one stream's frames, as times since its thread began.
#[derive(Debug, Clone)]
pub struct Schedule {
    phase: Duration,
    /// Seconds from frame to frame, by the stream's own clock.
    period_s: f64,
    jitter: Duration,
    frame: u64,
    last: Duration,
    rng: Xoshiro256PlusPlus,
}

/// How a live stream's clock differs from a perfect one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Imperfection {
    /// Each stream's clock runs fast or slow by at most this, parts per million.
    pub rate_skew_ppm: f64,
    /// Each frame comes late by at most this.
    pub jitter: Duration,
}

impl Schedule {
    /// Frames of `ptime`, the first one at `phase`. The stream's skew and each frame's jitter are
    /// drawn evenly within their bounds, from `seed`: equal seeds yield equal deadlines.
    pub fn new(ptime: Duration, phase: Duration, imperfection: Imperfection, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let ppm = imperfection.rate_skew_ppm.abs();
        let skew = if ppm > 0.0 {
            rng.random_range(-ppm..=ppm)
        } else {
            0.0
        };
        Self {
            phase,
            period_s: ptime.as_secs_f64() / (1.0 + skew / 1e6),
            jitter: imperfection.jitter,
            frame: 0,
            last: Duration::ZERO,
            rng,
        }
    }

    /// When the next frame is due. Computed from the frame's number, never from the last deadline;
    /// jitter never changes the order of frames.
    pub(crate) fn next_deadline(&mut self) -> Duration {
        // 53 bits hold a century in steps of a microsecond.
        let due = self.phase + Duration::from_secs_f64(self.frame as f64 * self.period_s);
        self.frame += 1;
        self.last = self.last.max(due + self.draw_jitter());
        self.last
    }

    fn draw_jitter(&mut self) -> Duration {
        if self.jitter.is_zero() {
            return Duration::ZERO;
        }
        self.jitter
            .mul_f64(f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTIME: Duration = Duration::from_millis(20);

    fn schedule(imperfection: Imperfection, seed: u64) -> Schedule {
        Schedule::new(PTIME, Duration::from_millis(7), imperfection, seed)
    }

    #[test]
    fn a_perfect_clock_does_not_drift_in_a_million_frames() {
        let mut perfect = schedule(Imperfection::default(), 1);
        for _ in 0..1_000_000 {
            perfect.next_deadline();
        }
        let due = Duration::from_millis(7) + PTIME * 1_000_000;
        assert!(perfect.next_deadline().abs_diff(due) < Duration::from_micros(1));
    }

    #[test]
    fn a_skewed_clock_is_off_by_its_skew_and_no_more() {
        let bound = Imperfection {
            rate_skew_ppm: 200.0,
            ..Imperfection::default()
        };
        let mut offsets = Vec::new();
        for seed in 0..100 {
            let mut skewed = schedule(bound, seed);
            skewed.frame = 500_000;
            let perfect = Duration::from_millis(7) + PTIME * 500_000;
            offsets.push(skewed.next_deadline().as_secs_f64() - perfect.as_secs_f64());
        }
        // 200 ppm of 10,000 s is 2 s.
        assert!(
            offsets.iter().all(|offset| offset.abs() <= 2.001),
            "{offsets:?}"
        );
        assert!(
            offsets.iter().any(|&offset| offset > 1.0)
                && offsets.iter().any(|&offset| offset < -1.0)
        );
    }

    #[test]
    fn jitter_delays_frames_within_its_bound_and_keeps_their_order() {
        let jitter = Duration::from_millis(50);
        let mut jittered = schedule(
            Imperfection {
                jitter,
                ..Imperfection::default()
            },
            3,
        );
        let mut last = Duration::ZERO;
        for frame in 0..1000 {
            let deadline = jittered.next_deadline();
            let perfect = Duration::from_millis(7) + PTIME * frame;
            assert!(deadline >= perfect && deadline <= perfect + jitter && deadline >= last);
            last = deadline;
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_deadlines() {
        let bound = Imperfection {
            rate_skew_ppm: 100.0,
            jitter: Duration::from_millis(5),
        };
        let deadlines = |seed| {
            let mut schedule = schedule(bound, seed);
            (0..100)
                .map(|_| schedule.next_deadline())
                .collect::<Vec<_>>()
        };
        assert_eq!(deadlines(1), deadlines(1));
        assert_ne!(deadlines(1), deadlines(2));
    }
}
