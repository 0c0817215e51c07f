//! A reader thread's end of its feeds: rooms, mix-minuses and single streams, each without a hole.
//!
//! The mixer publishes the frames of single feeds into rings without a wake-up, and then one message with the blocks of
//! all rooms that are heard here, which wakes the reader. So the frames of a tick are there when its message is read, and
//! the message has the block that a [`same`](crate::audio::FrameHeader::same) frame names. Samples that a full ring refused
//! are seen by the indices, counted, and delivered as silence: every user gets samples that follow each other.
//!
//! Passive: it has no thread. Its owner waits for [`FeedReader::as_fd`], or in [`FeedReader::wait`], and calls
//! [`FeedReader::drain`].

mod rings;
mod single;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use self::rings::FeedRings;
use self::single::Single;
use crate::{
    audio::Frame,
    mixer::{MixMessage, MixRing, RoomBlock, RoomId},
    queue::{BuildError, Consumer, Drained, LeaseId, Pool},
};

/// Messages of the mix ring taken between two looks at its close.
const BATCH: usize = 64;

/// The reader's end of its feeds, on one thread: rooms, mix-minuses and single streams, each as samples that follow each other.
///
/// ```text
/// let (mut reader, ring) = FeedReader::new(rings)?;
/// let id = handle.open_reader(ring)?;
/// handle.open_feed(feed)?;              // to `id`; a single feed has a ring of `reader.pool()`
/// while !reader.is_closed() {
///     reader.wait()?;
///     reader.drain(|delivery| ...);
/// }
/// ```
#[derive(Debug)]
pub struct FeedReader {
    mix: Consumer,
    /// One after the last sample that was meant for this reader, once its ring is closed.
    end: Arc<AtomicU64>,
    feeds: Option<Single>,
    progress: Progress,
    is_closed: bool,
}

/// How far each room was delivered, by its slot.
#[derive(Debug)]
struct Progress {
    rooms: Box<[Option<RoomProgress>]>,
    /// Those in the last message.
    heard: Vec<RoomId>,
    /// Messages so far.
    messages: u64,
    silence: Box<[i16]>,
    channels: usize,
}

#[derive(Debug, Clone, Copy)]
struct RoomProgress {
    room: RoomId,
    next: u64,
    /// Samples by which it is behind the tick, as a shared room is.
    behind: u64,
    /// The message in which it came last.
    message: u64,
    /// The place of its block in that; none if the block was damaged.
    place: Option<usize>,
}

/// Samples of a room or a feed, which follow those before.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The index in the mix of the first, per channel.
    pub first: u64,
    /// Interleaved.
    pub samples: &'a [i16],
    /// Sources that were heard in them, of a room.
    pub contributors: &'a [u32],
    /// A room with, bit for bit, the same block.
    pub same: Option<RoomId>,
    /// They never came, as this thread was late: silence stands for them.
    pub is_lost: bool,
}

#[cfg(test)]
impl<'a> Piece<'a> {
    /// A frame that names `main`.
    pub(crate) fn of_main(first: u64, samples: &'a [i16]) -> Self {
        Self {
            first,
            samples,
            contributors: &[],
            same: Some(RoomId::MAIN),
            is_lost: false,
        }
    }
}

