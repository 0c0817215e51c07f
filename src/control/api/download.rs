//! `/api/v1/recordings/{id}/file`: a file of a recording, also while it is written.
//!
//! It is read piece by piece as the client takes it, on a thread that may wait for the disk. The length is that of the
//! file as it was opened, which may have grown since; one that is cut since ends the connection, so that no client takes a part for the whole.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::Arc,
};

use axum::{
    body::Body,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{off_thread, recordings::folder_status};
use crate::{
    control::{
        extract::{Number, Query},
        problem::Problem,
        state::State,
    },
    engine::ReadError,
    wire::sidecar::Container,
};

/// Bytes that are read at once, and wait for the client.
const PIECE_BYTES: u64 = 64 << 10;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(recording_file))
}

/// The file of a recording as it is now, a WAV or a FLAC, or one of its segments. One range of bytes may be asked for: of a
/// recording that runs, the bytes behind those that are there.
#[utoipa::path(
    get, path = "/api/v1/recordings/{id}/file", tag = "recordings",
    params(
        ("id" = u64, Path, description = "Its number"),
        Part,
        ("Range" = Option<String>, Header, description = "`bytes=FIRST-LAST`; what is no such range is passed over"),
    ),
    responses(
        (status = 200, description = "All of it",
         content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/flac")),
         headers(("Content-Length" = u64), ("Content-Disposition" = String), ("Accept-Ranges" = String))),
        (status = 206, description = "The range",
         content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/flac")),
         headers(("Content-Length" = u64), ("Content-Range" = String))),
        (status = 404, description = "There is no such recording or segment, or its file is gone",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not in the recordings folder",
         body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range begins behind the end",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn recording_file(
    method: Method,
    Shared(state): Shared<Arc<State>>,
    Number(id): Number,
    Query(asked): Query<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let permit = state.endless()?;
    let handle = state.handle.clone();
    let opened = off_thread(move || -> Result<_, Problem> {
        let opened = handle.read_recording(id, asked.segment);
        let (name, file) = opened.map_err(|error| refused(&error))?;
        let length = file.metadata().map_err(Problem::bug)?.len();
        Ok((name, file, length))
    });
    let (name, file, length) = opened.await??;
    let (status, from, to) = match range(&headers, length) {
        Asked::All => (StatusCode::OK, 0, length),
        Asked::Part { from, to } => (StatusCode::PARTIAL_CONTENT, from, to),
        Asked::Beyond => {
            let detail = format!("the range begins behind the end: the file has {length} bytes");
            let mut response =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
            let whole = format!("bytes */{length}");
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, value(&whole)?);
            return Ok(response);
        }
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let (pieces, body) = mpsc::channel(1);
        tokio::spawn(async move {
            send(file, from, to, &pieces).await;
            drop(permit);
        });
        Body::from_stream(ReceiverStream::new(body))
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(&name)),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, (to - from).into());
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition(&name))?);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {from}-{}/{length}", to - 1);
        headers.insert(header::CONTENT_RANGE, value(&part)?);
    }
    Ok(response)
}

/// Which of its files.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Part {
    /// The number of the segment, from 1; the latest without.
    #[param(minimum = 1)]
    segment: Option<u32>,
}

fn media_type(name: &str) -> &'static str {
    match Container::of(Path::new(name)) {
        Container::Wav => "audio/wav",
        Container::Flac => "audio/flac",
    }
}

fn refused(error: &ReadError) -> Problem {
    let status = match error {
        ReadError::NotFound(_) | ReadError::NoSegment { .. } => StatusCode::NOT_FOUND,
        ReadError::Folder(error) => folder_status(error),
        _ => StatusCode::CONFLICT,
    };
    Problem::of(status, error)
}

fn value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(Problem::bug)
}

/// To be kept under this name (RFC 6266): names that the API takes are ASCII, and the two signs that end or escape a
/// quoted string are escaped.
fn disposition(name: &str) -> String {
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("attachment; filename=\"{quoted}\"")
}

/// The part of the file that is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    /// From this byte on, up to that one, which is not in it.
    Part {
        from: u64,
        to: u64,
    },
    Beyond,
}

/// The one range that is asked for (RFC 9110, section 14.2): any other field asks for all.
fn range(headers: &HeaderMap, length: u64) -> Asked {
    let mut fields = headers.get_all(header::RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Asked::All;
    };
    // A range of another version of the file: there is only one here, and it has no validator.
    if headers.contains_key(header::IF_RANGE) {
        return Asked::All;
    }
    let spec = field
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return Asked::All;
    };
    let whole = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (from, to) = match (whole(first), whole(last)) {
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
        (Some(from), None) if last.is_empty() => (from, length),
        // The last so many.
        (None, Some(0)) if first.is_empty() => return Asked::Beyond,
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), length),
        _ => return Asked::All,
    };
    if from < length {
        Asked::Part { from, to }
    } else {
        Asked::Beyond
    }
}

/// Sends the bytes as the client takes them, until it is gone.
async fn send(file: File, from: u64, to: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    let mut file = file;
    let mut at = from;
    while at < to {
        let bytes = PIECE_BYTES.min(to - at);
        let read = off_thread(move || {
            let piece = read(&mut file, at, bytes);
            (file, piece)
        });
        let Ok((back, piece)) = read.await else {
            return;
        };
        file = back;
        at += bytes;
        let failed = piece.is_err();
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
    }
}

fn read(file: &mut File, at: u64, bytes: u64) -> io::Result<Bytes> {
    file.seek(SeekFrom::Start(at))?;
    let mut piece = vec![0; bytes as usize];
    file.read_exact(&mut piece)?;
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_rfc_9110_has_it() {
        let asked = |field: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, field.parse().unwrap());
            range(&headers, 100)
        };
        let part = |from, to| Asked::Part { from, to };
        assert_eq!(asked("bytes=0-0"), part(0, 1));
        assert_eq!(asked("bytes=10-19"), part(10, 20));
        assert_eq!(asked("bytes=90-"), part(90, 100));
        assert_eq!(asked("bytes=90-99999999999999999999"), part(90, 100));
        assert_eq!(asked("bytes=-7"), part(93, 100));
        assert_eq!(asked("bytes=-700"), part(0, 100));
        for beyond in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(asked(beyond), Asked::Beyond, "{beyond}");
        }
        for all in [
            "bytes=",
            "bytes=-",
            "bytes=2-1",
            "bytes=0-1,5-6",
            "bytes=a-b",
            "bytes=+1-2",
            "items=0-1",
        ] {
            assert_eq!(asked(all), Asked::All, "{all}");
        }
        assert_eq!(range(&HeaderMap::new(), 100), Asked::All);
    }

    #[test]
    fn a_name_is_quoted() {
        assert_eq!(
            disposition(r#"a "b" \.wav"#),
            r#"attachment; filename="a \"b\" \\.wav""#
        );
    }
}
