//! The audio of one connection on its way into its ring.
//!
//! A stream input outlives its connection: audio received before the end still plays.

mod burst;
mod paced;

use std::fmt::Debug;

use self::burst::Burst;
pub(super) use self::paced::PacedInput;
use super::decoder::Decoder;
use crate::{
    audio::{ConvertError, Converter, Format, MixClock, SampleSpec},
    playout::{Arrived, Playout, PlayoutSettings, Verdict},
    stream::Stream,
};

/// Pieces in which a second of samples is handed to the playout.
const PIECES_PER_SECOND: u32 = 50;

/// One stream's samples, from its connection to its ring. The defaults are those of a sender that is always
/// read, without numbers.
pub(super) trait StreamInput: Debug + Send {
    fn stream(&self) -> &Stream;

    /// How many bytes of its connection to read now, at most; none while the sender is to wait.
    fn read_budget(&self) -> usize {
        usize::MAX
    }

    /// The sender goes on at this rate. Allocates if it is another than before.
    ///
    /// # Errors
    /// If there is no such rate.
    fn set_rate(&mut self, _source_hz: u32) -> Result<(), ConvertError> {
        Ok(())
    }

    /// Bytes of whole samples at the rate that was set last.
    fn push(&mut self, bytes: &[u8], now_ns: u64);

    /// Samples of a transport that numbers its messages and says when they were, at the rate of the
    /// beginning. Returns the judgement on them.
    fn push_at(&mut self, _number: u64, _time: u64, bytes: &[u8], now_ns: u64) -> Verdict {
        self.push(bytes, now_ns);
        Verdict::Taken
    }

    /// A message of this number came that has no audio. Returns the judgement on it.
    fn note(&mut self, _number: u64) -> Verdict {
        Verdict::Taken
    }

    /// A tick is about to be due.
    fn before_tick(&mut self, tick: u64, now_ns: u64);

    /// Nothing more will come.
    fn end(&mut self, now_ns: u64);

    /// Discards all that has not been placed: the stream ends now.
    fn abandon(&mut self);

    /// Sheds the stream, so that all that waits and comes of it is discarded, or has it play again. Returns false if it
    /// cannot be shed.
    fn shed(&mut self, _shed: bool) -> bool {
        false
    }

    /// Whether all that came is in the ring.
    fn is_done(&self) -> bool;

    /// Whether the mix still has samples of it to play after this moment, though its sender is left to wait.
    fn is_playing(&self, _now_ns: u64) -> bool {
        false
    }
}

/// A sender that keeps the pace of the clock.
#[derive(Debug)]
pub(super) struct LiveInput {
    stream: Stream,
    settings: PlayoutSettings,
    playout: Playout,
    /// The format that the playout was made for.
    rate_hz: u32,
    channels: u16,
    /// The rate that comes now, which is converted to the playout's if it is another.
    source_hz: u32,
    sample_bytes: usize,
    decoder: Decoder,
    samples: Vec<i16>,
    clock: MixClock,
    /// The first tick that was not served; none before the first.
    next_tick: Option<u64>,
    /// Time of audio that came for ticks that are overdue.
    caught_up_ns: u64,
    burst: Burst,
}

impl LiveInput {
    /// # Errors
    /// If there is no such rate, or no channels.
    pub(super) fn new(
        stream: Stream,
        settings: PlayoutSettings,
        spec: SampleSpec,
        clock: MixClock,
    ) -> Result<Self, ConvertError> {
        let (rate_hz, channels) = (spec.rate_hz(), spec.channels());
        let playout = Playout::new(settings, rate_hz, channels, clock)?;
        Ok(Self {
            stream,
            settings,
            playout,
            rate_hz,
            channels,
            source_hz: rate_hz,
            sample_bytes: spec.form().bytes_per_sample(),
            decoder: Decoder::new(spec.form(), None),
            samples: Vec::new(),
            clock,
            next_tick: None,
            caught_up_ns: 0,
            burst: Burst::default(),
        })
    }
}

impl StreamInput for LiveInput {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn set_rate(&mut self, source_hz: u32) -> Result<(), ConvertError> {
        if source_hz != self.source_hz {
            let mut converter = None;
            if source_hz != self.rate_hz {
                let first = Format::new(self.rate_hz, self.channels)
                    .map_err(|_| ConvertError::SourceRate { rate_hz: source_hz })?;
                converter = Some(Converter::new(source_hz, self.channels, first)?);
            }
            self.decoder.set_converter(converter);
            self.source_hz = source_hz;
        }
        Ok(())
    }

