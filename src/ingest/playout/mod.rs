//! The playout of one network stream: from decoded packets to places on the mix's clock.
//!
//! Packets come in any order, of any length, in bursts or not at all. A [`Playout`] holds them until
//! their time has come, and gives each tick of the mix exactly its block: the sender's samples where
//! they came in time, concealment where they are missing, nothing where the sender is silent. Every
//! sample is accounted for, and the stream never slips against the clock unnoticed.
//!
//! It is pure and passive: time is an argument, and nothing happens but what is called for. All memory
//! is taken at construction; a packet costs its copy.
//!
//! ```text
//!   push ──► buffer ──► line ──────────► output ──► ring
//!            by time    the cursor:      to the     on the
//!            stamp      gap or pause     bus        mix's clock
//! ```

mod books;
mod buffer;
mod line;
mod numbers;
mod output;

use std::time::Duration;

use crate::{
    audio::ConvertError,
    ingest::{MixClock, Stream},
    ledger::{Discard, Packet},
};

use self::{books::Books, buffer::Run, line::Line, output::Output};

/// How long the samples of a packet wait before they play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// As long as this, for ever: what comes later is late.
    Fixed(Duration),
    /// As long as the jitter asks for.
    Adaptive {
        /// Never shorter than this.
        floor: Duration,
        /// Never longer than this.
        ceiling: Duration,
    },
}

/// What a playout is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutSettings {
    /// The playout delay.
    pub delay: Delay,
    /// What lies further behind than this is discarded, oldest first. At least twice the longest
    /// delay is taken in any case.
    pub latency_cap: Duration,
    /// Whether gaps are filled with what came before them, or with silence.
    pub conceal: bool,
}

/// A packet that came, decoded.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// Its number, extended to 64 bits.
    pub sequence: u64,
    /// The time of its first sample, in samples per channel, extended to 64 bits.
    pub timestamp: u64,
    /// Interleaved, at the source's rate.
    pub samples: &'a [i16],
    /// When it came, on the monotonic clock.
    pub at_ns: u64,
}

/// A block is topped up at most so much of a period before it is due.
const LEAD_PERCENT: u64 = 75;
/// A packet further off than this is believed only if the next agrees with it. In milliseconds.
const STRAY_MS: u64 = 500;
/// After so much that came late in a row, the stream begins anew. In milliseconds.
const RESTART_MS: u64 = 500;
/// Longer packets are taken in pieces of this. In milliseconds.
const PIECE_MS: u64 = 100;
/// One lost packet may have been this long, if none was longer. In milliseconds.
const PACKET_MS: u64 = 20;
/// A converter is fed in pieces of this. In milliseconds.
const STEP_MS: u64 = 5;
/// Samples are played in pieces of at most this, interleaved.
const PLAYED: usize = 960;
/// The numbers of a new segment begin so far above the last of the one before it.
const SEGMENT_NUMBERS: u64 = 1 << 16;

/// One stream's playout. See the [module](self).
#[derive(Debug)]
pub struct Playout {
    settings: PlayoutSettings,
    clock: MixClock,
    channels: usize,
    rate_hz: u64,
    line: Line,
    output: Output,
    /// Where the line begins in the mix, once the first packet came.
    origin: Option<u64>,
    /// The first tick that was not topped up.
    next_tick: Option<u64>,
    /// What is added to the sender's time stamps and numbers: none before a segment's first packet.
    time_base: Option<u64>,
    number_base: Option<u64>,
    /// Packets without numbers that came.
    appended: u64,
    /// The first number of the segment.
    segment_first: u64,
    /// A packet far off: its number, and the time after it.
    stray: Option<(u64, u64)>,
    /// Samples in a row that came late.
    late_run: u64,
    latency_cap: u64,
    piece: Box<[i16]>,
}

