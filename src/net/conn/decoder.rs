//! Bytes of samples on their way to be samples of another rate and other channels.

use crate::audio::{Converter, Encoding, SampleSpec};

/// Puts samples together that come cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// Bytes that were returned last, and those of the sample that has not come whole yet.
    bytes: Vec<u8>,
    returned: usize,
}

impl Joiner {
    /// The bytes of all samples of all channels that are whole now. The spec is the same each time.
    pub(super) fn join<'a>(&'a mut self, bytes: &'a [u8], spec: SampleSpec) -> &'a [u8] {
        let whole = |length: usize| length - length % spec.instant_bytes();
        self.bytes.drain(..self.returned);
        if self.bytes.is_empty() {
            let (bytes, rest) = bytes.split_at(whole(bytes.len()));
            self.bytes.extend(rest);
            self.returned = 0;
            bytes
        } else {
            self.bytes.extend(bytes);
            self.returned = whole(self.bytes.len());
            &self.bytes[..self.returned]
        }
    }

    /// Whether a sample has come in part.
    pub(super) fn is_within_a_sample(&self) -> bool {
        self.bytes.len() > self.returned
    }
}

/// Decodes samples, and converts them if they are to be other ones: those that are wider than 16 bits before they are
/// rounded.
#[derive(Debug)]
pub(super) struct Decoder {
    form: Encoding,
    converter: Option<Converter>,
    floats: Vec<f32>,
}

impl Decoder {
    pub(super) fn new(form: Encoding, converter: Option<Converter>) -> Self {
        Self {
            form,
            converter,
            floats: Vec::new(),
        }
    }

    /// From now on samples are converted otherwise.
    pub(super) fn set_converter(&mut self, converter: Option<Converter>) {
        self.converter = converter;
    }

    /// Replaces `samples` by those that are ready with these whole ones.
    pub(super) fn decode(&mut self, bytes: &[u8], samples: &mut Vec<i16>) {
        let count = bytes.len() / self.form.bytes_per_sample();
        if let Some(converter) = &mut self.converter {
            self.floats.resize(count, 0.0);
            self.form.decode(bytes, &mut self.floats);
            converter.push(&self.floats);
            pull(converter, samples);
        } else {
            samples.resize(count, 0);
            self.form.decode(bytes, samples);
        }
    }

    /// Replaces `samples` by the last ones: nothing more will come.
    pub(super) fn finish(&mut self, samples: &mut Vec<i16>) {
        samples.clear();
        if let Some(converter) = &mut self.converter {
            converter.finish();
            pull(converter, samples);
        }
    }
}

fn pull(converter: &mut Converter, samples: &mut Vec<i16>) {
    samples.resize(converter.buffered(), 0);
    converter.pull(samples);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audio::Format;

    #[test]
    fn wide_samples_are_rounded_after_they_are_converted() {
        let converter = Converter::new(8_000, 2, Format::new(8_000, 1).unwrap()).unwrap();
        let mut decoder = Decoder::new(Encoding::F32Le, Some(converter));
        let pair = [0.6_f32, 1.6].map(|sample| (sample / 32_768.0).to_le_bytes());
        // Rounded before, they were 1 and 2, and 1.5 between them.
        let mut samples = Vec::new();
        decoder.decode(&pair.concat().repeat(9), &mut samples);
        assert_eq!(samples, [1; 9]);
    }

    proptest! {
        #[test]
        fn samples_are_the_same_however_their_bytes_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(0_usize..9, 1..20),
            encoding in prop::sample::select(vec![Encoding::S16Le, Encoding::MuLaw]),
            channels in 1_u16..4,
        ) {
            let spec = SampleSpec::new(8_000, channels, encoding).unwrap();
            let whole = bytes.len() / spec.instant_bytes() * spec.instant_bytes();
            let (mut joiner, mut joined) = (Joiner::default(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            for _ in 0..2_000 {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                let samples = joiner.join(piece, spec);
                prop_assert!(samples.len().is_multiple_of(spec.instant_bytes()));
                joined.extend_from_slice(samples);
                rest = after;
            }
            joined.extend_from_slice(joiner.join(rest, spec));
            prop_assert_eq!(joined, &bytes[..whole]);
            prop_assert_eq!(joiner.is_within_a_sample(), whole < bytes.len());
        }
    }
}
