//! The API over real sockets: every route, who may use it, what is refused and how, and that the
//! description is true of all of it.
//!
//! Each answer that any test here gets is held to the description, and to what all answers have in
//! common: [`client`] does that.
#[path = "api/client.rs"]
mod client;
#[path = "api/description.rs"]
mod description;
#[path = "api/desk.rs"]
mod desk;
#[path = "api/early.rs"]
mod early;
#[path = "api/events.rs"]
mod events;
mod face;
#[path = "api/guard.rs"]
mod guard;
#[path = "api/health.rs"]
mod health;
#[path = "api/labels.rs"]
mod labels;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/offer.rs"]
mod offer;
mod patience;
#[path = "api/recordings.rs"]
mod recordings;
#[path = "api/server.rs"]
mod server;
#[path = "api/sessions.rs"]
mod sessions;
#[path = "api/sorting.rs"]
mod sorting;
#[path = "api/streams.rs"]
mod streams;
#[path = "api/switches.rs"]
mod switches;
