//! Writes the playout's counts into the stream's account, from its own samples per channel.

use crate::ledger::{Account, Discard, GapKind, Packet};

use super::output::Rates;

#[derive(Debug, Clone, Copy)]
pub(super) struct Accounting<'a> {
    pub(super) account: &'a Account,
    pub(super) rates: Rates,
    /// Where the line's first sample plays in the mix.
    pub(super) origin: u64,
}

impl Accounting<'_> {
    /// `count` samples play without the sender's, after `place` others of the line.
    pub(super) fn missed(self, place: u64, count: u64) {
        if count > 0 {
            let samples = self.rates.bus_samples(place, place + count);
            self.account.miss(samples);
            self.note(GapKind::Lost, place, count);
        }
    }

    /// So many of those that were [missed](Self::missed) there came after all, or the delay grew by them.
    pub(super) fn came_late(self, place: u64, count: u64) {
        self.note(GapKind::Late, place, count);
    }

    fn note(self, kind: GapKind, place: u64, count: u64) {
        let index = |place| self.origin + self.rates.to_bus(place);
        let (from, to) = (index(place), index(place + count));
        self.account.note_gap(kind, from, to, to - from);
    }

    /// The samples of `[from, to)` of the stream's time came after their playout.
    pub(super) fn late(self, from: u64, to: u64) {
        if from < to {
            let samples = self.rates.bus_samples(from, to);
            self.account.offer(samples);
            self.account.settle_late(samples);
        }
    }

    /// `count` samples from `from` on are dropped on purpose.
    pub(super) fn discarded(self, why: Discard, from: u64, count: u64) {
        if count > 0 {
            let samples = self.rates.bus_samples(from, from + count);
            self.account.offer(samples);
            self.account.settle_discarded(samples);
            if let Some(network) = self.account.network() {
                network.discard(why, samples);
            }
        }
    }

    pub(super) fn count(self, packet: Packet) {
        if let Some(network) = self.account.network() {
            network.count(packet);
        }
    }
}
