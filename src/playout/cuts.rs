//! Audio that was left out on purpose, as events of its stream: each cut with its length and its reason.

use crate::{
    audio::MixClock,
    ledger::{Account, Discard},
};

/// Cuts that follow each other within this are one event.
const ONE_EVENT_NS: u64 = 1_000_000_000;

/// The cuts for one reason.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    /// Samples that events have named, and those that were left out.
    named: u64,
    total: u64,
    /// When the total changed.
    at_ns: u64,
}

/// The cuts of one stream.
#[derive(Debug, Default)]
pub(super) struct Cuts([Cut; REASONS.len()]);

const REASONS: [(Discard, &str); 2] = [
    (Discard::DelayChange, "cut: {} s, as the delay was too long"),
    (Discard::LatencyCap, "burst: {} s discarded"),
];

impl Cuts {
    /// What was left out until now has nothing to do with this playout.
    pub(super) fn begin(&mut self, account: &Account) {
        for (cut, (why, _)) in self.0.iter_mut().zip(REASONS) {
            let total = account
                .network()
                .map_or(0, |network| network.discarded(why));
            (cut.named, cut.total) = (total, total);
        }
    }

    /// Notes the cuts that are over. Costs two loads; allocates and locks where there is an event.
    pub(super) fn look(&mut self, account: &Account, clock: &MixClock, now_ns: u64, ended: bool) {
        let Some(network) = account.network() else {
            return;
        };
        for (cut, (why, text)) in self.0.iter_mut().zip(REASONS) {
            let total = network.discarded(why);
            if total != cut.total {
                (cut.total, cut.at_ns) = (total, now_ns);
            }
            let over = ended || now_ns.saturating_sub(cut.at_ns) >= ONE_EVENT_NS;
            if cut.named != total && over {
                let format = clock.format;
                let samples = (total - cut.named) / u64::from(format.channels());
                let seconds = format.duration_of(samples).as_secs_f64();
                network.note(now_ns, text.replace("{}", &format!("{seconds:.2}")));
                cut.named = total;
            }
        }
    }
}
