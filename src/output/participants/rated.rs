//! The mix at a listener's rate, by the mix's own time.
//!
//! Sample `j` of the output stands where the mix's sample `j * mix rate / output rate` stands, whichever
//! converter made it. So two listeners of one rate and one mix get the same samples, and one that
//! goes over from its own mix to that of its room, or back, or to another room, hears no seam.
//!
//! A converter that was left out for a while is brought up to date with what was heard last: as much of
//! it as its memory is long. It is never rebuilt, since building the filter is the cost.

use std::collections::VecDeque;

use crate::audio::{ConvertError, Converter, Format};

/// The latest interleaved samples of a mix.
#[derive(Debug)]
pub(super) struct History {
    samples: VecDeque<i16>,
    channels: usize,
    /// Index in the mix, per channel, of the next sample.
    end: u64,
}

impl History {
    /// Of samples of so many channels. Allocates as they come.
    pub(super) fn new(channels: u16) -> Self {
        Self {
            samples: VecDeque::new(),
            channels: channels.into(),
            end: 0,
        }
    }

    /// Appends the samples from `at` on, and keeps so many per channel before them. A gap is silence.
    pub(super) fn push(&mut self, at: u64, samples: &[i16], kept: u64) {
        if at != self.end {
            self.samples.clear();
        }
        let surplus = self
            .samples
            .len()
            .saturating_sub(kept as usize * self.channels);
        self.samples.drain(..surplus);
        self.samples.extend(samples);
        self.end = at + (samples.len() / self.channels) as u64;
    }

    /// Appends the samples of `[from, to)` to `out`, as full scale 1.0; silence where they are not known.
    pub(super) fn copy(&self, from: i64, to: i64, out: &mut Vec<f32>) {
        let known = (self.samples.len() / self.channels) as i64;
        let start = self.end as i64 - known;
        for at in from..to {
            for channel in 0..self.channels {
                let sample = (start..start + known).contains(&at).then(|| {
                    let index = (at - start) as usize * self.channels + channel;
                    f32::from(self.samples[index]) / 32_768.0
                });
                out.push(sample.unwrap_or(0.0));
            }
        }
    }
}

/// A converter from the mix to one rate, one channel.
#[derive(Debug)]
pub(super) struct Rated {
    converter: Converter,
    channels: u64,
    /// Mix rate and output rate in lowest terms.
    step: i64,
    phases: i64,
    /// Samples per channel of the mix that were pushed, and outputs that were pulled.
    pushed: i64,
    pulled: i64,
    /// Index in the mix of the sample that was pushed first, or would have been had nothing been left
    /// out. A multiple of `step`, so that outputs stand where all others stand.
    shift: i64,
    floats: Vec<f32>,
}

impl Rated {
    /// Allocates, and builds the filter.
    pub(super) fn new(mix: Format, rate_hz: u32) -> Result<Self, ConvertError> {
        let output = Format::new(rate_hz, 1).map_err(|_| ConvertError::SourceRate { rate_hz })?;
        let divisor = gcd(mix.rate_hz(), rate_hz);
        Ok(Self {
            converter: Converter::new(mix.rate_hz(), mix.channels(), output)?,
            channels: mix.channels().into(),
            step: i64::from(mix.rate_hz() / divisor),
            phases: i64::from(rate_hz / divisor),
            pushed: 0,
            pulled: 0,
            shift: 0,
            floats: Vec::new(),
        })
    }

    /// Samples per channel of the mix after which outputs depend on nothing before them.
    pub(super) fn memory(&self) -> u64 {
        2 * self.converter.latency() as u64
    }

    /// Converts the mix's samples from `at` on, after those of the history if it has not heard those
    /// itself. Appends to `out` as many samples as last as long: those that stand a fixed time before
    /// them.
    pub(super) fn convert(
        &mut self,
        at: u64,
        samples: &[i16],
        history: &History,
        out: &mut Vec<i16>,
    ) {
        let at = at as i64;
        self.floats.clear();
        if self.pushed + self.shift != at {
            let earliest = at - self.memory() as i64;
            let from = earliest - (earliest - self.pushed).rem_euclid(self.step);
            self.shift = from - self.pushed;
            history.copy(from, at, &mut self.floats);
        }
        let floats = samples.iter().map(|&sample| f32::from(sample) / 32_768.0);
        self.floats.extend(floats);
        self.converter.push(&self.floats);
        self.pushed += self.floats.len() as i64 / self.channels as i64;
        let end = at + samples.len() as i64 / self.channels as i64;
        self.pull(self.output_of(at), self.output_of(end), out);
    }

