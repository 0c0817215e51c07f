//! RTCP that comes to a receiver: reports, and goodbyes.

use std::net::SocketAddr;

use super::{Key, Receiver, Via};
use crate::{
    ledger::Malformed,
    wire::rtcp::{Compound, Packet},
};

impl Receiver {
    /// A datagram of RTCP.
    pub(super) fn report(&mut self, bytes: &[u8], from: SocketAddr, now_ns: u64, via: Via) {
        match Compound::parse(bytes) {
            Ok(compound) => self.obey(compound, from, now_ns, via),
            Err(error) => self
                .shared
                .malformed(Malformed::Control, from, now_ns, &error),
        }
    }

    /// Goodbyes and names come first: a report in the same datagram is no proof of where reports come from. If one
    /// is not accepted, no part of the datagram is.
    pub(super) fn obey(&mut self, compound: Compound<'_>, from: SocketAddr, now_ns: u64, via: Via) {
        for packet in compound.packets() {
            match packet {
                Packet::Bye(bye) => {
                    for ssrc in bye.ssrcs() {
                        if !self.goodbye(from, ssrc, now_ns) {
                            return;
                        }
                    }
                }
                Packet::Sdes(chunks) => {
                    for chunk in chunks {
                        let named = chunk.name.zip(self.table.leaving(from, chunk.ssrc));
                        if let Some((name, stream)) = named {
                            stream.say_name(name, now_ns);
                        }
                    }
                }
                Packet::SenderReport(..) | Packet::ReceiverReport(..) => {}
            }
        }
        let ntp = self.reporter.ntp(now_ns);
        for packet in compound.packets() {
            let (ssrc, info, mut reports) = match packet {
                Packet::SenderReport(info, reports) => (info.ssrc, Some(info), reports),
                Packet::ReceiverReport(ssrc, reports) => (ssrc, None, reports),
                Packet::Sdes(_) | Packet::Bye(_) => continue,
            };
            if let Some(stream) = self.table.reported(from, ssrc) {
                if let Some(info) = info {
                    stream.sender_report(&info, now_ns);
                }
                stream.last_ns = now_ns;
                reports
                    .by_ref()
                    .for_each(|report| stream.far_end(&report, ntp));
                let key = stream.key;
                self.reports_from(key, from, via);
            }
        }
    }

    fn reports_from(&mut self, key: Key, from: SocketAddr, via: Via) {
        if let Some(peer) = self.table.peers.get_mut(&key.from) {
            peer.schedule.known = Some((from, via));
        }
    }

    /// A source says that it leaves: what waits is still played. False if that is not accepted.
    fn goodbye(&mut self, from: SocketAddr, ssrc: u32, now_ns: u64) -> bool {
        if let Some(stream) = self.table.leaving(from, ssrc) {
            if !stream.ending {
                stream.note("bye", now_ns);
                stream.end();
                stream.said_bye = true;
            }
            return true;
        }
        let Some(stream) = self.table.reported(from, ssrc) else {
            return true;
        };
        if self.shared.may_log(now_ns) {
            tracing::info!(
                stream = stream.id(), %from,
                "a BYE is not believed: it comes from another port than the stream's packets and reports"
            );
        }
        false
    }
}
