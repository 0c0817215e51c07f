//! A reader's end of the feeds that have rings of their own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Delivery, FeedRings, Piece, Progress};
use crate::{
    audio::Frame,
    mixer::{RoomBlock, RoomId},
    queue::{BuildError, Consumer, LeaseId, Pool},
};

/// The rings of single feeds.
#[derive(Debug)]
pub(super) struct Single {
    pub(super) pool: Pool,
    consumer: Consumer,
    open: Vec<Owner>,
    /// Frames that begin before this index have been taken, but for those of rings that have their owner since.
    pub(super) taken: u64,
    pub(super) has_new: bool,
}

#[derive(Debug)]
struct Owner {
    lease: LeaseId,
    key: u64,
    next: Option<u64>,
    /// One after the last sample that its ring refused.
    refused: Arc<AtomicU64>,
}

impl Single {
    /// Rings of such sizes. Allocates, and enters the kernel.
    pub(super) fn new(rings: &FeedRings) -> Result<Self, BuildError> {
        let (pool, consumer) = Pool::builder()
            .slots(rings.feeds)
            .ring_bytes(rings.feed_ring_bytes())
            .prefault(rings.prefault)
            .polled(true)
            .build()?;
        Ok(Self {
            pool,
            consumer,
            open: Vec::new(),
            taken: 0,
            has_new: false,
        })
    }

    /// See [`own_noting`](super::FeedReader::own_noting).
    pub(super) fn own(&mut self, lease: LeaseId, key: u64, refused: Arc<AtomicU64>) {
        self.open.push(Owner {
            lease,
            key,
            next: None,
            refused,
        });
        self.has_new = true;
    }

    /// Takes the frames that begin before this index.
    pub(super) fn take(
        &mut self,
        end: u64,
        blocks: &[RoomBlock<'_>],
        progress: &Progress,
        deliver: &mut impl FnMut(Delivery<'_>),
    ) {
        (self.taken, self.has_new) = (end, false);
        let Self { consumer, open, .. } = self;
        open.retain_mut(|owner| {
            // Only this thread releases, and an owner that is gone is forgotten.
            while let Ok(Some(message)) = consumer.get(owner.lease) {
                if let Ok(frame) = Frame::parse(&message) {
                    if frame.header().first >= end || progress.names_later(blocks, &frame) {
                        return true;
                    }
                    owner.take(&frame, blocks, progress, deliver);
                }
                message.ack();
            }
            if consumer.is_finished(owner.lease) == Ok(false) {
                return true;
            }
            owner.end(progress, deliver);
            let _ = consumer.release(owner.lease);
            false
        });
        // A ring is named for its first frame, or for its close.
        while let Some(lease) = consumer.next_ready() {
            let is_owned = open.iter().any(|owner| owner.lease == lease);
            if !is_owned && consumer.is_finished(lease) == Ok(true) {
                let _ = consumer.release(lease);
            }
        }
    }

    /// The reader is closed: all that came is taken, and nothing more comes. The ring of a feed whose command the mixer
    /// never took may still be open.
    pub(super) fn end(&mut self, progress: &Progress, deliver: &mut impl FnMut(Delivery<'_>)) {
        self.take(u64::MAX, &[], progress, deliver);
        for owner in self.open.drain(..) {
            owner.end(progress, deliver);
        }
    }
}

impl Owner {
    /// Silence for what its ring refused last, and its end.
    fn end(&self, progress: &Progress, deliver: &mut impl FnMut(Delivery<'_>)) {
        let refused = self.refused.load(Ordering::Relaxed);
        progress.fill(self.next.unwrap_or(refused), refused, &mut |piece| {
            deliver(Delivery::Feed(self.key, piece));
        });
        deliver(Delivery::Ended(self.key));
    }

    fn take(
        &mut self,
        frame: &Frame<'_>,
        blocks: &[RoomBlock<'_>],
        progress: &Progress,
        deliver: &mut impl FnMut(Delivery<'_>),
    ) {
        let (key, header) = (self.key, frame.header());
        let mut same = None;
        let samples = if header.same {
            same = RoomId::from_samples(frame.samples());
            same.and_then(|room| progress.block(blocks, room, header.first))
        } else {
            Some(frame.samples())
        };
        let samples = samples.filter(|_| frame.checksum_ok());
        let from = self.next.unwrap_or(header.first);
        let to = match samples {
            Some(_) => header.first,
            // The block that it means was lost, or it is damaged.
            None => header.first + u64::from(header.given),
        };
        progress.fill(from, to, &mut |piece| {
            deliver(Delivery::Feed(key, piece));
        });
        let Some(samples) = samples else {
            self.next = Some(to.max(from));
            return;
        };
        self.next = Some(header.first + progress.instants(samples));
        deliver(Delivery::Feed(
            key,
            Piece {
                first: header.first,
                samples,
                contributors: &[],
                same,
                is_lost: false,
            },
        ));
    }
}
