//! The protocols of WebSockets: bare samples, Asterisk's `chan_websocket`, Twilio's Media Streams, jambonz
//! and Vonage.

use super::{
    super::{
        caller::{Caller, Sound},
        context::{Context, EndReason},
        handoff::{WebAsk, WebProtocol},
    },
    Wrap, name_of,
    numbers::{self, Numbers},
};
use crate::{
    audio::{Encoding, SampleSpec},
    ledger::{Malformed, Packet},
    output::participants::return_encoder::{Form, ReturnFormat},
    wire::{
        label::Label,
        linear::{self, Opening, Vendor},
        media::{self, Command},
        twilio::{self, Event, Track},
        websocket::Message,
    },
};

/// Vonage's message rate: 20 ms each.
const VONAGE_MESSAGES_PER_SECOND: u32 = 50;

/// A protocol, as far as it has come.
#[derive(Debug)]
pub(super) struct Speech {
    kind: Kind,
    wrap: Wrap,
}

#[derive(Debug)]
enum Kind {
    /// Samples and nothing else.
    Bare(Sound),
    Media {
        start: media::Start,
        /// Whether the peer's queue is full.
        off: bool,
    },
    /// Twilio before it said which stream it is, and after.
    Connected,
    Twilio {
        stream_sid: String,
        label: Option<Label>,
        room: Option<String>,
        /// Which side of the call is mixed.
        track: Track,
        /// Whether the peer takes audio: it names the tracks that it sends alone.
        two_way: bool,
        numbers: Numbers,
    },
    Linear(Opening),
}

/// Bare samples of which all is known.
pub(super) fn at_once(ask: &WebAsk, context: &Context<'_>) -> Option<Result<Speech, EndReason>> {
    let says = ask.rate_hz.is_some() || ask.channels.is_some();
    (ask.protocol == WebProtocol::Detect && says).then(|| bare(ask, context))
}

fn bare(ask: &WebAsk, context: &Context<'_>) -> Result<Speech, EndReason> {
    let rate_hz = ask.rate_hz.unwrap_or(context.clock.format.rate_hz());
    let spec = SampleSpec::new(rate_hz, ask.channels.unwrap_or(1), Encoding::S16Le)
        .map_err(|error| context.unfit(Malformed::Header, error))?;
    let paced = ask.pour;
    Ok(Speech::new(Kind::Bare(Sound { spec, paced })))
}

/// The protocol that the first message shows.
pub(super) fn of_first(
    ask: &WebAsk,
    message: &Message,
    context: &Context<'_>,
) -> Result<Speech, EndReason> {
    let text = match (message, ask.protocol) {
        (Message::Text(text), _) => text,
        (Message::Binary(_), WebProtocol::Detect) => return bare(ask, context),
        (Message::Binary(_), _) => {
            let why = "a binary message before the text that this protocol begins with";
            return Err(context.unfit(Malformed::Kind, why));
        }
    };
    let header = |error: &dyn std::fmt::Display| context.unfit(Malformed::Header, error);
    let media = text.trim_start().starts_with("MEDIA_START")
        || ask.protocol == WebProtocol::Media
        || (ask.protocol == WebProtocol::Detect && media::is_start(text));
    if media {
        return match media::parse(text).map_err(|error| header(&error))? {
            media::Event::Start(start) => Ok(Speech::new(Kind::Media { start, off: false })),
            _ => Err(context.unfit(Malformed::Kind, "a first message that is not MEDIA_START")),
        };
    }
    if ask.protocol == WebProtocol::Detect && twilio::is_connected(text) {
        return Ok(Speech::new(Kind::Connected));
    }
    match linear::opening(text) {
        Ok(opening) => Ok(Speech::new(Kind::Linear(opening))),
        Err(linear::OpeningError::Json(error)) => Err(context.unfit(Malformed::Payload, format!(
            "the first message is text, but none of a protocol that is spoken here ({error}); samples come as binary messages"
        ))),
        Err(error) => Err(header(&error)),
    }
}

impl Speech {
    fn new(kind: Kind) -> Self {
        let wrap = match &kind {
            Kind::Twilio { stream_sid, .. } => Wrap::Text {
                prefix: twilio::prefix(stream_sid),
                suffix: twilio::SUFFIX,
            },
            Kind::Linear(Opening {
                vendor: Vendor::Vonage,
                spec,
                ..
            }) => Wrap::Cut {
                bytes: 2 * (spec.rate_hz() / VONAGE_MESSAGES_PER_SECOND) as usize,
            },
            _ => Wrap::Whole,
        };
        Self { kind, wrap }
    }

