use super::*;

/// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const SOUND: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

fn request(fields: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().uri("/ws/ingest");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// A sound handshake, but for one field: another value, or none.
fn with(name: &str, value: Option<&str>) -> Vec<(&'static str, String)> {
    let fields = SOUND.iter().filter_map(|(field, sound)| {
        let value = if *field == name { value } else { Some(*sound) };
        value.map(|value| (*field, value.to_owned()))
    });
    fields.collect()
}

fn refusal(fields: &[(&str, String)]) -> (StatusCode, String) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let problem = check(&request(&fields)).unwrap_err();
    let status = problem.status();
    (status, serde_json::to_string(&problem).unwrap())
}

#[test]
fn a_sound_handshake_is_answered_as_the_rfc_has_it() {
    assert_eq!(check(&request(&SOUND)).unwrap(), ACCEPT);
}

#[test]
fn each_field_that_is_wrong_is_told() {
    for (name, value, status, told) in [
        ("connection", None, 426, "ask with"),
        ("connection", Some("close"), 426, "ask with"),
        ("upgrade", Some("h2c"), 426, "ask with"),
        ("sec-websocket-version", Some("8"), 426, "only version 13"),
        (
            "sec-websocket-version",
            None,
            400,
            "sec-websocket-version is missing",
        ),
        (
            "sec-websocket-key",
            None,
            400,
            "sec-websocket-key is missing",
        ),
        ("sec-websocket-key", Some("c2hvcnQ="), 400, "16 bytes"),
        ("sec-websocket-key", Some("?"), 400, "16 bytes"),
    ] {
        let (found, detail) = refusal(&with(name, value));
        assert_eq!(found.as_u16(), status, "{name}: {detail}");
        assert!(detail.contains(told), "{name}: {detail}");
    }
    let mut twice = with("", None);
    twice.push(("sec-websocket-key", KEY.to_owned()));
    let (status, detail) = refusal(&twice);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(detail.contains("comes twice"), "{detail}");
}

#[test]
fn an_unsupported_version_is_answered_with_the_supported_one() {
    let problem = check(&request(&[])).unwrap_err();
    let response = refuse(problem);
    assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    assert_eq!(response.headers()[header::UPGRADE], "websocket");
}

#[test]
fn the_first_subprotocol_that_is_spoken_is_chosen() {
    let chosen = |offered: &[&str]| {
        let fields: Vec<_> = offered
            .iter()
            .map(|value| ("sec-websocket-protocol", *value))
            .collect();
        choose(request(&fields).headers()).map(|(name, _)| name)
    };
    assert_eq!(chosen(&["media"]), Some("media"));
    assert_eq!(
        chosen(&["chat, audio.jambonz.org", "media"]),
        Some("audio.jambonz.org")
    );
    assert_eq!(chosen(&["chat"]), None);
    assert_eq!(chosen(&[]), None);
}

#[test]
fn a_query_is_checked_before_the_handshake_is_answered() {
    let peer = "192.0.2.1:4000".parse().unwrap();
    let asked = |query: &str| {
        let uri = format!("http://localhost/ws/ingest?{query}")
            .parse()
            .unwrap();
        axum::extract::Query::<Asked>::try_from_uri(&uri)
            .map_err(|error| error.to_string())
            .and_then(|asked| {
                ask(&asked.0, peer, None)
                    .map_err(|problem| serde_json::to_string(&problem).unwrap())
            })
    };
    let sound = asked("id=desk-1&rate=48000&channels=2&gain=-6&listen=true&pour=false").unwrap();
    assert_eq!(
        (sound.id.as_deref(), sound.rate_hz, sound.channels),
        (Some("desk-1"), Some(48_000), Some(2))
    );
    assert_eq!((sound.listen, sound.pour), (Some(true), false));
    let empty = asked("id=&rate=&gain=").unwrap();
    assert_eq!((empty.id, empty.rate_hz, empty.gain), (None, None, None));
    for (query, told) in [
        ("rate=fast", "fast"),
        ("rate=12", "12 Hz is outside"),
        ("rate=8000&channels=65", "65 channels"),
        ("gain=99", "cannot take gain"),
        ("id=two%20words", "printable"),
        ("volume=11", "volume"),
        ("listen=perhaps", "perhaps"),
    ] {
        let why = asked(query).unwrap_err();
        assert!(why.contains(told), "{query}: {why}");
    }
}

#[test]
fn a_websocket_that_cannot_be_handed_over_reads_why() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let closing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(close(ours, &Rejection::Connections { max: 256 }))
    });
    peer.write_all(&vec![0; 1 << 20]).unwrap();
    let mut told = Vec::new();
    peer.read_to_end(&mut told).unwrap();
    drop(peer);
    closing.join().unwrap().unwrap();
    let mut expected = Vec::new();
    let why = "there are 256 connections already (--connections-max); try again later";
    websocket::close(websocket::CloseCode::TryAgain, why, &mut expected);
    assert_eq!(told, expected);
}
