//! The rooms of this node that other nodes may be in.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Event,
    event::Events,
    link::Link,
    same::{Comparison, OwnBlocks, Turn},
};
use crate::mixer::{PEERS_MAX, RoomId, RoomStrip};

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) strip: Arc<RoomStrip>,
    pub(super) own: OwnBlocks,
    /// The nodes of which the last block was made, as [`RoomPart::finished_of`](crate::mixer::RoomPart::finished_of) has
    /// them.
    pub(super) made_of: u32,
    /// By peer.
    pub(super) peers: [Option<Box<Member>>; PEERS_MAX],
}

/// A peer in one room.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) link: Link,
    comparison: Comparison,
    /// The ticks without its part since the last event of them: the first, and how many.
    missing: Option<(u64, u64)>,
    /// The newest block that has a part of it, taken or not.
    pub(super) named: Option<u64>,
    /// The newest block that has been handed over with a part of it.
    pub(super) taken: Option<u64>,
    /// Samples that the mixer had missed of this peer's place before.
    missed_before: u64,
}

impl Room {
    /// The peer of this place, which may be new here.
    pub(super) fn member(&mut self, peer: usize) -> &mut Member {
        let missed_before = self.strip.parts_missed(peer);
        self.peers[peer].get_or_insert_with(|| {
            Box::new(Member {
                missed_before,
                ..Member::default()
            })
        })
    }

    /// Samples of a peer that the mixer could not take in time.
    pub(super) fn missed(&self, peer: usize, member: &Member) -> u64 {
        self.strip.parts_missed(peer) - member.missed_before
    }

    /// The first block since which all are the same on all nodes that are in the room; none if the last one was not.
    pub(super) fn same_since(&self) -> Option<u64> {
        let joined = self
            .peers
            .iter()
            .flatten()
            .filter(|member| member.link.is_joined);
        joined
            .map(|member| member.comparison.same_since())
            .reduce(|one, other| Some(one?.max(other?)))
            .flatten()
    }

    /// A peer has finished a block.
    pub(super) fn compare(
        &mut self,
        peer: usize,
        (number, crc): (u64, u32),
        forgets: u64,
        name: &Arc<str>,
        events: &mut Events,
    ) {
        self.member(peer);
        let Self { id, own, peers, .. } = self;
        if let Some(member) = &mut peers[peer] {
            let turn = member.comparison.of_peer(own, number, crc, forgets);
            events.turn(turn, *id, name);
        }
    }

    /// This node has finished a block; `name` is of the peer in each place.
    pub(super) fn finish(
        &mut self,
        (number, crc): (u64, u32),
        forgets: u64,
        name: impl Fn(usize) -> Option<Arc<str>>,
        events: &mut Events,
    ) {
        let Self { id, own, peers, .. } = self;
        own.finish(number, crc);
        for (peer, member) in peers.iter_mut().enumerate() {
            if let Some(member) = member
                && let Some(name) = name(peer)
            {
                let turn = member.comparison.of_own(own, number, forgets);
                events.turn(turn, *id, &name);
            }
        }
    }
}

impl Events {
    fn turn(&mut self, turn: Option<Turn>, room: RoomId, name: &Arc<str>) {
        let node = || Arc::clone(name);
        match turn {
            Some(Turn::Differs(block)) => {
                let node = node();
                self.push(Event::Differs { room, node, block });
            }
            Some(Turn::Same(block)) => {
                let node = node();
                self.push(Event::Same { room, node, block });
            }
            None => {}
        }
    }
}

impl Member {
    /// The first block since which all are the same as on this peer.
    pub(super) fn same_since(&self) -> Option<u64> {
        self.comparison.same_since()
    }

    /// A tick's block was made without its part: `most` are reported at once.
    pub(super) fn miss(
        &mut self,
        tick: u64,
        most: u64,
        room: RoomId,
        name: &Arc<str>,
        events: &mut Events,
    ) {
        let (_, ticks) = self.missing.get_or_insert((tick, 0));
        *ticks += 1;
        if *ticks >= most {
            self.end_miss(room, name, events);
        }
    }

    /// Its part is there again, or not expected any more.
    pub(super) fn end_miss(&mut self, room: RoomId, name: &Arc<str>, events: &mut Events) {
        if let Some((first_tick, ticks)) = self.missing.take() {
            events.push(Event::Missing {
                room,
                node: Arc::clone(name),
                first_tick,
                ticks,
            });
        }
    }

    /// It has left the room, or comes under other numbers: what it sends next begins its account again.
    pub(super) fn leave(&mut self, room: RoomId, name: &Arc<str>, events: &mut Events) {
        self.end_miss(room, name, events);
        self.link.begin_again();
        self.comparison = Comparison::default();
        (self.named, self.taken) = (None, None);
    }
}

/// The rooms, by their numbers in parts.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    pub(super) by_number: BTreeMap<u64, Room>,
    number_of: HashMap<RoomId, u64>,
}

impl Rooms {
    /// Adds a room. False if there is one of this number.
    pub(super) fn open(&mut self, number: u64, id: RoomId, strip: Arc<RoomStrip>) -> bool {
        if self.by_number.contains_key(&number) || self.number_of.contains_key(&id) {
            return false;
        }
        let room = Room {
            id,
            strip,
            own: OwnBlocks::default(),
            made_of: 0,
            peers: Default::default(),
        };
        self.by_number.insert(number, room);
        self.number_of.insert(id, number);
        true
    }

    pub(super) fn close(&mut self, id: RoomId) -> Option<Room> {
        let number = self.number_of.remove(&id)?;
        self.by_number.remove(&number)
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&mut Room> {
        self.by_number.get_mut(&number)
    }

    pub(super) fn number_of(&self, id: RoomId) -> Option<u64> {
        self.number_of.get(&id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Rooms with this peer in them.
    pub(super) fn joined(&self, peer: usize) -> impl Iterator<Item = (&Room, &Member)> {
        self.by_number.values().filter_map(move |room| {
            let member = room.peers[peer].as_deref()?;
            member.link.is_joined.then_some((room, member))
        })
    }

    /// This peer is in no room any more.
    pub(super) fn leave(&mut self, peer: usize, name: &Arc<str>, events: &mut Events) {
        for room in self.by_number.values_mut() {
            if let Some(member) = &mut room.peers[peer] {
                member.leave(room.id, name, events);
            }
        }
    }

    /// Another node gets this place.
    pub(super) fn forget(&mut self, peer: usize) {
        for room in self.by_number.values_mut() {
            room.peers[peer] = None;
        }
    }
}