impl Playout {
    /// A playout for a source of this rate and these channels. Allocates all it needs.
    ///
    /// # Errors
    /// If such a source cannot be converted to the format of the mix.
    pub fn new(
        settings: PlayoutSettings,
        rate_hz: u32,
        channels: u16,
        clock: MixClock,
    ) -> Result<Self, ConvertError> {
        let output = Output::new(rate_hz, channels, &clock)?;
        let channels = usize::from(channels);
        let samples = |ms: u64| ms * u64::from(rate_hz) / 1000;
        let longest = match settings.delay {
            Delay::Fixed(delay) => delay,
            Delay::Adaptive { ceiling, .. } => ceiling,
        };
        let latency_cap = settings.latency_cap.max(longest * 2);
        let latency_cap = samples(latency_cap.as_millis() as u64);
        let capacity = latency_cap + samples(STRAY_MS + 2 * PIECE_MS);
        Ok(Self {
            settings,
            clock,
            channels,
            rate_hz: u64::from(rate_hz),
            line: Line::new(capacity as usize, channels, samples(PACKET_MS)),
            output,
            origin: None,
            next_tick: None,
            time_base: None,
            number_base: None,
            appended: 0,
            segment_first: 0,
            stray: None,
            late_run: 0,
            latency_cap,
            piece: vec![0; PLAYED.max(channels) / channels * channels].into(),
        })
    }

    /// Takes a packet. Counts duplicates and late packets; that it came at all, and in which order, is
    /// the caller's to count. Never allocates.
    pub fn push(&mut self, arrived: Arrived<'_>, stream: &mut Stream) {
        let Arrived {
            sequence,
            timestamp,
            samples,
            at_ns,
        } = arrived;
        let books = Books {
            account: stream.account(),
            rates: self.output.rates(),
        };
        let number = self.number(sequence);
        if self.line.numbers.mark(number) {
            books.count(Packet::Duplicate);
            return;
        }
        let frames = (samples.len() / self.channels) as u64;
        self.line.note_length(frames);
        let known = self.time_base.map(|base| timestamp.wrapping_add(base));
        let belief = known.map_or(Belief::Plausible, |start| {
            self.belief(start, frames, number)
        });
        let books = Books {
            account: stream.account(),
            rates: self.output.rates(),
        };
        let start = match (known, belief) {
            (Some(start), Belief::Plausible) => start,
            (Some(_), Belief::Ahead) => {
                books.discarded(Discard::Ended, line::START, frames);
                return;
            }
            (Some(_), Belief::Behind) => {
                books.count(Packet::Late);
                books.late(line::START, line::START + frames);
                return;
            }
            (None, _) | (_, Belief::Restart) => {
                if known.is_some() {
                    books.account.begin_segment();
                }
                let start = self.anchor(number, at_ns);
                self.time_base = Some(start.wrapping_sub(timestamp));
                self.late_run = 0;
                start
            }
        };
        let (mut new, mut late) = (0, 0);
        let piece = (PIECE_MS * self.rate_hz / 1000) as usize;
        let samples = &samples[..frames as usize * self.channels];
        for (index, samples) in samples.chunks(piece * self.channels).enumerate() {
            let start = start + (index * piece) as u64;
            let taken = self.accept(start, number, samples, books);
            new += taken.new;
            late += taken.late;
        }
        if late > 0 {
            books.count(Packet::Late);
        } else if new == 0 && frames > 0 {
            books.count(Packet::Duplicate);
        }
        self.late_run = if new == 0 { self.late_run + late } else { 0 };
    }

    /// Takes samples of a transport that numbers nothing and loses nothing. They follow what came before
    /// them; if all of that was played, they play after the playout delay. Never allocates.
    pub fn append(&mut self, samples: &[i16], at_ns: u64, stream: &mut Stream) {
        let sequence = self.appended;
        self.appended += 1;
        let next = self.line.buffer.newest().unwrap_or(self.line.cursor());
        if self.line.is_dry() {
            self.time_base = None;
        }
        let timestamp = self.time_base.map_or(next, |base| next.wrapping_sub(base));
        let arrived = Arrived {
            sequence,
            timestamp,
            samples,
            at_ns,
        };
        self.push(arrived, stream);
    }

    /// A packet came that carries no audio: its number is no loss.
    pub fn note(&mut self, sequence: u64) {
        let number = self.number(sequence);
        self.line.numbers.mark(number);
    }

