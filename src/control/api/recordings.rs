//! `/api/v1/recordings`: what is recorded, and what was.

use std::sync::Arc;

use axum::{Json, extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Created, off_thread};
use crate::{
    control::{
        extract::{Body, Number},
        problem::Problem,
        state::State,
    },
    engine::{
        FolderError, MAIN_ROOM, NAME_BYTES_MAX, Point, RecordError, RecordingRequest,
        RecordingSource, RecordingState, RoomError,
    },
    output::RecordingError,
    wire::{label::Label, sidecar::Mark},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(recordings, start_recording))
        .routes(routes!(recording, change_recording, stop_recording))
        .routes(routes!(mark_recording))
}

/// A recording of a room's mix, or of a stream alone.
#[derive(Debug, Serialize, ToSchema)]
struct RecordingBody {
    #[serde(flatten)]
    recording: RecordingState,
    /// Where its file is read, also while it is written; null unless it is in the recordings folder.
    file: Option<String>,
}

impl From<RecordingState> for RecordingBody {
    fn from(recording: RecordingState) -> Self {
        let path = || format!("/api/v1/recordings/{}/file", recording.id);
        Self {
            file: recording.is_readable().then(path),
            recording,
        }
    }
}

/// Recordings.
#[derive(Debug, Serialize, ToSchema)]
struct RecordingsBody {
    /// In the order of their beginning.
    recordings: Vec<RecordingBody>,
}

/// A recording that is to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartRecordingBody {
    /// The new file in the recordings folder: ASCII without `/`, without a dot in front, ending in `.wav` or
    /// `.flac`.
    /// `{utc}` in it stands for the time, as `20261128T160000Z`, `{room}` and `{stream}` for what is recorded, `{segment}`
    /// for the number of the file.
    #[schema(
        max_length = 128,
        pattern = r"^[ -\-0-~][ -.0-~]*\.(wav|flac)$",
        example = "mix.wav"
    )]
    name: String,
    /// The room to record: `main`, if neither it nor a stream is named.
    #[schema(max_length = 128, example = "main")]
    room: Option<String>,
    /// The stream to record alone, in place of a room.
    #[schema(max_length = 128)]
    stream: Option<String>,
    /// Where the stream is taken: `before_gain`, as it comes in, if neither is named; `after_gain`, mute and fades, as it
    /// adds to the room that it is in, until it leaves that.
    #[schema(value_type = Option<String>, pattern = "^(before|after)_gain$", example = "before_gain")]
    point: Option<Point>,
}

impl StartRecordingBody {
    fn source(&self) -> Result<RecordingSource<'_>, Problem> {
        match (&self.room, &self.stream, self.point) {
            (Some(_), Some(_), _) => Err(Problem::conflict(
                "a recording is of a room or of a stream: leave one of them out",
            )),
            (_, None, Some(_)) => Err(Problem::conflict(
                "a room has no point where it is taken: name a stream, or leave the point out",
            )),
            (_, Some(stream), point) => Ok(RecordingSource::Stream(
                stream,
                point.unwrap_or(Point::BeforeGain),
            )),
            (room, None, None) => Ok(RecordingSource::Room(room.as_deref().unwrap_or(MAIN_ROOM))),
        }
    }
}

/// The recordings that run, and the latest that ended.
#[utoipa::path(
    get, path = "/api/v1/recordings", tag = "recordings",
    responses((status = 200, description = "The recordings", body = RecordingsBody))
)]
async fn recordings(Shared(state): Shared<Arc<State>>) -> Json<RecordingsBody> {
    let recordings = state.handle.recordings();
    Json(RecordingsBody {
        recordings: recordings.into_iter().map(RecordingBody::from).collect(),
    })
}

/// Records a room, or a stream alone, from the next tick on, to a new file of the folder that `--recordings` names. It is
/// finished when the room is closed, or the stream has ended, or has left its room if it is recorded after gain.
#[utoipa::path(
    post, path = "/api/v1/recordings", tag = "recordings",
    request_body = StartRecordingBody,
    responses(
        (status = 201, description = "It records", body = RecordingBody,
         headers(("Location" = String, description = "The path of the recording"))),
        (status = 404, description = "There is no such room or stream",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A room and a stream are named, there is a file of that name, as many \
         recordings run as may, or as many of the stream, or this server has no folder for them",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn start_recording(
    Shared(state): Shared<Arc<State>>,
    Body(asked): Body<StartRecordingBody>,
) -> Result<Created<RecordingBody>, Problem> {
    check_name(&asked.name)?;
    let handle = state.handle.clone();
    asked.source()?;
    let begin = move || {
        let (name, source) = (&*asked.name, asked.source()?);
        let begun = handle.start_recording(RecordingRequest { name, source });
        begun.map_err(|error| refused(&error))
    };
    let recording = off_thread(begin).await??;
    Ok(Created {
        location: format!("/api/v1/recordings/{}", recording.id),
        body: recording.into(),
    })
}

/// A recording.
#[utoipa::path(
    get, path = "/api/v1/recordings/{id}", tag = "recordings",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, description = "The recording", body = RecordingBody))
)]
async fn recording(
    Shared(state): Shared<Arc<State>>,
    Number(id): Number,
) -> Result<Json<RecordingBody>, Problem> {
    let recordings = state.handle.recordings();
    let recording = recordings.into_iter().find(|recording| recording.id == id);
    recording
        .map(|recording| Json(recording.into()))
        .ok_or_else(|| refused(&RecordError::NotFound { id }))
}

