//! Scenarios on virtual time, with datagrams made by hand and a pool that is real.

mod admission;
mod overload;
mod payloads;
mod ports;
mod reports;
mod rig;
mod streams;
