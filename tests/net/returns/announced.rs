//! Senders that were announced: by the receiver's own means, and by the API of a whole server.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use mixpool::{
    audio::{Codec, Encoding},
    config::{Config, Http, Layer},
    net::{Announcement, SenderMark},
    server::{Running, Server},
    wire::payload::PayloadMap,
};
use serde_json::{Value, json};

use super::{Phone, Returned, talk};
use crate::{
    client::Client,
    network::Network,
    patience::{PATIENCE, wait_until},
};

fn announcement(from: SocketAddr) -> Announcement {
    Announcement {
        mark: SenderMark::Rtp(from),
        room: "main".to_owned(),
        label: None,
        gain: None,
        muted: false,
        ssrc: None,
        payloads: None,
        return_to: None,
        returns: true,
    }
}

/// A phone beyond loopback, and an announcement of it.
fn far(payload_type: u8) -> (Phone, Announcement) {
    let mut phone = Phone::new(4000, payload_type, Encoding::MuLaw);
    phone.from = "192.0.2.1:4000".parse().unwrap();
    let announced = announcement(phone.from);
    (phone, announced)
}

#[test]
fn an_announced_sender_beyond_loopback_hears_the_mix() {
    for ssrc in [None, Some(1), Some(4000 << 8 | 1)] {
        let (phone, announced) = far(0);
        let mut network = Network::returning(4, |settings| {
            settings.limits.allowed = vec!["127.0.0.0/8".parse().unwrap()];
        });
        let announced = Announcement { ssrc, ..announced };
        network.expected().announce(announced, 0).unwrap();
        let mut phones = [phone];
        talk(&mut network, &mut phones, 30);
        let is_it = ssrc.is_none_or(|ssrc| ssrc == phones[0].ssrc);
        assert_eq!(network.rig.accounts.len(), usize::from(is_it));
        assert_eq!(!network.returned.is_empty(), is_it);
    }
}

#[test]
fn the_mix_goes_to_the_announced_address() {
    let (phone, announced) = far(0);
    let to: SocketAddr = "192.0.2.9:7000".parse().unwrap();
    let mut network = Network::returning(4, |_| {});
    let return_to = Some(to);
    let announced = Announcement {
        return_to,
        ..announced
    };
    network.expected().announce(announced, 0).unwrap();
    let mut phones = [phone];
    talk(&mut network, &mut phones, 600);
    assert!(
        network
            .returned
            .iter()
            .all(|(_, address, _)| *address == to)
    );
    assert_eq!(Returned::to(&network, to).packets.len(), 600 - 9);
    let reports = network.reports.iter();
    assert!(
        reports
            .map(|(_, to, _)| to.to_string())
            .all(|to| to == "192.0.2.9:7001")
    );
}

#[test]
fn announced_types_are_the_senders_own() {
    let (mut phone, announced) = far(120);
    phone.set_codec(120, Codec::Opus);
    let mut payloads = PayloadMap::default();
    payloads.define("120=opus/48000/2").unwrap();
    let mut network = Network::returning(4, |_| {});
    let payloads = Some(payloads);
    let announced = Announcement {
        payloads,
        ..announced
    };
    network.expected().announce(announced, 0).unwrap();
    let mut phones = [phone];
    talk(&mut network, &mut phones, 60);
    let returned = Returned::to(&network, phones[0].from);
    assert_eq!(returned.payload_types(), [120]);
    let figures = network.rig.accounts[0].network().unwrap().figures();
    assert_eq!(figures.totals.unsupported, 0);
}

/// A server with two rooms.
struct Switch {
    running: Running,
    client: Client,
}

const EXPECTED: &str = "/api/v1/rooms/sales/expected";

