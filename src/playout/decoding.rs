//! Payloads of a codec with state: they wait for their turn, and are decoded in order.
//!
//! A decoder's state goes on from packet to packet. So a packet is decoded when all before it were, or when the
//! time before it is due: the decoder then makes up what is missing, from the in-band FEC of the packet behind it or by
//! its own concealment. The missing numbers are closed by that: a packet that comes for one of them is late.
//!
//! Made-up samples stand on the line as a run of their own, and are counted as concealed when they play. A codec
//! without concealment leaves a gap, which the line conceals.

use std::ops::Range;

use crate::{
    audio::{Codec, Decoder, Format},
    ledger::{Discard, Packet},
    stream::Stream,
};

use super::{
    Playout, STEP_MS,
    buffer::{Run, Samples},
    judge::Mark,
    line,
};

/// Payloads that may wait at once, and their bytes. With more of either, what is missing before the first is
/// given up.
const WAITING_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 15;
/// A longer gap for each packet that is missing has a pause in it, and no decoder makes up longer ones. In
/// milliseconds.
const MISSING_MS_MAX: u64 = 200;
const GAP_MS_MAX: u64 = 1000;

/// A packet on the line: its number and the time of its first sample there, its length, and when it came.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: u64,
    start: u64,
    length: u64,
    at_ns: u64,
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    bytes: Range<usize>,
}

#[derive(Debug)]
pub(super) struct Decoding {
    decoder: Box<dyn Decoder>,
    channels: usize,
    /// Sorted by number.
    waiting: Vec<Waiting>,
    /// The payloads, in the order in which they came. Those that were decoded are left until room is needed.
    bytes: Vec<u8>,
    /// The highest number that is closed, and the time after it; none at the beginning.
    last: Option<u64>,
    end: u64,
    /// The samples that were decoded, or made up, last.
    samples: Vec<i16>,
}

impl Decoding {
    /// Bytes of what may wait.
    pub(super) fn waiting_bytes() -> u64 {
        (WAITING_MAX * size_of::<Waiting>() + BYTES_MAX) as u64
    }

