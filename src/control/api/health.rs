//! `GET /healthz` and `GET /readyz`: for supervisors that restart servers, and for load balancers.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::{problem::Problem, sampler::PERIOD, state::State},
    os::now_ns,
    output::RecordingPhase,
};

/// A mix that is so long behind its clock is not ready for more.
const BEHIND_MAX: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
}

/// That all is well.
#[derive(Debug, Serialize, ToSchema)]
struct Well {
    /// Always `ok`; anything else is another status.
    #[schema(example = "ok")]
    status: &'static str,
}

/// That the server mixes.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Always `ok`; anything else is another status.
    #[schema(example = "ok")]
    status: &'static str,
    /// Names of recordings that ended early, the latest 16: the mix goes on without them.
    failed_recordings: Vec<String>,
}

/// Failed recordings that are named.
const FAILED_MAX: usize = 16;

const WELL: Well = Well { status: "ok" };

/// Whether the control plane answers.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It does", body = Well))
)]
async fn health() -> Json<Well> {
    Json(WELL)
}

/// Whether the mix runs, and keeps up with its clock. Recordings that failed are named: that they did makes the
/// server no less ready.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, description = "It does", body = Ready),
        (status = 503, description = "It has not begun, has ended, or is more than a second behind",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn ready(Shared(state): Shared<Arc<State>>) -> Result<Json<Ready>, Problem> {
    let handle = &state.handle;
    let snapshot = state.snapshot();
    if handle.is_done() {
        return Err(Problem::unavailable("the mix has ended"));
    }
    if snapshot.status.ticks == 0 {
        return Err(Problem::unavailable("the mix has not begun"));
    }
    if let Some(clock) = handle.clock() {
        // From the clock itself: a stalled mixer does not report its lateness. The ticks were
        // counted a tenth of a second ago, at most.
        let due = clock.next_tick(now_ns());
        let behind_ns = due.saturating_sub(snapshot.status.ticks) * clock.period_ns;
        let behind = Duration::from_nanos(behind_ns);
        if behind > BEHIND_MAX + PERIOD {
            return Err(Problem::unavailable(format!(
                "the mix is {behind:.1?} behind its clock"
            )));
        }
    }
    let recordings = handle.recordings().into_iter().rev();
    let failed = recordings.filter(|recording| recording.phase == RecordingPhase::Failed);
    Ok(Json(Ready {
        status: WELL.status,
        failed_recordings: failed
            .map(|recording| recording.name)
            .take(FAILED_MAX)
            .collect(),
    }))
}
