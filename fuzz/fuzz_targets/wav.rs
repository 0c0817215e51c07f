//! Streamed WAV headers: the first byte says in which pieces the others come, which changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::{
    audio::format::{RATE_HZ_MAX, RATE_HZ_MIN},
    wire::wav::{CHANNELS_MAX, HeaderReader},
};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else {
        return;
    };
    let whole = HeaderReader::default().push(bytes);
    let mut reader = HeaderReader::default();
    let mut taken = 0;
    let mut pieces = Ok((0, None));
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        pieces = reader.push(piece).map(|(bytes, layout)| {
            taken += bytes;
            (taken, layout)
        });
        if !matches!(pieces, Ok((_, None))) {
            break;
        }
    }
    assert_eq!(pieces, whole);
    if let Ok((taken, Some(layout))) = whole {
        assert!(taken <= bytes.len());
        assert!((1..=CHANNELS_MAX).contains(&layout.channels));
        assert!((RATE_HZ_MIN..=RATE_HZ_MAX).contains(&layout.rate_hz));
        assert_ne!(layout.data_bytes, Some(0));
    }
});
