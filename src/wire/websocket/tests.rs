use proptest::prelude::*;
use tungstenite::protocol::frame::coding::Control;

use super::*;

const MASK: [u8; 4] = [0xa1, 0x02, 0x73, 0x44];

/// A client's frame, masked or not.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => out.push(bit | length as u8),
        length @ 126..=0xffff => {
            out.push(bit | 0x7e);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(bit | 0x7f);
            out.extend((length as u64).to_be_bytes());
        }
    }
    if masked {
        out.extend(MASK);
        let mask = MASK.iter().cycle();
        out.extend(payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    } else {
        out.extend(payload);
    }
    out
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(0x82, true, payload)
}

/// All messages of some bytes, and why there is no further one.
fn read(frames: &mut Frames, bytes: &[u8]) -> (Vec<Message>, Option<WebSocketError>) {
    frames.push(bytes);
    let mut messages = Vec::new();
    loop {
        match frames.next_message() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn replies(frames: &mut Frames) -> Vec<u8> {
    let mut out = Vec::new();
    frames.take_replies(&mut out);
    out
}

/// With which code a connection is closed for it.
fn code_of(error: &WebSocketError) -> CloseCode {
    match error {
        WebSocketError::Closed => CloseCode::Normal,
        WebSocketError::TooBig { .. } => CloseCode::TooBig,
        WebSocketError::Utf8 => CloseCode::Invalid,
        WebSocketError::Protocol { .. } => CloseCode::Protocol,
    }
}

/// Why some bytes are refused; nothing that comes after them is read.
fn refused(bytes: &[u8]) -> WebSocketError {
    let mut frames = Frames::new();
    let error = read(&mut frames, bytes).1.expect("it is refused");
    let after = read(&mut frames, &binary(&[1]));
    assert_eq!(after, (vec![], Some(error.clone())));
    error
}

#[test]
fn messages_are_read_whatever_pieces_they_come_in() {
    let long = vec![7; 300];
    let bytes = [
        binary(&[1, 2]),
        frame(0x81, true, "gr\u{fc}n".as_bytes()),
        // In three frames, with a ping between them.
        frame(0x02, true, &[3]),
        frame(0x89, true, b"are you there"),
        frame(0x00, true, &[4]),
        frame(0x80, true, &long),
    ]
    .concat();
    let expected = [
        Message::Binary(vec![1, 2].into()),
        Message::Text("gr\u{fc}n".into()),
        Message::Binary([&[3, 4][..], &long].concat().into()),
    ];
    for cut in 0..=bytes.len() {
        let mut frames = Frames::new();
        let (first, second) = bytes.split_at(cut);
        let (mut messages, none) = read(&mut frames, first);
        assert_eq!(none, None);
        let (rest, none) = read(&mut frames, second);
        assert_eq!(none, None);
        messages.extend(rest);
        assert_eq!(messages, expected, "{cut}");
        assert_eq!(replies(&mut frames), frame(0x8a, false, b"are you there"));
        assert!(replies(&mut frames).is_empty());
    }
}

#[test]
fn a_close_is_answered_with_its_own_code_and_ends_all() {
    let mut frames = Frames::new();
    let close = frame(0x88, true, &[&1001_u16.to_be_bytes()[..], b"gone"].concat());
    let (messages, error) = read(&mut frames, &[binary(&[1]), close].concat());
    assert_eq!(messages.len(), 1);
    assert_eq!(error, Some(WebSocketError::Closed));
    let answer = [&1001_u16.to_be_bytes()[..], b"gone"].concat();
    assert_eq!(replies(&mut frames), frame(0x88, false, &answer));
    let (messages, error) = read(&mut frames, &binary(&[2]));
    assert_eq!((messages.len(), error), (0, Some(WebSocketError::Closed)));
}

#[test]
fn what_the_rfc_forbids_is_refused_with_the_code_that_it_names() {
    for (bytes, code) in [
        (frame(0x82, false, &[1]), CloseCode::Protocol),
        // Reserved bits, and kinds that are reserved.
        (frame(0xc2, true, &[1]), CloseCode::Protocol),
        (frame(0x83, true, &[1]), CloseCode::Protocol),
        (frame(0x8b, true, &[1]), CloseCode::Protocol),
        // A continuation of nothing, and a beginning within another.
        (frame(0x80, true, &[1]), CloseCode::Protocol),
        (
            [frame(0x02, true, &[1]), frame(0x82, true, &[1])].concat(),
            CloseCode::Protocol,
        ),
        // A ping that is too long, and one in pieces.
        (frame(0x89, true, &[0; 126]), CloseCode::Protocol),
        (frame(0x09, true, &[1]), CloseCode::Protocol),
        // A close of one byte.
        (frame(0x88, true, &[3]), CloseCode::Protocol),
        (frame(0x81, true, &[0xff, 0xfe]), CloseCode::Invalid),
    ] {
        let error = refused(&bytes);
        assert_eq!(code_of(&error), code, "{error}: {bytes:x?}");
        assert!(error.to_string().len() < 120, "{error}");
    }
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_header_alone() {
    let claimed = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &MASK].concat();
    for length in [OPENING_BYTES_MAX as u64 + 1, 1 << 31, u64::MAX >> 1] {
        let error = refused(&claimed(length));
        assert_eq!(code_of(&error), CloseCode::TooBig, "{error}");
    }
    // In pieces, too.
    let piece = vec![0; OPENING_BYTES_MAX / 2 + 1];
    let pieces = [frame(0x02, true, &piece), frame(0x80, true, &piece)].concat();
    assert_eq!(code_of(&refused(&pieces)), CloseCode::TooBig);
    let mut frames = Frames::new();
    frames.open();
    let (messages, error) = read(&mut frames, &binary(&vec![0; MESSAGE_BYTES_MAX]));
    assert_eq!((messages.len(), error), (1, None));
    let (_, error) = read(&mut frames, &binary(&vec![0; MESSAGE_BYTES_MAX + 1]));
    assert_eq!(code_of(&error.unwrap()), CloseCode::TooBig);
}

#[test]
fn what_is_written_is_a_frame_of_a_server() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let mut out = Vec::new();
        binary_header(length, &mut out);
        out.resize(out.len() + length, 9);
        assert_eq!(out, frame(0x82, false, &vec![9; length]));
    }
    let mut out = Vec::new();
    text("HANGUP", &mut out);
    assert_eq!(out, frame(0x81, false, b"HANGUP"));
}

