//! A whole server from one [`Config`]: engine, listeners, control plane and reload.
//!
//! [`Server::start`] is all that most embedders need. The starter of a server with a config file, or of one that a
//! signal ends, makes a [`Server`] first and then [runs](Server::run) it.
//!
//! Nothing here handles a signal, prints, or reads the command line.

mod check;
#[cfg(feature = "cluster")]
mod cluster;
mod error;
mod http;
mod network;
mod reload;
mod running;
mod synthetic;

use std::time::SystemTime;

use self::network::Bound;
pub use self::{
    error::StartError,
    reload::{ConfigFile, Reloader},
    running::Running,
};
use crate::{
    config::Config,
    engine::{Engine, EngineError, Settings, Stop},
    output::stamped,
};

/// A server that has not begun. The values of its config go together; it holds no memory, address or thread.
#[derive(Debug)]
pub struct Server {
    config: Config,
    settings: Settings,
    file: Option<ConfigFile>,
    stop: Stop,
    made_at: SystemTime,
}

impl Server {
    /// Starts a server without a config file: only its token files can be read again.
    ///
    /// # Errors
    /// [`StartError`]; then no thread is left, and no file is changed.
    pub fn start(config: Config) -> Result<Running, StartError> {
        Self::new(config)?.run()
    }

    /// Checks that the values go together.
    ///
    /// # Errors
    /// [`StartError::Config`]; [`StartError::Engine`] if this process has no descriptor left.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let mut settings = Settings::try_from(&config).map_err(StartError::Config)?;
        let made_at = SystemTime::now();
        settings.record = settings.record.map(|path| stamped(&path, made_at));
        for room in &mut settings.listed_rooms {
            room.stamp(made_at);
        }
        Ok(Self {
            stop: Stop::new().map_err(EngineError::Mixer)?,
            config,
            settings,
            file: None,
            made_at,
        })
    }

    /// Names the file that a reload reads again.
    #[must_use]
    pub fn with_file(mut self, file: ConfigFile) -> Self {
        self.file = Some(file);
        self
    }

    /// Ends the server at its next tick, also while it starts. Clones may be kept by any thread.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The time that stands for `{utc}` in names of results.
    pub fn made_at(&self) -> SystemTime {
        self.made_at
    }

    /// Starts all of it. The last step creates the file of the mix, or empties one that existed; what can fail does
    /// so before.
    ///
    /// Builds the pool, which takes its time, and raises the soft limit of descriptors of this process as far as
    /// the control plane's connections need.
    ///
    /// # Errors
    /// [`StartError`]; then no thread is left.
    pub fn run(self) -> Result<Running, StartError> {
        let Self {
            config,
            settings,
            file,
            stop,
            ..
        } = self;

        let tokens = http::tokens(&config.control).map_err(StartError::Config)?;

        // What this host can refuse: memory, CPU, files, then addresses.
        let mut engine = Engine::stopped_by(stop, settings)?;
        synthetic::open(&config, &mut engine)?;
        let http = http::bind(&config)?;
        let network = Bound::bind(&config, http.as_ref())?;
        engine.report_listeners(network.accounts().cloned());
        warn_of_silence(&config, http.is_some());
        tracing::info!(
            "mixing {} streams, room for {}; Ctrl-C ends it with a report",
            config.synthetic.synthetic,
            config.pool.streams_max
        );

        // Threads: the mixer's, then those that bring it streams, then the one that steers it.
        let part_rings = engine.take_part_rings();
        let engine = engine.begin()?;
        let reloader = Reloader::new(config, file, engine.handle(), tokens);
        let mut running = Running::new(engine, reloader);
        match running.start_threads(network, http, part_rings) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.finish();
                Err(error)
            }
        }
    }
}

fn warn_of_silence(config: &Config, has_http: bool) {
    // The dashboard's address takes senders, too.
    if config.synthetic.synthetic == 0 && !config.net.listens() && !has_http {
        tracing::warn!(
            "no streams: the mix will be silence; --synthetic N makes some up, --rtp ADDR and --http ADDR \
             take some"
        );
    }
}
