//! One WebSocket: bytes in, a voice and events out.
//!
//! Passive: it has no socket and no clock. Its frames may be cut anywhere. What is said on it is one of
//! several protocols, which its handshake or its first message shows.

mod numbers;
mod speech;

use std::net::SocketAddr;

use self::speech::Speech;
use super::{
    decoder::Decoder,
    guests::WebAsk,
    host::{Host, Over, Wish},
    talker::Talker,
    voice::Voice,
};
use crate::{
    audio::ConvertError,
    ledger::{Malformed, Packet},
    output::participants::heard::{Ear, Mix, Reply},
    queue::LeaseId,
    stream::Stream,
    wire::websocket::{self, Frames, Message, WebSocketError},
};

/// Blocks of the mix that are read at once of a sender who may be faster than they play.
const BLOCKS_READ: usize = 8;

/// One connection.
#[derive(Debug)]
pub(super) struct Web {
    frames: Frames,
    ask: WebAsk,
    /// Where it comes from, for people.
    from: String,
    /// None until it is known what is spoken.
    speech: Option<Speech>,
    talker: Talker,
    ear: Option<Ear>,
    decoder: Decoder,
    /// What goes back of a frame that is not the same for all.
    message: Vec<u8>,
    /// Audio for the peer that does not fill a message of its own length yet.
    pending: Vec<u8>,
    /// Of a sender that may be faster than its samples play: most bytes to read at once.
    poured_bytes: Option<usize>,
    /// Whether the peer closed, and was answered.
    closed: bool,
}

/// How a message comes of what was made for all listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrap {
    /// It is one.
    Whole,
    /// Between these, as text.
    Text {
        prefix: String,
        suffix: &'static str,
    },
    /// In messages of this length.
    Cut { bytes: usize },
}

impl Web {
    /// A connection on which nothing came yet.
    pub(super) fn new(ask: WebAsk) -> Self {
        Self {
            frames: Frames::new(),
            from: format!("websocket {}", ask.peer),
            speech: None,
            ask,
            talker: Talker::new(),
            ear: None,
            decoder: Decoder::default(),
            message: Vec::new(),
            pending: Vec::new(),
            poured_bytes: None,
            closed: false,
        }
    }

    /// What is known before anything came: a name that is taken, and a stream whose audio is known.
    pub(super) fn begin(&mut self, host: &Host<'_>) -> Result<(), Over> {
        if let Some(id) = &self.ask.id {
            host.must_be_free(id)?;
        }
        match speech::at_once(&self.ask, host) {
            Some(speech) => self.admit(speech, host),
            None => Ok(()),
        }
    }

