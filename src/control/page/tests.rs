use std::{collections::BTreeSet, fs, path::Path};

use axum::{body, body::Body, http::Request};
use tower::ServiceExt as _;

use super::*;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/page")
}

async fn fetch(path: &str, known: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(known) = known {
        request = request.header(header::IF_NONE_MATCH, known);
    }
    let request = request.body(Body::empty()).unwrap();
    routes::<()>().oneshot(request).await.unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

#[test]
fn every_file_of_the_page_is_served_and_nothing_else_is_there() {
    let served: BTreeSet<_> = ASSETS
        .iter()
        .map(|asset| match asset.name {
            "" => "index.html",
            name => name,
        })
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "tests.rs")
        .collect();
    assert_eq!(served, there);
}

/// The files that a file refers to: modules, worklets, and links of the page.
fn named(body: &str) -> impl Iterator<Item = &str> {
    let quoted = body.split('"').skip(1).step_by(2);
    quoted
        .map(|name| name.split('#').next().unwrap_or(name))
        .map(|name| name.trim_start_matches("./"))
        .filter(|name| {
            let ends = [".js", ".css", ".svg"]
                .iter()
                .any(|end| name.ends_with(end));
            ends && !name.contains(' ')
        })
}

#[test]
fn whatever_a_file_names_is_served() {
    let mut found = 0;
    for asset in &ASSETS {
        for name in named(asset.body) {
            found += 1;
            let served = ASSETS.iter().any(|other| other.name == name);
            assert!(served, "{:?} names {name:?}", asset.name);
        }
    }
    assert!(found > 30, "only {found} names found: the search is broken");
}

#[test]
fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for asset in &ASSETS {
        let html = asset.body;
        for forbidden in [
            " style=\"",
            " onclick=",
            "<style",
            "javascript:",
            "url(",
            "@import",
        ] {
            assert!(!html.contains(forbidden), "{:?}: {forbidden}", asset.name);
        }
        let elsewhere = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!elsewhere.contains("://"), "{:?}", asset.name);
    }
    let page = ASSETS[0].body;
    for script in page.split("<script").skip(1) {
        let inside = script.split_once('>').unwrap().1;
        assert!(inside.starts_with("</script>"), "{inside:.40}");
    }
}

#[test]
fn a_file_has_its_type_and_a_tag_by_which_it_is_not_sent_twice() {
    run(async {
        for asset in &ASSETS {
            let path = format!("/{}", asset.name);
            let whole = fetch(&path, None).await;
            assert_eq!(whole.status(), StatusCode::OK);
            assert_eq!(whole.headers()[header::CONTENT_TYPE], asset.kind);
            assert_eq!(whole.headers()[header::CACHE_CONTROL], "no-cache");
            let tag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
            let body = body::to_bytes(whole.into_body(), usize::MAX).await.unwrap();
            assert_eq!(body, asset.body);

            for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
                let again = fetch(&path, Some(&known)).await;
                assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
                assert_eq!(again.headers()[header::ETAG], *tag);
                let body = body::to_bytes(again.into_body(), usize::MAX).await.unwrap();
                assert!(body.is_empty());
            }
            let other = fetch(&path, Some("\"other\"")).await;
            assert_eq!(other.status(), StatusCode::OK);
        }
    });
}
