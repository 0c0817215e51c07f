//! The cost of one sample at its source, before anything is published.
//!
//! Every synthetic waveform, and a WAV file that needs no conversion, read 160 samples at a time as an
//! ingest thread does. `cargo bench --bench sources` prints the median of several rounds.

use std::{hint::black_box, time::Instant};

use hound::{SampleFormat, WavSpec, WavWriter};
use mixpool::{
    audio::Format,
    source::{Source, Synthetic, WavSource, Waveform},
};

const BLOCK: usize = 160;
const ROUNDS: usize = 21;
/// A minute of 8 kHz.
const SAMPLES: usize = 480_000;

fn main() {
    let format = Format::new(8000, 1).expect("a usual format");
    for waveform in Waveform::ALL {
        let per_sample = median(|| {
            let mut source = Synthetic::new(format, waveform, 1, 440.0, -20.0);
            read_minute(&mut source)
        });
        println!("{waveform:>8} {per_sample:>7.2} ns per sample");
    }

    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("minute.wav");
    let spec = WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = WavWriter::create(&path, spec).expect("the file is made");
    for at in 0..SAMPLES {
        file.write_sample(at as i16)
            .expect("the file takes samples");
    }
    file.finalize().expect("the file is whole");
    let per_sample = median(|| {
        let mut source = WavSource::open(&path, format).expect("the file is sound");
        read_minute(&mut source)
    });
    println!(
        "{:>8} {per_sample:>7.2} ns per sample, opened and read from the page cache",
        "wav"
    );
}

/// Nanoseconds per sample of reading a minute.
fn read_minute(source: &mut dyn Source) -> f64 {
    let mut block = [0; BLOCK];
    let begun = Instant::now();
    for _ in 0..SAMPLES / BLOCK {
        let count = source.read(black_box(&mut block)).expect("a sound source");
        assert_eq!(count, BLOCK);
    }
    begun.elapsed().as_nanos() as f64 / SAMPLES as f64
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
