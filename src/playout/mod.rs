//! The playout of one network stream: from packets to places on the mix's clock.
//!
//! Packets come in any order, of any length, in bursts or not at all. A [`Playout`] holds them until
//! their time has come, and fills exactly one block for each tick of the mix: the sender's samples where
//! they came in time, concealment where they are missing, nothing where the sender is silent. Every
//! sample is accounted for, and the stream never slips against the clock unnoticed.
//!
//! It is pure and passive: time is an argument, and nothing happens but what is called for. All memory
//! is taken at construction, and bounded by the latency cap. A packet and its block cost a few hundred
//! nanoseconds, and some microseconds where the rate is converted.
//!
//! ```text
//!   push ──► arrival ──► buffer ──► line ──────► output ──► ring
//!            where it    by time    the cursor   to the     on the
//!            belongs     stamp      of the mix   bus        mix's clock
//!             │  │          ▲          ▲
//!             │  └ decoding ┘          │    a codec with state, in order
//!             └──► control ────────────┘    jitter, drift: how the cursor moves
//! ```
//!
//! # Moves against the clock
//! - *Jitter*, if the delay is adaptive. A packet that is next in order and finds the stream dry is not
//!   dropped: the stream goes on after it, and the dry time has become delay. A delay that is too long
//!   for two seconds is cut where it is silent, 5 ms at a time, and after six seconds in speech, too, under a
//!   cross-fade; what is cut is counted as discarded, and is an event. A delay that is too short grows in silence.
//! - *Stalls*, if the delay is fixed: what a stall of a segment's beginning adds to it is cut after a second and a half.
//! - *Drift*: samples are played twice, or left out, one at a time, each under a cross-fade. That is
//!   resampling: it is counted neither as discarded nor as missed. A sender on an exact clock is left
//!   alone, bit for bit.
//! - *The latency cap*, and clocks that jump or stand still.
//!
//! Elsewhere the sender's samples are placed as they came.

mod accounting;
mod arrival;
mod buffer;
mod conceal;
mod control;
mod cuts;
mod decoding;
mod drift;
mod fade;
mod jitter;
mod judge;
mod line;
mod missed;
mod numbers;
mod output;
mod placing;

use std::time::Duration;

use crate::{
    audio::{Codec, ConvertError, Encoding, MixClock},
    ledger::{Discard, Packet},
    stream::Stream,
};

#[cfg(test)]
pub(crate) use self::output::{Sound, placed};
use self::{
    accounting::Accounting,
    arrival::Held,
    buffer::Samples,
    control::Control,
    cuts::Cuts,
    decoding::Decoding,
    judge::{Judge, Ruling},
    line::Line,
    output::Output,
};

pub use self::judge::{Judged, Mark};

/// How long the samples of a packet wait before they play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// As long as this, for ever: what comes later is late. At least a period of the mix and its
    /// lead, since a block is made whole and ahead of its tick, and 28 ms more, or a little longer at
    /// low rates, where the rate is converted.
    Fixed(Duration),
    /// As long as the jitter asks for.
    Adaptive {
        /// Never shorter than this, nor than 4 ms above the least fixed delay.
        floor: Duration,
        /// Never longer than this, unless the least is.
        ceiling: Duration,
    },
}

/// The settings of a playout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutSettings {
    /// The playout delay.
    pub delay: Delay,
    /// Audio that lies further behind than this is discarded, oldest first. At least twice the longest
    /// delay is taken in any case.
    pub latency_cap: Duration,
    /// Whether gaps are filled with what came before them, or with silence.
    pub conceal: bool,
}

impl PlayoutSettings {
    /// The longest wait, in milliseconds.
    fn cap_ms(&self) -> u64 {
        let longest = match self.delay {
            Delay::Fixed(delay) => delay,
            Delay::Adaptive { ceiling, .. } => ceiling,
        };
        let cap = self.latency_cap.max(longest * 2).min(CAP_MAX);
        cap.as_millis() as u64
    }

    /// Bytes of the samples that a playout has room for, of such a source: most of what it takes.
    pub(crate) fn buffer_bytes(&self, rate_hz: u32, channels: u16) -> u64 {
        let ms = self.cap_ms() + 2 * PIECE_MS;
        let samples = (ms * u64::from(rate_hz) / 1000).next_power_of_two();
        2 * samples * u64::from(channels)
    }

    /// Bytes that a codec with state takes beside them: its decoder, and payloads that wait for their turn.
    pub(crate) fn codec_bytes(codec: Codec) -> u64 {
        codec.decoder_bytes() + Decoding::waiting_bytes()
    }
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

/// The judgement on a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to the stream.
    Taken,
    /// It came before.
    Duplicate,
    /// Its number belongs to the stream, and its time or its lateness contradicts: the next packet shows what it
    /// is.
    Held,
    /// Its number contradicts, too.
    Stray,
    /// A segment begins. With numbers of a new row, `first` is that of the row's first packet: this one, or the
    /// one before it, which was a stray until now.
    Begins {
        /// None if the numbers go on.
        first: Option<u64>,
    },
}

