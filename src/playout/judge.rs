//! The one judge of packets: from number, time stamp and arrival together, whether a packet is new, was here
//! before, or begins a segment.
//!
//! One packet that contradicts those before it proves nothing: it waits, and the next one shows what it was.
//!
//! - *Number and time disagree*: a number far off, an old number with a new time, a time that goes back, or
//!   one that runs ahead of the clock by more than packets can be early. If the next packet follows it, the
//!   sender's numbers or clock begin again, and both are heard; if the stream goes on, it was a stray.
//! - *Number and time go on, and it is late* by more than any delay. If the next comes at the sender's pace,
//!   the sender stood still, or its path became longer: a segment begins. If it comes at once, the network
//!   stalled: the packets are late, and the delay stays as it is.
//!
//! Everything is in the sender's own numbers and time, extended to 64 bits. Pure; nothing here allocates.

use super::Verdict;

/// A number this far ahead is a loss; further ahead it is another beginning (RFC 3550, A.1).
const DROPOUT_MAX: i64 = 3000;
/// A number this far behind came late or twice; further behind it is another beginning.
const MISORDER_MAX: i64 = 100;
/// A packet that others overtook is no later than this.
const MISORDER_NS_MAX: f64 = 1e9;
/// A gap that the numbers do not account for is a pause, unless it ends so much earlier than any packet came.
const JUMP_NS: f64 = 50e6;
/// No packet is so much earlier than those before it, whatever its number.
const EARLY_NS_MAX: f64 = 2e9;
/// By how much of the time that passes the earliest packets may come later: more than any clock drifts.
const DRIFT_MAX: f64 = 5e-3;
/// Audio that is late for so long, at the sender's pace, begins a segment.
const LATE_RUN_NS: u64 = 500_000_000;
/// So much of it came at least: of fewer packets, the others lost, each may have been late by itself.
const LATE_AUDIO_NS: f64 = 250e6;
/// A packet that did not come may have been so long, though none is. In milliseconds.
const PACKET_MS: u64 = 60;
/// A packet follows one that waits if it is within so many numbers of it.
const FOLLOWS_MAX: u64 = 16;

/// Number, time and arrival of a packet of audio.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Extended to 64 bits.
    pub number: u64,
    /// The time of the first sample, in samples per channel, extended to 64 bits.
    pub start: u64,
    /// The time after the last.
    pub end: u64,
    /// When the packet came, on the monotonic clock.
    pub at_ns: u64,
}

impl Mark {
    /// Samples per channel.
    pub(super) fn length(&self) -> u64 {
        self.end.wrapping_sub(self.start)
    }
}

/// The judge's word on a packet of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It belongs where its time says; so does the one that waited, if `held`.
    Fits { held: bool },
    /// It came before.
    Duplicate,
    /// The next packet shows what it is. Its number belongs to the row, or does not.
    Waits { numbered: bool },
    /// A segment begins: with the one that waited, if `held`, else with this one. Its numbers go on from those
    /// before, or are a new row.
    Begins { held: bool, numbered: bool },
}

/// A packet of audio with the judgement on it, before its samples.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    pub(super) mark: Mark,
    pub(super) ruling: Ruling,
    /// The number of the first packet of the segment, if one begins.
    pub(super) first: u64,
}

