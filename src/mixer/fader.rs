//! How loud one stream is: its gain, whether it is muted or solo, and the way from one to the next.
//!
//! A change is in force after 20 ms, in a straight line from the gain that was in force, by the mix's
//! time, whether or not the stream has samples meanwhile. At rest nothing is computed that would not be
//! without faders: unity adds the samples untouched, and silence adds nothing.

use super::target::Target;
use crate::audio::{Format, Gain, Ramp, sum};

/// Changes take a 50th of a second.
const RAMPS_PER_SECOND: u32 = 50;

/// The length of a change.
pub(super) fn ramp_instants(format: Format) -> u32 {
    (format.rate_hz() / RAMPS_PER_SECOND).max(1)
}

#[derive(Debug)]
pub(super) struct Fader {
    pub(super) gain: Gain,
    pub(super) muted: bool,
    pub(super) solo: bool,
    ramp: Ramp,
    pub(super) channels: u16,
    /// Whether a block of the stream was played: before that there is nothing to be smooth after.
    opened: bool,
}

impl Fader {
    pub(super) fn new(gain: Gain, muted: bool, format: Format) -> Self {
        Self {
            gain,
            muted,
            solo: false,
            ramp: Ramp::at_rest(gain),
            channels: format.channels(),
            opened: false,
        }
    }

    /// The gain to be in force, while any stream is solo or none is.
    fn target(&self, soloing: bool) -> Gain {
        if self.muted || (soloing && !self.solo) {
            Gain::SILENCE
        } else {
            self.gain
        }
    }

    /// The stream is ended by command: from its next block on it goes to silence.
    pub(super) fn close(&mut self) {
        self.muted = true;
        if !self.opened {
            self.ramp = Ramp::at_rest(Gain::SILENCE);
        }
    }

    /// Whether a block of the stream was played.
    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    /// The stream goes to another room: from silence there to its gain, if it is to fade over so many instants. Returns
    /// the way from the gain that is in force to silence. Nothing of a stream that was not played is smooth.
    pub(super) fn move_over(&mut self, fade: Option<u32>) -> Option<Ramp> {
        let instants = fade.filter(|_| self.opened)?;
        let mut way_out = self.ramp;
        way_out.aim(Gain::SILENCE, instants);
        self.ramp = Ramp::at_rest(Gain::SILENCE);
        Some(way_out)
    }

    /// Whether it is silent, and on its way to nothing else.
    pub(super) fn is_silent(&self) -> bool {
        self.ramp.left() == 0 && self.ramp.target() == Gain::SILENCE
    }

    /// The stream adds nothing to the block: a command is in force at once.
    pub(super) fn rest(&mut self, soloing: bool) {
        self.ramp = Ramp::at_rest(self.target(soloing));
    }

    /// The stream's block begins. A change takes as many instants as [`ramp_instants`].
    pub(super) fn begin(&mut self, soloing: bool, ramp: u32) {
        if self.opened {
            self.ramp.aim(self.target(soloing), ramp);
        } else {
            self.opened = true;
            self.rest(soloing);
        }
    }

    /// A block of so many instants is over.
    pub(super) fn end(&mut self, instants: u32) {
        self.ramp.pass(instants);
    }

    /// Adds the samples of a block, or its first ones. Returns whether any of them is audible: those of the ramp to
    /// silence are, those after it are not.
    pub(super) fn add(&self, samples: &[i16], target: &mut Target<'_>) -> bool {
        let channels = usize::from(self.channels);
        let way = self.ramp.left() as usize * channels;
        let (moving, steady) = samples.split_at(way.min(samples.len()));
        if !moving.is_empty() {
            target.add(0, moving, |sum, samples| {
                sum::add_ramped(sum, samples, channels, 0, &self.ramp);
            });
        }
        let gain = self.ramp.target();
        if gain == Gain::SILENCE {
            return !moving.is_empty();
        }
        if !steady.is_empty() {
            target.add(moving.len(), steady, |sum, samples| {
                sum::add_gained(sum, samples, gain);
            });
        }
        !samples.is_empty()
    }
}
