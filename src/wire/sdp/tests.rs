use proptest::prelude::*;

use super::*;

/// As a switch offers a call.
const OFFER: &str = "v=0\r\no=- 3 3 IN IP4 192.0.2.7\r\ns=call\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 16384 RTP/AVP 111 0 18 101 13\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
    a=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n";

fn local() -> SocketAddr {
    "203.0.113.1:5004".parse().unwrap()
}

fn numbers(offer: &Offer) -> Vec<u8> {
    offer.payloads.iter().map(|(number, _)| *number).collect()
}

#[test]
fn an_offer_is_read_for_address_types_and_direction() {
    let offer: Offer = OFFER.parse().unwrap();
    assert_eq!(offer.address, "192.0.2.7:16384".parse().unwrap());
    assert_eq!(numbers(&offer), [111, 0, 101, 13]);
    assert_eq!((offer.direction, offer.mux), (Direction::SendRecv, false));
    // The address of a section stands before that of the session; lines may end with LF alone.
    let text = OFFER
        .replace("\r\n", "\n")
        .replace("a=sendrecv", "c=IN IP6 2001:db8::7\na=sendonly\na=rtcp-mux");
    let offer: Offer = text.parse().unwrap();
    assert_eq!(offer.address, "[2001:db8::7]:16384".parse().unwrap());
    assert_eq!((offer.direction, offer.mux), (Direction::SendOnly, true));
}

#[test]
fn the_answer_has_the_types_that_are_known() {
    let offer: Offer = OFFER.parse().unwrap();
    assert_eq!(
        offer.answer(local(), 9, true),
        "v=0\r\no=- 9 0 IN IP4 203.0.113.1\r\ns=mixpool\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n\
         m=audio 5004 RTP/AVP 111 0 101 13\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000/1\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=sendrecv\r\n"
    );
}

#[test]
fn the_answer_refuses_other_media_in_their_place() {
    let text =
        OFFER.replace("m=audio", "m=video 4000 RTP/AVP 31\r\nm=audio") + "m=text 5 RTP/AVP 98\r\n";
    let offer: Offer = text.parse().unwrap();
    let answer = offer.answer(local(), 9, true);
    let media: Vec<_> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        media,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 5004 RTP/AVP 111 0 101 13",
            "m=text 0 RTP/AVP 98"
        ]
    );
}

#[test]
fn the_answers_direction_is_the_offers_from_the_other_side() {
    for (offered, sends, answered) in [
        ("sendrecv", true, "sendrecv"),
        ("sendrecv", false, "recvonly"),
        ("sendonly", true, "recvonly"),
        ("recvonly", true, "sendonly"),
        ("inactive", true, "inactive"),
    ] {
        let offer: Offer = OFFER.replace("sendrecv", offered).parse().unwrap();
        let answer = offer.answer(local(), 9, sends);
        assert!(answer.ends_with(&format!("a={answered}\r\n")), "{answer}");
    }
}

#[test]
fn an_offer_that_cannot_be_answered_is_refused_with_its_line() {
    let refused = |from: &str, to: &str| OFFER.replace(from, to).parse::<Offer>().unwrap_err();
    assert_eq!("".parse::<Offer>(), Err(SdpError::Version));
    assert_eq!(refused("v=0", "v=1"), SdpError::Version);
    assert_eq!(refused("RTP/AVP", "RTP/SAVP"), SdpError::NoAudio);
    assert_eq!(refused("audio 16384", "audio 0"), SdpError::NoAudio);
    assert_eq!(
        refused("192.0.2.7\r\nt", "0.0.0.0\r\nt"),
        SdpError::NoAddress
    );
    assert_eq!(refused("111 0 18 101 13", "18 101"), SdpError::NoCodec);
    for (from, to, line) in [
        ("c=IN IP4 192.0.2.7", "c=IN IP4 host.example", 4),
        ("c=IN IP4 192.0.2.7", "c=IP4", 4),
        ("m=audio 16384", "m=audio x", 6),
        ("a=rtpmap:18 ", "a=rtpmap:18", 9),
        ("s=call", "call", 3),
    ] {
        let error = refused(from, to);
        assert!(
            matches!(error, SdpError::Line { line: named, .. } if named == line),
            "{error}"
        );
    }
    let long = OFFER.to_owned() + &"a=x\r\n".repeat(4_000);
    assert!(matches!(
        long.parse::<Offer>(),
        Err(SdpError::TooLong { .. })
    ));
    let sections = OFFER.to_owned() + &"m=video 1 RTP/AVP 31\r\n".repeat(16);
    assert!(matches!(
        sections.parse::<Offer>(),
        Err(SdpError::Line { .. })
    ));
}

#[test]
fn a_description_is_an_offer_of_the_same_types() {
    let payloads = vec![
        (96, "L16/16000".parse().unwrap()),
        (0, "PCMU/8000".parse().unwrap()),
        (101, Payload::TelephoneEvent),
    ];
    let offer: Offer = describe(local(), 1, &payloads, false).parse().unwrap();
    assert_eq!((offer.address, offer.payloads), (local(), payloads));
    assert_eq!(offer.direction, Direction::RecvOnly);
}

/// Lines of an offer, some of them broken.
fn texts() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => proptest::sample::select(OFFER.lines().map(str::to_owned).collect::<Vec<_>>()),
        1 => "[a-z]=[ -~]{0,40}",
        1 => "m=(audio|video) [0-9]{1,6} RTP/AVP [0-9 ]{0,20}",
        1 => "a=rtpmap:[0-9]{1,4} [A-Za-z0-9/]{0,20}",
        1 => "c=IN IP[46] [0-9a-f.:/]{0,20}",
    ];
    prop::collection::vec(line, 0..30).prop_map(|lines| format!("v=0\r\n{}", lines.join("\r\n")))
}

proptest! {
    #[test]
    fn any_text_is_an_offer_with_an_answer_or_refused(text in texts()) {
        if let Ok(offer) = text.parse::<Offer>() {
            let answer: Offer = offer.answer(local(), 1, true).parse().unwrap();
            prop_assert_eq!(answer.address, local());
            prop_assert_eq!(answer.payloads, offer.payloads);
            prop_assert_eq!(answer.media.len(), offer.media.len());
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = text.parse::<Offer>();
        let _ = format!("v=0\n{text}").parse::<Offer>();
    }
}
