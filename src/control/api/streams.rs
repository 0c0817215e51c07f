//! `/api/v1/streams`: all streams, as a table that is filtered, sorted and paged.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use axum::{Json, extract::State as Shared};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    audio::meter,
    control::{extract::Query, problem::Problem, state::State},
    engine::{Admitted, StreamFigures, StreamReport},
    ledger::{NetworkEntry, SourceKind, StreamState},
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

/// Which streams, and in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only those with this text in their id, label or source, in any case.
    #[param(max_length = 256)]
    filter: String,
    /// Only those of this kind of source.
    #[param(inline)]
    kind: Option<SourceKind>,
    /// Only those in this state, all that run, or all. Of those that ended the latest 10 000 are kept.
    #[param(inline)]
    #[serde(alias = "phase")]
    state: StateAsked,
    /// Only those of which samples are dropped right now, or only the others.
    dropping: Option<bool>,
    /// The sort key; streams that have no such figure come last.
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
            state: StateAsked::Running,
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
enum StateAsked {
    Waiting,
    Playing,
    Shed,
    Ending,
    Ended,
    Running,
    All,
}

impl StateAsked {
    fn takes(self, state: StreamState) -> bool {
        match self {
            Self::Waiting => state == StreamState::Waiting,
            Self::Playing => state == StreamState::Playing,
            Self::Shed => state == StreamState::Shed,
            Self::Ending => state == StreamState::Ending,
            Self::Ended => state == StreamState::Ended,
            Self::Running => state != StreamState::Ended,
            Self::All => true,
        }
    }
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
    #[serde(alias = "phase")]
    State,
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
    MissingRate,
    RingHighWater,
    PlayoutDelay,
    Jitter,
    Drift,
    Received,
    Lost,
    LastPacketAge,
}

/// A page of streams.
#[derive(Debug, Serialize, ToSchema)]
struct StreamsBody {
    /// Streams that fit the filter, on this page or not.
    total: usize,
    offset: u32,
    streams: Vec<StreamReport>,
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
    let mut rows: Vec<Row<'_>> = Vec::new();
    if asked.state != StateAsked::Ended {
        rows.extend(snapshot.streams.iter().map(|figures| Row::Running(figures)));
    }
    let ended;
    if asked.state.takes(StreamState::Ended) {
        // Running ones first: one that ends meanwhile is among those that ended, and is listed once.
        rows.retain(|row| row.admitted().is_running());
        ended = state.handle.ended(ENDED_MAX);
        let running = rows.len();
        for admitted in &ended {
            let number = |row: &Row<'_>| row.admitted().number();
            if rows[..running]
                .binary_search_by_key(&admitted.number(), number)
                .is_err()
            {
                rows.push(Row::Ended(admitted));
            }
        }
    }
    asked.arrange(&mut rows);
    let total = rows.len();
    let page = rows.iter().skip(asked.offset as usize).take(asked.limit);
    let report = |row: &Row<'_>| StreamReport::new(&row.figures(), snapshot.at);
    Ok(Json(StreamsBody {
        total,
        offset: asked.offset,
        streams: page.map(report).collect(),
    }))
}

