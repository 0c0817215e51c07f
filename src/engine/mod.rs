//! Joins the layers: a pool, the ingest threads, the mixer thread, a recording, and the report.
//!
//! ```text
//! sources -> ingest threads -> rings of the pool -> mixer thread -> ring -> recording thread -> WAV
//! ```
//!
//! [`Server::new`] builds the pool and checks the host; [`Server::open`] admits streams;
//! [`Server::start`] starts the mixer thread; [`Running::finish`] ends all and returns the [`Report`].

mod admitted;
mod commands;
mod download;
mod end_watch;
mod error;
mod folder;
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
mod reload;
mod report;
mod settings;
mod shared;
mod sinks;
mod sources;
mod stop;

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use self::{
    admitted::Admitted,
    commands::Busy,
    download::ReadError,
    error::ServerError,
    folder::{Folder, FolderError, NAME_BYTES_MAX},
    handle::{Change, Handle, Switch},
    health::{Health, HealthChange, STALL, silence},
    histogram::TickCounts,
    mixer_stats::Status,
    reading::{open_to_read, read_text},
    realtime::{Realtime, RealtimeRefused, RealtimeReport, Scheduler},
    recordings::{RECORDINGS_MAX, RecordError, RecordingState, RecordingTotals},
    reload::{NeedsRestart, ReloadError, Reloaded},
    report::{
        ListenerReport, RecordingReport, Report, RtpOutReport, SourceErrorReport, StreamReport,
        TickReport, Totals,
    },
    settings::{Clock, Settings},
    sources::{SourceSpec, StartError},
    stop::Stop,
};
use self::{
    commands::Commands,
    end_watch::EndWatch,
    mixing::{MixerEnd, Spawned},
    realtime::Granted,
    recordings::Recordings,
    report::Ended,
    shared::Shared,
    sinks::Sinks,
};
use crate::{
    audio::{Gain, MixClock},
    mixer::{self, Mixer},
    net::{Admission, Listening, Refused},
    queue::Pool,
    source::Feeders,
    stream::Stream,
};

/// A server before its first tick.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    block_samples: usize,
    mixer: Mixer,
    sinks: Sinks,
    shared: Arc<Shared>,
    commands: Commands,
    startup: Duration,
}

/// A server that mixes.
pub struct Running {
    settings: Settings,
    block_samples: usize,
    shared: Arc<Shared>,
    mixer: JoinHandle<(MixerEnd, Sinks)>,
    listening: Vec<Box<dyn Listening>>,
    granted: Granted,
    startup: Duration,
}

impl Server {
    /// Builds the pool and sets up the mixer. A pool that does not fit this host, a missing CPU, and
    /// a path that cannot be written are errors here, before the first tick. No file is made yet.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn new(settings: Settings) -> Result<Self, ServerError> {
        let begun = Instant::now();
        let block_samples = settings.check()?;
        settings.realtime.check()?;
        let (pool, consumer) = Pool::builder()
            .slots(settings.streams_max)
            .ring_bytes(settings.ring_bytes)
            .prefault(settings.prefault)
            .huge_pages(settings.huge_pages)
            // Playing streams are visited at each tick; only offline does the mixer sleep on a ring.
            .polled(matches!(settings.clock, Clock::Live { .. }))
            .build()?;
        let (recordings, (orders, returned)) = Recordings::start(&settings, block_samples)?;
        let sinks = Sinks::start(&settings, block_samples, orders, returned)?;
        let playout_delay_ticks = match settings.clock {
            Clock::Live { playout_delay, .. } => {
                mixer::Settings::ticks(playout_delay, settings.ptime)
            }
            Clock::Offline => 0,
        };
        let mixing = mixer::Settings {
            format: settings.format,
            block_samples,
            limiting: settings.limiting,
            playout_delay_ticks,
        };
        let mixer = Mixer::new(mixing, consumer);
        let (sender, commands) = commands::channel(settings.streams_max);
        let stop = Stop::new().map_err(ServerError::Mixer)?;
        let mut shared = Shared::new(pool, stop, sender, recordings, settings.clone(), mixing);
        shared.rtp_out = sinks.rtp_progress();
        let shared = Arc::new(shared);
        Ok(Self {
            settings,
            block_samples,
            mixer,
            sinks,
            shared,
            commands,
            startup: begun.elapsed(),
        })
    }

    /// Ends the server at its next tick; usable from any thread and more than once.
    pub fn stop_handle(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// The description for receivers of the mix by RTP, as SDP (RFC 8866), for each target.
    pub fn sdp(&self) -> Vec<String> {
        self.sinks.sdp()
    }

    /// Samples per channel of a frame and of a block.
    pub fn block_samples(&self) -> usize {
        self.block_samples
    }

    /// Admits a stream. Its first frame plays when it has come, plus the playout delay: leases a ring,
    /// opens its account, and commands the mixer. `from` says where it comes from, for people; the name
    /// gets a number behind it if another running stream has it.
    ///
    /// # Errors
    /// [`Refused`] when all rings are in use.
    pub fn open(&self, id: &str, from: &str, gain: Gain) -> Result<Stream, Refused> {
        self.shared.open(id, from, gain)
    }

    /// Starts the mixer thread, and then opens the file of [`Settings::record`]. Requests of the mixer thread
    /// that the host refused are in [`Running::realtime_refused`].
    ///
    /// # Errors
    /// [`ServerError::Mixer`] and [`ServerError::Recording`].
    pub fn start(self) -> Result<Running, ServerError> {
        let running = self.begin()?;
        if let Err(error) = running.open_recording() {
            running.shared.recordings.close();
            running.shared.stop.request();
            return Err(error);
        }
        Ok(running)
    }

    /// Starts the mixer thread, for a start with more steps that can fail: the last one is
    /// [`Running::open_recording`].
    ///
    /// # Errors
    /// [`ServerError::Mixer`].
    pub fn begin(self) -> Result<Running, ServerError> {
        let Self {
            settings,
            block_samples,
            mixer,
            sinks,
            shared,
            commands,
            startup,
        } = self;
        let mixer_stats = Arc::clone(&shared.mixer_stats);
        // Until the mixer thread has counted for itself: a reader must not take "not yet begun" for
        // "all streams have ended".
        mixer_stats.streams(shared.register.lock().running().len());
        // Likewise set here alone.
        let _ = shared.startup.set(startup);
        let stop = shared.stop.clone();
        let Spawned {
            thread: mixer,
            clock,
            granted,
        } = mixing::spawn(
            mixer,
            sinks,
            commands,
            mixer_stats,
            stop,
            &settings,
            block_samples,
        )
        .map_err(ServerError::Mixer)?;
        if let Some(clock) = clock {
            // It is set here alone.
            let _ = shared.clock.set(clock);
        }
        Ok(Running {
            settings,
            block_samples,
            shared,
            mixer,
            listening: Vec::new(),
            granted,
            startup,
        })
    }
}

