//! The results of a bench, as JSON has them: the bare timer, the steps, the answer.

use std::time::Duration;

use mixpool::{
    engine::{Report, TickReport},
    ledger::Entry,
    queue::PoolPlan,
};
use serde::Serialize;

use super::{
    answer::{Answer, End},
    search::RESOLUTION,
    setup::Setup,
    step::Measured,
    timer::TimerReport,
};
use crate::cli::{table, units};

/// The whole bench.
#[derive(Debug, Serialize)]
pub(super) struct BenchReport {
    pub(super) rate_hz: u32,
    pub(super) channels: u16,
    pub(super) ptime_ns: u64,
    /// Samples per channel of a frame and of a block.
    pub(super) block_samples: usize,
    pub(super) ring_bytes: usize,
    /// Rooms over which the streams are spread.
    pub(super) rooms: usize,
    pub(super) playout_delay_ns: u64,
    pub(super) ingest_threads: usize,
    pub(super) waveform: String,
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// The time for which all streams of a step play.
    pub(super) step_duration_ns: u64,
    /// The time before it, in which they begin.
    pub(super) step_lead_ns: u64,
    /// When a step fails, in a sentence.
    pub(super) criterion: String,
    /// Late ticks that fail no step: the bare timer's.
    pub(super) late_ticks_allowed: u64,
    /// Null if it was interrupted.
    pub(super) bare_timer: Option<TimerReport>,
    /// In the order of their runs.
    pub(super) steps: Vec<StepReport>,
    pub(super) answer: Answer,
    pub(super) interrupted: bool,
}

impl BenchReport {
    pub(super) fn new(
        setup: &Setup,
        bare_timer: Option<TimerReport>,
        steps: Vec<StepReport>,
        answer: Answer,
        end: End,
    ) -> Self {
        let nanos = |time: Duration| time.as_nanos() as u64;
        let late_ticks_allowed = bare_timer.as_ref().map_or(0, |timer| timer.late_ticks);
        Self {
            rate_hz: setup.server.format.rate_hz(),
            channels: setup.server.format.channels(),
            ptime_ns: nanos(setup.server.ptime),
            block_samples: setup.block_samples,
            ring_bytes: setup.server.ring_bytes,
            rooms: setup.rooms,
            playout_delay_ns: nanos(setup.playout_delay),
            ingest_threads: setup.server.ingest_threads,
            waveform: setup.waveform.to_string(),
            cores: setup.cores,
            step_duration_ns: nanos(setup.step),
            step_lead_ns: nanos(setup.lead()),
            criterion: format!(
                "a step fails if a sample was dropped or discarded, if a ledger did not balance, if \
                 the mix fell more than {} behind, or if more than {late_ticks_allowed} ticks, the \
                 bare timer's late ones, were late: begun after the next was due; it is then run \
                 once more, and the second run decides; the search ends when the count that failed \
                 is at most {RESOLUTION} times the one that held",
                units::show_duration(setup.behind_max())
            ),
            late_ticks_allowed,
            bare_timer,
            steps,
            answer,
            interrupted: end == End::Interrupted,
        }
    }
}

/// One step.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct StepReport {
    pub(super) streams: usize,
    /// 2 after a first run that failed.
    pub(super) attempt: u32,
    pub(super) holds: bool,
    /// The reasons if it does not hold.
    pub(super) failures: Vec<String>,
    /// From the first stream's begin on, as are all counts and ticks below.
    pub(super) ticks: u64,
    pub(super) late_ticks: u64,
    pub(super) tick_lateness: TickReport,
    pub(super) tick_time: TickReport,
    /// In percent of one core, while all streams played.
    pub(super) mixer_cpu_percent: f64,
    /// Processor time of all ingest threads, likewise.
    pub(super) ingest_cpu_percent: f64,
    /// Processor time of all else on these cores, likewise. Null if the host does not say.
    pub(super) others_cpu_percent: Option<f64>,
    /// How far the mix fell behind in that time: normally a tick or less.
    pub(super) behind_ns: u64,
    /// Memory of the process in RAM at the end.
    pub(super) resident_bytes: u64,
    /// Memory of the rings alone, once all have been full.
    pub(super) pool_bytes: u64,
    pub(super) startup_ms: f64,
    #[serde(flatten)]
    pub(super) ledger: Entry,
    pub(super) ledger_imbalances: u64,
}

impl StepReport {
    /// Judges a step.
    pub(super) fn new(
        setup: &Setup,
        attempt: u32,
        late_ticks_allowed: u64,
        measured: &Measured,
    ) -> Self {
        let Measured {
            report,
            cpu,
            elapsed,
            behind,
            resident_bytes,
        } = measured;
        let mut failures = failures(report, late_ticks_allowed);
        if *behind > setup.behind_max() {
            failures.push(format!(
                "a mix {} behind",
                units::show_ns(behind.as_nanos() as u64)
            ));
        }
        let percent = |time: Duration| 100.0 * time.as_secs_f64() / elapsed.as_secs_f64();
        let streams = report.totals.streams;
        Self {
            streams,
            attempt,
            holds: failures.is_empty(),
            failures,
            ticks: report.ticks,
            late_ticks: report.late_ticks,
            tick_lateness: report.tick_lateness,
            tick_time: report.tick_time,
            mixer_cpu_percent: percent(cpu.mixer),
            ingest_cpu_percent: percent(cpu.ingest),
            others_cpu_percent: cpu
                .machine
                .map(|machine| percent(machine.saturating_sub(cpu.mixer + cpu.ingest))),
            behind_ns: behind.as_nanos() as u64,
            resident_bytes: *resident_bytes,
            pool_bytes: PoolPlan::new(streams, setup.server.ring_bytes)
                .map_or(0, |plan| plan.resident_bytes),
            startup_ms: report.startup_ms,
            ledger: report.totals.ledger,
            ledger_imbalances: report.ledger_imbalances,
        }
    }

    /// Whether samples were lost or damaged in a way that no load explains.
    pub(super) fn is_bug(&self) -> bool {
        self.ledger_imbalances + self.ledger.checksum_errors + self.ledger.discarded > 0
    }
}

/// Why a step does not hold, apart from a mix that is behind.
fn failures(report: &Report, late_ticks_allowed: u64) -> Vec<String> {
    let ledger = &report.totals.ledger;
    let late_ticks = match report.late_ticks {
        late if late <= late_ticks_allowed => 0,
        late => late,
    };
    let counted = [
        (late_ticks, "late tick"),
        (report.ledger_imbalances, "ledger imbalance"),
        (ledger.checksum_errors, "checksum error"),
    ]
    .map(|(count, noun)| (count, units::counted(count, noun)));
    let samples = [
        (ledger.dropped_late, "dropped late"),
        (ledger.dropped_full, "dropped full"),
        (ledger.discarded, "discarded"),
    ]
    .map(|(samples, fate)| {
        let rate = samples as f64 / ledger.offered.max(1) as f64;
        (samples, format!("{} {fate}", table::percent(rate)))
    });
    let all = counted.into_iter().chain(samples);
    all.filter(|(count, _)| *count > 0)
        .map(|(_, failure)| failure)
        .collect()
}
