//! `/api/v1/streams`: all streams, as a table that is filtered, sorted and paged.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use axum::{Json, extract::State as Shared};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::status::finite;
use crate::{
    audio::meter,
    control::{extract::Query, problem::Problem, sampler::Figures, state::State},
    ledger::{Entry, Network, NetworkGauges},
    mixer::{Phase, StripState},
    server::{Admitted, LedgerReport},
};

/// Rows of a page, at most.
const LIMIT_MAX: usize = 1000;

/// Streams that may be left out before them: more than there are slots and ended ones that are kept.
const OFFSET_MAX: u32 = 2_000_000;

/// Rows of a page if nothing is said.
const LIMIT: usize = 100;

/// Characters of a filter, at most.
const FILTER_MAX: usize = 256;

/// Streams that ended and are looked at, the latest.
const ENDED_MAX: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(streams))
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PhaseBody {
    /// Its first frame has not come, or has not been played.
    Waiting,
    Playing,
    /// It ends: what still comes of it is discarded.
    Ending,
    /// Its ledger is final.
    Ended,
}

/// A stream.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct StreamBody {
    /// No other stream that runs has it; one that ended may.
    pub(super) id: String,
    /// How many streams were admitted before it.
    pub(super) number: u64,
    /// `synthetic`, `file`, `rtp`, `audiosocket`, `tcp`, ...
    pub(super) kind: String,
    /// Where it comes from, for people.
    pub(super) source: String,
    pub(super) phase: PhaseBody,
    /// Its ring in the pool. Once it has ended another stream may have it.
    pub(super) slot: usize,
    /// When it was admitted, since the start of the server.
    pub(super) admitted_at_s: f64,
    /// Since then; null once it has ended.
    pub(super) age_s: Option<f64>,
    /// In dB; null for silence.
    pub(super) gain_db: Option<f32>,
    /// Whether it is consumed without being heard, by command.
    pub(super) muted: bool,
    /// While any stream is solo, those that are not are not heard.
    pub(super) solo: bool,
    /// Its level before gain and mute, in the last tenth of a second, in dB of full scale; null for silence.
    pub(super) peak_dbfs: Option<f32>,
    /// Ring space in use.
    pub(super) ring_filled_bytes: u64,
    /// Samples are dropped of it right now.
    pub(super) dropping: bool,
    #[serde(flatten)]
    pub(super) ledger: LedgerReport,
    /// From arrival to playout; null unless it comes over a network. So are the next four.
    pub(super) playout_delay_ms: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
    /// How much faster the sender's clock runs than ours.
    pub(super) drift_ppm: Option<f64>,
    pub(super) received_packets: Option<u64>,
    /// Negative if some came twice.
    pub(super) lost_packets: Option<i64>,
}

impl StreamBody {
    pub(super) fn running(figures: &Figures, now: Duration) -> Self {
        let age = now.saturating_sub(figures.admitted.at()).as_secs_f64();
        Self {
            age_s: Some(age),
            dropping: figures.dropped_now > 0,
            ..Self::new(
                &figures.admitted,
                &figures.strip,
                &figures.ledger,
                figures.network.as_ref(),
            )
        }
    }

    /// One that is in no snapshot: it has ended, or began since the last.
    pub(super) fn read(admitted: &Admitted, now: Duration) -> Self {
        // Before the account: of a stream that ended, the last figures are read then.
        let strip = admitted.strip();
        let runs = admitted.is_running();
        let account = admitted.account();
        let network = account.network().map(Network::gauges);
        let age = now.saturating_sub(admitted.at()).as_secs_f64();
        let mut body = Self::new(admitted, &strip, &account.read(), network.as_ref());
        if runs {
            body.age_s = Some(age);
        } else {
            body.phase = PhaseBody::Ended;
        }
        body
    }

