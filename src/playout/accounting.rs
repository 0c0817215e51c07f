//! Writes the playout's counts into the stream's account, from its own samples per channel.

use crate::ledger::{Account, Discard, Packet};

use super::output::Rates;

#[derive(Debug, Clone, Copy)]
pub(super) struct Accounting<'a> {
    pub(super) account: &'a Account,
    pub(super) rates: Rates,
}

impl Accounting<'_> {
    /// `[from, to)` of the stream's time plays without the sender's samples.
    pub(super) fn missed(self, from: u64, to: u64) {
        if from < to {
            self.account.miss(self.rates.bus_samples(from, to));
        }
    }

    /// The samples of `[from, to)` came after their playout.
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
