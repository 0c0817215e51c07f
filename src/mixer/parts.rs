//! Rooms that are on several nodes: the nodes exchange their sums block by block, and each adds up all of them.
//!
//! The sums of tick `t` go out, in one message, when the tick has run. The room's block of tick `t` is made
//! [`Settings::lead_ticks`] later, of this node's own sums and of those that other nodes have sent by then. Addition in
//! `i32` is exact in any order, so nodes that have the same parts make the same block.
//!
//! Another thread exchanges the messages ([`PartRings`]) and judges which are late: the mixer takes the messages in its
//! rings, in the order of ticks, and never waits for one.

use super::{
    PartMessage, RoomId, RoomPart, Settings,
    lead::Lead,
    part_message::{PartMessageMut, part_message_bytes},
    room::Rooms,
};
use crate::{
    audio::sum,
    queue::{BuildError, Consumer, LeaseId, Pool, Producer},
};

/// Most other nodes from which a mixer takes parts: with its own, 16 parts below [`PART_PEAK_MAX`] add up without
/// overflow.
pub const PEERS_MAX: usize = 15;

/// The magnitude that every sum of a part is below, so that a sum of 16 never overflows.
pub const PART_PEAK_MAX: u32 = 1 << 27;

/// Messages of one node that a tick takes at most.
const MESSAGES_MAX: usize = 64;

/// Ticks for which a ring has room, beside those of the lead.
const RING_TICKS: usize = 16;

/// The mixer's ends of the rings by which sums come and go.
#[derive(Debug)]
pub struct Parts {
    out: Producer,
    /// Kept, so that the ring stays for as long as the mixer.
    _pool: Pool,
    peers: Consumer,
    /// By peer.
    leases: Box<[LeaseId]>,
}

/// The other ends of those rings, for the thread that exchanges sums with other nodes.
#[derive(Debug)]
pub struct PartRings {
    /// A [`PartMessage`] a tick with the sums of all shared rooms, and a wake-up with each.
    pub sums: Consumer,
    /// To each peer's ring: the [`PartMessage`]s of its parts, in the order of ticks, at most one a tick.
    pub peers: Vec<Producer>,
}

impl Parts {
    /// Rings for so many shared rooms, of a mixer of these settings. Allocates, and enters the kernel.
    ///
    /// # Errors
    /// If the rings cannot be made.
    ///
    /// # Panics
    /// Never: the rings of a new pool are free.
    pub fn new(settings: &Settings, rooms: usize) -> Result<(Self, PartRings), BuildError> {
        let message = part_message_bytes((0..rooms).map(|_| settings.block()));
        let ticks = settings.lead_ticks as usize + RING_TICKS;
        let ring_bytes = (ticks * (message + size_of::<u64>())).next_power_of_two();
        let builder = Pool::builder().ring_bytes(ring_bytes);
        let (pool, sums) = builder.clone().slots(1).build()?;
        let out = pool.acquire().expect("a new pool has a free ring");
        let (incoming, peers) = builder.slots(PEERS_MAX).polled(true).build()?;
        let acquire = |_| incoming.acquire().expect("a new pool has free rings");
        let producers: Vec<Producer> = (0..PEERS_MAX).map(acquire).collect();
        let parts = Self {
            out,
            _pool: pool,
            peers,
            leases: producers.iter().map(Producer::lease).collect(),
        };
        let rings = PartRings {
            sums,
            peers: producers,
        };
        Ok((parts, rings))
    }

    /// Adds the parts of this tick to the rooms, and discards older ones.
    pub(super) fn take(&mut self, tick: u64, rooms: &mut Rooms) {
        for (peer, &lease) in self.leases.iter().enumerate() {
            for _ in 0..MESSAGES_MAX {
                let Ok(Some(bytes)) = self.peers.get(lease) else {
                    break;
                };
                let Some(message) = PartMessage::parse(&bytes) else {
                    bytes.ack();
                    continue;
                };
                if message.tick > tick {
                    break;
                }
                for part in message.rooms() {
                    if message.tick == tick {
                        rooms.add_part(peer, tick, &part);
                    } else {
                        rooms.miss_part(peer, &part);
                    }
                }
                let is_it = message.tick == tick;
                bytes.ack();
                if is_it {
                    break;
                }
            }
        }
    }

    /// Sends this node's sums of the tick that has run.
    pub(super) fn send(&mut self, tick: u64, rooms: &Rooms) {
        let parts = || rooms.shared_parts();
        let len = part_message_bytes(parts().map(|part| part.sums.len()));
        if let Ok(mut reservation) = self.out.reserve(len) {
            let count = parts().count() as u32;
            let mut message = PartMessageMut::new(&mut reservation, tick, count);
            parts().for_each(|part| message.push(&part));
            reservation.commit();
        } else {
            self.out.count_drop(len);
        }
    }
}

/// The state of a room that is on several nodes.
#[derive(Debug)]
pub(super) struct Shared {
    /// This node's sums.
    pub(super) sums: Lead<Box<[i32]>>,
    /// The nodes with a part in the current block, as [`RoomPart::finished_of`] has them.
    of: u32,
    /// CRC-32 of the last block, and the nodes with a part in it.
    finished: (u32, u32),
    /// Samples mixed before the current block.
    mixed_before: u64,
    /// By peer: its streams that are solo in its last part, and the tick of that.
    solos: [(u32, u64); PEERS_MAX],
}

/// Ticks after which a peer's solo is over if none of its parts come.
const SOLO_TICKS: u64 = 50;

impl Shared {
    pub(super) fn new(settings: &Settings) -> Self {
        let silence = || vec![0; settings.block()].into();
        Self {
            sums: Lead::new(settings.lead_ticks, silence),
            of: 0,
            finished: (0, 0),
            mixed_before: 0,
            solos: [(0, 0); PEERS_MAX],
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(|sums| size_of_val(&**sums)).sum();
        size_of_val(self) + sums
    }

    /// A tick begins, before which so many samples were mixed.
    pub(super) fn begin(&mut self, mixed: u64) {
        self.mixed_before = mixed;
        self.of = 1;
    }

    /// Whether a stream is solo on another node, as of the block that this tick finishes.
    pub(super) fn is_soloing(&self, tick: u64) -> bool {
        let mut solos = self.solos.iter();
        solos.any(|&(count, at)| count > 0 && tick.saturating_sub(at) < SOLO_TICKS)
    }

    /// Adds another node's part to the sums of its tick.
    pub(super) fn add(&mut self, peer: usize, tick: u64, part: &RoomPart<'_>, sums: &mut [i32]) {
        self.of |= 2 << peer;
        self.solos[peer] = (part.solos, tick);
        if part.sums.len() == sums.len() {
            sum::add_sums(sums, part.sums);
        }
    }

    /// The block is made.
    pub(super) fn finish(&mut self, samples: &[i16]) {
        let crc = crc32fast::hash(bytemuck::cast_slice(samples));
        self.finished = (crc, self.of);
    }

    pub(super) fn part(&self, room: RoomId, streams: u32, solos: u32, mixed: u64) -> RoomPart<'_> {
        let sums = self.sums.newest();
        let sounds = sums.iter().fold(0, |bits, &sum| bits | sum) != 0;
        RoomPart {
            room,
            streams,
            solos,
            mixed_before: self.mixed_before,
            mixed: (mixed - self.mixed_before) as u32,
            finished_crc: self.finished.0,
            finished_of: self.finished.1,
            sums: if sounds { sums } else { &[] },
        }
    }
}