/// Stops a recording at the next tick. The file stays; it is whole once the phase is `done`. One that has
/// ended stays as it is.
#[utoipa::path(
    delete, path = "/api/v1/recordings/{id}", tag = "recordings",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 202, description = "It stops, or has ended", body = RecordingBody))
)]
async fn stop_recording(
    Shared(state): Shared<Arc<State>>,
    Number(id): Number,
) -> Result<(StatusCode, Json<RecordingBody>), Problem> {
    let recording = state
        .handle
        .stop_recording(id)
        .map_err(|error| refused(&error))?;
    Ok((StatusCode::ACCEPTED, Json(recording.into())))
}

/// A change of a recording.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRecordingBody {
    /// Whether silence is written from the next tick on, in place of what is recorded: time stays true, and the sidecar
    /// names the span.
    paused: bool,
}

/// Pauses a recording from the next tick on, or ends the pause. One that has ended stays as it is.
#[utoipa::path(
    patch, path = "/api/v1/recordings/{id}", tag = "recordings",
    params(("id" = u64, Path, description = "Its number")),
    request_body = ChangeRecordingBody,
    responses((status = 202, description = "It is, or has ended", body = RecordingBody))
)]
async fn change_recording(
    Shared(state): Shared<Arc<State>>,
    Number(id): Number,
    Body(asked): Body<ChangeRecordingBody>,
) -> Result<(StatusCode, Json<RecordingBody>), Problem> {
    let paused = state.handle.pause_recording(id, asked.paused);
    let recording = paused.map_err(|error| refused(&error))?;
    Ok((StatusCode::ACCEPTED, Json(recording.into())))
}

/// A named point of a recording.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    /// Its name, without control characters.
    #[schema(value_type = String, min_length = 1, max_length = 128, example = "vote",
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    name: Label,
}

/// A point in the mix.
#[derive(Debug, Serialize, ToSchema)]
struct MarkedBody {
    /// Its name.
    name: String,
    /// Its sample of the mix, per channel: that of the next tick.
    index: u64,
}

/// Puts a named point into the sidecar of a recording that runs.
#[utoipa::path(
    post, path = "/api/v1/recordings/{id}/marks", tag = "recordings",
    params(("id" = u64, Path, description = "Its number")),
    request_body = MarkBody,
    responses(
        (status = 201, description = "It is marked", body = MarkedBody),
        (status = 409, description = "It has ended, or has as many marks as it may",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn mark_recording(
    Shared(state): Shared<Arc<State>>,
    Number(id): Number,
    Body(asked): Body<MarkBody>,
) -> Result<(StatusCode, Json<MarkedBody>), Problem> {
    let marked = state
        .handle
        .mark_recording(id, &Arc::<str>::from(asked.name));
    let Mark { name, index } = marked.map_err(|error| refused(&error))?;
    Ok((StatusCode::CREATED, Json(MarkedBody { name, index })))
}

pub(super) fn refused(error: &RecordError) -> Problem {
    let status = match error {
        RecordError::NoFolder
        | RecordError::NoRule { .. }
        | RecordError::NotByCommand { .. }
        | RecordError::TooMany { .. }
        | RecordError::TooManyOfStream { .. }
        | RecordError::TooManyMarks { .. }
        | RecordError::HasEnded { .. }
        | RecordError::Recording(RecordingError::Exists { .. } | RecordingError::Flac { .. }) => {
            StatusCode::CONFLICT
        }
        RecordError::Recording(RecordingError::Folder(error)) => folder_status(error),
        RecordError::NotFound { .. }
        | RecordError::NoStream { .. }
        | RecordError::Room(RoomError::NotFound { .. }) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::of(status, error)
}

/// Names that may be asked for over HTTP: fewer than a folder may have, so that a log or a shell is not
/// surprised. The folder itself refuses what would leave it.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let stem = name
        .strip_suffix(".wav")
        .or_else(|| name.strip_suffix(".flac"));
    let is_plain = name.len() <= NAME_BYTES_MAX
        && stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'))
        && name
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'/');
    if is_plain {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "`{}` is no name for a file here: it is at most {NAME_BYTES_MAX} characters of ASCII without `/`, \
         without a dot in front, and ends in .wav or .flac",
        name.escape_debug()
    )))
}

/// The status for a refused file of the folder.
pub(super) fn folder_status(error: &FolderError) -> StatusCode {
    match error {
        FolderError::Name { .. } => StatusCode::BAD_REQUEST,
        FolderError::NotFound { .. } => StatusCode::NOT_FOUND,
        FolderError::Exists { .. } | FolderError::NotAFile { .. } => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
