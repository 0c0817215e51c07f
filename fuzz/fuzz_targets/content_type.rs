//! Content types: what is taken is audio that there can be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::{
    audio::Format,
    wire::{
        content_type::{ContentType, Samples},
        wav::CHANNELS_MAX,
    },
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<ContentType>() {
        Ok(ContentType::Samples(samples)) => {
            assert!(Format::new(samples.rate_hz, 1).is_ok());
            assert!((1..=CHANNELS_MAX).contains(&samples.channels));
            let again = Samples::new(samples.encoding, samples.rate_hz, samples.channels.into());
            assert_eq!(again, Ok(samples));
        }
        Ok(ContentType::Wav | ContentType::Unsaid) => {}
        Err(error) => assert!(error.to_string().len() < 1_700, "{error}"),
    }
});
