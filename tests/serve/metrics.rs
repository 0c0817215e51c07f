//! `GET /metrics`: the text format, which streams have series, and counters that never go back.

mod documents;
mod exposition;
mod place;

use std::{collections::BTreeSet, net::UdpSocket, sync::Arc, time::Duration};

use exposition::Exposition;
use mixpool::{
    control::ControlSettings,
    engine::{Engine, RecordingRequest, Settings},
    ledger::SourceKind,
    net::{
        Limits, StreamRequest,
        rtp::{self, RtpSettings, RtpSockets},
    },
    playout::{Delay, PlayoutSettings},
    wire::payload::PayloadMap,
};
use place::{Place, settings};
use serde_json::Value;

use crate::{offer::offer, patience::wait_until};

fn engine(streams_max: usize, speed: f64) -> Engine {
    Engine::new(settings(streams_max, speed)).unwrap()
}

#[test]
fn a_scrape_is_of_the_text_format_0_0_4() {
    let engine = engine(4, 1.0);
    let _streams = ["a", "b"].map(|id| {
        engine
            .open(StreamRequest::new(id, SourceKind::Library, "test"))
            .unwrap()
    });
    let place = Place::start(engine, 10);
    let (head, text) = place.get("/metrics");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    let scrape = exposition::read(&text);
    assert_eq!(scrape.0["mixpool_offered_samples_total"].kind, "counter");
    assert_eq!(scrape.lines("mixpool_stream_info").len(), 2);
    place.end();
}

#[test]
fn any_id_is_a_label() {
    let ids = [
        "plain",
        "quo\"te",
        "back\\slash",
        "new\nline",
        "grüße 漢字",
        "{a=\"b\"} 1",
        "\\n",
    ];
    let engine = engine(8, 1.0);
    let _streams = ids.map(|id| {
        engine
            .open(StreamRequest::new(id, SourceKind::Library, "from \"me\"\\"))
            .unwrap()
    });
    let place = Place::start(engine, 10);
    let scrape = place.scrape();
    let lines = scrape.lines("mixpool_stream_info");
    assert_eq!(lines.len(), ids.len());
    for (line, id) in lines.iter().zip(ids) {
        assert_eq!(
            (&*line.labels["stream"], &*line.labels["source"]),
            (id, "from \"me\"\\")
        );
    }
    for id in ids {
        scrape.value("mixpool_stream_offered_samples_total", &[("stream", id)]);
    }
    place.end();
}

#[test]
fn the_earliest_streams_keep_their_series_until_they_end() {
    let engine = engine(1000, 1.0);
    let mut streams: Vec<_> = (0..1000)
        .map(|id| {
            engine
                .open(StreamRequest::new(
                    format!("stream-{id}"),
                    SourceKind::Library,
                    "test",
                ))
                .unwrap()
        })
        .collect();
    let place = Place::start(engine, 3);
    let ids = |scrape: &Exposition| -> Vec<String> {
        let lines = scrape.lines("mixpool_stream_info");
        lines
            .iter()
            .map(|line| line.labels["stream"].clone())
            .collect()
    };
    let scrape = place.scrape_until(|scrape| !scrape.lines("mixpool_stream_info").is_empty());
    assert_eq!(ids(&scrape), ["stream-0", "stream-1", "stream-2"]);
    assert!((scrape.value("mixpool_streams", &[]) - 1000.0).abs() < 0.5);
    assert!((scrape.value("mixpool_streams_without_series", &[]) - 997.0).abs() < 0.5);
    // Not one line more has a stream's name.
    let labelled = scrape.0.values().flat_map(|family| &family.lines);
    let named: BTreeSet<_> = labelled
        .filter_map(|line| line.labels.get("stream"))
        .collect();
    assert_eq!(named.len(), 3);
    // One of them ends: the others keep theirs.
    drop(streams.remove(1));
    let scrape = place.scrape_until(|scrape| scrape.value("mixpool_streams", &[]) < 999.5);
    let scrape = if ids(&scrape).contains(&"stream-1".to_owned()) {
        place.scrape_until(|scrape| !ids(scrape).contains(&"stream-1".to_owned()))
    } else {
        scrape
    };
    assert_eq!(ids(&scrape), ["stream-0", "stream-2", "stream-3"]);
    place.end();
}

