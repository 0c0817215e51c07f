//! Rooms over many nodes: the state of the other nodes, and the parts of theirs that the mixer gets.
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
//! [`Node`] is passive: it has no socket, thread or clock. Its owner, the thread of the cluster (in builds with the feature
//! `cluster`), hands it messages, the mixer's sums and the time. Other threads meet it by [`Face`] and [`Directory`].

pub mod alignment;
mod directory;
mod event;
mod face;
mod lead_used;
mod link;
#[cfg(feature = "cluster")]
mod nats;
mod node;
mod peer;
mod presence;
mod refusal;
mod report;
mod room;
mod same;
#[cfg(feature = "cluster")]
mod thread;
mod window;

pub use self::{
    alignment::{Alignment, Off, Reading},
    directory::{ClusterRoom, Directory, Membership, Standing},
    event::Event,
    face::{Face, Link, News, View},
    lead_used::LeadUsed,
    link::LinkTerms,
    node::{Node, Settings},
    presence::{Host, Presence, PresentRoom, PresentStream, PresentStreams, Totals},
    refusal::{Refusal, Refusals, Rejected},
    report::{LinkReport, PeerReport, PeerState, Report, RoomReport},
};
#[cfg(feature = "cluster")]
pub use self::{
    nats::Target,
    thread::{Figures, NoteGap, Own, Start, Thread},
};
