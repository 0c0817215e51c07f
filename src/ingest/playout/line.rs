//! The line of a stream's time, and the cursor that plays it.
//!
//! Everything is in samples per channel at the source's rate. The cursor moves on with the mix, sample
//! by sample, whatever came. Where there is no audio, the line tells why, as far as that is known:
//!
//! - a *gap*: packets are missing by their numbers. It is concealed, and counted as missed;
//! - a *pause*: no number is missing, or the sender said so. It is silence;
//! - *dry*: nothing waits, so it is one or the other, or what comes is late. The next packet tells.

use crate::ledger::Discard;

use super::{
    books::Books,
    buffer::{Buffer, Run},
    numbers::Numbers,
    output::Sound,
};

/// Where the cursor of a new line stands: it can go back from there.
pub(super) const START: u64 = 1 << 40;

/// The end of what was played.
#[derive(Debug, Clone, Copy)]
struct Edge {
    end: u64,
    /// The highest number that was played; none before the first.
    last: Option<u64>,
    paused: bool,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) buffer: Buffer,
    pub(super) numbers: Numbers,
    channels: usize,
    /// The next sample to play.
    cursor: u64,
    /// Samples played, audio or not.
    played: u64,
    /// The same, when the last of the sender's samples was played.
    sounded: u64,
    edge: Edge,
    /// How much of what was played before the cursor is not accounted for.
    dry: u64,
    /// One lost packet explains a gap of at most this.
    longest: u64,
    pub(super) ended: bool,
}

impl Line {
    pub(super) fn new(capacity: usize, channels: usize, longest: u64) -> Self {
        Self {
            buffer: Buffer::new(capacity, channels),
            numbers: Numbers::default(),
            channels,
            cursor: START,
            played: 0,
            sounded: 0,
            edge: Edge {
                end: START,
                last: None,
                paused: true,
            },
            dry: 0,
            longest,
            ended: false,
        }
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn played(&self) -> u64 {
        self.played
    }

    /// What was played when the last of the sender's samples was.
    pub(super) fn sounded(&self) -> u64 {
        self.sounded
    }

    /// How much later than at the start a sample plays now.
    pub(super) fn shift(&self) -> i64 {
        self.played as i64 - (self.cursor - START) as i64
    }

    /// Whether time passed since the last sample, and nothing waits.
    pub(super) fn is_dry(&self) -> bool {
        self.buffer.is_empty() && self.cursor > self.edge.end
    }

    /// Whether this number is beyond all that was played.
    pub(super) fn is_newer(&self, number: u64) -> bool {
        self.edge.last.is_none_or(|last| number > last)
    }

    /// A packet of this many samples came.
    pub(super) fn note_length(&mut self, samples: u64) {
        self.longest = self.longest.max(samples);
    }

    /// The part of the time from the edge to `start`, where a run with these numbers begins, that is a
    /// gap. The rest is a pause.
    fn gap_before(&self, run: &Run) -> (u64, u64) {
        let none = (run.start, run.start);
        let Some(last) = self.edge.last else {
            return none;
        };
        if run.fresh || run.start <= self.edge.end {
            return none;
        }
        let missing = self.numbers.missing(last, run.first);
        let length = (run.start - self.edge.end).min(missing.saturating_mul(self.longest));
        if self.edge.paused {
            (run.start - length, run.start)
        } else {
            (self.edge.end, self.edge.end + length)
        }
    }

    /// A run comes that is newer than all that was played: now it is known what the dry time was. If the
    /// run is overdue, the stream goes on `growth` samples earlier than where it is: so much of what
    /// passed has become delay.
    pub(super) fn settle_dry(&mut self, run: &Run, growth: u64, books: Books<'_>) {
        let dry = self.cursor - self.dry;
        let played_until = self.cursor;
        self.cursor -= growth;
        if self.dry == 0 {
            return;
        }
        self.dry = 0;
        let (from, to) = self.gap_before(run);
        books.missed(from.max(dry), to.min(played_until));
        // Its own time, as far as it passed. What only makes a pause longer is no gap.
        let pause = run.fresh || self.edge.paused || (run.start > self.edge.end && from == to);
        let until = if pause { self.cursor } else { played_until };
        books.missed(run.start.max(dry), until);
    }

    /// Passes over all before `to`, which is discarded.
    pub(super) fn pass(&mut self, to: u64, why: Discard, books: Books<'_>) {
        let from = self.cursor;
        books.discarded(why, from, self.buffer.count(from, to));
        self.cursor = to;
        self.drop_played();
    }

    /// The sender is silent from `at` on.
    pub(super) fn pause(&mut self, at: u64, books: Books<'_>) {
        let last = self.numbers.newest().unwrap_or(0);
        let run = Run {
            start: at,
            end: at,
            first: last,
            last,
            paused: true,
            fresh: false,
        };
        if at > self.cursor || !self.buffer.is_empty() {
            // If there is no room for the mark, the pause is told by the numbers.
            let _ = self.buffer.insert(run, &[]);
        } else {
            if self.dry > 0 {
                let dry = self.cursor - self.dry;
                let (from, to) = self.gap_before(&run);
                books.missed(from.max(dry), to.min(self.cursor));
                self.dry = 0;
            }
            self.edge.paused = true;
            self.edge.end = self.edge.end.max(at);
        }
    }

    /// Plays up to `out.len()` samples of one kind into `out`; gives what they are and how many per
    /// channel. Time passes in any case.
    pub(super) fn play(&mut self, out: &mut [i16], books: Books<'_>) -> (Sound, usize) {
        let wanted = (out.len() / self.channels) as u64;
        self.drop_played();
        let (sound, count) = match self.buffer.head().copied() {
            Some(run) if run.start <= self.cursor => {
                let count = wanted.min(run.end - self.cursor);
                let out = &mut out[..count as usize * self.channels];
                self.buffer.read(self.cursor, out);
                (Sound::Audio, count)
            }
            Some(run) => {
                let (from, to) = self.gap_before(&run);
                let (end, gap) = if self.cursor < from {
                    (from, false)
                } else if self.cursor < to {
                    (to, true)
                } else {
                    (run.start, false)
                };
                let count = wanted.min(end - self.cursor);
                if gap {
                    books.missed(self.cursor, self.cursor + count);
                }
                (Sound::Silence, count)
            }
            None => {
                if !self.ended && self.edge.last.is_some() {
                    self.dry += wanted;
                }
                (Sound::Silence, wanted)
            }
        };
        if sound == Sound::Silence {
            out[..count as usize * self.channels].fill(0);
        }
        self.cursor += count;
        self.played += count;
        if sound == Sound::Audio {
            self.sounded = self.played;
        }
        (sound, count as usize)
    }

    /// Forgets the runs that lie before the cursor.
    fn drop_played(&mut self) {
        while let Some(run) = self.buffer.head()
            && run.end <= self.cursor
        {
            self.edge = Edge {
                end: run.end,
                last: Some(self.edge.last.map_or(run.last, |last| last.max(run.last))),
                paused: run.paused,
            };
            self.buffer.pop();
        }
    }
}
