//! The last seconds of one output, each sample under its index in the mix.
//!
//! Indices and counts are per channel, as everywhere in this module; samples are interleaved.

/// A circle of samples, as long as it was made, however much comes.
#[derive(Debug)]
pub(super) struct Buffer {
    channels: usize,
    /// The sample with index `i` lies at `i % capacity`, for each `i` in `begin..end`.
    samples: Box<[i16]>,
    capacity: u64,
    begin: u64,
    end: u64,
    /// Whether anything came: before that there is no index to begin with.
    begun: bool,
}

impl Buffer {
    /// Room for so many samples per channel, at least one. Allocates all it ever will.
    pub(super) fn new(channels: u16, capacity: u64) -> Self {
        let capacity = capacity.max(1);
        Self {
            channels: channels.into(),
            samples: vec![0; capacity as usize * usize::from(channels)].into(),
            capacity,
            begin: 0,
            end: 0,
            begun: false,
        }
    }

    /// The oldest sample that is kept.
    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    /// One after the newest sample.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Forgets all: the next samples may be of any index.
    pub(super) fn restart(&mut self) {
        self.begun = false;
    }

    /// Takes the samples that follow; the index of the first is `at`.
    pub(super) fn push(&mut self, at: u64, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        if !self.begun {
            self.begun = true;
            (self.begin, self.end) = (at, at);
        }
        debug_assert_eq!(at, self.end, "samples follow each other");
        for piece in samples.chunks(self.samples.len()) {
            self.append(piece);
        }
    }

    /// Appends at most as much as there is room for in all.
    fn append(&mut self, samples: &[i16]) {
        let from = (self.end % self.capacity) as usize * self.channels;
        let until_seam = samples.len().min(self.samples.len() - from);
        let (head, tail) = samples.split_at(until_seam);
        self.samples[from..from + head.len()].copy_from_slice(head);
        self.samples[..tail.len()].copy_from_slice(tail);
        self.end += (samples.len() / self.channels) as u64;
        self.begin = self.begin.max(self.end.saturating_sub(self.capacity));
    }

    /// The samples of `from..to`, which must be kept, in two pieces.
    pub(super) fn pieces(&self, from: u64, to: u64) -> [&[i16]; 2] {
        assert!(
            self.begin <= from && from <= to && to <= self.end,
            "{from}..{to} is not kept: {}..{} is",
            self.begin,
            self.end
        );
        let at = (from % self.capacity) as usize * self.channels;
        let len = (to - from) as usize * self.channels;
        let head = len.min(self.samples.len() - at);
        [&self.samples[at..at + head], &self.samples[..len - head]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(buffer: &Buffer) -> Vec<i16> {
        buffer.pieces(buffer.begin(), buffer.end()).concat()
    }

    #[test]
    fn the_first_samples_say_where_it_begins() {
        let mut buffer = Buffer::new(2, 8);
        assert!(!buffer.has_begun());
        buffer.push(1_000, &[1, 2, 3, 4]);
        assert!(buffer.has_begun());
        assert_eq!(
            (buffer.begin(), buffer.end(), kept(&buffer)),
            (1_000, 1_002, vec![1, 2, 3, 4])
        );
    }

    proptest! {
        /// Against a list that keeps everything.
        #[test]
        fn the_newest_are_kept_whatever_comes(
            channels in 1_u16..=2,
            capacity in 1_u64..40,
            first in 0_u64..100,
            pushes in prop::collection::vec(0_usize..60, 1..40),
        ) {
            let width = usize::from(channels);
            let mut buffer = Buffer::new(channels, capacity);
            let (mut all, mut value): (Vec<i16>, i16) = (Vec::new(), 0);
            for len in pushes {
                let at = first + (all.len() / width) as u64;
                let samples: Vec<i16> = (0..len * width)
                    .map(|_| { value = value.wrapping_add(1); value })
                    .collect();
                buffer.push(at, &samples);
                all.extend(samples);
                prop_assert!(buffer.end() - buffer.begin() <= capacity);
                let expected = all.len().min(capacity as usize * width);
                prop_assert_eq!(kept(&buffer), &all[all.len() - expected..]);
            }
        }
    }
}
