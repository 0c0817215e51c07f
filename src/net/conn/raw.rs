//! One TCP or Unix connection of bare samples: bytes in, a stream input out.
//!
//! ```text
//! [MIXPOOL/1 ... line] [WAV header] samples
//! ```
//!
//! Without either the samples are as the bus's are, signed, 16 bits, little-endian. Passive: it has no
//! socket and no clock. Its bytes may be cut anywhere.

use super::{
    caller::{Caller, Sound},
    context::{Context, EndReason, OpenRequest},
    handoff::Taken,
    protocol::Protocol,
};
use crate::{
    audio::{Encoding, SampleSpec},
    ledger::{Malformed, SourceKind},
    wire::{
        content_type::ContentType,
        hello::{self, Hello, HelloError, Parsed},
        wav::{HeaderReader, is_wav},
    },
};

/// Bytes that are read at once before their format is known.
const OPENING_BYTES: usize = hello::LINE_BYTES_MAX;

const UNSAID: &str = "this is no WAV, and it is not said what it is: \
     say so by the content type, audio/L16;rate=8000;channels=1, for example";
const NO_WAV: &str = "the content type says that this is a WAV, and it does not begin like one";
const EMPTY: &str = "there are no samples";
const CUT_HEADER: &str = "a WAV that ends in its header";

#[derive(Debug)]
pub(super) struct Raw {
    /// Its stream's name, unless it says another.
    id: String,
    /// Whether surplus samples are discarded, rather than left with the sender.
    drops: bool,
    /// The room of its listener, unless it says another.
    room: Option<String>,
    /// Where it comes from, for people, if it is not the listener.
    from: Option<String>,
    hello: Hello,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The first bytes: perhaps a line.
    Line(Vec<u8>),
    /// After the line: perhaps a WAV.
    Start(Vec<u8>),
    /// Nothing but a WAV may come, whether that was said or not.
    Sniff {
        head: Vec<u8>,
        said: bool,
    },
    Header(Box<HeaderReader>),
    /// Samples that are known, and of which none came.
    Bare(SampleSpec),
    Samples(Samples),
}

#[derive(Debug)]
struct Samples {
    sound: Sound,
    /// Samples that were taken, of all channels.
    count: u64,
    /// Bytes of samples that are still to come, and bytes after them are not audio; none if they go on to the end.
    left: Option<u64>,
}

impl Stage {
    fn sniff(said: bool) -> Self {
        let head = Vec::new();
        Self::Sniff { head, said }
    }
}

impl Raw {
    pub(super) fn new(id: String, drops: bool, room: Option<String>) -> Self {
        Self {
            id,
            drops,
            room,
            from: None,
            hello: Hello::default(),
            stage: Stage::Line(Vec::new()),
        }
    }

    /// One that was introduced otherwise than by a line, as `said`; nothing of it is discarded.
    pub(super) fn of(id: String, from: String, said: Hello, content: ContentType) -> Self {
        let stage = match content {
            ContentType::Wav => Stage::sniff(true),
            ContentType::Samples(spec) => Stage::Bare(spec),
            ContentType::Unsaid => Stage::sniff(false),
        };
        Self {
            from: Some(from),
            hello: said,
            stage,
            ..Self::new(id, false, None)
        }
    }

