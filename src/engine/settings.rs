//! The settings of a server.

use std::{path::PathBuf, time::Duration};

use super::{EngineError, Realtime};
use crate::{
    audio::{Format, Gain, TalkingRule, frame::frame_bytes},
    cluster::{Host, Membership},
    config::{Config, RoomConfig, RoomPolicy},
    mixer::Limiting,
    net::Tuning,
    output::{RtpTarget, SegmentLimits},
    queue::{BuildError, PoolPlan},
};

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Rate and channels of the bus.
    pub format: Format,
    /// Length of a block and of a frame.
    pub ptime: Duration,
    /// Rings of the pool: the most streams at once.
    pub streams_max: usize,
    /// Rooms at once, `main` among them: at least 1.
    pub rooms_max: usize,
    /// The cluster that the server is a node of, if any.
    pub cluster: Option<Membership>,
    /// Whether a stream that names a room which is not open is refused or opens it.
    pub rooms: RoomPolicy,
    /// Rooms that are open from the start.
    pub listed_rooms: Vec<RoomConfig>,
    /// Bytes of each ring.
    pub ring_bytes: usize,
    /// Whether all memory is made present before the first tick.
    pub prefault: bool,
    /// Whether it is, and in huge pages where the host has them.
    pub huge_pages: bool,
    /// Applied to each stream that brings no gain of its own.
    pub gain: Gain,
    /// How a sum beyond 16 bits becomes a sample.
    pub limiting: Limiting,
    /// When the streams of a room talk that has no rule of its own.
    pub talking: TalkingRule,
    /// The pace of the ticks.
    pub clock: Clock,
    /// How listeners take streams and play them, until [`Handle::tune`](super::Handle::tune) changes it.
    pub tuning: Tuning,
    /// Threads that feed sources.
    pub ingest_threads: usize,
    /// Where the mix is written, if anywhere; `-` is the standard output.
    pub record: Option<PathBuf>,
    /// Whether a regular file that exists there, or where a listed room is recorded, is overwritten; otherwise the start
    /// fails.
    pub overwrite: bool,
    /// The folder of the recordings that begin at run time, and of the files that are played then, if there
    /// are to be any.
    pub recordings: Option<PathBuf>,
    /// Recordings at once, those of the settings among them.
    pub recordings_max: usize,
    /// Threads that write recordings, beside those of pipes: one for each file system, and of rooms apart from streams,
    /// as long as there are so many. At least 1.
    pub recorder_threads: usize,
    /// When a recording goes on in another file.
    pub segments: SegmentLimits,
    /// Where it is sent by RTP.
    pub rtp_out: Vec<RtpTarget>,
    /// The mixer thread's requests to the host beyond an ordinary thread's share. A priority is meant for
    /// a live clock: with the other the mixer does not rest while its streams have samples.
    pub realtime: Realtime,
}

impl Default for Settings {
    /// The settings of `mixpool serve` without flags.
    fn default() -> Self {
        Self::try_from(&Config::default()).expect("a rate and channels that are allowed")
    }
}

impl TryFrom<&Config> for Settings {
    type Error = String;

    /// In real time, until the config's duration has passed. The error names the flags of values that cannot be,
    /// or that do not go together.
    fn try_from(config: &Config) -> Result<Self, String> {
        config.check()?;
        let Config {
            run,
            realtime,
            playout,
            mix,
            pool,
            output,
            cluster,
            ..
        } = config;
        let settings = Self {
            format: mix.format().map_err(|error| error.to_string())?,
            ptime: mix.ptime,
            streams_max: pool.streams_max,
            rooms_max: mix.rooms_max,
            cluster: cluster.is_on().then(|| Membership {
                cluster: cluster.cluster_name.clone(),
                node: cluster.node.clone().unwrap_or_else(|| Host::detect().name),
                lead_ticks: cluster.lead_ticks(mix),
                rooms_max: cluster.cluster_rooms_max,
            }),
            rooms: mix.rooms,
            listed_rooms: config.listed_rooms(),
            ring_bytes: pool.ring_size,
            prefault: pool.prefault,
            huge_pages: pool.huge_pages,
            gain: mix.gain(),
            limiting: if mix.limiter {
                Limiting::Limiter
            } else {
                Limiting::Saturate
            },
            talking: mix.talking(),
            clock: Clock::Live {
                speed: 1.0,
                playout_delay: playout.playout_delay.of_first_frame(),
                ticks: run.duration.map(|duration| ticks_of(duration, mix.ptime)),
            },
            tuning: config.tuning()?,
            ingest_threads: run.ingest_threads,
            record: output.record.clone(),
            overwrite: output.overwrite,
            recordings: output.recordings.clone(),
            recordings_max: output.recordings_max,
            recorder_threads: output.recorder_threads,
            segments: output.segments(mix.format().map_err(|error| error.to_string())?),
            rtp_out: output.rtp_out.clone(),
            realtime: Realtime {
                priority: realtime.realtime.then_some(realtime.realtime_priority),
                lock_memory: realtime.realtime,
                mixer_cpu: realtime.mixer_cpu,
            },
        };
        settings.check_flags()?;
        Ok(settings)
    }
}