    fn new(
        admitted: &Admitted,
        strip: &StripState,
        ledger: &Entry,
        network: Option<&NetworkGauges>,
    ) -> Self {
        let ms = |of: fn(&NetworkGauges) -> Duration| network.map(|n| of(n).as_secs_f64() * 1e3);
        let from = admitted.from();
        Self {
            id: admitted.id().to_owned(),
            number: admitted.number(),
            kind: kind(from).to_owned(),
            source: from.to_owned(),
            phase: match strip.phase {
                Phase::Ended => PhaseBody::Ended,
                _ if admitted.is_dismissed() => PhaseBody::Ending,
                Phase::Waiting => PhaseBody::Waiting,
                Phase::Playing => PhaseBody::Playing,
            },
            slot: admitted.slot(),
            admitted_at_s: admitted.at().as_secs_f64(),
            age_s: None,
            gain_db: finite(strip.gain.db()),
            muted: strip.muted,
            solo: strip.solo,
            peak_dbfs: finite(meter::dbfs(strip.peak)),
            ring_filled_bytes: strip.ring_filled_bytes,
            dropping: false,
            ledger: LedgerReport::from(ledger),
            playout_delay_ms: ms(|network| network.playout_delay),
            jitter_ms: ms(|network| network.jitter),
            drift_ppm: network.map(|network| network.drift_ppm),
            received_packets: network.map(|network| network.received),
            lost_packets: network.map(|network| network.lost),
        }
    }
}

fn below(db: Option<f32>) -> f64 {
    db.map_or(f64::NEG_INFINITY, f64::from)
}

/// The first word of where a stream comes from.
fn kind(from: &str) -> &str {
    from.split(' ').next().unwrap_or(from)
}

/// Which streams, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only those whose id or source has this text in it, in whatever case.
    #[param(max_length = 256)]
    filter: String,
    /// Only those of this kind of source: `synthetic`, `file`, `rtp`, ...
    #[param(max_length = 256)]
    kind: Option<String>,
    /// Only those that run, only those that ended, or all. Of those that ended the latest 10 000 are kept.
    #[param(inline)]
    phase: PhaseAsked,
    /// Only those of which samples are dropped right now, or only the others.
    dropping: Option<bool>,
    /// What to sort by; streams that have no such figure come last.
    #[param(inline)]
    sort: Column,
    /// From the smallest or from the largest.
    #[param(inline)]
    order: Direction,
    /// Streams to leave out at the beginning.
    #[param(maximum = 2_000_000)]
    offset: u32,
    /// Streams in the answer, at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            filter: String::new(),
            kind: None,
            phase: PhaseAsked::Running,
            dropping: None,
            sort: Column::Number,
            order: Direction::Asc,
            offset: 0,
            limit: LIMIT,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PhaseAsked {
    Running,
    Ended,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Asc,
    Desc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Column {
    Number,
    Id,
    Kind,
    Source,
    Phase,
    Slot,
    Age,
    Gain,
    Solo,
    Level,
    RingFilled,
    Offered,
    Mixed,
    Muted,
    DroppedFull,
    DroppedLate,
    Discarded,
    InRing,
    Concealed,
    DropRate,
    RingHighWater,
    PlayoutDelay,
    Jitter,
    Drift,
    Received,
    Lost,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
struct StreamsBody {
    /// Streams that fit the filter, on this page or not.
    total: usize,
    offset: u32,
    streams: Vec<StreamBody>,
}

/// The streams, as they were at most 100 ms ago.
#[utoipa::path(
    get, path = "/api/v1/streams", tag = "streams", params(Asked),
    responses((status = 200, description = "A page of streams", body = StreamsBody))
)]
async fn streams(
    Shared(state): Shared<Arc<State>>,
    Query(asked): Query<Asked>,
) -> Result<Json<StreamsBody>, Problem> {
    asked.check()?;
    let snapshot = state.snapshot();
    let filter = asked.filter.to_lowercase();
    let fits = |body: &StreamBody| {
        asked.kind.as_ref().is_none_or(|kind| *kind == body.kind)
            && asked
                .dropping
                .is_none_or(|dropping| dropping == body.dropping)
            && (filter.is_empty()
                || body.id.to_lowercase().contains(&filter)
                || body.source.to_lowercase().contains(&filter))
    };
    let mut rows = Vec::new();
    if asked.phase != PhaseAsked::Running {
        let ended = state.handle.ended(ENDED_MAX);
        let now = snapshot.at;
        rows.extend(ended.iter().map(|admitted| StreamBody::read(admitted, now)));
    }
    if asked.phase != PhaseAsked::Ended {
        let running = snapshot.streams.iter();
        // What ended since the snapshot is told of once.
        let running = running
            .filter(|figures| asked.phase == PhaseAsked::Running || figures.admitted.is_running());
        rows.extend(running.map(|figures| StreamBody::running(figures, snapshot.at)));
    }
    rows.retain(fits);
    rows.sort_by(|a, b| asked.compare(a, b));
    let total = rows.len();
    let streams = rows
        .into_iter()
        .skip(asked.offset as usize)
        .take(asked.limit)
        .collect();
    Ok(Json(StreamsBody {
        total,
        offset: asked.offset,
        streams,
    }))
}

