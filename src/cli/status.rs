//! A run as it goes: one line that a terminal rewrites, or one plain line at a time; and its end by
//! signal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use mixpool::server::{Status, Stop};

/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Ctrl-C and SIGTERM end the server, with its recording finished and its report; a second one ends
/// the program at once.
pub fn end_on_signals(stop: Stop) -> Result<()> {
    ctrlc::set_handler(move || {
        if stop.request() {
            std::process::exit(INTERRUPTED);
        }
    })
    .context("cannot handle Ctrl-C and SIGTERM")
}

/// The status line, on the standard error.
pub struct Line {
    begun: Instant,
    terminal: bool,
}

impl Line {
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            terminal: io::stderr().is_terminal(),
        }
    }

    pub fn show(&mut self, status: &Status) {
        let text = text(self.begun.elapsed().as_secs(), status);
        // A status that nobody reads any more is no reason to stop mixing.
        let _ = if self.terminal {
            write!(io::stderr(), "\r\x1b[2K{text}")
        } else {
            writeln!(io::stderr(), "{text}")
        };
    }

    /// Leaves the line, so that what follows does not overwrite it.
    pub fn end(&mut self) {
        if self.terminal {
            let _ = writeln!(io::stderr());
        }
    }
}

fn text(seconds: u64, status: &Status) -> String {
    let ledger = &status.ledger;
    format!(
        "{:02}:{:02}  streams {}  mixed {}  dropped {} ({:.2}%)  late ticks {}  peak {}  ring high-water {}",
        seconds / 60,
        seconds % 60,
        status.streams,
        ledger.mixed,
        ledger.dropped(),
        100.0 * ledger.drop_rate(),
        status.late_ticks,
        decibels(status.peak_dbfs),
        ByteSize(ledger.ring_high_water_bytes).display().iec(),
    )
}

fn decibels(dbfs: f32) -> String {
    if dbfs.is_finite() {
        format!("{dbfs:.1} dBFS")
    } else {
        "silent".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use mixpool::ledger::Entry;

    use super::*;

    #[test]
    fn the_line_says_what_matters() {
        let ledger = Entry {
            offered: 1000,
            mixed: 900,
            dropped_full: 50,
            dropped_late: 50,
            ring_high_water_bytes: 2048,
            ..Entry::default()
        };
        let status = Status {
            ticks: 61,
            late_ticks: 2,
            streams: 7,
            peak_dbfs: -6.02,
            clipped_samples: 0,
            limited_samples: 0,
            ledger,
        };
        assert_eq!(
            text(61, &status),
            "01:01  streams 7  mixed 900  dropped 100 (10.00%)  late ticks 2  peak -6.0 dBFS  \
             ring high-water 2.0 KiB"
        );
    }

    #[test]
    fn silence_has_no_level() {
        assert_eq!(decibels(f32::NEG_INFINITY), "silent");
    }
}
