//! Audio from a network, and its way back.
//!
//! - [`rtp`]: datagrams, many streams a socket.
//! - [`conn`]: AudioSocket, bare samples over TCP and Unix sockets, WebSockets, HTTP bodies: one stream a
//!   connection.
//! - [`Admission`]: the face by which both get a stream from the engine.
//! - [`ExpectedSenders`]: those that were announced, and the room of each.
//! - [`Limits`], [`Tuning`]: the bounds on what strangers may take, and what may change at run time.

mod admission;
pub mod conn;
mod expected;
pub(crate) mod feeds;
mod limits;
mod log_rate;
mod overload;
mod quota;
pub mod rtp;
mod sequence;
mod tuning;

pub use admission::{Admission, Busy, NotAdmitted, Refused, StreamRequest, lease};
pub use expected::{
    AnnounceError, Announcement, EXPECTED_FOR, EXPECTED_MAX, Expected, ExpectedSenders,
    RtpEntrance, SenderMark,
};
pub use limits::Limits;
pub use log_rate::LogRate;
pub use tuning::Tuning;
