//! A room as the API shows it, and what it takes of one.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    audio::{
        meter,
        talking::{HOLD_MAX, THRESHOLD_DBFS_MIN},
    },
    control::{
        api::{
            sources::integer,
            stream::{gain, some},
        },
        problem::Problem,
    },
    engine::{Admitted, OpenRoom, RoomSettings, RuleState, finite},
    mixer::Limiting,
};

/// A room: a mix of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Room)]
pub(super) struct RoomBody {
    /// No other room has it. `main` is always open.
    name: String,
    /// Streams that are in it and have not ended.
    streams: usize,
    /// The ids of streams that were heard in its last block, in no order: the first 15 of them.
    contributors: Vec<String>,
    /// The ids of its streams that talk, before gain and mute.
    talking: Vec<String>,
    /// The level of its mix in the last tick, in dB of full scale; null for silence.
    peak_dbfs: Option<f32>,
    /// The gain of its mix, before the limiter, that was commanded last; null for silence.
    gain_db: Option<f32>,
    /// Whether peaks beyond 16 bits are turned down by a limiter; otherwise they clip.
    limiter: bool,
    /// Whether it is a room of the cluster, and not of this node alone.
    cluster: bool,
    /// From which level on its streams talk, in dB of full scale.
    talking_threshold_dbfs: f32,
    /// How much quiet ends it.
    talking_hold_ms: u64,
    /// Samples of its streams that were heard in it since it opened, interleaved.
    mixed_samples: u64,
    /// Samples that were dropped of the streams that are in it now, in this room and those before, interleaved.
    dropped_samples: u64,
    /// Its rule, if its config asks for more recordings than its mix from its opening to its close.
    recording: Option<RuleState>,
}

impl RoomBody {
    /// A room with those of these streams that are in it.
    pub(super) fn new(room: &OpenRoom, streams: &[Arc<Admitted>]) -> Self {
        let strip = room.strip();
        let heard = strip.contributors();
        let is_heard = |stream: &&Arc<Admitted>| heard.contains(&(stream.slot() as u32));
        let ids = |is_listed: &dyn Fn(&&Arc<Admitted>) -> bool| {
            let listed = streams.iter().filter(|stream| is_listed(stream));
            listed.map(|stream| stream.id().to_owned()).collect()
        };
        let talking = room.talking();
        let dropped = |stream: &Arc<Admitted>| stream.account().read().dropped();
        Self {
            name: room.name().to_owned(),
            streams: streams.len(),
            contributors: ids(&is_heard),
            talking: ids(&|stream| stream.talking().0),
            peak_dbfs: finite(meter::dbfs(strip.peak())),
            gain_db: finite(strip.gain().db()),
            limiter: strip.limiting() == Limiting::Limiter,
            cluster: room.cluster().is_some(),
            talking_threshold_dbfs: talking.threshold_dbfs,
            talking_hold_ms: talking.hold.as_millis() as u64,
            mixed_samples: strip.mixed(),
            dropped_samples: streams.iter().map(dropped).sum(),
            recording: room.recording(),
        }
    }

    /// With the settings that were asked for, which the mixer takes with its next tick.
    pub(super) fn with(mut self, asked: RoomSettings) -> Self {
        if let Some(gain) = asked.gain {
            self.gain_db = finite(gain.db());
        }
        if let Some(limiting) = asked.limiting {
            self.limiter = limiting == Limiting::Limiter;
        }
        self
    }
}

/// A room that is to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenRoomBody {
    /// 1 to 128 printable characters of ASCII without spaces; neither `.` nor `..`.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[!-~]+$",
        example = "sales"
    )]
    pub(super) name: String,
    /// The gain of its mix, in dB; 0 if it is left out.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -96, maximum = 24)]
    gain_db: Option<f64>,
    /// Whether its peaks are limited; otherwise they clip. As the server's setting if it is left out.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = bool)]
    limiter: Option<bool>,
    /// From which level on its streams talk, in dB of full scale. As the server's setting if it is left out.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -90, maximum = 0)]
    talking_threshold_dbfs: Option<f64>,
    /// How much quiet ends it. As the server's setting if it is left out.
    #[serde(default, deserialize_with = "some_integer")]
    #[schema(value_type = u64, minimum = 0, maximum = 10_000)]
    talking_hold_ms: Option<u64>,
    /// Whether it is a room of the cluster: on all nodes that open one of this name and these settings, of which gain and
    /// limiter are fixed. Its mix is behind by the lead of the cluster.
    #[serde(default)]
    cluster: bool,
}

/// Changes to a room. Keys that are left out stay as they are.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeRoomBody {
    /// The gain of its mix, in dB.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -96, maximum = 24)]
    gain_db: Option<f64>,
    /// Whether its peaks are limited; otherwise they clip.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = bool)]
    limiter: Option<bool>,
    /// From which level on its streams talk, in dB of full scale.
    #[serde(default, deserialize_with = "some")]
    #[schema(value_type = f64, minimum = -90, maximum = 0)]
    talking_threshold_dbfs: Option<f64>,
    /// How much quiet ends it.
    #[serde(default, deserialize_with = "some_integer")]
    #[schema(value_type = u64, minimum = 0, maximum = 10_000)]
    talking_hold_ms: Option<u64>,
}

impl TryFrom<ChangeRoomBody> for RoomSettings {
    type Error = Problem;

    fn try_from(asked: ChangeRoomBody) -> Result<Self, Problem> {
        let limiting = |is_on| {
            if is_on {
                Limiting::Limiter
            } else {
                Limiting::Saturate
            }
        };
        Ok(Self {
            gain: asked.gain_db.map(gain).transpose()?,
            limiting: asked.limiter.map(limiting),
            talking_threshold_dbfs: asked.talking_threshold_dbfs.map(threshold).transpose()?,
            talking_hold: asked.talking_hold_ms.map(hold).transpose()?,
            cluster: false,
        })
    }
}

impl OpenRoomBody {
    pub(super) fn settings(&self) -> Result<RoomSettings, Problem> {
        let &Self {
            gain_db,
            limiter,
            talking_threshold_dbfs,
            talking_hold_ms,
            cluster,
            ..
        } = self;
        let settings = RoomSettings::try_from(ChangeRoomBody {
            gain_db,
            limiter,
            talking_threshold_dbfs,
            talking_hold_ms,
        })?;
        Ok(RoomSettings {
            cluster,
            ..settings
        })
    }
}

fn some_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    integer(deserializer).map(Some)
}

fn threshold(dbfs: f64) -> Result<f32, Problem> {
    let min = f64::from(THRESHOLD_DBFS_MIN);
    if (min..=0.0).contains(&dbfs) {
        return Ok(dbfs as f32);
    }
    Err(Problem::bad_request(format!(
        "`talking_threshold_dbfs`: {dbfs} is not from {min} to 0"
    )))
}

fn hold(ms: u64) -> Result<Duration, Problem> {
    let hold = Duration::from_millis(ms);
    if hold <= HOLD_MAX {
        return Ok(hold);
    }
    Err(Problem::bad_request(format!(
        "`talking_hold_ms`: {ms} is not from 0 to {}",
        HOLD_MAX.as_millis()
    )))
}
