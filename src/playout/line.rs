//! The line of a stream's time, and the cursor that plays it.
//!
//! Everything is in samples per channel at the source's rate. The cursor moves on with the mix, sample
//! by sample, with audio or without. Where there is no audio, the line knows why, as far as possible:
//!
//! - a *gap*: packets are missing by their numbers. It is concealed, and counted as missed;
//! - a *pause*: no number is missing, or the sender said so. It is silence;
//! - *dry*: nothing waits, so it is one or the other, or the audio is late. The next packet shows.

mod play;

use std::ops::Range;

use crate::ledger::Discard;

use super::{
    accounting::Accounting,
    buffer::{Buffer, Run, Samples},
    conceal::Concealer,
    fade::{self, Fade},
    missed::Missed,
    numbers::Numbers,
};

/// A gap of up to this for each packet that is missing is one whole gap. In a longer one there was a
/// pause, too; then a missing packet was as long as the longest that came, and at least as long as a
/// usual one. In milliseconds.
const PACKET_MS_MAX: u64 = 200;
const PACKET_MS: u64 = 20;

/// Where the cursor of a new line stands: it can go back from there.
pub(super) const START: u64 = 1 << 40;

/// Samples with magnitudes of at most this are silence: 50 dB below full scale.
const SILENT: u16 = 100;
/// Silence is cut or made longer by at most so much at a time. In milliseconds.
const CUT_MS: u64 = 5;
/// Speech is cut at once by what is too long, if that is more than so many cuts of silence; else sample by sample.
const CUTS_AT_ONCE: u64 = 4;

/// How a line should move against the clock, in samples per channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Correction {
    /// To insert, or to take out if less than none, to stay with the sender's clock.
    pub(super) follow: i64,
    /// To take out, or to insert if less than none, because the delay is not what is needed.
    pub(super) excess: i64,
    /// Whether speech may be cut, or stretched, for that.
    pub(super) in_speech: bool,
}

/// How it moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) followed: i64,
    /// Whether the delay changed for another reason.
    pub(super) delay: bool,
}

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
    /// When the last of the sender's samples was played.
    sounded: u64,
    edge: Edge,
    /// How much of what was played before the cursor, up to it, is not accounted for.
    dry: u64,
    missed: Missed,
    /// The longest packet.
    longest: u64,
    packet_max: u64,
    pub(super) ended: bool,
    /// None if gaps are not filled.
    pub(super) concealer: Option<Concealer>,
    /// Played as it lies in the buffer, and not yet heard by the concealer: it is, when a gap begins, or the cursor
    /// jumps.
    unheard: Range<u64>,
    fade: Fade,
    /// The audio behind a gap.
    next: Box<[i16]>,
    /// The longest cut of silence.
    cut: u64,
    correction: Correction,
    moved: Moved,
    /// Concealment to play without moving on.
    pad: u64,
}

impl Line {
    /// For a source of this rate. Room for so many samples per channel. Allocates all it needs.
    pub(super) fn new(capacity: u64, rate_hz: u32, channels: usize, conceal: bool) -> Self {
        let samples = |ms| ms * u64::from(rate_hz) / 1000;
        let concealer = Concealer::new(rate_hz, channels);
        Self {
            buffer: Buffer::new(capacity as usize, channels),
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
            missed: Missed::default(),
            longest: samples(PACKET_MS),
            packet_max: samples(PACKET_MS_MAX),
            ended: false,
            next: vec![0; concealer.closing() * channels].into(),
            concealer: conceal.then_some(concealer),
            unheard: START..START,
            fade: Fade::new(channels),
            cut: samples(CUT_MS).max(1),
            correction: Correction::default(),
            moved: Moved::default(),
            pad: 0,
        }
    }

    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// All before this was played or passed over: audio that comes for an earlier time is late, though the cursor may have
    /// gone back into a pause.
    pub(super) fn passed(&self) -> u64 {
        self.cursor.max(self.edge.end)
    }

    pub(super) fn played(&self) -> u64 {
        self.played
    }

