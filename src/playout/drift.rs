//! How much faster or slower the sender's clock runs than ours, and how far to follow it.
//!
//! Jitter only ever adds to a transit (arrival less time stamp), so its lower envelope shows the clocks:
//! the least transit of each second or more lies on a line with their difference as its slope. The slope is
//! the median of the slopes between points half the window apart (Theil's incomplete method), its level
//! the median of what is left: packets that all came late for a while move neither.
//!
//! **Dead band.** A slope is followed only when it moves the line, over the whole window, by more than a
//! millisecond and by several times the scatter of the points. Until then nothing is followed, so a
//! sender with an exact clock keeps its samples bit for bit. The window grows from ten seconds to eight
//! minutes, and so the band gets narrower: from about 100 ppm to 2.
//!
//! **Position.** What is followed is the line, not the slope: an error of the slope does not add up.

const POINTS: usize = 64;
/// Points after which a slope may be followed.
const POINTS_MIN: usize = 10;
const SPACING_NS: f64 = 1e9;
const SPACING_NS_MAX: f64 = 16e9;
/// The line's movement over the window that is followed: at least this, and so many times the scatter.
const MOVED_NS: f64 = 1e6;
const MOVED_SCATTERS: f64 = 6.0;
/// A clock that is further off is not followed, but named.
const SLOPE_MAX: f64 = 1e-3;
/// The path changed if so many points in a row lie so far from the line.
const STEP_NS: f64 = 10e6;
const STEP_SCATTERS: f64 = 12.0;
const STEP_POINTS: u32 = 3;

#[derive(Debug, Clone, Copy)]
struct Point {
    at: f64,
    transit: f64,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    slope: f64,
    level: f64,
    scatter: f64,
}

impl Line {
    fn at(&self, at: f64) -> f64 {
        self.level + self.slope * at
    }
}

/// All times in nanoseconds.
#[derive(Debug)]
pub(super) struct Drift {
    points: Vec<Point>,
    scratch: Vec<f64>,
    spacing: f64,
    /// The least of the point under way, and when the point ends.
    least: Option<Point>,
    until: f64,
    line: Option<Line>,
    locked: bool,
    /// Whether the clocks differ by more than is followed, and whether that was said.
    out_of_range: bool,
    said: bool,
    /// Points in a row far from the line.
    steps: u32,
    /// When the stream was last where it should be, and where the line was then, once that is known.
    since: f64,
    reference: Option<f64>,
    /// Samples per channel inserted since, less those taken out.
    followed: i64,
}

impl Drift {
    pub(super) fn new() -> Self {
        Self {
            points: Vec::with_capacity(POINTS),
            scratch: Vec::with_capacity(POINTS),
            spacing: SPACING_NS,
            least: None,
            until: 0.0,
            line: None,
            locked: false,
            out_of_range: false,
            said: false,
            steps: 0,
            since: 0.0,
            reference: None,
            followed: 0,
        }
    }

    /// All that was seen means nothing for what comes.
    pub(super) fn restart(&mut self, at: f64) {
        self.points.clear();
        self.spacing = SPACING_NS;
        self.least = None;
        self.line = None;
        self.locked = false;
        self.out_of_range = false;
        self.steps = 0;
        self.settle(at);
    }

    /// The stream is where it should be now.
    pub(super) fn settle(&mut self, at: f64) {
        self.since = at;
        self.followed = 0;
        self.reference = self.line.filter(|_| self.locked).map(|line| line.at(at));
    }

    /// Whether the clocks differ, beyond the dead band.
    pub(super) fn locked(&self) -> bool {
        self.locked
    }

    /// How much faster the sender's clock is than ours, in millionths; 0 if that is in the dead band.
    pub(super) fn ppm(&self) -> f64 {
        let line = self.line.filter(|_| self.locked || self.out_of_range);
        line.map_or(0.0, |line| -line.slope * 1e6)
    }

    /// The same, once when it gets beyond what is followed.
    pub(super) fn take_out_of_range(&mut self) -> Option<f64> {
        let said = std::mem::replace(&mut self.said, self.out_of_range);
        (self.out_of_range && !said).then(|| self.ppm())
    }

    /// Takes a packet's transit. Returns whether there is news.
    pub(super) fn observe(&mut self, transit: f64, at: f64) -> bool {
        let ended = at >= self.until;
        if ended {
            self.until = at + self.spacing;
            if let Some(point) = self.least.take() {
                self.add(point);
            }
        }
        let least = self.least.get_or_insert(Point { at, transit });
        if transit < least.transit {
            *least = Point { at, transit };
        }
        ended
    }

    /// How many samples, of this length, to insert so that the stream stays with the sender; less than
    /// none to take out. Zero in the dead band.
    pub(super) fn correction(&mut self, at: f64, sample: f64) -> i64 {
        let Some(line) = self.line.filter(|_| self.locked) else {
            return 0;
        };
        let (since, first) = (self.since, self.points[0].at);
        let reference = *self
            .reference
            .get_or_insert_with(|| line.at(since.max(first)));
        let correction = (line.at(at) - reference) / sample - self.followed as f64;
        // Never back: that is the scatter's doing.
        if correction.signum() == line.slope.signum() {
            correction as i64
        } else {
            0
        }
    }

    /// So many samples were inserted, or taken out, to follow.
    pub(super) fn follow(&mut self, samples: i64) {
        self.followed += samples;
    }

