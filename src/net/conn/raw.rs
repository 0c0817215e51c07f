//! One TCP or Unix connection of bare samples: bytes in, a stream input out.
//!
//! ```text
//! [MIXPOOL/1 ... line] [WAV header] samples
//! ```
//!
//! Without either the samples are as the bus's are, signed, 16 bits, little-endian. Passive: it has no
//! socket and no clock. Its bytes may be cut anywhere.

use super::{
    context::{Context, EndReason, OpenRequest, Opened},
    decoder::Decoder,
    handoff::Taken,
    input::{LiveInput, PacedInput, StreamInput},
};
use crate::{
    audio::{Gain, codec::Encoding},
    ledger::{Malformed, Packet, SourceKind},
    stream::Stream,
    wire::{
        content_type::ContentType,
        hello::{self, Hello, HelloError, Parsed},
        label::Label,
        wav::{HeaderReader, Layout, is_wav},
    },
};

/// Bytes that are read at once before it is known what they are.
const OPENING_BYTES: usize = hello::LINE_BYTES_MAX;

/// Blocks of the mix that are read at once.
const BLOCKS_READ: usize = 8;

const UNSAID: &str = "this is no WAV, and it is not said what it is: \
     say so by the content type, audio/L16;rate=8000;channels=1, for example";
const NO_WAV: &str = "the content type says that this is a WAV, and it does not begin like one";
const EMPTY: &str = "there are no samples";
const CUT_HEADER: &str = "a WAV that ends in its header";

/// One sender of bare samples.
#[derive(Debug)]
pub(super) struct Raw {
    /// Its stream's name, unless it says another.
    id: String,
    /// Whether what is too much is discarded, rather than left with the sender.
    drops: bool,
    /// Where it comes from, for people, if it is not the listener.
    from: Option<String>,
    hello: Hello,
    stage: Stage,
    /// The bytes taken, once its stream input is gone.
    taken: Option<Taken>,
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
    Bare(Layout),
    Samples(Box<Samples>),
    /// A WAV's samples have all come; what follows is not audio.
    Rest,
    /// Over.
    Gone,
}

#[derive(Debug)]
struct Samples {
    encoding: Encoding,
    channels: usize,
    rate_hz: u32,
    /// Samples that were taken, of all channels.
    count: u64,
    /// Bytes of samples that are still to come; none if they go on to the end.
    left: Option<u64>,
    decoder: Decoder,
    /// Most bytes to be read at once.
    read_budget: usize,
    input: StreamInput,
}

impl Stage {
    fn sniff(said: bool) -> Self {
        let head = Vec::new();
        Self::Sniff { head, said }
    }
}

impl Raw {
    pub(super) fn new(id: String, drops: bool) -> Self {
        Self {
            id,
            drops,
            from: None,
            hello: Hello::default(),
            stage: Stage::Line(Vec::new()),
            taken: None,
        }
    }

    /// One that was introduced otherwise than by a line; nothing of it is discarded.
    pub(super) fn of(
        id: String,
        label: Option<Label>,
        from: String,
        gain: Option<Gain>,
        content: ContentType,
    ) -> Self {
        let stage = match content {
            ContentType::Wav => Stage::sniff(true),
            ContentType::Samples(samples) => Stage::Bare(Layout {
                encoding: samples.encoding,
                channels: samples.channels,
                rate_hz: samples.rate_hz,
                data_bytes: None,
            }),
            ContentType::Unsaid => Stage::sniff(false),
        };
        Self {
            from: Some(from),
            hello: Hello {
                label,
                gain,
                ..Hello::default()
            },
            stage,
            ..Self::new(id, false)
        }
    }

    /// How many bytes to read now, at most; none while its ring is full.
    pub(super) fn read_budget(&self) -> usize {
        match &self.stage {
            Stage::Samples(samples) if !samples.input.has_room() => 0,
            Stage::Samples(samples) => samples.read_budget,
            Stage::Rest => usize::MAX,
            _ => OPENING_BYTES,
        }
    }

