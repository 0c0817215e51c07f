//! Judgements by the time alone: parts that are late, nodes that are down.

use super::Node;
use crate::cluster::{Event, peer::Flow};

/// A part is judged late so long before its tick is finished.
const JUDGED_BEFORE_NS: u64 = 2_000_000;

/// A node is down after so long without a part, where five ticks are shorter.
const DOWN_NS_MIN: u64 = 150_000_000;

impl Node {
    /// How long no part of a node may come until it is down.
    pub(super) fn down_ns(&self) -> u64 {
        (5 * self.clock.period_ns).max(DOWN_NS_MIN)
    }

    /// The tick that is due, or was last; it may be before the first.
    pub(super) fn tick_at(&self, now_ns: u64) -> i64 {
        let since = (now_ns as i64).saturating_sub(self.clock.first_ns as i64);
        let ticks = since.div_euclid(self.clock.period_ns as i64);
        (self.clock.first_block as i64).saturating_add(ticks)
    }

    /// The first tick of which parts are not late yet.
    fn first_open(&self, now_ns: u64) -> i64 {
        let finishing = self.tick_at(now_ns.saturating_add(JUDGED_BEFORE_NS));
        finishing - i64::from(self.shape.lead_ticks) + 1
    }

    /// When parts are judged next.
    pub fn next_judged_ns(&self, now_ns: u64) -> u64 {
        let next = self.tick_at(now_ns.saturating_add(JUDGED_BEFORE_NS)) + 1;
        let ticks = next.saturating_sub(self.clock.first_block as i64);
        let since = ticks.saturating_mul(self.clock.period_ns as i64);
        let due = (self.clock.first_ns as i64).saturating_add(since);
        (due.max(0) as u64).saturating_sub(JUDGED_BEFORE_NS)
    }

    /// The first block of which parts are not late yet, if ticks have numbers.
    pub(super) fn first_open_block(&self, now_ns: u64) -> Option<u64> {
        let tick = self.first_open(now_ns);
        self.aligner.block_at(tick)
    }

    /// Judges by the time: once a tick, at [`next_judged_ns`](Self::next_judged_ns).
    pub fn poll(&mut self, now_ns: u64) {
        // While this process stood still no silence can be judged: messages wait in the socket.
        if now_ns > self.polled_ns.saturating_add(self.down_ns() / 2) {
            self.awake_ns = now_ns;
        }
        self.polled_ns = now_ns;
        self.realign(now_ns);
        for place in 0..self.peers.len() {
            self.judge(place, now_ns);
            self.check_down(place, now_ns);
        }
    }

    /// Hands over what is due of a peer, and goes on to what is not.
    pub(super) fn judge(&mut self, place: usize, now_ns: u64) {
        if !self.peers[place].is_started {
            return;
        }
        let Some(open) = self.first_open_block(now_ns) else {
            return;
        };
        // After a long stop of this process all that waited is late.
        let window = self.peers[place].window.blocks();
        while self.peers[place].window.next() < open {
            let is_empty = self.peers[place].window.is_empty();
            if is_empty && self.peers[place].window.next() + window < open {
                self.skip(place, open);
                return;
            }
            self.release(place);
        }
        self.release_ready(place);
    }

    /// Passes over blocks of which nothing has come.
    fn skip(&mut self, place: usize, open: u64) {
        let next = self.peers[place].window.next();
        if let (Some(name), Some(first)) = (&self.peers[place].name, self.aligner.tick_of(next)) {
            for room in self.rooms.by_number.values_mut() {
                if let Some(member) = &mut room.peers[place]
                    && member.link.is_joined
                {
                    member.end_miss(room.id, name, &mut self.events);
                    self.events.push(Event::Missing {
                        room: room.id,
                        node: name.clone(),
                        first_tick: first.max(0) as u64,
                        ticks: open - next,
                    });
                }
            }
        }
        self.peers[place].window.restart(open);
    }

    pub(super) fn release_ready(&mut self, place: usize) {
        while self.peers[place].window.is_ready() {
            self.release(place);
        }
    }

    /// Hands the next block of a peer over.
    fn release(&mut self, place: usize) {
        let mut slot = std::mem::take(&mut self.scratch.slot);
        let number = self.peers[place].window.pass(&mut slot);
        self.hand_over(place, number, &slot);
        self.scratch.slot = slot;
    }

    /// Whether a node has stopped sending.
    fn check_down(&mut self, place: usize, now_ns: u64) {
        let down_ns = self.down_ns();
        let peer = &self.peers[place];
        let (Some(name), Some(last_ns)) = (&peer.name, peer.last_ns) else {
            return;
        };
        let since_ns = last_ns.max(self.awake_ns);
        if peer.flow == Flow::Down || now_ns < since_ns.saturating_add(down_ns) {
            return;
        }
        let mut streams = 0;
        let joined = self.rooms.joined(place).map(|(room, member)| {
            streams += u64::from(member.link.streams);
            room.id
        });
        let rooms: Vec<_> = joined.collect();
        if rooms.is_empty() {
            return;
        }
        self.events.push(Event::NodeDown {
            node: name.clone(),
            rooms,
            streams,
            last_block: peer.last_block,
        });
        let is_present = peer.present.is_some();
        self.peers[place].flow = Flow::Down;
        if !is_present {
            self.leave(place);
        }
    }
}
