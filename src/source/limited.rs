//! A source that ends after so many samples, if it did not before.

use super::{Source, SourceError};

/// The beginning of another source.
pub struct Limited<S> {
    source: S,
    channels: u64,
    /// Samples per channel still to be given.
    left: u64,
    length: u64,
}

impl<S: Source> Limited<S> {
    /// The first `samples` per channel of a source of so many channels.
    pub fn new(source: S, channels: u16, samples: u64) -> Self {
        Self {
            source,
            channels: u64::from(channels),
            left: samples,
            length: samples,
        }
    }
}

impl<S: Source> Source for Limited<S> {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let room = out.len() as u64 / self.channels;
        let samples = room.min(self.left) * self.channels;
        if samples == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut out[..samples as usize])?;
        self.left -= count as u64 / self.channels;
        Ok(count)
    }

    fn length(&self) -> Option<u64> {
        let whole = self.source.length().unwrap_or(u64::MAX);
        Some(whole.min(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::Format,
        source::{Synthetic, Waveform},
    };

    #[test]
    fn it_gives_the_beginning_of_the_other_and_then_nothing() {
        for channels in [1, 2] {
            let format = Format::new(8000, channels).unwrap();
            let noise = Synthetic::new(format, Waveform::White, 1, 440.0, -20.0);
            let mut limited = Limited::new(noise.clone(), channels, 1003);
            assert_eq!(limited.length(), Some(1003));
            let len = 1003 * usize::from(channels);
            let mut whole = vec![0; len];
            let mut noise = noise;
            noise.read(&mut whole).unwrap();
            let mut given = Vec::new();
            let mut out = [0; 321];
            loop {
                match limited.read(&mut out).unwrap() {
                    0 => break,
                    count => given.extend_from_slice(&out[..count]),
                }
            }
            assert_eq!(given, whole);
            assert_eq!(limited.read(&mut out).unwrap(), 0);
        }
    }
}
