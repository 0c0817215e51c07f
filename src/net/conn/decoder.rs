//! Bytes of samples on their way to be samples: they come cut anywhere.

use crate::audio::{Encoding, SampleSpec};

/// The decoded samples of one connection.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a sample of all channels that has not come whole yet.
    carry: Vec<u8>,
    samples: Vec<i16>,
}

impl Decoder {
    /// The samples that are whole now, interleaved. The spec is the same each time.
    pub(super) fn decode(&mut self, bytes: &[u8], spec: SampleSpec) -> &[i16] {
        let (encoding, bytes_each) = (spec.form(), spec.instant_bytes());
        let missing = match self.carry.len() {
            0 => 0,
            carried => (bytes_each - carried).min(bytes.len()),
        };
        let (missing, bytes) = bytes.split_at(missing);
        self.carry.extend(missing);
        self.samples.clear();
        if self.carry.len() == bytes_each {
            decode(encoding, &self.carry, &mut self.samples);
            self.carry.clear();
        }
        let (whole, rest) = bytes.split_at(bytes.len() / bytes_each * bytes_each);
        decode(encoding, whole, &mut self.samples);
        self.carry.extend(rest);
        &self.samples
    }

    /// Whether a sample has come in part.
    pub(super) fn is_within_a_sample(&self) -> bool {
        !self.carry.is_empty()
    }
}

/// Appends whole samples.
fn decode(encoding: Encoding, bytes: &[u8], samples: &mut Vec<i16>) {
    let start = samples.len();
    samples.resize(start + bytes.len() / encoding.bytes_per_sample(), 0);
    encoding.decode(bytes, &mut samples[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_are_the_same_however_their_bytes_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(0_usize..9, 1..20),
            encoding in prop::sample::select(vec![Encoding::S16Le, Encoding::MuLaw]),
            channels in 1_u16..4,
        ) {
            let spec = SampleSpec::new(8_000, channels, encoding).unwrap();
            let bytes_each = spec.instant_bytes();
            let whole = bytes.len() / bytes_each * bytes_each;
            let mut expected = vec![0; whole / encoding.bytes_per_sample()];
            encoding.decode(&bytes[..whole], &mut expected);
            let (mut decoder, mut samples) = (Decoder::default(), Vec::<i16>::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            for _ in 0..2_000 {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                samples.extend(decoder.decode(piece, spec));
                rest = after;
            }
            samples.extend(decoder.decode(rest, spec));
            prop_assert_eq!(samples, expected);
            prop_assert_eq!(decoder.is_within_a_sample(), whole < bytes.len());
        }
    }
}
