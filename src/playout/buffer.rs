//! The jitter buffer: samples by their time, and which of them are there.
//!
//! Time here is the stream's own, in samples per channel. The samples stand in one ring indexed by it,
//! so a packet is copied once, to its place, in any order of arrival. A short list of *runs* shows
//! the filled parts: an orderly stream has one. All memory is taken at construction.

use std::{cmp::Ordering, ops::Range};

use crate::audio::Encoding;

/// Runs that may wait at once: one more than there are gaps between them.
const RUNS_MAX: usize = 64;

/// Samples that follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The lowest and the highest number of the packets it came in.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Whether the sender said that it is silent from `end` on.
    pub(super) paused: bool,
    /// Whether it restarts, so that its number says nothing of earlier ones.
    pub(super) fresh: bool,
    /// Whether a decoder made it up, in place of packets that are missing. Touches the sender's own, and stays a
    /// run of its own.
    pub(super) made: bool,
}

/// Samples on their way in, interleaved: as they are, or still as bytes, which are decoded where they belong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Samples<'a> {
    Decoded(&'a [i16]),
    Encoded(Encoding, &'a [u8]),
}

impl Samples<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Decoded(samples) => samples.len(),
            Self::Encoded(encoding, bytes) => bytes.len() / encoding.bytes_per_sample(),
        }
    }

    pub(super) fn part(self, range: Range<usize>) -> Self {
        match self {
            Self::Decoded(samples) => Self::Decoded(&samples[range]),
            Self::Encoded(encoding, bytes) => {
                let size = encoding.bytes_per_sample();
                Self::Encoded(encoding, &bytes[range.start * size..range.end * size])
            }
        }
    }

    /// Fills `out`, which is as long.
    fn copy_to(self, out: &mut [i16]) {
        match self {
            Self::Decoded(samples) => out.copy_from_slice(samples),
            Self::Encoded(encoding, bytes) => encoding.decode(bytes, out),
        }
    }
}

/// There are too many gaps to remember one more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

#[derive(Debug)]
pub(super) struct Buffer {
    samples: Box<[i16]>,
    channels: usize,
    /// Sorted; no two touch.
    runs: Vec<Run>,
}

impl Buffer {
    /// Room for this many samples per channel, rounded up to a power of two. Allocates.
    pub(super) fn new(capacity: usize, channels: usize) -> Self {
        Self {
            samples: vec![0; capacity.next_power_of_two() * channels].into(),
            channels,
            runs: Vec::with_capacity(RUNS_MAX + 1),
        }
    }

    /// The memory of so many samples from `at` on, or of those before the end of the ring.
    pub(super) fn memory(&self, at: u64, samples: u64) -> &[i16] {
        let at = self.place_of(at);
        let end = self.samples.len().min(at + self.span(samples));
        &self.samples[at..end]
    }

    /// Samples per channel that it can hold.
    pub(super) fn capacity(&self) -> u64 {
        (self.samples.len() / self.channels) as u64
    }

    pub(super) fn head(&self) -> Option<&Run> {
        self.runs.first()
    }

