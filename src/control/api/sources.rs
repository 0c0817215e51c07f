//! `POST /api/v1/streams`: streams that begin by command.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use axum::{extract::State as Shared, http::StatusCode};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, ObjectBuilder, OneOfBuilder, RefOr, Schema, schema::Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Created, off_thread,
    recordings::{check_name, folder_status},
    stream::{gain, report, some},
};
use crate::{
    config::{self, Sound},
    control::{
        extract::{Body, INTEGER_MAX, checked_id, read},
        problem::Problem,
        state::State,
    },
    engine::{Joining, SourceSpec, StartError, StreamReport},
    net::{NotAdmitted, Refused},
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

/// A stream that is to begin, as it is described: keys of its kind, and those that all kinds have.
struct StartStreamBody;

impl PartialSchema for StartStreamBody {
    fn schema() -> RefOr<Schema> {
        let kinds = OneOfBuilder::new().item(whole("synthetic", SyntheticBody::schema()));
        let kinds = kinds.item(whole("file", FileBody::schema()));
        RefOr::T(kinds.build().into())
    }
}

impl ToSchema for StartStreamBody {}

/// The schema of a kind, with the keys of all kinds.
fn whole(kind: &str, own: RefOr<Schema>) -> Object {
    let (RefOr::T(Schema::Object(mut own)), RefOr::T(Schema::Object(common))) =
        (own, CommonBody::schema())
    else {
        unreachable!("a struct is an object");
    };
    own.properties
        .insert("kind".to_owned(), words([kind]).into());
    own.properties.extend(common.properties);
    own.required.push("kind".to_owned());
    own.required.extend(common.required);
    own
}

/// One of these words.
fn words<S: Into<Value>>(words: impl IntoIterator<Item = S>) -> ObjectBuilder {
    let words: Vec<Value> = words.into_iter().map(Into::into).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
}

/// The keys that all kinds have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommonBody {
    /// Its name, without spaces, not `.` or `..`; if a stream that runs has it, a number is put behind it.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^([!-~]*[!-\-/-~][!-~]*|\.{3,})$",
        example = "tone"
    )]
    id: String,
    /// The label for people, without control characters.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$")]
    label: Option<Label>,
    /// In dB; without it, that of the server.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -96, maximum = 24)]
    gain_db: Option<f64>,
    /// The room that it is in: `main` if none is given.
    #[serde(default)]
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^([!-~]*[!-\-/-~][!-~]*|\.{3,})$",
        example = "sales"
    )]
    room: Option<String>,
    /// Whether it is muted from its first sample on.
    #[serde(default)]
    muted: bool,
}

/// Sound that is made up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SyntheticBody {
    #[serde(default = "sound")]
    #[schema(schema_with = sounds)]
    waveform: Sound,
    /// Its level in dB of full scale.
    #[serde(default = "level")]
    #[schema(minimum = -120, maximum = 0)]
    level_dbfs: f64,
    /// Frequency of a tone or pitch of a voice, below half the rate of the mix.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 192_000)]
    frequency_hz: Option<f64>,
    /// Equal seeds yield equal samples.
    #[serde(default = "seed", deserialize_with = "integer")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    seed: u64,
    /// How long it lasts; without an end if nothing is said.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 31_536_000)]
    duration_s: Option<f64>,
}

/// A WAV file of the folder that `--recordings` names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileBody {
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
}

/// As `--waveform`.
fn sound() -> Sound {
    config::Synthetic::default().waveform
}

fn sounds() -> Object {
    let kinds = Waveform::ALL.map(Sound::Only);
    let kinds = kinds.into_iter().chain([Sound::Mixed]);
    words(kinds.map(|sound| sound.to_string()))
        .description(Some(
            "The kind of sound. `mixed` is all kinds in turn, of which one stream has the first, a sine.",
        ))
        .default(Some(sound().to_string().into()))
        .build()
}

/// As `--level` for one stream.
fn level() -> f64 {
    level_dbfs(1)
}

