use std::fs;

use super::*;
use crate::sink::lane::Work as _;

const BLOCK: usize = 160;
const SECOND: u64 = 8000;

fn format(channels: u16) -> Format {
    Format::new(8000, channels).unwrap()
}

/// Rate, channels and samples of a file, by a reader that is not ours.
fn read(path: &Path) -> (u32, u16, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!(
        (spec.bits_per_sample, spec.sample_format),
        (16, SampleFormat::Int)
    );
    let samples = reader.samples().collect::<Result<_, _>>().unwrap();
    (spec.sample_rate, spec.channels, samples)
}

fn ramp(from: usize, len: usize) -> Vec<i16> {
    (from..from + len).map(|sample| sample as i16).collect()
}

/// A file as the recording's thread holds it, without the thread.
fn writing(path: &Path) -> Writing {
    let spec = WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let file = BufWriter::new(File::create(path).unwrap());
    Writing::new(path.to_owned(), WavWriter::new(file, spec).unwrap(), SECOND)
}

/// A block as its message.
fn message(index: u64, samples: &[i16]) -> Vec<u8> {
    [&index.to_ne_bytes(), bytemuck::cast_slice(samples)].concat()
}

#[test]
fn a_file_holds_every_sample_at_the_format() {
    let dir = tempfile::tempdir().unwrap();
    for channels in [1, 2] {
        let path = dir.path().join("mix.wav");
        let block = BLOCK * usize::from(channels);
        let mut recording = Recording::start(&path, format(channels), block).unwrap();
        // Odd lengths too: a limiter's first blocks are shorter.
        for (index, len) in [block, 0, 58, block, 102].into_iter().enumerate() {
            recording.write(&ramp(index * 1000, len));
        }
        let recorded = recording.finish();
        assert!(recorded.error.is_none());
        assert_eq!(
            (recorded.samples, recorded.lost_samples),
            (2 * block as u64 + 160, 0)
        );
        let expected = [
            ramp(0, block),
            ramp(2000, 58),
            ramp(3000, block),
            ramp(4000, 102),
        ]
        .concat();
        assert_eq!(read(&path), (8000, channels, expected));
    }
}

#[test]
fn a_recording_of_nothing_is_a_valid_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let recorded = Recording::start(&path, format(1), BLOCK).unwrap().finish();
    assert_eq!((recorded.samples, recorded.lost_samples), (0, 0));
    assert_eq!(read(&path), (8000, 1, vec![]));
}

#[test]
fn more_than_the_ring_holds_is_written_whole_by_a_writer_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut recording = Recording::start(&path, format(1), BLOCK).unwrap();
    let blocks = 4 * BUFFERED.as_secs() as usize * 50;
    for index in 0..blocks {
        recording.write_waiting(&ramp(index, BLOCK));
    }
    let recorded = recording.finish();
    assert_eq!(
        (recorded.samples, recorded.lost_samples),
        ((blocks * BLOCK) as u64, 0)
    );
    let (_, _, samples) = read(&path);
    assert!(
        samples
            .chunks(BLOCK)
            .enumerate()
            .all(|(index, block)| block == ramp(index, BLOCK))
    );
}

#[test]
fn lost_blocks_are_silence_so_the_length_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut file = writing(&path);
    file.write(&message(0, &[1; 100]));
    // 50 samples never came, and 30 more before the end.
    file.write(&message(150, &[2; 100]));
    file.write(&message(280, &[]));
    let recorded = file.finish();
    assert_eq!((recorded.samples, recorded.lost_samples), (280, 80));
    let expected = [vec![1; 100], vec![0; 50], vec![2; 100], vec![0; 30]].concat();
    assert_eq!(read(&path).2, expected);
}

#[test]
fn a_killed_writer_leaves_a_file_whole_up_to_its_last_second() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("mix.wav"), dir.path().join("copy.wav"));
    let mut file = writing(&path);
    let blocks = |file: &mut Writing, numbers: std::ops::Range<u64>| {
        for number in numbers {
            file.write(&message(
                number * BLOCK as u64,
                &ramp(number as usize, BLOCK),
            ));
        }
    };
    // 2.4 s, and no end.
    blocks(&mut file, 0..120);
    fs::copy(&path, &copy).unwrap();
    let (_, _, samples) = read(&copy);
    assert_eq!(samples.len() as u64, 2 * SECOND);
    assert!(
        samples
            .chunks(BLOCK)
            .enumerate()
            .all(|(index, block)| block == ramp(index, BLOCK))
    );
    // To bring the header up to date moved nothing.
    blocks(&mut file, 120..130);
    assert_eq!(file.finish().samples, 130 * BLOCK as u64);
    assert_eq!(read(&path).2.len(), 130 * BLOCK);
}

#[test]
fn a_full_disk_ends_the_recording_and_holds_up_nobody() {
    let mut recording = Recording::start(Path::new("/dev/full"), format(1), BLOCK).unwrap();
    // Longer than the ring: a thread that stopped reading would be waited for without end.
    let blocks = 4 * BUFFERED.as_secs() * 50;
    for _ in 0..blocks {
        recording.write_waiting(&[1; BLOCK]);
    }
    let recorded = recording.finish();
    let written = blocks * BLOCK as u64;
    assert_eq!((recorded.samples, recorded.lost_samples), (0, written));
    let Some(RecordingError::Write {
        path,
        source: hound::Error::IoError(error),
        ..
    }) = recorded.error
    else {
        panic!("{recorded:?}");
    };
    assert_eq!(path, Path::new("/dev/full"));
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::ENOSPC as i32));
}

#[test]
fn a_path_that_cannot_be_written_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("absent/mix.wav")] {
        let error = Recording::start(&path, format(1), BLOCK).unwrap_err();
        assert!(matches!(error, RecordingError::Create { .. }));
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_full_is_whole_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mix.wav");
    let mut file = writing(&path);
    file.data_bytes_max = 1000;
    for index in 0..10 {
        file.write(&message(index * 160, &ramp(index as usize, BLOCK)));
    }
    let recorded = file.finish();
    assert!(matches!(
        recorded.error,
        Some(RecordingError::TooLong { .. })
    ));
    // Three blocks of 320 bytes fit into 1000.
    assert_eq!(recorded.samples, 480);
    assert_eq!(
        read(&path).2,
        [ramp(0, BLOCK), ramp(1, BLOCK), ramp(2, BLOCK)].concat()
    );
}