    /// Takes what came. Returns the stream input of a WAV that is complete: it plays on, and what follows is
    /// passed over.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Result<Option<StreamInput>, EndReason> {
        let mut held;
        let mut bytes = bytes;
        loop {
            match &mut self.stage {
                Stage::Line(head) => {
                    head.extend(bytes);
                    match hello::parse(head) {
                        Ok(Parsed::Partial) => return Ok(None),
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
                        None => return Ok(None),
                        Some(wav) => {
                            held = std::mem::take(head);
                            bytes = &held;
                            self.stage = if wav {
                                Stage::Header(Box::default())
                            } else {
                                self.open(None, context)?
                            };
                        }
                    }
                }
                Stage::Sniff { head, said } => {
                    head.extend(bytes);
                    match is_wav(head) {
                        None => return Ok(None),
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
                Stage::Bare(layout) => {
                    let layout = *layout;
                    self.stage = self.open(Some(layout), context)?;
                }
                Stage::Header(reader) => match reader.push(bytes) {
                    Ok((_, None)) => return Ok(None),
                    Ok((taken, Some(layout))) => {
                        bytes = &bytes[taken..];
                        self.stage = self.open(Some(layout), context)?;
                    }
                    Err(error) => {
                        return Err(context.unfit(Malformed::Header, error));
                    }
                },
                Stage::Samples(samples) => {
                    if samples.push(bytes, context.now_ns) {
                        return Ok(None);
                    }
                    return Ok(self.take_input(Stage::Rest, true, context));
                }
                Stage::Rest | Stage::Gone => return Ok(None),
            }
        }
    }

    /// Admits the stream of what the line and the header say.
    fn open(&mut self, layout: Option<Layout>, context: &Context<'_>) -> Result<Stage, EndReason> {
        let bus = context.clock.format;
        let layout = layout.unwrap_or(Layout {
            encoding: self.hello.encoding.unwrap_or(Encoding::S16Le),
            channels: self.hello.channels.unwrap_or(bus.channels()),
            rate_hz: self.hello.rate_hz.unwrap_or(bus.rate_hz()),
            data_bytes: None,
        });
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
            listens: false,
        };
        let Opened { stream, .. } = context.open(request)?;
        let Layout {
            encoding,
            channels,
            rate_hz,
            data_bytes,
        } = layout;
        let clock = *context.clock;
        let input = if self.drops {
            LiveInput::new(stream, context.settings.playout, rate_hz, channels, clock)
                .map(|live| StreamInput::Live(Box::new(live)))
        } else {
            PacedInput::new(stream, context.paced_delay(), rate_hz, channels, clock)
                .map(|paced| StreamInput::Paced(Box::new(paced)))
        };
        let input =
            input.map_err(|error| EndReason::Malformed(Malformed::Header, error.to_string()))?;
        let bytes_each = usize::from(channels) * encoding.bytes_per_sample();
        let block = u64::from(rate_hz) * clock.block_samples as u64 / u64::from(bus.rate_hz());
        Ok(Stage::Samples(Box::new(Samples {
            encoding,
            channels: channels.into(),
            rate_hz,
            count: 0,
            left: data_bytes.map(u64::from),
            decoder: Decoder::default(),
            read_budget: (block as usize).max(1) * BLOCKS_READ * bytes_each,
            input,
        })))
    }

    /// Whether its first samples have come.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.stage, Stage::Samples(_) | Stage::Rest | Stage::Gone)
    }

    /// Whether the mix has still to play what came.
    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        matches!(&self.stage, Stage::Samples(samples) if samples.input.is_playing(now_ns))
    }

    /// Its stream, while it has one.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Samples(samples) => Some(samples.input.stream()),
            _ => None,
        }
    }

    /// The bytes taken of it; none if it never came to its samples.
    pub(super) fn taken(&self) -> Option<Taken> {
        match &self.stage {
            Stage::Samples(samples) => Some(samples.taken()),
            _ => self.taken.clone(),
        }
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

    /// Notes an event of the stream, if there is one.
    pub(super) fn note(&self, what: &str, context: &Context<'_>) {
        if let Some(stream) = self.stream() {
            context.note(stream, what, true);
        }
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        if let Stage::Samples(samples) = &mut self.stage {
            samples.input.before_tick(tick, now_ns);
        }
    }

    /// The connection is over: returns the input that still has to play. If the sender ended it, half a sample or half
    /// a header is counted.
    pub(super) fn end(mut self, context: &Context<'_>, by_peer: bool) -> Option<StreamInput> {
        match &mut self.stage {
            Stage::Line(_) | Stage::Start(_) | Stage::Sniff { .. } | Stage::Header(_)
                if !by_peer =>
            {
                None
            }
            Stage::Line(head) if hello::parse(head) == Ok(Parsed::Partial) && head.len() > 8 => {
                context.malformed(Malformed::Header, &"a first line without an end");
                None
            }
            // Too few bytes to be anything but samples.
            Stage::Line(head) | Stage::Start(head) if !head.is_empty() => {
                let head = std::mem::take(head);
                self.stage = self.open(None, context).ok()?;
                if let Stage::Samples(samples) = &mut self.stage {
                    samples.push(&head, context.now_ns);
                }
                self.take_input(Stage::Gone, by_peer, context)
            }
            Stage::Header(_) | Stage::Sniff { .. } => {
                let (how, why) = self.unfinished();
                context.malformed(how, &why);
                None
            }
            Stage::Samples(_) => self.take_input(Stage::Gone, by_peer, context),
            _ => None,
        }
    }

    fn take_input(
        &mut self,
        next: Stage,
        by_peer: bool,
        context: &Context<'_>,
    ) -> Option<StreamInput> {
        let Stage::Samples(mut samples) = std::mem::replace(&mut self.stage, next) else {
            return None;
        };
        if by_peer && samples.decoder.is_within_a_sample() {
            context.malformed(Malformed::Payload, &"a connection that ends in a sample");
            if let Some(network) = samples.input.stream().account().network() {
                network.count(Packet::Malformed);
            }
        }
        self.taken = Some(samples.taken());
        samples.input.end(context.now_ns);
        Some(samples.input)
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
    fn taken(&self) -> Taken {
        Taken {
            id: self.input.stream().id().to_owned(),
            rate_hz: self.rate_hz,
            // As many as a layout can have.
            channels: self.channels as u16,
            samples: self.count / self.channels as u64,
        }
    }

    /// Takes bytes of samples. False once all have come.
    fn push(&mut self, bytes: &[u8], now_ns: u64) -> bool {
        let wanted = self.left.map_or(bytes.len(), |left| {
            usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
        });
        self.left = self.left.map(|left| left - wanted as u64);
        let samples = self
            .decoder
            .decode(&bytes[..wanted], self.encoding, self.channels);
        if !samples.is_empty() {
            self.count += samples.len() as u64;
            self.input.push(samples, now_ns);
            if let Some(network) = self.input.stream().account().network() {
                network.set_last_packet(now_ns);
            }
        }
        self.left != Some(0)
    }
}

#[cfg(test)]
mod tests;
