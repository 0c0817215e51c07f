//! The outcome of reading the config again, as plain data. [`ConfigAccess`](super::ConfigAccess) does it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::config::ConfigError;

/// The outcome of a reload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Reloaded {
    /// Keys with new values that hold from now on, in alphabetical order.
    pub changed: Vec<String>,
    /// Keys that differ in the file, and stay as they are until the server is restarted.
    pub unchanged_needs_restart: Vec<NeedsRestart>,
}

/// A key that does not change while the server runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NeedsRestart {
    /// Its name.
    pub key: String,
    /// Its value in force, of any type; null if there is none.
    pub running: Value,
    /// Its value in the file, or by default if the file has none.
    pub file: Value,
}

/// Why nothing was reloaded: all is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// There is no file to read.
    #[error(
        "this server was started without --config, so there is nothing to read again: start it with a file"
    )]
    NoConfig,
    /// A token file has none; the text says why.
    #[error("{0}")]
    Tokens(String),
    /// The rooms that the file has more cannot be opened; the text says why.
    #[error("cannot open the rooms that are new in the config: {0}")]
    Rooms(String),
    /// The file cannot be read, or a value of it cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
