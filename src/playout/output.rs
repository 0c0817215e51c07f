//! From the stream's own samples to frames on the mix's clock.
//!
//! At the bus's format samples pass as they are. Otherwise a [`Converter`] makes them, exact in count
//! and place; behind it audio and concealment are separated again.

use std::{collections::VecDeque, ops::Range};

use crate::{
    audio::{ConvertError, Converter, Format, FrameHeader, MixClock},
    ledger::GapKind,
    stream::Stream,
};

/// Stretches of one block without the sender's samples, of which the places are said.
const FILLED_MAX: usize = 16;

/// The kind of a stretch of the stream's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    Audio,
    Concealment,
    /// Nothing at all: a block of it needs no frame.
    Silence,
}

/// The rates of the stream and of the bus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) source_hz: u32,
    pub(super) bus_hz: u32,
    pub(super) bus_channels: u16,
}

impl Rates {
    /// The bus's time of a time of the source: both in samples per channel, halves up.
    pub(super) fn to_bus(self, source: u64) -> u64 {
        scale(source, self.bus_hz, self.source_hz)
    }

    /// The source's time of a time of the bus.
    pub(super) fn to_source(self, bus: u64) -> u64 {
        scale(bus, self.source_hz, self.bus_hz)
    }

    /// The interleaved samples of the bus that `[from, to)` of the source is long.
    pub(super) fn bus_samples(self, from: u64, to: u64) -> u64 {
        (self.to_bus(to) - self.to_bus(from)) * u64::from(self.bus_channels)
    }
}

fn scale(value: u64, by: u32, over: u32) -> u64 {
    if by == over {
        return value;
    }
    let (by, over) = (u128::from(by), u128::from(over));
    ((2 * u128::from(value) * by + over) / (2 * over)) as u64
}

#[derive(Debug)]
pub(super) struct Output {
    channels: usize,
    /// Interleaved samples of a block.
    block: usize,
    rates: Rates,
    /// The block under construction: its first sample's index in the mix, its samples, and how many of them are the
    /// sender's and how many concealment.
    at: u64,
    frame: Vec<i16>,
    given: usize,
    made_up: usize,
    /// The stretches of it that are not the sender's.
    filled: Vec<Range<u64>>,
    /// Whether the last block needed no frame.
    paused: bool,
    #[cfg(test)]
    sounds: Vec<Sound>,
    converted: Option<Box<Converted>>,
}

#[derive(Debug)]
struct Converted {
    converter: Converter,
    source_channels: usize,
    /// Where each stretch ends, as an index in the mix.
    stretches: VecDeque<(u64, Sound)>,
    /// The index of the source's first sample, and samples per channel given since.
    origin: u64,
    given: u64,
    /// The samples as the converter takes them.
    floats: Vec<f32>,
}

impl Output {
    /// Allocates all it needs, but for what the converter grows by while it starts.
    pub(super) fn new(
        source_hz: u32,
        source_channels: u16,
        clock: &MixClock,
    ) -> Result<Self, ConvertError> {
        let bus = clock.format;
        let same = Format::new(source_hz, source_channels) == Ok(bus);
        let converter = Converter::new(source_hz, source_channels, bus)?;
        let channels = usize::from(bus.channels());
        Ok(Self {
            channels,
            block: clock.block_samples * channels,
            rates: Rates {
                source_hz,
                bus_hz: bus.rate_hz(),
                bus_channels: bus.channels(),
            },
            at: 0,
            frame: Vec::with_capacity(clock.block_samples * channels),
            given: 0,
            made_up: 0,
            filled: Vec::with_capacity(FILLED_MAX),
            paused: true,
            #[cfg(test)]
            sounds: Vec::new(),
            converted: (!same).then(|| {
                Box::new(Converted {
                    converter,
                    source_channels: source_channels.into(),
                    stretches: VecDeque::with_capacity(64),
                    origin: 0,
                    given: 0,
                    floats: Vec::new(),
                })
            }),
        })
    }

    pub(super) fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether the samples are converted.
    pub(super) fn converts(&self) -> bool {
        self.converted.is_some()
    }

    /// The source's first sample stands at this index of the mix.
    pub(super) fn begin(&mut self, origin: u64) {
        let before = origin as usize * self.channels % self.block;
        self.frame.resize(before, 0);
        #[cfg(test)]
        self.sounds.resize(before, Sound::Silence);
        self.at = origin - (before / self.channels) as u64;
        self.fill(self.at..origin);
        if let Some(converted) = &mut self.converted {
            converted.origin = origin;
        }
    }

    /// The next index of the mix that nothing was decided for.
    pub(super) fn at(&self) -> u64 {
        self.at + (self.frame.len() / self.channels) as u64
    }

    /// Up to which index samples can be placed with what was given.
    pub(super) fn reaches(&self) -> u64 {
        let ready = match &self.converted {
            Some(converted) => converted.converter.buffered() / self.channels,
            None => 0,
        };
        self.at() + ready as u64
    }

    /// Takes the next samples of the source. At the bus's format blocks are placed as soon as they are whole.
    pub(super) fn give(&mut self, sound: Sound, samples: &[i16], stream: &mut Stream) {
        match &mut self.converted {
            None => self.put(sound, samples, stream),
            Some(converted) => converted.give(sound, samples, self.rates),
        }
    }

