//! The tables of figures: a new figure of a stream is one counter and one row here.
//!
//! Report, API, metrics, page and the commands' tables iterate over [`Entry::TERMS`], [`NetworkEntry::TERMS`] and
//! [`ListenerEntry::TERMS`].

use std::time::Duration;

use super::{
    Entry, FarEndEntry, ListenerEntry, NetworkEntry,
    terms::{
        Term,
        Value::{self, Absent, Real, Whole},
    },
};

/// A term in two lines: key, unit and help; then its getter and, where metrics have it, its family.
macro_rules! table {
    ($entry:ident: $($key:literal $unit:ident $help:literal
        $of:expr $(, $metric:ident($($argument:literal),*))*;)*) => {
        [$($crate::ledger::Term::<$entry>::new($key, $crate::ledger::Unit::$unit, $help, $of)
            $(.$metric($($argument),*))*),*]
    };
}

pub(crate) use table;

impl Entry {
    /// The figures of a stream's samples, or their sum over all streams.
    pub const TERMS: [Term<Self>; 21] = table! { Entry:
        "offered_samples" Samples "Samples that the source tried to publish"
            |entry| Whole(entry.offered), counter("offered");
        "mixed_samples" Samples "Samples that were mixed"
            |entry| Whole(entry.mixed), counter("mixed");
        "muted_samples" Samples "Samples consumed in time and silenced by command"
            |entry| Whole(entry.muted), counter("muted");
        "dropped_full_samples" Samples "Samples that a full ring refused"
            |entry| Whole(entry.dropped_full), reason("dropped", "full");
        "dropped_late_samples" Samples "Samples that came after their playout"
            |entry| Whole(entry.dropped_late), reason("dropped", "late");
        "discarded_samples" Samples "Samples left out on purpose, for any of the next six reasons"
            |entry| Whole(entry.discarded);
        "discarded_latency_cap_samples" Samples "Samples further behind than the latency cap"
            |entry| Whole(entry.discarded_latency_cap), reason("discarded", "latency_cap");
        "discarded_delay_change_samples" Samples "Samples that a shorter playout delay left out"
            |entry| Whole(entry.discarded_delay_change), reason("discarded", "delay_change");
        "discarded_ended_samples" Samples "Samples that waited when the stream ended or restarted"
            |entry| Whole(entry.discarded_ended), reason("discarded", "ended");
        "discarded_overload_samples" Samples "Samples of a stream that an overloaded thread shed"
            |entry| Whole(entry.discarded_overload), reason("discarded", "overload");
        "discarded_damaged_samples" Samples "Samples of frames that were damaged"
            |entry| Whole(entry.discarded_damaged), reason("discarded", "damaged");
        "discarded_misplaced_samples" Samples "Samples of frames off the grid of blocks, or too far ahead"
            |entry| Whole(entry.discarded_misplaced), reason("discarded", "misplaced");
        "in_ring_samples" Samples "Samples that wait in the ring"
            |entry| Whole(entry.in_ring), gauge("in_ring");
        "concealed_samples" Samples "Samples made up where some were missing"
            |entry| Whole(entry.concealed), counter("concealed");
        "underrun_samples" Samples "Concealed samples that never came, without a pause or a loss on the way"
            |entry| Whole(entry.underrun), counter("underrun");
        "lost_samples" Samples "Samples of packets that never came; less if they come after all"
            |entry| Whole(entry.lost), gauge("lost");
        "drop_rate" Ratio "Samples dropped, of those offered; discarded ones are not dropped"
            |entry| Real(entry.drop_rate());
        "missing_rate" Ratio "Samples lost and dropped, of those offered and lost"
            |entry| Real(entry.missing_rate()), gauge("missing");
        "checksum_errors" Count "Frames whose samples differ from their checksum: bugs"
            |entry| Whole(entry.checksum_errors), counter("checksum_errors"), of_server();
        "segments" Count "Beginnings of playout: one, and one more for each restart of the sender's clock"
            |entry| Whole(entry.segments), counter("segments"), of_server();
        "ring_high_water_bytes" Bytes "Most space ever in use in the ring"
            |entry| Whole(entry.ring_high_water_bytes), gauge("ring_high_water");
    };
}

