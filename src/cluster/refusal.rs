//! The kinds of what is not taken from other nodes, and their counts.

use thiserror::Error;

use crate::{ledger::named, wire::part::PartError};

named! {
    /// Why a message, or a part of one, was refused.
    Refusal {
        /// Shorter than a head.
        TooShort = "too_short",
        /// Another protocol.
        Magic = "magic",
        /// Written by another version.
        Version = "version",
        /// Longer or shorter than its head claims.
        Length = "length",
        /// Damaged.
        Checksum = "checksum",
        /// From another cluster.
        Cluster = "cluster",
        /// Another rate, other channels or blocks.
        Format = "format",
        /// Another lead.
        Lead = "lead",
        /// A piece that there is not, or pieces of a block that disagree.
        Piece = "piece",
        /// Rooms that end before or after the bytes do.
        Rooms = "rooms",
        /// Sums of a width that there is not.
        Width = "width",
        /// Sums that could overflow.
        Peak = "peak",
        /// Bytes that are zero in this version.
        Reserved = "reserved",
        /// It has the name of this node.
        OwnName = "own_name",
        /// There are as many other nodes as there may be.
        NodesMax = "nodes_max",
        /// Another incarnation has its name, and still sends.
        Incarnation = "incarnation",
        /// This node has no block numbers: it is alone, or listens.
        Unaligned = "unaligned",
        /// Its blocks are off by more than the lead.
        Clock = "clock",
        /// Its block is older than the account reaches.
        Old = "old",
        /// Its block is further ahead than the lead.
        Ahead = "ahead",
        /// It came before.
        Duplicate = "duplicate",
        /// The room is not open here: nodes with several rooms send all of them.
        UnknownRoom = "unknown_room",
        /// More streams than sums hold.
        Streams = "streams",
        /// More samples mixed than its streams have.
        Mixed = "mixed",
        /// Samples mixed before that are fewer than they were, or more than can be.
        MixedBefore = "mixed_before",
        /// The mixer has not taken what came before it.
        RingFull = "ring_full",
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejected {
    /// It is no message, or not for this cluster.
    #[error(transparent)]
    Message(#[from] PartError),
    /// It is not for now, or not from this node.
    #[error("refused: {}", .0.name())]
    Refused(Refusal),
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Rejected {
    /// Its kind.
    pub fn kind(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Message(error) => match error {
                PartError::TooShort { .. } => Refusal::TooShort,
                PartError::Magic => Refusal::Magic,
                PartError::Version { .. } => Refusal::Version,
                PartError::Length { .. } => Refusal::Length,
                PartError::Checksum { .. } => Refusal::Checksum,
                PartError::Cluster { .. } => Refusal::Cluster,
                PartError::Format { .. } => Refusal::Format,
                PartError::Lead { .. } => Refusal::Lead,
                PartError::Piece { .. } => Refusal::Piece,
                PartError::Rooms { .. } => Refusal::Rooms,
                PartError::Width { .. } => Refusal::Width,
                PartError::Peak { .. } => Refusal::Peak,
                PartError::Reserved => Refusal::Reserved,
            },
        }
    }
}

/// Counts of messages and parts by the reason for which they were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    /// One more.
    pub(super) fn count(&mut self, why: Refusal) {
        self.0[why as usize] += 1;
    }

    /// How many there were for this reason.
    pub fn of(&self, why: Refusal) -> u64 {
        self.0[why as usize]
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
