//! RTP in (RFC 3550): many streams on one UDP port, separated by source address and SSRC.
//!
//! - `sequence`, `timing`, `telephone`: what one sender's numbers, timestamps and keys say
//! - `advice`: what the log says of packets that are not read as they were meant
//! - `probation`, `table`: which sources are streams
//! - `stream`: one stream, from packets to its playout
//! - `receiver`: all of them, passive, on the time that its owner passes in; `reports` go back
//! - `returns`: the mix that goes back to the senders, by the `return_path` of each stream
//! - `listener`, `socket`, `outbox`: the threads and sockets around it, thin
//!
//! Packets of no live source, whether a flood or a stray, cost a live stream nothing: they have no
//! slot before two of a source in sequence came, and the tables of unproved sources are bounded.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::Limits;
use crate::{
    audio::{Gain, MixClock},
    ledger::{Listener, Malformed},
    playout::PlayoutSettings,
    wire::{
        payload::{Payload, PayloadMap},
        rtp::Packet,
    },
};

mod advice;
mod ended_sources;
mod group;
mod listener;
mod outbox;
mod probation;
mod receiver;
mod reports;
mod returns;
mod socket;
mod stream;
mod table;
mod telephone;
mod timing;

pub use super::quota::Quota;
pub use listener::{RtpListener, RtpSettings, RtpSockets};
pub use receiver::Receiver;
pub use reports::{Outgoing, Via};

/// Logged lines about strangers, a second and receiver.
const LINES_PER_SECOND: u32 = 10;

/// The key of a stream: the address of its packets, and their source number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Address and port of the sender.
    pub from: SocketAddr,
    /// The synchronisation source in its packets.
    pub ssrc: u32,
}

impl Hash for Key {
    /// In one write where the fields of the address would take five: each packet is looked up by its key.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let IpAddr::V4(ip) = self.from.ip() else {
            return (self.from, self.ssrc).hash(state);
        };
        let ports = u128::from(self.ssrc) << 16 | u128::from(self.from.port());
        state.write_u128(ports << 32 | u128::from(ip.to_bits()));
    }
}

/// How a listener takes streams.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The meaning of payload types.
    pub payloads: PayloadMap,
    /// How each stream is played.
    pub playout: PlayoutSettings,
    /// The limits of admission.
    pub limits: Limits,
    /// Gain of each stream; the server's own if none is given.
    pub gain: Option<Gain>,
    /// The room of each stream: `main` if none is given.
    pub room: Option<String>,
    /// Streams at once, for each thread, that get the mix of their room without themselves back; 0 for none.
    pub returns_max: usize,
    /// Our name in reports, as `user@host`; cut to 255 bytes.
    pub cname: String,
}

/// State shared by all streams of a receiver.
struct Shared {
    settings: Settings,
    clock: MixClock,
    listener: Arc<Listener>,
    /// The last tick that the streams were asked for.
    tick: Option<u64>,
    /// When a second of lines began, and how many there were.
    lines: (u64, u32),
    malformed_ns: Option<u64>,
}

impl Shared {
    fn new(settings: Settings, clock: MixClock, listener: Arc<Listener>) -> Self {
        Self {
            settings,
            clock,
            listener,
            tick: None,
            lines: (0, 0),
            malformed_ns: None,
        }
    }

    /// Counts malformed input by its kind, and logs it ever more rarely: once a second at most.
    fn malformed(&mut self, how: Malformed, from: SocketAddr, now_ns: u64, why: &dyn fmt::Display) {
        let told = self.listener.malformed(how);
        let quiet = self
            .malformed_ns
            .is_some_and(|last| now_ns.saturating_sub(last) < 1_000_000_000);
        if told && !quiet {
            self.malformed_ns = Some(now_ns);
            tracing::warn!(listener = self.listener.name(), %from, "malformed input dropped: {why}");
        }
    }

    /// Samples in a packet, as the account counts; none if it is not one of audio.
    fn samples_in(&self, packet: &Packet<'_>) -> Option<u64> {
        let Payload::Audio(payload) = self.settings.payloads.get(packet.payload_type) else {
            return None;
        };
        let mix = self.clock.format;
        let format = payload.samples(mix);
        let samples = payload.codec.samples(packet.payload, format).ok()?;
        Some(mix.samples_as_long_as(samples as u64, format.rate_hz()))
    }

    /// Whether another line about a stranger may be logged.
    fn may_log(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.lines.0) >= 1_000_000_000 {
            self.lines = (now_ns, 0);
        }
        self.lines.1 += 1;
        self.lines.1 <= LINES_PER_SECOND
    }
}
