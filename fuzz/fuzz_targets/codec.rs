//! Encodings: the first byte chooses one, the rest is decoded, encoded and decoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixpool::audio::Encoding;

const ENCODINGS: [Encoding; 15] = [
    Encoding::MuLaw,
    Encoding::ALaw,
    Encoding::S16Be,
    Encoding::S16Le,
    Encoding::U8,
    Encoding::S24Be,
    Encoding::S24Le,
    Encoding::S24In32Be,
    Encoding::S24In32Le,
    Encoding::S32Be,
    Encoding::S32Le,
    Encoding::F32Be,
    Encoding::F32Le,
    Encoding::F64Be,
    Encoding::F64Le,
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let encoding = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
    let count = bytes.len() / encoding.bytes_per_sample();
    let bytes = &bytes[..count * encoding.bytes_per_sample()];
    let decode = |bytes: &[u8]| {
        let mut samples = vec![0; count];
        encoding.decode(bytes, &mut samples);
        samples
    };
    let samples = decode(bytes);
    let mut encoded = vec![0; bytes.len()];
    encoding.encode(&samples, &mut encoded);
    assert_eq!(decode(&encoded), samples);
    if encoding.bytes_per_sample() > 2 {
        return;
    }
    for (ours, theirs) in encoded.iter().zip(bytes) {
        // The second zero of mu-law becomes the first.
        assert!(
            ours == theirs || (encoding == Encoding::MuLaw && (*ours, *theirs) == (0xff, 0x7f))
        );
    }
});
