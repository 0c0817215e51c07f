//! The command as a user runs it, and the server that it starts.

mod bench;
mod bench_refusal;
mod check;
#[path = "../support/child.rs"]
mod child;
#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "../support/client.rs"]
mod client;
mod config;
mod drops;
mod end;
#[path = "../support/face.rs"]
mod face;
mod help;
mod http;
mod imperfect;
mod killed;
mod limiter;
mod manual;
mod metrics;
mod network;
mod notify;
#[path = "../support/offer.rs"]
mod offer;
mod own_plan;
#[path = "../support/patience.rs"]
mod patience;
mod plan;
mod readme;
mod realtime;
mod recording;
mod recordings;
mod refusal;
mod reload;
mod replay_damage;
mod replay_max;
mod replay_streams;
mod report;
mod room_recordings;
mod room_targets;
mod rooms;
mod saved;
mod seed;
#[path = "../support/server.rs"]
mod server;
mod signals;
mod sources;
mod stall;
mod status;
mod usage;
