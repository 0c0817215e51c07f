//! Places the audio of a sender that numbers all its messages, and time-stamps its audio.
//!
//! The numbers show losses: each that did not come is lost, and the time of a message of
//! audio passes for it. The times of the messages say more where they part from the numbers for longer than
//! they may waver: the sender paused.

use super::super::caller::Caller;
use crate::{audio::Format, ledger::Packet, wire::twilio::RATE_HZ};

/// A number so far ahead is a loss; further ahead it is another beginning.
const AHEAD_MAX: u64 = 3_000;
/// A number so far behind came late or twice; further behind it is another beginning.
const BEHIND_MAX: u64 = 100;
/// Milliseconds by which times may part from the numbers.
const WAVER_MS: u64 = 200;
/// Samples of a millisecond.
const PER_MS: u64 = RATE_HZ as u64 / 1_000;
/// Longest time that a difference of times stands for.
const PASSED_MS_MAX: u64 = 60_000;
/// Numbers and times begin here, so that there are some before the first.
const FIRST: u64 = 1 << 32;

/// The numbers of one sender.
#[derive(Debug)]
pub(super) struct Numbers {
    /// The first, and the highest, since it began or restarted.
    span: Option<(u64, u64)>,
    /// The lowest since then: below the first if that had overtaken others.
    lowest: u64,
    /// Bit `n` is set if the highest less `n` came. Reaches further back than [`BEHIND_MAX`].
    seen: u128,
    /// Messages that came since then, each counted once.
    came: u64,
    /// Expected and lost before that.
    before: (u64, u64),
    /// The offset added to its numbers.
    base: u64,
    last: Option<Last>,
    reordered: bool,
}

/// The message of audio that is furthest ahead.
#[derive(Debug, Clone, Copy)]
struct Last {
    number: u64,
    timestamp_ms: Option<u64>,
    /// Its place, and the place after it.
    start: u64,
    end: u64,
}

/// Where a message of audio belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number, since the stream began: later ones are higher, even after a restart of the sender's.
    pub(super) number: u64,
    /// The time of its first sample, in samples.
    pub(super) time: u64,
    /// Whether numbers and times have nothing to do with those before.
    pub(super) begins: bool,
}

impl Numbers {
    /// For a sender that begins with this number.
    pub(super) fn new(first: Option<u64>) -> Self {
        let mut numbers = Self {
            span: None,
            lowest: 0,
            seen: 0,
            came: 0,
            before: (0, 0),
            base: FIRST,
            last: None,
            reordered: false,
        };
        if let Some(first) = first {
            numbers.take(first);
        }
        numbers
    }

    /// A message without audio. None if its number restarts.
    pub(super) fn silent(&mut self, sequence: u64) -> Option<u64> {
        let (number, _, begins) = self.take(sequence);
        (!begins).then_some(number)
    }

    /// A message of audio, of so many samples.
    pub(super) fn audio(
        &mut self,
        sequence: u64,
        timestamp_ms: Option<u64>,
        samples: usize,
    ) -> Place {
        let (number, missing, begins) = self.take(sequence);
        let length = samples as u64;
        let time = match self.last {
            Some(last) if number > last.number => last.next(missing, timestamp_ms, length),
            Some(last) => last.earlier(number, timestamp_ms, length),
            None => FIRST,
        };
        if self.last.is_none_or(|last| number > last.number) {
            self.last = Some(Last {
                number,
                timestamp_ms,
                start: time,
                end: time + length,
            });
        }
        Place {
            number,
            time,
            begins,
        }
    }

    /// Takes a number: returns it as counted here, how many before it are missing, and whether it
    /// restarts.
    fn take(&mut self, sequence: u64) -> (u64, u64, bool) {
        self.reordered = false;
        let Some((first, highest)) = self.span else {
            self.begin(sequence);
            return (self.base, 0, false);
        };
        if sequence.saturating_sub(highest) > AHEAD_MAX
            || highest.saturating_sub(sequence) > BEHIND_MAX
        {
            self.before = self.totals();
            self.begin(sequence);
            self.base += highest.saturating_sub(first) + 1;
            // The number after the last.
            self.last = self.last.map(|last| Last {
                timestamp_ms: None,
                ..last
            });
            return (self.base, 0, true);
        }
        if sequence > highest {
            let ahead = u32::try_from(sequence - highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0);
        }
        let bit = 1 << highest.saturating_sub(sequence);
        self.came += u64::from(self.seen & bit == 0);
        self.seen |= bit;
        self.lowest = self.lowest.min(sequence);
        self.reordered = sequence < highest;
        let missing = sequence.saturating_sub(highest).saturating_sub(1);
        self.span = Some((first, highest.max(sequence)));
        // The first may be followed by some from before it: `base` is larger than they are many.
        let number = self.base.wrapping_add(sequence).wrapping_sub(first);
        (number, missing, false)
    }

    /// The first message of all, or of a new beginning.
    fn begin(&mut self, sequence: u64) {
        self.span = Some((sequence, sequence));
        (self.lowest, self.seen, self.came) = (sequence, 1, 1);
    }

    /// Messages expected since the stream began, and those of them that did not come.
    fn totals(&self) -> (u64, u64) {
        let expected = self
            .span
            .map_or(0, |(_, highest)| highest - self.lowest + 1);
        let lost = expected.saturating_sub(self.came);
        (self.before.0 + expected, self.before.1 + lost)
    }

    /// Writes expected and lost messages to a stream's account.
    pub(super) fn tell(&self, caller: &Caller, mix: Format) {
        if self.reordered {
            caller.count(Packet::Reordered);
        }
        if let Some(network) = caller.network() {
            let (expected, lost) = self.totals();
            let samples = self.last.map_or(0, |last| last.end - last.start);
            network.set_expected(expected, lost, mix.samples_as_long_as(samples, RATE_HZ));
        }
    }
}

impl Last {
    /// Where audio begins that comes after it, with so many messages missing between them.
    fn next(&self, missing: u64, timestamp_ms: Option<u64>, length: u64) -> u64 {
        let counted = missing * length;
        let Some((then, now)) = self.timestamp_ms.zip(timestamp_ms) else {
            return self.end + counted;
        };
        let passed = now.saturating_sub(then).min(PASSED_MS_MAX) * PER_MS;
        let timed = passed.saturating_sub(self.end - self.start);
        if timed > counted + WAVER_MS * PER_MS {
            self.end + timed
        } else if missing > 0 && length > 0 {
            // Some of the missing may have had no audio, or another track's: then less time passed.
            let whole = (timed + length / 2) / length;
            self.end + whole.min(missing) * length
        } else {
            self.end
        }
    }

    /// Where audio begins that comes late.
    fn earlier(&self, number: u64, timestamp_ms: Option<u64>, length: u64) -> u64 {
        let back = match self.timestamp_ms.zip(timestamp_ms) {
            Some((then, now)) => then.saturating_sub(now).min(PASSED_MS_MAX) * PER_MS,
            None => (self.number - number) * length,
        };
        self.start.saturating_sub(back)
    }
}

#[cfg(test)]
mod tests;
