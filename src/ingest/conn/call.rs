//! One AudioSocket connection: bytes in, a voice and events out.
//!
//! Passive: it has no socket and no clock. Its messages may be cut anywhere.

use super::{
    heard::{Ear, Voicing},
    host::{Host, Opened, Over},
    voice::{Live, Voice},
};
use crate::{
    audio::codec::Encoding,
    ingest::Stream,
    ledger::{Malformed, Packet},
    queue::LeaseId,
    wire::audiosocket::{HEADER_BYTES, Message, may_begin, parse, uuid_text},
};

/// The rate of audio whose message claims none: Asterisk's older releases know no other kind.
const PLAIN_HZ: u32 = 8_000;

/// Events of a call that the log has one by one.
const EVENTS_TOLD: u32 = 64;

/// Changes of a call's rate: each costs a filter, and a call has a handful.
const RATE_CHANGES_MAX: u32 = 64;

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
    output: Option<LeaseId>,
    samples: Vec<i16>,
    /// Events there were.
    events: u32,
    rate_changes: u32,
}

/// How far a call has come.
#[derive(Debug)]
enum Talker {
    /// Nobody knows who it is.
    Stranger,
    /// It was admitted, and gave no audio yet.
    Silent(Stream),
    Heard(Box<Live>),
    /// It hung up, or its stream was taken from it.
    Gone,
}

impl Call {
    /// A call of which nothing is known. `plain_hz` is the rate of messages that claim 8 kHz.
    pub(super) fn new(plain_hz: Option<u32>) -> Self {
        Self {
            plain_hz,
            partial: Vec::new(),
            talker: Talker::Stranger,
            ear: Ear::new(voicing(plain_hz, PLAIN_HZ)),
            output: None,
            samples: Vec::new(),
            events: 0,
            rate_changes: 0,
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
            host.malformed(Malformed::Kind, &why);
            return Err(Over::Malformed(why.to_owned()));
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
                host.malformed(Malformed::Length, &error);
                self.count(Packet::Malformed);
                Over::Malformed(error.to_string())
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
            Message::Uuid(uuid) if matches!(self.talker, Talker::Stranger) => {
                let Opened { stream, output } = host.open(uuid_text(uuid), None, true)?;
                self.output = output;
                self.talker = Talker::Silent(stream);
                if output.is_some() {
                    self.greet(host, reply);
                }
            }
            Message::Hangup => {
                self.note("hangup", host);
                return Err(Over::HungUp);
            }
            Message::Uuid(_) => {
                self.count(Packet::Malformed);
                host.malformed(Malformed::Kind, &"a second UUID on a connection");
            }
            Message::Dtmf(key) => {
                self.count(Packet::Received);
                self.count(Packet::TelephoneEvent);
                self.note(&format!("dtmf {}", char::from(key).escape_default()), host);
            }
            Message::Error(code) => {
                let shown = &code[..code.len().min(16)];
                self.note(&format!("error {shown:02x?} of the peer"), host);
            }
            Message::Unknown(_) => {
                self.count(Packet::Received);
                self.count(Packet::Unsupported);
            }
            Message::Audio { rate_hz, payload } => {
                self.count(Packet::Received);
                self.hear(rate_hz, payload, host)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, claimed_hz: u32, payload: &[u8], host: &Host<'_>) -> Result<(), Over> {
        let voicing = voicing(self.plain_hz, claimed_hz);
        if voicing != self.ear.voicing() {
            self.rate_changes += 1;
            if self.rate_changes > RATE_CHANGES_MAX {
                let why = "a call that changes its rate again and again";
                host.malformed(Malformed::Kind, &why);
                return Err(Over::Malformed(why.to_owned()));
            }
            self.ear = Ear::new(voicing);
        }
        let (whole, half) = payload.split_at(payload.len() & !1);
        if !half.is_empty() {
            self.count(Packet::Malformed);
            host.malformed(Malformed::Payload, &"audio with half a sample");
        }
        self.talker = match std::mem::replace(&mut self.talker, Talker::Gone) {
            Talker::Silent(stream) => {
                let (playout, clock) = (host.settings.playout, *host.clock);
                match Live::new(stream, playout, voicing.rate_hz, 1, clock) {
                    Ok(live) => Talker::Heard(Box::new(live)),
                    Err(error) => return Err(Over::Malformed(error.to_string())),
                }
            }
            talker => talker,
        };
        if let Talker::Heard(live) = &mut self.talker {
            if let Err(error) = live.set_rate(voicing.rate_hz) {
                return Err(Over::Malformed(error.to_string()));
            }
            self.samples.resize(whole.len() / 2, 0);
            Encoding::S16Le.decode(whole, &mut self.samples);
            live.push(&self.samples, host.now_ns);
        }
        Ok(())
    }

    /// The first frame back: silence, before there is a mix. Peers wait for it.
    fn greet(&mut self, host: &Host<'_>, reply: &mut dyn FnMut(&[u8]) -> bool) {
        let voicing = self.ear.voicing();
        let block = u64::from(voicing.rate_hz) * host.clock.block_samples as u64;
        let samples = block / u64::from(host.clock.format.rate_hz());
        let mut message = Vec::new();
        voicing.write(&vec![0; samples as usize], &mut message);
        let sent = reply(&message);
        self.count_output(!sent);
    }

    /// Its stream, while it has one.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.talker {
            Talker::Silent(stream) => Some(stream),
            Talker::Heard(live) => Some(live.stream()),
            Talker::Stranger | Talker::Gone => None,
        }
    }

