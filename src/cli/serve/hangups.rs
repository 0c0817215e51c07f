//! SIGHUP: the config is read again.

use std::{io, sync::Arc, thread};

use mixpool::{control::NeedsRestart, server::Reloader};
use nix::sys::signal::{SigSet, Signal};

/// SIGHUP, blocked in every thread: one thread waits for it.
pub struct Hangups(SigSet);

impl Hangups {
    /// Blocks SIGHUP. To be called before any thread is started: they inherit it.
    pub fn hold() -> io::Result<Self> {
        let mut hangup = SigSet::empty();
        hangup.add(Signal::SIGHUP);
        hangup.thread_block()?;
        Ok(Self(hangup))
    }

    /// Starts the thread that waits. A signal that came meanwhile counts. It runs as long as the program.
    pub fn reload(self, reloader: Arc<Reloader>) -> io::Result<()> {
        thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || {
                // It fails for no set of signals that exist.
                while self.0.wait().is_ok() {
                    reload(&reloader);
                }
            })
            .map(drop)
    }
}

/// Reloads, and logs the outcome.
fn reload(reloader: &Reloader) {
    match reloader.reload() {
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
