//! Encodes the mix for participants: to each the mix without itself, as messages at its own rate.
//!
//! Most listeners are silent and hear the mix of all. For them it is converted and written into a message
//! once per rate and block, however many they are.

use std::collections::{HashMap, VecDeque};

use super::rated::{History, Rated};
use crate::{
    audio::{ConvertError, Encoding, Format},
    wire::{audiosocket, twilio, websocket},
};

/// Blocks of the mix that are remembered, for listeners' frames that refer to them.
const BLOCKS_MAX: usize = 64;

/// How a listener wants its audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ReturnFormat {
    pub(crate) rate_hz: u32,
    pub(crate) form: Form,
}

/// The message format of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Messages of AudioSocket, which claim this rate: one, unless the samples are more than it can hold.
    AudioSocket { claimed_hz: u32 },
    /// A binary message of a WebSocket.
    Binary(Encoding),
    /// Bytes, of which the listener's connection makes messages.
    Bare(Encoding),
    /// Base64 of mu-law; the listener's connection puts its own text around it.
    Base64,
}

impl ReturnFormat {
    /// Appends the message of these samples.
    pub(crate) fn write(self, samples: &[i16], out: &mut Vec<u8>) {
        match self.form {
            Form::AudioSocket { claimed_hz } => {
                const SAMPLES_MAX: usize = u16::MAX as usize / 2;
                for samples in samples.chunks(SAMPLES_MAX) {
                    let header = audiosocket::audio_header(claimed_hz, 2 * samples.len());
                    out.extend(header.expect("a rate with a kind, and samples that fit a message"));
                    encode(Encoding::S16Le, samples, out);
                }
            }
            Form::Binary(encoding) => {
                websocket::binary_header(samples.len() * encoding.bytes_per_sample(), out);
                encode(encoding, samples, out);
            }
            Form::Bare(encoding) => encode(encoding, samples, out),
            Form::Base64 => {
                let mut bytes = Vec::new();
                encode(Encoding::MuLaw, samples, &mut bytes);
                twilio::encode(&bytes, out);
            }
        }
    }
}

fn encode(encoding: Encoding, samples: &[i16], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + samples.len() * encoding.bytes_per_sample(), 0);
    encoding.encode(samples, &mut out[start..]);
}

/// The reply to a peer for a frame of the mix.
#[derive(Debug)]
pub(crate) enum Reply<'a> {
    /// A message, or several.
    Message(&'a [u8]),
    /// Nothing yet: the next will have more.
    Later,
    /// Nothing: the peer is not to have it yet.
    HeldBack,
    /// The peer cannot take it now, or there is none.
    Lost,
}

/// The mix of all, and the messages that were made of it.
#[derive(Debug)]
pub(crate) struct Mix {
    format: Format,
    /// Samples per channel of the history.
    kept: u64,
    history: History,
    /// The blocks that came last: where they begin, and their samples.
    blocks: VecDeque<(u64, Box<[i16]>)>,
    shared: HashMap<ReturnFormat, Shared>,
}

/// The mix of all at one rate.
#[derive(Debug)]
struct Shared {
    rated: Rated,
    /// The block of which the message is.
    at: Option<u64>,
    message: Vec<u8>,
}

impl Mix {
    /// Allocates little, and more as it is used.
    pub(crate) fn new(format: Format) -> Self {
        // The longest memory is that of a converter to or from 1 kHz, and to be at a place of the grid
        // takes up to a second more.
        let kept = 2 * format.rate_hz() as usize;
        Self {
            format,
            kept: kept as u64,
            history: History::new(format.channels(), kept),
            blocks: VecDeque::new(),
            shared: HashMap::new(),
        }
    }

    /// A block of the mix: its samples from `at` on.
    pub(crate) fn push(&mut self, at: u64, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        if self.blocks.len() == BLOCKS_MAX {
            self.blocks.pop_front();
        }
        self.history.push(at, samples);
        self.blocks.push_back((at, samples.into()));
        // Peers choose the rates: an unused one is not kept. A peer that returns finds in the
        // history the samples that its converter needs.
        let kept = self.kept;
        self.shared
            .retain(|_, shared| shared.at.is_none_or(|made| made + kept >= at));
    }

