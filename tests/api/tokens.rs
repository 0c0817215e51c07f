//! Tokens as an operator has them: files, flags, and reading them again.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use serde_json::json;
use tungstenite::{
    Message,
    client::IntoClientRequest as _,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    client::Client,
    face::{mixpool, stderr, text},
    patience::wait_until,
    server::Server,
};

fn secret(path: &Path, token: &str) {
    fs::write(path, token).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A server under way with these flags, and a client of it.
fn serve(flags: &[&str]) -> (Server, Client) {
    let server = Server::start(&[&["--synthetic", "1"], flags].concat());
    let client = server.client.clone();
    (server, client)
}

#[test]
fn nobody_beyond_this_machine_is_let_in_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "[::ffff:192.0.2.7]:0"] {
        let refused = mixpool(&["serve", "--http", address, "--duration", "1s"]);
        assert_eq!(refused.status.code(), Some(2), "{address}");
        let told = stderr(&refused);
        assert!(
            told.contains("--token-file") && told.contains("127.0.0.0/8"),
            "{told}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    secret(&token, "a-token-for-everything");
    let flags = [
        "serve",
        "--http",
        "0.0.0.0:0",
        "--token-file",
        text(&token),
        "--duration",
        "200ms",
    ];
    assert!(mixpool(&flags).status.success());
}

#[test]
fn a_file_without_a_token_is_wrong_usage_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    secret(&path("good"), "a-token-for-everything");
    secret(&path("same"), "a-token-for-everything");
    secret(&path("short"), "123456789012345");
    secret(&path("open"), "a-token-for-everything");
    fs::set_permissions(path("open"), Permissions::from_mode(0o644)).unwrap();
    let refused = |flags: &[&PathBuf], part: &str| {
        let names = ["--token-file", "--read-token-file"];
        let flags = names
            .into_iter()
            .zip(flags)
            .flat_map(|(name, path)| [name, text(path)]);
        let words: Vec<_> = ["serve", "--duration", "1s"]
            .into_iter()
            .chain(flags)
            .collect();
        let output = mixpool(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    };
    refused(&[&path("none")], "No such file");
    refused(&[&path("short")], "openssl rand -hex 32");
    refused(&[&path("open")], "chmod o=");
    refused(&[&path("good"), &path("same")], "write another");
    refused(&[&path("good"), &path("short")], "short");
    let alone = mixpool(&["serve", "--read-token-file", text(&path("good"))]);
    assert_eq!(alone.status.code(), Some(2));
}

#[test]
fn tokens_are_read_again_and_a_broken_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [token, config] = ["token", "serve.toml"].map(|name| directory.path().join(name));
    secret(&token, "the-first-token-of-all");
    fs::write(&config, "gain = 0\n").unwrap();
    let (server, client) = serve(&["--token-file", text(&token), "--config", text(&config)]);
    let [first, second, third] = [
        "the-first-token-of-all",
        "the-second-token-of-all",
        "the-third-token-of-all",
    ]
    .map(|token| client.with_token(token));
    let reload = |client: &Client| client.send("POST", "/api/v1/reload", &[], b"");
    let told = first.get("/api/v1/config").text();
    assert!(
        told.contains("\"token_file\"") && !told.contains("the-first-token"),
        "{told}"
    );

    // Both are wrong in turn, and the other one is right: nothing changes.
    secret(&token, "short");
    fs::write(&config, "gain = -6\n").unwrap();
    reload(&first).problem(409);
    secret(&token, "the-second-token-of-all");
    fs::write(&config, "gain = \"loud\"\n").unwrap();
    reload(&first).problem(409);
    assert_eq!(second.get("/api/v1/status").status, 401);
    assert_eq!(first.get("/api/v1/config").ok(200)["config"]["gain"], 0);

    fs::write(&config, "gain = -6\n").unwrap();
    let reloaded = reload(&first).ok(200);
    assert_eq!(reloaded["changed"], json!(["gain", "token_file"]));
    assert_eq!(first.get("/api/v1/status").status, 401);
    assert_eq!(second.get("/api/v1/config").ok(200)["config"]["gain"], -6);

    secret(&token, "the-third-token-of-all");
    server.running.signal(Signal::SIGHUP);
    wait_until("the third token is known", || {
        third.get("/api/v1/status").status == 200
    });
    assert_eq!(second.get("/api/v1/status").status, 401);
    server.end();
}

/// Answers without an end, by HTTP.
const ENDLESS: [&str; 4] = [
    "/listen.wav",
    "/listen/synthetic-0001.wav",
    "/api/v1/events",
    "/api/v1/live",
];

/// Asks for one, and waits until it has begun.
fn begin(client: &Client, path: &str) -> TcpStream {
    let mut stream = client.connect();
    let head = client.head("GET", path, &[], None);
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200", "{path}");
    stream
}

