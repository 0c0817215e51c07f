//! The way back to the sender of one stream: when it runs, as what it is sent, and what the far end reports of it.
//!
//! A spoofed packet makes nothing go anywhere: the way back begins after [`PROOF_PACKETS`] packets in order, ends
//! [`SILENCE_NS`] after the last, and never is ahead of what came by more than [`AHEAD_NS`] of audio, which is 50 packets of
//! 20 ms. A sender of which nothing came in the last tenth of its first second gets that second and no more. A packet that
//! was lost on its way here counts as come, one for each that did come.
//!
//! Passive: its owner passes in blocks of the mix and the time.

use std::{net::SocketAddr, time::Duration};

use crate::{
    audio::Format,
    output::{
        feed_reader::Piece,
        rtp::packets::{Chance, Packets},
    },
    wire::{
        payload::AudioPayload,
        rtcp::{self, Report},
    },
};

/// Packets in order after which the way back begins.
pub(crate) const PROOF_PACKETS: u32 = 10;

/// The way back ends so long after the last packet.
const SILENCE_NS: u64 = 1_000_000_000;

/// How much more audio than came may go back.
const AHEAD_NS: u64 = 1_000_000_000;

/// A packet that came allows for its length, and a 64th of it: the clocks of both sides differ.
const SLACK: u64 = 64;

/// The first second of a way back, less half a packet; and when in it the sender has to be there still.
const FIRST_NS: u64 = 990_000_000;
const CONFIRMED_NS: u64 = 890_000_000;

/// Packets of another payload after which the way back has that, too.
const SWITCH_PACKETS: u32 = 3;

/// The fate of a piece of the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    /// The sender has not proved itself, or is silent.
    NotYet,
    /// The sender is ahead of too few packets, or it was lost here.
    Dropped,
    /// It went into packets, or waits for the rest of one.
    Sent,
}

/// The way back of one stream.
#[derive(Debug)]
pub(crate) struct ReturnPath {
    /// Names its feed.
    pub key: u64,
    pub ssrc: u32,
    /// Where it goes, if not to where the packets come from.
    pub to: Option<SocketAddr>,
    /// Made for the first packet.
    packets: Option<Packets>,
    mix: Format,
    /// Samples per channel of a block of the mix.
    block_samples: usize,
    /// The payload of the last packets of audio, and how many of them there were.
    asked: Option<(u8, AudioPayload)>,
    asked_packets: u32,
    in_order: u32,
    /// Audio that may still go back.
    allowed_ns: u64,
    last_ns: u64,
    begun_ns: u64,
    runs: bool,
    /// Packets that the last report of ours counted.
    reported: u32,
    /// Whether the log has that the sender's packets are our own.
    pub warned_of_echo: bool,
}

impl ReturnPath {
    /// A way back that has not begun, from a mix with such blocks. Allocates nothing.
    pub(crate) fn new(key: u64, ssrc: u32, mix: Format, block_samples: usize) -> Self {
        Self {
            key,
            ssrc,
            to: None,
            packets: None,
            mix,
            block_samples,
            asked: None,
            asked_packets: 0,
            in_order: 0,
            allowed_ns: AHEAD_NS,
            last_ns: 0,
            begun_ns: 0,
            runs: false,
            reported: 0,
            warned_of_echo: false,
        }
    }

    /// Another source has its number: it goes on with this one.
    pub(crate) fn change_ssrc(&mut self, ssrc: u32) {
        (self.ssrc, self.reported) = (ssrc, 0);
        if let Some(packets) = &mut self.packets {
            packets.change_ssrc(ssrc);
        }
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.packets.as_ref().is_some_and(Packets::has_begun)
    }

    /// Whether a packet of our source with this number is one of those that went back.
    pub(crate) fn has_sent(&self, number: u16) -> bool {
        let packets = self.packets.as_ref();
        packets.is_some_and(|packets| packets.has_sent(number))
    }

