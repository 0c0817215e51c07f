//! Rooms over many nodes: what a node of a cluster knows of the others.
//!
//! Each node adds up its own streams of a room and sends the partial sum of each block; each adds all parts. For that they
//! agree on the numbers of blocks ([`alignment`]).

pub mod alignment;

pub use self::alignment::{Alignment, Off, Reading};