/// Whole ticks, the last one begun.
fn ticks_of(duration: Duration, ptime: Duration) -> u64 {
    let ticks = duration.as_nanos().div_ceil(ptime.as_nanos().max(1));
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

impl Settings {
    /// Checks that the figures fit each other, on any host; returns the samples per channel of a block. Pure
    /// arithmetic.
    ///
    /// # Errors
    /// [`EngineError::Format`], [`EngineError::Pool`], [`EngineError::FrameTooLarge`] and
    /// [`EngineError::RealtimePriority`].
    pub fn check(&self) -> Result<usize, EngineError> {
        let block_samples = self.format.block_samples(self.ptime)?;
        let frame_bytes = frame_bytes(block_samples * usize::from(self.format.channels()));
        let plan = PoolPlan::new(self.streams_max, self.ring_bytes)?;
        if plan.messages_per_ring(frame_bytes) == 0 {
            return Err(EngineError::FrameTooLarge {
                frame_bytes,
                ring_bytes: self.ring_bytes,
            });
        }
        self.realtime.check_priority()?;
        Ok(block_samples)
    }

    /// Whether anything may be recorded, as far as is known at the start.
    pub(super) fn may_record(&self) -> bool {
        let is_recorded =
            |room: &RoomConfig| room.record.is_some() || room.record_streams.is_some();
        let recorded = self.listed_rooms.iter().any(is_recorded);
        recorded || self.record.is_some() || self.recordings.is_some()
    }

    /// [`check`](Self::check) for settings that come from a command line.
    ///
    /// # Errors
    /// A sentence that names the flag.
    fn check_flags(&self) -> Result<(), String> {
        Err(match self.check() {
            Ok(_) => return Ok(()),
            Err(EngineError::Format(error)) => format!("--ptime: {error}"),
            Err(EngineError::Pool(error @ BuildError::RingSize { .. })) => {
                format!("--ring-size: {error}")
            }
            Err(EngineError::Pool(error)) => {
                format!("--streams-max times --ring-size: {error}; ask for fewer or smaller rings")
            }
            Err(EngineError::FrameTooLarge {
                frame_bytes,
                ring_bytes,
            }) => format!(
                "--ring-size: a ring of {ring_bytes} bytes does not hold one frame of {frame_bytes}; make it \
                 larger, or --ptime shorter"
            ),
            Err(error) => error.to_string(),
        })
    }
}

/// The pace of the ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// The machine's clock: a tick each `ptime` divided by `speed`, whether or not samples came.
    Live {
        /// 1.0 is real time.
        speed: f64,
        /// Time from a stream's first frame to its playout.
        playout_delay: Duration,
        /// Ticks to run, or until stopped.
        ticks: Option<u64>,
    },
    /// The streams: a tick as soon as each has its window, until all have ended. Nothing is dropped,
    /// and the result does not depend on threads.
    Offline,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_tick_counts_and_no_duration_overflows() {
        let ptime = Duration::from_millis(20);
        assert_eq!(ticks_of(Duration::from_secs(1), ptime), 50);
        assert_eq!(ticks_of(Duration::from_nanos(1), ptime), 1);
        assert_eq!(ticks_of(Duration::MAX, Duration::from_nanos(1)), u64::MAX);
    }
}
