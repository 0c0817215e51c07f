//! Places arriving packets on the line, and checks their time stamps.

use std::time::Duration;

use crate::ledger::Discard;

use super::{Playout, accounting::Accounting, buffer::Run};

/// A packet further off than this is accepted only if the next agrees with it. In milliseconds.
pub(super) const STRAY_MS: u64 = 500;
/// After so much late audio in a row, the stream restarts. In milliseconds.
const RESTART_MS: u64 = 500;
/// The numbers of a new segment begin so far above the last of the one before it.
const SEGMENT_NUMBERS: u64 = 1 << 16;

/// The fate of some samples per channel.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Taken {
    pub(super) new: u64,
    pub(super) late: u64,
}

impl Playout {
    /// The number of a packet, one row for all segments.
    pub(super) fn number(&mut self, sequence: u64) -> u64 {
        let base = self.number_base.get_or_insert_with(|| {
            let newest = self.line.numbers.newest().unwrap_or(0);
            (newest + SEGMENT_NUMBERS).wrapping_sub(sequence)
        });
        sequence.wrapping_add(*base)
    }

    /// The line's time for a first packet: it plays when the playout delay has passed, and after all that
    /// waits.
    pub(super) fn anchor(&mut self, number: u64, at_ns: u64) -> u64 {
        let origin = *self.origin.get_or_insert_with(|| {
            let tick = self.next_tick.unwrap_or(self.clock.next_tick(at_ns));
            let origin = self.clock.start_of(tick);
            self.output.begin(origin);
            self.control.begin(self.clock.due_ns(tick));
            origin
        });
        let plays_ns = at_ns + self.control.first_ns();
        let since = Duration::from_nanos(plays_ns.saturating_sub(self.clock.first_ns));
        let place = self.clock.samples_of(since).saturating_sub(origin);
        let place = self.output.rates().to_source(place);
        let (cursor, played) = (self.line.cursor(), self.line.played());
        self.segment_first = number;
        let start = cursor + place.saturating_sub(played);
        start.max(self.line.buffer.newest().unwrap_or(0))
    }

    /// Whether the time of a packet can be true. One that is far from where it should be is dropped,
    /// unless the one before was there too: then the sender's clock jumped, or stood still, and the
    /// stream restarts.
    pub(super) fn check_timestamp(
        &mut self,
        start: u64,
        frames: u64,
        number: u64,
    ) -> TimestampCheck {
        let (far, cursor) = (self.samples(STRAY_MS), self.line.cursor());
        // After a pause there is nothing but the delay between the cursor and what comes.
        let far_ahead = far + self.latency_cap / 2;
        let next = self.line.buffer.newest().unwrap_or(cursor).max(cursor);
        let end = start.wrapping_add(frames);
        let ahead = start.wrapping_sub(next) as i64 > far_ahead as i64;
        let behind = cursor.wrapping_sub(end) as i64;
        let newer = self.line.is_newer(number);
        let reach = far.max(self.control.room_to_grow(self.line.shift()));
        if !ahead && (!newer || behind <= reach as i64) {
            let restart = newer && behind > 0 && self.late_run > self.samples(RESTART_MS);
            if newer {
                self.stray = None;
            }
            return if restart {
                TimestampCheck::Restart
            } else {
                TimestampCheck::Plausible
            };
        }
        let agrees = self
            .stray
            .is_some_and(|(last, expected)| number > last && start.abs_diff(expected) <= far);
        self.stray = newer.then_some((number, end));
        // Audio that goes on where all earlier ended is no stray: the sender stood still.
        if agrees || self.line.goes_on_with(number, start) {
            self.stray = None;
            TimestampCheck::Restart
        } else if ahead {
            TimestampCheck::Ahead
        } else {
            TimestampCheck::Behind
        }
    }

    /// Puts samples where they belong. Their time is within reach of the cursor.
    pub(super) fn accept(
        &mut self,
        start: u64,
        number: u64,
        samples: &[i16],
        at_ns: u64,
        accounting: Accounting<'_>,
    ) -> Taken {
        let end = start + (samples.len() / self.channels) as u64;
        let mut run = Run {
            start,
            end,
            first: number,
            last: number,
            paused: false,
            fresh: number <= self.segment_first,
        };
        if self.line.is_newer(number) && self.line.buffer.is_empty() {
            let room = self.control.room_to_grow(self.line.shift());
            self.line.settle_dry(&run, room, accounting);
        }
        let cursor = self.line.cursor();
        if start > cursor + self.latency_cap {
            let to = start - self.control.needed();
            self.line.pass(to, Discard::LatencyCap, accounting);
        }
        self.control.moved(self.line.moved(), at_ns);
        let late = cursor.clamp(start, end) - start;
        accounting.late(start, start + late);
        run.start += late;
        let samples = &samples[late as usize * self.channels..];
        let new = if samples.is_empty() {
            0
        } else if let Ok(new) = self.line.buffer.insert(run, samples) {
            new
        } else {
            accounting.discarded(Discard::LatencyCap, run.start, run.end - run.start);
            0
        };
        Taken { new, late }
    }
}

/// The verdict on a packet's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampCheck {
    Plausible,
    /// The stream restarts with it.
    Restart,
    /// Far ahead of what came before.
    Ahead,
    /// Far behind what was played.
    Behind,
}
