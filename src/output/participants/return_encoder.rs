//! Encodes the mix for participants: to each its room's mix without itself, as messages at its own rate.
//!
//! Most participants are silent and hear the mix of their room. For them it is converted and written into a message
//! once per room, rate and block, however many they are.

use std::collections::HashMap;

use super::rated::{History, Rated};
use crate::{
    audio::{ConvertError, Encoding, Format},
    mixer::RoomId,
    output::feed_reader::Piece,
    wire::{audiosocket, twilio, websocket},
};

/// A rate that no participant of a room has had for so long is forgotten there.
const UNUSED_SECONDS: u64 = 2;

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

/// The rooms that are heard by one reader thread, and the messages that were made of them.
#[derive(Debug)]
pub(crate) struct Mixes {
    format: Format,
    /// Samples per channel that each history keeps: the longest memory of the converters so far.
    kept: u64,
    rooms: HashMap<RoomId, Mix>,
    /// For a room that is not heard.
    nothing: History,
}

/// One room.
#[derive(Debug)]
struct Mix {
    history: History,
    shared: HashMap<ReturnFormat, Shared>,
}

/// A room at one rate.
#[derive(Debug)]
struct Shared {
    rated: Rated,
    /// The block of which the message is.
    at: Option<u64>,
    message: Vec<u8>,
}

impl Mixes {
    /// No room yet. Allocates with the first block of each room, and frees at its end.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            kept: 0,
            rooms: HashMap::new(),
            nothing: History::new(format.channels()),
        }
    }

    /// A block of a room: its samples from `at` on.
    pub(crate) fn push(&mut self, room: RoomId, at: u64, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let mix = self.rooms.entry(room).or_insert_with(|| Mix {
            history: History::new(self.format.channels()),
            shared: HashMap::new(),
        });
        mix.history.push(at, samples, self.kept);
        // Peers choose the rates: an unused one is not kept. A peer that returns finds in the
        // history the samples that its converter needs.
        let unused = UNUSED_SECONDS * u64::from(self.format.rate_hz());
        mix.shared
            .retain(|_, shared| shared.at.is_none_or(|made| made + unused >= at));
    }

    /// The room is heard no more.
    pub(crate) fn end(&mut self, room: RoomId) {
        self.rooms.remove(&room);
    }

    /// One after the last sample of a frame.
    fn end_of(&self, frame: &Piece<'_>) -> u64 {
        frame.first + (frame.samples.len() / usize::from(self.format.channels())) as u64
    }

    #[cfg(test)]
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    fn history(&self, room: Option<RoomId>) -> &History {
        let mix = room.and_then(|room| self.rooms.get(&room));
        mix.map_or(&self.nothing, |mix| &mix.history)
    }

    /// A converter to this rate. From now on each history is as long as its memory.
    fn rated(&mut self, rate_hz: u32) -> Result<Rated, ConvertError> {
        let rated = Rated::new(self.format, rate_hz)?;
        self.kept = self.kept.max(rated.memory());
        Ok(rated)
    }

    /// The message of a block of a room, made once.
    fn message(
        &mut self,
        room: RoomId,
        block: &Piece<'_>,
        return_format: ReturnFormat,
    ) -> Result<Option<&[u8]>, ConvertError> {
        let is_new = |mix: &Mix| !mix.shared.contains_key(&return_format);
        let new = if self.rooms.get(&room).is_some_and(is_new) {
            Some(Shared {
                rated: self.rated(return_format.rate_hz)?,
                at: None,
                message: Vec::new(),
            })
        } else {
            None
        };
        // A room's block precedes the frames that name it.
        let Some(Mix { history, shared }) = self.rooms.get_mut(&room) else {
            return Ok(None);
        };
        shared.extend(new.map(|new| (return_format, new)));
        Ok(shared.get_mut(&return_format).map(|shared| {
            if shared.at != Some(block.first) {
                let mut converted = Vec::new();
                let Shared { rated, .. } = shared;
                rated.convert(block.first, block.samples, history, &mut converted);
                shared.message.clear();
                return_format.write(&converted, &mut shared.message);
                shared.at = Some(block.first);
            }
            &*shared.message
        }))
    }
}

/// The return path of one participant: its own mix-minus, or the mix of its room.
///
/// Its audio is that of one converter which takes all its frames in order, whichever rooms they are of.
#[derive(Debug)]
pub(crate) struct ReturnEncoder {
    return_format: ReturnFormat,
    /// Made for the first frame that is not a room's block, and at the first move.
    own: Option<Rated>,
    /// The room of the block that it heard last.
    room: Option<RoomId>,
    /// From where on all it heard was the mix of that room; none if the last frame was not.
    shares_from: Option<u64>,
    /// One after the last sample that it heard.
    heard: u64,
    samples: Vec<i16>,
    message: Vec<u8>,
}

impl ReturnEncoder {
    pub(crate) fn new(return_format: ReturnFormat) -> Self {
        Self {
            return_format,
            own: None,
            room: None,
            shares_from: None,
            heard: 0,
            samples: Vec::new(),
            message: Vec::new(),
        }
    }

    pub(crate) fn return_format(&self) -> ReturnFormat {
        self.return_format
    }

    /// The message of a frame; none if it names a room that is not heard.
    ///
    /// # Errors
    /// If the listener's rate is none that can be converted to.
    pub(crate) fn encode<'a>(
        &'a mut self,
        frame: &Piece<'_>,
        mixes: &'a mut Mixes,
    ) -> Result<Option<&'a [u8]>, ConvertError> {
        let Some(room) = frame.same else {
            self.shares_from = None;
            return self.encode_own(frame, mixes).map(Some);
        };
        let has_moved = self.room.is_some_and(|before| before != room);
        let shares_from = match self.shares_from {
            Some(from) if !has_moved => from,
            _ => frame.first,
        };
        self.shares_from = Some(shares_from);
        if has_moved && self.own.is_none() {
            self.own = Some(mixes.rated(self.return_format.rate_hz)?);
        }
        let own = self.own.as_ref();
        if own.is_some_and(|own| frame.first < shares_from + own.memory()) {
            self.encode_own(frame, mixes)?;
            self.room = Some(room);
            return Ok(Some(&self.message));
        }
        self.room = Some(room);
        self.heard = mixes.end_of(frame);
        mixes.message(room, frame, self.return_format)
    }

    /// By its own converter, after the samples that it shared since the last use.
    fn encode_own(&mut self, frame: &Piece<'_>, mixes: &mut Mixes) -> Result<&[u8], ConvertError> {
        let own = match &mut self.own {
            Some(own) => own,
            none => none.insert(mixes.rated(self.return_format.rate_hz)?),
        };
        // After a gap, the samples before a frame of elsewhere are not known.
        let is_known = self.heard == frame.first || self.room == frame.same;
        let history = mixes.history(self.room.filter(|_| is_known));
        self.samples.clear();
        own.convert(frame.first, frame.samples, history, &mut self.samples);
        self.heard = mixes.end_of(frame);
        self.message.clear();
        self.return_format.write(&self.samples, &mut self.message);
        Ok(&self.message)
    }
}

#[cfg(test)]
mod tests;