    fn before_tick(&mut self, tick: u64, now_ns: u64) {
        self.next_tick = self.next_tick.max(Some(tick + 1));
        if self.stream.account().is_shed() {
            return;
        }
        self.playout.top_up(tick, &mut self.stream);
        self.burst.look(&self.stream, &self.clock, now_ns, false);
    }

    fn end(&mut self, now_ns: u64) {
        self.burst.look(&self.stream, &self.clock, now_ns, true);
        self.playout.end(&mut self.stream);
    }

    fn push_at(&mut self, number: u64, time: u64, bytes: &[u8], now_ns: u64) -> Verdict {
        if self.leaves_out(bytes, now_ns) {
            return Verdict::Taken;
        }
        self.decoder.decode(bytes, &mut self.samples);
        let arrived = Arrived {
            sequence: number,
            timestamp: time,
            samples: &self.samples,
            at_ns: self.arrival_ns(now_ns),
        };
        let verdict = self.playout.push(arrived, &mut self.stream);
        self.catch_up(self.samples.len(), now_ns);
        verdict
    }

    fn note(&mut self, number: u64) -> Verdict {
        self.playout.note(number, &mut self.stream).0
    }

    fn push(&mut self, bytes: &[u8], now_ns: u64) {
        if self.leaves_out(bytes, now_ns) {
            return;
        }
        let mut samples = std::mem::take(&mut self.samples);
        self.decoder.decode(bytes, &mut samples);
        // However much came at once, the playout can make room for the next piece of it.
        let piece = (self.rate_hz / PIECES_PER_SECOND) as usize * usize::from(self.channels);
        for piece in samples.chunks(piece) {
            let at_ns = self.arrival_ns(now_ns);
            self.playout.append(piece, at_ns, &mut self.stream);
            self.catch_up(piece.len(), now_ns);
        }
        self.samples = samples;
    }

    fn abandon(&mut self) {
        self.playout.abandon(&mut self.stream);
    }

    fn shed(&mut self, shed: bool) -> bool {
        let playout = Playout::new(self.settings, self.rate_hz, self.channels, self.clock);
        let Ok(playout) = playout else {
            return false;
        };
        if shed {
            self.playout.abandon(&mut self.stream);
        }
        self.playout = playout;
        self.stream.account().shed(shed);
        true
    }

    fn is_done(&self) -> bool {
        self.playout.is_empty()
    }
}

impl LiveInput {
    /// Discards these bytes if the stream is shed. Whether it did.
    fn leaves_out(&mut self, bytes: &[u8], now_ns: u64) -> bool {
        let is_shed = self.stream.account().is_shed();
        if is_shed {
            let frames = bytes.len() / (self.sample_bytes * usize::from(self.channels));
            let mix = self.clock.format;
            let samples = mix.samples_as_long_as(frames as u64, self.source_hz);
            self.stream.shed(samples, now_ns);
        }
        is_shed
    }

    /// The tick that is overdue if this thread stood still for more than a period.
    fn overdue(&self, now_ns: u64) -> Option<u64> {
        let late_ns = |tick| now_ns.saturating_sub(self.clock.placed_ns(tick));
        (self.next_tick).filter(|&tick| late_ns(tick) > self.clock.period_ns)
    }

    /// When samples came that are read now: before the tick that is overdue, if this thread stood still.
    fn arrival_ns(&self, now_ns: u64) -> u64 {
        let overdue = self.overdue(now_ns);
        overdue.map_or(now_ns, |tick| self.clock.placed_ns(tick))
    }

    /// Spreads what is read over the time for which this thread stood still: serves the overdue ticks as these samples
    /// last.
    fn catch_up(&mut self, samples: usize, now_ns: u64) {
        let frames = samples as u64 / u64::from(self.channels);
        self.caught_up_ns += frames * 1_000_000_000 / u64::from(self.rate_hz);
        let period_ns = self.clock.period_ns;
        while let Some(tick) = self.overdue(now_ns)
            && self.caught_up_ns >= period_ns
        {
            self.caught_up_ns -= period_ns;
            self.playout.top_up(tick, &mut self.stream);
            self.next_tick = Some(tick + 1);
        }
        if self.overdue(now_ns).is_none() {
            self.caught_up_ns = 0;
        }
    }
}

#[cfg(test)]
mod tests;