impl Judged {
    /// Whether the packet belongs on the line.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.ruling, Ruling::Fits { .. } | Ruling::Begins { .. })
    }

    /// The judgement.
    pub fn verdict(&self) -> Verdict {
        match self.ruling {
            Ruling::Fits { .. } => Verdict::Taken,
            Ruling::Duplicate => Verdict::Duplicate,
            Ruling::Waits { numbered: true } => Verdict::Held,
            Ruling::Waits { numbered: false } => Verdict::Stray,
            Ruling::Begins { numbered, .. } => Verdict::Begins {
                first: (!numbered).then_some(self.first),
            },
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    mark: Mark,
    /// Whether its number belongs to the row.
    numbered: bool,
    /// Whether nothing but its lateness speaks against it.
    late: bool,
}

impl Suspect {
    /// Whether a packet that contradicts nothing is the very next of the beginning that this one would be.
    fn leads_to(&self, mark: &Mark) -> bool {
        !self.late && mark.number == self.mark.number + 1 && mark.start == self.mark.end
    }
}

/// How a packet looks beside those before it.
enum View {
    Duplicate,
    Overtaken,
    Next,
    Late,
    Astray { numbered: bool },
}

#[derive(Debug)]
pub(super) struct Judge {
    sample_ns: f64,
    /// The longest packet, or a usual one.
    longest: u64,
    /// A packet that is later than this is beyond any delay.
    late_ns: f64,
    /// The highest number, with audio or without. Bit `n` of `seen` is set if the highest less `n` came.
    newest: Option<u64>,
    seen: u128,
    /// The packet of audio that is furthest ahead.
    last: Option<Mark>,
    /// The time of the segment's first sample, and the least transit since: arrival less time.
    origin: u64,
    soonest_ns: f64,
    /// The packet that waits.
    suspect: Option<Suspect>,
    /// The first of those that came late, with none in time since.
    late_since: Option<Mark>,
    /// Samples per channel that came late since.
    late_samples: u64,
}

impl Judge {
    /// For time stamps that count at this rate, and delays of at most `delay_ns_max`.
    pub(super) fn new(rate_hz: u32, delay_ns_max: u64) -> Self {
        Self {
            sample_ns: 1e9 / f64::from(rate_hz),
            longest: PACKET_MS * u64::from(rate_hz) / 1000,
            late_ns: delay_ns_max.max(LATE_RUN_NS) as f64,
            newest: None,
            seen: 0,
            last: None,
            origin: 0,
            soonest_ns: 0.0,
            suspect: None,
            late_since: None,
            late_samples: 0,
        }
    }

    /// The next packet has nothing to do with those before.
    pub(super) fn restart(&mut self) {
        (self.newest, self.seen, self.last) = (None, 0, None);
        (self.suspect, self.late_since) = (None, None);
        self.late_samples = 0;
    }

    /// The packet that waits, and whether it can only be late.
    pub(super) fn suspect(&self) -> Option<(Mark, bool)> {
        self.suspect.map(|suspect| (suspect.mark, suspect.late))
    }

    /// The same; it waits no more.
    pub(super) fn take_suspect(&mut self) -> Option<(Mark, bool)> {
        let suspect = self.suspect();
        self.suspect = None;
        suspect
    }

    /// A packet without audio came.
    pub(super) fn note(&mut self, number: u64) -> Ruling {
        let newest = *self.newest.get_or_insert(number);
        if far(number, newest) {
            return Ruling::Waits { numbered: false };
        }
        if self.has(number) {
            return Ruling::Duplicate;
        }
        self.see(number);
        Ruling::Fits { held: false }
    }

    /// A packet of audio came; `late` says whether all of it should have been played.
    pub(super) fn take(&mut self, mark: Mark, late: bool) -> Ruling {
        let Some(last) = self.last else {
            let numbered = self.newest.is_some_and(|newest| !far(mark.number, newest));
            self.begin(mark, numbered);
            return Ruling::Begins {
                held: false,
                numbered: true,
            };
        };
        // A stall is no run.
        if self
            .late_since
            .is_some_and(|since| self.lags(&since, &mark))
        {
            (self.late_since, self.late_samples) = (None, 0);
        }
        match self.view(&last, &mark) {
            View::Next | View::Late
                if self.suspect.is_some_and(|before| before.leads_to(&mark)) =>
            {
                self.begin_with_suspect(mark)
            }
            View::Duplicate => Ruling::Duplicate,
            View::Overtaken => {
                self.see(mark.number);
                Ruling::Fits { held: false }
            }
            View::Next => {
                let held = self.suspect.take().is_some_and(|suspect| suspect.late);
                let since = *self.late_since.get_or_insert(mark);
                self.late_samples += mark.length();
                if !late {
                    self.late_since = None;
                    self.late_samples = 0;
                } else if self.is_late_run(&since, &mark) {
                    self.begin(mark, true);
                    return Ruling::Begins {
                        held: false,
                        numbered: true,
                    };
                }
                self.follow(mark);
                Ruling::Fits { held }
            }
            View::Late => self.late(mark),
            View::Astray { .. }
                if (self.suspect).is_some_and(|before| self.follows(&before.mark, &mark)) =>
            {
                self.begin_with_suspect(mark)
            }
            View::Astray { numbered } => self.wait(mark, numbered, false),
        }
    }

    /// A segment begins with the packet that waits, and goes on with this one.
    fn begin_with_suspect(&mut self, mark: Mark) -> Ruling {
        let suspect = self.suspect.take().expect("a packet waits");
        self.begin(suspect.mark, suspect.numbered);
        self.follow(mark);
        Ruling::Begins {
            held: true,
            numbered: suspect.numbered,
        }
    }

    fn late(&mut self, mark: Mark) -> Ruling {
        let held = self.suspect.take().is_some();
        self.late_samples += mark.length();
        let Some(since) = self.late_since else {
            self.late_since = Some(mark);
            return self.wait(mark, true, true);
        };
        if self.is_late_run(&since, &mark) || held && self.keeps_pace(&since, &mark) {
            self.begin(if held { since } else { mark }, true);
            self.follow(mark);
            Ruling::Begins {
                held,
                numbered: true,
            }
        } else {
            self.follow(mark);
            Ruling::Fits { held }
        }
    }

    fn view(&self, last: &Mark, mark: &Mark) -> View {
        let waits = |suspect: Suspect| {
            (suspect.mark.number, suspect.mark.start) == (mark.number, mark.start)
        };
        if self.suspect.is_some_and(waits) {
            return View::Duplicate;
        }
        if self.newest.is_some_and(|newest| far(mark.number, newest)) {
            return View::Astray { numbered: false };
        }
        let since_last_ns = mark.at_ns.wrapping_sub(last.at_ns) as i64 as f64;
        if mark.number <= last.number {
            let back = difference(last.start, mark.start);
            let same = mark.number == last.number;
            if back < 0
                || (back == 0) != same
                || since_last_ns + back as f64 * self.sample_ns > MISORDER_NS_MAX
            {
                return View::Astray { numbered: false };
            }
        }
        if mark.number > last.number && self.jumps(last, mark) {
            // A number that came without audio, or late, is of the row before.
            let numbered = self.newest < Some(mark.number);
            View::Astray { numbered }
        } else if self.has(mark.number) {
            View::Duplicate
        } else if mark.number < last.number {
            View::Overtaken
        } else if self.transit_ns(mark) - self.soonest_ns > self.late_ns {
            View::Late
        } else {
            View::Next
        }
    }

    /// Whether the time of a packet with a higher number than the last contradicts that number, and its arrival.
    fn jumps(&self, last: &Mark, mark: &Mark) -> bool {
        let gap = difference(mark.start, last.end);
        let missing = self.missing(last.number, mark.number) as i64;
        let early_ns = self.soonest_ns - self.transit_ns(mark);
        let unaccounted = gap > missing.saturating_mul(self.longest as i64);
        difference(mark.start, last.start) <= 0
            || unaccounted && early_ns > JUMP_NS
            || gap > 0 && early_ns > EARLY_NS_MAX
    }

    fn wait(&mut self, mark: Mark, numbered: bool, late: bool) -> Ruling {
        self.suspect = Some(Suspect {
            mark,
            numbered,
            late,
        });
        if numbered {
            self.see(mark.number);
        }
        Ruling::Waits { numbered }
    }

    /// Whether a packet that contradicts, too, is one of the same beginning.
    fn follows(&self, suspect: &Mark, mark: &Mark) -> bool {
        let numbers = mark.number.wrapping_sub(suspect.number);
        let time = difference(mark.start, suspect.start) as f64 * self.sample_ns;
        let passed = mark.at_ns.saturating_sub(suspect.at_ns) as f64;
        (1..=FOLLOWS_MAX).contains(&numbers) && (0.0..=passed + LATE_RUN_NS as f64).contains(&time)
    }

    fn is_late_run(&self, since: &Mark, mark: &Mark) -> bool {
        mark.at_ns.saturating_sub(since.at_ns) >= LATE_RUN_NS
            && self.late_samples as f64 * self.sample_ns >= LATE_AUDIO_NS
            && self.keeps_pace(since, mark)
    }

    /// Whether the sender's time went on far less than the clock.
    fn lags(&self, since: &Mark, mark: &Mark) -> bool {
        let passed_ns = mark.at_ns.saturating_sub(since.at_ns);
        let time_ns = difference(mark.start, since.start) as f64 * self.sample_ns;
        passed_ns >= LATE_RUN_NS && time_ns < 0.5 * passed_ns as f64
    }

    /// Whether the sender's time goes on no faster than the clock, or hardly.
    fn keeps_pace(&self, since: &Mark, mark: &Mark) -> bool {
        let time = difference(mark.start, since.start) as f64 * self.sample_ns;
        time <= 1.25 * mark.at_ns.saturating_sub(since.at_ns) as f64
    }

    fn begin(&mut self, mark: Mark, numbered: bool) {
        if !numbered {
            self.newest = None;
        }
        self.origin = mark.start;
        self.soonest_ns = mark.at_ns as f64;
        (self.suspect, self.late_since) = (None, None);
        self.late_samples = 0;
        self.last = Some(mark);
        self.see(mark.number);
    }

    fn follow(&mut self, mark: Mark) {
        self.see(mark.number);
        self.longest = self.longest.max(mark.length());
        let transit_ns = self.transit_ns(&mark);
        if let Some(last) = self.last.replace(mark) {
            let passed_ns = mark.at_ns.saturating_sub(last.at_ns) as f64;
            self.soonest_ns = transit_ns.min(self.soonest_ns + passed_ns * DRIFT_MAX);
        }
    }

    fn transit_ns(&self, mark: &Mark) -> f64 {
        mark.at_ns as f64 - difference(mark.start, self.origin) as f64 * self.sample_ns
    }

    /// How many numbers between these two did not come.
    fn missing(&self, after: u64, before: u64) -> u64 {
        let remembered = self.newest.map_or(before, |newest| {
            before.min(newest + 1).min(after + 1 + MISORDER_MAX as u64)
        });
        let came = (after + 1..remembered).filter(|&number| self.has(number));
        before - after - 1 - came.count() as u64
    }

    fn has(&self, number: u64) -> bool {
        let behind = self.newest.and_then(|newest| newest.checked_sub(number));
        behind.is_some_and(|behind| behind < 128 && self.seen >> behind & 1 == 1)
    }

    fn see(&mut self, number: u64) {
        let newest = *self.newest.get_or_insert_with(|| {
            self.seen = 0;
            number
        });
        if let Some(ahead) = number.checked_sub(newest) {
            self.seen = self.seen.checked_shl(ahead as u32).unwrap_or(0) | 1;
            self.newest = Some(number);
        } else if newest - number < 128 {
            self.seen |= 1 << (newest - number);
        }
    }
}

/// Whether a number is too far from the newest to belong to its row.
fn far(number: u64, newest: u64) -> bool {
    let ahead = difference(number, newest);
    ahead >= DROPOUT_MAX || ahead <= -MISORDER_MAX
}

fn difference(one: u64, other: u64) -> i64 {
    one.wrapping_sub(other) as i64
}

#[cfg(test)]
mod tests;
