//! Reads the config again while the server runs.
//!
//! All of it is checked before any of it changes, so a broken file changes nothing.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Map, Value};

use super::http;
use crate::{
    config::{Config, ConfigError},
    control::{ConfigAccess, NeedsRestart, ReadAgain, ReloadError, Reloaded, Tokens},
    engine::{Handle, Settings},
};

/// The file of a config, with what reads it again.
pub struct ConfigFile {
    path: PathBuf,
    read: Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
}

impl ConfigFile {
    /// `read` returns the whole config, with whatever is to win over the file.
    pub fn new(
        path: PathBuf,
        read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            path,
            read: Box::new(read),
        }
    }

    /// The config, checked as at a start.
    fn read(&self) -> Result<Config, ConfigError> {
        let config = (self.read)()?;
        let broken = |reason| ConfigError::new(&self.path, reason);
        Settings::try_from(&config).map_err(broken)?;
        http::tokens(&config.control).map_err(broken)?;
        Ok(config)
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConfigFile").field(&self.path).finish()
    }
}

/// The config of a server that runs, and its change.
#[derive(Debug)]
pub struct Reloader {
    handle: Handle,
    file: Option<ConfigFile>,
    in_force: Mutex<Config>,
    /// Held as long as files are read: two reloads at once would mix them.
    reloading: Mutex<()>,
    /// The control plane's tokens; their files are read again with the config.
    tokens: Option<Tokens>,
}

impl Reloader {
    pub(super) fn new(
        config: Config,
        file: Option<ConfigFile>,
        handle: Handle,
        tokens: Option<Tokens>,
    ) -> Arc<Self> {
        Arc::new(Self {
            handle,
            file,
            in_force: Mutex::new(config),
            reloading: Mutex::default(),
            tokens,
        })
    }

    /// The config in force.
    pub fn config(&self) -> Config {
        self.lock().clone()
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, Config> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file and the token files again, and changes what can change while the server runs. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        let reloading = self.reloading.lock();
        let _reloading = reloading.unwrap_or_else(PoisonError::into_inner);
        let tokens = self.tokens.as_ref().map(Tokens::read_again).transpose();
        let tokens = tokens.map_err(|error| ReloadError::Tokens(error.to_string()))?;
        let read = match &self.file {
            Some(file) => Some(file.read()?),
            None if tokens.is_some() => None,
            None => return Err(ReloadError::NoConfig),
        };
        let mut added = Vec::new();
        if let Some(read) = &read {
            added = self.lock().rooms_added(read);
            let now = SystemTime::now();
            for room in &mut added {
                room.stamp(now);
            }
            let checked = self.handle.check_records(&added);
            checked.map_err(|error| ReloadError::Rooms(error.to_string()))?;
            let opened = self.handle.open_listed_rooms(&read.mix.room);
            opened.map_err(|error| ReloadError::Rooms(error.to_string()))?;
        }
        // From here on nothing fails but a disk.
        self.handle.record_listed(&added);
        let mut reloaded = match read {
            Some(read) => self.put_in_force(&read),
            None => Reloaded::default(),
        };
        // The files keep their names; the tokens in them are not shown.
        if tokens.is_some_and(ReadAgain::put_in_force) {
            reloaded.changed.push("token_file".to_owned());
            reloaded.changed.sort_unstable();
        }
        Ok(reloaded)
    }

    /// Puts the config in force that was read, as far as it can be while the server runs.
    fn put_in_force(&self, read: &Config) -> Reloaded {
        let mut in_force = self.lock();
        let before = in_force.values();
        let mut live = in_force.clone();
        live.take_live(read);
        self.handle
            .tune(live.tuning().expect("the config was checked"));
        self.handle.set_default_gain(live.mix.gain());
        if let Err(busy) = self.handle.set_default_talking(live.mix.talking()) {
            tracing::warn!("talking_threshold and talking_hold are not in force: {busy}");
            let running = &in_force.mix;
            live.mix.talking_threshold = running.talking_threshold;
            live.mix.talking_hold = running.talking_hold;
        }
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
}

impl ConfigAccess for Reloader {
    /// Every key, and the name of the file. Token files are named, not shown.
    fn in_force(&self) -> Map<String, Value> {
        let mut values = self.lock().values();
        let file = self.file.as_ref();
        let file = file.map(|file| file.path.to_string_lossy());
        values.insert("config".to_owned(), file.into());
        values
    }

    fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reload()
    }
}
