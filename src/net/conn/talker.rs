//! Who talks on a connection of calls: from a stranger to a stream that is heard.
//!
//! Passive, and the same for every protocol of this kind. What it says is counted, and what happens to it
//! noted, in its stream's account.

use super::{
    host::{Host, Opened, Over, Wish},
    voice::{Live, Poured, Voice},
};
use crate::{
    ledger::{Malformed, Network, Packet},
    queue::LeaseId,
    stream::Stream,
};

/// Events of a connection that the log has one by one.
const EVENTS_TOLD: u32 = 64;

/// One connection's talker.
#[derive(Debug)]
pub(super) struct Talker {
    stage: Stage,
    output: Option<LeaseId>,
    /// Events there were.
    events: u32,
}

#[derive(Debug)]
enum Stage {
    /// Nobody knows who it is.
    Stranger,
    /// It was admitted, and gave no audio yet.
    Silent(Stream),
    Heard(Voice),
    /// Its stream was taken from it.
    Gone,
}

/// Audio as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) rate_hz: u32,
    pub(super) channels: u16,
    /// Whether it is read no faster than it plays.
    pub(super) pours: bool,
}

impl Talker {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Stranger,
            output: None,
            events: 0,
        }
    }

    /// Has it admitted as this. It must be a stranger.
    pub(super) fn open(&mut self, wish: Wish<'_>, host: &Host<'_>) -> Result<(), Over> {
        debug_assert!(!self.is_known(), "a talker is admitted once");
        let Opened { stream, output } = host.open(wish)?;
        self.output = output;
        self.stage = Stage::Silent(stream);
        Ok(())
    }

    /// Its voice, which the first call makes, for audio of this kind. None if it is a stranger.
    pub(super) fn voice(
        &mut self,
        sound: Sound,
        host: &Host<'_>,
    ) -> Result<Option<&mut Voice>, Over> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Silent(stream) => Stage::Heard(begin(stream, sound, host)?),
            stage => stage,
        };
        match &mut self.stage {
            Stage::Heard(Voice::Live(live)) => {
                live.set_rate(sound.rate_hz).map_err(impossible)?;
            }
            Stage::Heard(Voice::Poured(_)) | Stage::Stranger | Stage::Silent(_) | Stage::Gone => {}
        }
        Ok(match &mut self.stage {
            Stage::Heard(voice) => Some(voice),
            Stage::Stranger | Stage::Silent(_) | Stage::Gone => None,
        })
    }

    /// Takes interleaved samples.
    pub(super) fn hear(
        &mut self,
        sound: Sound,
        samples: &[i16],
        host: &Host<'_>,
    ) -> Result<(), Over> {
        if let Some(voice) = self.voice(sound, host)? {
            voice.push(samples, host.now_ns);
        }
        Ok(())
    }

    /// Its stream, while it has one.
    pub(super) fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Silent(stream) => Some(stream),
            Stage::Heard(voice) => Some(voice.stream()),
            Stage::Stranger | Stage::Gone => None,
        }
    }

    pub(super) fn network(&self) -> Option<&Network> {
        self.stream().and_then(|stream| stream.account().network())
    }

    /// A message of its protocol came.
    pub(super) fn receive(&self, host: &Host<'_>) {
        if let Some(network) = self.network() {
            network.count(Packet::Received);
            network.set_last_packet(host.now_ns);
        }
    }

    pub(super) fn count(&self, packet: Packet) {
        if let Some(network) = self.network() {
            network.count(packet);
        }
    }

    /// A message came that is not audio where only audio is taken: it is counted, and ends nothing.
    pub(super) fn pass_over(&self, what: &str, host: &Host<'_>) {
        self.count(Packet::Unsupported);
        host.malformed(
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
    pub(super) fn note(&mut self, what: &str, host: &Host<'_>) {
        self.events += 1;
        let told = self.events <= EVENTS_TOLD || self.events.is_power_of_two();
        if let Some(stream) = self.stream() {
            host.note(stream, what, told);
        }
    }

    /// Whether it has said who it is.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self.stage, Stage::Stranger)
    }

    /// The ring in which its mix-minus comes, if it listens.
    pub(super) fn output(&self) -> Option<LeaseId> {
        self.output
    }

    /// Whether more of it is to be read now.
    pub(super) fn has_room(&self) -> bool {
        match &self.stage {
            Stage::Heard(voice) => voice.has_room(),
            Stage::Stranger | Stage::Silent(_) | Stage::Gone => true,
        }
    }

    /// Whether the mix has still to play what came, though nothing comes: of one that is read no faster
    /// than it plays.
    pub(super) fn is_playing(&self, now_ns: u64) -> bool {
        match &self.stage {
            Stage::Heard(voice @ Voice::Poured(_)) => voice.is_playing(now_ns),
            _ => false,
        }
    }

    pub(super) fn before_tick(&mut self, tick: u64, now_ns: u64) {
        if let Stage::Heard(voice) = &mut self.stage {
            voice.before_tick(tick, now_ns);
        }
    }

    /// The connection is over: gives what still has to play.
    pub(super) fn end(self, host: &Host<'_>) -> Option<Voice> {
        match self.stage {
            Stage::Heard(mut voice) => {
                voice.end(host.now_ns);
                Some(voice)
            }
            Stage::Stranger | Stage::Silent(_) | Stage::Gone => None,
        }
    }
}

fn begin(stream: Stream, sound: Sound, host: &Host<'_>) -> Result<Voice, Over> {
    let Sound {
        rate_hz,
        channels,
        pours,
    } = sound;
    let clock = *host.clock;
    if pours {
        let poured = Poured::new(stream, host.poured_delay(), rate_hz, channels, clock);
        poured.map(|poured| Voice::Poured(Box::new(poured)))
    } else {
        let live = Live::new(stream, host.settings.playout, rate_hz, channels, clock);
        live.map(|live| Voice::Live(Box::new(live)))
    }
    .map_err(impossible)
}

/// Audio that cannot be converted to the mix's format.
fn impossible(error: crate::audio::ConvertError) -> Over {
    Over::Malformed(Malformed::Header, error.to_string())
}
