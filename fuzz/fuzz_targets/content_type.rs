//! Content types: a text is read, or refused in few words.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::content_type::ContentType;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = text.parse::<ContentType>() {
        assert!(error.to_string().len() < 1_700, "{error}");
    }
});
