//! `POST /api/v1/streams`: streams that begin by command.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{extract::State as Shared, http::StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{OneOfBuilder, RefOr, Schema},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Created, off_thread,
    recordings::{check_name, folder_status},
    stream::{StreamDetail, gain, some},
};
use crate::{
    config,
    control::{
        extract::{Body, INTEGER_MAX, checked_id, read},
        problem::Problem,
        state::State,
    },
    engine::{SourceSpec, StartError},
    source::{Waveform, synthetic::level_dbfs},
    wire::label::Label,
};

/// A year.
const DURATION_S_MAX: f64 = 31_536_000.0;

/// Half of the highest rate that a mix may have.
const FREQUENCY_HZ_MAX: f64 = 192_000.0;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(start_stream))
}

/// A stream that is to begin.
#[derive(Debug)]
enum StartStreamBody {
    Synthetic(SyntheticBody),
    File(FileBody),
}

impl PartialSchema for StartStreamBody {
    fn schema() -> RefOr<Schema> {
        let kinds = OneOfBuilder::new().item(SyntheticBody::schema());
        RefOr::T(kinds.item(FileBody::schema()).build().into())
    }
}

impl ToSchema for StartStreamBody {}

/// Sound that is made up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SyntheticBody {
    #[schema(inline)]
    #[expect(dead_code, reason = "it has one value")]
    kind: SyntheticKind,
    /// Its name, without spaces, not `.` or `..`; if a stream that runs has it, a number is put behind it.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^([!-~]*[!-\-/-~][!-~]*|\.{3,})$",
        example = "tone"
    )]
    id: String,
    /// The kind of sound.
    #[schema(inline)]
    waveform: WaveformBody,
    /// Its level in dB of full scale.
    #[serde(default = "level")]
    #[schema(minimum = -120, maximum = 0)]
    level_dbfs: f64,
    /// Of a tone or a voice, below half the rate of the mix.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 192_000)]
    frequency_hz: Option<f64>,
    /// Equal seeds yield equal samples.
    #[serde(default = "seed")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    seed: u64,
    /// How long it lasts; without an end if nothing is said.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 31_536_000)]
    duration_s: Option<f64>,
    /// The label for people, without control characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    label: Option<Label>,
    /// In dB; without it, that of the server.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f32, minimum = -96, maximum = 24)]
    gain_db: Option<f32>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SyntheticKind {
    Synthetic,
}

/// A WAV file of the folder that `--recordings` names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileBody {
    #[schema(inline)]
    #[expect(dead_code, reason = "it has one value")]
    kind: FileKind,
    /// Its name, without spaces, not `.` or `..`; if a stream that runs has it, a number is put behind it.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^([!-~]*[!-\-/-~][!-~]*|\.{3,})$",
        example = "song"
    )]
    id: String,
    /// The file: ASCII without `/`, without a dot in front, ending in `.wav`.
    #[schema(
        max_length = 128,
        pattern = r"^[ -\-0-~][ -.0-~]*\.wav$",
        example = "song.wav"
    )]
    name: String,
    /// Whether it begins again at its end.
    #[serde(default)]
    looped: bool,
    /// The label for people, without control characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    label: Option<Label>,
    /// In dB; without it, that of the server.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f32, minimum = -96, maximum = 24)]
    gain_db: Option<f32>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    File,
}

/// As `--level` for one stream.
fn level() -> f64 {
    level_dbfs(1)
}

