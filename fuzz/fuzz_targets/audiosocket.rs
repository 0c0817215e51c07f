//! AudioSocket: what parses does so by its own bytes alone, and is what its header says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::audiosocket::{HEADER_BYTES, Message, audio_header, may_begin, parse};

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    while let Ok(Some((message, taken))) = parse(rest) {
        let (bytes, after) = rest.split_at(taken);
        assert_eq!(parse(bytes), Ok(Some((message, taken))));
        for cut in 0..taken.min(64) {
            assert_eq!(parse(&bytes[..cut]), Ok(None));
        }
        match message {
            Message::Audio { rate_hz, payload } => {
                let header = audio_header(rate_hz, payload.len()).expect("it was read");
                assert_eq!(header, bytes[..HEADER_BYTES]);
            }
            Message::Uuid(uuid) => {
                assert_eq!(
                    (uuid, true),
                    (bytes[HEADER_BYTES..].try_into().unwrap(), may_begin(1))
                );
            }
            _ => {}
        }
        rest = after;
    }
});
