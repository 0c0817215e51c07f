//! The mixer and what it makes of streams, without a clock and without a socket.

mod clock;
mod control;
mod end;
mod ended_by_command;
mod frame_lengths;
mod monitors;
mod network;
mod outputs;
mod reference;
mod replay;
#[path = "../support/rig/mod.rs"]
mod rig;
mod schedules;
mod stall;
mod trouble;
