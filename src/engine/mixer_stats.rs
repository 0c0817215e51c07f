//! The mixer thread's counters, read by other threads through atomics alone.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    TickReport, finite,
    histogram::{Histogram, TickCounts},
    register::Total,
};
use crate::{
    audio::meter,
    ledger::{Entry, NetworkTotals},
    mixer::Block,
};

/// Written by the mixer thread at the end of each tick.
#[derive(Debug)]
pub(super) struct MixerStats {
    ticks: AtomicU64,
    late_ticks: AtomicU64,
    /// From due to begun, of each tick that follows the clock.
    pub(super) tick_lateness: Histogram,
    /// From begun to done.
    pub(super) tick_time: Histogram,
    clipped_samples: AtomicU64,
    limited_samples: AtomicU64,
    streams: AtomicU64,
    ledger_checks: AtomicU64,
    ledger_imbalances: AtomicU64,
    /// Ticks of a second, the time in which a peak is looked for.
    peak_ticks: u64,
    /// In the last whole second, and since then.
    peak_before: AtomicU32,
    peak_now: AtomicU32,
    done: Mutex<bool>,
    on_done: Condvar,
}

/// How the server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = MixerStatus)]
pub struct Status {
    /// Ticks run.
    pub ticks: u64,
    /// Ticks that began after the next was due.
    pub late_ticks: u64,
    /// How long after its time each tick began, since the start. All zero where ticks follow the
    /// streams.
    pub tick_lateness: TickReport,
    /// How long each tick took, since the start.
    pub tick_time: TickReport,
    /// Ticks by their lateness.
    #[serde(skip)]
    pub tick_lateness_counts: TickCounts,
    /// Ticks by their length.
    #[serde(skip)]
    pub tick_time_counts: TickCounts,
    /// Streams that play or wait for their first frame.
    pub streams: u64,
    /// Largest magnitude of the mix in the last second or two, in dB of full scale; minus infinity
    /// for silence, which is null in JSON.
    #[serde(serialize_with = "finite_or_null")]
    #[schema(value_type = Option<f32>)]
    pub peak_dbfs: f32,
    /// Samples that saturation cut.
    pub clipped_samples: u64,
    /// Samples that the limiter turned down.
    pub limited_samples: u64,
    /// Streams that were admitted since the start.
    pub admitted_streams: u64,
    /// All accounts added up.
    #[serde(rename = "totals")]
    pub ledger: Entry,
    /// The same of what networks did to them.
    #[serde(skip)]
    pub network: NetworkTotals,
    /// Checks of a ledger's equation.
    pub ledger_checks: u64,
    /// Checks at which it did not hold: bugs.
    pub ledger_imbalances: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn finite_or_null<S: Serializer>(db: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    finite(*db).serialize(serializer)
}

impl MixerStats {
    /// For a mix with a tick each `ptime`.
    pub(super) fn new(ptime: Duration) -> Self {
        let peak_ticks = Duration::from_secs(1).as_nanos() / ptime.as_nanos().max(1);
        Self {
            ticks: AtomicU64::new(0),
            late_ticks: AtomicU64::new(0),
            tick_lateness: Histogram::default(),
            tick_time: Histogram::default(),
            clipped_samples: AtomicU64::new(0),
            limited_samples: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            ledger_checks: AtomicU64::new(0),
            ledger_imbalances: AtomicU64::new(0),
            peak_ticks: (peak_ticks as u64).max(1),
            peak_before: AtomicU32::new(0),
            peak_now: AtomicU32::new(0),
            done: Mutex::new(false),
            on_done: Condvar::new(),
        }
    }

    pub(super) fn tick(&self, block: &Block<'_>) {
        if self.ticks().is_multiple_of(self.peak_ticks) {
            let peak = self.peak_now.swap(0, Ordering::Relaxed);
            self.peak_before.store(peak, Ordering::Relaxed);
        }
        // Release: with the ticks, what the mixer said of its streams before is seen.
        self.ticks.store(self.ticks() + 1, Ordering::Release);
        self.block(block);
    }

    /// A block that no tick made: the limiter's last samples.
    pub(super) fn block(&self, block: &Block<'_>) {
        add(&self.clipped_samples, block.clipped as u64);
        add(&self.limited_samples, block.limited as u64);
        self.peak_now
            .fetch_max(u32::from(block.peak), Ordering::Relaxed);
    }

    /// A tick begins, so long after it was due.
    pub(super) fn begun(&self, late_ns: u64, period_ns: u64) {
        self.tick_lateness.record(late_ns);
        add(&self.late_ticks, u64::from(late_ns >= period_ns));
    }

    pub(super) fn streams(&self, streams: usize) {
        self.streams.store(streams as u64, Ordering::Relaxed);
    }

    /// How many checks of ledgers there were, and how many of them failed.
    pub(super) fn ledger_checks(&self, (checks, imbalances): (u64, u64)) {
        self.ledger_checks.store(checks, Ordering::Relaxed);
        self.ledger_imbalances.store(imbalances, Ordering::Relaxed);
    }

    /// The mixer thread ends: wakes all waiting threads.
    pub(super) fn done(&self) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.on_done.notify_all();
    }

    pub(super) fn is_done(&self) -> bool {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_done(&self, timeout: Duration) {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .on_done
            .wait_timeout_while(done, timeout, |done| !*done);
        drop(waited);
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Acquire)
    }

    pub(super) fn status(&self, total: &Total) -> Status {
        let peak = [&self.peak_before, &self.peak_now]
            .map(|peak| peak.load(Ordering::Relaxed))
            .into_iter()
            .fold(0, u32::max)
            .min(u32::from(u16::MAX)) as u16;
        Status {
            ticks: self.ticks(),
            late_ticks: self.late_ticks.load(Ordering::Relaxed),
            tick_lateness: self.tick_lateness.read(),
            tick_time: self.tick_time.read(),
            tick_lateness_counts: self.tick_lateness.tick_counts(),
            tick_time_counts: self.tick_time.tick_counts(),
            streams: self.streams.load(Ordering::Relaxed),
            peak_dbfs: meter::dbfs(peak),
            clipped_samples: self.clipped_samples.load(Ordering::Relaxed),
            limited_samples: self.limited_samples.load(Ordering::Relaxed),
            admitted_streams: total.streams,
            ledger: total.ledger,
            network: total.network,
            ledger_checks: self.ledger_checks.load(Ordering::Relaxed),
            ledger_imbalances: self.ledger_imbalances.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a counter that only the mixer thread writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
}
