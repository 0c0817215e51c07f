//! Joins the layers: a pool, the feeder threads, the mixer thread, the outputs, and the report.
//!
//! ```text
//! sources -> feeder threads -> rings of the pool -> mixer thread -> ring -> recording thread -> WAV
//! ```
//!
//! An [`Engine`] has not begun: it has the pool and all that this host could refuse, and takes streams.
//! [`Engine::start`] starts the threads, which [`Running`] owns until [`Running::finish`] ends them with the
//! [`Report`]. Meanwhile a [`Handle`] is the one face by which the control plane and applications steer it.

mod admitted;
mod commands;
mod download;
mod end_watch;
mod error;
mod gaps;
mod handle;
mod health;
mod histogram;
mod mixer_stats;
mod mixing;
pub mod plan;
mod reading;
mod realtime;
mod recordings;
mod register;
mod report;
mod room_events;
mod rooms;
mod running;
mod settings;
mod sources;
mod stop;
mod streams;
mod talking;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

pub use self::{
    admitted::Admitted,
    commands::Busy,
    download::ReadError,
    error::EngineError,
    handle::{Change, Handle, Switch},
    health::{HealthChange, HealthEvent},
    histogram::TickCounts,
    mixer_stats::Status,
    reading::{open_to_read, read_text},
    realtime::{Realtime, RealtimeRefused, RealtimeReport, Scheduler},
    recordings::{
        RecordError, RecordingRequest, RecordingSource, RecordingState, RecordingTotals, RuleState,
    },
    report::{
        ListenerReport, Report, RtpOutReport, SourceErrorReport, StreamReport, TickReport, Totals,
    },
    room_events::{RoomChange, RoomEvent},
    rooms::{Leave, MAIN_ROOM, Move, MovedAt, OpenRoom, RoomError, RoomSettings},
    running::Running,
    settings::{Clock, Settings},
    sources::{Joining, SourceSpec, StartError},
    stop::Stop,
    talking::TalkingEvent,
};
use self::{
    commands::Commands, handle::Shared, mixer_stats::MixerStats, mixing::Spawned,
    recordings::Recordings, rooms::Rooms, streams::Streams, talking::TalkingWatch,
};
pub(crate) use self::{
    health::{STALL, silence},
    report::{StreamFigures, finite},
};
pub use crate::output::{Folder, FolderError, NAME_BYTES_MAX};
pub use crate::wire::sidecar::Point;
use crate::{
    audio::Grid,
    cluster::Face,
    ledger::Listener,
    mixer::{self, Mixer, PartRings, Parts},
    net::{Admission, Refused, StreamRequest},
    os::now_ns,
    output::RtpOut,
    queue::{Host, Pool},
    source::{Feed, Feeders, Schedule},
    stream::Stream,
};

/// Most targets of the mix by RTP: each costs a thread, and a wake-up a tick.
pub const RTP_OUT_MAX: usize = 64;

/// An engine before its first tick.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    streams: Arc<Streams>,
    feeds: Vec<(Feed, Schedule)>,
    listeners: Vec<Arc<Listener>>,
    mixer: Mixer,
    /// Until they are taken.
    part_rings: Option<PartRings>,
    cluster: Option<Face>,
    commands: Commands,
    rtp_out: Vec<RtpOut>,
    recordings: Recordings,
    stop: Stop,
    startup: Duration,
}

