//! What one stream must do, one sample at a time: slow, and written apart from the mixer.
//!
//! It knows no restarts: scenarios that use it stay below a restart's thresholds.

use std::collections::VecDeque;

/// Where the samples of one stream went, and what it gave to the bus.
#[derive(Debug, Default)]
pub struct Model {
    frames: VecDeque<Sent>,
    /// Media time of the next block's first sample, once the stream plays.
    now: Option<u64>,
    last_sequence: Option<u32>,
    closed: bool,
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
    samples: Vec<i16>,
    damaged: bool,
    /// Samples that went somewhere.
    used: usize,
    seen: bool,
}

impl Model {
    /// The ring took this frame.
    pub fn took(&mut self, media_time: u64, sequence: u32, samples: &[i16], damaged: bool) {
        self.frames.push_back(Sent {
            media_time,
            sequence,
            samples: samples.to_vec(),
            damaged,
            used: 0,
            seen: false,
        });
    }

    pub fn closes(&mut self) {
        self.closed = true;
    }

    /// Samples in the ring that went nowhere yet.
    pub fn waiting(&self) -> u64 {
        let left = |frame: &Sent| (frame.samples.len() - frame.used) as u64;
        self.frames.iter().map(left).sum()
    }

    /// One tick: what the stream adds to a block of `len` samples.
    pub fn tick(&mut self, len: usize) -> Vec<i64> {
        let mut out = vec![0; len];
        if self.ended {
            return out;
        }
        let Some(now) = self
            .now
            .or(self.frames.front().map(|first| first.media_time))
        else {
            self.ended = self.closed;
            return out;
        };
        let end = now + len as u64;
        // The first media time that was not served yet.
        let mut next = now;
        let mut mixed = 0;
        while let Some(frame) = self.frames.front_mut() {
            if frame.media_time >= end {
                break;
            }
            if !frame.seen {
                frame.seen = true;
                let twice = self.last_sequence == Some(frame.sequence);
                self.last_sequence = Some(frame.sequence);
                if twice || frame.damaged {
                    self.discarded += frame.samples.len() as u64;
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
                    self.late += 1;
                } else {
                    out[(at - now) as usize] = i64::from(frame.samples[frame.used]);
                    mixed += 1;
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
        self.concealed += served - mixed;
        out
    }
}
