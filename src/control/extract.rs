//! The parts that handlers take of a request, each refused by a problem document.

use std::{error::Error as _, fmt, time::Duration};

use axum::{
    body::{HttpBody as _, to_bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{plain::plain, problem::Problem};
use crate::wire::id::{ID_BYTES_MAX, is_id};

/// Bytes of a JSON body, at most.
pub(super) const JSON_BYTES_MAX: usize = 64 << 10;

/// The largest whole number that every reader of JSON knows (RFC 8259, 6).
pub(super) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A JSON body comes whole within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse(&json(request).await?).map(Self)
    }
}

/// The bytes of a JSON body.
async fn json(request: Request) -> Result<Bytes, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_json = kind
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this takes JSON: send `Content-Type: application/json`",
        ));
    }
    let too_long = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("JSON has at most {JSON_BYTES_MAX} bytes here"),
        )
    };
    // A body that is declared too long is refused before it comes.
    if request.body().size_hint().lower() > JSON_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let body = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), JSON_BYTES_MAX));
    match body.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => Err(too_long()),
        Ok(Err(_)) => Err(Problem::bad_request(
            "the body did not come: the connection ended before its end",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not come within {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let Object(object) = serde_json::from_slice(bytes).map_err(|error| {
        let reason = error.to_string();
        let place = reason.rsplit_once(" at line ");
        // For JSON that is no such object the place says nothing.
        match place.filter(|_| error.is_data()) {
            Some((reason, _)) => in_body(reason),
            None => in_body(&reason),
        }
    })?;
    read(object)
}

/// A JSON body that may be left out, or be null.
#[derive(Debug)]
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        let bytes = json(request).await?;
        if bytes.is_empty() || bytes.trim_ascii() == b"null" {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

/// Reads a body's fields; a refusal names the one that is wrong.
pub(super) fn read<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Value::Object(object))
        .map_err(|error| in_body(&error.to_string()))
}

fn in_body(reason: &str) -> Problem {
    Problem::bad_request(format!("in the JSON body: {}", plain(reason)))
}

/// A JSON object, no key of which comes twice: of two, one would be ignored. No body has an object in it.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, as {\"gain_db\": -6}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Object, A::Error> {
                let mut object = Map::new();
                while let Some((key, value)) = fields.next_entry::<String, Value>()? {
                    if object.contains_key(&key) {
                        return Err(A::Error::custom(format!("the field `{key}` comes twice")));
                    }
                    object.insert(key, value);
                }
                Ok(Object(object))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The query, with nothing in it that is not known.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|rejection| {
                let said = rejection.source().map(ToString::to_string);
                let why = plain(&said.unwrap_or_default());
                Problem::bad_request(format!("in the query: {why}"))
            })
    }
}

/// The one name in a path.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

/// The two names in a path.
#[derive(Debug)]
pub(super) struct Names(pub(super) String, pub(super) String);

/// The one number in a path.
#[derive(Debug)]
pub(super) struct Number(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        in_path(parts, state, "a name in UTF-8").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (first, second) = in_path(parts, state, "a name in UTF-8").await?;
        Ok(Self(first, second))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let takes = "a whole number of 0 or more, as 10";
        in_path(parts, state, takes).await.map(Self)
    }
}

async fn in_path<T, S>(parts: &mut Parts, state: &S, takes: &str) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    Path::from_request_parts(parts, state)
        .await
        .map(|Path(value)| value)
        .map_err(|_| Problem::bad_request(format!("in the path: the name there is not {takes}")))
}

/// A stream's name, if it can be one.
pub(super) fn checked_id(id: &str) -> Result<&str, Problem> {
    if is_id(id) {
        return Ok(id);
    }
    let detail = format!(
        "an id is 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces, and not `.` or `..`; {} bytes were sent that are not",
        id.len()
    );
    Err(Problem::bad_request(detail))
}
