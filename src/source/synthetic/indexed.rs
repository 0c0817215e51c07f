//! A synthetic stream whose samples depend on their index alone: whenever it begins, and wherever a gap was, the sample of
//! an index is the same. Nodes of a cluster that share one set of streams so make the mix that one machine would make.

use super::{Source, SourceError, Synthetic, nth_second};
use crate::{
    audio::{Format, Grid, MixClock},
    os::{now_ns, realtime_ns},
    source::Waveform,
};

/// An endless synthetic stream by the index of its samples since the Unix epoch.
///
/// Each second is made anew, of the seed, the number of the stream and the number of the second, so that it can begin
/// anywhere at the cost of a second's samples.
#[derive(Debug)]
pub struct Indexed {
    format: Format,
    grid: Grid,
    waveform: Option<Waveform>,
    seed: u64,
    number: usize,
    level_dbfs: f64,
    /// The index, since the epoch, of the first sample of the mix, once its clock runs.
    origin: Option<u64>,
    /// The second that is made, and the index of its next sample.
    made: Option<(Synthetic, u64)>,
}

impl Indexed {
    /// The stream of this number, as [`nth`](super::nth) has it, in a mix of this grid.
    pub fn new(
        grid: Grid,
        waveform: Option<Waveform>,
        seed: u64,
        number: usize,
        level_dbfs: f64,
    ) -> Self {
        Self {
            format: grid.format(),
            grid,
            waveform,
            seed,
            number,
            level_dbfs,
            origin: None,
            made: None,
        }
    }

    /// The samples from this index since the epoch on.
    fn fill(&mut self, mut index: u64, mut out: &mut [i16]) -> Result<(), SourceError> {
        let channels = usize::from(self.format.channels());
        let second = u64::from(self.format.rate_hz());
        while !out.is_empty() {
            let left = (second - index % second) as usize * channels;
            let (piece, rest) = out.split_at_mut(left.min(out.len()));
            let source = match &mut self.made {
                Some((source, next)) if *next == index && !index.is_multiple_of(second) => source,
                _ => {
                    let made = self.second(index / second, (index % second) as usize * channels)?;
                    &mut self.made.insert((made, index)).0
                }
            };
            source.read(piece)?;
            index += (piece.len() / channels) as u64;
            if let Some((_, next)) = &mut self.made {
                *next = index;
            }
            out = rest;
        }
        Ok(())
    }

    /// A second, from this interleaved sample on.
    fn second(&self, second: u64, mut skip: usize) -> Result<Synthetic, SourceError> {
        let (seed, number) = (self.seed, self.number);
        let level = self.level_dbfs;
        let mut made = nth_second(self.format, self.waveform, seed, number, level, second);
        let mut passed = [0; 256];
        while skip > 0 {
            let piece = skip.min(passed.len());
            made.read(&mut passed[..piece])?;
            skip -= piece;
        }
        Ok(made)
    }
}

/// The index, since the epoch, of the first sample of a mix: in whole blocks, as the nodes of a cluster number them.
fn origin(clock: &MixClock, monotonic_ns: u64, utc_ns: u64) -> u64 {
    let first_ns = utc_ns
        .saturating_add(clock.first_ns)
        .saturating_sub(monotonic_ns);
    let block = (first_ns + clock.period_ns / 2) / clock.period_ns.max(1);
    (block - clock.first_block) * clock.block_samples as u64
}

impl Source for Indexed {
    /// From the index 0 on.
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        let next = self.made.as_ref().map_or(0, |(_, next)| *next);
        let whole = out.len() - out.len() % usize::from(self.format.channels());
        self.fill(next, &mut out[..whole])?;
        Ok(whole)
    }

    fn read_at(&mut self, index: u64, out: &mut [i16]) -> Result<usize, SourceError> {
        if self.origin.is_none() {
            let clock = self.grid.clock();
            self.origin = clock.map(|clock| origin(&clock, now_ns(), realtime_ns()));
        }
        let whole = out.len() - out.len() % usize::from(self.format.channels());
        self.fill(self.origin.unwrap_or(0) + index, &mut out[..whole])?;
        Ok(whole)
    }

    /// None: it has no end.
    fn length(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize, waveform: Waveform) -> Indexed {
        let grid = Grid::new(Format::new(8000, 2).unwrap(), 160);
        Indexed::new(grid, Some(waveform), 7, number, -20.0)
    }

    #[test]
    fn a_sample_depends_on_its_index_alone() {
        for waveform in Waveform::ALL {
            let mut whole = vec![0; 2 * 20_000];
            stream(3, waveform).read_at(0, &mut whole).unwrap();
            let mut other = stream(3, waveform);
            for (from, len) in [
                (15_990, 500),
                (7_999, 3),
                (8_000, 160),
                (8_160, 160),
                (0, 1),
            ] {
                let mut piece = vec![0; 2 * len];
                other.read_at(from as u64, &mut piece).unwrap();
                assert_eq!(
                    piece,
                    whole[2 * from..2 * (from + len)],
                    "{waveform} {from}"
                );
            }
        }
    }

    #[test]
    fn streams_and_seconds_differ() {
        let second = |number, from| {
            let mut samples = vec![0; 16_000];
            let mut source = stream(number, Waveform::White);
            source.read_at(from, &mut samples).unwrap();
            samples
        };
        assert_ne!(second(1, 0), second(2, 0));
        assert_ne!(second(1, 0), second(1, 8000));
    }

    #[test]
    fn the_origin_is_the_same_by_every_clock() {
        let at = |first_ns, monotonic_ns| {
            let clock = MixClock {
                first_block: 0,
                first_ns,
                period_ns: 20_000_000,
                format: Format::new(8000, 1).unwrap(),
                block_samples: 160,
            };
            // This moment is 1000 s after the epoch.
            origin(&clock, monotonic_ns, 1_000_000_000_000)
        };
        assert_eq!(at(5_000_000_000, 5_000_000_000), 8_000_000);
        assert_eq!(at(5_020_000_000, 5_000_000_000), 8_000_160);
        assert_eq!(at(4_999_000_000, 5_000_000_000), 8_000_000);
    }
}
