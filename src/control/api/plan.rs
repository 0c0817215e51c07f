//! `GET /api/v1/plan`: what the server's pool takes, and whether this host has room for it.

use std::sync::Arc;

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::off_thread;
use crate::{
    control::{problem::Problem, state::State},
    engine::plan::{BesideReport, HugePagesReport, LimitReport, PlanReport},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(plan))
}

/// The pool's needs, as `mixpool plan` reports them.
#[derive(Debug, Serialize, ToSchema)]
struct PlanBody {
    /// Rings of the pool: the most streams at once.
    streams: usize,
    rate_hz: u32,
    channels: u16,
    /// Length of a frame.
    ptime_ns: u64,
    /// Samples per channel of a frame.
    block_samples: usize,
    /// Bytes of a frame, as a message.
    frame_bytes: usize,
    frames_per_ring: u64,
    ring_bytes: usize,
    /// Of audio in a ring that is full.
    buffered_seconds: f64,
    /// Once all rings have been full.
    resident_bytes: u64,
    /// Address space: each ring twice.
    virtual_bytes: u64,
    metadata_bytes: u64,
    page_table_bytes: u64,
    /// Mappings.
    vmas: u64,
    descriptors: u64,
    /// The duration of the start; null if it prefaulted.
    startup_ns: Option<u64>,
    /// The duration of the start that prefaulted; null if it did not.
    prefault_startup_ns: Option<u64>,
    /// Whether the rings are locked in RAM.
    lock: bool,
    huge_pages: HugePagesBody,
    /// Memory taken beside the pool, for each of its kind.
    beside_pool: Vec<BesideBody>,
    /// Whether this host has room for such a server; what this one has of it is counted as free.
    fits: bool,
    limits: Vec<LimitBody>,
    /// Sentences for people.
    notes: Vec<String>,
}

/// Whether huge pages are wished, and whether this host grants them.
#[derive(Debug, Serialize, ToSchema)]
struct HugePagesBody {
    asked: bool,
    /// Null if the host offers none.
    page_bytes: Option<usize>,
    /// The remedy.
    remedy: Option<&'static str>,
}

/// Memory beside the pool.
#[derive(Debug, Serialize, ToSchema)]
struct BesideBody {
    /// The user of the memory.
    what: &'static str,
    each_bytes: u64,
}

/// One limit of the host.
#[derive(Debug, Serialize, ToSchema)]
struct LimitBody {
    /// The limited resource, with its unit last.
    name: &'static str,
    /// The setting of the limit.
    set_by: &'static str,
    needed: u64,
    /// Null if there is no limit.
    found: Option<u64>,
    ok: bool,
    /// The remedy where it is too low.
    remedy: &'static str,
}

impl From<PlanReport> for PlanBody {
    fn from(plan: PlanReport) -> Self {
        let HugePagesReport {
            asked,
            page_bytes,
            remedy,
        } = plan.huge_pages;
        let beside = plan.beside_pool.into_iter();
        let beside =
            beside.map(|BesideReport { what, each_bytes }| BesideBody { what, each_bytes });
        let limits = plan.limits.into_iter();
        let limits = limits.map(
            |LimitReport {
                 name,
                 set_by,
                 needed,
                 found,
                 ok,
                 remedy,
             }| LimitBody {
                name,
                set_by,
                needed,
                found,
                ok,
                remedy,
            },
        );
        Self {
            streams: plan.streams,
            rate_hz: plan.rate_hz,
            channels: plan.channels,
            ptime_ns: plan.ptime_ns,
            block_samples: plan.block_samples,
            frame_bytes: plan.frame_bytes,
            frames_per_ring: plan.frames_per_ring,
            ring_bytes: plan.ring_bytes,
            buffered_seconds: plan.buffered_seconds,
            resident_bytes: plan.resident_bytes,
            virtual_bytes: plan.virtual_bytes,
            metadata_bytes: plan.metadata_bytes,
            page_table_bytes: plan.page_table_bytes,
            vmas: plan.vmas,
            descriptors: plan.descriptors,
            startup_ns: plan.startup_ns,
            prefault_startup_ns: plan.prefault_startup_ns,
            lock: plan.lock,
            huge_pages: HugePagesBody {
                asked,
                page_bytes,
                remedy,
            },
            beside_pool: beside.collect(),
            fits: plan.fits,
            limits: limits.collect(),
            notes: plan.notes,
        }
    }
}

/// The needs of the server's pool on this host, checked now.
#[utoipa::path(
    get, path = "/api/v1/plan", tag = "server",
    responses((status = 200, description = "The plan", body = PlanBody))
)]
async fn plan(Shared(state): Shared<Arc<State>>) -> Result<Json<PlanBody>, Problem> {
    let handle = state.handle.clone();
    // It reads some dozen files of the kernel's.
    Ok(Json(off_thread(move || handle.plan()).await?.into()))
}
