//! A run as it goes: one line that a terminal rewrites, or one plain line at a time; and its end by
//! signal.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use console::Term;
use mixpool::engine::{Status, Stop, TickReport};

use super::{
    log::{Log, LogFormat},
    units::{show_bytes, show_ns},
};

/// The exit code of a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Ctrl-C and SIGTERM end the server, with its recording finished and its report; a second one ends
/// the program at once.
pub fn end_on_signals(stop: Stop) -> Result<()> {
    ctrlc::set_handler(move || {
        if stop.request() {
            std::process::exit(INTERRUPTED.into());
        }
    })
    .context("cannot handle Ctrl-C and SIGTERM")
}

/// The status line, on the standard error.
pub struct Line {
    target: Target,
    ptime: Duration,
    whole: Option<Duration>,
    shown: bool,
}

enum Target {
    Terminal,
    File,
    Log,
    Nothing,
}

impl Line {
    /// `whole` is the time that the run takes, if it is known.
    pub fn new(log: Log, ptime: Duration, whole: Option<Duration>) -> Self {
        Self {
            target: match log.log_format {
                _ if log.quiet => Target::Nothing,
                LogFormat::Json => Target::Log,
                LogFormat::Text if io::stderr().is_terminal() => Target::Terminal,
                LogFormat::Text => Target::File,
            },
            ptime,
            whole,
            shown: false,
        }
    }

    pub fn show(&mut self, status: &Status, verbose: bool) {
        let time = clock(mix_time(status.ticks, self.ptime), self.whole);
        // A status without a reader is no reason to stop mixing.
        let _ = match self.target {
            Target::Terminal => {
                // Without wrapping: a line in two rows could not be rewritten.
                let (_, width) = Term::stderr().size();
                let text = fit(&brief(&time, status, verbose), usize::from(width));
                write!(io::stderr(), "\r\x1b[?7l{text}\x1b[K\x1b[?7h")
            }
            Target::File => writeln!(io::stderr(), "{}", full(&time, status, verbose)),
            Target::Log => {
                tracing::info!("{}", full(&time, status, verbose));
                Ok(())
            }
            Target::Nothing => Ok(()),
        };
        self.shown = true;
    }

