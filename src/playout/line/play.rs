//! Plays a line: what stands at the cursor, or what stands in for it.

use std::ops::Range;

use super::{Accounting, Correction, Line, Run};
use crate::playout::output::Sound;

/// The audio behind a gap.
#[derive(Debug, Clone, Copy)]
struct Closing {
    /// The first sample after the gap, and how far it is.
    at: u64,
    left: u64,
    /// The end of its run.
    end: u64,
}

impl Line {
    /// Plays up to `out.len()` samples of one kind into `out`; returns their kind and how many per
    /// channel. Time passes in any case.
    pub(in crate::playout) fn play(
        &mut self,
        out: &mut [i16],
        accounting: Accounting<'_>,
    ) -> (Sound, usize) {
        let wanted = (out.len() / self.channels) as u64;
        self.drop_played();
        if self.pad > 0 {
            let closing = self.buffer.head().map(|run| Closing {
                at: self.cursor,
                left: self.pad,
                end: run.end,
            });
            let (sound, count) = self.play_concealment(wanted.min(self.pad), closing, out);
            self.pad -= count;
            accounting.missed(self.played, count);
            accounting.came_late(self.played, count);
            self.played += count;
            return (sound, count as usize);
        }
        let (sound, count) = match self.buffer.head().copied() {
            Some(run) if run.start <= self.cursor => {
                let (sound, count) = self.play_audio(&run, wanted, out);
                let made = if run.made { count } else { 0 };
                self.miss(self.cursor, self.cursor + made, self.played, accounting);
                (sound, count)
            }
            Some(run) => self.play_before(&run, wanted, out, accounting),
            None if self.ended => self.play_silence(wanted, out),
            None => {
                let (sound, count) = if self.edge.paused {
                    self.play_silence(wanted, out)
                } else {
                    self.play_concealment(wanted, None, out)
                };
                // The end of a pause may come late, too.
                self.dry += count;
                (sound, count)
            }
        };
        self.cursor += count;
        self.played += count;
        if sound == Sound::Audio {
            self.sounded = self.played;
        }
        (sound, count as usize)
    }

    /// Whether so many samples from the cursor on are the sender's, and play as they lie in the buffer.
    pub(in crate::playout) fn is_plain(&mut self, samples: u64) -> bool {
        self.drop_played();
        let plain =
            |run: &Run| !run.made && run.start <= self.cursor && self.cursor + samples <= run.end;
        self.pad == 0 && !self.fade.is_active() && self.buffer.head().is_some_and(plain)
    }

    /// The samples at the cursor, which are [plain](Self::is_plain).
    pub(in crate::playout) fn read_plain(&self, out: &mut [i16]) {
        self.buffer.read(self.cursor, out);
    }

    /// So many of them were played.
    pub(in crate::playout) fn pass_plain(&mut self, samples: u64) {
        self.note_unheard(samples);
        self.cursor += samples;
        self.played += samples;
        self.sounded = self.played;
    }

    fn play_audio(&mut self, run: &Run, wanted: u64, out: &mut [i16]) -> (Sound, u64) {
        let count = wanted.min(run.end - self.cursor);
        let out = &mut out[..count as usize * self.channels];
        self.buffer.read(self.cursor, out);
        if self.fade.is_active() {
            self.fade.apply(out);
            self.hear_played();
            if let Some(concealer) = &mut self.concealer {
                concealer.hear(out.len(), |heard| {
                    heard.copy_from_slice(&out[out.len() - heard.len()..]);
                });
            }
        } else {
            self.note_unheard(count);
        }
        let made = run.made.then_some(Sound::Concealment);
        (made.unwrap_or(Sound::Audio), count)
    }

    /// So many samples from the cursor on are played as they lie in the buffer.
    fn note_unheard(&mut self, count: u64) {
        if self.unheard.end != self.cursor {
            self.hear_played();
            self.unheard.start = self.cursor;
        }
        self.unheard.end = self.cursor + count;
    }

    /// The concealer hears what was played, which lies in the buffer still: what comes is written far ahead of it.
    pub(super) fn hear_played(&mut self) {
        let Range { start, end } = std::mem::replace(&mut self.unheard, self.cursor..self.cursor);
        if start < end
            && let Some(concealer) = &mut self.concealer
        {
            concealer.hear((end - start) as usize * self.channels, |heard| {
                let count = (heard.len() / self.channels) as u64;
                self.buffer.read(end - count, heard);
            });
        }
    }

    /// Plays what lies before a run that waits: a gap, or a pause, which may be cut or made longer.
    fn play_before(
        &mut self,
        run: &Run,
        wanted: u64,
        out: &mut [i16],
        accounting: Accounting<'_>,
    ) -> (Sound, u64) {
        let (from, to) = self.gap_before(run);
        if (from..to).contains(&self.cursor) {
            let wanted = wanted.min(to - self.cursor);
            let closing = (to == run.start).then_some(Closing {
                at: run.start,
                left: run.start - self.cursor,
                end: run.end,
            });
            let (sound, count) = self.play_concealment(wanted, closing, out);
            self.miss(self.cursor, self.cursor + count, self.played, accounting);
            return (sound, count);
        }
        let end = if self.cursor < from { from } else { run.start };
        let insert = if self.correction.excess == 0 {
            self.correction.follow
        } else {
            -self.correction.excess
        };
        if insert != 0 {
            let inserted = insert.max(-((end - self.cursor) as i64));
            if self.correction.excess == 0 {
                self.moved.followed += inserted;
            } else {
                self.moved.delay = true;
            }
            self.correction = Correction::default();
            self.cursor = self.cursor.wrapping_add_signed(-inserted);
        }
        self.play_silence(wanted.min(end - self.cursor), out)
    }

    fn play_silence(&mut self, count: u64, out: &mut [i16]) -> (Sound, u64) {
        out[..count as usize * self.channels].fill(0);
        self.fade.end();
        if let (Some(concealer), true) = (&mut self.concealer, count > 0) {
            concealer.forget();
            self.unheard = self.cursor..self.cursor;
        }
        (Sound::Silence, count)
    }

    /// Plays what a gap sounds of; if what comes after it is there, it ends in a cross-fade into that.
    fn play_concealment(
        &mut self,
        wanted: u64,
        closing: Option<Closing>,
        out: &mut [i16],
    ) -> (Sound, u64) {
        self.fade.end();
        self.hear_played();
        let Some(concealer) = &mut self.concealer else {
            out[..wanted as usize * self.channels].fill(0);
            return (Sound::Silence, wanted);
        };
        let period = concealer.begin() as u64;
        let length = (concealer.closing() as u64).min(period);
        let closing = closing.filter(|closing| length > 0 && closing.at + period <= closing.end);
        let count = match closing {
            Some(closing) if closing.left > length => wanted.min(closing.left - length),
            _ => wanted,
        };
        let out = &mut out[..count as usize * self.channels];
        out.fill(0);
        let made = concealer.fill(out) as u64;
        if let Some(closing) = closing
            && closing.left <= length
        {
            let next = &mut self.next[..out.len()];
            self.buffer.read(closing.at + period - closing.left, next);
            concealer.close(out, next, closing.left as usize);
            (Sound::Concealment, count)
        } else if made > 0 {
            // Audible and silent samples are counted apart.
            (Sound::Concealment, made)
        } else {
            (Sound::Silence, count)
        }
    }
}