impl NetworkEntry {
    /// The figures of a stream's packets, or their sum over all streams.
    pub const TERMS: [Term<Self>; 25] = table! { NetworkEntry:
        "received_packets" Packets "Packets that came"
            |entry| Whole(entry.totals.received), counter("received");
        "expected_packets" Packets "Packets that the sender's numbers say there were"
            |entry| Whole(entry.totals.expected), counter("expected"), of_server();
        "lost_packets" Packets "Packets expected and not received; less if they come after all"
            |entry| Whole(entry.totals.lost), gauge("lost");
        "duplicate_packets" Packets "Packets that came twice"
            |entry| Whole(entry.totals.duplicate), counter("duplicate"), of_server();
        "reordered_packets" Packets "Packets that came after one that was sent later"
            |entry| Whole(entry.totals.reordered), counter("reordered"), of_server();
        "late_packets" Packets "Packets that came after their playout"
            |entry| Whole(entry.totals.late), counter("late"), of_server();
        "malformed_packets" Packets "Packets that do not hold what they claim to"
            |entry| Whole(entry.totals.malformed), counter("malformed"), of_server();
        "unsupported_packets" Packets "Packets of a payload type that is not decoded"
            |entry| Whole(entry.totals.unsupported), counter("unsupported"), of_server();
        "comfort_noise_packets" Packets "Packets by which the sender announces silence"
            |entry| Whole(entry.totals.comfort_noise), counter("comfort_noise"), of_server();
        "telephone_event_packets" Packets "Packets that carry a pressed key"
            |entry| Whole(entry.totals.telephone_event), counter("telephone_event"), of_server();
        "discarded_latency_cap_samples" Samples "Samples further behind than the latency cap"
            |entry| Whole(entry.discarded_latency_cap);
        "discarded_delay_change_samples" Samples "Samples that a shorter playout delay left out"
            |entry| Whole(entry.discarded_delay_change);
        "discarded_ended_samples" Samples "Samples that waited when the stream ended or restarted"
            |entry| Whole(entry.discarded_ended);
        "discarded_overload_samples" Samples "Samples of a stream that an overloaded thread shed"
            |entry| Whole(entry.discarded_overload);
        "last_packet_age_ms" Milliseconds "Time since the last packet, or since samples came on its connection"
            |entry| entry.last_packet_age.map_or(Absent, milliseconds), gauge("last_packet_age"), of_streams();
        "jitter_ms" Milliseconds "Interarrival jitter (RFC 3550)"
            |entry| milliseconds(entry.jitter), gauge("jitter"), of_streams();
        "playout_delay_ms" Milliseconds "Time from arrival to playout"
            |entry| milliseconds(entry.playout_delay), gauge("playout_delay"), of_streams();
        "drift_ppm" PartsPerMillion "How much faster the sender's clock runs than the mix clock"
            |entry| Real(entry.drift_ppm), gauge("drift"), of_streams();
        "output_frames" Frames "Frames of the mix that went back to the peer"
            |entry| Whole(entry.totals.output_frames), counter("output"), of_server();
        "output_dropped_frames" Frames "Frames of the mix that the peer did not take in time"
            |entry| Whole(entry.totals.output_dropped_frames), counter("output_dropped"), of_server();
        "return_refused_packets" Packets "Packets of the mix back that the kernel or the peer's host refused"
            |entry| Whole(entry.totals.return_refused), counter("return_refused"), of_server();
        "return_lost_packets" Packets "Packets of the mix back that the far end lost, as it reports; below 0 if some came twice"
            |entry| far_end(entry, |far_end| Real(far_end.lost as f64));
        "return_loss_rate" Ratio "Packets that the far end lost since its report before, of those sent"
            |entry| far_end(entry, |far_end| Real(far_end.loss_rate)), gauge("return_loss"), of_streams();
        "return_jitter_ms" Milliseconds "Interarrival jitter at the far end, as it reports"
            |entry| far_end(entry, |far_end| milliseconds(far_end.jitter)), gauge("return_jitter"), of_streams();
        "return_round_trip_ms" Milliseconds "From here to the far end and back, as its reports show"
            |entry| far_end(entry, |far_end| far_end.round_trip.map_or(Absent, milliseconds)),
            gauge("return_round_trip"), of_streams();
    };
}

