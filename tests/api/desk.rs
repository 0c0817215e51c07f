//! A server with a control plane of its own, in this process.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mixpool::{
    audio::Format,
    config::{RecordWhen, RoomConfig},
    control::{Control, ControlSettings, Tokens},
    engine::{Clock, Engine, Handle, Report, Running, Settings, Stop},
    ledger::SourceKind,
    net::StreamRequest,
    source::{Feed, Imperfection, Schedule, Synthetic, Waveform},
    stream::Stream,
};
use tempfile::TempDir;

use crate::client::Client;
pub use crate::patience::look_until as until;

const PTIME: Duration = Duration::from_millis(20);

pub const CHANGE: &str = "the-token-that-changes";
pub const READ: &str = "the-token-that-reads";

/// Rings of the pool.
pub const SLOTS: usize = 8;

/// Recordings at once.
pub const RECORDINGS_MAX: usize = 16;

/// Rooms at once.
pub const ROOMS: usize = 32;

/// Of each: of 160 samples in a frame, some less than 200 frames.
pub const RING_BYTES: usize = 1 << 16;

/// The settings in which a server differs from most.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Usual,
    /// It records where nothing can be written.
    FullDisk,
    /// It mixes so many times as fast as time goes, and nothing but what the test admits.
    Fast(f64),
    /// It has the room `ruled`, with its streams recorded by command.
    Ruled,
}

/// A server that mixes `tone-1`, `tone-2` and `noise`, records, and has a recordings folder with
/// `song.wav`, a second of samples.
pub struct Desk {
    running: Running,
    control: Control,
    pub stop: Stop,
    pub folder: TempDir,
    /// A client with every right.
    pub client: Client,
}

impl Desk {
    pub fn open() -> Self {
        Self::with(ControlSettings::default())
    }

    /// One that wants tokens. Its client has none.
    pub fn with_tokens(settings: ControlSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = [("change", CHANGE), ("read", READ)];
        let [change, read] = files.map(|(name, token)| secret(folder.path(), name, token));
        Self::with(ControlSettings {
            tokens: Some(Tokens::read(&change, Some(&read)).unwrap()),
            ..settings
        })
    }

    pub fn with(control: ControlSettings) -> Self {
        Self::of(Kind::Usual, control)
    }

    /// One that is of another kind.
    pub fn of(kind: Kind, control: ControlSettings) -> Self {
        let needs_token = control.tokens.is_some();
        let folder = tempfile::tempdir().unwrap();
        let mix = match kind {
            Kind::FullDisk => "/dev/full".into(),
            _ => folder.path().join("mix.wav"),
        };
        let speed = match kind {
            Kind::Fast(speed) => speed,
            _ => 1.0,
        };
        let recordings = folder.path().join("recordings");
        fs::create_dir(&recordings).unwrap();
        write_song(&recordings.join("song.wav"));
        let format = Format::new(8_000, 1).unwrap();
        let mut engine = Engine::new(Settings {
            format,
            ptime: PTIME,
            streams_max: SLOTS,
            rooms_max: ROOMS,
            ring_bytes: RING_BYTES,
            clock: Clock::Live {
                speed,
                playout_delay: Duration::from_millis(40),
                ticks: None,
            },
            record: Some(mix),
            listed_rooms: match kind {
                Kind::Ruled => vec![RoomConfig {
                    record_streams: Some(recordings.join("{stream}-{utc}.wav")),
                    record_when: RecordWhen::Command,
                    ..RoomConfig::named("ruled")
                }],
                _ => Vec::new(),
            },
            recordings: Some(recordings),
            recordings_max: RECORDINGS_MAX,
            ..Settings::default()
        })
        .unwrap();
        let signals = [
            ("tone-1", Waveform::Sine, 300.0),
            ("tone-2", Waveform::Sine, 500.0),
            ("noise", Waveform::Pink, 440.0),
        ];
        let signals = match kind {
            Kind::Fast(_) => &[][..],
            _ => &signals,
        };
        for &(id, waveform, hz) in signals {
            let source = Synthetic::new(format, waveform, 1, hz, -30.0);
            let stream = engine
                .open(StreamRequest::new(id, SourceKind::Synthetic, "synthetic"))
                .unwrap();
            let schedule = Schedule::new(PTIME, Duration::ZERO, Imperfection::default(), 1);
            engine.feed(Feed::new(stream, Box::new(source)), schedule);
        }
        let stop = engine.stop().clone();
        let running = engine.start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = Control::start(listener, control, running.handle()).unwrap();
        let mut client = Client::new(control.local_addr());
        let reader = if needs_token {
            client.with_token(READ)
        } else {
            client.clone()
        };
        client.description = Arc::new(reader.get("/api/v1/openapi.json").ok(200));
        Self {
            running,
            control,
            stop,
            folder,
            client,
        }
    }

    /// The face of its engine.
    pub fn handle(&self) -> Handle {
        self.running.handle()
    }

    /// A stream of this name; the test offers its samples.
    pub fn admit(&self, id: &str) -> Stream {
        self.admit_as(id, SourceKind::Library)
    }

    pub fn admit_as(&self, id: &str, kind: SourceKind) -> Stream {
        let request = StreamRequest::new(id, kind, "test");
        self.running.handle().admission().admit(request).unwrap()
    }

    pub fn close(self) -> Report {
        let report = self.running.finish();
        self.control.join();
        report
    }
}

/// A file that only its owner may open.
pub fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn write_song(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut song = hound::WavWriter::create(path, spec).unwrap();
    (0..8_000_i16).for_each(|sample| song.write_sample(sample % 100).unwrap());
    song.finalize().unwrap();
}
