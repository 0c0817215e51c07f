//! A sender that may be faster than the clock, such as a file sent at once.
//!
//! Its samples go into the ring as soon as they come, one after the other on the mix's clock, and when the
//! ring is full its connection is not read, so that the sender waits. Nothing is ever discarded.
//!
//! If it runs dry and goes on, it goes on a playout delay later, and what it missed is counted. It is not
//! its fault, and no gap, if the ring was full when more of it might have been read: then the mix itself
//! stands behind its clock, and the samples follow those before them.

use std::{collections::VecDeque, time::Duration};

use super::to_floats;
use crate::{
    audio::{ConvertError, Converter, FrameKind, MixClock},
    ledger::Discard,
    stream::Stream,
};

#[derive(Debug)]
pub(in super::super) struct PacedInput {
    stream: Stream,
    clock: MixClock,
    /// Samples per channel from now to the first that plays, at the start and after a gap.
    delay: u64,
    /// None if the source is as the bus is.
    converter: Option<Converter>,
    floats: Vec<f32>,
    /// Interleaved samples of the bus for which the ring had no room.
    pending: VecDeque<i16>,
    frame: Vec<i16>,
    /// Index in the mix, per channel, of the first sample that is not placed.
    next: Option<u64>,
    /// Whether the ring was full at the last look.
    held_back: bool,
}

impl PacedInput {
    /// # Errors
    /// If there is no such rate, or no channels.
    pub(in super::super) fn new(
        stream: Stream,
        delay: Duration,
        rate_hz: u32,
        channels: u16,
        clock: MixClock,
    ) -> Result<Self, ConvertError> {
        let bus = clock.format;
        let same = rate_hz == bus.rate_hz() && channels == bus.channels();
        let converter = if same {
            None
        } else {
            Some(Converter::new(rate_hz, channels, bus)?)
        };
        Ok(Self {
            stream,
            clock,
            delay: clock.samples_of(delay),
            converter,
            floats: Vec::new(),
            pending: VecDeque::new(),
            frame: Vec::new(),
            next: None,
            held_back: false,
        })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn push(&mut self, samples: &[i16], now_ns: u64) {
        if let Some(converter) = &mut self.converter {
            to_floats(samples, &mut self.floats);
            converter.push(&self.floats);
            self.take_converted();
        } else {
            self.pending.extend(samples);
        }
        self.place(now_ns);
    }

    pub(super) fn end(&mut self, now_ns: u64) {
        if let Some(converter) = &mut self.converter {
            converter.finish();
            self.take_converted();
        }
        self.place(now_ns);
    }

    pub(super) fn abandon(&mut self) {
        let account = self.stream.account();
        let samples = self.pending.len() as u64;
        account.offer(samples);
        account.settle_discarded(samples);
        if let Some(network) = account.network() {
            network.discard(Discard::Ended, samples);
        }
        self.pending.clear();
    }

    fn take_converted(&mut self) {
        if let Some(converter) = &mut self.converter {
            self.frame.resize(converter.buffered(), 0);
            converter.pull(&mut self.frame);
            self.pending.extend(&self.frame);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        !self.pending.is_empty() || self.next.is_some_and(|next| next > self.first(now_ns))
    }

    /// The first sample that has not played yet.
    fn first(&self, now_ns: u64) -> u64 {
        self.clock.start_of(self.clock.next_tick(now_ns))
    }

    /// Places the samples that wait, as far as the ring has room.
    pub(super) fn place(&mut self, now_ns: u64) {
        let channels = usize::from(self.clock.format.channels());
        let frame = self.clock.block_samples * channels;
        while !self.pending.is_empty() {
            if !self.stream.has_room() {
                self.held_back = true;
                break;
            }
            let at = self.position(now_ns);
            let count = self.pending.len().min(frame);
            self.frame.clear();
            self.frame.extend(self.pending.drain(..count));
            self.stream.place(at, FrameKind::Audio, &self.frame);
            self.next = Some(at + (count / channels) as u64);
            self.held_back = false;
        }
        if let (Some(next), Some(network)) = (self.next, self.stream.account().network()) {
            let ahead = next.saturating_sub(self.first(now_ns));
            network.set_playout_delay(self.clock.format.duration_of(ahead));
        }
    }

    /// Where the next sample goes.
    fn position(&mut self, now_ns: u64) -> u64 {
        let first = self.first(now_ns);
        match self.next {
            None => {
                self.stream.account().begin_segment();
                first + self.delay
            }
            Some(next) if next < first && !(self.held_back && self.stream.is_filled()) => {
                let at = first + self.delay;
                let channels = u64::from(self.clock.format.channels());
                self.stream.account().miss((at - next) * channels);
                at
            }
            Some(next) => next,
        }
    }
}

#[cfg(test)]
mod tests;
