//! The reference of one stream, one block at a time: slow, and written apart from the mixer.

use std::collections::VecDeque;

use mixpool::audio::FrameHeader;

use crate::rig::BLOCK;

const N: u64 = BLOCK as u64;

/// Where the samples of one stream went, and what it gave to the bus.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Model {
    frames: VecDeque<Sent>,
    /// The tick that comes.
    tick: u64,
    /// The blocks that a frame was seen for, late, damaged or played.
    seen: Vec<u64>,
    /// The end of that which reached furthest.
    reached: u64,
    /// Frames that the ring refused since it took one.
    refused: u64,
    closed: bool,
    /// Whether a block of it was played.
    opened: bool,
    /// Ended by command.
    ended_by_command: bool,
    /// Whether it has gone to silence since.
    faded: bool,
    pub ended: bool,
    pub mixed: u64,
    pub late: u64,
    pub discarded: u64,
    /// Samples that came late or damaged, and those that the ring refused.
    missed: u64,
    underrun: u64,
}

#[derive(Debug)]
struct Sent {
    header: FrameHeader,
    samples: Vec<i16>,
    damaged: bool,
    /// Frames that the ring refused just before it.
    refused: u64,
}

impl Sent {
    fn given(&self) -> u64 {
        u64::from(self.header.given).min(self.samples.len() as u64)
    }
}

impl Model {
    /// The ring took this frame.
    pub fn took(&mut self, header: FrameHeader, samples: &[i16], damaged: bool) {
        self.frames.push_back(Sent {
            header,
            samples: samples.to_vec(),
            damaged,
            refused: std::mem::take(&mut self.refused),
        });
    }

    /// It refused this frame.
    pub fn refused(&mut self, header: FrameHeader) {
        self.missed += u64::from(header.given);
        self.refused += 1;
    }

    pub fn closes(&mut self) {
        self.closed = true;
    }

    /// The next tick leads to silence, if the stream plays; from then on nothing is played.
    pub fn request(&mut self) {
        self.ended_by_command = true;
    }

    /// The sender's samples in the ring.
    pub fn waiting(&self) -> u64 {
        self.frames.iter().map(Sent::given).sum()
    }

    pub fn concealed(&self) -> u64 {
        self.missed + self.underrun
    }

    /// A frame of this block is taken: what never came lies between it and the last.
    fn see(&mut self, frame: &Sent) {
        let block = frame.header.first / N;
        if !self.seen.is_empty() && frame.header.first > self.reached && !frame.header.after_pause {
            // Where one was short, the rest of its block is missing, too.
            self.underrun += (frame.header.first - self.reached).saturating_sub(N * frame.refused);
        }
        self.seen.push(block);
        let end = frame.header.first + frame.samples.len() as u64;
        self.reached = self.reached.max(end);
    }

    /// One tick: what the stream adds to a block of 20 ms.
    pub fn tick(&mut self) -> Vec<i64> {
        let now = self.tick;
        self.tick += 1;
        let mut out = vec![0; BLOCK];
        if self.ended {
            return out;
        }
        if self.ended_by_command && (self.faded || !self.opened) {
            self.discarded += self.waiting();
            self.frames.clear();
            self.ended = self.closed;
            return out;
        }
        self.faded = self.ended_by_command;
        // How loud its samples are: less with each, if it is on its way to silence.
        let ends = self.ended_by_command;
        let loud = |at: usize| match at + 1 {
            _ if !ends => 1.0,
            BLOCK => 0.0,
            passed => 1.0 + -1.0 / BLOCK as f32 * passed as f32,
        };
        let mut played = false;
        while let Some(frame) = self.frames.front() {
            let (block, len) = (frame.header.first / N, frame.samples.len());
            let misplaced = frame.header.first % N != 0 || len > BLOCK;
            if block > now && !misplaced {
                break;
            }
            let frame = self.frames.pop_front().unwrap();
            let given = frame.given();
            if misplaced {
                self.discarded += given;
                continue;
            }
            // An empty frame says nothing of its block.
            let comes_first = self.seen.is_empty() || frame.header.first >= self.reached;
            self.see(&frame);
            // One that repeats the tick's block is late.
            let late = block < now || played;
            if late || frame.damaged {
                let fate = if late {
                    &mut self.late
                } else {
                    &mut self.discarded
                };
                *fate += given;
                self.missed += if comes_first { given } else { 0 };
                continue;
            }
            for (at, &sample) in frame.samples.iter().enumerate() {
                out[at] = (f32::from(sample) * loud(at)).round_ties_even() as i64;
            }
            self.mixed += given;
            self.opened = true;
            played = true;
        }
        self.ended = self.closed && self.frames.is_empty();
        out
    }
}
