//! The axis of delays: logarithmic, with a place for zero at its left end.

/// Room left and right of the outermost delays, in decades.
const MARGIN: f64 = 0.1;
/// How far zero lies from the least delay, in decades.
const ZERO_APART: f64 = 0.45;
/// Up to that many decades, ticks stand at 1, 2 and 5; beyond, at 1.
const FINE_TICKS_MAX: f64 = 3.5;

/// Where delays lie on the axis. The unit is the decade.
#[derive(Debug, Clone, Copy)]
pub(super) struct DelayScale {
    /// The least and the largest delay that is not zero, as logarithms.
    first: f64,
    last: f64,
    has_zero: bool,
}

impl DelayScale {
    /// The scale that shows these delays.
    pub(super) fn new(delays_ns: impl Iterator<Item = u64> + Clone) -> Self {
        let mut delays = delays_ns.clone().filter(|&delay| delay > 0);
        // Without any, a microsecond: an axis needs some extent.
        let some = delays.next().unwrap_or(1000);
        let (least, most) = delays.fold((some, some), |(least, most), delay| {
            (least.min(delay), most.max(delay))
        });
        Self {
            first: (least as f64).log10(),
            last: (most as f64).log10(),
            has_zero: delays_ns.into_iter().any(|delay| delay == 0),
        }
    }

    fn zero(&self) -> f64 {
        self.first - ZERO_APART
    }

    /// Where a delay lies.
    pub(super) fn x(&self, delay_ns: u64) -> f64 {
        if delay_ns == 0 {
            self.zero()
        } else {
            (delay_ns as f64).log10()
        }
    }

    /// The delay that lies there.
    pub(super) fn delay_ns(&self, x: f64) -> u64 {
        if self.has_zero && x < self.first - ZERO_APART / 2.0 {
            0
        } else {
            10_f64.powf(x).round() as u64
        }
    }

    /// The ends of the axis.
    pub(super) fn ends(&self) -> (f64, f64) {
        let first = if self.has_zero {
            self.zero()
        } else {
            self.first
        };
        (first - MARGIN, self.last + MARGIN)
    }

    /// Where ticks stand: at zero, and at round delays.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let steps: &[u64] = if self.last - self.first <= FINE_TICKS_MAX {
            &[1, 2, 5]
        } else {
            &[1]
        };
        let zero = self.has_zero.then(|| self.zero());
        let decades = (0..u64::MAX.ilog10()).map(|power| 10_u64.pow(power));
        let round = decades
            .flat_map(|decade| steps.iter().map(move |step| step * decade))
            .map(|delay| self.x(delay))
            .filter(|x| (self.first - MARGIN..=self.last + MARGIN).contains(x));
        zero.into_iter().chain(round).collect()
    }
}

/// `0`, `250 ns`, `20 µs`, `5 ms`, `1 s`: the delay of a tick, which is round.
pub(super) fn delay_text(delay_ns: u64) -> String {
    match delay_ns {
        0 => "0".to_owned(),
        1..1_000 => format!("{delay_ns} ns"),
        1_000..1_000_000 => format!("{} µs", delay_ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", delay_ns / 1_000_000),
        _ => format!("{} s", delay_ns / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(delays_ns: &[u64]) -> Vec<String> {
        let scale = DelayScale::new(delays_ns.iter().copied());
        scale
            .ticks()
            .into_iter()
            .map(|x| delay_text(scale.delay_ns(x)))
            .collect()
    }

    #[test]
    fn ticks_stand_at_zero_and_at_round_delays() {
        assert_eq!(
            labels(&[0, 5_000, 100_000]),
            ["0", "5 µs", "10 µs", "20 µs", "50 µs", "100 µs"]
        );
        assert_eq!(labels(&[1_000, 2_000]), ["1 µs", "2 µs"]);
        assert_eq!(
            labels(&[100, 1_000_000_000]).first().map(String::as_str),
            Some("100 ns")
        );
    }

    #[test]
    fn any_delays_have_an_axis_of_some_extent_that_holds_them() {
        for delays in [vec![0], vec![7], vec![0, 1], vec![1, u64::MAX], vec![]] {
            let scale = DelayScale::new(delays.iter().copied());
            let (low, high) = scale.ends();
            assert!(low < high, "{delays:?}");
            for delay in delays {
                assert!((low..=high).contains(&scale.x(delay)), "{delay}");
            }
            assert!(scale.ticks().iter().all(|x| (low..=high).contains(x)));
        }
    }

    #[test]
    fn zero_lies_left_of_every_delay() {
        let scale = DelayScale::new([0, 3, 9].into_iter());
        assert!(scale.x(0) < scale.x(3) && scale.x(3) < scale.x(9));
    }
}