#[test]
fn a_close_says_its_code_and_as_much_of_its_reason_as_fits() {
    let reason = "\u{fc}".repeat(100);
    let mut out = Vec::new();
    close(CloseCode::TryAgain, &reason, &mut out);
    let payload = [&1013_u16.to_be_bytes()[..], &reason.as_bytes()[..122]].concat();
    assert_eq!(out, frame(0x88, false, &payload));
    assert_eq!(OpCode::Control(Control::Close), OpCode::from(out[0] & 15));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_the_same_in_any_pieces(
        bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400,
    ) {
        let (mut whole, mut parts) = (Frames::new(), Frames::new());
        let (messages, error) = read(&mut whole, &bytes);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let (mut pieces, mut end) = read(&mut parts, first);
        if end.is_none() {
            let (rest, later) = read(&mut parts, second);
            pieces.extend(rest);
            end = later;
        }
        prop_assert_eq!(messages, pieces);
        prop_assert_eq!(error, end);
    }

    #[test]
    fn every_message_comes_as_it_was_sent(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2_000), 0..8),
        cuts in prop::collection::vec(1_usize..500, 1..8),
    ) {
        let bytes: Vec<_> = payloads.iter().flat_map(|payload| binary(payload)).collect();
        let mut frames = Frames::new();
        let mut got = Vec::new();
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            let (messages, error) = read(&mut frames, piece);
            prop_assert_eq!(error, None);
            got.extend(messages);
            rest = after;
        }
        let sent: Vec<_> = payloads.into_iter().map(|payload| Message::Binary(payload.into())).collect();
        prop_assert_eq!(got, sent);
    }
}
