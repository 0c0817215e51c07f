//! Session descriptions: a text is an offer whose answer is one, too, or it is refused in few words.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::sdp::Offer;

fuzz_target!(|text: &str| {
    match text.parse::<Offer>() {
        Ok(offer) => {
            let local = "203.0.113.1:5004".parse().unwrap();
            let answer: Offer = offer.answer(local, 1, true).parse().unwrap();
            assert_eq!(answer.address, local);
            assert_eq!(answer.payloads, offer.payloads);
        }
        Err(error) => assert!(error.to_string().len() < 200, "{error}"),
    }
});
