//! RTP of a room: its samples alone, until it is closed.

use std::{net::UdpSocket, time::Duration};

use mixpool::{
    audio::Format,
    config::RoomConfig,
    engine::{Clock, Engine, EngineError, RoomError, Settings},
    ledger::SourceKind,
    net::StreamRequest,
    output::RtpTarget,
    source::{Feed, Imperfection, Schedule, Waveform, synthetic},
};

use crate::patience::{PATIENCE, wait_until};

const PTIME: Duration = Duration::from_millis(20);

/// Two ports that follow each other, for RTP and RTCP.
fn receiver() -> (UdpSocket, UdpSocket) {
    loop {
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = media.local_addr().unwrap().port();
        if let Some(above) = port.checked_add(1)
            && let Ok(control) = UdpSocket::bind(("127.0.0.1", above))
        {
            media.set_read_timeout(Some(PATIENCE)).unwrap();
            control.set_read_timeout(Some(PATIENCE)).unwrap();
            return (media, control);
        }
    }
}

fn settings(targets: &[String]) -> Settings {
    Settings {
        format: Format::new(8_000, 1).unwrap(),
        ptime: PTIME,
        streams_max: 4,
        rooms_max: 4,
        listed_rooms: vec![RoomConfig::named("a")],
        ring_bytes: 1 << 16,
        rtp_out: targets.iter().map(|text| text.parse().unwrap()).collect(),
        clock: Clock::Live {
            speed: 1.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    }
}

/// Whether the samples of the next packet, which are silence in mu-law or not, are silent.
fn is_silent(media: &UdpSocket) -> bool {
    let mut packet = [0; 2048];
    let len = media.recv(&mut packet).unwrap();
    let contributors = usize::from(packet[0] & 0xf);
    let payload = &packet[12 + 4 * contributors..len];
    payload.iter().all(|&byte| byte == 0xff)
}

#[test]
fn a_target_gets_its_room_alone_and_a_bye_when_that_closes() {
    let [main, room] = [(); 2].map(|()| receiver());
    let address = |(media, _): &(UdpSocket, UdpSocket)| media.local_addr().unwrap();
    let targets = [
        format!("{},pcmu", address(&main)),
        format!("{},pcmu,room=a", address(&room)),
    ];
    let mut engine = Engine::new(settings(&targets)).unwrap();
    let format = Format::new(8_000, 1).unwrap();
    let request = StreamRequest::new("noise", SourceKind::Library, "test");
    let stream = engine.open(request).unwrap();
    let source = synthetic::nth(format, Some(Waveform::White), 7, 0, -20.0);
    let schedule = Schedule::new(PTIME, Duration::ZERO, Imperfection::default(), 1);
    engine.feed(Feed::new(stream, Box::new(source)), schedule);
    let running = engine.start().unwrap();
    let handle = running.handle();
    let stream = handle.stream("noise").unwrap();
    handle.move_stream(&stream, "a", false).unwrap();
    while is_silent(&room.0) {}
    // What was sent before the move is taken first.
    wait_until("main is silent", || is_silent(&main.0));
    for _ in 0..20 {
        assert!(is_silent(&main.0) && !is_silent(&room.0));
    }
    handle.move_stream(&stream, "main", false).unwrap();
    handle.close_room("a").unwrap();
    let mut report = [0; 512];
    // The goodbye is the last block of the last report (RFC 3550, 6.6).
    wait_until("it says goodbye", || {
        let len = room.1.recv(&mut report).unwrap();
        report[..len].windows(2).any(|pair| pair == [0x81, 203])
    });
    // That of main goes on, with the stream.
    wait_until("main has it", || !is_silent(&main.0));
    let report = running.finish();
    assert!(report.is_sound());
    let rooms: Vec<_> = report.rtp_out.iter().map(|out| &*out.room).collect();
    assert_eq!(rooms, ["main", "a"]);
    let [main, room] = [0, 1].map(|index| report.rtp_out[index].sent);
    assert!(main.packets > room.packets && room.lost_samples == 0);
}

#[test]
fn a_target_of_a_room_that_is_not_open_is_refused() {
    let targets = ["127.0.0.1:9,pcmu,room=b".to_owned()];
    let refused = Engine::new(settings(&targets)).unwrap_err();
    assert!(matches!(
        refused,
        EngineError::Rooms(RoomError::NotFound { name }) if name == "b"
    ));
    assert!("127.0.0.1:9,room=".parse::<RtpTarget>().is_err());
}