    fn block(&self, at: u64) -> Option<usize> {
        self.blocks.iter().rposition(|(start, _)| *start == at)
    }
}

/// The return path of one participant: its own mix-minus, or the shared mix.
#[derive(Debug)]
pub(crate) struct ReturnEncoder {
    return_format: ReturnFormat,
    /// Once it heard a mix that was not that of all.
    own: Option<Rated>,
    /// From where on all it heard was the mix of all; none if the last was not.
    shares_from: Option<u64>,
    samples: Vec<i16>,
    message: Vec<u8>,
}

impl ReturnEncoder {
    pub(crate) fn new(return_format: ReturnFormat) -> Self {
        Self {
            return_format,
            own: None,
            shares_from: None,
            samples: Vec::new(),
            message: Vec::new(),
        }
    }

    pub(crate) fn return_format(&self) -> ReturnFormat {
        self.return_format
    }

    /// The message of a frame that begins at `at`: the samples, or, if there are none, the mix's block.
    /// None if there is no such block: it was lost, or is empty.
    ///
    /// # Errors
    /// If the listener's rate is none that can be converted to.
    pub(crate) fn encode<'a>(
        &'a mut self,
        at: u64,
        samples: &[i16],
        mix: &'a mut Mix,
    ) -> Result<Option<&'a [u8]>, ConvertError> {
        let block = mix.block(at);
        if !samples.is_empty() {
            self.shares_from = None;
            return self.encode_own(at, samples, mix).map(Some);
        }
        let Some(block) = block else {
            return Ok(None);
        };
        let shares_from = *self.shares_from.get_or_insert(at);
        match &self.own {
            Some(own) if at < shares_from + own.memory() => {
                let samples = std::mem::take(&mut mix.blocks[block].1);
                let message = self.encode_own(at, &samples, mix);
                mix.blocks[block].1 = samples;
                message.map(Some)
            }
            _ => mix.message(block, self.return_format).map(Some),
        }
    }

    fn encode_own(&mut self, at: u64, samples: &[i16], mix: &Mix) -> Result<&[u8], ConvertError> {
        let own = match &mut self.own {
            Some(own) => own,
            none => none.insert(Rated::new(mix.format, self.return_format.rate_hz)?),
        };
        self.samples.clear();
        own.convert(at, samples, &mix.history, &mut self.samples);
        self.message.clear();
        self.return_format.write(&self.samples, &mut self.message);
        Ok(&self.message)
    }
}