    /// The stream's name, once there is one.
    pub(super) fn name(&self, ask: &WebAsk) -> Option<String> {
        let own = match &self.kind {
            Kind::Connected => return None,
            Kind::Bare(_) => None,
            Kind::Media { start, .. } => Some(&start.connection_id),
            Kind::Twilio { stream_sid, .. } => Some(stream_sid),
            Kind::Linear(opening) => opening.call_id.as_ref(),
        };
        let id = ask.id.as_ref().or(own);
        Some(id.map_or_else(|| name_of(ask.peer), Clone::clone))
    }

    /// The label that its protocol has for it.
    pub(super) fn label(&self) -> Option<Label> {
        match &self.kind {
            Kind::Media { start, .. } => start.label.clone(),
            Kind::Twilio { label, .. } => label.clone(),
            Kind::Bare(_) | Kind::Connected | Kind::Linear(_) => None,
        }
    }

    /// The room that its protocol names.
    pub(super) fn room(&self) -> Option<String> {
        match &self.kind {
            Kind::Twilio { room, .. } => room.clone(),
            _ => None,
        }
    }

    /// Whether the mix goes back by default.
    pub(super) fn is_two_way(&self) -> bool {
        match &self.kind {
            Kind::Bare(_) | Kind::Connected => false,
            Kind::Media { .. } | Kind::Linear(_) => true,
            Kind::Twilio { two_way, .. } => *two_way,
        }
    }

    /// The format of binary messages, if there are any.
    pub(super) fn sound(&self) -> Option<Sound> {
        match &self.kind {
            Kind::Bare(sound) => Some(*sound),
            Kind::Media { start, .. } => Some(Sound::live(start.spec)),
            Kind::Connected | Kind::Twilio { .. } => None,
            Kind::Linear(opening) => Some(Sound::live(opening.spec)),
        }
    }

    /// How audio goes back.
    pub(super) fn return_format(&self, context: &Context<'_>) -> ReturnFormat {
        let (rate_hz, form) = match (&self.kind, self.sound()) {
            (Kind::Twilio { .. }, _) => (twilio::RATE_HZ, Form::Base64),
            (_, Some(Sound { spec, .. })) => {
                let form = match self.wrap {
                    Wrap::Cut { .. } => Form::Bare(spec.form()),
                    Wrap::Whole | Wrap::Text { .. } => Form::Binary(spec.form()),
                };
                (spec.rate_hz(), form)
            }
            (_, None) => (
                context.clock.format.rate_hz(),
                Form::Binary(Encoding::S16Le),
            ),
        };
        ReturnFormat { rate_hz, form }
    }

    pub(super) fn wrap(&self) -> &Wrap {
        &self.wrap
    }

    /// Whether the peer has room for audio.
    pub(super) fn takes_audio(&self) -> bool {
        !matches!(self.kind, Kind::Media { off: true, .. })
    }