    /// The sender is silent from this time on (comfort noise): until the next packet of audio.
    pub fn pause(&mut self, timestamp: u64, stream: &mut Stream) {
        let Some(base) = self.time_base else { return };
        let books = Books {
            account: stream.account(),
            rates: self.output.rates(),
        };
        let at = timestamp.wrapping_add(base);
        let ahead = at.wrapping_sub(self.line.cursor()) as i64;
        if ahead.unsigned_abs() <= self.latency_cap {
            self.line.pause(at, books);
        }
    }

    /// The numbers and times of the packets to come have nothing to do with those before. What waits is
    /// played; the next packet plays after it, when its playout delay has passed.
    pub fn begin_segment(&mut self, stream: &mut Stream) {
        stream.account().begin_segment();
        self.time_base = None;
        self.number_base = None;
        self.stray = None;
        self.late_run = 0;
    }

    /// The sender is done. What waits is played by the ticks to come, until there is
    /// [nothing](Self::is_empty).
    pub fn end(&mut self, _stream: &mut Stream) {
        self.line.ended = true;
    }

    /// What waits is not played, but discarded, and accounted for: the stream ends at once, or goes on
    /// with another playout.
    pub fn abandon(&mut self, stream: &mut Stream) {
        let books = Books {
            account: stream.account(),
            rates: self.output.rates(),
        };
        if let Some(newest) = self.line.buffer.newest() {
            self.line.pass(newest, Discard::Ended, books);
        }
    }

    /// Whether nothing waits to be played.
    pub fn is_empty(&self) -> bool {
        let sounded = self.output.rates().to_bus(self.line.sounded());
        self.line.buffer.is_empty()
            && self
                .origin
                .is_none_or(|origin| self.output.at() >= origin + sounded)
    }

    /// Places the block of this tick, and of those before it that were passed over. Does nothing for a
    /// tick that was topped up. Never allocates, but for what a converter grows by at first.
    pub fn top_up(&mut self, tick: u64, stream: &mut Stream) {
        if self.next_tick.is_some_and(|next| tick < next) {
            return;
        }
        self.next_tick = Some(tick + 1);
        if self.origin.is_none() {
            return;
        }
        let end = self.clock.start_of(tick + 1);
        while self.output.wants(end) {
            let missing = self.missing(end);
            let books = Books {
                account: stream.account(),
                rates: self.output.rates(),
            };
            let piece = &mut self.piece[..missing];
            let (sound, count) = self.line.play(piece, books);
            self.output
                .give(sound, &piece[..count * self.channels], stream);
        }
        self.output.place_until(end, stream);
    }
}

/// What became of some samples per channel.
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    new: u64,
    late: u64,
}

impl Playout {
    /// The number of a packet, one row for all segments.
    fn number(&mut self, sequence: u64) -> u64 {
        let base = self.number_base.get_or_insert_with(|| {
            let newest = self.line.numbers.newest().unwrap_or(0);
            (newest + SEGMENT_NUMBERS).wrapping_sub(sequence)
        });
        sequence.wrapping_add(*base)
    }

    /// The line's time for a first packet: it plays when the playout delay has passed, and after all that
    /// waits.
    fn anchor(&mut self, number: u64, at_ns: u64) -> u64 {
        let lead = self.clock.period_ns * LEAD_PERCENT / 100;
        let delay = match self.settings.delay {
            Delay::Fixed(delay) => delay,
            Delay::Adaptive { floor, .. } => floor,
        };
        let delay_ns = (delay.as_nanos() as u64).max(lead);
        let origin = *self.origin.get_or_insert_with(|| {
            let tick = self.next_tick.unwrap_or(self.clock.next_tick(at_ns));
            let origin = self.clock.start_of(tick);
            self.output.begin(origin);
            origin
        });
        let tick = self.clock.next_tick(at_ns + delay_ns);
        let place = self.clock.start_of(tick).saturating_sub(origin);
        let place = self.output.rates().to_source(place);
        let (cursor, played) = (self.line.cursor(), self.line.played());
        let start = cursor + place.saturating_sub(played);
        self.segment_first = number;
        start.max(self.line.buffer.newest().unwrap_or(0))
    }

