//! The network's part of the report: for each stream, for each listener, for the mix on its way
//! out.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ledger::{Listener, Malformed, Refusal},
    output::{RtpSent, RtpTarget},
};

/// A listener's input that became no stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "each name says what it is")]
pub struct ListenerReport {
    pub listener: String,
    /// Streams, connections and datagrams, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// By kind.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Of sources that have no stream: too few to prove one, refused, or overtaken by a goodbye.
    pub unadmitted_packets: u64,
    /// Failed calls to receive from a socket.
    pub receive_errors: u64,
    /// Datagrams that the kernel had no room for.
    pub kernel_dropped_packets: u64,
    /// Streams that gave their slot back because they were idle.
    pub timed_out_streams: u64,
}

impl From<&Listener> for ListenerReport {
    fn from(listener: &Listener) -> Self {
        let entry = listener.read();
        Self {
            listener: listener.name().to_owned(),
            refused: Refusal::ALL
                .map(Refusal::name)
                .into_iter()
                .zip(entry.refused)
                .collect(),
            malformed: Malformed::ALL
                .map(Malformed::name)
                .into_iter()
                .zip(entry.malformed)
                .collect(),
            unadmitted_packets: entry.unadmitted,
            receive_errors: entry.receive_errors,
            kernel_dropped_packets: entry.kernel_drops,
            timed_out_streams: entry.timed_out,
        }
    }
}

/// The outcome of a mix sent by RTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct RtpOutReport {
    pub target: String,
    pub sent_packets: u64,
    /// Packets that the host could not send.
    pub unsent_packets: u64,
    /// How often the kernel reported that no receiver listens there.
    pub refusals: u64,
    /// RTCP reports sent, the goodbye too.
    pub reports: u64,
    /// Samples of the mix that the sending thread was too slow for.
    pub lost_samples: u64,
}

impl RtpOutReport {
    pub(super) fn new(target: &RtpTarget, sent: &RtpSent) -> Self {
        Self {
            target: target.address.to_string(),
            sent_packets: sent.packets,
            unsent_packets: sent.unsent_packets,
            refusals: sent.refusals,
            reports: sent.reports,
            lost_samples: sent.lost_samples,
        }
    }
}