    /// A packet of the stream came, which is new: by so much ahead of all before it (0 if it was overtaken), so long.
    pub(crate) fn came(&mut self, ahead: u64, packet_ns: u64, at_ns: u64) {
        self.last_ns = self.last_ns.max(at_ns);
        self.in_order = match ahead {
            0 => self.in_order.max(1),
            1 => self.in_order.saturating_add(1),
            _ => 1,
        };
        let come_ns = packet_ns * ahead.clamp(1, 2);
        self.allowed_ns = AHEAD_NS.min(self.allowed_ns + come_ns + come_ns / SLACK);
        if !self.runs && self.in_order >= PROOF_PACKETS {
            (self.runs, self.begun_ns) = (true, at_ns);
            if let Some(packets) = &mut self.packets {
                packets.mark();
            }
        }
    }

    /// Nothing more goes back until the sender has proved itself again.
    pub(crate) fn stop(&mut self) {
        (self.runs, self.in_order) = (false, 0);
    }

    /// A packet of audio of this payload came.
    pub(crate) fn heard_as(&mut self, payload: (u8, AudioPayload)) {
        if self.asked == Some(payload) {
            self.asked_packets = self.asked_packets.saturating_add(1);
        } else {
            (self.asked, self.asked_packets) = (Some(payload), 1);
        }
    }

    /// A piece of the mix is due at `now_ns`: passes its packets to `send`. Allocates only where the payload changes.
    pub(crate) fn send(
        &mut self,
        piece: &Piece<'_>,
        (cname, now_ns): (&str, u64),
        send: &mut dyn FnMut(&[u8]),
    ) -> Returned {
        if now_ns >= self.ends_ns() {
            self.stop();
        }
        let Some(asked) = self.asked.filter(|_| self.runs) else {
            return Returned::NotYet;
        };
        if piece.is_lost {
            return Returned::Dropped;
        }
        let packets = match &mut self.packets {
            Some(packets) => packets,
            none => {
                let chance = Chance {
                    ssrc: self.ssrc,
                    ..Chance::draw()
                };
                let (payload_type, payload) = asked;
                let made =
                    Packets::new(payload, payload_type, self.mix, self.block_samples, chance);
                none.insert(made.named(cname))
            }
        };
        if packets.payload() != asked && self.asked_packets >= SWITCH_PACKETS {
            packets.switch(asked.1, asked.0);
        }
        let (packet_ns, mut is_cut) = (packets.packet_ns(), false);
        packets.block(piece.first, &[], piece.samples, |packet, _| {
            let rest_ns = self.allowed_ns.checked_sub(packet_ns);
            is_cut |= rest_ns.is_none();
            if let Some(rest_ns) = rest_ns {
                self.allowed_ns = rest_ns;
                send(packet);
            }
            rest_ns.is_some()
        });
        if is_cut {
            Returned::Dropped
        } else {
            Returned::Sent
        }
    }

    /// When nothing more goes back, unless something comes.
    fn ends_ns(&self) -> u64 {
        if self.last_ns < self.begun_ns + CONFIRMED_NS {
            self.begun_ns + FIRST_NS
        } else {
            self.last_ns + SILENCE_NS
        }
    }

    /// Our report of what went back, and of what came; none if nothing went back since the last one. The last one, with a
    /// goodbye, comes if anything ever did.
    pub(crate) fn report(&mut self, ntp: u64, received: Report, goodbye: bool) -> Option<&[u8]> {
        let packets = self
            .packets
            .as_mut()
            .filter(|packets| packets.has_begun())?;
        let sent = packets.sent_packets();
        if sent == std::mem::replace(&mut self.reported, sent) && !goodbye {
            return None;
        }
        Some(packets.report(ntp, &[received], goodbye))
    }

    /// The jitter in the far end's report of our source.
    pub(crate) fn jitter(&self, report: &Report) -> Duration {
        let clock = self
            .packets
            .as_ref()
            .map(|packets| packets.payload().1.clock);
        let rate_hz = clock.map_or(u64::MAX, |clock| clock.rate_hz().into());
        Duration::from_nanos(u64::from(report.jitter) * 1_000_000_000 / rate_hz)
    }
}

/// A goodbye of this source, alone.
pub(crate) fn goodbye(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    rtcp::write_receiver_report(ssrc, &[], cname, out);
    rtcp::write_bye(ssrc, "", out);
}
