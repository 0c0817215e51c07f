mod blocks;

use std::collections::HashSet;

use super::*;

const BLOCK: usize = 160;

/// An RTP packet as RFC 3550, section 5.1, draws it.
#[derive(Debug)]
struct Read {
    marker: bool,
    kind: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    csrcs: Vec<u32>,
    payload: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}

fn read(packet: &[u8]) -> Read {
    assert_eq!(
        packet[0] & 0xf0,
        0x80,
        "version 2, no padding, no extension"
    );
    let csrcs = usize::from(packet[0] & 15);
    Read {
        marker: packet[1] >= 128,
        kind: packet[1] % 128,
        sequence: word(packet, 0) as u16,
        timestamp: word(packet, 4),
        ssrc: word(packet, 8),
        csrcs: (0..csrcs).map(|csrc| word(packet, 12 + 4 * csrc)).collect(),
        payload: packet[12 + 4 * csrcs..].to_vec(),
    }
}

/// Two sockets on neighbouring ports, and where the lower one is.
fn receiver() -> (UdpSocket, UdpSocket, SocketAddr) {
    loop {
        let media = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = media.local_addr().unwrap();
        let above = address.port().checked_add(1);
        let Some(Ok(control)) = above.map(|port| UdpSocket::bind(("127.0.0.1", port))) else {
            continue;
        };
        for socket in [&media, &control] {
            socket.set_nonblocking(true).unwrap();
        }
        return (media, control, address);
    }
}

/// All datagrams not yet read. Those sent on this host before are here.
fn datagrams(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| {
        socket
            .recv(&mut buffer)
            .ok()
            .map(|len| buffer[..len].to_vec())
    })
    .collect()
}

fn format(rate_hz: u32, channels: u16) -> Format {
    Format::new(rate_hz, channels).unwrap()
}

fn start(to: SocketAddr, codec: &str, format: Format, block: usize) -> (RtpOut, MixRing) {
    let target = format!("{to},{codec}").parse().unwrap();
    RtpOut::start(&target, RoomId::MAIN, format, block).unwrap()
}

fn ramp(from: usize, len: usize) -> Vec<i16> {
    (from..from + len)
        .map(|at| (at * 37 % 65_536) as u16 as i16)
        .collect()
}

#[test]
fn a_receiver_gets_each_block_with_contributors_and_a_bye() {
    for (format, kind) in [
        (format(8000, 1), 96),
        (format(16_000, 2), 96),
        (format(44_100, 1), 11),
    ] {
        let (media, control, address) = receiver();
        let wide = usize::from(format.channels());
        let (out, mut ring) = start(address, "l16", format, BLOCK);
        let progress = out.progress();
        assert_eq!(progress.read(), RtpSent::default());
        for block in 0..20 {
            let named: Vec<u32> = (0..block.min(15) as u32)
                .map(|source| 7 << 24 | source)
                .collect();
            let samples = ramp(block * 999, wide * BLOCK);
            ring.send_main((block * BLOCK) as u64, &named, &samples, wide);
        }
        drop(ring);
        let sent = out.finish();
        assert_eq!(progress.read(), sent);
        let packets: Vec<_> = datagrams(&media)
            .iter()
            .map(|packet| read(packet))
            .collect();
        assert_eq!(packets.len(), 20);
        let first = &packets[0];
        for (block, packet) in packets.iter().enumerate() {
            assert_eq!((packet.kind, packet.marker), (kind, block == 0));
            assert_eq!(packet.ssrc, first.ssrc);
            assert_eq!(packet.sequence, first.sequence.wrapping_add(block as u16));
            let passed = packet.timestamp.wrapping_sub(first.timestamp);
            assert_eq!(passed as usize, block * BLOCK);
            let named: Vec<u32> = (0..block.min(15) as u32)
                .map(|source| 7 << 24 | source)
                .collect();
            assert_eq!(packet.csrcs, named);
            let samples = packet
                .payload
                .chunks(2)
                .map(|pair| i16::from(pair[0] as i8) << 8 | i16::from(pair[1]));
            assert!(samples.eq(ramp(block * 999, wide * BLOCK)));
        }
        let payload_bytes = (20 * BLOCK * 2 * wide) as u32;
        let expected = RtpSent {
            packets: 20,
            payload_bytes: payload_bytes.into(),
            reports: 2,
            ..RtpSent::default()
        };
        assert_eq!(sent, expected);

        let reports = datagrams(&control);
        let [report, last] = &reports[..] else {
            panic!("{reports:?}");
        };
        for (report, packets) in [(report, 1), (last, 20)] {
            // SR without reports, 7 words; then SDES.
            assert_eq!(
                (word(report, 0), word(report, 4)),
                (0x80c8_0006, first.ssrc)
            );
            let second = word(report, 8) - 2_208_988_800;
            let now = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap();
            assert!(now.as_secs() - u64::from(second) < 60);
            let next = first.timestamp.wrapping_add(packets * BLOCK as u32);
            assert_eq!(word(report, 16), next);
            let counts = (word(report, 20), word(report, 24));
            assert_eq!(counts, (packets, payload_bytes / 20 * packets));
            assert_eq!(
                (word(report, 28) >> 16, word(report, 32)),
                (0x81ca, first.ssrc)
            );
            assert_eq!((report[36], report[37]), (1, 32));
            assert!(report[38..70].starts_with(b"mixpool-"));
        }
        let bye = last.len() - 8;
        assert_eq!(
            (word(last, bye), word(last, bye + 4)),
            (0x81cb_0001, first.ssrc)
        );
        assert_eq!(report.len(), bye);
    }
}

