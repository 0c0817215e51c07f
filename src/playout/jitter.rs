//! How long a stream's playout delay should be.
//!
//! A packet's *transit* is when it came less its time stamp (RFC 3550, 6.4.1): its level means nothing,
//! its changes do. The least transit of the last sixteen seconds is the base: the packets that came by
//! the shortest way. How far others came behind it is the spread, and the delay that is needed is the
//! spread and a margin for the work that is done a whole block at a time.
//!
//! The spread is not that of the worst packet: of the half-seconds in the window, the worst one is left
//! out, so a single stall does not hold the delay up, while what happens twice does.

/// Half-seconds in the window.
const SPANS: usize = 32;
const SPAN_NS: u64 = 500_000_000;
/// For how many half-seconds an adaptive delay must be too long before silence is cut, and before speech is.
const PATIENCE: u32 = 4;
const PATIENCE_IN_SPEECH: u32 = 12;
/// The same for a fixed delay.
const PATIENCE_FIXED: u32 = 3;
/// A delay that is too short by less than this is left alone.
const DEFICIT_NS: i64 = 3_000_000;

/// The least and the greatest transit of a time.
#[derive(Debug, Clone, Copy)]
struct Span {
    least: i64,
    greatest: i64,
}

/// What a delay is held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) floor_ns: i64,
    pub(super) ceiling_ns: i64,
    /// What is needed beside the spread.
    pub(super) margin_ns: i64,
    /// A delay that is too long by less than this is left alone.
    pub(super) surplus_ns: i64,
    /// Whether the delay never grows, and soon shrinks.
    pub(super) fixed: bool,
}

#[derive(Debug)]
pub(super) struct Jitter {
    bounds: Bounds,
    /// A ring of the last spans; `count` of them were ever made.
    spans: Box<[Span; SPANS]>,
    count: usize,
    /// The least transit of those.
    least: Option<i64>,
    current: Option<Span>,
    /// When the current span ends.
    until_ns: u64,
    needed_ns: i64,
    /// Spans in a row after which the delay was too long.
    too_long: u32,
}

/// How far the delay is from what is needed, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Excess {
    /// More than needed, or less. Zero if it is near enough.
    pub(super) ns: i64,
    /// Whether it has been too long for so long that speech may be cut.
    pub(super) in_speech: bool,
}

impl Jitter {
    /// For delays between these bounds. The needed delay is never less than the margin.
    pub(super) fn new(bounds: Bounds) -> Self {
        let empty = Span {
            least: 0,
            greatest: 0,
        };
        let mut jitter = Self {
            bounds,
            spans: Box::new([empty; SPANS]),
            count: 0,
            least: None,
            current: None,
            until_ns: 0,
            needed_ns: 0,
            too_long: 0,
        };
        jitter.needed_ns = jitter.bounded(0);
        jitter
    }