    /// Takes what came. `reply` writes to the peer.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        host: &Host<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Over> {
        self.frames.push(bytes);
        let done = loop {
            match self.frames.next_message() {
                Ok(None) => break Ok(()),
                Ok(Some(message)) => {
                    if let Err(over) = self.take(&message, host, reply) {
                        break Err(over);
                    }
                }
                Err(WebSocketError::Closed) => {
                    self.closed = true;
                    self.talker.note("closed by the peer", host);
                    break Err(Over::HungUp);
                }
                Err(error) => {
                    self.talker.count(Packet::Malformed);
                    let how = match error {
                        WebSocketError::TooBig { .. } => Malformed::Length,
                        WebSocketError::Utf8 => Malformed::Payload,
                        _ => Malformed::Control,
                    };
                    break Err(host.unfit(how, error));
                }
            }
        };
        self.message.clear();
        self.frames.take_replies(&mut self.message);
        if !self.message.is_empty() {
            reply(&self.message);
        }
        done
    }

    fn take(
        &mut self,
        message: &Message,
        host: &Host<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Over> {
        if self.speech.is_none() {
            let speech = speech::of_first(&self.ask, message, host)?;
            self.admit(speech, host)?;
            if let Some(greeting) = self
                .speech
                .as_ref()
                .and_then(|speech| speech.greeting(host))
            {
                self.message.clear();
                websocket::text(greeting, &mut self.message);
                reply(&self.message);
            }
            if matches!(message, Message::Text(_)) {
                self.talker.receive(host);
                return Ok(());
            }
        }
        match message {
            Message::Text(text) => self.take_text(text, host),
            Message::Binary(bytes) => self.take_audio(bytes, host),
        }
    }

    /// It is known what is spoken: admits the stream, if who it is, is known, too.
    fn admit(&mut self, speech: Speech, host: &Host<'_>) -> Result<(), Over> {
        if !self.talker.is_known()
            && let Some(name) = speech.name(&self.ask)
        {
            // Another may have taken the name since the beginning.
            if let Some(id) = &self.ask.id {
                host.must_be_free(id)?;
            }
            let listens = self.ask.listen.unwrap_or(speech.is_two_way());
            let wish = Wish {
                id: name,
                label: self.ask.label.clone().or(speech.label()),
                from: Some(&self.from),
                gain: self.ask.gain,
                listens,
            };
            self.talker.open(wish, host)?;
            self.frames.open();
            self.ear = self.talker.output().map(|_| Ear::new(speech.voicing(host)));
        }
        if let Some((sound, encoding)) = speech.sound().filter(|(sound, _)| sound.pours) {
            let frame = usize::from(sound.channels) * encoding.bytes_per_sample();
            let block = u64::from(sound.rate_hz) * host.clock.block_samples as u64;
            let block = block / u64::from(host.clock.format.rate_hz());
            self.poured_bytes = Some((block as usize).max(1) * BLOCKS_READ * frame);
        }
        self.speech = Some(speech);
        Ok(())
    }

    fn take_text(&mut self, text: &str, host: &Host<'_>) -> Result<(), Over> {
        let Self {
            speech: Some(speech),
            talker,
            decoder,
            ..
        } = self
        else {
            return Ok(());
        };
        talker.receive(host);
        if let Some(speech) = speech.take_text(text, talker, decoder, host)? {
            self.admit(speech, host)?;
            // The message that named the stream came before it had an account.
            self.talker.receive(host);
        }
        Ok(())
    }

    fn take_audio(&mut self, bytes: &[u8], host: &Host<'_>) -> Result<(), Over> {
        self.talker.receive(host);
        let Some((sound, encoding)) = self.speech.as_ref().and_then(Speech::sound) else {
            let why = "a binary message where this protocol has none";
            if !self.talker.is_known() {
                return Err(host.unfit(Malformed::Kind, why));
            }
            self.talker.pass_over(why, host);
            return Ok(());
        };
        let samples = self.decoder.decode(bytes, encoding, sound.channels.into());
        if samples.is_empty() {
            return Ok(());
        }
        self.talker.hear(sound, samples, host)
    }

    /// What goes back for a frame of the mix.
    pub(super) fn hear<'a>(
        &'a mut self,
        at: u64,
        samples: &[i16],
        mix: &'a mut Mix,
    ) -> Result<Reply<'a>, ConvertError> {
        let Self {
            ear: Some(ear),
            speech: Some(speech),
            message,
            pending,
            ..
        } = self
        else {
            return Ok(Reply::Lost);
        };
        let Some(made) = ear.hear(at, samples, mix)? else {
            return Ok(Reply::Lost);
        };
        if !speech.takes_audio() {
            return Ok(Reply::Lost);
        }
        message.clear();
        match speech.wrap() {
            Wrap::Whole => return Ok(Reply::Message(made)),
            Wrap::Text { prefix, suffix } => {
                websocket::text_header(prefix.len() + made.len() + suffix.len(), message);
                message.extend(prefix.as_bytes());
                message.extend(made);
                message.extend(suffix.as_bytes());
            }
            Wrap::Cut { bytes } => {
                pending.extend(made);
                for frame in pending.chunks_exact(*bytes) {
                    websocket::binary_header(frame.len(), message);
                    message.extend(frame);
                }
                pending.drain(..pending.len() / bytes * bytes);
                if message.is_empty() {
                    return Ok(Reply::Later);
                }
            }
        }
        Ok(Reply::Message(message))
    }

    /// What is said before the connection is closed for this reason: a word of its protocol, and the
    /// close. Nothing, if the peer closed.
    pub(super) fn farewell(&self, over: &Over) -> Vec<u8> {
        let mut out = Vec::new();
        if self.closed {
            return out;
        }
        if let Some(word) = self.speech.as_ref().and_then(Speech::farewell) {
            websocket::text(&word, &mut out);
        }
        match over.rejection() {
            Some(why) => websocket::close(why.close_code(), &why.to_string(), &mut out),
            None => websocket::close(websocket::CloseCode::Normal, "", &mut out),
        }
        out
    }

    /// Whether it has said who it is.
    pub(super) fn is_known(&self) -> bool {
        self.talker.is_known()
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        self.talker.stream()
    }

    pub(super) fn output(&self) -> Option<LeaseId> {
        self.talker.output()
    }

    pub(super) fn count_output(&self, dropped: bool) {
        self.talker.count_output(dropped);
    }

    pub(super) fn note(&mut self, what: &str, host: &Host<'_>) {
        self.talker.note(what, host);
    }

    /// Most bytes to read now: of a sender that may be faster than its samples play, none while its ring
    /// is full.
    pub(super) fn appetite(&self) -> usize {
        match self.poured_bytes {
            Some(_) if !self.talker.has_room() => 0,
            Some(bytes) => bytes,
            None => usize::MAX,
        }
    }

    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        self.talker.is_playing(now_ns)
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        self.talker.before_tick(tick, now_ns);
    }

    /// The connection is over: gives what still has to play. If the peer ended it, half a sample is
    /// counted.
    pub(super) fn end(self, host: &Host<'_>, by_peer: bool) -> Option<Voice> {
        if by_peer && self.decoder.is_within_a_sample() {
            self.talker.count(Packet::Malformed);
            host.malformed(Malformed::Payload, &"a WebSocket that ends in a sample");
        }
        self.talker.end(host)
    }
}

/// The name of a stream that has none of its own.
fn name_of(peer: SocketAddr) -> String {
    format!("ws-{peer}")
}

#[cfg(test)]
mod tests;