impl Switch {
    fn open() -> Self {
        let mut layer = Layer::default();
        for (key, value) in [
            ("rtp", "127.0.0.1:0,return=on"),
            ("audiosocket", "127.0.0.1:0"),
            ("room", "sales"),
        ] {
            layer.set(key, value.into()).unwrap();
        }
        let mut config = Config::default().with(&layer);
        config.control.http = Some(Http::At("127.0.0.1:0".parse().unwrap()));
        let running = Server::start(config).unwrap();
        let client = Client::new(running.http().unwrap());
        Self { running, client }
    }

    fn expect(&self, body: &Value) -> Value {
        self.client.post(EXPECTED, body).ok(201)
    }

    /// The stream whose id has this in it, once there is one.
    fn stream(&self, part: &str) -> Value {
        let mut found = Value::Null;
        wait_until("its stream", || {
            let all = self.client.get("/api/v1/streams").ok(200);
            let streams = all["streams"].as_array().unwrap();
            let is_it = |stream: &&Value| stream["id"].as_str().unwrap().contains(part);
            found = streams.iter().find(is_it).cloned().unwrap_or_default();
            !found.is_null()
        });
        found
    }
}

fn offer(from: SocketAddr) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 111 8 101\r\n\
         a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n",
        ip = from.ip(),
        port = from.port()
    )
}

#[test]
fn an_offer_is_answered_and_its_call_is_in_the_room() {
    let switch = Switch::open();
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let from = phone.local_addr().unwrap();
    let body = json!({"sdp": offer(from), "label": "Anna", "gain_db": -6, "muted": true});
    let answered = switch.expect(&body);
    let to: SocketAddr = answered["local"].as_str().unwrap().parse().unwrap();
    let sdp = answered["sdp"].as_str().unwrap();
    assert!(
        sdp.contains(&format!("m=audio {} RTP/AVP 111 8 101\r\n", to.port())),
        "{sdp}"
    );
    assert!(sdp.ends_with("a=sendrecv\r\n"));
    assert_eq!(answered["rtp"], from.to_string());

    let mut sender = Phone::new(from.port(), 8, Encoding::ALaw);
    wait_until("the mix comes back", || {
        phone.send_to(&sender.next(), to).unwrap();
        phone.recv_from(&mut [0; 2048]).is_ok()
    });
    let stream = switch.stream(&from.to_string());
    assert_eq!(
        (&stream["room"], &stream["label"]),
        (&json!("sales"), &json!("Anna"))
    );
    assert_eq!(
        (&stream["muted"], &stream["gain_db"]),
        (&json!(true), &json!(-6.0))
    );
    assert!(switch.running.finish().is_sound());
}

#[test]
fn an_announced_uuid_is_in_the_room() {
    let switch = Switch::open();
    let uuid = "40325ec2-5efd-4bd3-805f-53576e581d13";
    let answered = switch.expect(&json!({"audiosocket": uuid, "label": "Bert"}));
    assert_eq!(
        (&answered["audiosocket"], &answered["sdp"]),
        (&json!(uuid), &Value::Null)
    );
    let mut call = TcpStream::connect(answered["local"].as_str().unwrap()).unwrap();
    let mut message = vec![0x01, 0, 16];
    message.extend(0x4032_5ec2_5efd_4bd3_805f_5357_6e58_1d13_u128.to_be_bytes());
    call.write_all(&message).unwrap();
    let stream = switch.stream(uuid);
    assert_eq!(
        (&stream["room"], &stream["label"]),
        (&json!("sales"), &json!("Bert"))
    );
    let left = switch.client.get(EXPECTED).ok(200);
    assert_eq!(left["expected"], json!([]));
    switch.running.finish();
}