    /// Whether the time of a packet can be true. One that is far from where it should be is dropped,
    /// unless the one before was there too: then the sender's clock jumped, or stood still, and the
    /// stream begins anew.
    fn belief(&mut self, start: u64, frames: u64, number: u64) -> Belief {
        let (far, cursor) = (self.samples(STRAY_MS), self.line.cursor());
        let next = self.line.buffer.newest().unwrap_or(cursor).max(cursor);
        let end = start.wrapping_add(frames);
        let ahead = start.wrapping_sub(next) as i64 > far as i64;
        let behind = cursor.wrapping_sub(end) as i64;
        let newer = self.line.is_newer(number);
        if !ahead && (!newer || behind <= far as i64) {
            let restart = newer && behind > 0 && self.late_run > self.samples(RESTART_MS);
            if newer {
                self.stray = None;
            }
            return if restart {
                Belief::Restart
            } else {
                Belief::Plausible
            };
        }
        let agrees = self
            .stray
            .is_some_and(|(last, expected)| number > last && start.abs_diff(expected) <= far);
        self.stray = newer.then_some((number, end));
        if agrees {
            self.stray = None;
            Belief::Restart
        } else if ahead {
            Belief::Ahead
        } else {
            Belief::Behind
        }
    }

    /// Puts samples where they belong. Their time is within reach of the cursor.
    fn accept(&mut self, start: u64, number: u64, samples: &[i16], books: Books<'_>) -> Taken {
        let end = start + (samples.len() / self.channels) as u64;
        let mut run = Run {
            start,
            end,
            first: number,
            last: number,
            paused: false,
            fresh: number <= self.segment_first,
        };
        let overdue = self.line.cursor().saturating_sub(start);
        if self.line.is_newer(number) && self.line.buffer.is_empty() {
            let growth = overdue.min(self.room_to_grow());
            self.line.settle_dry(&run, growth, books);
        }
        let cursor = self.line.cursor();
        if start > cursor + self.latency_cap {
            let to = start - self.target();
            self.line.pass(to, Discard::LatencyCap, books);
        }
        let late = cursor.clamp(start, end) - start;
        books.late(start, start + late);
        run.start += late;
        let samples = &samples[late as usize * self.channels..];
        let new = if samples.is_empty() {
            0
        } else if let Ok(new) = self.line.buffer.insert(run, samples) {
            new
        } else {
            books.discarded(Discard::LatencyCap, run.start, run.end - run.start);
            0
        };
        Taken { new, late }
    }

    /// How many samples the delay may grow by.
    fn room_to_grow(&self) -> u64 {
        match self.settings.delay {
            Delay::Fixed(_) => 0,
            Delay::Adaptive { floor, ceiling } => {
                let room = (ceiling - floor).as_millis() as i64 * self.rate_hz as i64 / 1000;
                (room - self.line.shift()).max(0) as u64
            }
        }
    }

    /// What is left behind the cursor when the latency cap is passed.
    fn target(&self) -> u64 {
        let delay = match self.settings.delay {
            Delay::Fixed(delay) => delay,
            Delay::Adaptive { floor, .. } => floor,
        };
        self.samples(delay.as_millis() as u64)
    }

    /// How many samples to play next, interleaved: no more than the mix needs up to this index.
    fn missing(&self, end: u64) -> usize {
        let rates = self.output.rates();
        let mut missing = rates.to_source(end - self.output.at()).max(1);
        if self.output.converts() {
            // How much it needs beyond what it gives is its own business: small steps find out.
            missing = missing.min(self.samples(STEP_MS).max(1));
        }
        (missing as usize * self.channels).min(self.piece.len())
    }

    fn samples(&self, ms: u64) -> u64 {
        ms * self.rate_hz / 1000
    }
}

/// What is to be thought of a packet's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Plausible,
    /// The stream begins anew with it.
    Restart,
    /// Far ahead of what came before.
    Ahead,
    /// Far behind what was played.
    Behind,
}

#[cfg(test)]
mod tests;