    /// The first output that is due when the mix's samples up to `at` are there.
    fn output_of(&self, at: i64) -> i64 {
        let latency = self.converter.latency() as i64;
        ((at - latency) * self.phases).div_euclid(self.step)
    }

    /// Appends outputs `[from, to)`; silence for those before the mix began.
    fn pull(&mut self, from: i64, to: i64, out: &mut Vec<i16>) {
        let next = self.pulled + self.shift / self.step * self.phases;
        let mut skipped = [0; 64];
        for start in (next..from).step_by(skipped.len()) {
            let count = skipped.len().min((from - start) as usize);
            self.pulled += self.converter.pull(&mut skipped[..count]) as i64;
        }
        let next = next.max(from).min(to);
        out.resize(out.len() + (next - from) as usize, 0);
        let start = out.len();
        out.resize(start + (to - next) as usize, 0);
        self.pulled += self.converter.pull(&mut out[start..]) as i64;
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 160;

    fn mix() -> Format {
        Format::new(8_000, 1).unwrap()
    }

    fn sample(at: usize) -> i16 {
        ((at as f64 * 0.3).sin() * 9_000.0 + (at as f64 * 0.011).sin() * 9_000.0) as i16
    }

    fn block(at: usize) -> Vec<i16> {
        (at..at + BLOCK).map(sample).collect()
    }

    /// The mix's own, a multiple of it, a usual one that is none, and one that shares little with it.
    const RATES: [u32; 4] = [8_000, 16_000, 44_100, 11_111];

    #[test]
    fn a_block_gives_as_many_samples_as_last_as_long() {
        for rate_hz in RATES {
            let mut rated = Rated::new(mix(), rate_hz).unwrap();
            let history = History::new(1);
            let mut out = Vec::new();
            let per_block: Vec<_> = (0..50)
                .map(|tick| {
                    let before = out.len();
                    rated.convert(
                        tick * 160,
                        &block(tick as usize * BLOCK),
                        &history,
                        &mut out,
                    );
                    out.len() - before
                })
                .collect();
            let exact = rate_hz as usize / 50;
            assert!(per_block.iter().all(|&count| count.abs_diff(exact) <= 1));
            assert!(out.len().abs_diff(rate_hz as usize) <= 1, "{rate_hz}");
        }
    }

    #[test]
    fn at_the_mix_s_own_rate_the_samples_come_back_at_once() {
        let mut rated = Rated::new(mix(), 8_000).unwrap();
        let mut out = Vec::new();
        rated.convert(480, &block(480), &History::new(1), &mut out);
        assert_eq!(out, block(480));
    }

    #[test]
    fn a_stereo_mix_becomes_one_channel() {
        let mut rated = Rated::new(Format::new(8_000, 2).unwrap(), 8_000).unwrap();
        let mut out = Vec::new();
        rated.convert(0, &[100, 300, -50, 50], &History::new(2), &mut out);
        assert_eq!(out, [200, 0]);
    }

    #[test]
    fn one_that_was_left_out_goes_on_as_if_it_had_heard_all() {
        for rate_hz in RATES {
            let mut history = History::new(1);
            let mut all = Rated::new(mix(), rate_hz).unwrap();
            let mut some = Rated::new(mix(), rate_hz).unwrap();
            for tick in 0..60 {
                let (at, samples) = (tick * 160, block(tick as usize * BLOCK));
                let (mut whole, mut part) = (Vec::new(), Vec::new());
                all.convert(at, &samples, &history, &mut whole);
                if matches!(tick, 3..10 | 30..35 | 37..39 | 55..) {
                    some.convert(at, &samples, &history, &mut part);
                    let off = |(a, b): (&i16, &i16)| a.abs_diff(*b);
                    let worst = whole.iter().zip(&part).map(off).max();
                    assert_eq!(whole.len(), part.len());
                    assert!(worst <= Some(1), "{rate_hz} Hz, tick {tick}: {worst:?}");
                }
                history.push(at, &samples, 16_000);
            }
        }
    }

    #[test]
    fn the_history_keeps_what_it_was_told_to_and_knows_of_gaps() {
        let mut history = History::new(1);
        history.push(0, &[1, 2, 3], 1);
        history.push(3, &[4, 5, 6], 1);
        let copy = |history: &History, from, to| {
            let mut out = Vec::new();
            history.copy(from, to, &mut out);
            out.into_iter()
                .map(|value| (value * 32_768.0) as i16)
                .collect::<Vec<_>>()
        };
        assert_eq!(copy(&history, -1, 8), [0, 0, 0, 3, 4, 5, 6, 0, 0]);
        history.push(8, &[9], 1);
        assert_eq!(copy(&history, 4, 10), [0, 0, 0, 0, 9, 0]);
    }
}
