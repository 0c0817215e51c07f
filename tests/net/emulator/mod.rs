//! A seeded network between senders and a receiver, on virtual time, so that a scenario reads as a
//! sentence.
//!
//! A [`Sender`] says what is sent when, a [`Path`] what comes when, and a [`Rig`] feeds that to a real
//! receiver, pool and mixer, tick by tick. As all of it is known, the [`Reference`] knows what must be
//! heard, and the fate of each sample. Nothing sleeps, and a seed always makes one run.

mod coding;
mod dice;
mod path;
mod pieces;
mod reference;
mod rig;
mod scenario;
mod sender;

pub use coding::Coding;
pub use dice::Dice;
pub use path::{Arrival, Path, What, merge};
pub use pieces::{Piece, pieces};
pub use reference::{Reference, Truth};
pub use rig::{Rig, Setup, next_tick, play, topped_up_ns};
pub use scenario::{check, check_all, check_order};
pub use sender::{Kind, Sender, Sent};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;
/// Where most senders send from.
pub const PHONE: &str = "192.0.2.1:40000";