impl Running {
    /// Opens the file of [`Settings::record`], in which the mix is from the first tick on: until now it
    /// waited in memory, which it can do for half a minute. This creates the file, or empties it, so it is
    /// the last step of a start. Nothing is done if there is no such file.
    ///
    /// # Errors
    /// [`ServerError::Recording`]; a file that existed is then as it was.
    pub fn open_recording(&self) -> Result<(), ServerError> {
        Ok(self.shared.recordings.open_file(&self.settings)?)
    }

    /// Whether the mixer has come to its end: all its ticks run, all streams ended, or stopped.
    pub fn is_done(&self) -> bool {
        // A thread that panicked did not say so.
        self.shared.mixer_stats.is_done() || self.mixer.is_finished()
    }

    /// Waits until the mixer has come to its end, but no longer than `timeout`.
    pub fn wait(&self, timeout: Duration) {
        self.shared.mixer_stats.wait_done(timeout);
    }

    /// The clock that the mix follows; none if it follows its streams.
    pub fn clock(&self) -> Option<MixClock> {
        self.shared.clock.get().copied()
    }

    /// The server, for threads that watch and steer it.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Requests of the mixer thread that the host refused.
    pub fn realtime_refused(&self) -> &[RealtimeRefused] {
        &self.granted.refused
    }

    /// Ticks run so far. Costs one load.
    pub fn ticks(&self) -> u64 {
        self.shared.mixer_stats.ticks()
    }

    /// Admits streams while the mixer runs, for sources that find theirs at run time.
    pub fn admission(&self) -> Arc<dyn Admission> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// Lets sources begin at run time, which these threads feed; they must be
    /// [serving](Feeders::serving).
    pub fn feed_by(&self, feeders: &Feeders) {
        if let Some(intake) = feeders.intake() {
            self.shared.feed_by(intake);
        }
    }

    /// Keeps a listener until the end; its account will be in the report.
    pub fn keep(&mut self, listening: Box<dyn Listening>) {
        self.shared.listeners().extend(listening.accounts());
        self.shared.tuners().push(listening.tuner());
        self.listening.push(listening);
    }

    /// How the server is. Looks at the account of every stream that runs; high-water marks are those
    /// of the last second or two.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Ends the server: the mixer at its next tick, the sources, the recording; then takes stock.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn finish(self, feeders: Feeders) -> Report {
        let Self {
            settings,
            block_samples,
            shared,
            mixer,
            listening,
            granted,
            startup,
        } = self;
        shared.stop.request();
        shared.recordings.close();
        let end_watch = EndWatch::start(&shared);
        let (mut end, sinks) = mixer.join().expect("the mixer thread panicked");
        // With the sources at rest the ledger is exact.
        let errors = feeders.join();
        let listeners: Vec<_> = listening
            .iter()
            .flat_map(|listening| listening.accounts())
            .collect();
        for listening in listening {
            listening.join();
        }
        end.end_all();
        let sent = sinks.finish();
        let recordings = shared.recordings.finish();
        drop(end_watch);
        let status = shared.status();
        let accounts = shared.register.lock();
        let streams = accounts.kept();
        Report::new(&Ended {
            settings: &settings,
            block_samples,
            startup,
            realtime: granted.report,
            mixer: &end,
            status: &status,
            recordings: &recordings,
            sent: &sent,
            errors: &errors,
            streams: &streams,
            streams_count: accounts.count(),
            listeners: &listeners,
            pool: &shared.pool.stats(),
        })
    }
}
