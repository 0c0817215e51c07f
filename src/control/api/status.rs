//! `GET /api/v1/status`: how the server is.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::state::State,
    engine::{Clock, ListenerReport, Status},
    os::Provenance,
    queue::{PoolPlan, PoolStats},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
struct StatusBody {
    #[serde(flatten)]
    provenance: Provenance,
    uptime_s: f64,
    rate_hz: u32,
    channels: u16,
    /// Samples per channel of a block.
    block_samples: usize,
    /// The time from tick to tick; none where ticks follow the streams.
    tick_budget_ns: Option<u64>,
    #[serde(flatten)]
    status: Status,
    /// Rooms that are open, `main` among them.
    rooms: usize,
    /// Most rooms at once.
    rooms_max: usize,
    /// Rooms that were not opened, as all were in use.
    rooms_refused: u64,
    /// Most streams at once, since the start.
    streams_high_water: usize,
    /// The sockets that are listened on, as `listeners[]` of the report names them: `tcp 127.0.0.1:9000`.
    listeners: Vec<String>,
    /// Input of each of them that became no stream.
    ingest: Vec<ListenerReport>,
    /// Dropped of offered in the last tenth of a second, 0.0 to 1.0.
    drop_rate_now: f64,
    /// Lost and dropped, of offered and lost, in the last tenth of a second, 0.0 to 1.0.
    missing_rate_now: f64,
    pool: PoolBody,
}

/// The queue pool.
#[derive(Debug, Serialize, ToSchema)]
struct PoolBody {
    /// Rings: the most streams at once.
    slots: usize,
    /// Bytes of each ring.
    ring_bytes: usize,
    /// RAM when every ring has been full once, or from the start if it was prefaulted.
    resident_bytes: u64,
    /// Address space.
    virtual_bytes: u64,
    /// Positions and counters.
    metadata_bytes: u64,
    /// Rings that are leased now.
    leases: usize,
    leases_high_water: usize,
    /// Streams that found no ring.
    refused_leases: u64,
    /// Most ring space ever in use in any one ring.
    ring_high_water_bytes: u64,
    published_messages: u64,
    dropped_messages: u64,
    /// Writes to the pool's eventfd: the system calls that waking cost.
    wakes: u64,
}

impl PoolBody {
    fn new(plan: &PoolPlan, stats: &PoolStats) -> Self {
        Self {
            slots: plan.slots,
            ring_bytes: plan.ring_bytes,
            resident_bytes: plan.resident_bytes,
            virtual_bytes: plan.virtual_bytes,
            metadata_bytes: plan.metadata_bytes,
            leases: stats.leases,
            leases_high_water: stats.leases_high_water,
            refused_leases: stats.refused_leases,
            ring_high_water_bytes: stats.high_water_bytes,
            published_messages: stats.published.messages,
            dropped_messages: stats.dropped.messages,
            wakes: stats.wakes,
        }
    }
}

/// How the server is, at most 100 ms ago; the pool's figures, at most a second ago.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "server",
    responses((status = 200, description = "How the server is", body = StatusBody))
)]
async fn status(Shared(state): Shared<Arc<State>>) -> Json<StatusBody> {
    let snapshot = state.snapshot();
    let (status, settings) = (&snapshot.status, state.handle.settings());
    let tick_budget_ns = match settings.clock {
        Clock::Live { speed, .. } => Some(settings.ptime.div_f64(speed).as_nanos() as u64),
        Clock::Offline => None,
    };
    let listeners = state.handle.listeners();
    let plan = PoolPlan::new(settings.streams_max, settings.ring_bytes)
        .expect("the pool was built by this plan");
    Json(StatusBody {
        provenance: Provenance::now(),
        uptime_s: state.handle.uptime().as_secs_f64(),
        rate_hz: settings.format.rate_hz(),
        channels: settings.format.channels(),
        block_samples: state.handle.block_samples(),
        tick_budget_ns,
        status: Status {
            streams: snapshot.streams.len() as u64,
            ..*status
        },
        rooms: snapshot.rooms.len(),
        rooms_max: state.handle.mixing().rooms_max,
        rooms_refused: state.handle.rooms_refused(),
        streams_high_water: snapshot.pool.leases_high_water.max(snapshot.streams.len()),
        listeners: listeners.iter().map(|one| one.name().to_owned()).collect(),
        ingest: listeners.iter().map(|one| (&**one).into()).collect(),
        drop_rate_now: snapshot.drop_rate_now,
        missing_rate_now: snapshot.missing_rate_now,
        pool: PoolBody::new(&plan, &snapshot.pool),
    })
}
