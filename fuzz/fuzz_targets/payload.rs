//! Entries of payload maps: what is refused leaves no trace, what is taken reads as it is written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::payload::{Payload, PayloadMap};

fuzz_target!(|entry: &str| {
    let mut map = PayloadMap::default();
    match map.define(entry) {
        Ok(payload_type) => match map.get(payload_type) {
            Payload::Audio(audio) => {
                assert_eq!(audio.to_string().parse(), Ok(Payload::Audio(audio)));
            }
            Payload::ComfortNoise | Payload::TelephoneEvent => {}
            Payload::Unsupported => panic!("'{entry}' was taken for nothing"),
        },
        Err(error) => {
            assert!(error.to_string().contains(entry));
            assert_eq!(map, PayloadMap::default());
        }
    }
});
