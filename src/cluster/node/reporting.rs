//! The state of a node, read at one instant.

use super::Node;
use crate::cluster::{
    LinkReport, PeerReport, PeerState, Reading, Report, RoomReport,
    peer::{Flow, Peer},
    room::{Member, Room},
};

impl Node {
    /// The cluster as this node sees it. Allocates: 4 KB for each peer, and little for each room.
    pub fn report(&self, now_ns: u64) -> Report {
        let now_tick = self.tick_at(now_ns);
        let reading = self.reading.map(|reading| Reading {
            monotonic_ns: now_ns,
            utc_ns: reading
                .utc_ns
                .saturating_add(now_ns.saturating_sub(reading.monotonic_ns)),
        });
        let peers = self.peers.iter().enumerate();
        Report {
            alignment: self.aligner.alignment(),
            incarnation: self.aligner.incarnation(),
            block: self.aligner.block_at(now_tick),
            utc_ahead_ns: reading.and_then(|reading| self.aligner.utc_ahead_ns(reading)),
            peers: peers
                .filter_map(|(place, peer)| self.peer_report(place, peer, now_ns))
                .collect(),
            rooms: self
                .rooms
                .by_number
                .iter()
                .map(|(&number, room)| self.room_report(number, room, now_ns))
                .collect(),
            refused: self.refused,
            sent_messages: self.sent_messages,
            sent_bytes: self.sent_bytes,
            too_loud: self.too_loud,
            unsent: self.unsent,
            events_dropped: self.events.dropped(),
        }
    }

    fn peer_report(&self, place: usize, peer: &Peer, now_ns: u64) -> Option<PeerReport> {
        let name = peer.name.clone()?;
        let settle_ns = self.aligner.settle_ns();
        let origin = peer.origins.get(now_ns, settle_ns);
        let behind_ns = origin.and_then(|origin| self.aligner.ahead_ns(origin));
        let is_joined = self.rooms.joined(place).next().is_some();
        let state = if peer.is_off && peer.sends(now_ns) {
            PeerState::Off
        } else if is_joined && peer.flow != Flow::Down {
            PeerState::Up
        } else if is_joined {
            PeerState::Down
        } else if peer.present.is_some() || peer.sends(now_ns) {
            PeerState::Present
        } else {
            PeerState::Gone
        };
        Some(PeerReport {
            place,
            name,
            incarnation: peer.incarnation,
            state,
            ahead_ns: behind_ns.map(i64::saturating_neg),
            lead_used: peer.lead_used.clone(),
            messages: peer.messages,
            bytes: peer.bytes,
            last_block: peer.last_block,
            refused: peer.refused,
        })
    }

    fn room_report(&self, number: u64, room: &Room, now_ns: u64) -> RoomReport {
        let members = room.peers.iter().enumerate();
        RoomReport {
            number,
            room: room.id,
            is_shared: self.is_shared(number),
            made_of: room.made_of,
            same_since: room.same_since(),
            differing_blocks: room.own.differing(),
            links: members
                .filter_map(|(place, member)| Some((place, member.as_deref()?)))
                .map(|(place, member)| self.link_report(room, place, member, now_ns))
                .collect(),
        }
    }

    fn link_report(&self, room: &Room, place: usize, member: &Member, now_ns: u64) -> LinkReport {
        let link = &member.link;
        let peer = &self.peers[place];
        let is_known = link.is_joined && peer.flow != Flow::Down && peer.sends(now_ns);
        LinkReport {
            place,
            is_joined: link.is_joined,
            streams: link.streams,
            solos: link.solos,
            terms: link.terms.with_missed(room.missed(place, member)),
            unknown_since: link.last().filter(|_| !is_known).map(|last| last + 1),
            same_since: member.same_since(),
        }
    }
}
