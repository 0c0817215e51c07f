//! The checks of every request, and the headers of every answer.
//!
//! A browser is a stranger's program on a friend's machine. So the Host must be one of ours, or a name
//! that leads here by trickery (DNS rebinding) would be taken for the page's own; and any request that changes
//! something, a WebSocket included, must come from our own page if it comes from a page at all. The right to
//! read or change is decided after that, by tokens.

use std::{
    future::{poll_fn, ready},
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use axum::{
    body::to_bytes,
    extract::{Request, State as Shared},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header,
        uri::{Authority, Uri},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{
    ingest,
    leave::Leave,
    problem::{Detail, MEDIA_TYPE, Problem},
    state::State,
    tokens::Access,
};

/// Bytes of a request's path and query, at most.
pub(super) const URL_BYTES_MAX: usize = 8 << 10;

/// Bytes of a request's header fields, at most.
pub(super) const HEADER_BYTES_MAX: usize = 16 << 10;

/// Header fields of a request, at most.
pub(super) const HEADERS_MAX: usize = 64;

/// Characters of a path that are logged.
const LOGGED_PATH_CHARACTERS_MAX: usize = 200;

/// Bytes of another's error text that become a problem's detail.
const DETAIL_BYTES_MAX: usize = 1024;

/// Seconds until another try may do, where nothing better is known.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Our own files and answers alone; nothing inline, nothing from elsewhere, in no other page's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self'; worker-src 'self'; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Both ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Ours, as it reached us.
    pub(super) local: SocketAddr,
}

/// Around everything: limits, Host and Origin, panics, problems, and the headers of answers.
pub(super) async fn protect(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let response = match refusal(&state, &request) {
        Some(refused) => finished(ready(refused)).await,
        None => finished(next.run(request)).await,
    };
    if let Some(asked) = asked {
        asked.log_refusal(&state, &response);
    }
    response
}

/// The parts of a refused request that the log has.
struct Asked {
    address: IpAddr,
    method: Method,
    uri: Uri,
}

impl Asked {
    fn of(request: &Request) -> Option<Self> {
        let peer = request.extensions().get::<Peer>()?;
        Some(Self {
            address: peer.address.ip().to_canonical(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        })
    }

    /// Logs an answer that keeps a stranger out, or refuses audio, as often as strangers may have it logged.
    /// Text that a stranger chooses comes last, escaped: the address stands before it.
    fn log_refusal(&self, state: &State, response: &Response) {
        let status = response.status();
        let keeps_out = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let path = self.uri.path();
        let refuses_audio = (path.starts_with("/ingest/") || path == ingest::WEBSOCKET)
            && (status.is_client_error() || status.is_server_error());
        if !keeps_out.contains(&status) && !refuses_audio {
            return;
        }
        if let Some(skipped) = state.may_log_refusal() {
            let why = response.extensions().get::<Detail>();
            let path: String = path.chars().take(LOGGED_PATH_CHARACTERS_MAX).collect();
            tracing::warn!(
                address = %self.address,
                status = status.as_u16(),
                skipped,
                method = self.method.as_str(),
                path,
                why = why.map(|Detail(why)| why.as_str()),
                "request refused"
            );
        }
    }
}

/// An answer as it goes out, even if its handler fails.
async fn finished(answer: impl Future<Output = Response>) -> Response {
    let response = caught(answer)
        .await
        .unwrap_or_else(|Panicked| Problem::bug("a panic, logged above").into_response());
    let mut response = as_problem(response).await;
    dress(&mut response);
    response
}

/// Before each route that is not for all: whether the request's token allows it. A read token allows
/// GET, but for a WebSocket that brings audio.
pub(super) async fn authorize(
    Shared(state): Shared<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let needed = match *request.method() {
        // A route without such a method says so to a reader.
        Method::GET | Method::HEAD | Method::OPTIONS
            if request.uri().path() != ingest::WEBSOCKET =>
        {
            Access::Read
        }
        _ => Access::Change,
    };
    admit(&state, request, next, needed).await
}

async fn admit(state: &Arc<State>, mut request: Request, next: Next, needed: Access) -> Response {
    let access = state.auth.access(request.headers(), Instant::now());
    if access >= needed {
        let leave = Leave::new(state, request.headers(), needed);
        // For what is no answer any more: a WebSocket.
        if let Some(leave) = leave.clone() {
            request.extensions_mut().insert(leave);
        }
        return Leave::bound(leave, next.run(request).await);
    }
    if access == Access::Nothing {
        let path = request.uri().path();
        let by_players = ["/listen", "/ingest/"]
            .iter()
            .any(|begin| path.starts_with(begin));
        return unauthorized(request.headers(), by_players);
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "this token is for reading alone; changes need the one of --token-file",
    )
    .into_response()
}

/// The answer to a request without a valid token; with `password`, one may be given instead. Players send
/// one once they are asked for it. A browser would ask its user in a window of its own, where the page has
/// a place for it.
pub(super) fn unauthorized(headers: &HeaderMap, password: bool) -> Response {
    let mut response = Problem::new(
        StatusCode::UNAUTHORIZED,
        "this needs a token: send `Authorization: Bearer TOKEN`, or begin a session with it by POST \
         /api/v1/session",
    )
    .into_response();
    let bearer = if headers.contains_key(header::AUTHORIZATION) {
        r#"Bearer realm="mixpool", error="invalid_token""#
    } else {
        r#"Bearer realm="mixpool""#
    };
    let challenges = response.headers_mut();
    challenges.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(bearer));
    if password {
        let basic = HeaderValue::from_static(r#"Basic realm="mixpool""#);
        challenges.append(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// Why a request is not even looked at.
fn refusal(state: &State, request: &Request) -> Option<Response> {
    let headers = request.headers();
    let Some(&peer) = request.extensions().get::<Peer>() else {
        return Some(Problem::bug("a request that came by no connection").into_response());
    };
    if let Err(wait) = state.rates.take(peer.address.ip(), Instant::now()) {
        return Some(too_many(wait, state.settings.requests_per_second));
    }
    let checked = within_limits(request.uri(), headers)
        .and_then(|()| authority(request.uri(), headers))
        .and_then(|authority| {
            let names = &state.settings.host_names;
            if !is_ours(authority.host(), peer.local.ip(), names) {
                return Err(Problem::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    format!(
                        "this server is not `{}`; if it is to be, start it with --http-host {}",
                        authority.host(),
                        authority.host()
                    ),
                ));
            }
            let changes = !matches!(*request.method(), Method::GET | Method::HEAD)
                || headers.contains_key(header::UPGRADE);
            if changes {
                same_origin(headers, &authority, names)?;
            }
            Ok(())
        });
    checked.err().map(Problem::into_response)
}

fn too_many(wait: Duration, per_second: u32) -> Response {
    let mut response = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        format!("more than {per_second} requests a second came from this address: ask less often"),
    )
    .into_response();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

fn within_limits(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if uri.path_and_query().map_or(0, |path| path.as_str().len()) > URL_BYTES_MAX {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            format!("a path and query have at most {URL_BYTES_MAX} bytes here"),
        ));
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!(
                "a request has at most {HEADERS_MAX} header fields and {HEADER_BYTES_MAX} bytes of \
                 them here"
            ),
        ));
    }
    Ok(())
}

