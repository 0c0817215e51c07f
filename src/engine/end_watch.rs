//! Says once a second what the end of a server waits for: a disk that does not answer can hold it up for ever.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use super::Handle;

const PERIOD: Duration = Duration::from_secs(1);

/// An end under way. Dropping it ends its thread.
pub(super) struct EndWatch {
    _ended: Option<Sender<()>>,
}

impl EndWatch {
    /// Starts the thread; without one the end is only silent.
    pub(super) fn start(handle: Handle) -> Self {
        let (ended, end) = mpsc::channel();
        let watch = move || {
            let begun = Instant::now();
            while end.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let names = handle.shared().recordings.unfinished();
                let awaited = if names.is_empty() {
                    "sources that do not end".to_owned()
                } else {
                    format!("the samples of {} to be written", names.join(", "))
                };
                let seconds = begun.elapsed().as_secs();
                tracing::warn!(
                    "waiting for {awaited}, {seconds} s so far; a second Ctrl-C ends the process at once"
                );
            }
        };
        let thread = thread::Builder::new().name("ending".to_owned());
        Self {
            _ended: thread.spawn(watch).ok().map(|_| ended),
        }
    }
}
