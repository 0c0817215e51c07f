//! The mix: its format, its rooms, and the settings of streams and rooms that bring none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ROOMS_MAX, RoomConfig, RoomPolicy, leaf};
use crate::audio::{Format, FormatError, Gain, TalkingRule};

const RATE_MIN: u64 = crate::audio::format::RATE_HZ_MIN as u64;
const RATE_MAX: u64 = crate::audio::format::RATE_HZ_MAX as u64;
const CHANNELS_MAX: u64 = crate::audio::format::CHANNELS_MAX as u64;

/// The mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Samples per second.
    #[serde(deserialize_with = "leaf::whole::<RATE_MIN, RATE_MAX, _, _>")]
    pub rate: u32,
    /// 1 or 2.
    #[serde(deserialize_with = "leaf::whole::<1, CHANNELS_MAX, _, _>")]
    pub channels: u16,
    /// Length of a frame and of a tick.
    #[serde(with = "leaf::duration")]
    pub ptime: Duration,
    /// Whether a mix beyond 16 bits is limited; otherwise it is clipped.
    #[serde(with = "leaf::switch")]
    pub limiter: bool,
    /// Gain in dB of a stream that brings none of its own. It may change while a server runs.
    #[serde(with = "leaf::gain")]
    pub gain: f64,
    /// From which level on a stream talks, in dB of full scale, in rooms without a threshold of their own. It may change
    /// while a server runs.
    #[serde(with = "leaf::threshold")]
    pub talking_threshold: f64,
    /// How much quiet ends it, in rooms without a hold of their own. It may change while a server runs.
    #[serde(with = "leaf::hold")]
    pub talking_hold: Duration,
    /// Rooms at once, `main` among them.
    #[serde(deserialize_with = "leaf::whole::<1, ROOMS_MAX, _, _>")]
    pub rooms_max: usize,
    /// The policy for a stream that names a room which is not open.
    #[serde(with = "leaf::rooms")]
    pub rooms: RoomPolicy,
    /// Rooms that are open from the start. A reload opens those that were added.
    #[serde(with = "leaf::room")]
    pub room: Vec<RoomConfig>,
}

impl Mix {
    /// Rate and channels.
    ///
    /// # Errors
    /// [`FormatError`], for values that no layer takes.
    pub fn format(&self) -> Result<Format, FormatError> {
        Format::new(self.rate, self.channels)
    }

    /// The default gain as a factor. One that no layer takes is 1.
    pub fn gain(&self) -> Gain {
        Gain::from_db(self.gain as f32).unwrap_or(Gain::UNITY)
    }

    /// When streams talk in rooms without a rule of their own.
    pub fn talking(&self) -> TalkingRule {
        TalkingRule {
            threshold_dbfs: self.talking_threshold as f32,
            hold: self.talking_hold,
        }
    }
}