#[test]
fn g711_goes_out_under_its_static_type() {
    // By the definition of the decoder in G.711: segment and interval of the inverted bits.
    let mu = |byte: u8| {
        let code = i32::from(!byte);
        let magnitude = ((((code & 15) << 3) + 132) << (code >> 4 & 7)) - 132;
        if code < 128 { magnitude } else { -magnitude }
    };
    let a = |byte: u8| {
        let code = i32::from(byte ^ 0x55);
        let (segment, low) = (code >> 4 & 7, (code & 15) << 4 | 8);
        let magnitude = if segment == 0 {
            low
        } else {
            (low | 256) << (segment - 1)
        };
        if code < 128 { -magnitude } else { magnitude }
    };
    let decoders: [&dyn Fn(u8) -> i32; 2] = [&mu, &a];
    for ((codec, kind), decode) in [("pcmu", 0), ("pcma", 8)].into_iter().zip(decoders) {
        let (media, _control, address) = receiver();
        let (out, mut ring) = start(address, codec, format(8000, 1), BLOCK);
        assert!(
            out.sdp()
                .contains(&format!("m=audio {} RTP/AVP {kind}\r\n", address.port()))
        );
        let samples = ramp(0, BLOCK);
        ring.send_main(0, &[], &samples, 1);
        drop(ring);
        out.finish();
        let [packet] = &datagrams(&media)[..] else {
            panic!("one packet")
        };
        let packet = read(packet);
        assert_eq!((packet.kind, packet.payload.len()), (kind, BLOCK));
        for (&byte, &sample) in packet.payload.iter().zip(&samples) {
            let off = (decode(byte) - i32::from(sample)).abs();
            assert!(
                off <= 16.max(i32::from(sample).abs() / 16),
                "{codec}: {sample} is {off} off"
            );
        }
    }
}

#[test]
fn no_two_streams_begin_alike() {
    let (media, _control, address) = receiver();
    let mut seen = HashSet::new();
    for _ in 0..4 {
        let (out, mut ring) = start(address, "pcmu", format(8000, 1), BLOCK);
        ring.send_main(0, &[], &[0; BLOCK], 1);
        drop(ring);
        out.finish();
        let first = read(&datagrams(&media)[0]);
        assert!(seen.insert(first.ssrc) && seen.insert(first.timestamp));
    }
}

fn packets(format: Format, block: usize) -> Packets {
    codec_packets(Codec::L16, format, block)
}

fn codec_packets(codec: Codec, format: Format, block: usize) -> Packets {
    let clock = codec.only().unwrap_or(format);
    let payload = AudioPayload { codec, clock };
    let chance = Chance {
        ssrc: 1,
        sequence: u16::MAX,
        timestamp: u32::MAX - 100,
        name: [2; 3],
    };
    Packets::new(payload, 96, format, block, chance)
}