    /// All that was seen means nothing for what comes.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.bounds);
    }

    /// The delay that is needed.
    pub(super) fn needed_ns(&self) -> i64 {
        self.needed_ns
    }

    /// The delay of the packets that come by the shortest way, when the line is shifted by so much.
    pub(super) fn delay_ns(&self, shift_ns: i64) -> i64 {
        self.base().map_or(self.needed_ns, |base| shift_ns - base)
    }

    /// Takes a packet of `at_ns`. Returns whether a span ended before it: then there is news.
    pub(super) fn observe(&mut self, transit_ns: i64, at_ns: u64, shift_ns: i64) -> bool {
        let ended = at_ns >= self.until_ns;
        if ended {
            self.until_ns = at_ns + SPAN_NS;
            if let Some(span) = self.current.take() {
                self.spans[self.count % SPANS] = span;
                self.count += 1;
                let spans = &self.spans[..self.count.min(SPANS)];
                self.least = spans.iter().map(|span| span.least).min();
                self.look(shift_ns);
            }
        }
        let span = self.current.get_or_insert(Span {
            least: transit_ns,
            greatest: transit_ns,
        });
        span.least = span.least.min(transit_ns);
        span.greatest = span.greatest.max(transit_ns);
        ended
    }

    /// How far the delay is from what is needed.
    pub(super) fn excess(&mut self, shift_ns: i64) -> Excess {
        let ns = self.delay_ns(shift_ns) - self.needed_ns;
        if ns <= 0 {
            self.too_long = 0;
        }
        let (silence, speech) = if self.bounds.fixed {
            (PATIENCE_FIXED, PATIENCE_FIXED)
        } else {
            (PATIENCE, PATIENCE_IN_SPEECH)
        };
        let too_short = ns <= -DEFICIT_NS && !self.bounds.fixed;
        let off = too_short || self.too_long >= silence;
        Excess {
            ns: if off { ns } else { 0 },
            in_speech: self.too_long >= speech,
        }
    }

    fn look(&mut self, shift_ns: i64) {
        let Some(base) = self.base() else { return };
        let spans = &self.spans[..self.count.min(SPANS)];
        let (mut worst, mut second) = (i64::MIN, i64::MIN);
        for span in spans {
            if span.greatest > worst {
                (worst, second) = (span.greatest, worst);
            } else {
                second = second.max(span.greatest);
            }
        }
        let spread = second.max(base) - base;
        self.needed_ns = self.bounded(spread);
        let surplus = shift_ns - base - self.needed_ns;
        // Once it shrinks, it shrinks all the way.
        let too_long = surplus > self.bounds.surplus_ns.max(self.needed_ns / 8)
            || (surplus > 0 && self.too_long >= PATIENCE);
        self.too_long = if too_long { self.too_long + 1 } else { 0 };
    }

    fn bounded(&self, spread: i64) -> i64 {
        let Bounds {
            floor_ns,
            ceiling_ns,
            margin_ns,
            ..
        } = self.bounds;
        let least = floor_ns.max(margin_ns);
        (spread + margin_ns).clamp(least, ceiling_ns.max(least))
    }

    /// The least transit of the window.
    fn base(&self) -> Option<i64> {
        let current = self.current.map(|span| span.least);
        self.least.into_iter().chain(current).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// A packet every 20 ms, with its transit in milliseconds, from a packet's number on.
    fn observe(
        jitter: &mut Jitter,
        from: u64,
        transits: impl IntoIterator<Item = i64>,
        shift: i64,
    ) {
        for (number, transit) in (from..).zip(transits) {
            jitter.observe(transit * MS, number * 20 * MS as u64, shift * MS);
        }
    }

    fn jitter() -> Jitter {
        Jitter::new(Bounds {
            floor_ns: 20 * MS,
            ceiling_ns: 200 * MS,
            margin_ns: 39 * MS,
            surplus_ns: 10 * MS,
            fixed: false,
        })
    }

    #[test]
    fn what_is_needed_is_the_spread_and_a_margin_between_the_bounds() {
        for (spread, needed) in [(0, 39), (50, 89), (400, 200)] {
            let mut jitter = jitter();
            observe(
                &mut jitter,
                0,
                (0..500).map(|n| -70 + spread * (n % 5) / 4),
                0,
            );
            assert_eq!(jitter.needed_ns(), needed * MS, "{spread}");
            assert_eq!(jitter.delay_ns(0), 70 * MS);
        }
    }

    #[test]
    fn a_single_stall_is_not_what_is_needed_and_two_are() {
        let mut jitter = jitter();
        let stalled = |number: u64| number == 100;
        observe(
            &mut jitter,
            0,
            (0..500).map(|n| if stalled(n) { 90 } else { 0 }),
            0,
        );
        assert_eq!(jitter.needed_ns(), 39 * MS);
        observe(
            &mut jitter,
            500,
            (500..600).map(|n| if n == 520 { 90 } else { 0 }),
            0,
        );
        assert_eq!(jitter.needed_ns(), 129 * MS);
        // Sixteen seconds later it is forgotten.
        observe(&mut jitter, 600, [0; 900], 0);
        assert_eq!(jitter.needed_ns(), 39 * MS);
    }

    #[test]
    fn too_long_a_delay_is_excess_after_a_while_until_removed() {
        let mut jitter = jitter();
        observe(&mut jitter, 0, [0; 60], 100);
        assert_eq!(jitter.excess(100 * MS), Excess::default());
        observe(&mut jitter, 60, [0; 100], 100);
        let excess = jitter.excess(100 * MS);
        assert_eq!(excess.ns, 61 * MS);
        assert!(!excess.in_speech);
        observe(&mut jitter, 160, [0; 150], 100);
        assert!(jitter.excess(100 * MS).in_speech);
        observe(&mut jitter, 310, [0; 50], 42);
        assert_eq!(jitter.excess(42 * MS).ns, 3 * MS);
        assert_eq!(jitter.excess(39 * MS), Excess::default());
        assert_eq!(jitter.excess(42 * MS), Excess::default());
    }

    #[test]
    fn a_delay_too_short_is_a_lack_at_once() {
        let mut jitter = jitter();
        observe(&mut jitter, 0, [0; 60], 30);
        assert_eq!(jitter.excess(30 * MS).ns, -9 * MS);
        assert_eq!(jitter.excess(38 * MS), Excess::default());
    }
}
