//! This node of a cluster: sums of its mixer out, parts of other nodes in.

mod receive;
mod reporting;
mod time;

use std::{cmp::Ordering, sync::Arc};

use super::{
    Alignment, Event, Reading, Refusals,
    alignment::{Aligner, Around},
    event::Events,
    peer::{Flow, Peer},
    room::Rooms,
    window::Slot,
};
use crate::{
    audio::MixClock,
    mixer::{PEERS_MAX, PartMessage, RoomId, RoomStrip},
    queue::Producer,
    wire::part::{Figures, PushError, Shape, Writer},
};

/// Sounds that a limiter remembers are no older.
const FORGETS_NS: u64 = 600_000_000;

/// So many rooms of a node are remembered as presence has them: a message has no more.
const PRESENT_ROOMS_MAX: usize = u16::MAX as usize;

/// The settings of a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the node, which no other has.
    pub name: String,
    /// Properties that all nodes share.
    pub shape: Shape,
    /// When ticks are due.
    pub clock: MixClock,
    /// Most rooms that may be shared.
    pub rooms_max: usize,
    /// The longest message that may be sent, in bytes.
    pub payload_bytes_max: usize,
    /// Random: of it incarnations are made.
    pub seed: u64,
}

/// A node of a cluster. See the [module](super).
#[derive(Debug)]
pub struct Node {
    name: Arc<str>,
    shape: Shape,
    clock: MixClock,
    rooms_max: usize,
    aligner: Aligner,
    /// The clocks as they were read last.
    reading: Option<Reading>,
    peers: Box<[Peer]>,
    rooms: Rooms,
    events: Events,
    /// Messages of nodes without a place.
    refused: Refusals,
    writer: Writer,
    /// When time was last looked at, and since when without a break.
    polled_ns: u64,
    awake_ns: u64,
    /// The tick that was sent last.
    sent_tick: Option<u64>,
    sent_messages: u64,
    sent_bytes: u64,
    too_loud: u64,
    unsent: u64,
    scratch: Scratch,
}

/// Memory that is used again for each block.
#[derive(Debug)]
struct Scratch {
    slot: Slot,
    /// The parts of a block that are handed over: the room, and where the part begins.
    accepted: Vec<(u64, RoomId, usize)>,
    sums: Vec<i32>,
}

impl Node {
    /// A node beside the mixer that reads these rings, one for each peer. Allocates.
    pub fn new(settings: &Settings, rings: Vec<Producer>) -> Self {
        let Settings { shape, clock, .. } = *settings;
        // A node may be as far ahead as its parts may be late.
        let blocks = 2 * usize::from(shape.lead_ticks) + 8;
        let peers = rings.into_iter().take(PEERS_MAX);
        Self {
            name: settings.name.as_str().into(),
            shape,
            clock,
            rooms_max: settings.rooms_max,
            aligner: Aligner::new(clock, shape.lead_ticks, settings.seed),
            reading: None,
            peers: peers.map(|ring| Peer::new(ring, blocks)).collect(),
            rooms: Rooms::default(),
            events: Events::default(),
            refused: Refusals::default(),
            writer: Writer::new(shape, settings.payload_bytes_max),
            polled_ns: 0,
            awake_ns: 0,
            sent_tick: None,
            sent_messages: 0,
            sent_bytes: 0,
            too_loud: 0,
            unsent: 0,
            scratch: Scratch {
                slot: Slot::default(),
                accepted: Vec::new(),
                sums: vec![0; shape.block()],
            },
        }
    }

    /// Whether ticks have numbers of blocks.
    pub fn alignment(&self) -> Alignment {
        self.aligner.alignment()
    }

    /// The incarnation of this node: the next one while ticks have no numbers.
    pub fn incarnation(&self) -> u64 {
        self.aligner.incarnation()
    }

    /// The number of a tick's block, if ticks have numbers.
    pub fn block_of(&self, tick: u64) -> Option<u64> {
        self.aligner.block_of(tick)
    }

    /// The tick of a block, if ticks have numbers; it may be before the first.
    pub fn tick_of(&self, block: u64) -> Option<i64> {
        self.aligner.tick_of(block)
    }

