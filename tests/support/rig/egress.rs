//! The thread that listens, as a test runs it: after each tick it takes one frame from each ring.

use mixpool::{
    audio::Frame,
    queue::{Consumer, LeaseId, Pool, Producer},
};

/// The rings to it.
pub struct Egress {
    pool: Pool,
    consumer: Consumer,
    /// The first taps the whole mix; the others are the participants', by their numbers.
    lines: Vec<Line>,
    channels: u64,
}

/// The frames of one ring.
#[derive(Debug)]
pub struct Line {
    lease: LeaseId,
    /// Index in the mix of the first sample, per channel, once a frame came.
    pub from: Option<u64>,
    /// All samples, those of empty frames taken from the tap.
    pub heard: Vec<i16>,
    /// Frames, and those of them that were empty.
    pub frames: usize,
    pub empty: usize,
    pub closed: bool,
}

impl Egress {
    /// A pool of `rings`, and the producer that taps the mix.
    pub fn new(rings: usize, channels: u16) -> (Self, Producer) {
        let builder = Pool::builder().slots(rings).ring_bytes(1 << 13);
        let (pool, consumer) = builder.build().unwrap();
        let mut egress = Self {
            pool,
            consumer,
            lines: Vec::new(),
            channels: u64::from(channels),
        };
        let (_, producer) = egress.line();
        (egress, producer)
    }

    /// A new ring's number, and its producer.
    pub fn line(&mut self) -> (usize, Producer) {
        let producer = self.pool.acquire().unwrap();
        self.lines.push(Line {
            lease: producer.lease(),
            from: None,
            heard: Vec::new(),
            frames: 0,
            empty: 0,
            closed: false,
        });
        (self.lines.len() - 1, producer)
    }

    pub fn get(&self, line: usize) -> &Line {
        &self.lines[line]
    }

    /// Takes what the mixer sent: one frame on each ring that is open.
    pub fn take(&mut self) {
        let mut mix = Vec::new();
        for line in &mut self.lines {
            if let Some(block) = line.take(&mut self.consumer, self.channels, &mix)
                && line.lease.slot() == 0
            {
                mix = block;
            }
        }
    }
}

impl Line {
    fn take(&mut self, consumer: &mut Consumer, channels: u64, mix: &[i16]) -> Option<Vec<i16>> {
        if self.closed {
            return None;
        }
        let Some(message) = consumer.get(self.lease).unwrap() else {
            self.closed = consumer.is_finished(self.lease).unwrap();
            // One that was opened after the last tick has no part in the flush.
            assert!(self.closed || self.frames == 0, "no frame came");
            return None;
        };
        let frame = Frame::parse(&message).unwrap();
        assert!(frame.checksum_ok());
        let heard = self.heard.len() as u64 / channels;
        let first = frame.header().first;
        let from = *self.from.get_or_insert(first);
        assert_eq!(first, from + heard, "in its place in the mix");
        let block = match frame.samples() {
            [] => mix.to_vec(),
            samples => samples.to_vec(),
        };
        self.frames += 1;
        self.empty += usize::from(frame.samples().is_empty());
        self.heard.extend_from_slice(&block);
        message.ack();
        assert!(consumer.get(self.lease).unwrap().is_none(), "one a tick");
        Some(block)
    }
}