/// As `--seed`.
fn seed() -> u64 {
    config::Synthetic::default().seed
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WaveformBody {
    Sine,
    Sweep,
    White,
    Pink,
    Speech,
    Silence,
    Impulse,
}

impl From<WaveformBody> for Waveform {
    fn from(waveform: WaveformBody) -> Self {
        match waveform {
            WaveformBody::Sine => Self::Sine,
            WaveformBody::Sweep => Self::Sweep,
            WaveformBody::White => Self::White,
            WaveformBody::Pink => Self::Pink,
            WaveformBody::Speech => Self::Speech,
            WaveformBody::Silence => Self::Silence,
            WaveformBody::Impulse => Self::Impulse,
        }
    }
}

impl StartStreamBody {
    /// By its kind; read as an untagged enum, it could not name the field that is wrong.
    fn read(object: Map<String, Value>) -> Result<Self, Problem> {
        match object.get("kind").and_then(Value::as_str) {
            Some("synthetic") => read(object).map(Self::Synthetic),
            Some("file") => read(object).map(Self::File),
            _ => Err(Problem::bad_request(
                "in the JSON body: `kind` is \"synthetic\" or \"file\"",
            )),
        }
    }

    fn spec(self) -> Result<(String, SourceSpec, Option<Label>, Option<f32>), Problem> {
        match self {
            Self::Synthetic(asked) => {
                let refused = |reason: &str| Err(Problem::bad_request(reason));
                let (hz, s) = (asked.frequency_hz, asked.duration_s);
                if hz.is_some_and(|hz| hz <= 0.0 || hz > FREQUENCY_HZ_MAX) {
                    return refused("a frequency_hz is above 0 and at most 192000");
                }
                if s.is_some_and(|s| s <= 0.0 || s > DURATION_S_MAX) {
                    return refused("a duration_s is above 0 and at most a year");
                }
                if asked.seed > INTEGER_MAX {
                    return refused("a seed is below 2^53");
                }
                let spec = SourceSpec::Synthetic {
                    waveform: asked.waveform.into(),
                    level_dbfs: asked.level_dbfs,
                    frequency_hz: hz,
                    seed: asked.seed,
                    // The shortest is a nanosecond: it lasts for a sample.
                    duration: s.map(|s| Duration::from_secs_f64(s).max(Duration::from_nanos(1))),
                };
                Ok((asked.id, spec, asked.label, asked.gain_db))
            }
            Self::File(asked) => {
                let FileBody { name, looped, .. } = asked;
                check_name(&name)?;
                let spec = SourceSpec::File { name, looped };
                Ok((asked.id, spec, asked.label, asked.gain_db))
            }
        }
    }
}

/// Begins a stream: a sound that is made up, or a file of the recordings folder.
#[utoipa::path(
    post, path = "/api/v1/streams", tag = "streams",
    request_body = StartStreamBody,
    responses(
        (status = 201, description = "It begins", body = StreamDetail,
         headers(("Location" = String, description = "The path of the stream"))),
        (status = 404, description = "There is no such file",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The file is none that can be played, the frequency is too high for \
         the rate of the mix, or this server has no folder of files",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn start_stream(
    Shared(state): Shared<Arc<State>>,
    Body(asked): Body<Map<String, Value>>,
) -> Result<Created<StreamDetail>, Problem> {
    let (id, spec, label, gain_db) = StartStreamBody::read(asked)?.spec()?;
    checked_id(&id)?;
    let gain = gain_db.map(gain).transpose()?;
    let handle = state.handle.clone();
    let started = off_thread(move || handle.start_source(&spec, &id, gain)).await?;
    let admitted = started.map_err(|error| refused(&error))?;
    if label.is_some() {
        admitted.set_label(label);
    }
    Ok(Created {
        location: format!("/api/v1/streams/{}", encoded(admitted.id())),
        body: StreamDetail::new(&state, &admitted),
    })
}

fn refused(error: &StartError) -> Problem {
    let status = match error {
        StartError::Id | StartError::Level | StartError::Duration => StatusCode::BAD_REQUEST,
        StartError::Frequency { .. } | StartError::NoFolder | StartError::Source(_) => {
            StatusCode::CONFLICT
        }
        StartError::Folder(error) => folder_status(error),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::of(status, error)
}

/// As one segment of a path (RFC 3986, 3.3).
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // A string takes all that is written.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
