//! The mixer and what it makes of streams, without a clock and without a socket.

mod clock;
mod cluster;
mod control;
mod end;
mod ended_by_command;
mod feeds;
mod frame_lengths;
mod mix_minus;
mod network;
mod readers;
mod reference;
mod removed;
mod replay;
#[path = "../support/rig/mod.rs"]
mod rig;
mod rooms;
mod schedules;
mod shared;
mod stall;
mod talking;
mod tracks;
mod trouble;
