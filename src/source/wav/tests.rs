mod damage;

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::audio::measure::{tone_dbfs, tone_hz};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

fn bus(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

/// Reads in frames of 160 to the end, and returns the samples and the end's result.
fn drain(source: &mut impl Source) -> (Vec<i16>, Result<(), SourceError>) {
    let (mut all, mut frame) = (Vec::new(), [0; 160]);
    loop {
        match source.read(&mut frame) {
            Ok(0) => return (all, Ok(())),
            Ok(count) => all.extend(&frame[..count]),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn read(name: &str, bus: Format) -> Vec<i16> {
    let mut source = WavSource::open(&fixture(name), bus).unwrap();
    let length = source.length().unwrap();
    let (samples, end) = drain(&mut source);
    end.unwrap();
    assert_eq!(
        samples.len() as u64,
        length * u64::from(bus.channels()),
        "{name}"
    );
    samples
}

fn refusal(name: &str) -> SourceError {
    WavSource::open(&fixture(name), bus(8000, 1))
        .err()
        .unwrap_or_else(|| panic!("{name} opened"))
}

/// A WAV of 16-bit samples.
fn wav_s16(channels: u16, rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn from_bytes(bytes: Vec<u8>, bus: Format) -> Result<WavSource<Cursor<Vec<u8>>>, SourceError> {
    WavSource::from_reader(Path::new("bytes"), Cursor::new(bytes), bus)
}

#[test]
fn every_encoding_gives_the_same_tone_at_the_same_level() {
    // Name, rate, channels, samples per channel, frequency of the first channel.
    let tones = [
        ("tone-440-8000-mono-s16.wav", 8000, 1, 8000, 440.0),
        ("tone-440-8000-stereo-s16.wav", 8000, 2, 4000, 440.0),
        ("tone-1000-48000-stereo-s16.wav", 48000, 2, 24000, 1000.0),
        ("tone-1000-44100-mono-s24.wav", 44100, 1, 22050, 1000.0),
        ("tone-440-11025-mono-u8.wav", 11025, 1, 11025, 440.0),
        ("tone-440-16000-stereo-s32.wav", 16000, 2, 8000, 440.0),
        ("tone-1000-48000-mono-f32.wav", 48000, 1, 24000, 1000.0),
        (
            "tone-440-48000-4ch-extensible-s24.wav",
            48000,
            1,
            12000,
            440.0,
        ),
        ("tone-1000-48000-mono-f64.wav", 48000, 1, 12000, 1000.0),
        ("tone-440-8000-mono-s24in32.wav", 8000, 1, 4000, 440.0),
        ("tone-440-8000-mono-alaw.wav", 8000, 1, 4000, 440.0),
        ("tone-440-8000-mono-mulaw.wav", 8000, 1, 4000, 440.0),
        ("tone-440-8000-mono-rifx-s24.wav", 8000, 1, 4000, 440.0),
        ("tone-440-8000-mono-rf64-s16.wav", 8000, 1, 4000, 440.0),
        ("chunks-around-8000-mono-s16.wav", 8000, 1, 8000, 440.0),
        ("streamed-8000-mono-s16.wav", 8000, 1, 8000, 440.0),
    ];
    for (name, rate_hz, channels, count, frequency_hz) in tones {
        let samples = read(name, bus(rate_hz, channels));
        let first: Vec<i16> = samples.iter().step_by(channels.into()).copied().collect();
        assert_eq!(first.len(), count, "{name}");
        let found_hz = tone_hz(&first, rate_hz);
        assert!(
            (found_hz - frequency_hz).abs() < 0.5,
            "{name}: {found_hz} Hz"
        );
        let level = tone_dbfs(&first, rate_hz, frequency_hz);
        assert!((level + 6.02).abs() < 0.1, "{name}: {level} dBFS");
    }
}

#[test]
fn every_rate_and_channel_count_keeps_pitch_and_level() {
    // The level of the mean of the channels: where they differ, each counts half.
    let tones = [
        ("tone-440-8000-stereo-s16.wav", 4000, 440.0, -12.04),
        ("tone-1000-48000-stereo-s16.wav", 4000, 1000.0, -12.04),
        ("tone-1000-44100-mono-s24.wav", 4000, 1000.0, -6.02),
        ("tone-440-11025-mono-u8.wav", 8000, 440.0, -6.02),
        ("tone-440-16000-stereo-s32.wav", 4000, 440.0, -6.02),
        ("tone-1000-48000-mono-f32.wav", 4000, 1000.0, -6.02),
        ("tone-440-48000-4ch-extensible-s24.wav", 2000, 440.0, -6.02),
    ];
    for (name, count, frequency_hz, level) in tones {
        let samples = read(name, bus(8000, 1));
        assert_eq!(samples.len(), count, "{name}");
        let found = tone_dbfs(&samples, 8000, frequency_hz);
        assert!((found - level).abs() < 0.15, "{name}: {found} dBFS");
    }
}

#[test]
fn sixteen_bits_at_the_bus_format_pass_bit_for_bit() {
    for name in [
        "tone-440-8000-mono-s16.wav",
        "speech-count-8000-mono-s16.wav",
    ] {
        let bytes = fs::read(fixture(name)).unwrap();
        let stored: Vec<i16> = bytes[44..]
            .chunks(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect();
        assert_eq!(read(name, bus(8000, 1)), stored);
    }
}

#[test]
fn extra_chunks_and_a_streamed_length_change_no_sample() {
    let plain = read("tone-440-8000-mono-s16.wav", bus(8000, 1));
    assert_eq!(read("chunks-around-8000-mono-s16.wav", bus(8000, 1)), plain);
    assert_eq!(read("streamed-8000-mono-s16.wav", bus(8000, 1)), plain);
}

#[test]
fn an_impulse_stays_at_its_sample() {
    let at = |samples: Vec<i16>| -> Vec<usize> {
        (0..samples.len())
            .filter(|&n| samples[n] > 16_000)
            .collect()
    };
    assert_eq!(
        at(read("impulse-8000-mono-s16.wav", bus(8000, 1))),
        [0, 4000]
    );
    assert_eq!(
        at(read("impulse-8000-mono-s16.wav", bus(8000, 2))),
        [0, 1, 8000, 8001]
    );
}

#[test]
fn speech_fixtures_are_seconds_of_sound() {
    for (name, count) in [
        ("speech-count-8000-mono-s16.wav", 23_946),
        ("speech-alphabet-8000-mono-s16.wav", 17_050),
    ] {
        let samples = read(name, bus(8000, 1));
        assert_eq!(samples.len(), count);
        assert!(samples.iter().any(|s| s.unsigned_abs() > 5000), "{name}");
    }
}

#[test]
fn hound_reads_the_same_samples() {
    for name in [
        "tone-440-8000-stereo-s16.wav",
        "tone-1000-44100-mono-s24.wav",
        "tone-440-11025-mono-u8.wav",
        "tone-440-16000-stereo-s32.wav",
        "tone-1000-48000-mono-f32.wav",
    ] {
        let mut theirs = hound::WavReader::open(fixture(name)).unwrap();
        let spec = theirs.spec();
        let scale = 2_f32.powi(i32::from(spec.bits_per_sample) - 16);
        let expected: Vec<i16> = match spec.sample_format {
            hound::SampleFormat::Int => theirs
                .samples::<i32>()
                .map(|s| (s.unwrap() as f32 / scale).round_ties_even() as i16)
                .collect(),
            hound::SampleFormat::Float => theirs
                .samples::<f32>()
                .map(|s| (s.unwrap() * 32_768.0).round_ties_even() as i16)
                .collect(),
        };
        assert_eq!(
            read(name, bus(spec.sample_rate, spec.channels)),
            expected,
            "{name}"
        );
    }
}

#[test]
fn a_wav_is_known_by_its_name_in_any_case() {
    for name in ["a.wav", "b.WAV", "c/d.Wave"] {
        assert!(is_wav_path(Path::new(name)), "{name}");
    }
    for name in ["a.mp3", "wav", "a.wav.txt", ".wav"] {
        assert!(!is_wav_path(Path::new(name)), "{name}");
    }
}

proptest! {
    #[test]
    fn samples_do_not_depend_on_how_reads_are_cut(
        samples in proptest::collection::vec(any::<i16>(), 1..2000),
        channels in 1_u16..=2,
        cuts in proptest::collection::vec(2_usize..500, 1..20),
    ) {
        let pairs = &samples[..samples.len() / 2 * 2];
        prop_assume!(!pairs.is_empty());
        let mut source = from_bytes(wav_s16(2, 8000, pairs), bus(8000, channels)).unwrap();
        let whole = drain(&mut from_bytes(wav_s16(2, 8000, pairs), bus(8000, channels)).unwrap()).0;
        let (mut given, mut cuts, mut out) = (Vec::<i16>::new(), cuts.iter().cycle(), [0; 500]);
        while let count @ 1.. = source.read(&mut out[..*cuts.next().unwrap()]).unwrap() {
            given.extend(&out[..count]);
        }
        if channels == 2 {
            prop_assert_eq!(&given, pairs);
        }
        prop_assert_eq!(given, whole);
    }
}

#[test]
fn a_length_that_a_pipe_left_unknown_is_read_to_the_end() {
    for size in [
        0,
        1,
        0x7FFF_0000,
        0x7FFF_EFFF,
        0x7FFF_F000,
        0x8000_0000,
        0xFFFF_FFF0,
        u32::MAX,
    ] {
        let mut bytes = wav_s16(1, 8000, &[7; 100]);
        bytes[40..44].copy_from_slice(&u32::to_le_bytes(size));
        let mut source = from_bytes(bytes, bus(8000, 1)).unwrap();
        let (samples, end) = drain(&mut source);
        assert!(end.is_ok(), "{size:#x}: {end:?}");
        assert_eq!(samples, [7; 100], "{size:#x}");
    }
}
