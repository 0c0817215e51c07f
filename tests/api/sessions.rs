//! Tokens, sessions and their rights.

use mixpool::control::ControlSettings;
use serde_json::json;

use crate::desk::{CHANGE, Desk, READ, until};

/// Routes that tell something.
const LOOKING: [&str; 9] = [
    "/api/v1/status",
    "/api/v1/streams",
    "/api/v1/streams/noise",
    "/api/v1/recordings",
    "/api/v1/events/recent",
    "/api/v1/listeners",
    "/api/v1/config",
    "/api/v1/openapi.json",
    "/metrics",
];

#[test]
fn each_token_opens_what_it_is_for() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let nobody = &desk.client;
    let [wrong, reader, changer] =
        ["a-token-that-is-none", READ, CHANGE].map(|token| nobody.with_token(token));
    let ready = || json!(nobody.get("/readyz").status);
    until(ready, |status| status == 200);
    for path in ["/healthz", "/readyz", "/", "/style.css", "/api/v1/session"] {
        for client in [nobody, &wrong, &reader, &changer] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
    for path in LOOKING {
        for client in [nobody, &wrong] {
            assert_eq!(client.get(path).status, 401, "{path}");
            assert_eq!(client.send("HEAD", path, &[], b"").status, 401, "{path}");
        }
        for client in [&reader, &changer] {
            assert_eq!(client.get(path).status, 200, "{path}");
        }
    }
    for path in [
        "/listen.wav",
        "/listen/noise.wav",
        "/ws/listen",
        "/api/v1/live",
        "/api/v1/events",
    ] {
        assert_eq!(nobody.get(path).status, 401, "{path}");
    }
    let changes = [
        ("POST", "/api/v1/streams"),
        ("PATCH", "/api/v1/streams/noise"),
        ("DELETE", "/api/v1/streams/noise"),
        ("DELETE", "/api/v1/mute"),
        ("DELETE", "/api/v1/solo"),
        ("POST", "/api/v1/recordings"),
        ("DELETE", "/api/v1/recordings/999"),
        ("POST", "/api/v1/reload"),
        ("POST", "/ingest/a"),
        ("PUT", "/ingest/a"),
        ("GET", "/ws/ingest?id=a&rate=8000"),
    ];
    for (method, path) in changes {
        for client in [nobody, &wrong] {
            assert_eq!(client.send(method, path, &[], b"").status, 401, "{path}");
        }
        assert_eq!(reader.send(method, path, &[], b"").status, 403, "{path}");
    }
    assert_eq!(nobody.get("/api/v1/streams/noise").status, 401);
    let changed = changer.patch("/api/v1/streams/noise", &json!({ "muted": true }));
    assert_eq!(changed.ok(200)["muted"], true);
    // A missing path is not disclosed; of a present one, no more than that.
    assert_eq!(nobody.get("/api/v1/nothing").status, 404);
    assert_eq!(nobody.send("PUT", "/api/v1/status", &[], b"").status, 401);
    assert_eq!(changer.send("PUT", "/api/v1/status", &[], b"").status, 405);
}

#[test]
fn who_is_not_let_in_is_told_how_to_be() {
    let desk = Desk::with_tokens(ControlSettings::default());
    // A browser would ask its user in a window of its own, where the page has a place for it.
    let refused = desk.client.get("/api/v1/status");
    assert_eq!(
        refused.all("www-authenticate"),
        ["Bearer realm=\"mixpool\""]
    );
    // Players have none.
    for (method, path) in [
        ("GET", "/listen.wav"),
        ("GET", "/listen/a.wav"),
        ("PUT", "/ingest/a"),
    ] {
        let refused = desk.client.send(method, path, &[], b"");
        assert_eq!(
            refused.all("www-authenticate"),
            ["Bearer realm=\"mixpool\"", "Basic realm=\"mixpool\""]
        );
    }
    let refused = desk
        .client
        .with_token("a-token-that-is-none")
        .get("/api/v1/status");
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("invalid_token")
    );
    // base64 of `x:the-token-that-reads`
    let basic = desk
        .client
        .with("Authorization", "Basic eDp0aGUtdG9rZW4tdGhhdC1yZWFkcw==");
    assert_eq!(basic.get("/api/v1/status").status, 200);
    assert_eq!(basic.delete("/api/v1/streams/noise").status, 403);
}

#[test]
fn a_session_stands_for_its_token_until_it_ends() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let begin = |token: &str| {
        desk.client
            .post("/api/v1/session", &json!({ "token": token }))
    };
    for (token, access, change) in [(READ, "read", 403), (CHANGE, "change", 200)] {
        let begun = begin(token);
        assert_eq!(
            begun.ok(200),
            json!({ "access": access, "token_needed": true })
        );
        let cookie = begun.header("set-cookie").unwrap();
        for part in [
            "; Path=/",
            "; HttpOnly",
            "; SameSite=Strict",
            "; Max-Age=43200",
        ] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains(token));
        let browser = desk
            .client
            .with("Cookie", cookie.split(';').next().unwrap());
        assert_eq!(browser.get("/api/v1/session").ok(200)["access"], access);
        assert_eq!(browser.get("/api/v1/status").status, 200);
        let changed = browser.patch("/api/v1/streams/noise", &json!({ "muted": true }));
        assert_eq!(changed.status, change);
        let ended = browser.delete("/api/v1/session");
        assert_eq!(ended.status, 204);
        assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert_eq!(browser.get("/api/v1/status").status, 401);
        assert_eq!(browser.get("/api/v1/session").ok(200)["access"], "none");
    }
    begin("a-token-that-is-none").problem(401);
    begin("").problem(401);
    desk.client
        .post("/api/v1/session", &json!({ "token": 1 }))
        .problem(400);
    desk.client
        .post("/api/v1/session", &json!({ "token": CHANGE, "x": 1 }))
        .problem(400);
    assert_eq!(desk.client.delete("/api/v1/session").status, 204);
}

#[test]
fn without_tokens_everybody_on_this_machine_may_do_all() {
    let desk = Desk::open();
    let session = desk.client.get("/api/v1/session").ok(200);
    assert_eq!(
        session,
        json!({ "access": "change", "token_needed": false })
    );
    let begun = desk
        .client
        .post("/api/v1/session", &json!({ "token": "anything" }));
    assert_eq!(begun.status, 200);
    assert_eq!(begun.header("set-cookie"), None);
    let description = &desk.client.description;
    assert!(description["components"].get("securitySchemes").is_none());
    assert!(
        description["paths"]["/api/v1/status"]["get"]
            .get("security")
            .is_none()
    );
}
