//! News of the cluster.

use std::{collections::VecDeque, sync::Arc};

use super::Alignment;
use crate::mixer::RoomId;

/// So many wait to be taken; what comes then is counted.
const EVENTS_MAX: usize = 1024;

/// One piece of news. Blocks are numbers of the cluster, ticks those of this node's mixer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This node's ticks have numbers of blocks from now on, or none any more.
    Alignment {
        /// Which of them, and why.
        alignment: Alignment,
        /// The incarnation that begins, or the one that will.
        incarnation: u64,
    },
    /// A node's parts are taken in: it has come, or is back.
    NodeUp {
        /// Its name.
        node: Arc<str>,
        /// The first block with its part.
        block: u64,
        /// The tick of that block.
        tick: u64,
    },
    /// No part of a node has come for the longer of 150 ms and five ticks.
    NodeDown {
        /// Its name.
        node: Arc<str>,
        /// The rooms that it is in.
        rooms: Vec<RoomId>,
        /// Its streams in them, as its last parts say.
        streams: u64,
        /// The block of its last part.
        last_block: u64,
    },
    /// A node that is down is not expected any more: it is not present either.
    NodeGone {
        /// Its name.
        node: Arc<str>,
    },
    /// A node's blocks are off by more than the lead: its parts are refused.
    NodeOff {
        /// Its name.
        node: Arc<str>,
        /// By how much they come early; late if negative.
        ahead_ns: i64,
    },
    /// Blocks of a room were made without the part of a node that is in it. Sent when the part is there again, and each
    /// second.
    Missing {
        /// The room.
        room: RoomId,
        /// The name of the node.
        node: Arc<str>,
        /// The first tick without the part.
        first_tick: u64,
        /// How many ticks.
        ticks: u64,
    },
    /// A room's block is another one than on a node, for the first time since they were the same.
    Differs {
        /// The room.
        room: RoomId,
        /// The name of the node.
        node: Arc<str>,
        /// The block.
        block: u64,
    },
    /// A room's blocks have been the same as on a node for 0.6 s.
    Same {
        /// The room.
        room: RoomId,
        /// The name of the node.
        node: Arc<str>,
        /// The first of these blocks.
        block: u64,
    },
}

/// Events that wait.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: VecDeque<Event>,
    dropped: u64,
}

impl Events {
    pub(super) fn push(&mut self, event: Event) {
        if self.waiting.len() < EVENTS_MAX {
            self.waiting.push_back(event);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn next(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    /// Events for which there was no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
