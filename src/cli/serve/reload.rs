//! Reads the config again while the server runs: by SIGHUP, and by the API.
//!
//! First all of the file is checked, then all that can change does. So a broken file changes nothing. Flags of
//! the command line win over the file, as at the start.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use mixpool::{
    control::{Config, ReadAgain, Tokens},
    engine::{Handle, NeedsRestart, ReloadError, Reloaded},
    net::Tuning,
};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Map, Value};

use super::Arguments;
use crate::cli::{
    config::{self, ConfigError},
    network::PlayoutDelay,
};

/// Keys that change while the server runs.
const CHANGEABLE: [&str; 11] = [
    "allow",
    "concealment",
    "connections_max",
    "first_message_timeout",
    "gain",
    "idle_timeout",
    "latency_cap",
    "playout_delay_max",
    "playout_delay_min",
    "streams_per_source",
    "verbose",
];

/// The config of a server that runs.
#[derive(Debug)]
pub struct Reloader {
    handle: Handle,
    /// Of the start.
    command_line: Vec<OsString>,
    config: Option<PathBuf>,
    playout_delay: PlayoutDelay,
    streams_max: usize,
    verbose: AtomicBool,
    in_force: Mutex<BTreeMap<String, Value>>,
    /// Held as long as files are read: two reloads at once would mix them.
    reloading: Mutex<()>,
    /// Of the control plane; their files are read again with the config.
    tokens: Option<Tokens>,
}

impl Reloader {
    /// Of a server that was started with these arguments.
    pub fn new(arguments: &Arguments, handle: Handle, tokens: Option<Tokens>) -> Arc<Self> {
        Arc::new(Self {
            tokens,
            handle,
            command_line: arguments.command_line.clone(),
            config: arguments.config.clone(),
            playout_delay: arguments.playout_delay,
            streams_max: arguments.common.streams_max,
            verbose: AtomicBool::new(arguments.verbose),
            in_force: Mutex::new(config::values(&arguments.words)),
            reloading: Mutex::default(),
        })
    }

    /// Whether the status line is to be long.
    pub fn verbose(&self) -> bool {
        self.verbose.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the config in force that was read, as far as it can be while the server runs.
    fn put_in_force(&self, (arguments, tuning, values): Read) -> Reloaded {
        let mut in_force = self.lock();
        self.handle.tune(&tuning);
        self.handle.set_default_gain(arguments.common.gain);
        self.verbose.store(arguments.verbose, Ordering::Relaxed);
        let mut reloaded = Reloaded::default();
        for (key, file) in values {
            let running = in_force.entry(key.clone()).or_default();
            if *running == file {
                continue;
            }
            if CHANGEABLE.contains(&&*key) {
                *running = file;
                reloaded.changed.push(key);
            } else {
                let running = running.clone();
                let needs = NeedsRestart { key, running, file };
                reloaded.unchanged_needs_restart.push(needs);
            }
        }
        reloaded
    }

    /// What the file says, whole and checked.
    fn read(&self, file: &Path) -> Result<Read, ConfigError> {
        let (arguments, words) = config::read_again(file, &self.command_line)?;
        let broken = |error: anyhow::Error| ConfigError::new(file, format!("{error:#}"));
        // As at the next start, too, when all of it will hold.
        arguments.server_settings().map_err(broken)?;
        arguments.control.tokens().map_err(broken)?;
        let network = &arguments.network;
        network.playout(arguments.playout_delay).map_err(broken)?;
        let tuning = Tuning {
            limits: network.limits(self.streams_max),
            playout: network.playout(self.playout_delay).map_err(broken)?,
        };
        Ok((arguments, tuning, config::values(&words)))
    }

    /// The same, told in the log.
    fn reload_by_signal(&self) {
        match self.reload() {
            Ok(reloaded) => {
                let changed = match &*reloaded.changed {
                    [] => "nothing that can change while it runs".to_owned(),
                    changed => changed.join(", "),
                };
                tracing::info!("the config was read again; changed: {changed}");
                for NeedsRestart { key, running, file } in reloaded.unchanged_needs_restart {
                    tracing::warn!(
                        "`{key}` is {running}, and {file} in the config: it changes with a restart"
                    );
                }
            }
            Err(error) => tracing::error!("SIGHUP changed nothing: {error}"),
        }
    }
}

impl Config for Reloader {
    /// Every flag, by its key. Files are named; what is in them is not told.
    fn in_force(&self) -> Map<String, Value> {
        self.lock().clone().into_iter().collect()
    }

    fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reloading = self.reloading.lock();
        let _reloading = reloading.unwrap_or_else(PoisonError::into_inner);
        let tokens = self.tokens.as_ref().map(Tokens::read_again).transpose();
        let tokens = tokens.map_err(|error| ReloadError::Tokens(error.to_string()))?;
        let read = match &self.config {
            Some(file) => Some(self.read(file).map_err(broken)?),
            None if tokens.is_some() => None,
            None => return Err(ReloadError::NoConfig),
        };
        // From here on nothing fails.
        let mut reloaded = match read {
            Some(read) => self.put_in_force(read),
            None => Reloaded::default(),
        };
        // The files keep their names; what is in them is no value to tell.
        if tokens.is_some_and(ReadAgain::put_in_force) {
            reloaded.changed.push("token_file".to_owned());
            reloaded.changed.sort_unstable();
        }
        Ok(reloaded)
    }
}

/// What a file says.
type Read = (Box<Arguments>, Tuning, BTreeMap<String, Value>);

fn broken(error: ConfigError) -> ReloadError {
    let ConfigError { file, reason } = error;
    ReloadError::Broken { file, reason }
}

/// SIGHUP, as every thread has it: no thread is interrupted by it, and one takes it.
pub struct Hangups(SigSet);

impl Hangups {
    /// Keeps SIGHUP waiting. To be called before any thread is started: they inherit it.
    pub fn hold() -> io::Result<Self> {
        let mut hangup = SigSet::empty();
        hangup.add(Signal::SIGHUP);
        hangup.thread_block()?;
        Ok(Self(hangup))
    }

    /// Starts the thread that takes it, also that which came meanwhile. It runs as long as the program.
    pub fn reload(self, reloader: Arc<Reloader>) -> io::Result<()> {
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                // It fails for no set of signals that exist.
                while self.0.wait().is_ok() {
                    reloader.reload_by_signal();
                }
            })
            .map(drop)
    }
}
