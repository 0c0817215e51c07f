mod killed;
mod tools;

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
};

use super::{super::tests::facts, *};
use crate::wire::{
    flac::{self, Ending, HEADER_BYTES, Scan, StreamInfo},
    sidecar::SampleHash,
};

fn format(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

fn open(path: &Path, format: Format) -> Box<dyn Growing> {
    let file = RecordingFile::open(path, true, &facts(format)).unwrap();
    growing(file, format)
}

/// Something like speech: tones that come and go, with a little noise.
fn signal(count: usize) -> Vec<i16> {
    (0..count)
        .map(|n| {
            let at = n as f64;
            let swell = (at / 3_000.0).sin() * 9_000.0;
            (swell * (at / 7.0).sin()) as i16 + (n * 7_919 % 13) as i16
        })
        .collect()
}

fn sha256(samples: &[i16]) -> SampleDigest {
    let mut hash = SampleHash::default();
    hash.update(samples);
    hash.digest()
}

/// The header of a file, and its frames.
fn scanned(path: &Path) -> (StreamInfo, Scan) {
    let mut file = File::open(path).unwrap();
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).unwrap();
    let header = StreamInfo::from_bytes(&header).unwrap();
    (header, flac::scan(file, &header).unwrap())
}

#[test]
fn a_flac_has_the_samples_of_the_wav() {
    let dir = tempfile::tempdir().unwrap();
    for (rate_hz, channels) in [(8_000, 1), (8_009, 1), (44_100, 2), (192_000, 2)] {
        let format = format(rate_hz, channels);
        let samples = signal(70_000);
        let mut both = ["x.wav", "x.flac"].map(|name| open(&dir.path().join(name), format));
        for file in &mut both {
            for piece in samples.chunks(1_764) {
                file.push(piece);
                file.flush().unwrap();
            }
            file.finish().unwrap();
            assert_eq!(file.written_samples(), 70_000);
            assert_eq!(file.sha256(), sha256(&samples));
            let found = fs::metadata(file.file().path()).unwrap().len();
            assert_eq!(file.file_bytes(), found);
        }
        let (header, scan) = scanned(&dir.path().join("x.flac"));
        assert_eq!(scan.ending, Ending::Whole);
        assert_eq!(scan.sha256, sha256(&samples));
        assert_eq!(scan.info, header);
        assert_eq!(header.samples, 70_000 / u64::from(channels));
    }
}

#[test]
fn a_flac_is_whole_after_each_flush() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.flac");
    let mut file = open(&path, format(8_000, 1));
    let samples = signal(40_000);
    let mut pushed = 0;
    for piece in samples.chunks(1_000) {
        file.push(piece);
        file.flush().unwrap();
        pushed += piece.len();
        let (header, scan) = scanned(&path);
        assert_eq!((&scan.ending, scan.info), (&Ending::Whole, header));
        let written = pushed / 4_000 * 4_000;
        assert_eq!(file.written_samples(), written as u64);
        assert_eq!(scan.sha256, sha256(&samples[..written]));
        assert_eq!(scan.sha256, file.sha256());
    }
}

#[test]
fn an_empty_flac_has_a_header() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.flac");
    let mut file = open(&path, format(8_000, 2));
    file.finish().unwrap();
    let (header, scan) = scanned(&path);
    assert_eq!((header.samples, scan.ending), (0, Ending::Whole));
    assert_eq!(
        (file.written_samples(), file.samples_max()),
        (0, 2 * flac::SAMPLES_MAX)
    );
}

#[test]
fn bytes_of_others_end_a_flac_and_salvage_removes_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.flac");
    let mut file = open(&path, format(8_000, 1));
    file.push(&signal(9_000));
    file.flush().unwrap();
    let mut other = File::options().append(true).open(&path).unwrap();
    other.write_all(b"half a frame").unwrap();
    assert!(matches!(
        file.flush(),
        Err(Fault::Changed("written to by another program"))
    ));
    assert_eq!(file.salvage(), Some(8_000));
    let (header, scan) = scanned(&path);
    assert_eq!(
        (scan.ending, scan.info.samples),
        (Ending::Whole, header.samples)
    );
    // Nothing is lost: the rest still waits.
    file.finish().unwrap();
    let (_, scan) = scanned(&path);
    assert_eq!(scan.sha256, sha256(&signal(9_000)));
}

#[test]
fn a_truncated_flac_cannot_be_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.flac");
    let mut file = open(&path, format(8_000, 1));
    file.push(&signal(9_000));
    file.flush().unwrap();
    let other = File::options().write(true).open(&path).unwrap();
    other.set_len(100).unwrap();
    assert!(matches!(file.check(), Err(Fault::Changed("truncated"))));
    assert_eq!(file.salvage(), None);
}

#[test]
fn a_flac_in_a_pipe_has_no_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe.flac");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || fs::read(path).unwrap()
    });
    let format = format(8_000, 1);
    let mut file = loop {
        // Until there is a reader.
        match RecordingFile::open(&path, false, &facts(format)) {
            Ok(file) => break growing(file, format),
            Err(_) => std::thread::yield_now(),
        }
    };
    let samples = signal(9_000);
    file.push(&samples);
    file.flush().unwrap();
    file.finish().unwrap();
    drop(file);
    let bytes = reader.join().unwrap();
    let (header, frames) = bytes.split_at(HEADER_BYTES);
    let header = StreamInfo::from_bytes(header.try_into().unwrap()).unwrap();
    assert_eq!(header, StreamInfo::new(format));
    let scan = flac::scan(frames, &header).unwrap();
    assert_eq!(
        (scan.ending, scan.sha256),
        (Ending::Whole, sha256(&samples))
    );
}

#[test]
fn a_rate_without_flac_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.flac");
    let refused = RecordingFile::open(&path, false, &facts(format(96_001, 1)));
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("96001 Hz") && message.contains("--rate"),
        "{message}"
    );
    assert!(!path.exists());
}
