//! Refusals before any route: foreign hosts, other sites' pages, requests that are too long.

use std::fs;

use mixpool::control::ControlSettings;
use serde_json::json;

use crate::{
    client::{Answer, JSON},
    desk::Desk,
};

#[test]
fn a_host_that_is_none_of_ours_is_misdirected() {
    let desk = Desk::with(ControlSettings {
        host_names: vec!["mix.example".to_owned()],
        ..ControlSettings::default()
    });
    let port = desk.client.address.port();
    for host in [
        "localhost",
        "LOCALHOST:80",
        "[::1]:8080",
        "mix.example",
        "mixer.localhost:1",
    ] {
        assert_eq!(
            desk.client.with("Host", host).get("/api/v1/status").status,
            200,
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.7",
        &format!("mix.example.:{port}x"),
    ] {
        for path in ["/api/v1/status", "/healthz", "/", "/listen.wav", "/nothing"] {
            let status = desk.client.with("Host", host).get(path).status;
            assert!([400, 421].contains(&status), "{host}: {status}");
        }
    }
    for host in ["", "a b", "x@127.0.0.1", "http://127.0.0.1"] {
        desk.client.with("Host", host).get("/healthz").problem(400);
    }
    let twice = desk
        .client
        .with("Host", "127.0.0.1")
        .with("Host", "evil.example");
    twice.get("/healthz").problem(400);
    // A URL with a host is for that host, whichever the header names.
    let proxied = desk.client.get("http://evil.example/healthz");
    proxied.problem(421);
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let desk = Desk::open();
    let ours = format!("http://{}", desk.client.address);
    let mute = |fields: &[(&str, &str)]| {
        let headers: Vec<_> = fields.iter().copied().chain([JSON]).collect();
        desk.client.send(
            "PATCH",
            "/api/v1/streams/noise",
            &headers,
            br#"{"muted":true}"#,
        )
    };
    for fields in [
        &[("Origin", "http://evil.example")][..],
        &[("Origin", "null")],
        &[("Origin", "http://127.0.0.1:1")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", &ours)],
    ] {
        mute(fields).problem(403);
        let all = [
            ("POST", "/api/v1/streams"),
            ("POST", "/api/v1/session"),
            ("DELETE", "/api/v1/session"),
            ("DELETE", "/api/v1/streams/noise"),
            ("DELETE", "/api/v1/mute"),
            ("DELETE", "/api/v1/solo"),
            ("POST", "/api/v1/recordings"),
            ("POST", "/api/v1/reload"),
            ("POST", "/ingest/a"),
        ];
        for (method, path) in all {
            assert_eq!(
                desk.client.send(method, path, fields, b"").status,
                403,
                "{path}"
            );
        }
        // Cross-site WebSockets are not stopped by browsers.
        let upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers: Vec<_> = upgrade.into_iter().chain(fields.iter().copied()).collect();
        for path in ["/ws/listen", "/ws/ingest?id=a&rate=8000"] {
            assert_eq!(
                desk.client.send("GET", path, &headers, b"").status,
                403,
                "{path}"
            );
        }
    }
    let stream = desk.client.get("/api/v1/streams/noise").ok(200);
    assert_eq!(
        (&stream["muted"], &stream["state"] != "ended"),
        (&json!(false), true)
    );
    mute(&[("Origin", &ours), ("Sec-Fetch-Site", "same-origin")]).ok(200);
    mute(&[("Sec-Fetch-Site", "none")]).ok(200);
    // A look is no change: the browser itself keeps the answer from the other site's page.
    let looked = desk
        .client
        .with("Origin", "http://evil.example")
        .get("/api/v1/status");
    assert_eq!(looked.status, 200);
    assert_eq!(looked.header("access-control-allow-origin"), None);
}

#[test]
fn what_is_too_long_is_refused_and_what_is_nothing_is_not_there() {
    let desk = Desk::open();
    let long = format!("/api/v1/streams?filter={}", "x".repeat(8 << 10));
    desk.client.get(&long).problem(414);
    desk.client
        .with("X-Long", &"x".repeat(17 << 10))
        .get("/healthz")
        .problem(431);
    let many = (0..70).fold(desk.client.clone(), |client, at| {
        client.with(&format!("X-{at}"), "x")
    });
    many.get("/healthz").problem(431);
    for path in [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/status",
        "/api/v1/status/",
        "//",
        "/nothing",
    ] {
        desk.client.get(path).problem(404);
    }
    for path in [
        "/style.css/../../../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/Cargo.toml",
    ] {
        desk.client.get(path).problem(404);
    }
}

#[test]
fn a_method_that_is_not_there_is_told_which_are() {
    let desk = Desk::open();
    for (path, allowed) in [
        ("/api/v1/status", "GET,HEAD"),
        ("/api/v1/streams", "GET,HEAD,POST"),
        ("/api/v1/streams/noise", "DELETE,GET,HEAD,PATCH"),
        ("/api/v1/reload", "POST"),
        ("/healthz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ] {
        for method in ["PUT", "OPTIONS", "TRACE", "PROPFIND"] {
            let refused = desk.client.send(method, path, &[], b"");
            refused.problem(405);
            let mut told: Vec<_> = refused.header("allow").unwrap().split(',').collect();
            told.sort_unstable();
            assert_eq!(told.join(","), allowed, "{path}");
        }
    }
    desk.client
        .send("CONNECT", "evil.example:443", &[], b"")
        .problem(421);
}

#[test]
fn heads_are_answered_like_gets_without_the_body() {
    let desk = Desk::open();
    for path in [
        "/api/v1/status",
        "/api/v1/openapi.json",
        "/healthz",
        "/metrics",
        "/",
        "/nothing",
    ] {
        let [got, head] = ["GET", "HEAD"].map(|method| desk.client.send(method, path, &[], b""));
        assert_eq!(got.status, head.status, "{path}");
        assert_eq!(
            got.header("content-type"),
            head.header("content-type"),
            "{path}"
        );
        assert!(head.body.is_empty());
    }
}

#[test]
fn garbage_gets_an_error_or_nothing_and_the_next_is_served() {
    use std::io::Write as _;
    let desk = Desk::open();
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ] {
        let mut stream = desk.client.connect();
        stream.write_all(bytes).unwrap();
        if let Some(answer) = Answer::read(&mut stream, true) {
            assert!([400, 405, 505].contains(&answer.status), "{answer:?}");
        }
        assert_eq!(desk.client.get("/healthz").status, 200);
    }
    assert_eq!(desk.close().ledger_imbalances, 0);
}

#[test]
fn nothing_of_the_server_but_the_page_is_read_from_disk() {
    // Every file that a route reads by a name from outside goes through the folder of recordings.
    let below = |path: &str| -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs")
                    && path.file_name().is_some_and(|name| name != "tests.rs")
                {
                    let text = fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]").next().unwrap();
                    let words = [
                        "std::fs",
                        "fs::",
                        "File::",
                        "OpenOptions",
                        "nix::fcntl",
                        "include!",
                    ];
                    if words.iter().any(|word| code.contains(word)) {
                        found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                    }
                }
            }
        }
        found
    };
    // The token files, which the operator names, /proc of this process, and recordings of the folder
    // that the API started.
    let mut found = below("src/control");
    found.retain(|name| !["tokens.rs", "process.rs", "download.rs"].contains(&&**name));
    assert_eq!(found, [""; 0]);
}
