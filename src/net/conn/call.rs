//! One AudioSocket connection: bytes in, a stream input and events out.
//!
//! Passive: it has no socket and no clock. Its messages may be cut anywhere.

use super::{
    caller::{Caller, Sound},
    context::{Context, EndReason, OpenRequest},
    protocol::Protocol,
};
use crate::{
    audio::{ConvertError, Encoding, SampleSpec},
    ledger::{Malformed, Packet},
    output::feed_reader::Piece,
    output::participants::return_encoder::{Form, Mixes, Reply, ReturnEncoder, ReturnFormat},
    wire::audiosocket::{HANGUP_MESSAGE, HEADER_BYTES, Message, may_begin, parse, uuid_text},
};

/// The rate of audio without a claimed rate: Asterisk's older releases know no other kind.
const PLAIN_HZ: u32 = 8_000;

/// Changes of a call's rate: each costs a filter, and a call has a handful.
const RATE_CHANGES_MAX: u32 = 64;

/// Frames of the mix that are held back from a peer that has not sent audio: its first message says the rate at
/// which it hears, and comes a moment after its UUID.
const FRAMES_HELD_BACK: u32 = 2;

/// Memory for a half-made message that is kept when there is none.
const PARTIAL_BYTES_KEPT: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Call {
    /// The rate of messages that claim 8 kHz, if it is known better.
    plain_hz: Option<u32>,
    /// The room of its listener.
    room: Option<String>,
    /// The message that has not come whole yet.
    partial: Vec<u8>,
    encoder: ReturnEncoder,
    rate_changes: u32,
    /// Whether a message of audio came, be it empty: its rate is that of the way back.
    announced: bool,
    /// Whether a frame went back.
    greeted: bool,
    held_back: u32,
}

impl Call {
    /// A call of which nothing is known. `plain_hz` is the rate of messages that claim 8 kHz.
    pub(super) fn new(plain_hz: Option<u32>, room: Option<String>) -> Self {
        Self {
            plain_hz,
            room,
            partial: Vec::new(),
            encoder: ReturnEncoder::new(return_format(plain_hz, PLAIN_HZ)),
            rate_changes: 0,
            announced: false,
            greeted: false,
            held_back: 0,
        }
    }

    fn take(
        &mut self,
        message: Message<'_>,
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        match message {
            Message::Uuid(uuid) if !caller.is_known() => {
                let expected = context.admission.expected();
                let expected = expected.and_then(|all| all.take_call(uuid, context.now_ns));
                let sender = expected.as_ref().map(|expected| &expected.sender);
                let room = sender.map(|sender| sender.room.clone());
                let request = OpenRequest {
                    id: uuid_text(uuid),
                    label: sender.and_then(|sender| sender.label.clone()),
                    from: None,
                    gain: sender.and_then(|sender| sender.gain),
                    room: room.or_else(|| self.room.take()),
                    muted: sender.is_some_and(|sender| sender.muted),
                    listens: true,
                };
                caller.open(request, context)?;
            }
            Message::Hangup => {
                caller.note("hangup", context);
                return Err(EndReason::HungUp);
            }
            Message::Uuid(_) => {
                caller.count(Packet::Malformed);
                context.malformed(Malformed::Kind, &"a second UUID on a connection");
            }
            Message::Dtmf(key) => {
                caller.receive(context);
                caller.count(Packet::TelephoneEvent);
                let key = char::from(key).escape_default();
                caller.note(&format!("dtmf {key}"), context);
            }
            Message::Error(code) => {
                let shown = &code[..code.len().min(16)];
                caller.note(&format!("error {shown:02x?} of the peer"), context);
            }
            Message::Unknown(_) => {
                caller.receive(context);
                caller.count(Packet::Unsupported);
            }
            Message::Audio { rate_hz, payload } => {
                caller.receive(context);
                self.take_audio(rate_hz, payload, caller, context)?;
                self.announced = true;
                if !self.greeted && caller.mix_minus().is_some() {
                    self.greet(caller, context, reply);
                }
            }
        }
        Ok(())
    }