impl Engine {
    /// Builds the pool, and opens the outputs but for the recording's file. It refuses what does not fit this
    /// host, a CPU that the host lacks, and a path that cannot be written.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn new(settings: Settings) -> Result<Self, EngineError> {
        let stop = Stop::new().map_err(EngineError::Mixer)?;
        Self::stopped_by(stop, settings)
    }

    /// [`new`](Self::new) for an engine that this stop ends, also before it starts.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn stopped_by(stop: Stop, settings: Settings) -> Result<Self, EngineError> {
        let begun_ns = now_ns();
        let block_samples = settings.check()?;
        settings.realtime.check()?;
        if settings.huge_pages {
            let host = Host::detect().huge_pages;
            if let Some(remedy) = host.remedy() {
                tracing::warn!("--huge-pages: {host}, so the rings have small ones: {remedy}");
            }
        }
        let (pool, consumer) = Pool::builder()
            .slots(settings.streams_max)
            .ring_bytes(settings.ring_bytes)
            .prefault(settings.prefault)
            .huge_pages(settings.huge_pages)
            // Playing streams are visited at each tick; only offline does the mixer sleep on a ring.
            .polled(matches!(settings.clock, Clock::Live { .. }))
            .build()?;
        let playout_delay_ticks = match settings.clock {
            Clock::Live { playout_delay, .. } => {
                mixer::Settings::ticks(playout_delay, settings.ptime)
            }
            Clock::Offline => 0,
        };
        let mixing = mixer::Settings {
            first_block: 0,
            format: settings.format,
            block_samples,
            limiting: settings.limiting,
            rooms_max: settings.rooms_max,
            lead_ticks: settings.cluster.as_ref().map_or(0, |node| node.lead_ticks),
        };
        let mut mixer = Mixer::new(mixing, consumer);
        let mut part_rings = None;
        let cluster = settings.cluster.clone().map(Face::new);
        if let Some(node) = &settings.cluster {
            let (parts, rings) = Parts::new(&mixing, node.rooms_max)?;
            mixer = mixer.with_parts(parts);
            part_rings = Some(rings);
        }
        let (sender, commands) = commands::channel(
            &mut mixer,
            settings.streams_max,
            // Each is opened, and may be recorded.
            2 * settings.listed_rooms.len(),
        );
        let streams = Streams::new(
            pool,
            sender,
            Rooms::new(
                mixing,
                settings.rooms,
                mixer.main_strip(),
                cluster.as_ref().map(Face::directory),
            ),
            mixing,
            settings.gain,
            playout_delay_ticks,
            begun_ns,
        );
        if settings.may_record() {
            streams.gaps.listen();
        }
        let (rooms, sender) = (&streams.rooms, &streams.commands);
        let talking = rooms.set_default_talking(settings.talking, sender);
        talking.map_err(RoomError::from)?;
        rooms.open_listed(&settings.listed_rooms, Duration::ZERO, sender)?;
        let listed = settings.listed_rooms.iter();
        for main in listed.filter(|room| room.name == MAIN_ROOM) {
            rooms.set(MAIN_ROOM, main.into(), sender)?;
        }
        let recordings = Recordings::start(&settings, mixing, begun_ns, &streams, |name| {
            rooms.find(name, sender)
        })?;
        let targets = settings.rtp_out.len();
        if targets > RTP_OUT_MAX {
            return Err(EngineError::RtpOuts { targets });
        }
        let mut rtp_out = Vec::with_capacity(targets);
        for target in &settings.rtp_out {
            let room = rooms.find(&target.room, sender)?;
            let (started, ring) = RtpOut::start(target, room.id(), settings.format, block_samples)?;
            let reader = sender
                .open_reader(ring)
                .map_err(|Busy| EngineError::RtpOuts { targets })?;
            room.add_reader(reader);
            rtp_out.push(started);
        }
        Ok(Self {
            settings,
            streams: Arc::new(streams),
            feeds: Vec::new(),
            listeners: Vec::new(),
            mixer,
            part_rings,
            cluster,
            commands,
            rtp_out,
            recordings,
            stop,
            startup: Duration::from_nanos(now_ns() - begun_ns),
        })
    }

    /// Ends the engine at its next tick; its clones may be kept by any thread.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The blocks of the mix, and its clock once that runs.
    pub(crate) fn grid(&self) -> Grid {
        self.streams.grid.clone()
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Samples per channel of a frame and of a block.
    pub fn block_samples(&self) -> usize {
        self.streams.mixing.block_samples
    }

    /// Admits a stream. What it offers plays after the playout delay.
    ///
    /// # Errors
    /// [`Refused`] when all rings are in use, and when its room is not open and is not opened.
    pub fn open(&self, request: StreamRequest) -> Result<Stream, Refused> {
        Ok(self.streams.open(request)?.0)
    }

    /// Admits streams that are [sent](Feed::sent): their accounts count packets, too.
    pub(crate) fn admission(&self) -> &dyn Admission {
        &*self.streams
    }

    /// Has a stream fed from its source once the engine starts: in real time, by its schedule; where the ticks
    /// follow the streams, as fast as its ring has room.
    pub fn feed(&mut self, feed: Feed, schedule: Schedule) {
        self.feeds.push((feed, schedule));
    }

    /// Has the handle and the report show the accounts of listeners.
    pub fn report_listeners(&mut self, accounts: impl IntoIterator<Item = Arc<Listener>>) {
        self.listeners.extend(accounts);
    }

    /// The rings by which sums of shared rooms go and come, for the thread that exchanges them with other nodes. None if there
    /// are to be no such rooms, or they were taken.
    pub(crate) fn take_part_rings(&mut self) -> Option<PartRings> {
        self.part_rings.take()
    }

    /// Starts the mixer thread and the feeder threads, and then opens the file of [`Settings::record`].
    ///
    /// # Errors
    /// [`EngineError::Mixer`], [`EngineError::Feeders`] and [`EngineError::Recording`]; no thread is left then.
    pub fn start(self) -> Result<Running, EngineError> {
        let running = self.begin()?;
        match running.open_recording() {
            Ok(()) => Ok(running),
            Err(error) => {
                running.finish();
                Err(error)
            }
        }
    }

    /// [`start`](Self::start) without its last step, [`Running::open_recording`]: for a start in which more can
    /// fail.
    ///
    /// # Errors
    /// [`EngineError::Mixer`] and [`EngineError::Feeders`]; no thread is left then.
    pub fn begin(self) -> Result<Running, EngineError> {
        let Self {
            settings,
            streams,
            feeds,
            listeners,
            mixer,
            part_rings: _,
            cluster,
            commands,
            rtp_out,
            recordings,
            stop,
            startup,
        } = self;
        let mixer_stats = Arc::new(MixerStats::new(settings.ptime));
        // Until the mixer thread has counted for itself: "not yet begun" must not look like "all streams have
        // ended".
        mixer_stats.streams(streams.register.lock().running().len());
        streams.gaps.follow(Arc::clone(&mixer_stats));
        let talking = TalkingWatch::new(mixer.talking_news());
        let progress: Vec<_> = rtp_out.iter().map(RtpOut::progress).collect();
        let sdp = rtp_out.iter().map(|rtp| rtp.sdp().to_owned()).collect();
        let Spawned {
            thread: mixer,
            clock,
            granted,
        } = mixing::spawn(
            mixer,
            commands,
            Arc::clone(&mixer_stats),
            stop.clone(),
            &settings,
            &streams,
        )
        .map_err(EngineError::Mixer)?;
        if let Some(clock) = clock {
            streams.grid.run(clock);
        }
        // After the clock, which their blocks are placed on.
        let feeders = match settings.clock {
            Clock::Live { .. } => Feeders::live(feeds, settings.ingest_threads, &streams.placing),
            Clock::Offline => {
                let feeds = feeds.into_iter().map(|(feed, _)| feed);
                Feeders::unpaced(feeds.collect(), settings.ingest_threads)
            }
        };
        let feeders = match feeders {
            Ok(feeders) => feeders,
            Err(error) => {
                stop.request();
                // Its own panic would be a second error.
                let _ = mixer.join();
                return Err(EngineError::Feeders(error));
            }
        };
        let shared = Shared {
            streams,
            mixer_stats,
            recordings,
            rtp_out: progress,
            sdp,
            stop,
            clock,
            startup,
            intake: feeders.intake().cloned(),
            listeners,
            tuning: watch::Sender::new(settings.tuning.clone()),
            settings,
            health: Mutex::default(),
            talking: Mutex::new(talking),
            cluster,
        };
        let handle = Handle::new(Arc::new(shared));
        let opener = handle.shared().recordings.start_opener(&handle);
        let running = Running::new(handle, mixer, rtp_out, feeders, granted);
        if let Err(error) = opener {
            running.finish();
            return Err(error.into());
        }
        Ok(running)
    }
}
