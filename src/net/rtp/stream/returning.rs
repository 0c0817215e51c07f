//! A stream and the mix that goes back to its sender.

use std::{fmt, net::SocketAddr};

use super::{RtpStream, return_path::Returned};
use crate::{
    ledger::Network,
    net::rtp::{Outgoing, Via},
    output::Piece,
    wire::rtcp::Report,
};

impl RtpStream {
    /// Sends a piece of the feed with this key back to where the packets come from, and counts its fate.
    pub(crate) fn send_back(
        &mut self,
        key: u64,
        piece: &Piece<'_>,
        is_shed: bool,
        (cname, now_ns): (&str, u64),
        send: &mut dyn FnMut(Outgoing<'_>),
    ) {
        let Some(path) = self.return_path.as_mut().filter(|path| path.key == key) else {
            return;
        };
        let to = path.to.unwrap_or(self.key.from);
        let returned = if is_shed {
            Returned::Dropped
        } else {
            path.send(piece, (cname, now_ns), &mut |bytes| {
                send(Outgoing {
                    to,
                    via: Via::Rtp,
                    bytes,
                });
            })
        };
        if let (Some(network), false) = (
            self.stream.account().network(),
            returned == Returned::NotYet,
        ) {
            network.count_output(returned == Returned::Dropped);
        }
    }

    /// Where its mix goes, if it goes anywhere.
    pub(crate) fn returns_to(&self) -> Option<SocketAddr> {
        let path = self.return_path.as_ref()?;
        Some(path.to.unwrap_or(self.key.from))
    }

    /// A packet of the mix was not sent, or refused by the sender's host.
    pub(crate) fn not_sent(&mut self, is_refused: bool, why: &dyn fmt::Display) {
        let Some(path) = self.return_path.as_mut().filter(|path| path.has_begun()) else {
            return;
        };
        if is_refused {
            path.stop();
        }
        let network = self.stream.account().network();
        if network.is_some_and(Network::refuse_return) {
            tracing::warn!(
                stream = self.id(),
                to = %self.key.from,
                "the mix back is not taken: {why}; the stream goes on, and it is counted as return_refused_packets"
            );
        }
    }

    /// Whether this is the number of a packet that went back of late. The first such packet that comes is logged.
    pub(crate) fn has_sent_back(&mut self, number: u16) -> bool {
        let path = self.return_path.as_mut();
        let Some(path) = path.filter(|path| path.has_sent(number)) else {
            return false;
        };
        if !std::mem::replace(&mut path.warned_of_echo, true) {
            tracing::warn!(
                stream = self.id(),
                "packets of the mix back come here again: their sender is an echo, and they are left out"
            );
        }
        true
    }

    pub(crate) fn change_return_ssrc(&mut self, ssrc: u32) {
        if let Some(path) = &mut self.return_path {
            path.change_ssrc(ssrc);
        }
    }

    /// Our report of what went back to the sender, and of what came; none if nothing goes back.
    pub(crate) fn return_report(
        &mut self,
        ntp: u64,
        received: Report,
        goodbye: bool,
    ) -> Option<&[u8]> {
        let path = self.return_path.as_mut()?;
        path.report(ntp, received, goodbye)
    }

    /// The far end's report of a source, if that is what goes back to it.
    pub(crate) fn far_end(&self, report: &Report, ntp: u64) {
        let path = self.return_path.as_ref();
        if let Some(path) = path.filter(|path| path.has_begun() && path.ssrc == report.ssrc)
            && let Some(network) = self.stream.account().network()
        {
            let (jitter, round_trip) = (path.jitter(report), report.round_trip(ntp));
            let far_end = network.far_end();
            far_end.set(report.lost, report.fraction_lost, jitter, round_trip);
        }
    }
}