impl Asked {
    fn check(&self) -> Result<(), Problem> {
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(Problem::bad_request(format!(
                "in the query: a limit is 1 to {LIMIT_MAX}"
            )));
        }
        if self.offset > OFFSET_MAX {
            return Err(Problem::bad_request(format!(
                "in the query: an offset is 0 to {OFFSET_MAX}"
            )));
        }
        let texts = [Some(&self.filter), self.kind.as_ref()];
        let mut texts = texts.into_iter().flatten();
        if texts.any(|text| text.chars().count() > FILTER_MAX) {
            return Err(Problem::bad_request(format!(
                "in the query: a filter or kind has at most {FILTER_MAX} characters"
            )));
        }
        Ok(())
    }

    /// By the column, and streams that are equal there in the order of their admission.
    fn compare(&self, a: &StreamBody, b: &StreamBody) -> Ordering {
        let by_column = match self.sort {
            Column::Id => self.directed(a.id.cmp(&b.id)),
            Column::Kind => self.directed(a.kind.cmp(&b.kind)),
            Column::Source => self.directed(a.source.cmp(&b.source)),
            Column::Phase => self.directed(a.phase.cmp(&b.phase)),
            column => match (column.figure(a), column.figure(b)) {
                (Some(a), Some(b)) => self.directed(a.total_cmp(&b)),
                // Those without the figure stay last in both orders.
                (a, b) => b.is_some().cmp(&a.is_some()),
            },
        };
        by_column.then(a.number.cmp(&b.number))
    }

    fn directed(&self, ordering: Ordering) -> Ordering {
        match self.order {
            Direction::Asc => ordering,
            Direction::Desc => ordering.reverse(),
        }
    }
}

impl Column {
    /// The figure of a stream in this column, if it has one.
    fn figure(self, stream: &StreamBody) -> Option<f64> {
        let ledger = &stream.ledger;
        let samples = match self {
            Self::Id | Self::Kind | Self::Source | Self::Phase => return None,
            Self::Age => return stream.age_s,
            // Silence is less than anything, and no lack of a figure.
            Self::Gain => return Some(below(stream.gain_db)),
            Self::Level => return Some(below(stream.peak_dbfs)),
            Self::Solo => u64::from(stream.solo),
            Self::RingFilled => stream.ring_filled_bytes,
            Self::DropRate => return Some(ledger.drop_rate),
            Self::PlayoutDelay => return stream.playout_delay_ms,
            Self::Jitter => return stream.jitter_ms,
            Self::Drift => return stream.drift_ppm,
            Self::Received => return stream.received_packets.map(|packets| packets as f64),
            Self::Lost => return stream.lost_packets.map(|packets| packets as f64),
            Self::Number => stream.number,
            Self::Slot => stream.slot as u64,
            Self::Offered => ledger.offered_samples,
            Self::Mixed => ledger.mixed_samples,
            Self::Muted => ledger.muted_samples,
            Self::DroppedFull => ledger.dropped_full_samples,
            Self::DroppedLate => ledger.dropped_late_samples,
            Self::Discarded => ledger.discarded_samples,
            Self::InRing => ledger.in_ring_samples,
            Self::Concealed => ledger.concealed_samples,
            Self::RingHighWater => ledger.ring_high_water_bytes,
        };
        Some(samples as f64)
    }
}