/// One arrival.
#[derive(Debug, Clone, Copy)]
pub enum Delivery<'a> {
    /// Samples of a room.
    Room(RoomId, Piece<'a>),
    /// The room is heard no more; the frames of its time have been delivered.
    RoomEnded(RoomId),
    /// Samples of the feed with this key.
    Feed(u64, Piece<'a>),
    /// The feed with this key has ended.
    Ended(u64),
}

impl FeedReader {
    /// Both ends of the rings: the mixer gets its own by a command. Allocates, and enters the kernel.
    ///
    /// # Errors
    /// If the rings cannot be made.
    ///
    /// # Panics
    /// Never: the ring of a new pool is free.
    pub fn new(rings: FeedRings) -> Result<(Self, MixRing), BuildError> {
        let (pool, mix) = Pool::builder()
            .slots(1)
            .ring_bytes(rings.mix_ring_bytes())
            .prefault(rings.prefault)
            .build()?;
        let end = Arc::new(AtomicU64::new(0));
        let mix_ring = MixRing::new(&pool, rings.rooms, Arc::clone(&end))
            .expect("a new pool has a free ring")
            .with_room_rings(rings.feeds);
        let feeds = match rings.feeds {
            0 => None,
            _ => Some(Single::new(&rings)?),
        };
        let channels = usize::from(rings.format.channels());
        let reader = Self {
            mix,
            end,
            feeds,
            progress: Progress {
                rooms: vec![None; rings.rooms].into(),
                heard: Vec::new(),
                messages: 0,
                silence: vec![0; rings.block().max(channels)].into(),
                channels,
            },
            is_closed: false,
        };
        Ok((reader, mix_ring))
    }

    /// The rings of single feeds, if there may be any: for [`Feed`](crate::mixer::Feed).
    pub fn pool(&self) -> Option<&Pool> {
        self.feeds.as_ref().map(|feeds| &feeds.pool)
    }

    /// The frames in the ring of this lease are delivered with this key from now on. Until then they wait there; a ring
    /// without an owner is released once it is closed, if it is empty.
    pub fn own(&mut self, lease: LeaseId, key: u64) {
        self.own_noting(lease, key, Arc::default());
    }

    /// [`own`](Self::own) of a feed that [notes](crate::mixer::Feed::noting_refused) here what its ring refused: silence
    /// stands for it at the feed's end, too.
    pub fn own_noting(&mut self, lease: LeaseId, key: u64, refused: Arc<AtomicU64>) {
        if let Some(feeds) = &mut self.feeds {
            feeds.own(lease, key, refused);
        }
    }

    /// Sleeps until something came, or a signal.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn wait(&mut self) -> io::Result<()> {
        self.mix.wait(None)
    }

    /// [`wait`](Self::wait), but no longer than this.
    ///
    /// # Errors
    /// The kernel's reason.
    pub(crate) fn wait_for(&mut self, time: Duration) -> io::Result<()> {
        self.mix.wait(Some(time))
    }

    /// Whether the mixer closed it, and all was delivered.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Delivers what has come. Never waits; allocates a list of a message's rooms.
    pub fn drain(&mut self, mut deliver: impl FnMut(Delivery<'_>)) {
        let Self {
            mix,
            feeds,
            progress,
            is_closed,
            end,
        } = self;
        while let Some(lease) = mix.next_ready() {
            let drained = mix.drain(lease, BATCH, |bytes| {
                if let Some(message) = MixMessage::parse(bytes) {
                    let blocks: Vec<_> = message.rooms().collect();
                    progress.rooms(message.end, &blocks, &mut deliver);
                    if let Some(feeds) = feeds {
                        feeds.take(message.end, &blocks, progress, &mut deliver);
                    }
                    progress.end_rooms(&mut deliver);
                }
            });
            if drained != Ok(Drained::Closed) {
                continue;
            }
            // It was closed and drained just now, and only this thread releases.
            let _ = mix.release(lease);
            *is_closed = true;
            progress.fill_rooms(end.load(Ordering::Relaxed), &mut deliver);
        }
        match feeds {
            Some(feeds) if *is_closed => feeds.end(progress, &mut deliver),
            Some(feeds) if feeds.has_new => {
                feeds.take(feeds.taken, &[], progress, &mut deliver);
            }
            _ => {}
        }
        if *is_closed {
            for room in progress.heard.drain(..) {
                deliver(Delivery::RoomEnded(room));
            }
        }
    }
}

impl Progress {
    fn rooms(
        &mut self,
        end: u64,
        blocks: &[RoomBlock<'_>],
        deliver: &mut impl FnMut(Delivery<'_>),
    ) {
        self.messages += 1;
        for (place, block) in blocks.iter().enumerate() {
            let (room, frame) = (block.room, block.frame);
            let Some(progress) = self.rooms.get(room.slot()).copied() else {
                continue;
            };
            let before = progress
                .filter(|before| before.room == room && before.message + 1 == self.messages);
            // A damaged block is as good as lost: the next one shows the gap.
            if !frame.checksum_ok() {
                self.rooms[room.slot()] = before.map(|before| RoomProgress {
                    message: self.messages,
                    place: None,
                    ..before
                });
                continue;
            }
            let first = frame.header().first;
            match before {
                Some(before) => self.fill(before.next, first, &mut |piece| {
                    deliver(Delivery::Room(room, piece));
                }),
                None => self.heard.push(room),
            }
            let next = first + self.instants(frame.samples());
            self.rooms[room.slot()] = Some(RoomProgress {
                room,
                next,
                behind: end.saturating_sub(next),
                message: self.messages,
                place: Some(place),
            });
            deliver(Delivery::Room(
                room,
                Piece {
                    first,
                    samples: frame.samples(),
                    contributors: block.contributors,
                    same: None,
                    is_lost: false,
                },
            ));
        }
    }

    /// Ends the rooms that are not in the last message.
    fn end_rooms(&mut self, deliver: &mut impl FnMut(Delivery<'_>)) {
        let Self {
            rooms,
            heard,
            messages,
            ..
        } = self;
        heard.retain(|room| {
            let progress = rooms[room.slot()].as_ref();
            let is_heard = progress
                .is_some_and(|progress| progress.room == *room && progress.message == *messages);
            if !is_heard {
                deliver(Delivery::RoomEnded(*room));
            }
            is_heard
        });
    }

    /// At the end: what was meant for this reader and did not come.
    fn fill_rooms(&mut self, end: u64, deliver: &mut impl FnMut(Delivery<'_>)) {
        for before in self.rooms.iter().flatten() {
            if before.message == self.messages {
                let room = before.room;
                let end = end.saturating_sub(before.behind);
                self.fill(before.next, end, &mut |piece| {
                    deliver(Delivery::Room(room, piece));
                });
            }
        }
    }

    /// Silence for the samples that did not come.
    fn fill(&self, from: u64, to: u64, deliver: &mut impl FnMut(Piece<'_>)) {
        let most = (self.silence.len() / self.channels) as u64;
        for first in (from..to).step_by(most as usize) {
            let len = (to - first).min(most) as usize * self.channels;
            deliver(Piece {
                first,
                samples: &self.silence[..len],
                contributors: &[],
                same: None,
                is_lost: true,
            });
        }
    }

    /// Whether a frame names a block of a later message: a shared room is behind the tick.
    fn names_later(&self, blocks: &[RoomBlock<'_>], frame: &Frame<'_>) -> bool {
        let named = RoomId::from_samples(frame.samples()).filter(|_| frame.header().same);
        let block = blocks.iter().find(|block| Some(block.room) == named);
        block.is_some_and(|block| {
            let end = block.frame.header().first + self.instants(block.frame.samples());
            frame.header().first >= end
        })
    }

    fn instants(&self, samples: &[i16]) -> u64 {
        (samples.len() / self.channels) as u64
    }

    /// The samples of the room's block in the message, from this index on.
    fn block<'a>(&self, blocks: &[RoomBlock<'a>], room: RoomId, first: u64) -> Option<&'a [i16]> {
        let progress = self.rooms.get(room.slot())?.as_ref()?;
        if progress.room != room || progress.message != self.messages {
            return None;
        }
        let frame = blocks.get(progress.place?)?.frame;
        let before = first.checked_sub(frame.header().first)? as usize * self.channels;
        frame.samples().get(before..)
    }
}

/// Readable when there is something to [`drain`](FeedReader::drain).
impl AsFd for FeedReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mix.as_fd()
    }
}

#[cfg(test)]
pub(in crate::output) mod tests;
