//! The API over real sockets: every route, its rights, its refusals, and that the
//! description is true of all of it.
//!
//! Each answer that any test here gets is held to the description, and to what all answers have in
//! common: [`client`] does that.

#[path = "../support/client.rs"]
mod client;
mod description;
mod desk;
mod early;
mod events;
#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "../support/face.rs"]
mod face;
mod guard;
mod hammer;
mod health;
#[path = "../support/heard.rs"]
mod heard;
mod labels;
mod limits;
#[path = "../support/offer.rs"]
mod offer;
#[path = "../support/patience.rs"]
mod patience;
mod recordings;
mod reload;
mod room_recording;
mod rooms;
#[path = "../support/server.rs"]
mod server;
mod sessions;
mod sorting;
mod status;
mod streams;
mod switches;
mod talking;
mod tokens;
