//! The results of a run: the ledger of every stream, the ticks, the recording.

mod network;
mod stream;

use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use self::stream::{StreamFigures, finite};
pub use self::{
    network::{ListenerReport, RtpOutReport},
    stream::StreamReport,
};

use super::{
    RealtimeReport, RecordingState, handle::Shared, mixing::MixerEnd, recordings::Finished,
};
use crate::{ledger::Entry, output::RtpSent, source::FeedErrors};

/// The whole report. Its JSON keys are the project's words in `snake_case`, units last.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct Report {
    pub rate_hz: u32,
    pub channels: u16,
    /// Samples per channel of a block.
    pub block_samples: usize,
    pub ticks: u64,
    pub late_ticks: u64,
    /// From due to begun. All zero where ticks follow the streams.
    pub tick_lateness: TickReport,
    /// From begun to done.
    pub tick_time: TickReport,
    /// Interleaved samples in the recording.
    pub recorded_samples: u64,
    /// Samples of the mix that the disk was too slow for, or failed to take.
    pub recording_lost_samples: u64,
    pub recording_error: Option<String>,
    /// All recordings, that of the settings and those that began at run time.
    pub recordings: Vec<RecordingState>,
    /// The results of the mix by RTP, for each target.
    pub rtp_out: Vec<RtpOutReport>,
    pub clipped_samples: u64,
    pub limited_samples: u64,
    /// Time to build the pool and open the recording.
    pub startup_ms: f64,
    pub elapsed_s: f64,
    /// Processor time of the mixer thread.
    pub mixer_cpu_s: f64,
    /// The same per second of the run, in percent of one core.
    pub mixer_cpu_percent: f64,
    /// The host's grants to the mixer thread beyond an ordinary thread's share.
    pub realtime: RealtimeReport,
    pub ring_bytes: usize,
    pub refused_streams: u64,
    /// Writes to the pool's eventfd: the system calls that waking cost.
    pub wakes: u64,
    pub ledger_checks: u64,
    /// Checks at which a ledger's equation did not hold: bugs.
    pub ledger_imbalances: u64,
    /// Sources that failed; their streams' ledgers are below all the same.
    pub source_errors: Vec<SourceErrorReport>,
    /// Sources that failed beyond those that are listed.
    pub source_errors_not_kept: u64,
    /// Each listener's input that became no stream.
    pub listeners: Vec<ListenerReport>,
    pub streams: Vec<StreamReport>,
    pub totals: Totals,
}

/// A source that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each name says what it is")]
pub struct SourceErrorReport {
    pub id: String,
    pub error: String,
}

impl SourceErrorReport {
    /// The report of an error and its causes.
    pub fn new(id: &str, error: &dyn std::error::Error) -> Self {
        Self {
            id: id.to_owned(),
            error: chain(error),
        }
    }
}

/// Durations of ticks: the shortest that so many of them do not exceed. Less than 1/128 too long, never
/// too short; the longest is exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct TickReport {
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub max_ns: u64,
}

/// All accounts added up.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the words of the ledger")]
pub struct Totals {
    /// More than are listed if very many came and went.
    pub streams: usize,
    #[serde(flatten)]
    pub ledger: Entry,
}

/// What is left of a server at rest.
pub(super) struct Ended<'a> {
    pub(super) shared: &'a Shared,
    pub(super) realtime: RealtimeReport,
    pub(super) mixer: &'a MixerEnd,
    pub(super) recordings: &'a Finished,
    /// By RTP, in the order of the settings.
    pub(super) sent: &'a [RtpSent],
    pub(super) errors: &'a FeedErrors,
}

impl Report {
    pub(super) fn new(ended: &Ended<'_>) -> Self {
        let Ended {
            shared,
            realtime,
            mixer: end,
            recordings: Finished { recorded, states },
            sent,
            errors,
        } = *ended;
        let (settings, status) = (&shared.settings, shared.status());
        let pool = shared.streams.pool.stats();
        let accounts = shared.streams.register.lock();
        let (ledger_checks, ledger_imbalances) = end.mixer.ledger_checks();
        let (elapsed_s, mixer_cpu_s) = (end.elapsed.as_secs_f64(), end.cpu.as_secs_f64());
        // Kept ones, in the order of their admission.
        let streams = accounts.kept();
        let streams = streams
            .iter()
            .map(|admitted| StreamReport::new(&StreamFigures::read(admitted), end.elapsed))
            .collect();
        Self {
            rate_hz: settings.format.rate_hz(),
            channels: settings.format.channels(),
            block_samples: shared.streams.mixing.block_samples,
            ticks: end.mixer.ticks(),
            late_ticks: status.late_ticks,
            tick_lateness: status.tick_lateness,
            tick_time: status.tick_time,
            recorded_samples: recorded.samples,
            recording_lost_samples: recorded.lost_samples,
            recording_error: recorded.error.as_ref().map(|error| chain(error)),
            recordings: states.clone(),
            rtp_out: settings
                .rtp_out
                .iter()
                .zip(sent)
                .map(|(target, sent)| RtpOutReport {
                    target: target.address.to_string(),
                    room: target.room.clone(),
                    sent: *sent,
                })
                .collect(),
            clipped_samples: status.clipped_samples,
            limited_samples: status.limited_samples,
            startup_ms: shared.startup.as_secs_f64() * 1e3,
            elapsed_s,
            mixer_cpu_s,
            mixer_cpu_percent: if elapsed_s > 0.0 {
                100.0 * mixer_cpu_s / elapsed_s
            } else {
                0.0
            },
            realtime,
            ring_bytes: settings.ring_bytes,
            refused_streams: pool.refused_leases,
            wakes: pool.wakes,
            ledger_checks,
            ledger_imbalances,
            source_errors: errors
                .kept
                .iter()
                .map(|failed| SourceErrorReport::new(&failed.id, &failed.source))
                .collect(),
            source_errors_not_kept: errors.not_kept,
            listeners: shared.listeners.iter().map(|one| (&**one).into()).collect(),
            totals: Totals {
                streams: accounts.count() as usize,
                ledger: status.ledger,
            },
            streams,
        }
    }

    /// Whether the run did what it was asked: every source and every recording is whole, and every ledger
    /// balances.
    pub fn is_sound(&self) -> bool {
        self.recording_error.is_none()
            && self.recording_lost_samples == 0
            && self
                .recordings
                .iter()
                .all(|recording| recording.error.is_none() && recording.lost_samples == 0)
            && self.source_errors.is_empty()
            && self.ledger_imbalances == 0
            && self.totals.ledger.checksum_errors == 0
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