    fn take_audio(
        &mut self,
        claimed_hz: u32,
        payload: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        let return_format = return_format(self.plain_hz, claimed_hz);
        if return_format != self.encoder.return_format() {
            self.rate_changes += 1;
            if self.rate_changes > RATE_CHANGES_MAX {
                let why = "a call that changes its rate again and again";
                return Err(context.unfit(Malformed::Kind, why));
            }
            self.encoder = ReturnEncoder::new(return_format);
        }
        let (whole, half) = payload.split_at(payload.len() & !1);
        if !half.is_empty() {
            caller.count(Packet::Malformed);
            context.malformed(Malformed::Payload, &"audio with half a sample");
        }
        let spec = SampleSpec::new(return_format.rate_hz, 1, Encoding::S16Le)
            .map_err(|error| context.unfit(Malformed::Header, error))?;
        caller.push(Sound::live(spec), whole, context).map(drop)
    }

    /// The first frame back: silence, before there is a mix, at the rate that the peer has.
    fn greet(
        &mut self,
        caller: &Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) {
        let return_format = self.encoder.return_format();
        let samples = context.clock.block_at(return_format.rate_hz);
        let mut message = Vec::new();
        return_format.write(&vec![0; samples as usize], &mut message);
        self.greeted = true;
        let sent = reply(&message);
        caller.count_output(!sent);
    }
}

impl Protocol for Call {
    fn receive(
        &mut self,
        mut bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        let mut partial = std::mem::take(&mut self.partial);
        let first = partial.first().or(bytes.first());
        if !caller.is_known() && first.is_some_and(|&byte| !may_begin(byte)) {
            let why = "an AudioSocket connection that does not begin with a UUID";
            return Err(context.unfit(Malformed::Kind, why));
        }
        while !bytes.is_empty() {
            // Whole messages are read where they lie; only one that is cut is put together.
            let mut taken = 0;
            let parsed = if partial.is_empty() {
                parse(bytes).inspect(|parsed| taken = parsed.map_or(0, |(_, bytes)| bytes))
            } else {
                taken = missing(&partial).min(bytes.len());
                partial.extend(&bytes[..taken]);
                parse(&partial)
            };
            let message = parsed.map_err(|error| {
                caller.count(Packet::Malformed);
                context.unfit(Malformed::Length, error)
            })?;
            match message {
                Some((message, _)) => {
                    self.take(message, caller, context, reply)?;
                    partial.clear();
                    partial.shrink_to(PARTIAL_BYTES_KEPT);
                }
                None if taken == 0 => {
                    taken = bytes.len();
                    partial.extend(bytes);
                }
                None => {}
            }
            bytes = &bytes[taken..];
        }
        self.partial = partial;
        Ok(())
    }

    fn is_two_way(&self) -> bool {
        true
    }

    fn encode<'a>(
        &'a mut self,
        frame: &Piece<'_>,
        mixes: &'a mut Mixes,
    ) -> Result<Reply<'a>, ConvertError> {
        if !self.announced && self.held_back < FRAMES_HELD_BACK {
            self.held_back += 1;
            return Ok(Reply::HeldBack);
        }
        self.greeted = true;
        let message = self.encoder.encode(frame, mixes)?;
        Ok(message.map_or(Reply::Lost, Reply::Message))
    }

    fn closed_event(&self) -> Option<&'static str> {
        Some("closed by the peer")
    }

    fn close_message(&self, reason: &EndReason) -> Vec<u8> {
        match reason.rejection() {
            Some(_) => HANGUP_MESSAGE.to_vec(),
            None => Vec::new(),
        }
    }

    /// Half a message is counted, if the peer ended it.
    fn end(&mut self, reason: &EndReason, caller: &mut Caller, context: &Context<'_>) {
        if reason.is_by_peer() && !self.partial.is_empty() {
            caller.count(Packet::Malformed);
            context.malformed(Malformed::TooShort, &"a connection that ends in a message");
        }
        caller.end(reason.is_by_peer(), context);
    }
}

/// The return format for a peer with messages of this rate.
fn return_format(plain_hz: Option<u32>, claimed_hz: u32) -> ReturnFormat {
    let known = plain_hz.filter(|_| claimed_hz == PLAIN_HZ);
    ReturnFormat {
        rate_hz: known.unwrap_or(claimed_hz),
        form: Form::AudioSocket { claimed_hz },
    }
}

/// Bytes that a message lacks of its header, or else of its whole.
fn missing(partial: &[u8]) -> usize {
    match partial {
        &[_, high, low, ..] => {
            HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])) - partial.len()
        }
        _ => HEADER_BYTES - partial.len(),
    }
}

#[cfg(test)]
mod tests;
