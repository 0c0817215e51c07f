//! The numbers of a sender that numbers all its messages, and the times of its audio.
//!
//! The times are milliseconds, and waver: here they become samples that follow each other as the numbers do, unless
//! times and numbers part for longer, as after a pause. The playout judges what a message is.

use super::super::caller::Caller;
use crate::{
    audio::Format, ledger::Packet, net::sequence::Sequence, playout::Verdict, wire::twilio::RATE_HZ,
};

/// Times part from the numbers by no more than this. In milliseconds.
const WAVER_MS: i64 = 200;
/// Samples of a millisecond.
const PER_MS: i64 = RATE_HZ as i64 / 1_000;
/// A message follows one that waits if it is within so many numbers of it.
const FOLLOWS_MAX: u64 = 16;
/// Numbers and times begin here, so that there are some before the first.
const FIRST: u64 = 1 << 40;
/// No sender numbers further.
const NUMBER_MAX: u64 = 1 << 62;

/// The numbers of one sender.
#[derive(Debug)]
pub(super) struct Numbers {
    sequence: Option<Sequence>,
    /// The message of audio that is furthest ahead.
    last: Option<Spoken>,
    /// The one that the playout lets wait: those that follow it are located from it.
    suspect: Option<Spoken>,
}

/// One message of audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken {
    pub(super) number: u64,
    timestamp_ms: Option<u64>,
    /// The time of its first sample, and the time after its last.
    pub(super) start: u64,
    end: u64,
}

/// A number of the wire, with room for others before it.
pub(super) fn extend(sequence: u64) -> u64 {
    FIRST + sequence.min(NUMBER_MAX)
}

impl Numbers {
    /// For a sender that begins with a message of this number.
    pub(super) fn new(first: Option<u64>) -> Self {
        let begin = |first| {
            let mut sequence = Sequence::wide(extend(first));
            sequence.count(extend(first), Verdict::Taken);
            sequence
        };
        Self {
            sequence: first.map(begin),
            last: None,
            suspect: None,
        }
    }

    /// When a message of audio was, of so many samples.
    pub(super) fn locate(
        &self,
        sequence: u64,
        timestamp_ms: Option<u64>,
        samples: usize,
    ) -> Spoken {
        let (number, length) = (extend(sequence), samples as u64);
        let follows =
            |suspect: &Spoken| (1..=FOLLOWS_MAX).contains(&number.wrapping_sub(suspect.number));
        let (before, highest) = match (self.suspect.filter(follows), &self.sequence) {
            (None, Some(sequence)) => (self.last, sequence.highest()),
            (suspect, _) => (suspect, suspect.map_or(number, |suspect| suspect.number)),
        };
        let missing = number.saturating_sub(highest).saturating_sub(1);
        let start = before.map_or(FIRST, |before| {
            before.start_of(number, missing, timestamp_ms, length)
        });
        Spoken {
            number,
            timestamp_ms,
            start,
            end: start.wrapping_add(length),
        }
    }

    /// A message of audio was judged: those that come are located from it, if it is ahead.
    pub(super) fn follow(
        &mut self,
        spoken: Spoken,
        verdict: Verdict,
        caller: &Caller,
        mix: Format,
    ) {
        match verdict {
            Verdict::Held | Verdict::Stray => self.suspect = Some(spoken),
            Verdict::Duplicate => {}
            Verdict::Taken | Verdict::Begins { .. } => {
                let begins = verdict != Verdict::Taken;
                self.suspect = None;
                self.last = self
                    .last
                    .filter(|last| !begins && last.number > spoken.number)
                    .or(Some(spoken));
            }
        }
        self.count(spoken.number, verdict, caller, mix);
    }

    /// Counts a message as it was judged.
    pub(super) fn count(&mut self, number: u64, verdict: Verdict, caller: &Caller, mix: Format) {
        let sequence = self.sequence.get_or_insert_with(|| Sequence::wide(number));
        if sequence.count(number, verdict) == Some(true) {
            caller.count(Packet::Reordered);
        }
        if let Some(network) = caller.network() {
            let (expected, lost) = sequence.totals();
            let samples = self
                .last
                .map_or(0, |last| last.end.wrapping_sub(last.start));
            network.set_expected(expected, lost, mix.samples_as_long_as(samples, RATE_HZ));
        }
    }
}

impl Spoken {
    /// Where audio of this number begins, with so many messages missing between the two if it comes after this one.
    fn start_of(&self, number: u64, missing: u64, timestamp_ms: Option<u64>, length: u64) -> u64 {
        let passed = self.timestamp_ms.zip(timestamp_ms).map(|(then, now)| {
            let passed_ms = now.wrapping_sub(then) as i64;
            passed_ms.wrapping_mul(PER_MS)
        });
        let waver = WAVER_MS * PER_MS;
        let counted = missing.wrapping_mul(length);
        let timed = |passed: i64| passed.saturating_sub(self.end.wrapping_sub(self.start) as i64);
        match passed {
            None if number > self.number => self.end.wrapping_add(counted),
            None => {
                let back = (self.number - number).wrapping_mul(length);
                self.start.wrapping_sub(back)
            }
            Some(passed)
                if number <= self.number
                    || passed < -waver
                    || timed(passed) > (counted as i64).saturating_add(waver) =>
            {
                self.start.wrapping_add_signed(passed)
            }
            // Some of the missing may have had no audio, or another track's: then less time passed.
            Some(passed) if missing > 0 && length > 0 => {
                let whole = (timed(passed).max(0) as u64 + length / 2) / length;
                self.end.wrapping_add(whole.min(missing) * length)
            }
            Some(_) => self.end,
        }
    }
}

#[cfg(test)]
mod tests;
