//! `/api/v1/session`: a token for a cookie, since a page's audio and events cannot send a token
//! themselves.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::control::{
    extract::Body,
    guard,
    problem::Problem,
    state::State,
    tokens::{Access, SESSION_LIFE},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(session, begin_session, end_session))
}

/// The body that begins a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The token of one of the server's files.
    token: String,
}

/// The rights of the request.
#[derive(Debug, Serialize, ToSchema)]
struct SessionBody {
    access: AccessBody,
    /// Whether this server wants a token for anything.
    token_needed: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AccessBody {
    None,
    Read,
    Change,
}

impl SessionBody {
    fn new(state: &State, access: Access) -> Self {
        Self {
            access: match access {
                Access::Nothing => AccessBody::None,
                Access::Read => AccessBody::Read,
                Access::Change => AccessBody::Change,
            },
            token_needed: state.auth.is_on(),
        }
    }
}

/// The rights of this request, by its token or its session.
#[utoipa::path(
    get, path = "/api/v1/session", tag = "session",
    responses((status = 200, description = "The rights of the request", body = SessionBody))
)]
async fn session(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Json<SessionBody> {
    let access = state.auth.access(&headers, Instant::now());
    Json(SessionBody::new(&state, access))
}

/// Begins a session: a cookie that lasts twelve hours, for what the token allows.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "session",
    request_body = Credentials,
    responses(
        (status = 200, description = "The session, and its cookie unless no token is needed here",
         body = SessionBody),
        (status = 401, description = "The token is none of this server's",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn begin_session(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Response {
    let allowed = state.auth.access_of(&credentials.token);
    let (access, _) = allowed;
    if access == Access::Nothing {
        return guard::unauthorized(&headers, false);
    }
    // A second login replaces the session.
    state.auth.end_session(&headers);
    let mut response = Json(SessionBody::new(&state, access)).into_response();
    if state.auth.is_on() {
        let value = state.auth.begin_session(allowed, Instant::now());
        set_cookie(&mut response, &state, &value, SESSION_LIFE.as_secs());
    }
    response
}

/// Ends the session of this request, if it has one.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session",
    responses((status = 204, description = "There is no session, any more"))
)]
async fn end_session(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    state.auth.end_session(&headers);
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &state, "", 0);
    response
}

fn set_cookie(response: &mut Response, state: &State, value: &str, seconds: u64) {
    let name = state.auth.cookie();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
