//! The origin of a peer's blocks, as its parts show it.

/// An origin is the earliest of the last second or two.
const WINDOW_NS: u64 = 1_000_000_000;

/// The earliest time of block 0 that the parts of one peer show, on the local monotonic clock. See
/// [alignment](super).
#[derive(Debug, Clone, Copy, Default)]
pub struct Origins {
    run: Option<Run>,
}

/// Parts with less than [`WINDOW_NS`] between two.
#[derive(Debug, Clone, Copy)]
struct Run {
    began_ns: u64,
    last_ns: u64,
    /// When the present window began.
    window_ns: u64,
    earliest: i64,
    earliest_before: i64,
}

impl Origins {
    /// A part with a block of this number came.
    pub fn note(&mut self, now_ns: u64, block: u64, period_ns: u64) {
        let since = i128::from(block).saturating_mul(period_ns.into());
        let origin = i128::from(now_ns) - since;
        let origin = origin.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        match &mut self.run {
            Some(run) if now_ns < run.last_ns.saturating_add(WINDOW_NS) => {
                if now_ns >= run.window_ns.saturating_add(WINDOW_NS) {
                    (run.window_ns, run.earliest_before) = (now_ns, run.earliest);
                    run.earliest = origin;
                }
                run.earliest = run.earliest.min(origin);
                run.last_ns = now_ns.max(run.last_ns);
            }
            run => {
                *run = Some(Run {
                    began_ns: now_ns,
                    last_ns: now_ns,
                    window_ns: now_ns,
                    earliest: origin,
                    earliest_before: origin,
                });
            }
        }
    }

    /// The origin, if parts came for so long, and within the last second.
    pub fn get(&self, now_ns: u64, settle_ns: u64) -> Option<i64> {
        let run = self.run.as_ref()?;
        let is_settled = run.last_ns >= run.began_ns.saturating_add(settle_ns);
        let is_recent = now_ns < run.last_ns.saturating_add(WINDOW_NS);
        (is_settled && is_recent).then_some(run.earliest.min(run.earliest_before))
    }

    /// Another incarnation has other numbers.
    pub fn forget(&mut self) {
        self.run = None;
    }
}