    /// The end of the newest run.
    pub(super) fn newest(&self) -> Option<u64> {
        self.runs.last().map(|run| run.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Forgets the oldest run.
    pub(super) fn pop(&mut self) -> Option<Run> {
        (!self.runs.is_empty()).then(|| self.runs.remove(0))
    }

    /// Copies in the missing ones of these samples, which are those of `run`. Returns how many per
    /// channel were new. The caller sees to it that nothing is further apart than the capacity.
    pub(super) fn insert(&mut self, run: Run, samples: Samples<'_>) -> Result<u64, Crowded> {
        debug_assert_eq!(
            samples.len() as u64,
            (run.end - run.start) * self.channels as u64
        );
        let alike = |other: &Run| u64::from(other.made == run.made);
        let before = |other: &Run| other.end < run.start + 1 - alike(other);
        let first = self.runs.partition_point(before);
        let behind = |other: &Run| other.start < run.end + alike(other);
        let touching = self.runs[first..].partition_point(behind);
        if touching == 0 && self.runs.len() == RUNS_MAX {
            return Err(Crowded);
        }
        let (mut at, mut new) = (run.start, 0);
        for index in first..first + touching {
            let other = self.runs[index];
            if at < other.start {
                new += self.write(at, other.start.min(run.end), run.start, samples);
            }
            at = at.max(other.end);
        }
        if at < run.end {
            new += self.write(at, run.end, run.start, samples);
        }
        let merged = self.runs[first..first + touching].iter().fold(run, merge);
        self.runs.drain(first..first + touching);
        self.runs.insert(first, merged);
        Ok(new)
    }

    /// Copies `[from, to)` of samples that begin at `start`. Returns how many per channel.
    fn write(&mut self, from: u64, to: u64, start: u64, samples: Samples<'_>) -> u64 {
        let (from_start, count) = (self.span(from - start), self.span(to - from));
        let at = self.place_of(from);
        let ahead = count.min(self.samples.len() - at);
        let (middle, end) = (from_start + ahead, from_start + count);
        let room = &mut self.samples[at..at + ahead];
        samples.part(from_start..middle).copy_to(room);
        let room = &mut self.samples[..count - ahead];
        samples.part(middle..end).copy_to(room);
        to - from
    }

    /// Copies the samples from `at` on to `out`, whole frames. They must be in a run, or have been
    /// not long ago.
    pub(super) fn read(&self, at: u64, out: &mut [i16]) {
        let at = self.place_of(at);
        let (ahead, wrapped) = out.split_at_mut(out.len().min(self.samples.len() - at));
        ahead.copy_from_slice(&self.samples[at..at + ahead.len()]);
        wrapped.copy_from_slice(&self.samples[..wrapped.len()]);
    }

    /// The largest magnitude of the `count` samples per channel from `at` on.
    pub(super) fn peak(&self, at: u64, count: u64) -> u16 {
        let (at, count) = (self.place_of(at), self.span(count));
        let ahead = count.min(self.samples.len() - at);
        let parts = [
            &self.samples[at..at + ahead],
            &self.samples[..count - ahead],
        ];
        let magnitudes = parts
            .into_iter()
            .flatten()
            .map(|sample| sample.unsigned_abs());
        magnitudes.max().unwrap_or(0)
    }

    /// Samples per channel of the sender's that are there of `[from, to)`.
    pub(super) fn count(&self, from: u64, to: u64) -> u64 {
        let of = |run: &Run| run.end.min(to).saturating_sub(run.start.max(from));
        let runs = self.runs.iter().filter(|run| !run.made);
        runs.map(of).sum()
    }

    fn place_of(&self, at: u64) -> usize {
        self.span(at & (self.capacity() - 1))
    }

    fn span(&self, samples: u64) -> usize {
        samples as usize * self.channels
    }
}

/// Two runs that touch as one.
fn merge(one: Run, other: &Run) -> Run {
    // The sender's word on the time after the later one holds.
    let paused = match one.end.cmp(&other.end) {
        Ordering::Equal => one.paused || other.paused,
        Ordering::Greater => one.paused,
        Ordering::Less => other.paused,
    };
    let fresh = if one.start <= other.start {
        one.fresh
    } else {
        other.fresh
    };
    Run {
        start: one.start.min(other.start),
        end: one.end.max(other.end),
        first: one.first.min(other.first),
        last: one.last.max(other.last),
        paused,
        fresh,
        made: one.made && other.made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64, number: u64) -> Run {
        Run {
            start,
            end,
            first: number,
            last: number,
            paused: false,
            fresh: false,
            made: false,
        }
    }

    /// Stereo; each sample carries its time and the packet that brought it.
    fn put(buffer: &mut Buffer, start: u64, end: u64, number: u64) -> Result<u64, Crowded> {
        let times = start..end;
        let samples: Vec<i16> = times.flat_map(|at| [at as i16, number as i16]).collect();
        insert(buffer, run(start, end, number), &samples)
    }

    fn insert(buffer: &mut Buffer, run: Run, samples: &[i16]) -> Result<u64, Crowded> {
        buffer.insert(run, Samples::Decoded(samples))
    }

    fn get(buffer: &Buffer, start: u64, end: u64) -> Vec<(i16, i16)> {
        let mut out = vec![0; 2 * (end - start) as usize];
        buffer.read(start, &mut out);
        out.chunks_exact(2)
            .map(|frame| (frame[0], frame[1]))
            .collect()
    }

    #[test]
    fn packets_in_any_order_become_one_run() {
        let mut buffer = Buffer::new(64, 2);
        for (start, number) in [(1000, 5), (1020, 7), (1030, 8), (1010, 6)] {
            assert_eq!(put(&mut buffer, start, start + 10, number), Ok(10));
        }
        let whole = Run {
            last: 8,
            ..run(1000, 1040, 5)
        };
        assert_eq!(buffer.head(), Some(&whole));
        let times = get(&buffer, 1000, 1040);
        assert!(times.iter().zip(1000..).all(|(&(at, _), time)| at == time));
        assert_eq!(buffer.pop(), Some(whole));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_there_already_stays_and_is_not_counted() {
        let mut buffer = Buffer::new(64, 2);
        assert_eq!(put(&mut buffer, 10, 20, 1), Ok(10));
        assert_eq!(put(&mut buffer, 30, 40, 3), Ok(10));
        assert_eq!(put(&mut buffer, 12, 18, 9), Ok(0));
        assert_eq!(put(&mut buffer, 5, 45, 2), Ok(5 + 10 + 5));
        let brought: Vec<_> = get(&buffer, 5, 45)
            .iter()
            .map(|&(_, number)| number)
            .collect();
        let expected = [[2; 5].as_slice(), &[1; 10], &[2; 10], &[3; 10], &[2; 5]].concat();
        assert_eq!(brought, expected);
        assert_eq!(buffer.count(0, 100), 40);
        assert_eq!(buffer.count(7, 9), 2);
    }

    #[test]
    fn a_run_that_was_made_up_stays_apart_from_those_it_touches() {
        let mut buffer = Buffer::new(64, 1);
        insert(&mut buffer, run(0, 10, 1), &[1; 10]).unwrap();
        insert(&mut buffer, run(20, 30, 3), &[3; 10]).unwrap();
        let made = Run {
            made: true,
            ..run(10, 20, 2)
        };
        assert_eq!(insert(&mut buffer, made, &[2; 10]), Ok(10));
        assert_eq!(buffer.count(0, 30), 20);
        assert_eq!(buffer.pop(), Some(run(0, 10, 1)));
        assert_eq!(buffer.pop(), Some(made));
        assert_eq!(buffer.pop(), Some(run(20, 30, 3)));
    }

    #[test]
    fn a_pause_is_marked_at_the_end_of_a_run_and_ends_with_audio() {
        let mut buffer = Buffer::new(64, 1);
        insert(&mut buffer, run(0, 10, 1), &[1; 10]).unwrap();
        let mark = Run {
            paused: true,
            ..run(10, 10, 2)
        };
        insert(&mut buffer, mark, &[]).unwrap();
        assert!(buffer.head().unwrap().paused);
        assert_eq!(buffer.newest(), Some(10));
        insert(&mut buffer, run(10, 20, 3), &[1; 10]).unwrap();
        assert!(!buffer.head().unwrap().paused);
    }

    #[test]
    fn more_gaps_than_it_can_remember_are_refused() {
        let mut buffer = Buffer::new(1024, 1);
        for index in 0..RUNS_MAX as u64 {
            assert_eq!(
                insert(&mut buffer, run(2 * index, 2 * index + 1, index), &[1]),
                Ok(1)
            );
        }
        assert_eq!(insert(&mut buffer, run(900, 901, 900), &[1]), Err(Crowded));
        // A run that closes a gap is taken.
        assert_eq!(insert(&mut buffer, run(1, 2, 90), &[1]), Ok(1));
        assert_eq!(insert(&mut buffer, run(900, 901, 900), &[1]), Ok(1));
    }

    #[test]
    fn bytes_are_decoded_where_they_belong() {
        let mut buffer = Buffer::new(16, 2);
        let samples: Vec<i16> = (0..20).map(|n| n * 1000).collect();
        let mut bytes = vec![0; 40];
        Encoding::S16Be.encode(&samples, &mut bytes);
        // Across the end of the ring, and around samples that are there.
        assert_eq!(put(&mut buffer, 14, 15, 9), Ok(1));
        let encoded = Samples::Encoded(Encoding::S16Be, &bytes);
        assert_eq!(buffer.insert(run(10, 20, 1), encoded), Ok(9));
        let pairs = samples.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        let mut expected: Vec<_> = pairs.collect();
        expected[4] = (14, 9);
        assert_eq!(get(&buffer, 10, 20), expected);
    }

    #[test]
    fn the_peak_is_that_of_both_ends_of_the_ring() {
        let mut buffer = Buffer::new(16, 1);
        insert(
            &mut buffer,
            run(12, 20, 1),
            &[1, 2, -9, 3, 4, 5, i16::MIN, 1],
        )
        .unwrap();
        assert_eq!(buffer.peak(12, 6), 9);
        assert_eq!(buffer.peak(12, 8), 32_768);
    }
}