    /// The first message to the peer: that messages may not be as long as it likes them best.
    pub(super) fn greeting(&self, context: &Context<'_>) -> Option<&'static str> {
        let Kind::Media { start, .. } = &self.kind else {
            return None;
        };
        let clock = context.clock;
        let block = clock.block_at(start.spec.rate_hz());
        let rest = u64::from(start.spec.rate_hz()) * clock.block_samples as u64
            - block * u64::from(clock.format.rate_hz());
        let bytes = block as usize * start.spec.instant_bytes();
        let fits = rest == 0
            && start
                .frame_bytes
                .is_none_or(|frame| bytes.is_multiple_of(frame));
        (!fits).then(|| Command::StartBuffering.text(start.style))
    }

    /// The last message to the peer before the connection is closed here.
    pub(super) fn close_message(&self) -> Option<String> {
        match &self.kind {
            Kind::Media { start, .. } => Some(Command::Hangup.text(start.style).to_owned()),
            Kind::Twilio {
                stream_sid,
                two_way: true,
                ..
            } => Some(twilio::clear(stream_sid)),
            _ => None,
        }
    }

    /// Takes a text message that is not the first. Returns the new state, if it identifies the sender.
    pub(super) fn take_text(
        &mut self,
        text: &str,
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<Option<Self>, EndReason> {
        match &mut self.kind {
            Kind::Bare(_) => {
                caller.pass_over("a text message among samples", context);
                Ok(None)
            }
            Kind::Media { off, .. } => {
                let event = media::parse(text).map_err(|error| {
                    caller.count(Packet::Malformed);
                    context.unfit(Malformed::Payload, error)
                })?;
                match event {
                    media::Event::Dtmf(digit) => dtmf(digit, caller, context),
                    media::Event::Off => *off = true,
                    media::Event::On => *off = false,
                    media::Event::Hangup => return hung_up("hangup", caller, context),
                    media::Event::Error(what) => {
                        caller.note(
                            &format!("error of the peer: {}", what.escape_debug()),
                            context,
                        );
                    }
                    media::Event::Start(_) => {
                        caller.count(Packet::Malformed);
                        context.malformed(Malformed::Kind, &"a second MEDIA_START");
                    }
                    media::Event::Other => {}
                }
                Ok(None)
            }
            Kind::Linear(_) => match linear::event(text) {
                linear::Event::Dtmf(digit) => {
                    dtmf(digit, caller, context);
                    Ok(None)
                }
                linear::Event::Disconnected => hung_up("disconnected", caller, context),
                linear::Event::Other => Ok(None),
            },
            Kind::Connected => match event(text, caller, context)? {
                Event::Start {
                    sequence,
                    stream_sid,
                    label,
                    room,
                    tracks,
                } => {
                    let named = (stream_sid, label, room);
                    Ok(Some(Self::twilio(sequence, named, &tracks)))
                }
                Event::Connected | Event::Unknown { .. } => Ok(None),
                _ => Err(context.unfit(Malformed::Kind, "a Media Stream that does not begin")),
            },
            Kind::Twilio { track, numbers, .. } => {
                let event = event(text, caller, context)?;
                take_twilio(event, *track, numbers, caller, context).map(|()| None)
            }
        }
    }

    fn twilio(
        sequence: Option<u64>,
        (stream_sid, label, room): (String, Option<Label>, Option<String>),
        tracks: &[Track],
    ) -> Self {
        let inbound = tracks.is_empty() || tracks.contains(&Track::Inbound);
        let track = if inbound {
            Track::Inbound
        } else {
            Track::Outbound
        };
        Self::new(Kind::Twilio {
            stream_sid,
            label,
            room,
            track,
            // A stream that goes both ways has the inbound track alone.
            two_way: !tracks.contains(&Track::Outbound),
            numbers: Numbers::new(sequence),
        })
    }
}

fn event(text: &str, caller: &Caller, context: &Context<'_>) -> Result<Event, EndReason> {
    twilio::parse(text).map_err(|error| {
        caller.count(Packet::Malformed);
        let how = match error {
            twilio::TwilioError::Format { .. } => Malformed::Header,
            _ => Malformed::Payload,
        };
        context.unfit(how, error)
    })
}

fn take_twilio(
    event: Event,
    mixed: Track,
    numbers: &mut Numbers,
    caller: &mut Caller,
    context: &Context<'_>,
) -> Result<(), EndReason> {
    let sound = Sound::live(twilio::SPEC);
    match event {
        Event::Media {
            sequence,
            track,
            timestamp_ms,
            payload,
        } if track == mixed => {
            let Some(sequence) = sequence else {
                return caller.push(sound, &payload, context).map(drop);
            };
            let spoken = numbers.locate(sequence, timestamp_ms, payload.len());
            let place = (spoken.number, spoken.start);
            if let Some(verdict) = caller.push_at(sound, place, &payload, context)? {
                numbers.follow(spoken, verdict, caller, context.clock.format);
            }
        }
        Event::Media { sequence, .. } => {
            caller.count(Packet::Unsupported);
            silent(sequence, numbers, caller, sound, context)?;
        }
        Event::Unknown { sequence } => {
            silent(sequence, numbers, caller, sound, context)?;
        }
        Event::Dtmf { sequence, digit } => {
            silent(sequence, numbers, caller, sound, context)?;
            dtmf(digit, caller, context);
        }
        Event::Stop { sequence } => {
            silent(sequence, numbers, caller, sound, context)?;
            caller.note("stop", context);
            return Err(EndReason::HungUp);
        }
        Event::Connected | Event::Start { .. } => {
            if let Event::Start { sequence, .. } = event {
                silent(sequence, numbers, caller, sound, context)?;
            }
            caller.count(Packet::Malformed);
            context.malformed(Malformed::Kind, &"a Media Stream that begins twice");
        }
    }
    Ok(())
}

/// A message that carries no audio: its number is no loss.
fn silent(
    sequence: Option<u64>,
    numbers: &mut Numbers,
    caller: &mut Caller,
    sound: Sound,
    context: &Context<'_>,
) -> Result<(), EndReason> {
    let Some(sequence) = sequence else {
        return Ok(());
    };
    let number = numbers::extend(sequence);
    if let Some(input) = caller.input(sound, context)? {
        let verdict = input.note(number);
        numbers.count(number, verdict, caller, context.clock.format);
    }
    Ok(())
}

fn dtmf(digit: char, caller: &mut Caller, context: &Context<'_>) {
    caller.count(Packet::TelephoneEvent);
    caller.note(&format!("dtmf {}", digit.escape_debug()), context);
}

fn hung_up(
    what: &str,
    caller: &mut Caller,
    context: &Context<'_>,
) -> Result<Option<Speech>, EndReason> {
    caller.note(what, context);
    Err(EndReason::HungUp)
}