    fn count(&self, packet: Packet) {
        if let Some(network) = self.stream().and_then(|stream| stream.account().network()) {
            network.count(packet);
        }
    }

    /// A frame went back, or was lost.
    pub(super) fn count_output(&self, dropped: bool) {
        if let Some(network) = self.stream().and_then(|stream| stream.account().network()) {
            network.count_output(dropped);
        }
    }

    /// Notes an event of the call, if it is one. The log has the first of them, and of a flood ever fewer.
    pub(super) fn note(&mut self, what: &str, host: &Host<'_>) {
        self.events += 1;
        let told = self.events <= EVENTS_TOLD || self.events.is_power_of_two();
        if let Some(stream) = self.stream() {
            host.note(stream, what, told);
        }
    }

    /// Whether it has said who it is.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.talker, Talker::Stranger)
    }

    /// The ring in which its mix-minus comes.
    pub(super) fn output(&self) -> Option<LeaseId> {
        self.output
    }

    pub(super) fn ear(&mut self) -> &mut Ear {
        &mut self.ear
    }

    pub(super) fn before_tick(&mut self, tick: u64) {
        if let Talker::Heard(live) = &mut self.talker {
            live.top_up(tick);
        }
    }

    /// The connection is over: gives what still has to play. If the peer ended it, half a message is
    /// counted.
    pub(super) fn end(mut self, host: &Host<'_>, by_peer: bool) -> Option<Voice> {
        if by_peer && !self.partial.is_empty() {
            self.count(Packet::Malformed);
            host.malformed(Malformed::TooShort, &"a connection that ends in a message");
        }
        match std::mem::replace(&mut self.talker, Talker::Gone) {
            Talker::Heard(live) => {
                let mut voice = Voice::Live(live);
                voice.end(host.now_ns);
                Some(voice)
            }
            _ => None,
        }
    }
}

/// How audio goes back to a peer whose messages claim this rate.
fn voicing(plain_hz: Option<u32>, claimed_hz: u32) -> Voicing {
    let known = plain_hz.filter(|_| claimed_hz == PLAIN_HZ);
    Voicing {
        rate_hz: known.unwrap_or(claimed_hz),
        claimed_hz,
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