    /// Allocates room for what may wait; for samples when a packet is longer than all before it.
    pub(super) fn new(codec: Codec, format: Format) -> Self {
        Self {
            decoder: codec.decoder(format),
            channels: format.channels().into(),
            waiting: Vec::with_capacity(WAITING_MAX),
            bytes: Vec::with_capacity(BYTES_MAX),
            last: None,
            end: 0,
            samples: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn first(&self) -> Option<Place> {
        self.waiting.first().map(|waiting| waiting.place)
    }

    /// Keeps a payload. False if there is no room.
    fn insert(&mut self, place: Place, payload: &[u8]) -> bool {
        if self.bytes.len() + payload.len() > BYTES_MAX {
            self.make_room();
        }
        let start = self.bytes.len();
        if self.waiting.len() == WAITING_MAX || start + payload.len() > BYTES_MAX {
            return false;
        }
        self.bytes.extend_from_slice(payload);
        let bytes = start..self.bytes.len();
        let behind = |other: &Waiting| other.place.number < place.number;
        let index = self.waiting.partition_point(behind);
        self.waiting.insert(index, Waiting { place, bytes });
        true
    }

    /// Moves the payloads that wait to the front.
    fn make_room(&mut self) {
        let mut end = 0;
        // In the order of their bytes, none is written over before it was moved.
        self.waiting
            .sort_unstable_by_key(|waiting| waiting.bytes.start);
        for waiting in &mut self.waiting {
            let length = waiting.bytes.len();
            self.bytes.copy_within(waiting.bytes.clone(), end);
            waiting.bytes = end..end + length;
            end += length;
        }
        self.waiting
            .sort_unstable_by_key(|waiting| waiting.place.number);
        self.bytes.truncate(end);
    }

    /// Decodes the first payload. Returns its place, and whether the payload was whole.
    fn decode_first(&mut self) -> Option<(Place, bool)> {
        if self.waiting.is_empty() {
            return None;
        }
        let Waiting { place, bytes } = self.waiting.remove(0);
        self.samples.clear();
        self.samples
            .resize(place.length as usize * self.channels, 0);
        let decoded = self
            .decoder
            .decode(&self.bytes[bytes], &mut self.samples)
            .is_ok();
        if self.waiting.is_empty() {
            self.bytes.clear();
        }
        self.last = Some(place.number);
        self.end = place.start + place.length;
        Some((place, decoded))
    }

    /// Makes up so many samples; the last of a gap, if `recovers`. False if the codec makes up nothing.
    fn make_up(&mut self, length: u64, recovers: bool) -> bool {
        self.samples.clear();
        self.samples.resize(length as usize * self.channels, 0);
        match self.waiting.first().filter(|_| recovers) {
            Some(next) => {
                let next = &self.bytes[next.bytes.clone()];
                self.decoder.recover(next, &mut self.samples)
            }
            None => self.decoder.conceal(&mut self.samples),
        }
    }
}

impl Playout {
    /// The packets to come are of this codec, in the format of the playout. Allocates.
    pub fn set_codec(&mut self, codec: Codec, format: Format, stream: &mut Stream) {
        self.settle_held(stream);
        self.decode_all(stream);
        self.encoding = codec.stateless();
        let stateful = self.encoding.is_none();
        self.decoding = stateful.then(|| Box::new(Decoding::new(codec, format)));
    }

    pub(super) fn place_payload(&mut self, mark: Mark, payload: &[u8], stream: &mut Stream) {
        if let Some(encoding) = self.encoding {
            return self.place(mark, Samples::Encoded(encoding, payload), stream);
        }
        let (number, start) = self.locate(mark, stream);
        let place = Place {
            number,
            start,
            length: mark.length(),
            at_ns: mark.at_ns,
        };
        while let Some(decoding) = &mut self.decoding {
            if decoding.last.is_some_and(|last| number <= last) {
                let accounting = self.accounting(stream);
                accounting.count(Packet::Late);
                self.line.late(start, start + place.length, accounting);
                return;
            }
            if decoding.insert(place, payload) {
                break;
            }
            if decoding.is_empty() {
                let accounting = self.accounting(stream);
                accounting.discarded(Discard::LatencyCap, start, place.length);
                return;
            }
            self.close_gap(stream);
        }
        self.decode_in_order(stream);
    }

    /// Decodes all before the time that `wanted` samples from the cursor on take.
    pub(super) fn decode_due(&mut self, wanted: u64, stream: &mut Stream) {
        self.decode_in_order(stream);
        let due = |playout: &Self| {
            playout.decoding.as_ref().is_some_and(|decoding| {
                !decoding.is_empty() && decoding.end < playout.line.cursor() + wanted
            })
        };
        while due(self) {
            self.close_gap(stream);
        }
    }

    /// Decodes the payloads that wait; another sender begins.
    pub(super) fn decode_all(&mut self, stream: &mut Stream) {
        while self
            .decoding
            .as_ref()
            .is_some_and(|decoding| !decoding.is_empty())
        {
            self.close_gap(stream);
        }
        if let Some(decoding) = &mut self.decoding
            && decoding.last.take().is_some()
        {
            decoding.decoder.reset();
        }
    }

    /// Drops the payloads that wait.
    pub(super) fn discard_undecoded(&mut self, stream: &mut Stream) {
        let accounting = self.accounting(stream);
        if let Some(decoding) = &mut self.decoding {
            for Waiting { place, .. } in decoding.waiting.drain(..) {
                accounting.discarded(Discard::Ended, line::START, place.length);
            }
            decoding.bytes.clear();
        }
    }

    /// How many packets of audio are missing before the first that waits; none if none waits.
    fn missing_before_first(&self) -> Option<u64> {
        let decoding = self.decoding.as_ref()?;
        let first = decoding.first()?;
        let missing = |last| self.line.numbers.sounding(last, first.number);
        Some(decoding.last.map_or(0, missing))
    }

    fn decode_in_order(&mut self, stream: &mut Stream) {
        while self.missing_before_first() == Some(0) {
            self.decode_first(stream);
        }
    }

    fn decode_first(&mut self, stream: &mut Stream) {
        let decoding = self.decoding.as_mut();
        let Some((place, decoded)) = decoding.and_then(|decoding| decoding.decode_first()) else {
            return;
        };
        if decoded {
            self.with_decoded(|playout, samples| {
                let samples = Samples::Decoded(samples);
                playout.put(place.number, place.start, samples, place.at_ns, stream);
            });
        } else {
            self.undecodable += 1;
            self.accounting(stream).count(Packet::Malformed);
        }
    }

    /// Gives up what is missing before the first payload, has the decoder make it up, and decodes the first.
    fn close_gap(&mut self, stream: &mut Stream) {
        if let (Some(missing @ 1..), Some(decoding)) = (self.missing_before_first(), &self.decoding)
            && let (Some(last), Some(first)) = (decoding.last, decoding.first())
        {
            let gap = first.start.saturating_sub(decoding.end);
            let longest = self.samples(MISSING_MS_MAX * missing.min(GAP_MS_MAX / MISSING_MS_MAX));
            if (1..=longest).contains(&gap) {
                self.make_up(last, first, gap);
            }
        }
        self.decode_first(stream);
        self.decode_in_order(stream);
    }

    /// Makes up a gap before the first payload. Where the line is past the beginning of the gap, it conceals the rest
    /// itself, and only the decoder's state goes on; so it does where nothing is to be concealed.
    fn make_up(&mut self, last: u64, first: Place, gap: u64) {
        let plays = self.line.concealer.is_some() && self.line.cursor() + gap <= first.start;
        let (mut at, step) = (first.start - gap, self.samples(4 * STEP_MS).max(1));
        let recovered = first.start - first.length.min(gap);
        while at < first.start {
            let (length, recovers) = match recovered.saturating_sub(at) {
                0 => (first.start - at, true),
                left => (left.min(step), false),
            };
            let decoding = self.decoding.as_mut();
            if !decoding.is_some_and(|decoding| decoding.make_up(length, recovers)) {
                return;
            }
            let run = Run {
                start: at,
                end: at + length,
                first: last + 1,
                last: first.number - 1,
                paused: false,
                fresh: false,
                made: true,
            };
            if plays {
                self.with_decoded(|playout, samples| {
                    // Where there is no room for one more gap, the line conceals it.
                    let _ = playout.line.buffer.insert(run, Samples::Decoded(samples));
                });
            }
            at += length;
        }
    }

    /// Lends what was decoded last.
    fn with_decoded(&mut self, use_it: impl FnOnce(&mut Self, &[i16])) {
        let lent = |playout: &mut Self| {
            playout
                .decoding
                .as_mut()
                .map(|it| std::mem::take(&mut it.samples))
        };
        if let Some(samples) = lent(self) {
            use_it(self, &samples);
            if let Some(decoding) = &mut self.decoding {
                decoding.samples = samples;
            }
        }
    }
}
