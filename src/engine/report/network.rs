//! The network's part of the report: for each stream, for each listener, for the mix on its way
//! out.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    ledger::{Event, Listener, Malformed, NetworkEntry, Refusal},
    output::{RtpSent, RtpTarget},
};

/// The network side of one stream's account.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct NetworkReport {
    pub received_packets: u64,
    /// By the sender's numbers.
    pub expected_packets: u64,
    /// Expected and not received. Duplicates have a figure of their own.
    pub lost_packets: u64,
    pub duplicate_packets: u64,
    pub reordered_packets: u64,
    /// Came after their playout.
    pub late_packets: u64,
    pub malformed_packets: u64,
    pub unsupported_packets: u64,
    pub comfort_noise_packets: u64,
    pub telephone_event_packets: u64,
    pub discarded_latency_cap_samples: u64,
    pub discarded_delay_change_samples: u64,
    pub discarded_ended_samples: u64,
    pub jitter_ms: f64,
    /// As it was last.
    pub playout_delay_ms: f64,
    /// How much faster the sender's clock runs than ours.
    pub drift_ppm: f64,
    /// Frames of the mix that went back to the peer.
    pub output_frames: u64,
    /// Frames of the mix that the peer did not take in time.
    pub output_dropped_frames: u64,
    pub events: Vec<EventReport>,
    /// Events beyond those that are kept.
    pub events_not_kept: u64,
}

/// Something that happened to a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[allow(missing_docs, reason = "each name says what it is and in which unit")]
pub struct EventReport {
    /// Since the mix began.
    pub at_s: f64,
    pub event: String,
}

impl From<Event> for EventReport {
    fn from(event: Event) -> Self {
        Self {
            at_s: event.at.as_secs_f64(),
            event: event.what,
        }
    }
}

impl From<NetworkEntry> for NetworkReport {
    fn from(entry: NetworkEntry) -> Self {
        Self {
            received_packets: entry.totals.received,
            expected_packets: entry.totals.expected,
            lost_packets: entry.totals.lost,
            duplicate_packets: entry.totals.duplicate,
            reordered_packets: entry.totals.reordered,
            late_packets: entry.totals.late,
            malformed_packets: entry.totals.malformed,
            unsupported_packets: entry.totals.unsupported,
            comfort_noise_packets: entry.totals.comfort_noise,
            telephone_event_packets: entry.totals.telephone_event,
            discarded_latency_cap_samples: entry.discarded_latency_cap,
            discarded_delay_change_samples: entry.discarded_delay_change,
            discarded_ended_samples: entry.discarded_ended,
            jitter_ms: entry.jitter.as_secs_f64() * 1e3,
            playout_delay_ms: entry.playout_delay.as_secs_f64() * 1e3,
            drift_ppm: entry.drift_ppm,
            output_frames: entry.totals.output_frames,
            output_dropped_frames: entry.totals.output_dropped_frames,
            events: entry.events.into_iter().map(Into::into).collect(),
            events_not_kept: entry.events_beyond,
        }
    }
}

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