    /// Ends the line, so that later output does not overwrite it.
    pub fn end(&mut self) {
        if matches!(self.target, Target::Terminal) && self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}

/// The time that these ticks last.
pub fn mix_time(ticks: u64, ptime: Duration) -> Duration {
    let ns = u128::from(ticks) * ptime.as_nanos();
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// Whole figures, for a file that is searched.
fn full(time: &str, status: &Status, verbose: bool) -> String {
    let ledger = &status.ledger;
    let mut line = format!(
        "{}  streams {}  mixed {}  missing {} ({:.2}%)  dropped {} ({:.2}%)  late ticks {}  peak {}  ring high-water {}",
        time,
        status.streams,
        ledger.mixed,
        ledger.missing(),
        100.0 * ledger.missing_rate(),
        ledger.dropped(),
        100.0 * ledger.drop_rate(),
        status.late_ticks,
        decibels(status.peak_dbfs),
        show_bytes(ledger.ring_high_water_bytes),
    );
    if ledger.discarded > 0 {
        let _ = write!(line, "  discarded {}", ledger.discarded);
        for (reason, samples) in ledger.discards() {
            if samples > 0 {
                let _ = write!(line, " {reason} {samples}");
            }
        }
    }
    if verbose {
        for (name, ticks) in [
            ("lateness", &status.tick_lateness),
            ("tick time", &status.tick_time),
        ] {
            let [p50, p99, p99_9, max] = quantiles(ticks);
            let _ = write!(line, "  {name} p50 {p50} p99 {p99} p99.9 {p99_9} max {max}");
        }
    }
    line
}

/// The same in few characters, the figures that the verbose form adds first. Eighty columns hold all
/// but that form, unless figures are large.
fn brief(time: &str, status: &Status, verbose: bool) -> Vec<String> {
    let ledger = &status.ledger;
    let time = time.to_owned();
    let streams = format!("streams {} mixed {}", status.streams, rounded(ledger.mixed));
    // Dropped samples are among those that are missing.
    let missing = format!("missing {}", percent(ledger.missing_rate()));
    let dropped = format!("dropped {}", rounded(ledger.dropped()));
    let late = format!("late {}", status.late_ticks);
    let peak = match status.peak_dbfs {
        peak if peak.is_finite() => format!("peak {peak:.0}dB"),
        _ => "peak silent".to_owned(),
    };
    let ring = format!("ring {}", show_bytes(ledger.ring_high_water_bytes));
    if verbose {
        let lateness = quantiles(&status.tick_lateness).join("/");
        let tick_time = quantiles(&status.tick_time).join("/");
        let ticks = format!("{late} {lateness} tick {tick_time}");
        vec![time, missing, ticks, dropped, streams, peak, ring]
    } else {
        vec![time, streams, missing, dropped, late, peak, ring]
    }
}

/// As many parts as this many columns hold, none of them cut.
fn fit(parts: &[String], width: usize) -> String {
    let mut line = String::new();
    for part in parts {
        if !line.is_empty() && line.len() + 1 + part.len() > width {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += part;
    }
    line
}

/// A share of 1 in a few characters. One above nothing never reads as nothing.
fn percent(share: f64) -> String {
    match 100.0 * share {
        share if share <= 0.0 => "0%".to_owned(),
        share if share < 0.05 => "<0.1%".to_owned(),
        share => format!("{share:.1}%"),
    }
}

/// p50, p99, p99.9 and the longest.
fn quantiles(ticks: &TickReport) -> [String; 4] {
    [ticks.p50_ns, ticks.p99_ns, ticks.p99_9_ns, ticks.max_ns].map(show_ns)
}

/// `01:30`, or `01:30/10:00` of a known whole; with hours if there are any.
pub fn clock(time: Duration, whole: Option<Duration>) -> String {
    let show = |time: Duration| {
        let seconds = time.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            format!("{hours}:{minutes:02}:{seconds:02}")
        } else {
            format!("{minutes:02}:{seconds:02}")
        }
    };
    match whole {
        Some(whole) => format!("{}/{}", show(time), show(whole)),
        None => show(time),
    }
}

/// `950`, `9.5k`, `120M`: a count in a few characters.
fn rounded(count: u64) -> String {
    const STEPS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match STEPS.iter().find(|(step, _)| count >= *step) {
        Some((step, unit)) => {
            let decimals = usize::from(count / step < 100);
            format!("{:.decimals$}{unit}", count as f64 / *step as f64)
        }
        None => count.to_string(),
    }
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

    fn status() -> Status {
        let ledger = Entry {
            offered: 480_100_000,
            mixed: 480_000_000,
            dropped_full: 50_000,
            dropped_late: 50_000,
            lost: 480_000,
            ring_high_water_bytes: 2048,
            ..Entry::default()
        };
        Status {
            ticks: 3050,
            late_ticks: 2,
            tick_lateness: TickReport {
                p50_ns: 57_100,
                p99_ns: 842_000,
                p99_9_ns: 3_040_000,
                max_ns: 20_100_000,
            },
            tick_time: TickReport {
                p50_ns: 260_000,
                p99_ns: 410_000,
                p99_9_ns: 438_000,
                max_ns: 1_900_000,
            },
            streams: 1000,
            peak_dbfs: -16.02,
            clipped_samples: 0,
            limited_samples: 0,
            ledger,
            ..Status::default()
        }
    }

    #[test]
    fn a_file_gets_whole_figures() {
        assert_eq!(
            full("01:01", &status(), false),
            "01:01  streams 1000  mixed 480000000  missing 580000 (0.12%)  dropped 100000 (0.02%)  late ticks 2  \
             peak -16.0 dBFS  ring high-water 2.0KiB"
        );
    }

    #[test]
    fn discarded_samples_stand_beside_with_their_reason() {
        let ledger = Entry {
            offered: 8_000,
            mixed: 7_000,
            discarded: 1_000,
            discarded_ended: 1_000,
            lost: 2_000,
            ..Entry::default()
        };
        let line = full("01:01", &Status { ledger, ..status() }, false);
        for part in [
            "  missing 2000 (20.00%)  dropped 0 (0.00%)  ",
            "  discarded 1000 ended 1000",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }

    #[test]
    fn the_verbose_form_adds_tick_lateness_and_tick_time() {
        let verbose = full("01:01", &status(), true);
        let added = verbose.strip_prefix(&full("01:01", &status(), false));
        assert_eq!(
            added,
            Some(
                "  lateness p50 57us p99 842us p99.9 3.0ms max 20ms  \
                 tick time p50 260us p99 410us p99.9 438us max 1.9ms"
            )
        );
    }

    #[test]
    fn a_terminal_of_eighty_columns_shows_all_of_a_thousand_streams() {
        let line = brief("01:01", &status(), false).join(" ");
        assert_eq!(
            line,
            "01:01 streams 1000 mixed 480M missing 0.1% dropped 100k late 2 peak -16dB \
             ring 2.0KiB"
        );
        let usual = Status {
            ledger: Entry {
                mixed: 480_000_000,
                ring_high_water_bytes: 2048,
                ..Entry::default()
            },
            ..status()
        };
        let line = brief("59:59", &usual, false).join(" ");
        assert!(line.len() <= 80, "{line}");
        let line = fit(&brief("00:59/59:59", &usual, false), 80);
        assert!(line.ends_with("peak -16dB"), "{line}");
        let line = brief("59:59", &usual, true).join(" ");
        let shown = "59:59 missing 0% late 2 57us/842us/3.0ms/20ms tick 260us/410us/438us/1.9ms";
        assert!(line.starts_with(shown), "{line}");
        assert!(shown.len() <= 80);
    }

    #[test]
    fn an_hour_is_told_as_one() {
        let seconds = Duration::from_secs;
        assert_eq!(clock(seconds(59), None), "00:59");
        assert_eq!(clock(seconds(3661), None), "1:01:01");
        assert_eq!(clock(seconds(9), Some(seconds(3600))), "00:09/1:00:00");
        assert_eq!(mix_time(50, Duration::from_millis(20)), seconds(1));
        assert_eq!(rounded(999), "999");
        assert_eq!(rounded(1_500), "1.5k");
        let shares = [0.0, 0.000_1, 0.2].map(percent);
        assert_eq!(shares, ["0%", "<0.1%", "20.0%"]);
    }

    #[test]
    fn silence_has_no_level() {
        assert_eq!(decibels(f32::NEG_INFINITY), "silent");
    }
}