impl Mix {
    /// The message of a block at one rate, made once.
    fn message(
        &mut self,
        block: usize,
        return_format: ReturnFormat,
    ) -> Result<&[u8], ConvertError> {
        let Self {
            format,
            history,
            blocks,
            shared,
            ..
        } = self;
        let shared = match shared.entry(return_format) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Shared {
                rated: Rated::new(*format, return_format.rate_hz)?,
                at: None,
                message: Vec::new(),
            }),
        };
        let (at, samples) = &blocks[block];
        if shared.at != Some(*at) {
            let mut converted = Vec::new();
            shared.rated.convert(*at, samples, history, &mut converted);
            shared.message.clear();
            return_format.write(&converted, &mut shared.message);
            shared.at = Some(*at);
        }
        Ok(&shared.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::audiosocket::{Message, parse};

    const BLOCK: u64 = 160;

    fn return_format(rate_hz: u32) -> ReturnFormat {
        ReturnFormat {
            rate_hz,
            form: Form::AudioSocket {
                claimed_hz: rate_hz,
            },
        }
    }

    fn tone(at: u64, step: f64) -> Vec<i16> {
        (at..at + BLOCK)
            .map(|at| ((at as f64 * step).sin() * 9_000.0) as i16)
            .collect()
    }

    fn samples(message: &[u8]) -> Vec<i16> {
        let Ok(Some((Message::Audio { payload, .. }, taken))) = parse(message) else {
            panic!("{message:?}")
        };
        assert_eq!(taken, message.len());
        let (pairs, []) = payload.as_chunks() else {
            panic!("whole samples")
        };
        pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
    }

    fn mix() -> Mix {
        Mix::new(Format::new(8_000, 1).unwrap())
    }

    #[test]
    fn listeners_who_hear_the_same_get_one_message() {
        let mut mix = mix();
        mix.push(0, &tone(0, 0.1));
        let (mut one, mut other) = (
            ReturnEncoder::new(return_format(16_000)),
            ReturnEncoder::new(return_format(16_000)),
        );
        let first = one.encode(0, &[], &mut mix).unwrap().unwrap().as_ptr();
        let second = other.encode(0, &[], &mut mix).unwrap().unwrap().as_ptr();
        assert_eq!(first, second);
        let mut low = ReturnEncoder::new(return_format(8_000));
        let message = low.encode(0, &[], &mut mix).unwrap().unwrap();
        assert_eq!(samples(message), tone(0, 0.1));
    }

    #[test]
    fn rates_that_nobody_hears_any_more_are_forgotten() {
        let bare = |rate_hz| ReturnFormat {
            rate_hz,
            form: Form::Bare(Encoding::S16Le),
        };
        let mut mix = mix();
        let mut stays = ReturnEncoder::new(bare(16_000));
        for tick in 0..130 {
            let at = tick * BLOCK;
            mix.push(at, &tone(at, 0.1));
            let mut passes = ReturnEncoder::new(bare(16_050 + 50 * tick as u32));
            for encoder in [&mut stays, &mut passes] {
                assert!(encoder.encode(at, &[], &mut mix).unwrap().is_some());
            }
        }
        // Blocks of two seconds, and the one that stays.
        assert!(mix.shared.len() <= 102, "{}", mix.shared.len());
        assert!(mix.shared.contains_key(&bare(16_000)));
    }

    #[test]
    fn a_frame_of_a_block_that_was_lost_has_no_message() {
        let mut mix = mix();
        mix.push(0, &tone(0, 0.1));
        let mut encoder = ReturnEncoder::new(return_format(8_000));
        assert_eq!(encoder.encode(BLOCK, &[], &mut mix), Ok(None));
        assert!(encoder.encode(0, &[], &mut mix).unwrap().is_some());
    }

    /// A participant's audio that differs from the mix in some blocks is, sample for sample, the output of
    /// a converter that never had other input.
    #[test]
    fn to_speak_now_and_then_leaves_no_seam() {
        for rate_hz in [8_000, 16_000, 44_100] {
            let mut mix = mix();
            let mut encoder = ReturnEncoder::new(return_format(rate_hz));
            let nothing = History::new(1, 0);
            let mut alone = Rated::new(Format::new(8_000, 1).unwrap(), rate_hz).unwrap();
            for tick in 0..60 {
                let at = tick * BLOCK;
                let (all, own) = (tone(at, 0.1), tone(at, 0.23));
                mix.push(at, &all);
                let speaks = matches!(tick, 5..12 | 14..16 | 30..31 | 50..);
                let frame: &[i16] = if speaks { &own } else { &[] };
                let played = samples(encoder.encode(at, frame, &mut mix).unwrap().unwrap());
                let mut expected = Vec::new();
                let own_block = if speaks { &own } else { &all };
                alone.convert(at, own_block, &nothing, &mut expected);
                assert_eq!(played.len(), expected.len());
                let off = |(a, b): (&i16, &i16)| a.abs_diff(*b);
                let worst = played.iter().zip(&expected).map(off).max();
                assert!(worst <= Some(1), "{rate_hz} Hz, tick {tick}: {worst:?}");
            }
        }
    }

    #[test]
    fn more_samples_than_a_message_holds_are_several_messages() {
        let mut out = Vec::new();
        return_format(192_000).write(&vec![7; 70_000], &mut out);
        let mut rest = &out[..];
        let mut count = 0;
        while let Some((Message::Audio { payload, .. }, taken)) = parse(rest).unwrap() {
            count += payload.len() / 2;
            rest = &rest[taken..];
        }
        assert_eq!((count, rest.len()), (70_000, 0));
    }
}