    /// Places the blocks before this index, as far as there are samples for them.
    pub(super) fn place_until(&mut self, end: u64, stream: &mut Stream) {
        if let Some(mut converted) = self.converted.take() {
            let mut piece = [0; 256];
            while let Some(&(stop, sound)) = converted.stretches.front()
                && self.at() < end
            {
                let missing = (stop.min(end) - self.at()) as usize * self.channels;
                let whole = piece.len() / self.channels * self.channels;
                let count = converted.converter.pull(&mut piece[..missing.min(whole)]);
                self.put(sound, &piece[..count], stream);
                if self.at() == stop {
                    converted.stretches.pop_front();
                } else if count == 0 {
                    break;
                }
            }
            self.converted = Some(converted);
        }
    }

    fn put(&mut self, sound: Sound, mut samples: &[i16], stream: &mut Stream) {
        while !samples.is_empty() {
            let room = self.block - self.frame.len();
            let at = self.at();
            let (now, later) = samples.split_at(samples.len().min(room));
            self.frame.extend_from_slice(now);
            #[cfg(test)]
            self.sounds.extend(now.iter().map(|_| sound));
            match sound {
                Sound::Audio => self.given += now.len(),
                Sound::Concealment => self.made_up += now.len(),
                Sound::Silence => {}
            }
            if sound != Sound::Audio {
                self.fill(at..self.at());
            }
            samples = later;
            if now.len() == room {
                self.place(stream);
            }
        }
    }

    /// These indices of the block are not the sender's.
    fn fill(&mut self, span: Range<u64>) {
        let last = self.filled.last_mut();
        if let Some(last) = last.filter(|last| last.end == span.start) {
            last.end = span.end;
        } else if self.filled.len() < FILLED_MAX && !span.is_empty() {
            self.filled.push(span);
        }
    }

    /// The length of a block in samples per channel, if the next one can be made where it is placed: samples pass as
    /// they are, and none of its are there.
    pub(super) fn plain_block(&self) -> Option<u64> {
        let plain = self.converted.is_none() && self.frame.is_empty();
        plain.then_some((self.block / self.channels) as u64)
    }

    /// Places a block of the sender's samples, which `write` writes.
    pub(super) fn place_plain(&mut self, stream: &mut Stream, write: impl FnOnce(&mut [i16])) {
        let samples = self.block / self.channels;
        #[cfg(test)]
        placed::keep(
            stream.lease().slot(),
            self.at,
            vec![Sound::Audio; self.block],
        );
        let header = FrameHeader {
            after_pause: std::mem::take(&mut self.paused),
            ..FrameHeader::new(self.at, samples)
        };
        stream.place_with(header, self.block, write);
        self.at += samples as u64;
    }

    /// Places the block, which is whole.
    fn place(&mut self, stream: &mut Stream) {
        let (given, made_up) = (self.given, self.made_up);
        #[cfg(test)]
        placed::keep(
            stream.lease().slot(),
            self.at,
            std::mem::take(&mut self.sounds),
        );
        if given + made_up > 0 {
            let header = FrameHeader {
                after_pause: self.paused,
                ..FrameHeader::new(self.at, given / self.channels)
            };
            if given > 0 {
                let account = stream.account();
                for Range { start, end } in &self.filled {
                    account.note_gap(GapKind::Filled, *start, *end, end - start);
                }
            }
            stream.place(header, &self.frame);
        }
        self.paused = given + made_up == 0;
        (self.given, self.made_up) = (0, 0);
        self.at += (self.block / self.channels) as u64;
        self.frame.clear();
        self.filled.clear();
    }
}

impl Converted {
    fn give(&mut self, sound: Sound, samples: &[i16], rates: Rates) {
        let floats = samples.iter().map(|&sample| f32::from(sample) / 32_768.0);
        self.floats.clear();
        self.floats.extend(floats);
        self.converter.push(&self.floats);
        self.given += (samples.len() / self.source_channels) as u64;
        let end = self.origin + rates.to_bus(self.given);
        match self.stretches.back_mut() {
            Some((last, same)) if *same == sound => *last = end,
            _ => self.stretches.push_back((end, sound)),
        }
    }
}

/// The kinds of the samples that were placed, which frames do not say, for tests that know each sample.
#[cfg(test)]
pub(crate) mod placed {
    use std::{cell::RefCell, collections::HashMap};

    use super::Sound;

    thread_local! {
        static SOUNDS: RefCell<HashMap<(usize, u64), Vec<Sound>>> = RefCell::default();
    }

    pub(super) fn keep(slot: usize, first: u64, sounds: Vec<Sound>) {
        SOUNDS.with_borrow_mut(|all| all.insert((slot, first), sounds));
    }

    /// Forgets what an earlier test of this thread placed.
    pub(crate) fn forget() {
        SOUNDS.with_borrow_mut(HashMap::clear);
    }

    /// Of the block with this first sample, if a playout of this thread placed it.
    pub(crate) fn sounds(slot: usize, first: u64) -> Option<Vec<Sound>> {
        SOUNDS.with_borrow(|all| all.get(&(slot, first)).cloned())
    }
}