/// The host that the request is for, by its URL or its Host (RFC 9112, 3.2).
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes())
            .ok()
            .filter(|host| !host.as_str().contains('@'))
            .filter(|host| host.port_u16().is_some() || host.as_str() == host.host())
            .ok_or_else(|| Problem::bad_request("the Host header is no host")),
        _ => Err(Problem::bad_request("a request has one Host header")),
    }
}

/// Whether a name or address leads here and nowhere else: the address that was reached, this machine's
/// own names, and those that the user says.
fn is_ours(host: &str, local: IpAddr, names: &[String]) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return true;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let (address, local) = (address.to_canonical(), local.to_canonical());
        return address == local || (address.is_loopback() && local.is_loopback());
    }
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether a request that changes something comes from our own page, or from no page at all.
fn same_origin(headers: &HeaderMap, ours: &Authority, names: &[String]) -> Result<(), Problem> {
    let foreign = |what: String| {
        Problem::new(
            StatusCode::FORBIDDEN,
            format!("{what}: pages of other sites may not change anything here"),
        )
    };
    let site = HeaderName::from_static("sec-fetch-site");
    if let Some(site) = headers.get(site)
        && site != "same-origin"
        && site != "none"
    {
        return Err(foreign("the request comes from another site".to_owned()));
    }
    let (our_host, our_port) = without_default_port(ours);
    for origin in headers.get_all(header::ORIGIN) {
        let is_ours = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.parse::<Uri>().ok())
            .and_then(|origin| {
                let authority = origin.authority()?;
                let (host, port) = without_default_port(authority);
                let same = (&host, port) == (&our_host, our_port);
                // A proxy before us may have another port, if it is the usual one: other ports of the host
                // are other sites.
                let by_name = names.iter().any(|name| name.eq_ignore_ascii_case(&host));
                Some(same || by_name && (port.is_none() || port == our_port))
            });
        if is_ours != Some(true) {
            return Err(foreign(format!(
                "the request's Origin is {origin:?}, and this is {ours}"
            )));
        }
    }
    Ok(())
}

/// The host, and the port if it is not the usual one of HTTP or HTTPS.
fn without_default_port(authority: &Authority) -> (String, Option<u16>) {
    let port = authority
        .port_u16()
        .filter(|port| ![80, 443].contains(port));
    (authority.host().to_ascii_lowercase(), port)
}

struct Panicked;

/// Awaits what may panic.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}

/// Errors that are no problem documents yet come from below us: the router's and the upgrade's.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(header::CONTENT_TYPE);
    if !is_error || kind.is_some_and(|kind| kind == MEDIA_TYPE) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&text).into_owned() {
        _ if status == StatusCode::METHOD_NOT_ALLOWED => {
            "this has no such method; the Allow header says which it has".to_owned()
        }
        text if text.is_empty() => "the request was refused".to_owned(),
        text => text,
    };
    let mut problem = Problem::new(status, detail).into_response();
    for (name, value) in &parts.headers {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            problem.headers_mut().append(name, value.clone());
        }
    }
    problem
}

/// The headers of every answer. An answer's own headers stay.
pub(super) fn dress(response: &mut Response) {
    let later = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let tells_when = later.contains(&response.status());
    let headers = response.headers_mut();
    if tells_when {
        headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
    }
    let ours = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "microphone=(self), camera=(), geolocation=()",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in ours {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests;