/// An integer as JSON Schema has it: 3.0 is one, too.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let is_exact =
        |number: &f64| number.fract() == 0.0 && (0.0..=INTEGER_MAX as f64).contains(number);
    match value.as_f64().filter(is_exact) {
        Some(number) => Ok(number as u64),
        None => u64::deserialize(value).map_err(D::Error::custom),
    }
}

/// As `--seed`.
fn seed() -> u64 {
    config::Synthetic::default().seed
}

/// Reads a body by its kind; read as an untagged enum, it could not name the field that is wrong.
fn read_body(mut own: Map<String, Value>) -> Result<(CommonBody, SourceSpec), Problem> {
    let common = ["id", "label", "gain_db", "room", "muted"].map(|key| own.remove_entry(key));
    let common = common.into_iter().flatten().collect();
    let kind = own.remove("kind");
    let spec = match kind.as_ref().and_then(Value::as_str) {
        Some("synthetic") => synthetic(&read(own)?)?,
        Some("file") => {
            let FileBody { name, looped } = read(own)?;
            check_name(&name)?;
            SourceSpec::File { name, looped }
        }
        _ => {
            return Err(Problem::bad_request(
                "in the JSON body: `kind` is \"synthetic\" or \"file\"",
            ));
        }
    };
    Ok((read(common)?, spec))
}

fn synthetic(asked: &SyntheticBody) -> Result<SourceSpec, Problem> {
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
    Ok(SourceSpec::Synthetic {
        // A stream on its own is the first of a mixed set.
        waveform: asked
            .waveform
            .waveform()
            .unwrap_or_else(|| Waveform::mixed(0)),
        level_dbfs: asked.level_dbfs,
        frequency_hz: hz,
        seed: asked.seed,
        // The shortest is a nanosecond: it lasts for a sample.
        duration: s.map(|s| Duration::from_secs_f64(s).max(Duration::from_nanos(1))),
    })
}

/// Begins a stream: a sound that is made up, or a file of the recordings folder.
#[utoipa::path(
    post, path = "/api/v1/streams", tag = "streams",
    request_body = StartStreamBody,
    responses(
        (status = 201, description = "It begins", body = StreamReport,
         headers(("Location" = String, description = "The path of the stream"))),
        (status = 404, description = "There is no such file, or no such room",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The file is none that can be played, the frequency is too high for \
         the rate of the mix, or this server has no folder of files",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn start_stream(
    Shared(state): Shared<Arc<State>>,
    Body(asked): Body<Map<String, Value>>,
) -> Result<Created<StreamReport>, Problem> {
    let (common, spec) = read_body(asked)?;
    let CommonBody {
        id,
        label,
        gain_db,
        room,
        muted,
    } = common;
    checked_id(&id)?;
    let gain = gain_db.map(gain).transpose()?;
    let joining = Joining { gain, room, muted };
    let handle = state.handle.clone();
    let started = off_thread(move || handle.start_source(&spec, &id, joining)).await?;
    let admitted = started.map_err(|error| refused(&error))?;
    if label.is_some() {
        admitted.set_label(label);
    }
    Ok(Created {
        location: format!("/api/v1/streams/{}", encoded(admitted.id())),
        body: report(&state, &admitted).0,
    })
}

fn refused(error: &StartError) -> Problem {
    let status = match error {
        StartError::Id | StartError::Level | StartError::Duration => StatusCode::BAD_REQUEST,
        StartError::Frequency { .. } | StartError::NoFolder | StartError::Source(_) => {
            StatusCode::CONFLICT
        }
        StartError::Folder(error) => folder_status(error),
        StartError::Refused(Refused { source, .. }) => match source {
            NotAdmitted::RoomName { .. } => StatusCode::BAD_REQUEST,
            NotAdmitted::UnknownRoom { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::of(status, error)
}

/// As one segment of a path (RFC 3986, 3.3).
pub(super) fn encoded(name: &str) -> String {
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