    /// Admits the stream that the line describes, as far as it does.
    fn open_bare(
        &mut self,
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<Samples, EndReason> {
        let (hello, bus) = (&self.hello, context.clock.format);
        let spec = SampleSpec::new(
            hello.rate_hz.unwrap_or(bus.rate_hz()),
            hello.channels.unwrap_or(bus.channels()),
            hello.encoding.unwrap_or(Encoding::S16Le),
        )
        .map_err(|error| context.unfit(Malformed::Header, error))?;
        self.open(spec, None, caller, context)
    }

    /// Admits the stream, of samples that go on to the end if their length is not known.
    fn open(
        &mut self,
        spec: SampleSpec,
        left: Option<u64>,
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<Samples, EndReason> {
        let id = self.hello.id.take().unwrap_or_else(|| self.id.clone());
        if self.from.is_some() {
            // Another may have taken the name of a body since that began.
            context.must_be_free(&id)?;
        }
        let request = OpenRequest {
            id,
            label: self.hello.label.take(),
            from: self.from.as_deref().map(|from| (SourceKind::Http, from)),
            gain: self.hello.gain,
            room: self.hello.room.take().or(self.room.take()),
            muted: self.hello.muted.unwrap_or(false),
            listens: false,
        };
        caller.open(request, context)?;
        let paced = !self.drops;
        let sound = Sound { spec, paced };
        caller.input(sound, context)?;
        Ok(Samples {
            sound,
            count: 0,
            left,
        })
    }

    /// The bytes taken of it; none if it never came to its samples.
    pub(super) fn taken(&self) -> Option<Taken> {
        let Stage::Samples(samples) = &self.stage else {
            return None;
        };
        let spec = samples.sound.spec;
        Some(Taken {
            id: self.id.clone(),
            spec,
            samples: samples.count / u64::from(spec.channels()),
        })
    }

    /// Why it did not come to its samples, if it ends now.
    pub(super) fn unfinished(&self) -> (Malformed, &'static str) {
        match &self.stage {
            Stage::Sniff { head, said: false } if !head.is_empty() => (Malformed::Header, UNSAID),
            Stage::Sniff { head, .. } if head.is_empty() => (Malformed::TooShort, EMPTY),
            Stage::Sniff { .. } | Stage::Header(_) => (Malformed::Header, CUT_HEADER),
            _ => (Malformed::TooShort, EMPTY),
        }
    }

    /// The connection is over. If the sender ended it, half a sample or half a header is counted.
    pub(super) fn finish(&mut self, by_peer: bool, caller: &mut Caller, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Samples(samples) => samples.end(by_peer, caller, context),
            _ if !by_peer => {}
            Stage::Line(head) if hello::parse(head) == Ok(Parsed::Partial) && head.len() > 8 => {
                context.malformed(Malformed::Header, &"a first line without an end");
            }
            // Too few bytes to be anything but samples.
            Stage::Line(head) | Stage::Start(head) if !head.is_empty() => {
                let head = std::mem::take(head);
                if let Ok(mut samples) = self.open_bare(caller, context)
                    && samples.push(&head, caller, context).is_ok()
                {
                    samples.end(by_peer, caller, context);
                }
            }
            Stage::Header(_) | Stage::Sniff { .. } => {
                let (how, why) = self.unfinished();
                context.malformed(how, &why);
            }
            Stage::Line(_) | Stage::Start(_) | Stage::Bare(_) => {}
        }
    }
}

impl Protocol for Raw {
    fn read_budget(&self, caller: &Caller) -> usize {
        match &self.stage {
            Stage::Samples(_) => caller.read_budget(),
            _ => OPENING_BYTES,
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
        _reply: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), EndReason> {
        let mut held;
        let mut bytes = bytes;
        loop {
            match &mut self.stage {
                Stage::Line(head) => {
                    head.extend(bytes);
                    match hello::parse(head) {
                        Ok(Parsed::Partial) => return Ok(()),
                        Ok(Parsed::Absent) => {
                            self.stage = Stage::Start(std::mem::take(head));
                            bytes = &[];
                        }
                        Ok(Parsed::Hello(hello, taken)) => {
                            held = head.split_off(taken);
                            bytes = &held;
                            self.hello = hello;
                            self.stage = Stage::Start(Vec::new());
                        }
                        Err(error) => return Err(refuse_hello(&error, context)),
                    }
                }
                Stage::Start(head) => {
                    head.extend(bytes);
                    match is_wav(head) {
                        None => return Ok(()),
                        Some(wav) => {
                            held = std::mem::take(head);
                            bytes = &held;
                            self.stage = if wav {
                                Stage::Header(Box::default())
                            } else {
                                Stage::Samples(self.open_bare(caller, context)?)
                            };
                        }
                    }
                }
                Stage::Sniff { head, said } => {
                    head.extend(bytes);
                    match is_wav(head) {
                        None => return Ok(()),
                        Some(false) => {
                            let why = if *said { NO_WAV } else { UNSAID };
                            return Err(context.unfit(Malformed::Header, why));
                        }
                        Some(true) => {
                            held = std::mem::take(head);
                            bytes = &held;
                            self.stage = Stage::Header(Box::default());
                        }
                    }
                }
                Stage::Bare(spec) => {
                    let spec = *spec;
                    self.stage = Stage::Samples(self.open(spec, None, caller, context)?);
                }
                Stage::Header(reader) => match reader.push(bytes) {
                    Ok((_, None)) => return Ok(()),
                    Ok((taken, Some(header))) => {
                        bytes = &bytes[taken..];
                        let left = header.data_bytes(None);
                        self.stage =
                            Stage::Samples(self.open(header.spec, left, caller, context)?);
                    }
                    Err(error) => {
                        return Err(context.unfit(Malformed::Header, error));
                    }
                },
                Stage::Samples(samples) => {
                    samples.push(bytes, caller, context)?;
                    if samples.left == Some(0) {
                        // It plays on, and later bytes are passed over.
                        caller.end(true, context);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn close_message(&self, reason: &EndReason) -> Vec<u8> {
        let why = reason.rejection();
        why.map_or_else(Vec::new, |why| format!("mixpool: {why}\n").into_bytes())
    }

    fn end(&mut self, reason: &EndReason, caller: &mut Caller, context: &Context<'_>) {
        self.finish(reason.is_by_peer(), caller, context);
    }
}

/// Counts a line that cannot be obeyed.
fn refuse_hello(error: &HelloError, context: &Context<'_>) -> EndReason {
    let how = match error {
        HelloError::Version { .. } => Malformed::Version,
        _ => Malformed::Header,
    };
    context.unfit(how, error)
}

impl Samples {
    /// Takes bytes of samples, as many as are to come.
    fn push(
        &mut self,
        bytes: &[u8],
        caller: &mut Caller,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        let wanted = self.left.map_or(bytes.len(), |left| {
            usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
        });
        self.left = self.left.map(|left| left - wanted as u64);
        let count = caller.push(self.sound, &bytes[..wanted], context)?;
        if count > 0 {
            self.count += count as u64;
            if let Some(network) = caller.network() {
                network.set_last_packet(context.now_ns);
            }
        }
        Ok(())
    }

    fn end(&self, by_peer: bool, caller: &mut Caller, context: &Context<'_>) {
        if let (true, Some(left @ 1..)) = (by_peer, self.left) {
            let lacks = format!("cut short: its WAV header claims {left} bytes more");
            caller.note(&lacks, context);
        }
        caller.end(by_peer, context);
    }
}

#[cfg(test)]
mod tests;
