//! The files that are mixed, and what they add up to.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;

const RATE: usize = 8000;
/// Standard deviation of the mix, in samples: one in ten leaves 16 bits.
const LOUDNESS: f64 = 20_000.0;

/// How a sum that leaves 16 bits becomes a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clipping {
    /// Once, after the whole sum.
    Once,
    /// At each file that is added, to 16 bits.
    Running16,
    /// At each file that is added, to 32 bits, of which samples have the upper 16; then rounded.
    Running32,
}

/// Seeded noise, in a folder that goes away with this value.
pub struct Files {
    folder: TempDir,
    pub paths: Vec<PathBuf>,
    bytes: usize,
    once: Vec<i16>,
    running_16: Vec<i16>,
    running_32: Vec<i16>,
}

impl Files {
    /// `count` files of 8 kHz, 16 bits, mono.
    pub fn make(count: usize, seconds: usize) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("making a folder for temporary files")?;
        let samples = RATE * seconds;
        let mut random = SmallRng::seed_from_u64(1);
        let peak = (LOUDNESS * (3.0 / count as f64).sqrt()) as i16;
        let noise: Vec<i16> = (0..samples)
            .map(|_| random.random_range(-peak..=peak))
            .collect();
        let spec = WavSpec {
            channels: 1,
            sample_rate: RATE as u32,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let (mut once, mut running_16) = (vec![0_i32; samples], vec![0_i16; samples]);
        let mut running_32 = vec![0_i32; samples];
        let (mut paths, mut bytes) = (Vec::new(), 0);
        for number in 0..count {
            // The same noise, begun at another place.
            let (end, begin) = noise.split_at(number * 977 % samples);
            let path = folder.path().join(format!("{number:05}.wav"));
            let mut file = WavWriter::create(&path, spec)?;
            let mut writer = file.get_i16_writer(samples as u32);
            for (at, &sample) in begin.iter().chain(end).enumerate() {
                writer.write_sample(sample);
                once[at] += i32::from(sample);
                running_16[at] = running_16[at].saturating_add(sample);
                running_32[at] = running_32[at].saturating_add(i32::from(sample) << 16);
            }
            writer.flush()?;
            file.finalize()?;
            bytes += fs::metadata(&path)?.len() as usize;
            paths.push(path);
        }
        let clip = |sum: i64| sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        Ok(Self {
            folder,
            paths,
            bytes,
            once: once.into_iter().map(|sum| clip(sum.into())).collect(),
            running_16,
            running_32: running_32
                .into_iter()
                .map(|sum| clip((i64::from(sum) + 0x8000) >> 16))
                .collect(),
        })
    }

    /// Of all files.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the mix goes.
    pub fn mix(&self) -> PathBuf {
        self.folder.path().join("mix.wav")
    }

    pub fn expected(&self, clipping: Clipping) -> &[i16] {
        match clipping {
            Clipping::Once => &self.once,
            Clipping::Running16 => &self.running_16,
            Clipping::Running32 => &self.running_32,
        }
    }

    /// The limit: every byte read, and a mix written.
    pub fn read_and_write(&self) -> anyhow::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        for path in &self.paths {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
        }
        let mut mix = File::create(self.mix())?;
        Ok(mix.write_all(&vec![1; 2 * self.once.len()])?)
    }
}

/// All samples of a WAV file.
pub fn samples(path: &Path) -> anyhow::Result<Vec<i16>> {
    let opened = WavReader::open(path).with_context(|| format!("opening {}", path.display()))?;
    let samples: Result<_, _> = opened.into_samples().collect();
    samples.with_context(|| format!("reading {}", path.display()))
}
