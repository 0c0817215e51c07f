//! The caller of one connection, from unknown to a playing stream.
//!
//! Passive, and the same for every protocol of this kind. Its messages are counted and its events
//! noted, in its stream's account.

use super::{
    context::{Context, EndReason, OpenRequest, Opened},
    decoder::Joiner,
    input::{LiveInput, PacedInput, StreamInput},
};
use crate::{
    audio::{ConvertError, SampleSpec},
    ledger::{Malformed, Network, Packet},
    net::overload::{SHED, TAKEN_BACK},
    playout::Verdict,
    queue::LeaseId,
    stream::Stream,
};

/// Events of a connection that the log has one by one.
const EVENTS_TOLD: u32 = 64;

#[derive(Debug, Default)]
pub(super) struct Caller {
    stage: Stage,
    joiner: Joiner,
    mix_minus: Option<LeaseId>,
    events: u32,
}

#[derive(Debug, Default)]
enum Stage {
    /// It has not identified itself.
    #[default]
    Unknown,
    /// It was admitted, and no audio has come.
    Silent(Stream),
    Playing(Box<dyn StreamInput>),
    /// No more audio will come, and some of it may still have to play.
    Ending(Box<dyn StreamInput>),
    Gone,
}

/// Audio as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) spec: SampleSpec,
    /// Whether it is read no faster than it plays.
    pub(super) paced: bool,
}

impl Sound {
    /// Audio of a sender that keeps the pace of the clock.
    pub(super) fn live(spec: SampleSpec) -> Self {
        Self { spec, paced: false }
    }
}

impl Stage {
    fn input(
        &mut self,
        sound: Sound,
        context: &Context<'_>,
    ) -> Result<Option<&mut dyn StreamInput>, EndReason> {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Silent(stream) => Self::Playing(begin(stream, sound, context)?),
            stage => stage,
        };
        match self {
            Self::Playing(input) => {
                input.set_rate(sound.spec.rate_hz()).map_err(impossible)?;
                Ok(Some(&mut **input))
            }
            _ => Ok(None),
        }
    }
}

impl Caller {
    /// Has it admitted as this. It must be unknown.
    pub(super) fn open(
        &mut self,
        request: OpenRequest<'_>,
        context: &Context<'_>,
    ) -> Result<(), EndReason> {
        debug_assert!(!self.is_known(), "a caller is admitted once");
        let Opened { stream, mix_minus } = context.open(request)?;
        self.mix_minus = mix_minus;
        self.stage = Stage::Silent(stream);
        Ok(())
    }

    /// Its stream input for audio of this kind, made by the first call. None while it is unknown.
    pub(super) fn input(
        &mut self,
        sound: Sound,
        context: &Context<'_>,
    ) -> Result<Option<&mut dyn StreamInput>, EndReason> {
        self.stage.input(sound, context)
    }

    /// Takes bytes of samples, which may be cut anywhere. Returns how many samples are whole with them.
    pub(super) fn push(
        &mut self,
        sound: Sound,
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Result<usize, EndReason> {
        let bytes = self.joiner.join(bytes, sound.spec);
        if !bytes.is_empty()
            && let Some(input) = self.stage.input(sound, context)?
        {
            input.push(bytes, context.now_ns);
        }
        Ok(bytes.len() / sound.spec.form().bytes_per_sample())
    }

    /// Takes a message of samples of a sender that numbers them and says when they were. Returns the judgement on
    /// them; none while it is unknown.
    pub(super) fn push_at(
        &mut self,
        sound: Sound,
        (number, time): (u64, u64),
        bytes: &[u8],
        context: &Context<'_>,
    ) -> Result<Option<Verdict>, EndReason> {
        let bytes = self.joiner.join(bytes, sound.spec);
        let input = self.stage.input(sound, context)?;
        Ok(input.map(|input| input.push_at(number, time, bytes, context.now_ns)))
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Silent(stream) => Some(stream),
            Stage::Playing(input) | Stage::Ending(input) => Some(input.stream()),
            Stage::Unknown | Stage::Gone => None,
        }
    }

    pub(super) fn network(&self) -> Option<&Network> {
        self.stream().and_then(|stream| stream.account().network())
    }

    /// A message of its protocol came.
    pub(super) fn receive(&self, context: &Context<'_>) {
        if let Some(network) = self.network() {
            network.count(Packet::Received);
            network.set_last_packet(context.now_ns);
        }
    }

