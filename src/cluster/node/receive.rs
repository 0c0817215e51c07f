//! Messages of other nodes, and the way of their parts to the mixer.

use std::sync::Arc;

use super::{FORGETS_NS, Node, Scratch};
use crate::{
    cluster::{
        Event, Refusal, Rejected,
        link::Fate,
        peer::{Flow, Peer},
        room::Room,
        window::{Misfit, Slot},
    },
    mixer::{PartMessageMut, RoomPart, part_message_bytes},
    wire::part::{Figures, Message, NODES_MAX, Part},
};

/// A node that sends parts of a room of this one shares it for so long, presence or not.
const SHARES_NS: u64 = 1_000_000_000;

/// Ticks by which a part may be ahead beside those of the lead.
const AHEAD_TICKS: i64 = 1;

impl Node {
    /// Takes a message that came by the subject of the node of this name.
    ///
    /// Costs a pass over it; allocates for a node, a room or a longer message than before alone.
    ///
    /// # Errors
    /// It was not taken; it is counted by its kind. Parts of a message that is taken may be refused all the same, counted
    /// likewise.
    pub fn receive(&mut self, name: &str, bytes: &[u8], now_ns: u64) -> Result<(), Rejected> {
        let taken = self.take(name, bytes, now_ns);
        if let Err(rejected) = taken {
            let has_name = |peer: &&mut Peer| peer.name.as_deref() == Some(name);
            let peer = self.peers.iter_mut().find(has_name);
            let refused = peer.map_or(&mut self.refused, |peer| &mut peer.refused);
            refused.count(rejected.kind());
        }
        taken
    }

    fn take(&mut self, name: &str, bytes: &[u8], now_ns: u64) -> Result<(), Rejected> {
        let message = Message::parse(bytes, &self.shape)?;
        if *name == *self.name {
            return Err(Refusal::OwnName.into());
        }
        let place = self.place_of(name, now_ns).ok_or(Refusal::NodesMax)?;
        let incarnation = message.head.incarnation;
        if self.peers[place].hold(incarnation, now_ns)? {
            self.peers[place].restart(incarnation);
            let name: Arc<str> = name.into();
            self.rooms.leave(place, &name, &mut self.events);
        }
        self.note(place, &message, bytes.len(), now_ns);
        let number = message.head.block;
        let tick = self.aligner.tick_of(number);
        let latest = self.tick_at(now_ns) + i64::from(self.shape.lead_ticks) + AHEAD_TICKS;
        let is_ahead = tick.is_some_and(|tick| tick > latest);
        let peer = &mut self.peers[place];
        // One number that cannot be does not make a node's clock wrong, if its others can.
        let is_odd = is_ahead && !peer.is_off && peer.origins.get(now_ns, 0).is_some();
        if !is_odd {
            peer.origins.note(now_ns, number, self.clock.period_ns);
        }
        let tick = tick.ok_or(Refusal::Unaligned)?;
        let is_off = !is_odd && self.is_off(place, now_ns);
        if is_off || is_ahead {
            // No account reaches to numbers far from the present.
            if tick <= latest + self.peers[place].window.blocks() as i64 {
                self.refuse(place, &message);
            }
            let why = if is_off {
                Refusal::Clock
            } else {
                Refusal::Ahead
            };
            return Err(why.into());
        }
        self.judge(place, now_ns);
        if !self.peers[place].is_started {
            let open = self.first_open_block(now_ns).unwrap_or(number);
            self.peers[place].is_started = true;
            self.peers[place].window.restart(number.max(open));
        }
        self.place(place, &message)?;
        let used_ns = self.since_tick(now_ns, tick);
        let peer = &mut self.peers[place];
        peer.lead_used.record(used_ns);
        peer.last_block = peer.last_block.max(number);
        self.release_ready(place);
        Ok(())
    }

    /// How long ago this tick was due.
    fn since_tick(&self, now_ns: u64, tick: i64) -> i64 {
        let ticks = tick.saturating_sub(self.clock.first_block as i64);
        let since = ticks.saturating_mul(self.clock.period_ns as i64);
        let due = (self.clock.first_ns as i64).saturating_add(since);
        (now_ns as i64).saturating_sub(due)
    }