    #[cfg(test)]
    pub(super) fn followed(&self) -> i64 {
        self.followed
    }

    fn add(&mut self, point: Point) {
        if let Some(line) = self.line {
            let off = (point.transit - line.at(point.at)).abs();
            let far = off > STEP_NS.max(STEP_SCATTERS * line.scatter);
            self.steps = if far { self.steps + 1 } else { 0 };
            if self.steps == STEP_POINTS {
                self.restart(point.at);
            }
        }
        if self.points.len() == POINTS {
            self.thin();
        }
        self.points.push(point);
        if self.points.len() >= POINTS_MIN {
            self.fit();
        }
    }

    /// Makes room: twice the spacing, or a window that moves on.
    fn thin(&mut self) {
        if self.spacing >= SPACING_NS_MAX {
            self.points.remove(0);
            return;
        }
        self.spacing *= 2.0;
        let slope = self.line.map_or(0.0, |line| line.slope);
        let height = |point: Point| point.transit - slope * point.at;
        for index in 0..POINTS / 2 {
            let (one, other) = (self.points[2 * index], self.points[2 * index + 1]);
            self.points[index] = if height(one) <= height(other) {
                one
            } else {
                other
            };
        }
        self.points.truncate(POINTS / 2);
    }

    fn fit(&mut self) {
        let Self {
            points, scratch, ..
        } = self;
        let half = points.len() / 2;
        scratch.clear();
        let pairs = points.iter().zip(&points[half..]);
        scratch.extend(pairs.map(|(a, b)| (b.transit - a.transit) / (b.at - a.at)));
        let slope = median(scratch);
        scratch.clear();
        scratch.extend(points.iter().map(|point| point.transit - slope * point.at));
        let level = median(scratch);
        for rest in scratch.iter_mut() {
            *rest = (*rest - level).abs();
        }
        let scatter = median(scratch);
        let window = points[points.len() - 1].at - points[0].at;
        let moved = slope.abs() * window;
        let asked = MOVED_NS.max(MOVED_SCATTERS * scatter);
        // It takes less to go on believing than to begin.
        let asked = if self.locked { asked / 2.0 } else { asked };
        let line = Line {
            slope,
            level,
            scatter,
        };
        self.locked = moved > asked && slope.abs() < SLOPE_MAX;
        self.out_of_range = moved > asked && !self.locked;
        if !self.locked && self.reference.take().is_some() {
            self.since = points[points.len() - 1].at;
            self.followed = 0;
        }
        self.line = Some(line);
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    const SECOND: f64 = 1e9;
    /// One at 8 kHz.
    const SAMPLE: f64 = 125_000.0;

    /// Packets every 20 ms with so much jitter, from one second to another, of a sender that is so much
    /// faster. Follows every correction; returns the greatest lag, in samples.
    fn run(drift: &mut Drift, seconds: std::ops::Range<u64>, ppm: f64, jitter_ms: f64) -> f64 {
        let mut random = StdRng::seed_from_u64(3);
        let mut lag: f64 = 0.0;
        for packet in seconds.start * 50..seconds.end * 50 {
            let at = packet as f64 * 2e7;
            let moved = -ppm * 1e-6 * at;
            drift.observe(moved + random.random_range(0.0..=1.0) * jitter_ms * 1e6, at);
            let correction = drift.correction(at, SAMPLE);
            drift.follow(correction.signum());
            lag = lag.max((moved / SAMPLE - drift.followed as f64).abs());
        }
        lag
    }

    #[test]
    fn the_slope_is_found_and_the_line_followed() {
        for ppm in [200.0, -200.0, 20.0, -3.0] {
            for jitter_ms in [0.0, 20.0] {
                let mut drift = Drift::new();
                let lag = run(&mut drift, 0..1800, ppm, jitter_ms);
                assert!(
                    (drift.ppm() - ppm).abs() < 0.5,
                    "{ppm} {jitter_ms} {}",
                    drift.ppm()
                );
                // Less than 6 ms before it is followed, and ever after.
                assert!(lag < 48.0, "{ppm} {jitter_ms} {lag}");
            }
        }
    }

    #[test]
    fn an_exact_clock_is_never_followed_whatever_the_jitter() {
        for jitter_ms in [0.0, 1.0, 20.0, 100.0] {
            let mut drift = Drift::new();
            run(&mut drift, 0..7200, 0.0, jitter_ms);
            assert_eq!(drift.followed, 0, "{jitter_ms}");
            assert!(drift.ppm().abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_step_of_the_path_is_no_drift() {
        let mut drift = Drift::new();
        for packet in 0..60_000 {
            let step = if packet < 30_000 { 0.0 } else { 40e6 };
            let at = f64::from(packet) * 2e7;
            drift.observe(step + f64::from(packet % 7) * 1e6, at);
            assert_eq!(drift.correction(at, SAMPLE), 0, "{packet}");
        }
    }

    #[test]
    fn where_it_was_settled_it_is_followed_from() {
        let mut drift = Drift::new();
        run(&mut drift, 0..100, 200.0, 0.0);
        let followed = drift.followed;
        assert!((-161..=-158).contains(&followed), "{followed}");
        drift.settle(100.0 * SECOND);
        assert_eq!(drift.correction(100.0 * SECOND, SAMPLE), 0);
        // 200 ppm of 10 s, 80,000 samples.
        assert_eq!(drift.correction(110.01 * SECOND, SAMPLE), -16);
    }
}
