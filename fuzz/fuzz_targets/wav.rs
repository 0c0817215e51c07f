//! WAV headers: the first byte says in which pieces the others come, which changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::wire::wav::HeaderReader;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else {
        return;
    };
    let whole = HeaderReader::default().push(bytes);
    let mut reader = HeaderReader::default();
    let mut taken = 0;
    let mut pieces = Ok((0, None));
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        pieces = reader.push(piece).map(|(bytes, header)| {
            taken += bytes;
            (taken, header)
        });
        if !matches!(pieces, Ok((_, None))) {
            break;
        }
    }
    assert_eq!(pieces, whole);
    if let Ok((taken, Some(header))) = whole {
        assert!(taken <= bytes.len());
        let instant_bytes = header.spec.instant_bytes() as u64;
        for present in [None, Some((bytes.len() - taken) as u64)] {
            let data_bytes = header.data_bytes(present);
            assert!(data_bytes.is_none_or(|bytes| bytes >= instant_bytes));
        }
    }
});
