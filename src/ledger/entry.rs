//! The figures of an account as they were read, and the rates that are made of them.

use super::named::add_fields;

/// The figures of one account, or of many added up. Samples unless the name says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the terms of the equation")]
pub struct Entry {
    pub offered: u64,
    pub mixed: u64,
    pub muted: u64,
    pub dropped_full: u64,
    pub dropped_late: u64,
    pub discarded: u64,
    /// Samples that lay further behind than the latency cap.
    pub discarded_latency_cap: u64,
    /// Samples that a shorter playout delay left out.
    pub discarded_delay_change: u64,
    /// Samples that waited when the stream ended, or restarted.
    pub discarded_ended: u64,
    /// Of those: had by a thread that had more streams than it holds.
    pub discarded_overload: u64,
    /// Samples in frames that were damaged.
    pub discarded_damaged: u64,
    /// Samples in frames that belong to no block that is near.
    pub discarded_misplaced: u64,
    pub in_ring: u64,
    pub concealed: u64,
    /// Concealed samples that never came, though the stream neither paused nor ended.
    pub underrun: u64,
    /// Samples of packets that never came: beside the equation, as they were never offered.
    pub lost: u64,
    pub checksum_errors: u64,
    pub segments: u64,
    pub ring_high_water_bytes: u64,
}

impl Entry {
    /// The right side of the equation.
    pub fn accounted(&self) -> u64 {
        let terms = [
            self.muted,
            self.dropped_full,
            self.dropped_late,
            self.discarded,
            self.in_ring,
        ];
        terms.into_iter().fold(self.mixed, u64::wrapping_add)
    }

    /// Refused by a full ring, or too late. Samples that were discarded on purpose are no drop.
    pub fn dropped(&self) -> u64 {
        self.dropped_full + self.dropped_late
    }

    /// Dropped per offered, 0.0 to 1.0; 0.0 if nothing was offered.
    pub fn drop_rate(&self) -> f64 {
        rate(self.dropped(), self.offered)
    }

    /// Samples that the mix lacks of those that were sent: lost on the way, or dropped.
    pub fn missing(&self) -> u64 {
        self.lost + self.dropped()
    }

    /// The audio that there was: what was offered, and what was lost on the way.
    pub fn sent(&self) -> u64 {
        self.offered + self.lost
    }

    /// Missing per sent, 0.0 to 1.0; 0.0 if nothing was sent.
    pub fn missing_rate(&self) -> f64 {
        rate(self.missing(), self.sent())
    }

    /// Discarded samples, by reason.
    pub fn discards(&self) -> [(&'static str, u64); 6] {
        [
            ("latency_cap", self.discarded_latency_cap),
            ("delay_change", self.discarded_delay_change),
            ("ended", self.discarded_ended),
            ("overload", self.discarded_overload),
            ("damaged", self.discarded_damaged),
            ("misplaced", self.discarded_misplaced),
        ]
    }

    /// Adds another account: sums, but for the high water, which is the larger.
    pub fn add(&mut self, other: &Self) {
        add_fields! { self += other:
            offered mixed muted dropped_full dropped_late discarded discarded_latency_cap
            discarded_delay_change discarded_ended discarded_overload discarded_damaged
            discarded_misplaced in_ring concealed underrun lost checksum_errors segments
        }
        self.ring_high_water_bytes = self.ring_high_water_bytes.max(other.ring_high_water_bytes);
    }
}

/// `part` of `whole`, 0.0 to 1.0; 0.0 of nothing. While both are counted, a part may be seen a moment before
/// its whole.
pub fn rate(part: u64, whole: u64) -> f64 {
    if part == 0 {
        0.0
    } else {
        part as f64 / whole.max(part) as f64
    }
}
