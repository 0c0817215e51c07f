//! Ctrl-C and SIGTERM: they end the bench with what was measured so far.

use std::{
    cell::Cell,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::cli::status::INTERRUPTED;

/// Whether somebody wants the bench to end.
#[derive(Debug)]
pub(super) struct Interrupt {
    signals: Receiver<()>,
    heard: Cell<bool>,
}

impl Interrupt {
    /// From now on a signal is heard here, and a second one ends the program at once.
    pub(super) fn handle() -> Result<Self> {
        let (sender, signals) = mpsc::channel();
        let before = AtomicBool::new(false);
        ctrlc::set_handler(move || {
            if before.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            // Nobody listens any more when the results are being printed.
            let _ = sender.send(());
        })
        .context("cannot handle Ctrl-C and SIGTERM")?;
        Ok(Self {
            signals,
            heard: Cell::new(false),
        })
    }

    /// Sleeps, but not on after a signal. Returns whether one came, then or before.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        if !self.heard.get() {
            let slept = self.signals.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            self.heard.set(!slept);
        }
        self.heard.get()
    }

    /// Whether a signal came.
    pub(super) fn is_heard(&self) -> bool {
        self.sleep(Duration::ZERO)
    }
}
