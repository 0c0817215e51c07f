//! Frames of WebSockets: equal messages in any pieces, none too long, and answers that
//! are frames of a server.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::websocket::{
    CloseCode, Frames, MESSAGE_BYTES_MAX, Message, OPENING_BYTES_MAX, WebSocketError, close,
};

struct Read {
    messages: Vec<Message>,
    error: Option<WebSocketError>,
    replies: Vec<u8>,
}

fn read<'a>(open: bool, pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut frames = Frames::new();
    if open {
        frames.open();
    }
    let mut read = Read {
        messages: Vec::new(),
        error: None,
        replies: Vec::new(),
    };
    for piece in pieces {
        frames.push(piece);
        while read.error.is_none() {
            match frames.next_message() {
                Ok(Some(message)) => read.messages.push(message),
                Ok(None) => break,
                Err(error) => read.error = Some(error),
            }
        }
        frames.take_replies(&mut read.replies);
    }
    if read.error.is_some() {
        // Nothing comes after it.
        frames.push(b"\x82\x80\0\0\0\0");
        assert!(frames.next_message().is_err());
    }
    read
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    let open = first & 1 == 1;
    let whole = read(open, std::iter::once(bytes));
    let pieces = read(open, bytes.chunks(usize::from(first / 2).max(1)));
    assert_eq!(
        (&whole.messages, &whole.error),
        (&pieces.messages, &pieces.error)
    );
    let max = if open {
        MESSAGE_BYTES_MAX
    } else {
        OPENING_BYTES_MAX
    };
    for message in &whole.messages {
        let length = match message {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        };
        assert!(length <= max && length <= bytes.len());
    }
    if let Some(error) = &whole.error {
        assert!(error.to_string().len() < 300, "{error}");
    }
    // Pongs and closes: short, whole, and not masked.
    let mut rest = &whole.replies[..];
    while let [first, length, after @ ..] = rest {
        assert!(matches!(first, 0x88 | 0x8a) && *length <= 125);
        rest = &after[usize::from(*length)..];
    }
    assert!(rest.is_empty());
    let reason = String::from_utf8_lossy(bytes);
    let mut out = Vec::new();
    close(CloseCode::Policy, &reason, &mut out);
    assert!(out.len() <= 127 && std::str::from_utf8(&out[4..]).is_ok());
});
