//! Says once a second what the end of a server waits for: a disk that does not answer can hold it up for ever.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use super::Handle;

const PERIOD: Duration = Duration::from_secs(1);

/// Recordings that are named one by one.
const NAMED_MAX: usize = 8;

/// The first names, and how many are beyond them.
fn listed(names: &[String]) -> String {
    let (first, beyond) = names.split_at(names.len().min(NAMED_MAX));
    let first = first.join(", ");
    match beyond.len() {
        0 => first,
        count => format!("{first} and {count} more"),
    }
}

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
                    format!("the samples of {} to be written", listed(&names))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_recordings_that_are_waited_for_are_counted() {
        let names = |count: usize| (0..count).map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&names(2)), "0, 1");
        assert_eq!(listed(&names(NAMED_MAX)), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(listed(&names(300)), "0, 1, 2, 3, 4, 5, 6, 7 and 292 more");
    }
}
