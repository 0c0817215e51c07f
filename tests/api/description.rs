//! The description: it has every route, and every route is there.

use std::{collections::BTreeSet, fs, path::PathBuf};

use mixpool::{config::Config, control::ControlSettings};
use serde_json::{Value, json};

use crate::{
    client::fits,
    desk::{CHANGE, Desk},
};

/// Every file of the control plane but its tests.
fn sources() -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/control")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs")
            {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// The quoted text behind each of these words.
fn quoted<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let after = text.split(word).skip(1);
    after.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_route_of_the_router_is_described() {
    let desk = Desk::open();
    let described = desk.client.description["paths"].as_object().unwrap();
    let texts = sources();
    let declared: BTreeSet<_> = texts
        .iter()
        .flat_map(|text| quoted(text, "path = \"/"))
        .collect();
    assert!(declared.len() > 15, "{declared:?}");
    for path in declared {
        let path = format!("/{path}");
        assert!(described.contains_key(&path), "{path}");
    }
    // Routes that are not made from their declarations.
    let by_hand = texts.iter().flat_map(|text| quoted(text, ".route(\"/"));
    for path in by_hand {
        let sample = format!("/{}", path.replace("{file}", "x.wav").replace("{id}", "x"));
        assert!(described.keys().any(|known| fits(known, &sample)), "{path}");
    }
}

#[test]
fn every_route_that_is_described_is_there() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let changer = desk.client.with_token(CHANGE);
    let endless = ["/api/v1/events", "/api/v1/live", "/listen.wav"];
    let paths = desk.client.description["paths"].as_object().unwrap();
    for (path, item) in paths {
        let names = ["{id}", "{stream}", "{room}"];
        let sample = names
            .iter()
            .fold(path.clone(), |path, name| path.replace(name, "nobody"));
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            if endless.contains(&path.as_str()) {
                continue;
            }
            let answer = changer.send(&method, &sample, &[], b"");
            assert_ne!(answer.status, 405, "{method} {path}");
            let is_fallback = answer.status == 404 && answer.text().contains("there is nothing at");
            assert!(!is_fallback, "{method} {path}");
        }
    }
}

#[test]
fn a_begun_sound_is_by_default_that_of_the_flag() {
    let desk = Desk::open();
    let description = &*desk.client.description;
    let route = &description["paths"]["/api/v1/streams"]["post"];
    let body = &route["requestBody"]["content"]["application/json"]["schema"];
    let name = body["$ref"].as_str().unwrap().trim_start_matches('#');
    let waveform = &description.pointer(name).unwrap()["oneOf"][0]["properties"]["waveform"];
    assert_eq!(waveform["default"], Config::default().values()["waveform"]);
    let sound = json!({ "kind": "synthetic", "id": "x" });
    desk.client.post("/api/v1/streams", &sound).ok(201);
}

#[test]
fn the_description_is_openapi_3_1_and_whole() {
    let desk = Desk::with_tokens(ControlSettings::default());
    let description = &*desk.client.description;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemes = description["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert_eq!(
        schemes.keys().collect::<Vec<_>>(),
        ["basic", "bearer", "session"]
    );
    let mut operations = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} twice");
            assert!(operation["tags"].is_array(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let open = ["/healthz", "/readyz", "/api/v1/session"].contains(&path.as_str());
            assert_eq!(operation.get("security").is_none(), open, "{method} {path}");
        }
    }
    // Each reference leads somewhere.
    let mut values = vec![description];
    while let Some(value) = values.pop() {
        match value {
            Value::Array(array) => values.extend(array),
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.trim_start_matches('#');
                    assert!(description.pointer(pointer).is_some(), "{reference}");
                }
                values.extend(object.values());
            }
            _ => {}
        }
    }
}