#[test]
fn an_announcement_is_listed_and_taken_back() {
    let switch = Switch::open();
    let body =
        json!({"rtp": "192.0.2.7:4000", "ssrc": 7, "codec": "PCMA", "return_to": "192.0.2.8:4000"});
    let answer = switch.client.post(EXPECTED, &body);
    let made = answer.ok(201);
    let path = format!("{EXPECTED}/{}", made["id"]);
    assert_eq!(answer.header("location"), Some(&*path));
    assert!(
        made["sdp"]
            .as_str()
            .unwrap()
            .contains("RTP/AVP 8 13 101\r\n"),
        "{made}"
    );
    let listed = &switch.client.get(EXPECTED).ok(200)["expected"][0];
    for (key, value) in body.as_object().unwrap() {
        if key != "codec" {
            assert_eq!(&listed[key], value);
        }
    }
    assert!(listed["expires_s"].as_f64().unwrap() > 100.0);
    assert_eq!(switch.client.delete(&path).status, 204);
    assert_eq!(switch.client.delete(&path).status, 404);
    assert_eq!(switch.client.get(EXPECTED).ok(200)["expected"], json!([]));
    switch.running.finish();
}

#[test]
fn an_announcement_that_cannot_be_names_its_field() {
    let switch = Switch::open();
    let rtp = "192.0.2.7:4000";
    for (body, named) in [
        (json!({}), "`audiosocket`, `rtp`, `sdp`:"),
        (
            json!({"rtp": rtp, "audiosocket": "x"}),
            "`audiosocket`, `rtp`, `sdp`:",
        ),
        (json!({"audiosocket": "x"}), "`audiosocket`:"),
        (json!({"rtp": "192.0.2.7"}), "`rtp`:"),
        (json!({"rtp": "0.0.0.0:5"}), "`rtp`:"),
        (json!({"rtp": "239.1.1.1:5"}), "`rtp`:"),
        (json!({"rtp": rtp, "codec": "gsm"}), "`codec`:"),
        (json!({"rtp": rtp, "codec": "opus"}), "111=opus/48000/2"),
        (json!({"rtp": rtp, "codec": "200=opus/48000/2"}), "`codec`:"),
        (json!({"rtp": rtp, "return_to": "x"}), "`return_to`:"),
        (json!({"rtp": rtp, "ssrc": -1}), "`ssrc`:"),
        (json!({"rtp": rtp, "label": ""}), "`label`:"),
        (json!({"rtp": rtp, "gain_db": 99}), "`gain_db`"),
        (json!({"rtp": rtp, "x": 1}), "`x`"),
        (json!({"sdp": "v=0\nm=audio"}), "`sdp`: line 2"),
        (
            json!({"sdp": offer("192.0.2.7:5".parse().unwrap()), "codec": "PCMU"}),
            "`codec`:",
        ),
    ] {
        let answer = switch.client.post(EXPECTED, &body);
        let problem = answer.ok(400);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{body}: {detail}");
    }
    let elsewhere = switch
        .client
        .post("/api/v1/rooms/none/expected", &json!({"rtp": rtp}));
    assert_eq!(elsewhere.status, 404);
    switch.running.finish();
}

#[test]
fn an_address_that_is_announced_twice_is_a_conflict() {
    let switch = Switch::open();
    let body = json!({"rtp": "192.0.2.7:4000"});
    switch.expect(&body);
    for path in [EXPECTED, "/api/v1/rooms/main/expected"] {
        let problem = switch.client.post(path, &body).ok(409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("192.0.2.7:4000") && detail.contains("sales"),
            "{detail}"
        );
    }
    switch.running.finish();
}

#[test]
fn a_stream_that_came_before_its_announcement_is_moved() {
    let switch = Switch::open();
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let from = phone.local_addr().unwrap();
    let mut sender = Phone::new(from.port(), 0, Encoding::MuLaw);
    let listeners = switch.running.handle();
    let name = listeners.listeners()[0].name().to_owned();
    let to = name.split(' ').nth(1).unwrap();
    for _ in 0..5 {
        phone.send_to(&sender.next(), to).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    let id = switch.stream(&from.to_string())["id"].clone();
    let answered = switch.expect(&json!({"rtp": from.to_string()}));
    assert_eq!(answered["stream"], id);
    let begun = std::time::Instant::now();
    while switch.stream(&from.to_string())["room"] != "sales" {
        assert!(begun.elapsed() < PATIENCE);
        phone.send_to(&sender.next(), to).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    switch.running.finish();
}
