//! The defaults of all keys, here and nowhere else.

use std::time::Duration;

use super::{
    Control, Limits, Mix, Net, Playout, PlayoutDelay, Pool, Realtime, RoomPolicy, Run, Sound,
    Synthetic,
};
use crate::{audio::TalkingRule, playout::PlayoutSettings};

impl Default for Run {
    fn default() -> Self {
        Self {
            duration: None,
            ingest_threads: 2,
            verbose: false,
        }
    }
}

impl Default for Realtime {
    fn default() -> Self {
        Self {
            realtime: false,
            // Interrupt threads of a real-time kernel have 50.
            realtime_priority: 10,
            mixer_cpu: None,
        }
    }
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            synthetic: 0,
            synthetic_rooms: 1,
            synthetic_room: None,
            synthetic_first: 1,
            waveform: Sound::Mixed,
            seed: 1,
            level: None,
            rate_skew_ppm: 0.0,
            jitter: Duration::ZERO,
        }
    }
}

impl Default for Net {
    fn default() -> Self {
        Self {
            rtp: Vec::new(),
            rtp_threads: 1,
            audiosocket: Vec::new(),
            tcp: Vec::new(),
            unix: Vec::new(),
            tcp_drop: false,
        }
    }
}

impl Default for Playout {
    fn default() -> Self {
        Self {
            playout_delay: PlayoutDelay::Adaptive,
            playout_delay_min: Duration::from_millis(20),
            playout_delay_max: Duration::from_millis(500),
            latency_cap: Duration::from_secs(1),
            concealment: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            streams_per_source: None,
            connections_max: 1000,
            idle_timeout: Duration::from_secs(30),
            first_message_timeout: Duration::from_secs(5),
        }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            rate: 8000,
            channels: 1,
            ptime: Duration::from_millis(20),
            limiter: true,
            gain: 0.0,
            talking_threshold: -40.0,
            talking_hold: Duration::from_millis(500),
            rooms_max: 256,
            rooms: RoomPolicy::Listed,
            room: Vec::new(),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            streams_max: 1000,
            // A minute of 8 kHz 16-bit mono in frames of 20 ms.
            ring_size: 1 << 20,
            prefault: false,
            huge_pages: false,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            http: None,
            token_file: None,
            read_token_file: None,
            http_host: Vec::new(),
            http_connections_max: 4096,
            http_requests_per_second: 200,
            http_rooms_per_second: 20,
            listeners_max: 2000,
            metrics_streams_max: 100,
            metrics_rooms_max: 100,
        }
    }
}

impl Default for TalkingRule {
    /// The rule of the default config.
    fn default() -> Self {
        Mix::default().talking()
    }
}

impl Default for PlayoutSettings {
    /// The settings of the default config.
    fn default() -> Self {
        let playout = Playout::default().settings();
        playout.expect("the defaults go together")
    }
}
