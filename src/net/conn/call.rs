//! One AudioSocket connection: bytes in, a voice and events out.
//!
//! Passive: it has no socket and no clock. Its messages may be cut anywhere.

use super::{
    host::{Host, Over, Wish},
    talker::{Sound, Talker},
    voice::Voice,
};
use crate::{
    audio::{ConvertError, codec::Encoding},
    ledger::{Malformed, Packet},
    output::participants::heard::{Ear, Form, Mix, Reply, Voicing},
    queue::LeaseId,
    stream::Stream,
    wire::audiosocket::{HEADER_BYTES, Message, may_begin, parse, uuid_text},
};

/// The rate of audio whose message claims none: Asterisk's older releases know no other kind.
const PLAIN_HZ: u32 = 8_000;

/// Changes of a call's rate: each costs a filter, and a call has a handful.
const RATE_CHANGES_MAX: u32 = 64;

/// Frames of the mix that are held back from a peer that has not sent audio: its first message says the rate at
/// which it hears, and comes a moment after its UUID.
const FRAMES_HELD_BACK: u32 = 2;

/// Memory for a half-made message that is kept when there is none.
const PARTIAL_BYTES_KEPT: usize = 4 << 10;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// The rate of messages that claim 8 kHz, if it is known better.
    plain_hz: Option<u32>,
    /// The message that has not come whole yet.
    partial: Vec<u8>,
    talker: Talker,
    ear: Ear,
    samples: Vec<i16>,
    rate_changes: u32,
    /// Whether a message of audio came, be it empty: its rate is that of the way back.
    announced: bool,
    /// Whether a frame went back.
    greeted: bool,
    held_back: u32,
}

impl Call {
    /// A call of which nothing is known. `plain_hz` is the rate of messages that claim 8 kHz.
    pub(super) fn new(plain_hz: Option<u32>) -> Self {
        Self {
            plain_hz,
            partial: Vec::new(),
            talker: Talker::new(),
            ear: Ear::new(voicing(plain_hz, PLAIN_HZ)),
            samples: Vec::new(),
            rate_changes: 0,
            announced: false,
            greeted: false,
            held_back: 0,
        }
    }

