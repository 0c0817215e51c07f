//! Places packets on the line, as the judge ruled.

use std::time::Duration;

use crate::{
    ledger::{Discard, Packet},
    stream::Stream,
};

use super::{
    Judged, PIECE_MS, Playout,
    accounting::Accounting,
    buffer::{Run, Samples},
    judge::{Mark, Ruling},
    line,
};

/// The numbers of a new segment begin so far above the last of the one before it: more than a packet may be behind the
/// first, and so little that those of packets that still wait are remembered.
const SEGMENT_NUMBERS: u64 = 128;

/// The packet that the judge lets wait: its samples or its payload, and its length, which is 0 if none does.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) samples: Vec<i16>,
    pub(super) payload: Vec<u8>,
    pub(super) length: u64,
}

impl Held {
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.payload.clear();
        self.length = 0;
    }
}

/// The fate of some samples per channel.
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    new: u64,
    late: u64,
}

impl Playout {
    /// Takes the samples of a packet that was judged, interleaved: as many as its mark says. Counts late packets.
    /// Allocates only where a packet has to wait for the next.
    pub fn insert(&mut self, judged: Judged, samples: &[i16], stream: &mut Stream) {
        if judged.is_taken() {
            self.place(judged.mark, Samples::Decoded(samples), stream);
        } else if let Ruling::Waits { .. } = judged.ruling {
            self.held.samples.extend_from_slice(samples);
            self.held.length = judged.mark.length();
        }
    }

    /// The same of its payload, of the [codec](Self::set_codec) that was set. One with state decodes in its
    /// turn; a payload that such a codec cannot have made is counted then.
    pub fn insert_payload(&mut self, judged: Judged, payload: &[u8], stream: &mut Stream) {
        if judged.is_taken() {
            self.place_payload(judged.mark, payload, stream);
        } else if let Ruling::Waits { .. } = judged.ruling {
            self.held.payload.extend_from_slice(payload);
            self.held.length = judged.mark.length();
        }
    }

    /// Puts a packet where it belongs. Never allocates.
    pub(super) fn place(&mut self, mark: Mark, samples: Samples<'_>, stream: &mut Stream) {
        let (number, start) = self.locate(mark, stream);
        self.put(number, start, samples, mark.at_ns, stream);
    }

    /// The number of a packet on the line, and the time of its first sample; the first of a segment plays after its
    /// arrival and the playout delay.
    pub(super) fn locate(&mut self, mark: Mark, stream: &mut Stream) -> (u64, u64) {
        let number = self.number(mark.number);
        self.line.numbers.mark(number, true);
        self.line.ended = false;
        let at_ns = mark.at_ns;
        let base = self.time_base.unwrap_or_else(|| {
            if !std::mem::take(&mut self.resumes) {
                stream.account().begin_segment();
            }
            self.anchor(number, at_ns, stream).wrapping_sub(mark.start)
        });
        self.time_base = Some(base);
        let start = mark.start.wrapping_add(base);
        let network = stream.account().network();
        let shift = self.line.shift();
        self.control.observe(start, at_ns, shift, network);
        self.line.note_length(mark.length());
        (number, start)
    }

    /// Puts the samples of a packet on the line, and counts it if it is late.
    pub(super) fn put(
        &mut self,
        number: u64,
        start: u64,
        samples: Samples<'_>,
        at_ns: u64,
        stream: &mut Stream,
    ) {
        let accounting = self.accounting(stream);
        let (mut new, mut late) = (0, 0);
        let piece = self.samples(PIECE_MS).max(1) as usize;
        let length = samples.len() / self.channels;
        for at in (0..length).step_by(piece) {
            let to = length.min(at + piece);
            let samples = samples.part(at * self.channels..to * self.channels);
            let taken = self.accept(start + at as u64, number, samples, at_ns, accounting);
            new += taken.new;
            late += taken.late;
        }
        if late > 0 {
            accounting.count(Packet::Late);
        } else if new == 0 {
            accounting.count(Packet::Duplicate);
        }
    }

    /// The packet that waited belongs on the line.
    pub(super) fn place_held(&mut self, mark: Mark, stream: &mut Stream) {
        let mut held = std::mem::take(&mut self.held);
        if held.payload.is_empty() {
            self.place(mark, Samples::Decoded(&held.samples), stream);
        } else {
            self.place_payload(mark, &held.payload, stream);
        }
        held.clear();
        self.held = held;
    }

    /// No packet shows any more what the one that waits is.
    pub(super) fn settle_held(&mut self, stream: &mut Stream) {
        match self.judge.take_suspect() {
            Some((late, true)) => self.place_held(late, stream),
            _ => self.discard_held(stream),
        }
    }

    /// The packet that waited was of no beginning.
    pub(super) fn discard_held(&mut self, stream: &mut Stream) {
        let length = self.held.length;
        self.accounting(stream)
            .discarded(Discard::Ended, line::START, length);
        self.held.clear();
    }

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
    fn anchor(&mut self, number: u64, at_ns: u64, stream: &Stream) -> u64 {
        let origin = *self.origin.get_or_insert_with(|| {
            let tick = self.next_tick.unwrap_or(self.clock.next_tick(at_ns));
            let origin = self.clock.start_of(tick);
            self.cuts.begin(stream.account());
            self.output.begin(origin);
            self.control.begin(self.clock.due_ns(tick));
            origin
        });
        let plays_ns = at_ns + self.control.first_ns();
        let since = Duration::from_nanos(plays_ns.saturating_sub(self.clock.first_ns));
        let place = self.clock.samples_of(since);
        let rates = self.output.rates();
        let ahead = rates.to_source(place) as i64
            - rates.to_source(origin) as i64
            - self.line.played() as i64;
        // A packet that waited for the next one plays at once, unless all after it would be too late by that: then it
        // is late.
        let ahead = if -ahead > self.control.surplus() {
            ahead
        } else {
            ahead.max(0)
        };
        self.segment_first = number;
        let start = self.line.cursor().wrapping_add_signed(ahead);
        start.max(self.line.buffer.newest().unwrap_or(0))
    }

    /// Puts samples where they belong. Their time is within reach of the cursor.
    fn accept(
        &mut self,
        start: u64,
        number: u64,
        samples: Samples<'_>,
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
            made: false,
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
        let late = self.line.passed().clamp(start, end) - start;
        self.line.late(start, start + late, accounting);
        run.start += late;
        let samples = samples.part(late as usize * self.channels..samples.len());
        let new = if run.start == end {
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
