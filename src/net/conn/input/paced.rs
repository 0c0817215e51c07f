//! A sender that may be faster than the clock, such as a file sent at once.
//!
//! Its samples go into the ring as soon as they come, block after block on the mix clock
//! ([`Stream::offer`]), and when the ring is full its connection is not read, so that the sender waits. Nothing is
//! ever discarded.

use std::{collections::VecDeque, convert::Infallible};

use super::{Decoder, StreamInput};
use crate::{
    audio::{ConvertError, Converter, MixClock, SampleSpec},
    ledger::Discard,
    stream::Stream,
};

/// Blocks of the mix that are read at once.
const BLOCKS_READ: usize = 8;

#[derive(Debug)]
pub(in super::super) struct PacedInput {
    stream: Stream,
    clock: MixClock,
    read_bytes: usize,
    /// It converts unless the source is as the bus is.
    decoder: Decoder,
    /// Interleaved samples of the bus for which the ring had no room.
    pending: VecDeque<i16>,
    /// Samples on their way from the decoder.
    decoded: Vec<i16>,
    ended: bool,
}

impl PacedInput {
    /// `stream` is delayed as its samples are to be.
    ///
    /// # Errors
    /// If there is no such rate, or no channels.
    pub(in super::super) fn new(
        stream: Stream,
        spec: SampleSpec,
        clock: MixClock,
    ) -> Result<Self, ConvertError> {
        let (rate_hz, channels, bus) = (spec.rate_hz(), spec.channels(), clock.format);
        let same = rate_hz == bus.rate_hz() && channels == bus.channels();
        let converter = if same {
            None
        } else {
            Some(Converter::new(rate_hz, channels, bus)?)
        };
        Ok(Self {
            stream,
            clock,
            read_bytes: BLOCKS_READ
                * clock.block_at(rate_hz).max(1) as usize
                * spec.instant_bytes(),
            decoder: Decoder::new(spec.form(), converter),
            pending: VecDeque::new(),
            decoded: Vec::new(),
            ended: false,
        })
    }

    /// The first sample of the next tick.
    fn first_after(&self, now_ns: u64) -> u64 {
        self.clock.start_of(self.clock.next_tick(now_ns))
    }

    /// Places the samples that wait, as far as the ring has room.
    pub(super) fn place(&mut self, now_ns: u64) {
        let Self {
            stream, pending, ..
        } = self;
        while !pending.is_empty() && stream.has_room() {
            let take = |out: &mut [i16]| {
                let count = out.len().min(pending.len());
                out.iter_mut()
                    .zip(pending.drain(..count))
                    .for_each(|(out, sample)| *out = sample);
                Ok::<_, Infallible>(count)
            };
            let Ok(_) = stream.offer_at(now_ns, take);
        }
        let first = self.first_after(now_ns);
        let is_due = |stream: &Stream| stream.next().is_some_and(|next| next <= first);
        let stream = &mut self.stream;
        if self.pending.is_empty() && (self.ended || is_due(stream)) && stream.has_room() {
            stream.flush(now_ns);
        }
        if let (Some(next), Some(network)) = (self.stream.next(), self.stream.account().network()) {
            let ahead = next.saturating_sub(first);
            network.set_playout_delay(self.clock.format.duration_of(ahead));
        }
    }
}

impl StreamInput for PacedInput {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    /// A few blocks of the mix, and none while the ring is full.
    fn read_budget(&self) -> usize {
        if self.pending.is_empty() {
            self.read_bytes
        } else {
            0
        }
    }

    fn push(&mut self, bytes: &[u8], now_ns: u64) {
        self.decoder.decode(bytes, &mut self.decoded);
        self.pending.extend(&self.decoded);
        self.place(now_ns);
    }

    fn before_tick(&mut self, _tick: u64, now_ns: u64) {
        self.place(now_ns);
    }

    fn end(&mut self, now_ns: u64) {
        self.decoder.finish(&mut self.decoded);
        self.pending.extend(&self.decoded);
        self.ended = true;
        self.place(now_ns);
    }

    fn abandon(&mut self) {
        self.stream
            .leave_out(Discard::Ended, self.pending.len() as u64);
        self.pending.clear();
        let samples = self.stream.discard_held();
        if let Some(network) = self.stream.account().network() {
            network.discard(Discard::Ended, samples);
        }
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty() && self.stream.held_samples() == 0
    }

    fn is_playing(&self, now_ns: u64) -> bool {
        let next = self.stream.next().unwrap_or(0);
        !self.is_done() || next > self.first_after(now_ns)
    }
}

#[cfg(test)]
mod tests;
