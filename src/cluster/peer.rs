//! One other node: its name, its incarnation, and whether it sends.

use std::sync::Arc;

use super::{LeadUsed, Refusal, Refusals, alignment::Origins, window::Window};
use crate::queue::Producer;

/// A name is another incarnation's so long after its holder last sent.
const HOLDS_NS: u64 = 1_000_000_000;

/// Whether parts of a peer come, as the last event of it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// None has been taken in.
    New,
    /// They do.
    Up,
    /// None came for so long that it is down.
    Down,
}

/// The place of one peer, which keeps it while it may come back.
#[derive(Debug)]
pub(super) struct Peer {
    /// To the mixer.
    pub(super) ring: Producer,
    /// None: the place is free.
    pub(super) name: Option<Arc<str>>,
    /// The holder of the name; 0 if it has sent nothing.
    pub(super) incarnation: u64,
    /// When a message of the holder last came; none before the first.
    pub(super) last_ns: Option<u64>,
    /// The newest block of the holder that was taken.
    pub(super) last_block: u64,
    pub(super) origins: Origins,
    pub(super) window: Window,
    /// The window has a place: a message of the holder came since this node has block numbers.
    pub(super) is_started: bool,
    /// The rooms that it is in as presence has it, in order; none if it is not present.
    pub(super) present: Option<Vec<u64>>,
    /// It sent a part of a room that is open here until then.
    pub(super) shares_until_ns: u64,
    pub(super) flow: Flow,
    /// Its blocks are off by more than the lead.
    pub(super) is_off: bool,
    pub(super) lead_used: LeadUsed,
    pub(super) refused: Refusals,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Peer {
    /// A free place. The window is of so many blocks.
    pub(super) fn new(ring: Producer, blocks: usize) -> Self {
        Self {
            ring,
            name: None,
            incarnation: 0,
            last_ns: None,
            last_block: 0,
            origins: Origins::default(),
            window: Window::new(blocks, 0),
            is_started: false,
            present: None,
            shares_until_ns: 0,
            flow: Flow::New,
            is_off: false,
            lead_used: LeadUsed::default(),
            refused: Refusals::default(),
            messages: 0,
            bytes: 0,
        }
    }

    /// Takes the place for a node of this name.
    pub(super) fn take(&mut self, name: &str) {
        self.name = Some(name.into());
        self.restart(0);
        (self.last_ns, self.last_block, self.present) = (None, 0, None);
        (self.flow, self.is_off, self.shares_until_ns) = (Flow::New, false, 0);
        (self.lead_used, self.refused) = Default::default();
        (self.messages, self.bytes) = (0, 0);
    }

    /// Another incarnation sends from now on.
    pub(super) fn restart(&mut self, incarnation: u64) {
        (self.incarnation, self.last_block) = (incarnation, 0);
        self.origins.forget();
        self.is_started = false;
        self.window.restart(0);
    }

    /// Whether it sent something of late.
    pub(super) fn sends(&self, now_ns: u64) -> bool {
        self.last_ns
            .is_some_and(|last_ns| now_ns < last_ns.saturating_add(HOLDS_NS))
    }

    /// Whether a message of this incarnation is of the holder of the name; `Ok(true)` if it has become the holder by it.
    pub(super) fn hold(&self, incarnation: u64, now_ns: u64) -> Result<bool, Refusal> {
        if self.last_ns.is_some() && incarnation == self.incarnation {
            return Ok(false);
        }
        if self.sends(now_ns) {
            return Err(Refusal::Incarnation);
        }
        Ok(true)
    }

    /// Whether it is in a room, as far as presence says.
    pub(super) fn is_present_in(&self, room: u64) -> bool {
        let rooms = self.present.as_ref();
        rooms.is_some_and(|rooms| rooms.binary_search(&room).is_ok())
    }
}
