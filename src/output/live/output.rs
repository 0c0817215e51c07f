//! One output's audio for its listeners, and the place of each listener.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{buffer::Buffer, grid::Grid};
use crate::{audio::Encoding, output::feed_reader::Piece};

/// Chunks that are kept for other listeners in step: more than these ask for between two
/// blocks.
const RECENT_CHUNKS: usize = 32;

/// One output: a room, a stream alone, or the mix without it.
#[derive(Debug)]
pub(super) struct Output {
    channels: usize,
    buffer: Buffer,
    pub(super) ended: bool,
    lost_samples: u64,
    skipped_samples: u64,
    recent: VecDeque<Chunk>,
}

/// Consecutive samples of an output, as 16-bit PCM, least significant byte first. A clone shares the
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Index in the mix of the first sample.
    pub at: u64,
    /// Samples per channel.
    pub samples: u64,
    /// The samples, interleaved.
    pub bytes: Bytes,
}

/// One answer to a listener's read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The next samples.
    Chunk(Chunk),
    /// It was too slow: what it had not heard is gone, and it goes on near the newest. So many samples
    /// per channel it will never hear.
    Skipped(u64),
    /// Nothing yet: its next chunk is not whole.
    Nothing,
    /// Nothing, and nothing will come.
    Ended,
}

/// A listener's place in an output. Counts are in samples per channel.
///
/// From where it began to [`at`](Self::at), each sample was either sent or skipped.
#[derive(Debug, Clone)]
pub struct Cursor {
    grid: Grid,
    /// None until the output has a sample.
    at: Option<u64>,
    sent_samples: u64,
    skipped_samples: u64,
}

impl Cursor {
    /// A place at the newest chunk of an output at the first read.
    pub fn new(grid: Grid) -> Self {
        Self {
            grid,
            at: None,
            sent_samples: 0,
            skipped_samples: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn grid(&self) -> Grid {
        self.grid
    }

    /// Index in the mix of the next sample; none until the output has one.
    pub fn at(&self) -> Option<u64> {
        self.at
    }

    /// Samples that were given to it.
    pub(crate) fn sent_samples(&self) -> u64 {
        self.sent_samples
    }

    /// Samples that it was too slow for.
    pub fn skipped_samples(&self) -> u64 {
        self.skipped_samples
    }
}

/// An output's figures, in samples per channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputFigures {
    /// Index in the mix of the oldest sample that is kept.
    pub begin: u64,
    /// One after the newest.
    pub end: u64,
    /// Whether no more will come.
    pub ended: bool,
    /// Samples that never came, as this end was late; silence stands in their place.
    pub lost_samples: u64,
    /// Samples that listeners were too slow for, all of them together.
    pub skipped_samples: u64,
}

impl Output {
    pub(super) fn new(channels: u16, kept_samples: u64) -> Self {
        Self {
            channels: channels.into(),
            buffer: Buffer::new(channels, kept_samples),
            ended: false,
            lost_samples: 0,
            skipped_samples: 0,
            recent: VecDeque::with_capacity(RECENT_CHUNKS),
        }
    }

    /// Takes the samples that follow; of a room that was not heard for a while, later ones.
    pub(super) fn push(&mut self, piece: &Piece<'_>) {
        if piece.first != self.buffer.end() {
            self.buffer.restart();
        }
        if piece.is_lost {
            self.lost_samples += (piece.samples.len() / self.channels) as u64;
        }
        self.buffer.push(piece.first, piece.samples);
    }

    pub(super) fn figures(&self) -> OutputFigures {
        OutputFigures {
            begin: self.buffer.begin(),
            end: self.buffer.end(),
            ended: self.ended,
            lost_samples: self.lost_samples,
            skipped_samples: self.skipped_samples,
        }
    }

    /// The next that the listener gets.
    pub(super) fn read(&mut self, cursor: &mut Cursor) -> Delivery {
        let (begin, end) = (self.buffer.begin(), self.buffer.end());
        if !self.buffer.has_begun() {
            return if self.ended {
                Delivery::Ended
            } else {
                Delivery::Nothing
            };
        }
        let newest = cursor.grid.before(end, end).max(begin);
        let at = *cursor.at.get_or_insert(newest);
        if at < begin {
            let skipped = newest - at;
            cursor.at = Some(newest);
            cursor.skipped_samples += skipped;
            self.skipped_samples += skipped;
            return Delivery::Skipped(skipped);
        }
        let to = match cursor.grid.after(at, end) {
            whole if whole <= end => whole,
            _ if self.ended && at < end => end,
            _ if self.ended => return Delivery::Ended,
            _ => return Delivery::Nothing,
        };
        cursor.at = Some(to);
        cursor.sent_samples += to - at;
        Delivery::Chunk(self.chunk(at, to))
    }

    fn chunk(&mut self, at: u64, to: u64) -> Chunk {
        let same = |chunk: &&Chunk| chunk.at == at && chunk.at + chunk.samples == to;
        if let Some(chunk) = self.recent.iter().rev().find(same) {
            return chunk.clone();
        }
        let mut bytes = vec![0; 2 * self.channels * (to - at) as usize];
        let [head, tail] = self.buffer.pieces(at, to);
        let (first, second) = bytes.split_at_mut(2 * head.len());
        Encoding::S16Le.encode(head, first);
        Encoding::S16Le.encode(tail, second);
        let chunk = Chunk {
            at,
            samples: to - at,
            bytes: bytes.into(),
        };
        if self.recent.len() == RECENT_CHUNKS {
            self.recent.pop_front();
        }
        self.recent.push_back(chunk.clone());
        chunk
    }
}