/// No latency cap is larger: it is memory.
const CAP_MAX: Duration = Duration::from_secs(60);
/// Longer packets are taken in pieces of this. In milliseconds.
const PIECE_MS: u64 = 100;
/// A converter is fed in pieces of this. In milliseconds.
const STEP_MS: u64 = 5;
/// At most so many blocks are placed before their time.
const AHEAD_BLOCKS: u64 = 2;
/// Samples are played in pieces of at most this, interleaved.
const PLAYED: usize = 960;

/// One stream's playout. See the [module](self).
#[derive(Debug)]
pub struct Playout {
    clock: MixClock,
    channels: usize,
    rate_hz: u64,
    line: Line,
    control: Control,
    output: Output,
    /// Where the line begins in the mix, once the first packet came.
    origin: Option<u64>,
    /// The first tick that was not topped up.
    next_tick: Option<u64>,
    /// The offset added to the sender's time stamps and numbers: none before a segment's first packet.
    time_base: Option<u64>,
    number_base: Option<u64>,
    judge: Judge,
    cuts: Cuts,
    held: Held,
    /// How payloads are decoded: each for itself, or in order. Neither is there if packets come decoded.
    encoding: Option<Encoding>,
    decoding: Option<Box<Decoding>>,
    /// Payloads that failed in their decoder, as far as not taken note of.
    undecodable: u32,
    /// Packets without numbers that came.
    appended: u64,
    /// Whether the next of them goes on after a pause: that is no segment.
    resumes: bool,
    /// The first number of the segment.
    segment_first: u64,
    latency_cap: u64,
    piece: Box<[i16]>,
}

