//! The commands to the mixer, taken between ticks.

use std::sync::Arc;

use super::{
    ChannelStrip, Monitor, MonitorKind, Settings,
    output::{Line, Output},
};
use crate::{
    audio::Gain,
    ledger::Account,
    queue::{LeaseId, Producer},
};

/// A command to the mixer, taken between ticks.
#[derive(Debug)]
pub enum Command {
    /// A stream comes.
    Admit(NewInput),
    /// Each block of the whole mix goes into this ring, too, from now on, as a frame that is sent
    /// before those of the outputs. To be had once per thread that reads outputs.
    Tap(Producer),
    /// The stream's gain from now on. Like the next two, it takes 20 ms to be in force, in a straight
    /// line from the gain that is, unless the stream has given nothing yet.
    SetGain(LeaseId, Gain),
    /// Whether the stream is consumed without being heard.
    SetMuted(LeaseId, bool),
    /// Whether the stream is solo: while any is, those that are not are consumed without being heard.
    SetSolo(LeaseId, bool),
    /// Ends the stream: it goes to silence in 20 ms if it plays; frames that then wait in its ring, or
    /// still come, are discarded and counted. It takes no more commands, and is over when its producer
    /// closes. The mixer cannot close it: the owner of the producer is notified by other means.
    End(LeaseId),
    /// Opens a monitor of the stream, or of the mix without it.
    Monitor(LeaseId, Monitor),
    /// Closes and frees the monitor of this kind.
    Unmonitor(LeaseId, MonitorKind),
}

/// A stream to be [admitted](Command::Admit). The caller allocates all it needs, not the
/// mixer.
#[derive(Debug)]
pub struct NewInput {
    pub(super) lease: LeaseId,
    pub(super) account: Arc<Account>,
    pub(super) gain: Gain,
    pub(super) source: Option<u32>,
    pub(super) output: Option<Box<Output>>,
    pub(super) channel_strip: Arc<ChannelStrip>,
}

impl NewInput {
    /// A stream with its frames in this lease's ring and its samples in this account: at unity
    /// gain, without a name or an output.
    pub fn new(lease: LeaseId, account: Arc<Account>) -> Self {
        Self {
            lease,
            account,
            gain: Gain::UNITY,
            source: None,
            output: None,
            channel_strip: Arc::default(),
        }
    }

    /// The mixer's state of the stream, for any thread, for as long as that keeps it.
    pub fn channel_strip(&self) -> Arc<ChannelStrip> {
        Arc::clone(&self.channel_strip)
    }

    /// Applied to each sample before it is added.
    #[must_use]
    pub fn gain(self, gain: Gain) -> Self {
        self.channel_strip.set_gain(gain);
        Self { gain, ..self }
    }

    /// How the mix names it as a contributor ([`Block::contributors`](super::Block::contributors)): an RTP source
    /// number, or one like it.
    #[must_use]
    pub fn source(self, source: u32) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    /// Where the mix without this stream goes: one frame for each tick
    /// ([`Mixer::send_outputs`](super::Mixer::send_outputs)), from the tick after its admission to the stream's end.
    /// The producer is closed then. `settings` are the mixer's. Allocates about 12 bytes for each sample of a block and
    /// of the limiter's look-ahead.
    ///
    /// The reader needs a [tap](Command::Tap), too: an empty frame refers to the whole mix.
    #[must_use]
    pub fn output(self, producer: Producer, settings: &Settings) -> Self {
        let mut output = Output::new(settings);
        output.participant = Some(Line::new(producer, settings.format));
        Self {
            output: Some(Box::new(output)),
            ..self
        }
    }
}