/// The answer comes to its end, as the chunked coding has it.
fn expect_end(mut stream: TcpStream) {
    let mut last = Vec::new();
    let mut bytes = [0; 4096];
    while !last.ends_with(b"\r\n0\r\n\r\n") {
        let read = stream.read(&mut bytes).unwrap();
        assert!(read > 0, "it was cut off");
        last.extend_from_slice(&bytes[..read]);
        last.drain(..last.len().saturating_sub(16));
    }
}

#[test]
fn who_listens_by_a_token_that_is_replaced_hears_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let [token, read] = ["token", "read"].map(|name| directory.path().join(name));
    secret(&token, "the-first-token-of-all");
    secret(&read, "a-token-for-reading");
    let flags = [
        "--token-file",
        text(&token),
        "--read-token-file",
        text(&read),
    ];
    let (_running, client) = serve(&flags);
    let first = client.with_token("the-first-token-of-all");
    let reading = client.with_token("a-token-for-reading");
    let endless = ENDLESS.map(|path| begin(&first, path));
    let mut stays = begin(&reading, "/listen.wav");
    let mut request = format!("ws://{}/ws/listen", client.address)
        .into_client_request()
        .unwrap();
    let bearer = "Bearer the-first-token-of-all".parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = tungstenite::client(request, client.connect()).unwrap();
    assert!(matches!(socket.read(), Ok(Message::Text(_))));

    // Nothing has changed, and no client is sent away.
    first.send("POST", "/api/v1/reload", &[], b"").ok(200);
    assert!(matches!(socket.read(), Ok(Message::Binary(_))));

    secret(&token, "the-second-token-of-all");
    first.send("POST", "/api/v1/reload", &[], b"").ok(200);
    for stream in endless {
        expect_end(stream);
    }
    let code = loop {
        match socket.read().unwrap() {
            Message::Binary(_) => {}
            Message::Close(Some(CloseFrame { code, .. })) => break code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, CloseCode::Policy);
    // The other token is the same as it was.
    stays.read_exact(&mut [0; 16_000]).unwrap();
    let listeners = || reading.get("/api/v1/listeners").ok(200)["totals"]["listeners"].clone();
    wait_until("one listener stays", || listeners() == 1);
}

#[test]
fn who_listens_by_a_session_that_is_ended_hears_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    secret(&token, "a-token-for-everything");
    let (_running, client) = serve(&["--token-file", text(&token)]);
    let session = || {
        let credentials = json!({ "token": "a-token-for-everything" });
        let begun = client.post("/api/v1/session", &credentials);
        let cookie = begun.header("set-cookie").unwrap();
        client.with("Cookie", cookie.split(';').next().unwrap())
    };
    let [one, other] = [session(), session()];
    let endless = ENDLESS.map(|path| begin(&one, path));
    let mut stays = begin(&other, "/listen.wav");
    assert_eq!(one.delete("/api/v1/session").status, 204);
    for stream in endless {
        expect_end(stream);
    }
    stays.read_exact(&mut [0; 16_000]).unwrap();
}

#[test]
fn refused_requests_are_logged_with_address_status_and_path() {
    let directory = tempfile::tempdir().unwrap();
    let files = ["change", "read"].map(|name| directory.path().join(name));
    for (file, token) in files
        .iter()
        .zip(["the-token-that-changes", "the-token-that-reads"])
    {
        secret(file, token);
    }
    let [change, read] = files.each_ref().map(|file| text(file));
    let flags = ["--token-file", change, "--read-token-file", read];
    let config = directory.path().join("serve.toml");
    fs::write(&config, "http_requests_per_second = 3").unwrap();
    let few = ["--config", text(&config)];
    let (server, client) = serve(&[&flags[..], &few].concat());
    client
        .get("/api/v1/streams/a\"address=192.0.2.7")
        .problem(401);
    client
        .with_token("the-token-that-reads")
        .delete("/api/v1/streams/a")
        .problem(403);
    wait_until("a request too many", || {
        client.get("/api/v1/status").status == 429
    });
    let (_, log) = server.end();
    let lines: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once("request refused ").map(|(_, rest)| rest))
        .collect();
    let first = r#"address=127.0.0.1 status=401 skipped=0 method="GET" path="/api/v1/streams/a\"address=192.0.2.7" why="this needs a token"#;
    assert!(lines[0].starts_with(first), "{}", lines[0]);
    for (status, why) in [
        (403, "this token is for reading alone"),
        (429, "more than 3 requests"),
    ] {
        let begins = format!("address=127.0.0.1 status={status} ");
        let says = |line: &&&str| line.starts_with(&begins) && line.contains(why);
        assert!(lines.iter().any(|line| says(&line)), "{status}: {lines:?}");
    }
}