#[test]
fn main_and_the_first_rooms_by_name_have_series() {
    let place = Place::with(
        engine(4, 1.0),
        ControlSettings {
            metrics_rooms_max: 2,
            ..ControlSettings::default()
        },
    );
    let names = ["zz", "b\"\\"];
    let rooms: Vec<_> = names
        .iter()
        .map(|name| place.handle.open_room(name).unwrap())
        .collect();
    let request = |room: &str| StreamRequest {
        room: Some(room.to_owned()),
        ..StreamRequest::new("a", SourceKind::Library, "test")
    };
    let admission = place.handle.admission();
    let _streams = [names[1], names[1], "main"].map(|room| admission.admit(request(room)).unwrap());
    let streams =
        |scrape: &Exposition, room| scrape.value("mixpool_room_streams", &[("room", room)]);
    let scrape = place.scrape_until(|scrape| {
        !scrape.lines("mixpool_room_streams").is_empty()
            && (scrape.value("mixpool_rooms", &[]) - 3.0).abs() < 0.5
            && (streams(scrape, names[1]) - 2.0).abs() < 0.5
    });
    assert!((streams(&scrape, "main") - 1.0).abs() < 0.5);
    for family in [
        "streams",
        "mixed_samples_total",
        "peak_ratio",
        "clipped_samples_total",
        "limited_samples_total",
        "dropped_samples",
    ] {
        let lines = scrape.lines(&format!("mixpool_room_{family}"));
        assert_eq!(lines.len(), 2, "{family}");
    }
    assert!(
        (scrape.value("mixpool_rooms_max", &[]) - place.handle.settings().rooms_max as f64).abs()
            < 0.5
    );
    assert!((scrape.value("mixpool_rooms_without_series", &[]) - 1.0).abs() < 0.5);
    assert!(scrape.value("mixpool_rooms_refused_total", &[]).abs() < 0.5);
    drop(rooms);
    place.end();
}

#[test]
fn without_series_for_streams_the_totals_are_there_all_the_same() {
    let engine = engine(2, 50.0);
    let mut stream = engine
        .open(StreamRequest::new("a", SourceKind::Library, "test"))
        .unwrap();
    offer(&mut stream, 5);
    let place = Place::start(engine, 0);
    let scrape =
        place.scrape_until(|scrape| scrape.value("mixpool_offered_samples_total", &[]) >= 800.0);
    let labelled = scrape.0.values().flat_map(|family| &family.lines);
    assert!(
        labelled
            .into_iter()
            .all(|line| !line.labels.contains_key("stream"))
    );
    assert!((scrape.value("mixpool_streams_without_series", &[]) - 1.0).abs() < 0.5);
    place.end();
}

/// The counters of the whole server.
fn counters(exposition: &Exposition) -> Vec<(String, f64)> {
    let families = exposition
        .0
        .values()
        .filter(|family| family.kind != "gauge");
    let lines = families.flat_map(|family| &family.lines);
    lines
        .filter(|line| !line.labels.contains_key("stream"))
        .map(|line| (format!("{} {:?}", line.name, line.labels), line.value))
        .collect()
}

