//! Labels of streams: set and taken away by command, shown wherever streams are.

use serde_json::{Value, json};

use crate::{client::JSON, desk::Desk, desk::until};

const TONE: &str = "/api/v1/streams/tone-1";

#[test]
fn a_label_is_changed_alone_and_taken_away_by_null() {
    let desk = Desk::open();
    let label = || desk.client.get(TONE).ok(200)["label"].clone();
    assert_eq!(label(), Value::Null);
    for text in ["Bühne \"links\" \\", "受付 👩\u{200d}🚒", "<script>"] {
        let changed = desk.client.patch(TONE, &json!({ "label": text })).ok(200);
        assert_eq!((&changed["label"], &label()), (&json!(text), &json!(text)));
    }
    // A key that is left out stays.
    let changed = desk.client.patch(TONE, &json!({ "muted": true })).ok(200);
    assert_eq!(changed["label"], "<script>");
    desk.client.patch(TONE, &json!({ "label": null })).ok(200);
    assert_eq!(label(), Value::Null);
}

#[test]
fn what_cannot_be_shown_in_one_line_is_refused() {
    let desk = Desk::open();
    for text in ["", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(129)] {
        let refused = desk
            .client
            .patch(TONE, &json!({ "label": text }))
            .problem(400);
        assert!(refused.contains("a label h"), "{refused}");
        let stream = json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "label": text });
        desk.client.post("/api/v1/streams", &stream).problem(400);
    }
    let raw = |body: &[u8]| desk.client.send("PATCH", TONE, &[JSON], body);
    raw(br#"{"label":7}"#).problem(400);
    raw(br#"{"label":"a","muted":1}"#).problem(400);
    assert_eq!(desk.client.get(TONE).ok(200)["label"], Value::Null);
}

#[test]
fn a_label_is_in_table_filter_metrics_and_report() {
    let desk = Desk::open();
    let text = "Bühne \"links\" \\";
    let stream = json!({ "kind": "synthetic", "id": "x", "waveform": "sine", "label": text });
    let begun = desk.client.post("/api/v1/streams", &stream).ok(201);
    assert_eq!(begun["label"], text);
    let found = until(
        || desk.client.get("/api/v1/streams?filter=b%C3%BChne").ok(200),
        |page| page["total"] == 1,
    );
    assert_eq!(
        (&found["streams"][0]["id"], &found["streams"][0]["label"]),
        (&json!("x"), &json!(text))
    );
    let line = r#"mixpool_stream_info{stream="x",source="synthetic",label="Bühne \"links\" \\"} 1"#;
    until(
        || json!(desk.client.get("/metrics").text()),
        |text| text.as_str().unwrap().contains(line),
    );
    let report = desk.close();
    let labels: Vec<_> = report
        .streams
        .iter()
        .filter_map(|stream| stream.label.as_deref())
        .collect();
    assert_eq!(labels, [text]);
}