    /// Takes what came. `reply` writes a message to the peer.
    pub(super) fn receive(
        &mut self,
        mut bytes: &[u8],
        host: &Host<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Over> {
        let mut partial = std::mem::take(&mut self.partial);
        let first = partial.first().or(bytes.first());
        if !self.is_known() && first.is_some_and(|&byte| !may_begin(byte)) {
            let why = "an AudioSocket connection that does not begin with a UUID";
            return Err(host.unfit(Malformed::Kind, why));
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
                self.talker.count(Packet::Malformed);
                host.unfit(Malformed::Length, error)
            })?;
            match message {
                Some((message, _)) => {
                    self.take(message, host, reply)?;
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

    fn take(
        &mut self,
        message: Message<'_>,
        host: &Host<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Over> {
        match message {
            Message::Uuid(uuid) if !self.is_known() => {
                let wish = Wish {
                    id: uuid_text(uuid),
                    label: None,
                    from: None,
                    gain: None,
                    listens: true,
                };
                self.talker.open(wish, host)?;
            }
            Message::Hangup => {
                self.note("hangup", host);
                return Err(Over::HungUp);
            }
            Message::Uuid(_) => {
                self.talker.count(Packet::Malformed);
                host.malformed(Malformed::Kind, &"a second UUID on a connection");
            }
            Message::Dtmf(key) => {
                self.talker.receive(host);
                self.talker.count(Packet::TelephoneEvent);
                self.note(&format!("dtmf {}", char::from(key).escape_default()), host);
            }
            Message::Error(code) => {
                let shown = &code[..code.len().min(16)];
                self.note(&format!("error {shown:02x?} of the peer"), host);
            }
            Message::Unknown(_) => {
                self.talker.receive(host);
                self.talker.count(Packet::Unsupported);
            }
            Message::Audio { rate_hz, payload } => {
                self.talker.receive(host);
                self.take_audio(rate_hz, payload, host)?;
                self.announced = true;
                if !self.greeted && self.output().is_some() {
                    self.greet(host, reply);
                }
            }
        }
        Ok(())
    }

    fn take_audio(&mut self, claimed_hz: u32, payload: &[u8], host: &Host<'_>) -> Result<(), Over> {
        let voicing = voicing(self.plain_hz, claimed_hz);
        if voicing != self.ear.voicing() {
            self.rate_changes += 1;
            if self.rate_changes > RATE_CHANGES_MAX {
                let why = "a call that changes its rate again and again";
                return Err(host.unfit(Malformed::Kind, why));
            }
            self.ear = Ear::new(voicing);
        }
        let (whole, half) = payload.split_at(payload.len() & !1);
        if !half.is_empty() {
            self.talker.count(Packet::Malformed);
            host.malformed(Malformed::Payload, &"audio with half a sample");
        }
        self.samples.resize(whole.len() / 2, 0);
        Encoding::S16Le.decode(whole, &mut self.samples);
        let sound = Sound {
            rate_hz: voicing.rate_hz,
            channels: 1,
            pours: false,
        };
        self.talker.hear(sound, &self.samples, host)
    }

    /// The first frame back: silence, before there is a mix, at the rate that the peer has.
    fn greet(&mut self, host: &Host<'_>, reply: &mut dyn FnMut(&[u8]) -> bool) {
        let voicing = self.ear.voicing();
        let block = u64::from(voicing.rate_hz) * host.clock.block_samples as u64;
        let samples = block / u64::from(host.clock.format.rate_hz());
        let mut message = Vec::new();
        voicing.write(&vec![0; samples as usize], &mut message);
        self.greeted = true;
        let sent = reply(&message);
        self.count_output(!sent);
    }

    /// What goes back for a frame of the mix.
    pub(super) fn hear<'a>(
        &'a mut self,
        at: u64,
        samples: &[i16],
        mix: &'a mut Mix,
    ) -> Result<Reply<'a>, ConvertError> {
        if !self.announced && self.held_back < FRAMES_HELD_BACK {
            self.held_back += 1;
            return Ok(Reply::HeldBack);
        }
        self.greeted = true;
        let message = self.ear.hear(at, samples, mix)?;
        Ok(message.map_or(Reply::Lost, Reply::Message))
    }

    /// Its stream, while it has one.
    pub(super) fn stream(&self) -> Option<&Stream> {
        self.talker.stream()
    }

    /// A frame went back, or was lost.
    pub(super) fn count_output(&self, dropped: bool) {
        self.talker.count_output(dropped);
    }

    /// Notes an event of the call, if it is one.
    pub(super) fn note(&mut self, what: &str, host: &Host<'_>) {
        self.talker.note(what, host);
    }

    /// Whether it has said who it is.
    pub(super) fn is_known(&self) -> bool {
        self.talker.is_known()
    }

    /// The ring in which its mix-minus comes.
    pub(super) fn output(&self) -> Option<LeaseId> {
        self.talker.output()
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        self.talker.before_tick(tick, now_ns);
    }

    /// The connection is over: gives what still has to play. If the peer ended it, half a message is
    /// counted.
    pub(super) fn end(self, host: &Host<'_>, by_peer: bool) -> Option<Voice> {
        if by_peer && !self.partial.is_empty() {
            self.talker.count(Packet::Malformed);
            host.malformed(Malformed::TooShort, &"a connection that ends in a message");
        }
        self.talker.end(host)
    }
}

/// How audio goes back to a peer whose messages claim this rate.
fn voicing(plain_hz: Option<u32>, claimed_hz: u32) -> Voicing {
    let known = plain_hz.filter(|_| claimed_hz == PLAIN_HZ);
    Voicing {
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