/// A stream of the table. One that ended is read when its figures are needed.
#[derive(Clone, Copy)]
enum Row<'a> {
    Running(&'a StreamFigures),
    Ended(&'a Arc<Admitted>),
}

impl<'a> Row<'a> {
    fn admitted(self) -> &'a Admitted {
        match self {
            Self::Running(figures) => &figures.admitted,
            Self::Ended(admitted) => admitted,
        }
    }

    fn figures(self) -> Cow<'a, StreamFigures> {
        match self {
            Self::Running(figures) => Cow::Borrowed(figures),
            Self::Ended(admitted) => Cow::Owned(StreamFigures::read(admitted)),
        }
    }

    fn state(self) -> StreamState {
        match self {
            Self::Running(figures) => figures.state,
            Self::Ended(_) => StreamState::Ended,
        }
    }

    fn is_dropping(self) -> bool {
        matches!(self, Self::Running(figures) if figures.dropped_now > 0)
    }
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
        if self.filter.chars().count() > FILTER_MAX {
            return Err(Problem::bad_request(format!(
                "in the query: a filter has at most {FILTER_MAX} characters"
            )));
        }
        Ok(())
    }

    /// Leaves those that are asked for, in the order that is asked for.
    fn arrange(&self, rows: &mut Vec<Row<'_>>) {
        let filter = self.filter.to_lowercase();
        rows.retain(|row| {
            let (id, from) = (row.admitted().id(), row.admitted().from());
            let has = |text: &str| text.to_lowercase().contains(&filter);
            self.state.takes(row.state())
                && self.kind.is_none_or(|asked| asked == row.admitted().kind())
                && self.dropping.is_none_or(|asked| asked == row.is_dropping())
                && (filter.is_empty()
                    || has(id)
                    || has(from)
                    || row.admitted().label().is_some_and(|label| has(&label)))
        });
        let mut keyed: Vec<_> = rows.iter().map(|&row| (self.sort.key(row), row)).collect();
        // Streams that are equal in the column, in the order of their admission.
        keyed.sort_unstable_by(|(a, row), (b, other)| {
            let numbers = row.admitted().number().cmp(&other.admitted().number());
            self.compare(a, b).then(numbers)
        });
        rows.clear();
        rows.extend(keyed.into_iter().map(|(_, row)| row));
    }

    fn compare(&self, a: &Key<'_>, b: &Key<'_>) -> Ordering {
        match (a, b) {
            (Key::Text(a), Key::Text(b)) => self.directed(a.cmp(b)),
            (Key::Figure(a), Key::Figure(b)) => self.directed(a.total_cmp(b)),
            // Streams without the figure stay last in both orders.
            (a, b) => matches!(a, Key::None).cmp(&matches!(b, Key::None)),
        }
    }

    fn directed(&self, ordering: Ordering) -> Ordering {
        match self.order {
            Direction::Asc => ordering,
            Direction::Desc => ordering.reverse(),
        }
    }
}

/// The sort key of a row.
enum Key<'a> {
    Text(&'a str),
    Figure(f64),
    /// It has no such figure.
    None,
}

impl Column {
    fn key(self, row: Row<'_>) -> Key<'_> {
        let admitted = row.admitted();
        let text = match self {
            Self::Id => Some(admitted.id()),
            Self::Kind => Some(admitted.kind().name()),
            Self::Source => Some(admitted.from()),
            _ => None,
        };
        match text {
            Some(text) => Key::Text(text),
            None => self.figure(&row.figures()).map_or(Key::None, Key::Figure),
        }
    }

    fn figure(self, figures: &StreamFigures) -> Option<f64> {
        let StreamFigures {
            admitted,
            levels,
            ledger,
            ..
        } = figures;
        let network = |figure: fn(&NetworkEntry) -> f64| figures.network.as_ref().map(figure);
        match self {
            Self::Id | Self::Kind | Self::Source => None,
            Self::State => Some(f64::from(figures.state as u8)),
            Self::Number => Some(admitted.number() as f64),
            Self::Slot => Some(admitted.slot() as f64),
            // The later it was admitted, the younger.
            Self::Age => {
                (figures.state != StreamState::Ended).then(|| -admitted.at().as_secs_f64())
            }
            // Silence is less than anything, and no lack of a figure.
            Self::Gain => Some(f64::from(levels.gain.db())),
            Self::Level => Some(f64::from(meter::dbfs(levels.peak))),
            Self::Solo => Some(f64::from(u8::from(levels.solo))),
            Self::RingFilled => Some(levels.ring_filled_bytes as f64),
            Self::DropRate => Some(ledger.drop_rate()),
            Self::MissingRate => Some(ledger.missing_rate()),
            Self::LastPacketAge => figures.last_packet_age().map(|age| age.as_secs_f64()),
            Self::Offered => Some(ledger.offered as f64),
            Self::Mixed => Some(ledger.mixed as f64),
            Self::Muted => Some(ledger.muted as f64),
            Self::DroppedFull => Some(ledger.dropped_full as f64),
            Self::DroppedLate => Some(ledger.dropped_late as f64),
            Self::Discarded => Some(ledger.discarded as f64),
            Self::InRing => Some(ledger.in_ring as f64),
            Self::Concealed => Some(ledger.concealed as f64),
            Self::RingHighWater => Some(ledger.ring_high_water_bytes as f64),
            Self::PlayoutDelay => network(|network| network.playout_delay.as_secs_f64()),
            Self::Jitter => network(|network| network.jitter.as_secs_f64()),
            Self::Drift => network(|network| network.drift_ppm),
            Self::Received => network(|network| network.totals.received as f64),
            Self::Lost => network(|network| network.totals.lost as f64),
        }
    }
}
