//! Rooms over many nodes: what a node of a cluster knows of the others, and which of their parts its mixer gets.
//!
//! Each node adds up its own streams of a room and sends the partial sum of each block; each adds all parts. Sums are
//! exact in any order, so nodes with the same parts have the same block, and, once their limiters have forgotten what was
//! before, the same mix.
//!
//! # Guarantees
//! - A block number comes once in an incarnation of a node, under any trouble of the clocks ([`alignment`]).
//! - Parts go to the mixer in the order of blocks, each once, or are judged late 2 ms before they are due.
//! - Every sample that a peer claims to have mixed is in one term of its link's account ([`LinkTerms`]).
//! - Memory is bounded by the rooms that are open here and by 15 peers; what is not for this cluster allocates nothing.
//! - No node's parts are taken for another's, and none can overflow a sum.
//!
//! [`Node`] is passive: it has no socket, thread or clock. Its owner hands it messages, the mixer's sums and the time.

pub mod alignment;
mod event;
mod lead_used;
mod link;
mod node;
mod peer;
mod refusal;
mod report;
mod room;
mod same;
mod window;

pub use self::{
    alignment::{Alignment, Off, Reading},
    event::Event,
    lead_used::LeadUsed,
    link::LinkTerms,
    node::{Node, Settings},
    refusal::{Refusal, Refusals, Rejected},
    report::{LinkReport, PeerReport, PeerState, Report, RoomReport},
};
