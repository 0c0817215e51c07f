//! One WebSocket: bytes in, a stream input and events out.
//!
//! Passive: it has no socket and no clock. Its frames may be cut anywhere. Its protocol is one of
//! several, which its handshake or its first message shows.

mod numbers;
mod speech;

use std::net::SocketAddr;

use self::speech::Speech;
use super::{
    caller::Caller,
    context::{Context, EndReason, OpenRequest},
    handoff::WebAsk,
    protocol::Protocol,
};
use crate::{
    audio::ConvertError,
    ledger::{Malformed, Packet, SourceKind},
    output::feed_reader::Piece,
    output::participants::return_encoder::{Mixes, Reply, ReturnEncoder},
    wire::websocket::{self, Frames, Message, WebSocketError},
};

#[derive(Debug)]
pub(super) struct Web {
    frames: Frames,
    ask: WebAsk,
    from: String,
    /// None until the protocol is known.
    speech: Option<Speech>,
    encoder: Option<ReturnEncoder>,
    /// The reply for a frame that is not shared.
    message: Vec<u8>,
    /// Audio for the peer that does not fill a message of its own length yet.
    pending: Vec<u8>,
    /// Whether the peer closed, and was answered.
    closed: bool,
}

/// How the message for all listeners becomes one for this peer.
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
            encoder: None,
            message: Vec::new(),
            pending: Vec::new(),
            closed: false,
        }
    }

    fn take(
        &mut self,
        message: &Message,
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        if self.speech.is_none() {
            let speech = speech::of_first(&self.ask, message, context)?;
            self.admit(speech, caller, context)?;
            if let Some(greeting) = self
                .speech
                .as_ref()
                .and_then(|speech| speech.greeting(context))
            {
                self.message.clear();
                websocket::text(greeting, &mut self.message);
                reply(&self.message);
            }
            if matches!(message, Message::Text(_)) {
                caller.receive(context);
                return Ok(());
            }
        }
        match message {
            Message::Text(text) => self.take_text(text, caller, context),
            Message::Binary(bytes) => self.take_audio(bytes, caller, context),
        }
    }

    /// The protocol is known: admits the stream, if its name is known, too.
    fn admit(
        &mut self,
        speech: Speech,
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        if !caller.is_known()
            && let Some(name) = speech.name(&self.ask)
        {
            // Another may have taken the name since the beginning.
            if let Some(id) = &self.ask.id {
                context.must_be_free(id)?;
            }
            let listens = self.ask.listen.unwrap_or(speech.is_two_way());
            let request = OpenRequest {
                id: name,
                label: self.ask.label.clone().or(speech.label()),
                from: Some((SourceKind::WebSocket, &self.from)),
                gain: self.ask.gain,
                room: self.ask.room.clone().or(speech.room()),
                muted: self.ask.muted,
                listens,
            };
            caller.open(request, context)?;
            self.frames.open();
            self.encoder = caller
                .mix_minus()
                .map(|_| ReturnEncoder::new(speech.return_format(context)));
        }
        if let Some(sound) = speech.sound().filter(|sound| sound.paced) {
            // It says how much is to be read.
            caller.input(sound, context)?;
        }
        self.speech = Some(speech);
        Ok(())
    }

    fn take_text(
        &mut self,
        text: &str,
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        let Some(speech) = &mut self.speech else {
            return Ok(());
        };
        caller.receive(context);
        if let Some(speech) = speech.take_text(text, caller, context)? {
            self.admit(speech, caller, context)?;
            // The message that named the stream came before it had an account.
            caller.receive(context);
        }
        Ok(())
    }

    fn take_audio(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        caller.receive(context);
        let Some(sound) = self.speech.as_ref().and_then(Speech::sound) else {
            let why = "a binary message where this protocol has none";
            if !caller.is_known() {
                return Err(context.unfit(Malformed::Kind, why));
            }
            caller.pass_over(why, context);
            return Ok(());
        };
        caller.push(sound, bytes, context).map(drop)
    }
}

impl Protocol for Web {
    /// Checks before anything came: a name that is taken, and a stream with known audio.
    fn begin(&mut self, caller: &mut Caller, context: &Context<'_>) -> Result<(), EndReason> {
        if let Some(id) = &self.ask.id {
            context.must_be_free(id)?;
        }
        match speech::at_once(&self.ask, context) {
            Some(speech) => self.admit(speech?, caller, context),
            None => Ok(()),
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
        reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        self.frames.push(bytes);
        let done = loop {
            match self.frames.next_message() {
                Ok(None) => break Ok(()),
                Ok(Some(message)) => {
                    if let Err(reason) = self.take(&message, caller, context, reply) {
                        break Err(reason);
                    }
                }
                Err(WebSocketError::Closed) => {
                    self.closed = true;
                    caller.note("closed by the peer", context);
                    break Err(EndReason::HungUp);
                }
                Err(error) => {
                    caller.count(Packet::Malformed);
                    let how = match error {
                        WebSocketError::TooBig { .. } => Malformed::Length,
                        WebSocketError::Utf8 => Malformed::Payload,
                        _ => Malformed::Control,
                    };
                    break Err(context.unfit(how, error));
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

    fn is_two_way(&self) -> bool {
        true
    }

    fn encode<'a>(
        &'a mut self,
        frame: &Piece<'_>,
        mixes: &'a mut Mixes,
    ) -> Result<Reply<'a>, ConvertError> {
        let Self {
            encoder: Some(encoder),
            speech: Some(speech),
            message,
            pending,
            ..
        } = self
        else {
            return Ok(Reply::Lost);
        };
        let Some(made) = encoder.encode(frame, mixes)? else {
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

    fn closed_event(&self) -> Option<&'static str> {
        Some("connection lost: no close came")
    }

    /// A word of its protocol, and the close. Nothing, if the peer closed.
    fn close_message(&self, reason: &EndReason) -> Vec<u8> {
        let mut out = Vec::new();
        if self.closed {
            return out;
        }
        if let Some(word) = self.speech.as_ref().and_then(Speech::close_message) {
            websocket::text(&word, &mut out);
        }
        match reason.rejection() {
            Some(why) => websocket::close(why.close_code(), &why.to_string(), &mut out),
            None => websocket::close(websocket::CloseCode::Normal, "", &mut out),
        }
        out
    }

    /// The peer waits for our side to close first (RFC 6455, 7.1.1).
    fn lingers(&self, _reason: &EndReason) -> bool {
        true
    }
}

/// The name of a stream that has none of its own.
fn name_of(peer: SocketAddr) -> String {
    format!("ws-{peer}")
}

#[cfg(test)]
mod tests;
