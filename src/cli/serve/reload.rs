//! Reads the config again while the server runs: by SIGHUP, and by the API.
//!
//! First all of the file is checked, then all that can change does. So a broken file changes nothing. Flags of
//! the command line win over the file, as at the start.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use mixpool::{
    config::{Config, ConfigError},
    control::{self, Config as _, ReadAgain, Tokens},
    engine::{Handle, NeedsRestart, ReloadError, Reloaded},
};
use nix::sys::signal::{SigSet, Signal};
use serde_json::{Map, Value};

use super::Arguments;
use crate::cli::{common, http};

/// The config of a server that runs.
#[derive(Debug)]
pub struct Reloader {
    handle: Handle,
    /// Of the start: the name of the file, and the flags over it.
    arguments: Arguments,
    in_force: Mutex<Config>,
    /// Held as long as files are read: two reloads at once would mix them.
    reloading: Mutex<()>,
    /// Of the control plane; their files are read again with the config.
    tokens: Option<Tokens>,
}

impl Reloader {
    /// Of a server that was started with this config, which these arguments name.
    pub fn new(
        arguments: Arguments,
        config: Config,
        handle: Handle,
        tokens: Option<Tokens>,
    ) -> Arc<Self> {
        Arc::new(Self {
            handle,
            arguments,
            in_force: Mutex::new(config),
            reloading: Mutex::default(),
            tokens,
        })
    }

    /// Whether the status line is to be long.
    pub fn verbose(&self) -> bool {
        self.lock().run.verbose
    }

    fn lock(&self) -> MutexGuard<'_, Config> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the config in force that was read, as far as it can be while the server runs.
    fn put_in_force(&self, read: &Config) -> Reloaded {
        let mut in_force = self.lock();
        let before = in_force.values();
        let mut live = in_force.clone();
        live.take_live(read);
        self.handle
            .tune(&live.tuning().expect("the config was checked"));
        self.handle.set_default_gain(live.mix.gain());
        let delay = live.playout.playout_delay.of_first_frame();
        self.handle.set_playout_delay(delay);
        *in_force = live;
        let mut reloaded = Reloaded::default();
        for ((key, running), (_, file)) in in_force.values().into_iter().zip(read.values()) {
            if running != before[&key] {
                reloaded.changed.push(key);
            } else if running != file {
                let needs = NeedsRestart { key, running, file };
                reloaded.unchanged_needs_restart.push(needs);
            }
        }
        reloaded
    }

    /// What the file says, whole and checked.
    fn read(&self) -> Result<Config, ConfigError> {
        let config = self.arguments.read()?;
        let file = self.arguments.config.as_deref().unwrap_or(Path::new(""));
        let broken = |error: anyhow::Error| ConfigError::new(file, format!("{error:#}"));
        // As at the next start, too, when all of it will hold.
        common::settings(&config).map_err(broken)?;
        http::tokens(&config.control).map_err(broken)?;
        Ok(config)
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

impl control::Config for Reloader {
    /// Every key, and the name of the file. Token files are named, not shown.
    fn in_force(&self) -> Map<String, Value> {
        let mut values = self.lock().values();
        let file = self.arguments.config.as_ref();
        let file = file.map(|file| file.to_string_lossy());
        values.insert("config".to_owned(), file.into());
        values
    }

    fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reloading = self.reloading.lock();
        let _reloading = reloading.unwrap_or_else(PoisonError::into_inner);
        let tokens = self.tokens.as_ref().map(Tokens::read_again).transpose();
        let tokens = tokens.map_err(|error| ReloadError::Tokens(error.to_string()))?;
        let read = match &self.arguments.config {
            Some(_) => Some(self.read()?),
            None if tokens.is_some() => None,
            None => return Err(ReloadError::NoConfig),
        };
        // From here on nothing fails.
        let mut reloaded = match read {
            Some(read) => self.put_in_force(&read),
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
