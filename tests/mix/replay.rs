//! Equal files make equal bytes: with any threads that read them, any rings between, at any
//! speed of the machine. Nothing is dropped, every sample is mixed, and the sum is the sum.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use mixpool::{
    audio::Format,
    engine::{Clock, Engine, Report, Settings},
    ledger::SourceKind,
    mixer::Limiting,
    net::StreamRequest,
    source::{Feed, Imperfection, Looped, Schedule, Source as _, WavSource},
};
use tempfile::TempDir;

use crate::rig::reference;

const BLOCK: usize = 160;
const PTIME: Duration = Duration::from_millis(20);

/// One replay: which files, how often, and what must not matter.
#[derive(Clone, Copy)]
struct Replay {
    files: fn() -> Vec<PathBuf>,
    channels: u16,
    streams: usize,
    plays: u64,
    limiting: Limiting,
    threads: usize,
    ring_bytes: usize,
}

const REPLAY: Replay = Replay {
    files,
    channels: 1,
    streams: 0,
    plays: 1,
    limiting: Limiting::Saturate,
    threads: 2,
    ring_bytes: 1 << 16,
};

/// Every sound file: rates from 8000 to 48000, one, two and four channels, five sample formats.
fn files() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let entries = fs::read_dir(testdata).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "wav"));
    files.sort();
    assert!(files.len() >= 12);
    files
}

/// Files with a mix that was known before streams were placed on the mix clock.
fn known_files() -> Vec<PathBuf> {
    let mut files = files();
    let new = ["alaw", "mulaw", "f64", "rf64", "rifx", "s24in32"];
    files.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        !new.iter().any(|new| name.contains(new))
    });
    assert_eq!(files.len(), 13);
    files
}

impl Replay {
    fn format(&self) -> Format {
        Format::new(8000, self.channels).unwrap()
    }

    /// The files in turn, for as many streams as there are, or as are asked for.
    fn paths(&self) -> Vec<PathBuf> {
        let files = (self.files)();
        let streams = if self.streams == 0 {
            files.len()
        } else {
            self.streams
        };
        files.into_iter().cycle().take(streams).collect()
    }

    /// Mixes into a file; returns its bytes and the report.
    fn run(&self) -> (Vec<u8>, Report) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("mix.wav");
        let paths = self.paths();
        let mut engine = Engine::new(Settings {
            format: self.format(),
            streams_max: paths.len(),
            ring_bytes: self.ring_bytes,
            limiting: self.limiting,
            clock: Clock::Offline,
            ingest_threads: self.threads,
            record: Some(path.clone()),
            ..Settings::default()
        })
        .unwrap();
        let schedule = Schedule::new(PTIME, Duration::ZERO, Imperfection::default(), 0);
        for (index, path) in paths.iter().enumerate() {
            let stream = engine
                .open(StreamRequest::new(
                    index.to_string(),
                    SourceKind::Library,
                    "test",
                ))
                .unwrap();
            let source = Looped::open(path, self.format(), self.plays).unwrap();
            engine.feed(Feed::new(stream, Box::new(source)), schedule.clone());
        }
        let running = engine.start().unwrap();
        let handle = running.handle();
        while !handle.is_done() {
            handle.wait(Duration::from_secs(60));
        }
        let report = running.finish();
        (fs::read(path).unwrap(), report)
    }

    /// The streams' samples, as their sources give them.
    fn samples(&self) -> Vec<Vec<i16>> {
        let read = |path: &PathBuf| {
            let mut source = WavSource::open(path, self.format()).unwrap();
            let length = source.length().unwrap() as usize * usize::from(self.channels);
            let mut samples = vec![0; length + 2];
            assert_eq!(source.read(&mut samples).unwrap(), length);
            samples.truncate(length);
            samples.repeat(self.plays as usize)
        };
        self.paths().iter().map(read).collect()
    }

    /// The expected mix: the sum, to the end of the last block that holds a sample.
    fn expected(&self) -> Vec<i16> {
        let streams = self.samples();
        let longest = streams.iter().map(Vec::len).max().unwrap();
        reference(
            &streams,
            longest.next_multiple_of(BLOCK * usize::from(self.channels)),
        )
    }
}

fn samples(wav: &[u8]) -> Vec<i16> {
    let mut reader = hound::WavReader::new(wav).unwrap();
    reader.samples().collect::<Result<_, _>>().unwrap()
}