    pub(super) fn count(&self, packet: Packet) {
        if let Some(network) = self.network() {
            network.count(packet);
        }
    }

    /// A message came that is not audio where only audio is taken: it is counted, and ends nothing.
    pub(super) fn pass_over(&self, what: &str, context: &Context<'_>) {
        self.count(Packet::Unsupported);
        context.malformed(
            Malformed::Kind,
            &format_args!("{what}, which is passed over"),
        );
    }

    /// A frame went back, or was lost.
    pub(super) fn count_output(&self, dropped: bool) {
        if let Some(network) = self.network() {
            network.count_output(dropped);
        }
    }

    /// Notes an event, if it has a stream. The log has the first of them, and of a flood ever fewer.
    pub(super) fn note(&mut self, what: &str, context: &Context<'_>) {
        self.events += 1;
        let told = self.events <= EVENTS_TOLD || self.events.is_power_of_two();
        if let Some(stream) = self.stream() {
            context.note(stream, what, told);
        }
    }

    /// Whether it identified itself.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.stage, Stage::Unknown)
    }

    /// The ring in which its mix-minus comes, if it listens.
    pub(super) fn mix_minus(&self) -> Option<LeaseId> {
        self.mix_minus
    }

    /// How many bytes to read of it now, at most; none while it is to wait.
    pub(super) fn read_budget(&self) -> usize {
        match &self.stage {
            Stage::Playing(input) => input.read_budget(),
            _ => usize::MAX,
        }
    }

    /// Whether the mix still has samples of it to play, though nothing comes: of one that is read no faster
    /// than it plays.
    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        match &self.stage {
            Stage::Playing(input) | Stage::Ending(input) => input.is_playing(now_ns),
            _ => false,
        }
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        if let Stage::Playing(input) | Stage::Ending(input) = &mut self.stage {
            input.before_tick(tick, now_ns);
        }
        if let Stage::Ending(input) = &self.stage
            && input.is_done()
        {
            self.stage = Stage::Gone;
        }
    }

    /// Sheds its stream, or has it play again. Returns false if it is not one that plays and can be shed.
    pub(super) fn shed(&mut self, shed: bool, context: &Context<'_>) -> bool {
        let is_changed = match &mut self.stage {
            Stage::Playing(input) => input.shed(shed),
            _ => false,
        };
        if is_changed {
            let what = if shed { SHED } else { TAKEN_BACK };
            if let Some(stream) = self.stream() {
                // One line of the log has them all.
                context.note(stream, what, false);
            }
        }
        is_changed
    }

    /// Whether its stream is shed: what comes of it is discarded, and nothing is sent back.
    pub(super) fn is_shed(&self) -> bool {
        self.stream()
            .is_some_and(|stream| stream.account().is_shed())
    }

    /// No more audio will come. If the peer ended it, half a sample is counted.
    pub(super) fn end(&mut self, by_peer: bool, context: &Context<'_>) {
        if !matches!(self.stage, Stage::Playing(_)) {
            return;
        }
        if by_peer && self.joiner.is_within_a_sample() {
            self.count(Packet::Malformed);
            context.malformed(Malformed::Payload, &"audio that ends in a sample");
        }
        if let Stage::Playing(mut input) = std::mem::replace(&mut self.stage, Stage::Gone) {
            input.end(context.now_ns);
            self.stage = Stage::Ending(input);
        }
    }

    /// The input that still has to play after the end.
    pub(super) fn into_input(self) -> Option<Box<dyn StreamInput>> {
        match self.stage {
            Stage::Ending(input) => Some(input),
            _ => None,
        }
    }
}

fn begin(
    stream: Stream,
    sound: Sound,
    context: &Context<'_>,
) -> Result<Box<dyn StreamInput>, EndReason> {
    let Sound { spec, paced } = sound;
    let clock = *context.clock;
    Ok(if paced {
        // One more, as a block that is not whole shortly before its tick plays without its rest.
        let blocks = clock.blocks_of(context.paced_delay()) + 1;
        let paced = PacedInput::new(stream.delayed(blocks), spec, clock);
        Box::new(paced.map_err(impossible)?)
    } else {
        let live = LiveInput::new(stream, context.settings.playout, spec, clock);
        Box::new(live.map_err(impossible)?)
    })
}

/// Audio that cannot be converted to the mix's format.
fn impossible(error: ConvertError) -> EndReason {
    EndReason::Malformed(Malformed::Header, error.to_string())
}
