//! First lines: what is taken names a stream that can be, and bytes after the line change nothing of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::{
    audio::Format,
    wire::{
        hello::{LINE_BYTES_MAX, Parsed, parse},
        id::is_id,
    },
};

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    match &parsed {
        Ok(Parsed::Hello(hello, taken)) => {
            assert!(*taken <= LINE_BYTES_MAX && bytes[..*taken].ends_with(b"\n"));
            assert_eq!(parse(&bytes[..*taken]), parsed);
            let (rate_hz, channels) = (hello.rate_hz.unwrap_or(8_000), hello.channels.unwrap_or(1));
            assert!(Format::new(rate_hz, channels).is_ok());
            if let Some(id) = &hello.id {
                assert!(is_id(id), "{id}");
            }
            if let Some(room) = &hello.room {
                assert!(is_id(room), "{room}");
            }
        }
        Ok(Parsed::Partial) => assert!(bytes.len() < LINE_BYTES_MAX),
        Ok(Parsed::Absent) => {
            assert_eq!(parse(&[bytes, b"more"].concat()), Ok(Parsed::Absent));
        }
        // An error is short, and quotes at most the line, each of its bytes escaped.
        Err(error) => assert!(error.to_string().len() < 2 * LINE_BYTES_MAX + 200),
    }
});
