//! The cross-fade over a cut: from what would have come to what comes instead.
//!
//! With cuts of one sample it does what rubato's `Slip` does, in integers and anywhere in a stream:
//! `Slip` works in chunks of fixed length on floats, which would have to be cut around each gap.

use super::buffer::Buffer;

/// Its length in samples per channel. It spreads a shift of one sample over so many that nothing is
/// heard of it, even in a pure tone.
pub(super) const LENGTH: u64 = 128;

#[derive(Debug)]
pub(super) struct Fade {
    channels: usize,
    /// The continuation of the old samples, interleaved.
    from: Box<[i16]>,
    /// Samples per channel that are done; all of them if there is no fade under way.
    done: usize,
}

impl Fade {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels,
            from: vec![0; LENGTH as usize * channels].into(),
            done: LENGTH as usize,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.done < LENGTH as usize
    }

    /// A cut lies before the sample at `at`, which would have come next.
    pub(super) fn begin(&mut self, buffer: &Buffer, at: u64) {
        buffer.read(at, &mut self.from);
        self.done = 0;
    }

    /// There is nothing to fade into.
    pub(super) fn end(&mut self) {
        self.done = LENGTH as usize;
    }

    /// Fades into the next samples, as far as the fade goes.
    pub(super) fn apply(&mut self, samples: &mut [i16]) {
        if !self.is_active() {
            return;
        }
        let from = self.from[self.done * self.channels..].chunks_exact(self.channels);
        for (frame, from) in samples.chunks_exact_mut(self.channels).zip(from) {
            let (length, weight) = (2 * LENGTH as i32, 2 * self.done as i32 + 1);
            for (sample, &from) in frame.iter_mut().zip(from) {
                let (from, to) = (i32::from(from), i32::from(*sample));
                // Never beyond the two, so within 16 bits.
                *sample = (from + (to - from) * weight / length) as i16;
            }
            self.done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playout::buffer::{Run, Samples};

    fn buffer() -> Buffer {
        let mut buffer = Buffer::new(1024, 1);
        let run = Run {
            start: 0,
            end: 512,
            first: 0,
            last: 0,
            paused: false,
            fresh: false,
            made: false,
        };
        let ramp: Vec<i16> = (0..512).map(|n| 10 * n).collect();
        buffer.insert(run, Samples::Decoded(&ramp)).unwrap();
        buffer
    }

    #[test]
    fn a_cut_of_one_sample_bends_a_ramp_and_breaks_it_nowhere() {
        let buffer = buffer();
        let mut fade = Fade::new(1);
        fade.begin(&buffer, 100);
        let mut out = [0; 200];
        buffer.read(101, &mut out);
        // In two pieces.
        let (one, other) = out.split_at_mut(50);
        fade.apply(one);
        assert!(fade.is_active());
        fade.apply(other);
        assert!(!fade.is_active());
        assert!(out[0] - 1000 <= 1);
        let steps = out.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.clone().all(|step| (10..=11).contains(&step)));
        // Untouched behind the fade.
        assert_eq!(out[128], 10 * (101 + 128));
    }

    #[test]
    fn full_scale_does_not_wrap() {
        let mut buffer = buffer();
        let run = Run {
            start: 600,
            end: 728,
            ..*buffer.head().unwrap()
        };
        buffer
            .insert(run, Samples::Decoded(&[i16::MIN; 128]))
            .unwrap();
        let mut fade = Fade::new(1);
        fade.begin(&buffer, 600);
        let mut out = [i16::MAX; 128];
        fade.apply(&mut out);
        assert!(out.is_sorted());
        assert!(out[0] < -32_000 && out[127] > 32_000);
    }
}
