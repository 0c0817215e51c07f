//! Text messages over WebSockets: `chan_websocket`, Twilio, jambonz and Vonage. Parsed messages can be
//! obeyed, and errors are short.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::{
    audio::Format,
    wire::{id::is_id, linear, media, twilio},
};

/// Beyond what it quotes of the input: each of its characters, escaped.
const WORDS: usize = 1_700;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match media::parse(text) {
        Ok(media::Event::Start(start)) => {
            assert!(Format::new(start.spec.rate_hz(), 1).is_ok());
            assert!(is_id(&start.connection_id));
            assert_ne!(start.frame_bytes, Some(0));
        }
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() < WORDS, "{error}"),
    }
    match twilio::parse(text) {
        Ok(twilio::Event::Start {
            stream_sid, room, ..
        }) => {
            assert!(is_id(&stream_sid));
            assert!(room.is_none_or(|room| is_id(&room)));
            // It goes into what is sent back.
            let mut message = twilio::prefix(&stream_sid).into_bytes();
            twilio::encode(bytes, &mut message);
            message.extend(twilio::SUFFIX.as_bytes());
            let message = String::from_utf8(message).expect("it is JSON");
            let Ok(twilio::Event::Media { payload, .. }) = twilio::parse(&message) else {
                panic!("{message}")
            };
            assert_eq!(payload, bytes);
        }
        Ok(twilio::Event::Media { payload, .. }) => assert!(payload.len() < text.len()),
        Ok(_) => {}
        Err(error) => assert!(error.to_string().len() < WORDS, "{error}"),
    }
    match linear::opening(text) {
        Ok(opening) => {
            assert!(Format::new(opening.spec.rate_hz(), 1).is_ok());
            assert!(opening.call_id.is_none_or(|id| is_id(&id)));
        }
        Err(error) => assert!(error.to_string().len() < WORDS, "{error}"),
    }
    let _ = linear::event(text);
});
