//! The dashboard at `/`: a page of plain files that are part of this program.
//!
//! No build step, no inline script or style, and nothing from elsewhere, so that the strictest content
//! security policy holds. The page talks to the server through the routes that all clients have.

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// One file of the page.
struct Asset {
    /// Below `/`; the page itself has no name.
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

macro_rules! asset {
    ($name:literal, $file:literal, $kind:literal) => {
        Asset {
            name: $name,
            kind: $kind,
            body: include_str!(concat!("page/", $file)),
        }
    };
    ($file:literal, $kind:literal) => {
        asset!($file, $file, $kind)
    };
    ($file:literal) => {
        asset!($file, $file, "text/javascript; charset=utf-8")
    };
}

const ASSETS: [Asset; 36] = [
    asset!("", "index.html", "text/html; charset=utf-8"),
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("table.css", "text/css; charset=utf-8"),
    asset!("rooms.css", "text/css; charset=utf-8"),
    asset!("favicon.svg", "image/svg+xml"),
    asset!("theme.js"),
    asset!("app.js"),
    asset!("address.js"),
    asset!("api.js"),
    asset!("bar.js"),
    asset!("canvas.js"),
    asset!("cluster.js"),
    asset!("detail.js"),
    asset!("feed.js"),
    asset!("first.js"),
    asset!("format.js"),
    asset!("health.js"),
    asset!("heatmap.js"),
    asset!("keys.js"),
    asset!("listen.js"),
    asset!("listen-worklet.js"),
    asset!("lower.js"),
    asset!("meter.js"),
    asset!("model.js"),
    asset!("move.js"),
    asset!("name.js"),
    asset!("room.js"),
    asset!("room-figures.js"),
    asset!("rooms.js"),
    asset!("row.js"),
    asset!("session.js"),
    asset!("strip.js"),
    asset!("table.js"),
    asset!("talk.js"),
    asset!("talk-worklet.js"),
    asset!("window.js"),
];

/// The page's routes. They tell nothing of the server, so that they need no token: the page asks for it.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let tag = tag(asset.body);
        router.route(
            &format!("/{}", asset.name),
            get(move |headers: HeaderMap| async move { answer(asset, &tag, &headers) }),
        )
    })
}

/// Changes with the file.
fn tag(body: &str) -> String {
    format!(
        "\"{:08x}-{:x}\"",
        crc32fast::hash(body.as_bytes()),
        body.len()
    )
}

/// The file, or the news that the browser has it already (RFC 9110, section 13.1.2).
fn answer(asset: &'static Asset, tag: &str, headers: &HeaderMap) -> Response {
    // Kept, but asked for each time: a server that was replaced is seen at once, for a few bytes.
    let kept = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, asset.kind),
    ];
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag);
    if known {
        (StatusCode::NOT_MODIFIED, kept).into_response()
    } else {
        (kept, asset.body).into_response()
    }
}

#[cfg(test)]
mod tests;
