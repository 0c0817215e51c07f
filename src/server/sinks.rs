//! Where the mix goes: the recording, and receivers of RTP.

use super::{ServerError, Settings};
use crate::{
    mixer::Block,
    sink::{Recorded, Recording, RtpOut, RtpSent},
};

/// All sinks of a server. Each has a thread and a ring of its own.
#[derive(Debug)]
pub(super) struct Sinks {
    recording: Option<Recording>,
    rtp: Vec<RtpOut>,
}

/// What became of the mix on its ways.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) recorded: Recorded,
    /// In the order of the settings.
    pub(super) rtp: Vec<RtpSent>,
}

impl Sinks {
    /// Opens the file and the sockets, and starts the threads.
    pub(super) fn start(settings: &Settings, block_samples: usize) -> Result<Self, ServerError> {
        let block = block_samples * usize::from(settings.format.channels());
        let recording = match &settings.record {
            Some(path) => Some(Recording::start(path, settings.format, block)?),
            None => None,
        };
        let rtp = settings
            .rtp_out
            .iter()
            .map(|&target| RtpOut::start(target, settings.format, block_samples))
            .collect::<Result<_, _>>()?;
        Ok(Self { recording, rtp })
    }

    /// What receivers must be told of the streams that go out by RTP, as SDP.
    pub(super) fn sdp(&self) -> Vec<String> {
        self.rtp.iter().map(|rtp| rtp.sdp().to_owned()).collect()
    }

    /// Never waits: who is too slow misses the block. Enters the kernel to wake the threads.
    pub(super) fn write(&mut self, block: &Block<'_>) {
        if let Some(recording) = &mut self.recording {
            recording.write(block.samples);
        }
        self.send(block);
    }

    /// Waits until the recording has room: for a mixer that is not bound to the clock.
    pub(super) fn write_waiting(&mut self, block: &Block<'_>) {
        if let Some(recording) = &mut self.recording {
            recording.write_waiting(block.samples);
        }
        self.send(block);
    }

    fn send(&mut self, block: &Block<'_>) {
        for rtp in &mut self.rtp {
            rtp.send(block.at, block.contributors, block.samples);
        }
    }

    /// Ends them all: waits until what they have is written and sent.
    pub(super) fn finish(self) -> Delivered {
        Delivered {
            recorded: self.recording.map(Recording::finish).unwrap_or_default(),
            rtp: self.rtp.into_iter().map(RtpOut::finish).collect(),
        }
    }
}