#[test]
fn a_report_follows_the_first_packet_and_each_five_seconds() {
    let (_media, control, address) = receiver();
    let mut sending = Sending {
        packets: packets(format(8000, 1), BLOCK),
        media: connected(address).unwrap(),
        control: connected(control.local_addr().unwrap()).unwrap(),
        next_report: Instant::now(),
        sent: RtpSent::default(),
        progress: RtpProgress::default(),
    };
    let take = |sending: &mut Sending, at| {
        sending.take(&Piece {
            first: at,
            samples: &[0; BLOCK],
            contributors: &[],
            same: None,
            is_lost: false,
        });
        datagrams(&control).len()
    };
    let begun = Instant::now();
    assert_eq!((take(&mut sending, 0), take(&mut sending, 160)), (1, 0));
    let next = sending.next_report;
    assert!(
        next >= begun + Duration::from_secs(5) && next <= Instant::now() + Duration::from_secs(5)
    );
    sending.next_report = Instant::now();
    assert_eq!((take(&mut sending, 320), take(&mut sending, 480)), (1, 0));
}

#[test]
fn a_receiver_that_is_not_there_is_counted_and_ends_nothing() {
    let (media, control, address) = receiver();
    drop((media, control));
    let (out, mut ring) = start(address, "pcmu", format(8000, 1), BLOCK);
    for block in 0..50 {
        ring.send_main(block * BLOCK as u64, &[], &[1; BLOCK], 1);
    }
    drop(ring);
    let sent = out.finish();
    assert_eq!(
        (sent.packets + sent.unsent_packets, sent.lost_samples),
        (50, 0)
    );
    assert!(
        sent.refusals > 0 && sent.refusals >= sent.unsent_packets,
        "{sent:?}"
    );
}

#[test]
fn an_address_that_cannot_be_sent_to_fails_at_the_start() {
    // A broadcast address is refused without a socket option.
    let target = "255.255.255.255:5004,l16".parse().unwrap();
    let error = RtpOut::start(&target, RoomId::MAIN, format(8000, 1), BLOCK).unwrap_err();
    assert!(matches!(error, RtpOutError::Socket { .. }));
    assert!(
        error.to_string().contains("255.255.255.255:5004"),
        "{error}"
    );
}

#[test]
fn a_target_is_an_address_a_codec_and_a_room() {
    let read = |text: &str| text.parse::<RtpTarget>();
    let target = |text: &str, codec| RtpTarget {
        address: text.parse().unwrap(),
        codec,
        room: MAIN.to_owned(),
    };
    let of_room = RtpTarget {
        room: "a".to_owned(),
        ..target("127.0.0.1:5004", Codec::L16)
    };
    for text in ["127.0.0.1:5004,l16,room=a", "127.0.0.1:5004,room=a, L16"] {
        let target = read(text).unwrap();
        assert_eq!(target, of_room);
        assert_eq!(target.to_string(), "127.0.0.1:5004,l16,room=a");
    }
    assert_eq!(
        read("127.0.0.1:5004").unwrap(),
        target("127.0.0.1:5004", Codec::Pcmu)
    );
    assert_eq!(
        read("[::1]:5004, L16").unwrap(),
        target("[::1]:5004", Codec::L16)
    );
    assert_eq!(
        read("10.1.2.3:9,pcma").unwrap(),
        target("10.1.2.3:9", Codec::Pcma)
    );
    for text in [
        "",
        "localhost:5004",
        "127.0.0.1",
        "127.0.0.1:5004,gsm",
        "127.0.0.1:5004,",
        "127.0.0.1:5004,room=",
        "127.0.0.1:5004,room=a b",
        "127.0.0.1:5004,room=a,room=a",
        "127.0.0.1:5004,pcmu,pcma",
        ",pcmu",
    ] {
        let error = read(text).unwrap_err();
        assert!(
            error.to_string().contains("pcmu, pcma, l16, g722, opus"),
            "{error}"
        );
    }
    for port in [0, 65_535] {
        let error = read(&format!("127.0.0.1:{port}")).unwrap_err();
        assert!(matches!(error, RtpOutError::Port { port: told } if told == port));
    }
}
