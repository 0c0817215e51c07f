//! The rings of single feeds.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Block, FeedId, ReaderId, RoomId};
use crate::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes},
    queue::{LeaseId, Pool, Producer},
};

/// A ring of one feed: a frame for each block.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) reader: ReaderId,
    pub(super) lease: LeaseId,
    /// Gone once it is closed.
    producer: Option<Producer>,
    /// Kept, so that a close frees nothing.
    _pool: Pool,
    channels: usize,
    /// The index of its first sample: nothing earlier is sent.
    begins: u64,
    /// Whether a mixer that is not bound to the clock waits for room.
    pub(super) is_waited_for: bool,
    /// One after the last sample that the ring refused.
    pub(super) refused: Option<Arc<AtomicU64>>,
}

impl Line {
    pub(super) fn new(reader: ReaderId, producer: Producer, pool: &Pool, format: Format) -> Self {
        Self {
            reader,
            lease: producer.lease(),
            producer: Some(producer),
            _pool: pool.clone(),
            channels: format.channels().into(),
            begins: 0,
            is_waited_for: false,
            refused: None,
        }
    }

    /// Publishes samples that begin at this index, except those before its first. Drops them, counted by the ring, if
    /// that is full.
    pub(super) fn send(&mut self, at: u64, samples: &[i16]) {
        let early = self.begins.saturating_sub(at) as usize * self.channels;
        if early < samples.len() {
            let samples = &samples[early..];
            let header = FrameHeader::new(at.max(self.begins), samples.len() / self.channels);
            self.publish(header, samples);
        }
    }

    /// Publishes the last of these samples, which are those of these indices.
    pub(super) fn send_last(&mut self, indices: &Range<u64>, samples: &[i16]) {
        let len = (indices.end - indices.start) as usize * self.channels;
        self.send(indices.start, &samples[samples.len() - len..]);
    }

    /// Publishes that the block is that of its room.
    pub(super) fn send_same(&mut self, room: RoomId, block: &Block<'_>) {
        if block.at < self.begins || block.samples.is_empty() {
            self.send(block.at, block.samples);
        } else {
            let header = FrameHeader {
                same: true,
                ..FrameHeader::new(block.at, block.instants())
            };
            self.publish(header, &room.to_samples());
        }
    }

    pub(super) fn close(&mut self) {
        self.producer = None;
    }

    pub(super) fn publish(&mut self, header: FrameHeader, samples: &[i16]) {
        let Some(producer) = &mut self.producer else {
            return;
        };
        let bytes = frame_bytes(samples.len());
        if let Ok(mut reservation) = producer.reserve(bytes) {
            let mut frame = FrameMut::new(&mut reservation)
                .expect("a message starts at a multiple of 8 and is as long as its frame");
            frame.samples_mut().copy_from_slice(samples);
            frame.seal(header);
            reservation.commit();
        } else {
            producer.count_drop(bytes);
            if let Some(refused) = &self.refused {
                let end = header.first + u64::from(header.given);
                refused.store(end, Ordering::Relaxed);
            }
        }
    }

    /// Whether it is waited for and has no room for a block of so many interleaved samples.
    pub(super) fn is_full(&mut self, block: usize) -> bool {
        let bytes = frame_bytes(block);
        let has_room = |producer: &mut Producer| producer.has_room(bytes);
        self.is_waited_for && !self.producer.as_mut().is_none_or(has_room)
    }
}

/// Most feeds of one signal of a stream: any more are closed at once.
pub const STREAM_FEEDS_MAX: usize = 8;

/// The rings of one signal.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Vec<Line>);

impl Lines {
    /// Room for all there may be. Allocates.
    pub(super) fn new(line: Line) -> Self {
        let mut lines = Vec::with_capacity(STREAM_FEEDS_MAX);
        lines.push(line);
        Self(lines)
    }

    pub(super) fn first_lease(&self) -> Option<LeaseId> {
        self.0.first().map(|line| line.lease)
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Line> {
        self.0.first_mut()
    }

    /// Whether any of them is waited for and has no room.
    pub(super) fn is_any_full(&mut self, block: usize) -> bool {
        self.0.iter_mut().any(|line| line.is_full(block))
    }

    pub(super) fn begin(&mut self, index: u64) {
        for line in &mut self.0 {
            line.begins = index;
        }
    }

    /// None gets anything before this index.
    pub(super) fn begin_at_least(&mut self, index: u64) {
        for line in &mut self.0 {
            line.begins = line.begins.max(index);
        }
    }

    /// Takes over the first of these. Returns whether there was room.
    pub(super) fn take_from(&mut self, other: &mut Self) -> bool {
        let has_room = self.0.len() < STREAM_FEEDS_MAX;
        if has_room {
            self.0.extend(other.0.pop());
        }
        has_room
    }

    /// Takes out one of them.
    pub(super) fn take(&mut self, id: FeedId) -> Option<Line> {
        let is_it = |line: &Line| line.reader == id.reader && Some(line.lease) == id.lease;
        let place = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(place))
    }

    /// Closes them. Frees nothing; enters the kernel to wake readers.
    pub(super) fn close(&mut self) {
        self.0.iter_mut().for_each(Line::close);
    }
}
