//! Reports to the senders: RR with our name every five seconds, SR where the mix goes back, BYE at the end (RFC 3550,
//! section 6).

use std::{net::SocketAddr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    returns::next_port,
    stream::goodbye,
    table::{Peer, Slot, Table},
};
use crate::wire::rtcp::{self, Report, ntp_time};

/// Between two reports to one address, on average. Drawn each time, from half to one and a half of
/// it, so that reports do not fall in step.
const INTERVAL_NS: u64 = 5_000_000_000;

/// From one look for reports that are due to the next: there may be thousands of addresses.
const LOOK_NS: u64 = 100_000_000;

/// Reports in one datagram: what its count can say, and well below any path's largest datagram.
const REPORTS_MAX: usize = 31;

/// Longest name in a report.
const CNAME_BYTES_MAX: usize = 255;

/// Which of a listener's two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The packets' port, where both are on one port (RFC 5761).
    Rtp,
    /// The next port.
    Rtcp,
}

/// A datagram to be sent: RTCP, or a packet of the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// From which socket.
    pub via: Via,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// When and where to an address is reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    next_ns: u64,
    /// Where its own reports come from, once one came.
    pub known: Option<(SocketAddr, Via)>,
}

/// Writes the reports of one receiver.
pub(super) struct Reporter {
    pub ssrc: u32,
    cname: String,
    /// Since 1970, when the clock of the times here was 0.
    pub unix_ns: u64,
    rng: Xoshiro256PlusPlus,
    reports: Vec<Report>,
    bytes: Vec<u8>,
    /// When some may be due.
    look_ns: u64,
}

impl Reporter {
    /// A name that is too long is cut.
    pub(crate) fn new(mut cname: String, mut rng: Xoshiro256PlusPlus) -> Self {
        while cname.len() > CNAME_BYTES_MAX {
            cname.pop();
        }
        Self {
            ssrc: rng.random(),
            cname,
            unix_ns: 0,
            rng,
            reports: Vec::new(),
            bytes: Vec::new(),
            look_ns: 0,
        }
    }

    /// Begins with a new address: its first report comes after half an interval.
    pub(crate) fn begin(&mut self, now_ns: u64) -> Schedule {
        Schedule {
            next_ns: now_ns + self.draw() / 2,
            known: None,
        }
    }

    /// A sender has our number: we take another (RFC 3550, section 8.2).
    pub(crate) fn avoid(&mut self, ssrc: u32) {
        while self.ssrc == ssrc {
            self.ssrc = self.rng.random();
        }
    }

    /// Another source of random numbers.
    pub(crate) fn split_rng(&mut self) -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(self.rng.random())
    }

    /// A time of the monotonic clock as reports say it.
    pub(crate) fn ntp(&self, now_ns: u64) -> u64 {
        ntp_time(Duration::from_nanos(self.unix_ns.saturating_add(now_ns)))
    }

    fn draw(&mut self) -> u64 {
        self.rng.random_range(INTERVAL_NS / 2..=INTERVAL_NS / 2 * 3)
    }

    /// Sends the reports that are due; looks for some every tenth of a second.
    pub(crate) fn send_due(
        &mut self,
        table: &mut Table,
        now_ns: u64,
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        if now_ns < self.look_ns {
            return;
        }
        self.look_ns = now_ns + LOOK_NS;
        for (&from, peer) in &mut table.peers {
            if now_ns >= peer.schedule.next_ns {
                peer.schedule.next_ns = now_ns + self.draw();
                self.send(&mut table.slots, from, peer, now_ns, false, send);
            }
        }
    }

    /// Sends everybody a last report, and that we leave.
    pub(crate) fn send_bye(
        &mut self,
        table: &mut Table,
        now_ns: u64,
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        for (&from, peer) in &table.peers {
            self.send(&mut table.slots, from, peer, now_ns, true, send);
        }
    }

    fn send(
        &mut self,
        slots: &mut [Slot],
        from: SocketAddr,
        peer: &Peer,
        now_ns: u64,
        bye: bool,
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        let Some((to, via)) = peer.schedule.known.or_else(|| next_port(from)) else {
            return;
        };
        let ntp = self.ntp(now_ns);
        self.reports.clear();
        for &slot in &peer.slots {
            let Some(stream) = slots[slot].stream() else {
                continue;
            };
            let report = stream.report(now_ns);
            // The mix may go elsewhere than to where its packets come from.
            let own = stream.returns_to().filter(|&own| own != from);
            let (to, via) = own.and_then(next_port).unwrap_or((to, via));
            match stream.return_report(ntp, report, bye) {
                Some(bytes) => send(Outgoing { to, via, bytes }),
                None => self.reports.push(report),
            }
        }
        let datagrams = self.reports.chunks(REPORTS_MAX);
        let last = datagrams.len();
        for (index, reports) in datagrams.enumerate() {
            self.bytes.clear();
            rtcp::write_receiver_report(self.ssrc, reports, &self.cname, &mut self.bytes);
            if bye && index + 1 == last {
                rtcp::write_bye(self.ssrc, "", &mut self.bytes);
            }
            send(Outgoing {
                to,
                via,
                bytes: &self.bytes,
            });
        }
    }
    /// Says goodbye for one source of ours, to where the packets of this address are reported.
    pub(crate) fn send_goodbye(
        &mut self,
        ssrc: u32,
        from: SocketAddr,
        schedule: Option<Schedule>,
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        let known = schedule.and_then(|schedule| schedule.known);
        if let Some((to, via)) = known.or_else(|| next_port(from)) {
            self.bytes.clear();
            goodbye(ssrc, &self.cname, &mut self.bytes);
            send(Outgoing {
                to,
                via,
                bytes: &self.bytes,
            });
        }
    }
}