    /// The name of the peer in this place, if it is taken.
    pub fn name_of(&self, place: usize) -> Option<&Arc<str>> {
        self.peers.get(place)?.name.as_ref()
    }

    /// The next news. Up to 1024 wait.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.next()
    }

    /// Sets the longest message that may be sent, in bytes: a server says what it takes.
    pub fn set_payload_bytes_max(&mut self, bytes: usize) {
        self.writer.set_payload_bytes_max(bytes);
    }

    /// A room that other nodes may be in: its number in parts ([`room_id`](crate::wire::part::room_id)), and the room of this
    /// node's mixer. False if the number or the room is known, or there are as many rooms as there may be.
    pub fn open_room(&mut self, number: u64, room: RoomId, strip: Arc<RoomStrip>) -> bool {
        self.rooms.len() < self.rooms_max && self.rooms.open(number, room, strip)
    }

    /// The room is closed here.
    pub fn close_room(&mut self, room: RoomId) {
        let Some(mut room) = self.rooms.close(room) else {
            return;
        };
        for (peer, member) in self.peers.iter().zip(&mut room.peers) {
            if let (Some(name), Some(member)) = (&peer.name, member) {
                member.end_miss(room.id, name, &mut self.events);
            }
        }
    }

    /// Whether another node has the room of this number, so that parts of it are sent.
    fn is_shared(&self, number: u64) -> bool {
        let room = self.rooms.by_number.get(&number);
        self.peers.iter().enumerate().any(|(place, peer)| {
            let member = room.and_then(|room| room.peers[place].as_deref());
            member.is_some_and(|member| member.link.is_joined) || peer.is_present_in(number)
        })
    }

    /// A node is present, in these rooms: as often as that is renewed, and when it changes.
    pub fn presence(&mut self, name: &str, rooms: &[u64], now_ns: u64) {
        if *name == *self.name {
            return;
        }
        // A sixteenth node has no place; its parts are refused and counted.
        let Some(place) = self.place_of(name, now_ns) else {
            return;
        };
        let mut rooms: Vec<u64> = rooms.iter().copied().take(PRESENT_ROOMS_MAX).collect();
        rooms.sort_unstable();
        self.peers[place].present = Some(rooms);
    }

    /// A node is not present any more. While it sends it is in its rooms all the same.
    pub fn gone(&mut self, name: &str) {
        let mut peers = self.peers.iter();
        if let Some(place) = peers.position(|peer| peer.name.as_deref() == Some(name)) {
            self.peers[place].present = None;
            if self.peers[place].flow == Flow::Down {
                self.leave(place);
            }
        }
    }

    /// A node that is down is expected in no room any more.
    fn leave(&mut self, place: usize) {
        if let Some(name) = self.peers[place].name.clone()
            && self.rooms.joined(place).next().is_some()
        {
            self.rooms.leave(place, &name, &mut self.events);
            self.events.push(Event::NodeGone { node: name });
        }
    }

    /// The place of a node, which takes one if there is: a free one, or that of a node that is away.
    fn place_of(&mut self, name: &str, now_ns: u64) -> Option<usize> {
        let has_name = |peer: &Peer| peer.name.as_deref() == Some(name);
        if let Some(place) = self.peers.iter().position(has_name) {
            return Some(place);
        }
        let is_free = |peer: &Peer| peer.name.is_none();
        let is_away = |peer: &Peer| peer.present.is_none() && !peer.sends(now_ns);
        let mut peers = self.peers.iter();
        let free = peers.position(is_free);
        let place = free.or_else(|| self.peers.iter().position(is_away))?;
        self.rooms.forget(place);
        self.peers[place].take(name);
        Some(place)
    }

    /// Reads the clocks: once a second or more often. Between, they are taken to run on evenly.
    pub fn update(&mut self, reading: Reading) {
        self.reading = Some(reading);
        self.realign(reading.monotonic_ns);
    }

    /// Compares the numbers of blocks with the clocks and with the peers.
    fn realign(&mut self, now_ns: u64) {
        let Some(reading) = self.reading else {
            return;
        };
        let since = now_ns.saturating_sub(reading.monotonic_ns);
        let reading = Reading {
            monotonic_ns: reading.monotonic_ns + since,
            utc_ns: reading.utc_ns.saturating_add(since),
        };
        let settle_ns = self.aligner.settle_ns();
        let mut origins = [0; PEERS_MAX];
        let seen = self
            .peers
            .iter()
            .filter_map(|peer| peer.origins.get(now_ns, settle_ns));
        let count = origins
            .iter_mut()
            .zip(seen)
            .map(|(origin, seen)| *origin = seen)
            .count();
        let numbers = || self.rooms.by_number.keys();
        let sharing = self.peers.iter().filter(|peer| {
            now_ns < peer.shares_until_ns || numbers().any(|&number| peer.is_present_in(number))
        });
        let names = || sharing.clone().filter_map(|peer| peer.name.as_deref());
        let mut around = Around {
            is_sharing: names().next().is_some(),
            is_first: names().all(|name| (*self.name).cmp(name) != Ordering::Greater),
            origins: &mut origins[..count],
        };
        if self.aligner.update(reading, &mut around) {
            self.events.push(Event::Alignment {
                alignment: self.aligner.alignment(),
                incarnation: self.aligner.incarnation(),
            });
            self.renumber();
        }
    }

    /// Blocks have other numbers, or none: forgets all state by the old ones.
    fn renumber(&mut self) {
        for (place, peer) in self.peers.iter_mut().enumerate() {
            peer.is_started = false;
            peer.window.restart(0);
            (peer.flow, peer.is_off) = (Flow::New, false);
            if let Some(name) = &peer.name {
                self.rooms.leave(place, name, &mut self.events);
            }
        }
        let rooms = self.rooms.by_number.values_mut();
        rooms.for_each(|room| room.own.forget());
    }

    /// Takes the mixer's sums of a tick, a [`PartMessage`], and returns the messages that are to be sent for it: none
    /// while no other node has one of the rooms, or ticks have no numbers.
    pub fn send(&mut self, message: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> {
        self.writer.begin(0, 0);
        if let Some(message) = PartMessage::parse(message)
            && self.sent_tick.is_none_or(|sent| message.tick > sent)
            && let Some(block) = self.aligner.block_of(message.tick)
        {
            self.sent_tick = Some(message.tick);
            self.write(message, block);
        }
        let messages = self.writer.finish();
        self.sent_messages += messages.len() as u64;
        messages.inspect(|message| self.sent_bytes += message.len() as u64)
    }

    fn write(&mut self, message: PartMessage<'_>, block: u64) {
        self.writer.begin(self.aligner.incarnation(), block);
        let finished = block.saturating_sub(self.shape.lead_ticks.into());
        let forgets = FORGETS_NS.div_ceil(self.clock.period_ns);
        for part in message.rooms() {
            let Some(number) = self.rooms.number_of(part.room) else {
                continue;
            };
            if part.finished_of > 0
                && let Some(room) = self.rooms.get(number)
            {
                let peers = &self.peers;
                let name = |place: usize| peers[place].name.clone();
                let events = &mut self.events;
                room.made_of = part.finished_of;
                room.finish((finished, part.finished_crc), forgets, name, events);
            }
            if !self.is_shared(number) {
                continue;
            }
            let figures = Figures {
                room: number,
                mixed_before: part.mixed_before,
                mixed: part.mixed,
                streams: part.streams,
                solos: part.solos.min(u16::MAX.into()) as u16,
                finished_crc: part.finished_crc,
                finished_nodes: part.finished_of.count_ones() as u8,
            };
            match self.writer.push(&figures, part.sums) {
                Ok(()) => {}
                Err(PushError::Peak { .. }) => {
                    // Without its samples, which the others then count as lost.
                    let silent = Figures {
                        mixed: 0,
                        ..figures
                    };
                    self.too_loud += 1;
                    self.unsent += u64::from(self.writer.push(&silent, &[]).is_err());
                }
                Err(PushError::Pieces { .. }) => self.unsent += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests;