impl Playout {
    /// A playout for a source of this rate and these channels. Allocates all it needs: twice the
    /// latency cap of samples, about, and a filter if they are converted.
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
        let control = Control::new(settings.delay, rate_hz, output.converts(), &clock);
        let judge = Judge::new(rate_hz, control.longest_ns());
        let channels = usize::from(channels);
        let samples = |ms: u64| ms * u64::from(rate_hz) / 1000;
        let latency_cap = samples(settings.cap_ms()).max(2 * control.needed());
        let capacity = latency_cap + samples(2 * PIECE_MS);
        Ok(Self {
            clock,
            channels,
            rate_hz: u64::from(rate_hz),
            line: Line::new(capacity, rate_hz, channels, settings.conceal),
            control,
            output,
            origin: None,
            next_tick: None,
            time_base: None,
            number_base: None,
            judge,
            cuts: Cuts::default(),
            held: Held::default(),
            encoding: None,
            decoding: None,
            undecodable: 0,
            appended: 0,
            resumes: false,
            segment_first: 0,
            latency_cap,
            piece: vec![0; PLAYED.max(channels) / channels * channels].into(),
        })
    }

    /// Takes a packet, and returns the judgement on it: [`judge`](Self::judge) and [`insert`](Self::insert) in one.
    pub fn push(&mut self, arrived: Arrived<'_>, stream: &mut Stream) -> Verdict {
        let samples = arrived.samples;
        let length = (samples.len() / self.channels) as u64;
        if length == 0 {
            return self.note(arrived.sequence, stream).0;
        }
        let mark = Mark {
            number: arrived.sequence,
            start: arrived.timestamp,
            end: arrived.timestamp.wrapping_add(length),
            at_ns: arrived.at_ns,
        };
        let judged = self.judge(mark, stream);
        self.insert(judged, samples, stream);
        judged.verdict()
    }

    /// Judges a packet of audio before its samples are needed. Counts duplicates; that it came at all, and in which
    /// order, is the caller's to count. Never allocates.
    pub fn judge(&mut self, mark: Mark, stream: &mut Stream) -> Judged {
        let late = self.time_base.is_some_and(|base| {
            let ahead = mark.end.wrapping_add(base).wrapping_sub(self.line.cursor());
            ahead as i64 <= 0
        });
        let waited = self.judge.suspect();
        let ruling = self.judge.take(mark, late);
        let waits = matches!(ruling, Ruling::Waits { .. });
        let (held, begins) = match ruling {
            Ruling::Fits { held } => (held, false),
            Ruling::Begins { held, .. } => (held, true),
            Ruling::Duplicate | Ruling::Waits { .. } => (false, false),
        };
        let over = waits || self.judge.suspect().is_none();
        if let Some((late, true)) = waited
            && over
            && !held
        {
            self.place_held(late, stream);
        }
        if begins {
            self.begin_segment(stream);
        }
        let waited = waited.filter(|_| held).map(|(waited, _)| waited);
        if let Some(waited) = waited {
            self.place_held(waited, stream);
        } else if over {
            self.discard_held(stream);
        }
        if ruling == Ruling::Duplicate {
            self.accounting(stream).count(Packet::Duplicate);
        }
        Judged {
            mark,
            ruling,
            first: waited.unwrap_or(mark).number,
        }
    }

    /// The first of what waits; for prefetching.
    pub(crate) fn waiting(&self) -> Option<&impl Sized> {
        self.line.buffer.head()
    }

    /// Where a packet of so many samples goes that follows what waits; for prefetching.
    pub(crate) fn memory_to_insert(&self, samples: u64) -> &[i16] {
        let newest = self.line.buffer.newest();
        let at = newest.unwrap_or(self.line.cursor());
        self.line.buffer.memory(at, samples)
    }

    /// What the next block plays, if it plays as it came; for prefetching.
    pub(crate) fn memory_to_play(&self) -> &[i16] {
        let block = self.output.plain_block().unwrap_or(0);
        self.line.buffer.memory(self.line.cursor(), block)
    }

    /// Takes samples of a transport that numbers nothing and loses nothing. They follow what came before
    /// them; if all of that was played, they play after the playout delay. Never allocates.
    pub(crate) fn append(&mut self, samples: &[i16], at_ns: u64, stream: &mut Stream) {
        let sequence = self.appended;
        self.appended += 1;
        if self.line.is_dry() {
            self.resumes = self.time_base.take().is_some();
        }
        let next = self.line.buffer.newest().unwrap_or(self.line.cursor());
        let timestamp = self.time_base.map_or(next, |base| next.wrapping_sub(base));
        let mark = Mark {
            number: sequence,
            start: timestamp,
            end: timestamp.wrapping_add((samples.len() / self.channels) as u64),
            at_ns,
        };
        self.place(mark, Samples::Decoded(samples), stream);
    }

    /// A packet came that carries no audio: its number is no loss. Returns the judgement, and whether the packet
    /// before it came: if not, audio is missing, or late, before this one.
    pub fn note(&mut self, sequence: u64, stream: &mut Stream) -> (Verdict, bool) {
        let verdict = self.refuse(sequence, stream);
        if verdict != Verdict::Taken {
            return (verdict, true);
        }
        let number = self.number(sequence);
        self.line.numbers.mark(number, false);
        (verdict, self.line.numbers.came(number - 1))
    }

    /// A packet of audio came that cannot be decoded: its time is missing. Returns the judgement.
    pub fn refuse(&mut self, sequence: u64, stream: &mut Stream) -> Verdict {
        match self.judge.note(sequence) {
            Ruling::Duplicate => {
                self.accounting(stream).count(Packet::Duplicate);
                Verdict::Duplicate
            }
            Ruling::Waits { .. } => Verdict::Stray,
            Ruling::Fits { .. } | Ruling::Begins { .. } => Verdict::Taken,
        }
    }

    /// The sender is silent from this time on (comfort noise), until the next packet of audio. Its
    /// packet's number is [noted](Self::note) before.
    pub fn pause(&mut self, timestamp: u64, stream: &mut Stream) {
        let Some(base) = self.time_base else { return };
        let at = timestamp.wrapping_add(base);
        let ahead = at.wrapping_sub(self.line.cursor()) as i64;
        if ahead.unsigned_abs() <= self.latency_cap {
            let accounting = self.accounting(stream);
            self.line.pause(at, accounting);
        }
    }

    /// The numbers and times of the packets to come have nothing to do with those before. Waiting audio is
    /// played; the next packet plays after it, and after its playout delay.
    pub fn restart(&mut self, stream: &mut Stream) {
        self.settle_held(stream);
        self.judge.restart();
        self.begin_segment(stream);
    }

    fn begin_segment(&mut self, stream: &mut Stream) {
        self.decode_all(stream);
        if let Some(tick) = self.next_tick {
            self.control.restart(self.clock.due_ns(tick));
        }
        self.time_base = None;
        self.number_base = None;
    }

    /// The sender is done. Waiting audio is played by the ticks to come, until there is
    /// [nothing](Self::is_empty).
    pub fn end(&mut self, stream: &mut Stream) {
        self.settle_held(stream);
        self.line.ended = true;
        let now_ns = self.next_tick.map_or(0, |tick| self.clock.due_ns(tick));
        self.cuts.look(stream.account(), &self.clock, now_ns, true);
    }

    /// Waiting audio is not played, but discarded, and accounted for: the stream ends at once, or goes on
    /// with another playout.
    pub(crate) fn abandon(&mut self, stream: &mut Stream) {
        self.settle_held(stream);
        self.discard_undecoded(stream);
        let accounting = self.accounting(stream);
        if let Some(newest) = self.line.buffer.newest() {
            self.line.pass(newest, Discard::Ended, accounting);
        }
    }

    /// How many payloads failed in their decoder since the last call. Each is counted in the stream's account.
    pub(crate) fn take_undecodable(&mut self) -> u32 {
        std::mem::take(&mut self.undecodable)
    }

    /// Whether nothing waits to be played.
    pub fn is_empty(&self) -> bool {
        let sounded = self.output.rates().to_bus(self.line.sounded());
        let done = |origin| self.output.at() >= origin + sounded;
        let undecoded = self.decoding.as_ref().is_some_and(|it| !it.is_empty());
        self.line.buffer.is_empty() && !undecoded && self.origin.is_none_or(done)
    }

    fn samples(&self, ms: u64) -> u64 {
        ms * self.rate_hz / 1000
    }

    fn accounting<'a>(&self, stream: &'a Stream) -> Accounting<'a> {
        Accounting {
            account: stream.account(),
            rates: self.output.rates(),
            origin: self.origin.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests;
