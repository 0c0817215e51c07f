//! Audio over a network, in and out: RTP on virtual time, and real sockets on the loopback.

mod adaptive;
mod any;
#[path = "../support/child.rs"]
mod child;
#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "../support/client.rs"]
mod client;
mod connections;
mod emulator;
mod gaps;
#[path = "../support/heard.rs"]
mod heard;
mod listen;
mod loss;
#[path = "../support/network.rs"]
mod network;
mod order;
#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "../support/patience.rs"]
mod patience;
mod pauses;
mod returns;
#[allow(
    dead_code,
    unused_imports,
    reason = "other programs need the rest of it"
)]
#[path = "../support/rig/mod.rs"]
mod rig;
mod rooms;
mod rtp_mix;
mod segments;
mod skew;
mod strangers;
mod tracks;
mod web_ingest;