    /// The played count at the sender's last sample.
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
        let missing = self.numbers.sounding(last, run.first);
        let gap = run.start - self.edge.end;
        let most = missing.saturating_mul(self.longest);
        // They may have been longer than those that came, but not by any length.
        let length = if gap <= missing.saturating_mul(self.packet_max) {
            gap
        } else {
            most
        };
        if self.edge.paused {
            (run.start - length, run.start)
        } else {
            (self.edge.end, self.edge.end + length)
        }
    }

    /// A run comes that is newer than all that was played: now it is known what the dry time was. If the
    /// run is overdue, the stream goes on up to `room` samples earlier than where it is: so much of what
    /// passed has become delay, and a little is added so that the next to come as late is in time.
    pub(super) fn settle_dry(&mut self, run: &Run, room: u64, accounting: Accounting<'_>) {
        let (from, to) = self.gap_before(run);
        // Time that only makes a pause longer is no gap.
        let pause = run.fresh || self.edge.paused || (run.start > self.edge.end && from == to);
        let (dry_from, dry_to) = (self.cursor - self.dry, self.cursor);
        let played = self.played;
        let overdue = self.cursor.saturating_sub(run.start);
        let growth = overdue.min(room);
        if growth > 0 {
            self.hear_played();
            self.cursor -= growth;
            self.moved.delay = true;
            let spare = self.cut.min(room - growth);
            if pause {
                self.cursor -= spare;
            } else {
                self.pad = spare;
            }
        }
        if self.dry > 0 {
            let place = |time| played + time - dry_to;
            for (from, to) in [
                (from, to.min(dry_to)),
                (run.start, self.cursor.min(run.end)),
            ] {
                let from = from.max(dry_from);
                self.miss(from, to, place(from), accounting);
            }
            if !pause {
                // Behind what the run is too late for, and before what is not known yet.
                let grown = place(self.cursor.min(run.end).max(dry_from));
                accounting.missed(grown, growth);
                accounting.came_late(grown, growth);
            }
        }
        let unknown = self.dry.saturating_sub(dry_to - self.cursor);
        self.dry = 0;
        if run.end <= self.cursor {
            // All of it is late: what passed after it is as unknown as before.
            self.dry = unknown.min(self.cursor - run.end);
            self.edge = Edge {
                end: run.end,
                last: Some(run.last),
                paused: false,
            };
        }
    }

    /// `[from, to)` plays, or was played, without the sender's samples, after `place` samples of the line.
    fn miss(&mut self, from: u64, to: u64, place: u64, accounting: Accounting<'_>) {
        if from < to {
            accounting.missed(place, to - from);
            for (distance, count) in self.missed.closed(from, to) {
                accounting.came_late(place + distance, count);
            }
            self.missed.add(from, to, place);
        }
    }

    /// The samples of `[from, to)` came after their playout, or after others were decoded in their place.
    pub(super) fn late(&mut self, from: u64, to: u64, accounting: Accounting<'_>) {
        accounting.late(from, to);
        for (place, count) in self.missed.places(from, to) {
            accounting.came_late(place, count);
        }
        if from.max(self.cursor) < to {
            self.missed.close(from.max(self.cursor), to);
        }
    }

    /// Passes over all before `to`, which is discarded.
    pub(super) fn pass(&mut self, to: u64, why: Discard, accounting: Accounting<'_>) {
        self.hear_played();
        let from = self.cursor;
        accounting.discarded(why, from, self.buffer.count(from, to));
        self.cursor = to;
        self.moved.delay = true;
        self.drop_played();
    }

    /// The sender is silent from `at` on.
    pub(super) fn pause(&mut self, at: u64, accounting: Accounting<'_>) {
        let last = self.numbers.newest().unwrap_or(0);
        let run = Run {
            start: at,
            end: at,
            first: last,
            last,
            paused: true,
            fresh: false,
            made: false,
        };
        if at > self.cursor || !self.buffer.is_empty() {
            // If there is no room for the mark, the numbers show the pause.
            let _ = self.buffer.insert(run, Samples::Decoded(&[]));
        } else {
            if self.dry > 0 {
                let dry = self.cursor - self.dry;
                let (from, to) = self.gap_before(&run);
                let from = from.max(dry);
                let place = self.played + from - self.cursor;
                self.miss(from, to.min(self.cursor), place, accounting);
                // The end of the pause may be under way.
                self.dry = self.dry.min(self.cursor - at);
            }
            self.edge.paused = true;
            self.edge.end = self.edge.end.max(at);
        }
    }

    /// Moves against the clock if it can be done here: once for each block. The rest waits for a
    /// pause in the block.
    pub(super) fn steer(&mut self, correction: Correction, accounting: Accounting<'_>) {
        self.correction = correction;
        self.drop_played();
        let Some(run) = self.buffer.head().copied() else {
            return;
        };
        let (cut, cursor) = (self.cut, self.cursor);
        // The longest move needs this much of the run.
        let reaches = !run.made && run.start < cursor && run.end >= cursor + cut + fade::LENGTH;
        if self.fade.is_active() || !reaches {
            return;
        }
        let silent = |length| self.buffer.peak(cursor, length) <= SILENT;
        if correction.excess < 0 && silent(cut) {
            self.pad = cut.min(correction.excess.unsigned_abs());
            self.moved.delay = true;
        } else if correction.excess > 0 && silent(cut + fade::LENGTH) {
            self.take_out(cut.min(correction.excess as u64), accounting);
        } else if correction.excess > 0 && correction.in_speech {
            let excess = correction.excess as u64;
            let whole = excess.min(run.end - cursor - fade::LENGTH);
            let at_once = excess > CUTS_AT_ONCE * cut;
            self.take_out(if at_once { whole } else { 1 }, accounting);
        } else if correction.excess < 0 && correction.in_speech {
            self.slip(1);
            self.moved.delay = true;
        } else if correction.follow.signum() * correction.excess.signum() < 0
            || correction.excess == 0
        {
            // Not against what the delay asks for.
            let step = correction.follow.signum();
            self.slip(step);
            self.moved.followed += step;
            self.correction.follow -= step;
        }
    }

    /// Plays a sample twice, or leaves one out, with a cross-fade over it.
    fn slip(&mut self, step: i64) {
        if step != 0 {
            self.fade.begin(&self.buffer, self.cursor);
            self.cursor = self.cursor.wrapping_add_signed(-step);
        }
    }

    /// How much audio waits at the cursor beyond what the longest move may need.
    pub(super) fn spare(&self) -> u64 {
        match self.buffer.head() {
            Some(run) if run.start <= self.cursor && self.pad == 0 => run
                .end
                .saturating_sub(self.cursor + self.cut + fade::LENGTH),
            _ => 0,
        }
    }

    /// How it moved since it was asked last.
    pub(super) fn moved(&mut self) -> Moved {
        std::mem::take(&mut self.moved)
    }

    /// Cuts samples out of a run, with a cross-fade over the cut.
    fn take_out(&mut self, count: u64, accounting: Accounting<'_>) {
        self.hear_played();
        self.fade.begin(&self.buffer, self.cursor);
        accounting.discarded(Discard::DelayChange, self.cursor, count);
        self.cursor += count;
        self.correction.excess -= count as i64;
        self.moved.delay = true;
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
