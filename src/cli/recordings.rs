//! `mixpool recordings`: lists, verifies and mends what is recorded in a folder.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use mixpool::{
    output::saved::{self, Depth, Facts, Listed, ListedFacts, MendOutcome, Verified},
    wire::sidecar::{Point, Recorded},
};

use super::{
    print,
    table::{Column, table},
    units::counted,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List recordings: what is recorded, when, how long, with which gaps, and how it ended
    List(List),
    /// Read recordings whole, and compare hash, length, header, gaps and segments with their sidecars
    Verify(Folder),
    /// Finish recordings that a process left unfinished: header, count, hash and end, from what is in the file
    Mend(Mend),
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// The folder; those below it are read, too
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mixpool recordings list /var/lib/mixpool
  mixpool recordings list --json . | jq '.[] | select(.state == \"unfinished\") | .file'")]
struct List {
    #[command(flatten)]
    folder: Folder,

    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A recording that runs, a finished one and a file without a sidecar stay as they are. A WAV or FLAC that is damaged \
before its end is named and stays as it is, too.

Examples:
  mixpool recordings mend --check /var/lib/mixpool
  mixpool recordings mend /var/lib/mixpool")]
struct Mend {
    #[command(flatten)]
    folder: Folder,

    /// Say what would be done, and change nothing
    #[arg(long)]
    check: bool,
}

/// Runs the subcommand. The code says whether all recordings are well.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.command {
        Command::List(list) => self::list(list),
        Command::Verify(folder) => verify(folder),
        Command::Mend(mend) => self::mend(mend),
    }
}

const COLUMNS: [Column<Listed>; 6] = [
    Column::text("file", 0, |row| plain(&row.file)),
    Column::text("recorded", 1, |row| {
        cell(row, |facts| recorded(&facts.recorded))
    }),
    Column::text("start", 2, |row| cell(row, |facts| facts.start.clone())),
    Column::figure("length", 0, |row| {
        cell(row, |facts| length(Duration::from_secs_f64(facts.seconds)))
    }),
    Column::text("gaps", 1, |row| cell(row, gaps)),
    Column::text("state", 0, state),
];

fn list(arguments: &List) -> Result<ExitCode> {
    let rows = saved::list(&arguments.folder.folder)?;
    if arguments.json {
        print(&serde_json::to_string_pretty(&rows)?)?;
    } else {
        print(table(&COLUMNS, &rows).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(arguments: &Folder) -> Result<ExitCode> {
    let (mut right, mut faulty) = (0, 0);
    let mut printed = Ok(());
    saved::verify(&arguments.folder, |name, verified| {
        let name = plain(name);
        let lines = match verified {
            Verified::Right { samples } => {
                right += 1;
                vec![format!("{name}: right, {}", counted(samples, "sample"))]
            }
            Verified::Faulty(faults) => {
                faulty += 1;
                faults
                    .iter()
                    .map(|fault| format!("{name}: {}", plain(fault)))
                    .collect()
            }
            Verified::Running => vec![format!("{name}: is being recorded, not verified")],
            Verified::WithoutSidecar => vec![format!("{name}: has no sidecar, not verified")],
        };
        say(&mut printed, &lines.join("\n"));
    })?;
    say(
        &mut printed,
        &format!("{} right, {faulty} faulty", counted(right, "recording")),
    );
    printed?;
    Ok(code(faulty == 0))
}

fn mend(arguments: &Mend) -> Result<ExitCode> {
    let (mut mended, mut refused) = (0, 0);
    let mut printed = Ok(());
    let would = if arguments.check { "would be " } else { "" };
    saved::mend(
        &arguments.folder.folder,
        Depth::Tree,
        arguments.check,
        |name, outcome| {
            let name = plain(name);
            let line = match outcome {
                MendOutcome::Finished => return,
                MendOutcome::Mended {
                    samples,
                    cut_bytes,
                    missing_samples,
                } => {
                    mended += 1;
                    let mut line = format!("{name}: {would}mended, {}", counted(samples, "sample"));
                    if cut_bytes > 0 {
                        let _ = write!(
                            line,
                            "; {} behind them {would}cut off",
                            counted(cut_bytes, "byte")
                        );
                    }
                    if missing_samples > 0 {
                        let _ = write!(line, "; its sidecar counted {missing_samples} more");
                    }
                    line
                }
                MendOutcome::Running => format!("{name}: is being recorded, left as it is"),
                MendOutcome::WithoutSidecar => format!("{name}: has no sidecar, left as it is"),
                MendOutcome::Refused(error) => {
                    refused += 1;
                    format!("{name}: left as it is: {}", plain(&error.to_string()))
                }
                MendOutcome::Damaged(why) => {
                    refused += 1;
                    format!("{name}: left as it is: {}", plain(&why))
                }
            };
            say(&mut printed, &line);
        },
    )?;
    say(
        &mut printed,
        &format!(
            "{} {would}mended, {refused} could not be",
            counted(mended, "recording")
        ),
    );
    printed?;
    Ok(code(refused == 0))
}

/// Prints a line, unless one before could not be printed.
fn say(printed: &mut Result<()>, line: &str) {
    if printed.is_ok() {
        *printed = print(line);
    }
}

fn code(is_well: bool) -> ExitCode {
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Text of a file or a name in it, without what would steer a terminal.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

fn cell(row: &Listed, show: impl Fn(&Facts) -> String) -> String {
    match &row.facts {
        ListedFacts::Recording(facts)
        | ListedFacts::Unfinished(facts)
        | ListedFacts::Finished(facts) => show(facts),
        ListedFacts::Faulty { .. } | ListedFacts::WithoutSidecar => "-".into(),
    }
}

fn recorded(recorded: &Recorded) -> String {
    plain(&match recorded {
        Recorded::Room { room } => format!("room {room}"),
        Recorded::Stream {
            stream,
            room,
            point,
            ..
        } => {
            let point = match point {
                Point::BeforeGain => "before",
                Point::AfterGain => "after",
            };
            format!("stream {stream} in {room}, {point} gain")
        }
    })
}

/// The time of all gaps, by reason.
fn gaps(facts: &Facts) -> String {
    if facts.gap_samples.is_empty() {
        return "none".into();
    }
    let rate_hz = f64::from(facts.format.rate_hz);
    let gaps = facts.gap_samples.iter();
    let gaps =
        gaps.map(|(why, samples)| format!("{} {:.3}s", why.name(), *samples as f64 / rate_hz));
    gaps.collect::<Vec<_>>().join(", ")
}

fn state(row: &Listed) -> String {
    match &row.facts {
        ListedFacts::Recording(_) => "recording".into(),
        ListedFacts::Unfinished(_) => "unfinished".into(),
        ListedFacts::Finished(facts) => facts.end.map_or("-", |end| end.how.name()).into(),
        ListedFacts::Faulty { why } => format!("faulty: {}", plain(why)),
        ListedFacts::WithoutSidecar => "no sidecar".into(),
    }
}

/// `1:02:03.456`.
fn length(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours}:{minutes:02}:{seconds:02}.{millis:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_hours_minutes_and_seconds() {
        assert_eq!(length(Duration::from_millis(3_723_456)), "1:02:03.456");
        assert_eq!(length(Duration::ZERO), "0:00:00.000");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("a\u{1b}[2Jb\n日"), "a\\u{1b}[2Jb\\n日");
    }
}