#[test]
fn no_counter_goes_back_when_streams_end_and_the_terms_add_up() {
    let engine = engine(8, 20.0);
    let place = Place::start(engine, 100);
    let admit = |id: usize| {
        let request = StreamRequest::new(format!("stream-{id}"), SourceKind::Library, "test");
        place.running.handle().admission().admit(request).unwrap()
    };
    let mut last = counters(&place.scrape());
    for round in 0..40 {
        let mut stream = admit(round);
        // More than the ring holds: some are dropped.
        offer(&mut stream, 60);
        stream
            .account()
            .network()
            .unwrap()
            .count(mixpool::ledger::Packet::Received);
        drop(stream);
        let now = counters(&place.scrape());
        assert_eq!(now.len(), last.len());
        for ((name, before), (same, after)) in last.iter().zip(&now) {
            assert_eq!(name, same);
            assert!(after >= before, "{name} was {before} and is {after}");
        }
        last = now;
        // The mixer's gauge may not have seen this stream yet, and then says there is a slot where there is none.
        wait_until("a slot is free", || {
            place.running.handle().running().len() < 8
        });
    }
    let scrape = place.scrape_until(|scrape| {
        scrape.value("mixpool_streams", &[]) < 0.5
            && scrape.value("mixpool_admitted_streams_total", &[]) > 39.5
            && scrape.value("mixpool_in_ring_samples", &[]) < 0.5
    });
    let of = |name: &str| scrape.value(name, &[]) as u64;
    assert_eq!(of("mixpool_offered_samples_total"), 40 * 60 * 160);
    assert_eq!(of("mixpool_received_packets_total"), 40);
    let dropped = ["full", "late"]
        .map(|reason| scrape.value("mixpool_dropped_samples_total", &[("reason", reason)]) as u64);
    let discarded = ["latency_cap", "delay_change", "ended", "damaged"].map(|reason| {
        scrape.value("mixpool_discarded_samples_total", &[("reason", reason)]) as u64
    });
    assert!(dropped[0] > 0, "{dropped:?}");
    let accounted = of("mixpool_mixed_samples_total")
        + of("mixpool_muted_samples_total")
        + dropped.iter().chain(&discarded).sum::<u64>();
    assert_eq!(of("mixpool_offered_samples_total"), accounted);
    assert!(of("mixpool_ledger_checks_total") > 0);
    assert_eq!(of("mixpool_ledger_imbalances_total"), 0);
    assert_eq!(scrape.lines("mixpool_stream_info").len(), 0);
    place.end();
}

#[test]
fn recordings_are_told_as_they_run_and_when_they_fail() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(Settings {
        record: Some("/dev/full".into()),
        recordings: Some(dir.path().to_owned()),
        ..settings(1, 50.0)
    });
    let place = Place::start(engine.unwrap(), 0);
    let request = RecordingRequest::of_room("a.wav", "main");
    place.handle.start_recording(request).unwrap();
    let scrape = place.scrape_until(|scrape| {
        scrape.value("mixpool_failed_recordings_total", &[]) > 0.5
            && scrape.value("mixpool_recorded_samples_total", &[]) > 8000.0
            && scrape.value("mixpool_recording_lost_samples_total", &[]) > 0.5
    });
    let of = |name: &str| scrape.value(name, &[]) as u64;
    assert_eq!(of("mixpool_recordings"), 1);
    assert_eq!(of("mixpool_started_recordings_total"), 2);
    assert_eq!(of("mixpool_failed_recordings_total"), 1);
    place.end();
}

fn rtp_packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.resize(12 + 160, 0x80);
    packet
}

/// A listener on loopback with a fixed delay of 100 ms.
fn rtp_settings() -> RtpSettings {
    RtpSettings {
        interface: None,
        address: "127.0.0.1:0".parse().unwrap(),
        threads: 1,
        receive_buffer_bytes: 1 << 16,
        streams: rtp::Settings {
            limits: Limits {
                streams_per_source: 4,
                connections_max: 4,
                first_message_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(60),
                allowed: Vec::new(),
            },
            playout: PlayoutSettings {
                delay: Delay::Fixed(Duration::from_millis(100)),
                latency_cap: Duration::from_secs(1),
                conceal: true,
            },
            payloads: PayloadMap::default(),
            gain: None,
            room: None,
            returns_max: 0,
            cname: "mixpool@localhost".to_owned(),
        },
    }
}