impl ListenerEntry {
    /// The figures of a listener, beside those by reason.
    pub const TERMS: [Term<Self>; 4] = table! { ListenerEntry:
        "unadmitted_packets" Packets
            "Packets of sources that have no stream: too few to prove one, refused, or overtaken by a goodbye"
            |entry| Whole(entry.unadmitted), counter("ingest_unadmitted"), of_server();
        "receive_errors" Count "Failed calls to receive from a socket"
            |entry| Whole(entry.receive_errors), counter("ingest_receive_errors"), of_server();
        "kernel_dropped_packets" Packets "Packets for which the kernel had no room"
            |entry| Whole(entry.kernel_drops), counter("ingest_kernel_dropped"), of_server();
        "timed_out_streams" Streams "Streams that were idle for too long"
            |entry| Whole(entry.timed_out), counter("ingest_timed_out"), of_server();
    };
}

fn far_end(entry: &NetworkEntry, of: impl Fn(FarEndEntry) -> Value) -> Value {
    entry.far_end.map_or(Absent, of)
}

fn milliseconds(time: Duration) -> Value {
    Real(time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ledger::Unit::{
        Bytes, Count, Frames, Milliseconds, Packets, PartsPerMillion, Ratio, Samples, Streams,
    };

    #[test]
    fn keys_are_unique_and_end_in_their_unit() {
        fn check<E>(terms: &[Term<E>]) {
            let keys: BTreeSet<_> = terms.iter().map(|term| term.key).collect();
            assert_eq!(keys.len(), terms.len());
            for Term {
                key, unit, help, ..
            } in terms
            {
                let suffix = match unit {
                    Count => "",
                    Samples => "_samples",
                    Frames => "_frames",
                    Packets => "_packets",
                    Streams => "_streams",
                    Bytes => "_bytes",
                    Ratio => "_rate",
                    Milliseconds => "_ms",
                    PartsPerMillion => "_ppm",
                };
                assert!(key.ends_with(suffix), "{key}");
                assert!(!help.is_empty() && !help.ends_with('.'), "{key}");
            }
        }
        check(&Entry::TERMS);
        check(&NetworkEntry::TERMS);
        check(&ListenerEntry::TERMS);
    }

    #[test]
    fn each_field_of_an_entry_is_a_term_of_its_own() {
        let mut entry = Entry::default();
        let fields = [
            &mut entry.offered,
            &mut entry.mixed,
            &mut entry.muted,
            &mut entry.dropped_full,
            &mut entry.dropped_late,
            &mut entry.discarded,
            &mut entry.discarded_latency_cap,
            &mut entry.discarded_delay_change,
            &mut entry.discarded_ended,
            &mut entry.discarded_overload,
            &mut entry.discarded_damaged,
            &mut entry.discarded_misplaced,
            &mut entry.in_ring,
            &mut entry.concealed,
            &mut entry.underrun,
            &mut entry.lost,
            &mut entry.checksum_errors,
            &mut entry.segments,
            &mut entry.ring_high_water_bytes,
        ];
        for (number, field) in (1..).zip(fields) {
            *field = number;
        }
        let counts = Entry::TERMS
            .iter()
            .filter_map(|term| match (term.of)(&entry) {
                Whole(count) => Some(count),
                Real(_) | Absent => None,
            });
        assert!(counts.eq(1..=19));
        let json = serde_json::to_value(entry).unwrap();
        assert_eq!(json["offered_samples"], 1);
        assert_eq!(json["ring_high_water_bytes"], 19);
        assert_eq!(json.as_object().unwrap().len(), Entry::TERMS.len());
    }
}
