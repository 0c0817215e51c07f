//! The cost of what is beside and in a recording's file: a second of 500 sidecars, and a second of audio as FLAC.
//!
//! Speech at 8 kHz (`testdata/`) is encoded in blocks as a recording does; `flac` and `ffmpeg` encode the same, if they
//! are there, a minute at a time. Processor time of this thread, or of the program; each is the best of several rounds.
//! `cargo bench --bench recordings`.

use std::{
    hint::black_box,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use mixpool::{
    audio::{Format, GapReason},
    output::saved::SidecarFile,
    wire::{
        flac::{FrameEncoder, SampleMd5, StreamInfo},
        sidecar::{
            Container, Gap, Progress, Recorded, SampleHash, Samples, Segment, Sidecar, VERSION,
        },
    },
};
use nix::{
    sys::resource::{Usage, UsageWho, getrusage},
    time::{ClockId, clock_gettime},
};

const RECORDINGS: usize = 500;
const ROUNDS: usize = 7;
const SECONDS: usize = 600;
const RATE_HZ: u32 = 8_000;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the files");
    sidecars(folder.path());
    audio(folder.path());
}

fn sidecars(folder: &Path) {
    println!("a second of {RECORDINGS} sidecars, in percent of a core");
    let mut now = Instant::now();
    let mut files: Vec<_> = (0..RECORDINGS)
        .map(|number| {
            let path = folder.join(format!("{number}.wav"));
            let sidecar = sidecar(number, 0);
            let file = SidecarFile::create(None, &path, false, &sidecar, now);
            (file.expect("a sidecar"), sidecar)
        })
        .collect();
    let share = |spent: Duration| 100.0 * spent.as_secs_f64();
    let progress = best(|| {
        for (file, sidecar) in &mut files {
            let progress = Progress {
                samples: sidecar.samples,
                gaps_to: sidecar.gaps_to,
                sha256: sidecar.sha256,
            };
            file.put_progress(&progress).expect("a sidecar");
        }
    });
    println!("{:>8.2} %  the lines that count samples", share(progress));
    for (gaps, every) in [(10, 1), (100, 10), (1_000, 10)] {
        let spent = best(|| {
            now += Duration::from_secs(10);
            for (number, (file, _)) in files.iter_mut().enumerate() {
                file.put(&sidecar(number, gaps), now).expect("a sidecar");
            }
        });
        let share = share(spent) / f64::from(every);
        println!("{share:>8.2} %  all of it, with {gaps} gaps, every {every} s");
    }
}

fn sidecar(number: usize, gaps: u64) -> Sidecar {
    Sidecar {
        version: VERSION,
        samples: 480_000,
        gaps_to: 480_000,
        sha256: Some(SampleHash::default().digest()),
        file: format!("{number}.wav"),
        recorded: Recorded::Room {
            room: "main".into(),
        },
        format: Samples {
            container: Container::Wav,
            rate_hz: RATE_HZ,
            channels: 1,
        },
        first: 0,
        start: SystemTime::now(),
        segment: Segment {
            number: 1,
            previous: None,
        },
        marks: vec![],
        gaps: (0..gaps)
            .map(|at| Gap {
                from: 400 * at,
                to: 400 * at + 160,
                stream: Some("rtp-1".into()),
                why: GapReason::Lost,
            })
            .collect(),
        gaps_beyond: vec![],
        end: None,
    }
}

fn audio(folder: &Path) {
    let speech = include_bytes!("../testdata/speech-count-8000-mono-s16.wav");
    let samples: Vec<u8> = speech[44..]
        .iter()
        .copied()
        .cycle()
        .take(SECONDS * 2 * RATE_HZ as usize)
        .collect();
    let per_second = |spent: Duration| spent.as_secs_f64() * 1e6 / SECONDS as f64;
    println!("a second of speech at 8 kHz, in us");

    let header = StreamInfo::new(Format::new(RATE_HZ, 1).expect("a usual format"));
    let block_bytes = 2 * usize::from(header.block_samples);
    let mut frames = Vec::new();
    let spent = best(|| {
        let mut encoder = FrameEncoder::new(&header).expect("a rate that FLAC has");
        frames.clear();
        for (number, block) in (0..).zip(samples.chunks(block_bytes)) {
            encoder.encode(number, black_box(block), &mut frames);
        }
    });
    let size = |bytes: f64| 100.0 * bytes / samples.len() as f64;
    println!(
        "{:>8.1}  FLAC here, {:.1} % of the size",
        per_second(spent),
        size(frames.len() as f64)
    );
    let spent = best(|| {
        let mut md5 = SampleMd5::default();
        md5.update_bytes(black_box(&samples));
        black_box(md5.digest());
    });
    println!("{:>8.1}  its MD5", per_second(spent));
    let spent = best(|| {
        let mut hash = SampleHash::default();
        hash.update_bytes(black_box(&samples));
        black_box(hash.digest());
    });
    println!("{:>8.1}  SHA-256", per_second(spent));

    let raw = folder.join("speech.raw");
    std::fs::write(&raw, &samples).expect("a file");
    let (raw, out) = (raw.to_str().expect("a name"), folder.join("out.flac"));
    let out = out.to_str().expect("a name");
    for level in ["-0", "-5"] {
        let raw_format = [
            "--force-raw-format",
            "--endian=little",
            "--sign=signed",
            "--bps=16",
        ];
        let arguments = [
            &["-s", "-f", level],
            &raw_format[..],
            &["--channels=1", "--sample-rate=8000", raw, "-o", out],
        ];
        other("flac", level, &arguments.concat(), out, &samples);
    }
    let arguments = [
        "-v", "error", "-y", "-f", "s16le", "-ar", "8000", "-ac", "1", "-i", raw, "-threads", "1",
        out,
    ];
    other("ffmpeg", "", &arguments, out, &samples);
}

/// Encodes by another program, its start included.
fn other(program: &str, level: &str, arguments: &[&str], out: &str, samples: &[u8]) {
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let before = children();
        let Ok(status) = Command::new(program).args(arguments).status() else {
            return println!("       -  {program} is not there");
        };
        assert!(status.success());
        shortest = shortest.min(children().saturating_sub(before));
    }
    let bytes = std::fs::metadata(out).expect("its file").len() as f64;
    println!(
        "{:>8.1}  {program} {level}, its start included, {:.1} % of the size",
        shortest.as_secs_f64() * 1e6 / SECONDS as f64,
        100.0 * bytes / samples.len() as f64
    );
}

/// Processor time of all children that have ended.
fn children() -> Duration {
    let usage: Usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a figure of the kernel");
    let spent = [usage.user_time(), usage.system_time()];
    spent
        .iter()
        .map(|time| Duration::new(time.tv_sec() as u64, 1_000 * time.tv_usec() as u32))
        .sum()
}

/// The least processor time of this thread for one round.
fn best(mut round: impl FnMut()) -> Duration {
    let spent = |round: &mut dyn FnMut()| {
        let begun = thread_time();
        round();
        thread_time().saturating_sub(begun)
    };
    (0..ROUNDS)
        .map(|_| spent(&mut round))
        .min()
        .expect("several rounds")
}

fn thread_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of the kernel"))
}
