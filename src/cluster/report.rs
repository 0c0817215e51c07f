//! The report of a node on its cluster at one instant.

use std::sync::Arc;

use super::{Alignment, LeadUsed, LinkTerms, Refusals};
use crate::mixer::RoomId;

/// The cluster as one node sees it.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether this node's ticks have numbers of blocks.
    pub alignment: Alignment,
    /// This node's incarnation.
    pub incarnation: u64,
    /// The block of the tick that was due last, if ticks have numbers.
    pub block: Option<u64>,
    /// How far UTC is ahead of the block numbers: up to half a tick by rounding, and what this node's UTC differs from its
    /// peers'.
    pub utc_ahead_ns: Option<i64>,
    /// The other nodes, those that are away too, while they have a place.
    pub peers: Vec<PeerReport>,
    /// The rooms of this node that are shared, or may be.
    pub rooms: Vec<RoomReport>,
    /// Messages of nodes that have no place, by reason.
    pub refused: Refusals,
    /// Messages that were made to be sent.
    pub sent_messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Parts that were sent as silence, as their sums could overflow with those of others.
    pub too_loud: u64,
    /// Parts that did not fit the messages of a block.
    pub unsent: u64,
    /// Events for which there was no room.
    pub events_dropped: u64,
}

/// The state of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It is present, and has sent nothing yet, or shares no room.
    Present,
    /// Its parts come.
    Up,
    /// Its parts do not come any more.
    Down,
    /// Its blocks are off by more than the lead: its parts are refused.
    Off,
    /// It is not present, and sends nothing.
    Gone,
}

/// Another node.
#[derive(Debug, Clone)]
pub struct PeerReport {
    /// Its place among the peers of the mixer.
    pub place: usize,
    /// Its name.
    pub name: Arc<str>,
    /// The incarnation that has the name; 0 before the first message.
    pub incarnation: u64,
    /// Whether its parts come.
    pub state: PeerState,
    /// How much earlier than here its blocks come, or later if negative, the way included; none if it does not send.
    pub ahead_ns: Option<i64>,
    /// The time from a tick here to the arrival of its part.
    pub lead_used: LeadUsed,
    /// Messages that came.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The newest block of which a message was taken.
    pub last_block: u64,
    /// Its messages and parts that were refused, by reason.
    pub refused: Refusals,
}

/// A room.
#[derive(Debug, Clone)]
pub struct RoomReport {
    /// Its number in parts.
    pub number: u64,
    /// The room of this node's mixer.
    pub room: RoomId,
    /// Another node is in it.
    pub is_shared: bool,
    /// The nodes of which its last block was made, a bit for each: bit 0 is this one, bit `n + 1` the peer of place `n`.
    pub made_of: u32,
    /// The first block since which all are the same on all nodes in it; none if the last was not, or there are none.
    pub same_since: Option<u64>,
    /// Blocks that differed from that of another node.
    pub differing_blocks: u64,
    /// The nodes that are in it, or were.
    pub links: Vec<LinkReport>,
}

/// Another node in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkReport {
    /// Its place: that of a [`PeerReport`].
    pub place: usize,
    /// Its parts are expected.
    pub is_joined: bool,
    /// Its streams in the room, as its last part says; 0 once it has left.
    pub streams: u32,
    /// Those of them that are solo.
    pub solos: u16,
    /// The account of its samples; those that the mixer missed are late.
    pub terms: LinkTerms,
    /// The block after its newest part, if it has left or its parts do not come: what it mixed since is unknown.
    pub unknown_since: Option<u64>,
    /// The first block since which all are the same as on it.
    pub same_since: Option<u64>,
}
