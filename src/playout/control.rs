//! Moves a line against the clock: for the delay that the jitter asks for, and the sender's drift.
//!
//! The two do not fight, since they look at different things and have one hand. Drift is where the
//! lower envelope of the transits goes over minutes; it is followed sample by sample, both ways as the
//! clocks go and never back. Jitter is how far packets fall behind that envelope within seconds; it
//! moves the line only when the delay is off by more than any drift makes it in that time, and then the
//! drift is followed from there on.

use std::time::Duration;

use crate::{audio::MixClock, ledger::Network};

use super::{
    Delay,
    drift::Drift,
    jitter::{Bounds, Jitter},
    line::{Correction, Moved, START},
};

/// A converter's chunk, and half its filter in samples at the lower rate.
const CONVERTER_CHUNK_NS: u64 = 20_000_000;
const CONVERTER_SAMPLES: u64 = 64;
/// The spare part of an adaptive delay: for the drift until it is followed, and the scatter of wake-ups.
const SPARE_NS: u64 = 4_000_000;
/// A fixed delay is that of a segment's first packet. If others came earlier by more than this, the first was in a
/// stall, and the delay is cut to what it should be.
const FIXED_SURPLUS_NS: i64 = 100_000_000;
/// No delay is longer: a bound for what needs none.
const UNBOUNDED_NS: i64 = i64::MAX / 4;

#[derive(Debug)]
pub(super) struct Control {
    adaptive: bool,
    /// The delay of a first packet.
    first_ns: u64,
    ceiling_ns: i64,
    jitter: Jitter,
    drift: Drift,
    /// One sample of the source.
    sample_ns: f64,
    /// When the line's first sample plays.
    origin_ns: u64,
}

impl Control {
    /// For a source of this rate, converted or not.
    pub(super) fn new(delay: Delay, rate_hz: u32, converts: bool, clock: &MixClock) -> Self {
        let bus_hz = clock.format.rate_hz();
        // A sample is asked for so long before its own time: its block's beginning, and the lead.
        let mut least = clock.period_ns + clock.lead_ns();
        if converts {
            let half_filter = CONVERTER_SAMPLES * 1_000_000_000 / u64::from(rate_hz.min(bus_hz));
            least += CONVERTER_CHUNK_NS + half_filter;
        }
        let (adaptive, floor, ceiling, margin) = match delay {
            Delay::Fixed(delay) => (false, delay, delay, least),
            Delay::Adaptive { floor, ceiling } => (true, floor, ceiling, least + SPARE_NS),
        };
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4);
        let first_ns = ns(floor).max(margin);
        let ceiling_ns = ns(ceiling).max(first_ns) as i64;
        let bounds = if adaptive {
            Bounds {
                floor_ns: ns(floor) as i64,
                ceiling_ns,
                margin_ns: margin as i64,
                // The first packet comes too late for its block, by a block at most, where it had to wait for the
                // second.
                surplus_ns: (clock.period_ns + SPARE_NS) as i64,
                fixed: false,
            }
        } else {
            Bounds {
                floor_ns: first_ns as i64,
                ceiling_ns: UNBOUNDED_NS,
                // The first packet may have been one of the latest, if others are as late again.
                margin_ns: first_ns as i64,
                surplus_ns: FIXED_SURPLUS_NS,
                fixed: true,
            }
        };
        let bus_sample = clock.period_ns as f64 / clock.block_samples as f64;
        Self {
            adaptive,
            first_ns,
            ceiling_ns,
            jitter: Jitter::new(bounds),
            drift: Drift::new(),
            sample_ns: bus_sample * f64::from(bus_hz) / f64::from(rate_hz),
            origin_ns: 0,
        }
    }

    /// The line's first sample plays then.
    pub(super) fn begin(&mut self, origin_ns: u64) {
        self.origin_ns = origin_ns;
    }

    /// A new sender, or a clock that jumped.
    pub(super) fn restart(&mut self, at_ns: u64) {
        self.jitter.restart();
        self.drift.restart(self.since_origin(at_ns));
    }

    /// The longest delay.
    pub(super) fn longest_ns(&self) -> u64 {
        self.ceiling_ns as u64
    }

    /// How long after its arrival a first packet plays.
    pub(super) fn first_ns(&self) -> u64 {
        self.first_ns
    }

    /// How many samples wait when the delay is as long as it should be.
    pub(super) fn needed(&self) -> u64 {
        let ns = if self.adaptive {
            self.jitter.needed_ns()
        } else {
            self.first_ns as i64
        };
        (ns as f64 / self.sample_ns) as u64
    }

    /// A first packet that comes late by more samples than this delays no others.
    pub(super) fn surplus(&self) -> i64 {
        (FIXED_SURPLUS_NS as f64 / self.sample_ns) as i64
    }

    /// How many samples the delay may grow by.
    pub(super) fn room_to_grow(&self, shift: i64) -> u64 {
        if !self.adaptive {
            return 0;
        }
        let room = self.ceiling_ns - self.jitter.delay_ns(self.ns(shift));
        (room.max(0) as f64 / self.sample_ns) as u64
    }

    /// Takes a packet's arrival; its first sample has this time.
    pub(super) fn observe(
        &mut self,
        start: u64,
        at_ns: u64,
        shift: i64,
        network: Option<&Network>,
    ) {
        let at = self.since_origin(at_ns);
        let transit = at - (start as i64 - START as i64) as f64 * self.sample_ns;
        let shift_ns = self.ns(shift);
        let span = self.jitter.observe(transit as i64, at_ns, shift_ns);
        let point = self.drift.observe(transit, at);
        if let (Some(network), true) = (network, span || point) {
            let delay = self.jitter.delay_ns(shift_ns).max(0);
            network.set_playout_delay(Duration::from_nanos(delay as u64));
            network.set_drift_ppm(self.drift.ppm());
        }
    }

    /// By how many millionths the sender's clock is off, if that is beyond what is followed, once for each time that
    /// it gets there.
    pub(super) fn take_out_of_range(&mut self) -> Option<f64> {
        self.drift.take_out_of_range()
    }

    /// How the line should move now.
    pub(super) fn correction(&mut self, now_ns: u64, shift: i64) -> Correction {
        let shift_ns = self.ns(shift);
        let excess = self.jitter.excess(shift_ns);
        Correction {
            follow: (self.drift).correction(self.since_origin(now_ns), self.sample_ns),
            excess: (excess.ns as f64 / self.sample_ns) as i64,
            // A sender that drifts comes to need what is missing; another may never.
            in_speech: excess.in_speech || (excess.ns < 0 && self.drift.locked()),
        }
    }

    /// The line moved.
    pub(super) fn moved(&mut self, moved: Moved, now_ns: u64) {
        self.drift.follow(moved.followed);
        if moved.delay {
            let now = self.since_origin(now_ns);
            self.drift.settle(now);
        }
    }

    #[cfg(test)]
    pub(super) fn followed(&self) -> i64 {
        self.drift.followed()
    }

    fn since_origin(&self, at_ns: u64) -> f64 {
        at_ns.wrapping_sub(self.origin_ns) as i64 as f64
    }

    fn ns(&self, samples: i64) -> i64 {
        (samples as f64 * self.sample_ns) as i64
    }
}