#[test]
fn network_traffic_is_counted_by_address_and_reason() {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = sink.local_addr().unwrap();
    let engine = Engine::new(Settings {
        rtp_out: vec![to.to_string().parse().unwrap()],
        ..settings(4, 1.0)
    });
    let mut engine = engine.unwrap();
    let sockets = RtpSockets::bind(rtp_settings()).unwrap();
    let name = sockets.account().name().to_owned();
    engine.report_listeners([Arc::clone(sockets.account())]);
    let place = Place::start(engine, 10);
    let clock = place.handle.clock().unwrap();
    let listener = sockets
        .start(clock, &place.handle.admission(), None)
        .unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = name
        .strip_prefix("rtp ")
        .unwrap_or_else(|| panic!("{name}"));
    sender.connect(address).unwrap();
    sender.send(b"no").unwrap();
    for sequence in (0..10).filter(|&sequence| sequence != 5) {
        sender.send(&rtp_packet(sequence)).unwrap();
    }
    let scrape = place.scrape_until(|scrape| {
        scrape.value("mixpool_received_packets_total", &[]) > 8.5
            && scrape.lines("mixpool_stream_received_packets_total").len() == 1
            && scrape.value("mixpool_stream_received_packets_total", &[]) > 8.5
            // Counted between packets.
            && scrape.value("mixpool_expected_packets_total", &[]) > 9.5
            && scrape.value("mixpool_stream_lost_packets", &[]) > 0.5
            && scrape.value("mixpool_rtp_out_sent_packets_total", &[]) > 0.5
    });
    let malformed = scrape.lines("mixpool_ingest_malformed_total");
    for line in malformed {
        assert_eq!(line.labels["listener"], name);
        let times = if line.labels["reason"] == "too_short" {
            1.0
        } else {
            0.0
        };
        assert!((line.value - times).abs() < 0.5, "{line:?}");
    }
    let of = |name: &str| scrape.value(name, &[]) as i64;
    assert_eq!(of("mixpool_expected_packets_total"), 10);
    assert_eq!(of("mixpool_lost_packets"), 1);
    assert_eq!(of("mixpool_stream_lost_packets"), 1);
    assert_eq!(of("mixpool_lost_samples"), 160);
    assert_eq!(of("mixpool_stream_lost_samples"), 160);
    for name in ["mixpool_missing_ratio", "mixpool_stream_missing_ratio"] {
        assert!(scrape.value(name, &[]) > 0.0, "{name}");
    }
    let age = scrape.value("mixpool_stream_last_packet_age_seconds", &[]);
    assert!(age >= 0.0, "{age}");
    assert!(scrape.value("mixpool_stream_playout_delay_seconds", &[]) > 0.05);
    // The same of that stream by the API.
    let document = |path: &str| -> Value {
        let (head, body) = place.get(path);
        assert!(head.starts_with("http/1.1 200"), "{head}");
        serde_json::from_str(&body).unwrap()
    };
    let page = document("/api/v1/streams?kind=rtp&sort=lost&order=desc");
    let row = &page["streams"][0];
    let stream = document(&format!("/api/v1/streams/{}", row["id"].as_str().unwrap()));
    for told in [row, &stream] {
        assert_eq!(
            (&told["received_packets"], &told["lost_packets"]),
            (&9.into(), &1.into())
        );
        assert_eq!(told["lost_samples"], 160, "{told}");
        assert!(told["missing_rate"].as_f64() > Some(0.0), "{told}");
        assert!(told["last_packet_age_ms"].is_number(), "{told}");
        assert!(told["playout_delay_ms"].as_f64() > Some(50.0), "{told}");
        // All came at once that were to come 20 ms from each other.
        assert!(told["jitter_ms"].as_f64() > Some(0.0), "{told}");
        assert!(told["drift_ppm"].is_number(), "{told}");
    }
    let network = &stream["network"];
    assert_eq!(
        (&network["expected_packets"], &network["lost_packets"]),
        (&10.into(), &1.into()),
        "{network}"
    );
    let labels = &scrape.lines("mixpool_rtp_out_sent_packets_total")[0].labels;
    assert_eq!(
        (&*labels["target"], &*labels["room"]),
        (&*to.to_string(), "main")
    );
    place.end();
    listener.join();
}

#[test]
fn answers_are_counted_by_their_class() {
    let place = Place::start(engine(1, 1.0), 0);
    for _ in 0..3 {
        assert!(place.get("/nothing").0.starts_with("http/1.1 404"));
    }
    let scrape = place.scrape();
    let of = |class| scrape.value("mixpool_http_responses_total", &[("code", class)]) as u64;
    assert_eq!([of("2xx"), of("4xx"), of("5xx")], [0, 3, 0]);
    place.end();
}
