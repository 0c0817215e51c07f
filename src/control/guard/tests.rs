use axum::{Router, body::Body, middleware::from_fn, routing::get};
use tokio::{runtime, task::yield_now};
use tower::ServiceExt as _;

use super::*;

fn local(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn names() -> Vec<String> {
    vec!["mix.example".to_owned()]
}

#[test]
fn hosts_that_lead_nowhere_else_are_ours_and_names_are_not() {
    for (host, reached) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.1"),
        ("[::1]", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "::1"),
        ("mixer.localhost", "::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("Mix.Example", "192.0.2.7"),
    ] {
        assert!(is_ours(host, local(reached), &names()), "{host}");
    }
    for (host, reached) in [
        ("evil.example", "127.0.0.1"),
        ("mix.example.evil", "127.0.0.1"),
        ("localhost.evil", "127.0.0.1"),
        ("notlocalhost", "127.0.0.1"),
        ("192.0.2.8", "192.0.2.7"),
        ("127.0.0.1", "192.0.2.7"),
        ("127.0.0.1.nip.io", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        assert!(!is_ours(host, local(reached), &names()), "{host}");
    }
}

#[test]
fn only_our_own_page_or_no_page_may_change_anything() {
    let ours = Authority::from_static("127.0.0.1:8080");
    let checked = |fields: &[(&'static str, &'static str)]| {
        let headers = fields
            .iter()
            .map(|&(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        same_origin(&headers, &ours, &names()).is_ok()
    };
    for fields in [
        &[][..],
        &[("origin", "http://127.0.0.1:8080")],
        &[
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "same-origin"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://mix.example")],
    ] {
        assert!(checked(fields), "{fields:?}");
    }
    for fields in [
        &[("origin", "null")][..],
        &[("origin", "")],
        &[("origin", "http://127.0.0.1:8081")],
        &[("origin", "http://127.0.0.1")],
        &[("origin", "https://mix.example:8443")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:8080.evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        assert!(!checked(fields), "{fields:?}");
    }
}

#[test]
fn a_default_port_is_none() {
    let ours = |text| without_default_port(&Authority::from_static(text));
    assert_eq!(ours("Mix.example:443"), ours("mix.example"));
    assert_ne!(ours("mix.example:8443"), ours("mix.example"));
}

#[test]
fn a_panic_is_a_problem_and_the_next_request_is_answered() {
    let routes = Router::new()
        .route(
            "/at-once",
            get(|| async { panic!("crossed wires") as String }),
        )
        .route(
            "/later",
            get(|| async {
                yield_now().await;
                panic!("crossed wires") as String
            }),
        )
        .route("/fine", get(|| async { "fine" }))
        .layer(from_fn(|request: Request, next: Next| {
            finished(next.run(request))
        }));
    let ask = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let policy = head.headers.get(header::CONTENT_SECURITY_POLICY);
        assert_eq!(policy.unwrap(), CONTENT_SECURITY_POLICY);
        let kind = head.headers[header::CONTENT_TYPE].to_str().unwrap();
        let body = to_bytes(body, 1 << 10).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), kind.to_owned(), body)
    };
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for path in ["/at-once", "/later"] {
            let (status, kind, body) = ask(path).await;
            assert_eq!((status, &*kind), (500, MEDIA_TYPE));
            // Details that strangers need not know are in the log.
            assert!(body.contains("the mix is not touched") && !body.contains("wires"));
            let (status, _, body) = ask("/fine").await;
            assert_eq!((status, &*body), (200, "fine"));
        }
    });
}
