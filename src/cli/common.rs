//! The part that `serve` and `replay` share: what their config means for the engine, and their results.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::SystemTime,
};

use anyhow::Result;
use mixpool::{
    config::{Config, Output, RoomConfig},
    engine::{Report, Settings, SourceErrorReport},
    output::stamped,
};

use super::{
    WrongUsage,
    findings::Stamped,
    report,
    results::{self, Named, ResultFile},
};

/// The engine's settings of a config.
///
/// # Errors
/// Wrong usage: values that do not go together.
pub fn settings(config: &Config) -> Result<Settings> {
    Ok(Settings::try_from(config).map_err(WrongUsage)?)
}

/// Puts the time of the start into the names of results.
pub fn stamp(output: &mut Output, now: SystemTime) {
    for path in [&mut output.record, &mut output.report]
        .into_iter()
        .flatten()
    {
        *path = stamped(path, now);
    }
}

/// The files of rooms' recordings, each with its flag.
pub type RoomRecords = Vec<(String, PathBuf)>;

/// Those of these rooms, with the time of the start in their names.
pub fn room_records(rooms: &[RoomConfig], now: SystemTime) -> RoomRecords {
    let stamped = rooms.iter().cloned().filter_map(|mut room| {
        room.stamp(now);
        Some((results::record_of(&room.name), room.record?))
    });
    stamped.collect()
}

/// Refuses results that would overwrite each other, or a file that is `read`; finds out whether the report
/// can be written.
pub fn check_results<'a>(
    output: &'a Output,
    rooms: &RoomRecords,
    read: &[Named<'_>],
) -> Result<Option<ResultFile<'a>>> {
    let written = [
        Named::given(results::RECORD, output.record.as_ref()),
        Named::given("--report", output.report.as_ref()),
    ];
    let rooms = rooms.iter().map(|(flag, path)| Named::new(flag, path));
    let mut written: Vec<_> = written.into_iter().flatten().chain(rooms).collect();
    let sidecars = results::sidecars(&written);
    let sidecars = sidecars.iter().map(|(flag, path)| Named::new(flag, path));
    written.extend(sidecars);
    results::check_distinct(&written, read)?;
    output
        .report
        .as_deref()
        .map(|path| ResultFile::prepare("--report", path))
        .transpose()
}

/// Prints the report, writes it to its file, and says whether all went well. It is printed to the standard
/// error if the recording went to the standard output.
pub fn conclude(
    output: &Output,
    rooms: &RoomRecords,
    top: usize,
    report: &Report,
    file: Option<ResultFile<'_>>,
) -> Result<ExitCode> {
    let json = serde_json::to_string_pretty(&Stamped::new(report))?;
    let written = file.map_or(Ok(()), |file| file.write(format!("{json}\n").as_bytes()));
    let text = if output.json {
        json
    } else {
        report::text(report, top)
    };
    let rooms = rooms.iter().map(|(_, path)| path);
    if output
        .record
        .iter()
        .chain(rooms)
        .any(|path| results::is_stdout(path))
    {
        // Like a line of the log: no reader is no failure of the mix.
        let _ = writeln!(io::stderr(), "{text}");
    } else {
        super::print(&text)?;
    }
    written?;
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Logs each failure once, however many streams it met.
pub fn log_failures(failures: &[SourceErrorReport]) {
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for failure in failures {
        match seen.iter_mut().find(|(error, _)| *error == failure.error) {
            Some((_, count)) => *count += 1,
            None => seen.push((&failure.error, 1)),
        }
    }
    for (error, count) in seen {
        if count == 1 {
            tracing::error!("{error}");
        } else {
            tracing::error!("{error} (in {count} streams)");
        }
    }
}