    /// The holder of a name sends.
    fn note(&mut self, place: usize, message: &Message<'_>, bytes: usize, now_ns: u64) {
        let is_ours = |(part, _): (Part<'_>, _)| self.rooms.get(part.figures.room).is_some();
        let shares = message.parts().any(is_ours);
        let peer = &mut self.peers[place];
        peer.last_ns = Some(now_ns);
        peer.messages += 1;
        peer.bytes += bytes as u64;
        if shares {
            peer.shares_until_ns = now_ns.saturating_add(SHARES_NS);
        }
    }

    /// Whether the blocks of a peer are off by more than the lead.
    fn is_off(&mut self, place: usize, now_ns: u64) -> bool {
        let settle_ns = self.aligner.settle_ns();
        let peer = &mut self.peers[place];
        let origin = peer.origins.get(now_ns, settle_ns);
        let Some(behind_ns) = origin.and_then(|origin| self.aligner.ahead_ns(origin)) else {
            return peer.is_off;
        };
        let lead_ns = u64::from(self.shape.lead_ticks) * self.clock.period_ns;
        let is_off = behind_ns.unsigned_abs() > lead_ns;
        if is_off
            && !peer.is_off
            && let Some(name) = &peer.name
        {
            self.events.push(Event::NodeOff {
                node: Arc::clone(name),
                ahead_ns: behind_ns.saturating_neg(),
            });
        }
        peer.is_off = is_off;
        is_off
    }

    /// Counts the parts of a message as refused in the rooms that the peer is in.
    fn refuse(&mut self, place: usize, message: &Message<'_>) {
        for (part, _) in message.parts() {
            if let Some(room) = self.rooms.get(part.figures.room)
                && let Some(member) = &mut room.peers[place]
                && member.link.is_joined
            {
                let block = self.shape.block();
                let link = &mut member.link;
                if link.judge(message.head.block, &part.figures, block).is_ok() {
                    link.account(message.head.block, &part.figures, Fate::Refused);
                }
            }
        }
    }

    /// Puts the parts of a message where they wait for older ones.
    fn place(&mut self, place: usize, message: &Message<'_>) -> Result<(), Refusal> {
        let head = message.head;
        let peer = &mut self.peers[place];
        let slot = match peer.window.place(head.block, head.piece, head.pieces) {
            Ok(slot) => slot,
            Err(Misfit::Late) => {
                self.late(place, message);
                return Ok(());
            }
            Err(Misfit::Ahead) => return Err(Refusal::Ahead),
            Err(Misfit::Duplicate) => return Err(Refusal::Duplicate),
            Err(Misfit::Pieces) => return Err(Refusal::Piece),
        };
        let forgets = FORGETS_NS.div_ceil(self.clock.period_ns);
        for (part, bytes) in message.parts() {
            match self.rooms.get(part.figures.room) {
                None => peer.refused.count(Refusal::UnknownRoom),
                Some(room) => {
                    slot.parts.extend_from_slice(bytes);
                    let lead = u64::from(self.shape.lead_ticks);
                    let finished = finished(head.block, &part.figures, lead);
                    if let (Some(finished), Some(name)) = (finished, &peer.name) {
                        room.compare(place, finished, forgets, name, &mut self.events);
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts the parts of a message that came too late.
    fn late(&mut self, place: usize, message: &Message<'_>) {
        let (number, block) = (message.head.block, self.shape.block());
        let refused = &mut self.peers[place].refused;
        for (part, _) in message.parts() {
            let Some(room) = self.rooms.get(part.figures.room) else {
                refused.count(Refusal::UnknownRoom);
                continue;
            };
            // Parts from before the first one are in no account.
            let Some(member) = room.peers[place].as_mut().filter(|it| it.link.is_joined) else {
                refused.count(Refusal::Old);
                continue;
            };
            match member.link.judge(number, &part.figures, block) {
                Ok(()) => member.link.account(number, &part.figures, Fate::Late),
                Err(why) => refused.count(why),
            }
        }
    }

    /// Hands the parts of a block to the mixer, and counts those that are missing.
    pub(super) fn hand_over(&mut self, place: usize, number: u64, slot: &Slot) {
        let Some(name) = self.peers[place].name.clone() else {
            return;
        };
        let tick = self
            .aligner
            .tick_of(number)
            .and_then(|tick| u64::try_from(tick).ok());
        let Some(tick) = tick else {
            // Before the first tick of this node.
            return;
        };
        self.accept(place, number, slot);
        let fate = if self.publish(place, tick, slot) {
            Fate::Delivered
        } else {
            Fate::Refused
        };
        let Self {
            rooms,
            peers,
            events,
            scratch: Scratch { accepted, .. },
            ..
        } = self;
        let peer = &mut peers[place];
        for &(room, _, at) in &*accepted {
            let part = Part::parse(&slot.parts[at..], self.shape.block());
            if let (Some((part, _)), Some(room)) = (part, rooms.get(room)) {
                let id = room.id;
                let member = room.member(place);
                member.link.account(number, &part.figures, fate);
                if fate == Fate::Delivered {
                    member.link.is_joined = true;
                    member.taken = Some(number);
                    member.end_miss(id, &name, events);
                } else {
                    peer.refused.count(Refusal::RingFull);
                }
            }
        }
        if fate == Fate::Delivered && !accepted.is_empty() && peer.flow != Flow::Up {
            peer.flow = Flow::Up;
            events.push(Event::NodeUp {
                node: Arc::clone(&name),
                block: number,
                tick,
            });
        }
        let second = 1_000_000_000_u64.div_ceil(self.clock.period_ns);
        for room in rooms.by_number.values_mut() {
            let Room { id, peers, .. } = room;
            let Some(member) = peers[place].as_mut().filter(|it| it.link.is_joined) else {
                continue;
            };
            if slot.is_complete() && member.named != Some(number) {
                member.leave(*id, &name, events);
            } else if member.taken != Some(number) {
                member.miss(tick, second, *id, &name, events);
            }
        }
    }

    /// Judges the parts of a block; those that can be true are accepted.
    fn accept(&mut self, place: usize, number: u64, slot: &Slot) {
        let block = self.shape.block();
        let refused = &mut self.peers[place].refused;
        self.scratch.accepted.clear();
        let mut rest = &slot.parts[..];
        while let Some((part, after)) = Part::parse(rest, block) {
            let at = slot.parts.len() - rest.len();
            rest = after;
            let number_of_room = part.figures.room;
            let Some(room) = self.rooms.get(number_of_room) else {
                refused.count(Refusal::UnknownRoom);
                continue;
            };
            let id = room.id;
            let member = room.member(place);
            if member.named == Some(number) {
                refused.count(Refusal::Duplicate);
                continue;
            }
            member.named = Some(number);
            match member.link.judge(number, &part.figures, block) {
                Ok(()) => self.scratch.accepted.push((number_of_room, id, at)),
                Err(why) => refused.count(why),
            }
        }
    }

    /// Puts the accepted parts into the ring to the mixer. False if it has no room for them.
    fn publish(&mut self, place: usize, tick: u64, slot: &Slot) -> bool {
        let Scratch { accepted, sums, .. } = &mut self.scratch;
        if accepted.is_empty() {
            return true;
        }
        let block = self.shape.block();
        let part = |at: usize| Part::parse(&slot.parts[at..], block).map(|(part, _)| part);
        let samples = |part: &Part<'_>| if part.sums.is_silence() { 0 } else { block };
        let lens = accepted
            .iter()
            .map(|&(_, _, at)| part(at).as_ref().map_or(0, samples));
        let len = part_message_bytes(lens);
        let Ok(mut reservation) = self.peers[place].ring.reserve(len) else {
            self.peers[place].ring.count_drop(len);
            return false;
        };
        let mut message = PartMessageMut::new(&mut reservation, tick, accepted.len() as u32);
        for &(_, room, at) in &*accepted {
            let Some(part) = part(at) else { continue };
            let sums = &mut sums[..samples(&part)];
            if !sums.is_empty() {
                part.sums.read(sums);
            }
            let figures = part.figures;
            message.push(&RoomPart {
                room,
                streams: figures.streams,
                solos: figures.solos.into(),
                mixed_before: figures.mixed_before,
                mixed: figures.mixed,
                finished_crc: figures.finished_crc,
                finished_of: 0,
                sums,
            });
        }
        reservation.commit();
        true
    }
}

/// The number and the CRC-32 of the block that a part's sender has finished, if it has.
fn finished(number: u64, part: &Figures, lead: u64) -> Option<(u64, u32)> {
    let is_made = (1..=NODES_MAX).contains(&usize::from(part.finished_nodes));
    let number = number.checked_sub(lead)?;
    is_made.then_some((number, part.finished_crc))
}
