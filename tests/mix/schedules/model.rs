//! The reference of one stream, one sample at a time: slow, and written apart from the mixer.
//!
//! It knows no restarts: scenarios that use it stay below a restart's thresholds.

use std::collections::VecDeque;

use mixpool::audio::FrameKind;

/// Where the samples of one stream went, and what it gave to the bus.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Model {
    frames: VecDeque<Sent>,
    /// Media time of the next block's first sample, once the stream plays.
    now: Option<u64>,
    /// Whether its frames are placed on the mix's clock.
    clocked: bool,
    last_sequence: Option<u32>,
    closed: bool,
    /// Whether it began to play.
    opened: bool,
    /// Ended by command.
    ended_by_command: bool,
    /// Whether it has gone to silence since.
    faded: bool,
    pub ended: bool,
    pub mixed: u64,
    pub late: u64,
    pub discarded: u64,
    pub concealed: u64,
}

#[derive(Debug)]
struct Sent {
    media_time: u64,
    sequence: u32,
    kind: FrameKind,
    samples: Vec<i16>,
    damaged: bool,
    /// Samples that went somewhere.
    used: usize,
    seen: bool,
}

impl Model {
    /// A stream with frames placed on the mix's clock, from its first block on.
    pub fn clocked() -> Self {
        Self {
            clocked: true,
            now: Some(0),
            ..Self::default()
        }
    }

    /// The ring took this frame.
    pub fn took(
        &mut self,
        kind: FrameKind,
        media_time: u64,
        sequence: u32,
        samples: &[i16],
        damaged: bool,
    ) {
        self.frames.push_back(Sent {
            media_time,
            sequence,
            kind,
            samples: samples.to_vec(),
            damaged,
            used: 0,
            seen: false,
        });
    }

    pub fn closes(&mut self) {
        self.closed = true;
    }

    /// The next tick leads to silence, if the stream plays; from then on nothing is played.
    pub fn request(&mut self) {
        self.ended_by_command = true;
    }

    /// The sender's samples in the ring that went nowhere yet.
    pub fn waiting(&self) -> u64 {
        let left = |frame: &Sent| (frame.samples.len() - frame.used) as u64;
        let own = self.frames.iter().filter(|frame| frame.is_own() == 1);
        own.map(left).sum()
    }

    /// One tick: what the stream adds to a block of `len` samples, which is 20 ms.
    pub fn tick(&mut self, len: usize) -> Vec<i64> {
        let mut out = vec![0; len];
        if self.ended {
            return out;
        }
        if self.ended_by_command && (self.faded || !self.opened) {
            self.discarded += self.waiting();
            self.frames.clear();
            self.ended = self.closed;
            return out;
        }
        let Some(now) = self
            .now
            .or(self.frames.front().map(|first| first.media_time))
        else {
            self.ended = self.closed;
            return out;
        };
        self.opened |= !self.clocked || !self.frames.is_empty();
        self.faded = self.ended_by_command;
        // How loud its samples are: less with each, if it is on its way to silence.
        let ended_by_command = self.ended_by_command;
        let loud = |at: usize| {
            let passed = at + 1;
            if !ended_by_command || passed == len {
                if ended_by_command { 0.0 } else { 1.0 }
            } else {
                1.0 + -1.0 / len as f32 * passed as f32
            }
        };
        let end = now + len as u64;
        // The first media time that was not served yet.
        let mut next = now;
        let (mut mixed, mut heard) = (0, 0);
        while let Some(frame) = self.frames.front_mut() {
            if frame.media_time >= end {
                break;
            }
            if !frame.seen {
                frame.seen = true;
                let twice = self.last_sequence == Some(frame.sequence);
                self.last_sequence = Some(frame.sequence);
                if twice || frame.damaged {
                    let dropped = frame.samples.len() as u64 * frame.is_own();
                    self.discarded += dropped;
                    // Of a frame that came twice, the other one plays.
                    self.concealed += if self.clocked && !twice { dropped } else { 0 };
                    self.frames.pop_front();
                    continue;
                }
            }
            while frame.used < frame.samples.len() {
                let at = frame.media_time + frame.used as u64;
                if at >= end {
                    break;
                }
                if at < next {
                    self.late += frame.is_own();
                    self.concealed += u64::from(self.clocked && at < now) * frame.is_own();
                } else {
                    let place = (at - now) as usize;
                    let sample = f32::from(frame.samples[frame.used]) * loud(place);
                    out[place] = sample.round_ties_even() as i64;
                    mixed += frame.is_own();
                    heard += 1;
                    next = at + 1;
                }
                frame.used += 1;
            }
            if frame.used < frame.samples.len() {
                break;
            }
            self.frames.pop_front();
        }
        self.mixed += mixed;
        self.now = Some(end);
        self.ended = self.closed && self.frames.is_empty();
        let served = if self.ended { next - now } else { len as u64 };
        // A source that places its frames knows what is missing, and says so itself.
        // Of one that is being ended nothing is missed.
        self.concealed += if self.clocked || self.ended_by_command {
            0
        } else {
            served - heard
        };
        out
    }
}

impl Sent {
    /// 1 if its samples are in the ledger, 0 if they are concealment.
    fn is_own(&self) -> u64 {
        u64::from(self.kind == FrameKind::Audio)
    }
}