/// Every sample that the sources gave was mixed, and nothing else happened.
fn is_whole(replay: &Replay, report: &Report) {
    let offered: Vec<u64> = replay
        .samples()
        .iter()
        .map(|samples| samples.len() as u64)
        .collect();
    for (stream, offered) in report.streams.iter().zip(&offered) {
        let ledger = &stream.ledger;
        assert_eq!((ledger.offered, ledger.mixed), (*offered, *offered));
        assert_eq!((ledger.concealed, ledger.in_ring), (0, 0));
        assert_eq!((ledger.segments, ledger.underrun), (1, 0));
    }
    assert_eq!(report.streams.len(), offered.len());
    assert_eq!(report.totals.ledger.mixed, offered.iter().sum::<u64>());
    assert!(report.is_sound() && report.ledger_checks > 0);
}

#[test]
fn a_replay_is_the_sum_of_its_files() {
    for channels in [1, 2] {
        let replay = Replay { channels, ..REPLAY };
        let (wav, report) = replay.run();
        is_whole(&replay, &report);
        assert!(samples(&wav) == replay.expected(), "{channels} channels");
        assert_eq!(report.recorded_samples, replay.expected().len() as u64);
    }
}

#[test]
fn a_replay_without_limiter_gives_the_bytes_it_always_gave() {
    let known = Replay {
        files: known_files,
        ..REPLAY
    };
    let (wav, _) = known.run();
    let bytes: Vec<_> = samples(&wav)
        .into_iter()
        .flat_map(i16::to_le_bytes)
        .collect();
    assert_eq!(
        (bytes.len(), crc32fast::hash(&bytes)),
        (48_000, 0xf753_0954)
    );
}

#[test]
fn threads_and_rings_change_no_byte() {
    for limiting in [Limiting::Saturate, Limiting::Limiter] {
        let replay = Replay { limiting, ..REPLAY };
        let (expected, _) = replay.run();
        for (threads, ring_bytes) in [(1, 1 << 12), (2, 1 << 20), (3, 1 << 14), (7, 1 << 12)] {
            let replay = Replay {
                threads,
                ring_bytes,
                ..replay
            };
            let (wav, report) = replay.run();
            is_whole(&replay, &report);
            assert!(
                wav == expected,
                "{threads} threads, rings of {ring_bytes} bytes"
            );
        }
    }
}

#[test]
fn a_loop_plays_each_file_three_times_without_a_gap() {
    let replay = Replay { plays: 3, ..REPLAY };
    let (wav, report) = replay.run();
    is_whole(&replay, &report);
    assert!(samples(&wav) == replay.expected());
}

#[test]
fn fifty_streams_take_the_files_in_turn() {
    for limiting in [Limiting::Saturate, Limiting::Limiter] {
        let replay = Replay {
            streams: 50,
            limiting,
            ring_bytes: 1 << 12,
            ..REPLAY
        };
        let (wav, report) = replay.run();
        is_whole(&replay, &report);
        let (again, _) = Replay {
            threads: 5,
            ..replay
        }
        .run();
        assert!(wav == again);
        let mix = samples(&wav);
        let expected = replay.expected();
        assert_eq!(mix.len(), expected.len());
        match limiting {
            Limiting::Saturate => assert!(mix == expected && report.clipped_samples > 0),
            Limiting::Limiter => assert!(report.limited_samples > 0 && report.clipped_samples == 0),
        }
    }
}

#[test]
fn a_mix_that_fits_is_the_same_with_and_without_limiter() {
    // Two quiet files and no more: the first in order of their names.
    let quiet = Replay {
        streams: 2,
        ..REPLAY
    };
    let (saturated, report) = quiet.run();
    assert_eq!(report.clipped_samples, 0);
    let (limited, _) = Replay {
        limiting: Limiting::Limiter,
        ..quiet
    }
    .run();
    assert!(saturated == limited);
}

/// Where the longest stream ends with a block, its end may be seen in the same tick or later.
#[test]
fn a_mix_ends_with_its_last_sample_however_late_the_end_is_seen() {
    let replay = Replay {
        streams: 1,
        plays: 4,
        ring_bytes: 1 << 12,
        ..REPLAY
    };
    let expected = replay.expected();
    assert!(expected.len().is_multiple_of(BLOCK) && replay.samples()[0].len() == expected.len());
    for _ in 0..50 {
        let (wav, report) = replay.run();
        assert_eq!(report.ticks as usize, expected.len() / BLOCK);
        assert!(samples(&wav) == expected);
    }
}
