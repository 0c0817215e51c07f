//! `GET /api/v1/openapi.json`: the description of all routes, made from their types.
//!
//! The answers common to every route are added here, since they are decided before any of them is called: by the
//! guard, and by the connection.

use std::sync::Arc;

use axum::{Extension, Router, http::header, response::IntoResponse};
use bytes::Bytes;
use utoipa::{
    OpenApi as _, PartialSchema as _, ToSchema as _,
    openapi::{
        Components, Content, Header, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
        schema::{ObjectBuilder, Type},
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::control::{
    problem::{MEDIA_TYPE, Problem},
    state::State,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "mixpool",
        description = "A live audio mixer: its streams, what became of their samples, and the mix.\n\n\
            Every error is a problem document (RFC 9457), but for what is no HTTP or has a head too large \
            to be read: that is answered by a bare 400 or 431, and the connection ends. Samples are interleaved; units stand last in \
            names. HEAD is answered like GET, without the body."
    ),
    servers((url = "/", description = "The server that this comes from.")),
    tags(
        (name = "server", description = "How the server is."),
        (name = "streams", description = "The streams that are mixed, and those that were."),
        (name = "rooms", description = "The rooms: each a mix of its own, of the streams that are in it."),
        (name = "events", description = "Events of streams and of the server."),
        (name = "ingest", description = "Audio in."),
        (name = "listening", description = "The mix and its streams, to listen to."),
        (name = "recordings", description = "Recordings, those under way and those that ended."),
        (name = "session", description = "Tokens for browsers."),
    )
)]
struct Description;

/// An answer that many routes have.
struct Common {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    header: Option<(&'static str, &'static str)>,
}

const RETRY_AFTER: (&str, &str) = ("Retry-After", "Seconds until another try may do.");

/// Answers of every route.
const ANY: [Common; 8] = [
    Common {
        status: "400",
        name: "BadRequest",
        description: "A part of the request is not what it should be; the detail says which.",
        header: None,
    },
    Common {
        status: "403",
        name: "Forbidden",
        description: "The token is for reading alone; or the request comes from another site's page, and \
            changes something or asks for an Upgrade.",
        header: None,
    },
    Common {
        status: "414",
        name: "UriTooLong",
        description: "The path and query are too long.",
        header: None,
    },
    Common {
        status: "421",
        name: "MisdirectedRequest",
        description: "The Host is none of this server's names.",
        header: None,
    },
    Common {
        status: "429",
        name: "TooManyRequests",
        description: "Too many requests or connections come from this address.",
        header: Some(RETRY_AFTER),
    },
    Common {
        status: "431",
        name: "RequestHeaderFieldsTooLarge",
        description: "The header fields are too many or too long.",
        header: None,
    },
    Common {
        status: "500",
        name: "InternalServerError",
        description: "A bug of this server.",
        header: None,
    },
    Common {
        status: "503",
        name: "ServiceUnavailable",
        description: "There is no room for this now.",
        header: Some(RETRY_AFTER),
    },
];

/// Answer of routes with a name in their path.
const NOT_FOUND: Common = Common {
    status: "404",
    name: "NotFound",
    description: "There is no such thing.",
    header: None,
};

/// Answer of routes that need a token.
const UNAUTHORIZED: Common = Common {
    status: "401",
    name: "Unauthorized",
    description: "The request has no valid token, nor a session.",
    header: Some((
        "WWW-Authenticate",
        "How to give a token (RFC 6750, RFC 7617).",
    )),
};

/// Answers of routes that take JSON.
const BODY: [Common; 3] = [
    Common {
        status: "408",
        name: "RequestTimeout",
        description: "The body did not come in time.",
        header: None,
    },
    Common {
        status: "413",
        name: "ContentTooLarge",
        description: "The body is too long.",
        header: None,
    },
    Common {
        status: "415",
        name: "UnsupportedMediaType",
        description: "The body is not of the type that this takes.",
        header: None,
    },
];

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// This description, in version 3.1 of the format.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
async fn openapi(Extension(Described(json)): Extension<Described>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], json)
}

/// The description as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Described(Bytes);

impl Described {
    pub(super) fn new(description: &OpenApi) -> Self {
        let json = serde_json::to_vec(description).expect("it is plain data");
        Self(json.into())
    }
}

/// A router, and what it says of itself.
pub(super) fn described(router: OpenApiRouter<Arc<State>>) -> (Router<Arc<State>>, OpenApi) {
    router.split_for_parts()
}

/// Adds what the guard answers to routes behind it: if tokens are needed, with the cookie's name.
pub(super) fn guarded(mut description: OpenApi, auth: Option<&str>) -> OpenApi {
    for operation in operations(&mut description) {
        if auth.is_some() {
            let schemes = ["bearer", "basic", "session"];
            operation.security = Some(
                schemes
                    .map(|scheme| SecurityRequirement::new(scheme, [""; 0]))
                    .to_vec(),
            );
            declare(operation, &UNAUTHORIZED);
        }
    }
    description
}

/// Adds what all routes have in common.
pub(super) fn complete(description: OpenApi, auth: Option<&str>) -> OpenApi {
    let mut whole = Description::openapi();
    whole.merge(description);
    let paths = std::mem::take(&mut whole.paths.paths);
    whole.paths.paths = paths
        .into_iter()
        .map(|(path, item)| {
            let item = with_common_answers(&path, item);
            (path, item)
        })
        .collect();
    let components = whole.components.get_or_insert_with(Components::new);
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let common = ANY.iter().chain(&BODY);
    let common = common.chain([&NOT_FOUND, &UNAUTHORIZED]);
    components
        .responses
        .extend(common.map(|common| (common.name.to_owned(), RefOr::T(response(common)))));
    if let Some(cookie) = auth {
        let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie)));
        components.security_schemes.extend([
            ("bearer".to_owned(), http(HttpAuthScheme::Bearer).into()),
            ("basic".to_owned(), http(HttpAuthScheme::Basic).into()),
            ("session".to_owned(), cookie.into()),
        ]);
    }
    whole
}

fn with_common_answers(path: &str, mut item: PathItem) -> PathItem {
    let looking = [&mut item.get, &mut item.head];
    for operation in looking.into_iter().flatten() {
        declare_all(operation, &ANY);
        if path.contains('{') {
            declare(operation, &NOT_FOUND);
        }
    }
    let changing = [
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ];
    for operation in changing.into_iter().flatten() {
        declare_all(operation, &ANY);
        if path.contains('{') {
            declare(operation, &NOT_FOUND);
        }
        if operation.request_body.is_some() {
            declare_all(operation, &BODY);
        }
    }
    item
}

fn declare_all(operation: &mut Operation, answers: &[Common]) {
    for common in answers {
        declare(operation, common);
    }
}

/// Unless the route says itself what this answer is.
fn declare(operation: &mut Operation, common: &Common) {
    operation
        .responses
        .responses
        .entry(common.status.to_owned())
        .or_insert_with(|| Ref::from_response_name(common.name).into());
}

fn response(common: &Common) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let response = ResponseBuilder::new()
        .description(common.description)
        .content(MEDIA_TYPE, Content::new(Some(schema)));
    match common.header {
        Some((name, description)) => response.header(name, header(description)).build(),
        None => response.build(),
    }
}

fn header(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .description(Some(description))
        .build()
}

fn operations(description: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    description.paths.paths.values_mut().flat_map(|item| {
        [
            &mut item.get,
            &mut item.head,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ]
        .into_iter()
        .flatten()
    })
}
