use proptest::prelude::*;

use super::*;

const WIDE: (u32, u16) = (16_000, 1);

/// The format of a codec's samples where packets and mix are of these.
fn samples_format(codec: Codec, mix: (u32, u16)) -> Format {
    let mix = format(mix);
    codec.format(codec.only().unwrap_or(mix), mix)
}

/// Harmonics of a pitch that wanders, alike on all channels.
fn speech(format: Format, length: usize) -> Vec<i16> {
    let rate = f64::from(format.rate_hz());
    let sample = |n: usize| {
        let t = n as f64 / rate;
        let phase = std::f64::consts::TAU * (140.0 * t + 3.0 * (2.0 * t).sin());
        let harmonics = (1..6).map(|k| (f64::from(k) * phase).sin() / f64::from(k));
        (4_000.0 * harmonics.sum::<f64>() * (0.6 + 0.4 * (9.0 * t).sin())) as i16
    };
    let each = |n| std::iter::repeat_n(sample(n), format.channels().into());
    (0..length).flat_map(each).collect()
}

fn power(samples: impl IntoIterator<Item = i16>) -> f64 {
    samples.into_iter().map(|s| f64::from(s).powi(2)).sum()
}

/// Signal over noise in dB at the delay where it is best, of less than 20 ms.
fn best_snr(sent: &[i16], heard: &[i16], format: Format) -> f64 {
    let channels = usize::from(format.channels());
    let delays = 0..format.rate_hz() as usize / 50;
    let compared = sent.len() / 2;
    let snr = |delay: usize| {
        let heard = &heard[delay * channels..];
        // The beginning, in which codecs adapt, is left out.
        let pairs = sent.iter().zip(heard).skip(compared / 2).take(compared);
        let noise = power(pairs.clone().map(|(a, b)| a.saturating_sub(*b)));
        10.0 * (power(pairs.map(|(a, _)| *a)) / noise.max(1.0)).log10()
    };
    delays.map(snr).fold(f64::MIN, f64::max)
}

fn decoded(codec: Codec, decoder: &mut dyn Decoder, payload: &[u8], format: Format) -> Vec<i16> {
    let samples = codec.samples(payload, format).unwrap();
    let mut out = vec![0; samples * usize::from(format.channels())];
    decoder.decode(payload, &mut out).unwrap();
    out
}

#[test]
fn a_codec_stands_in_its_row_and_is_found_by_its_name() {
    assert_eq!(TABLE.len(), Codec::ALL.len());
    for (index, codec) in Codec::ALL.into_iter().enumerate() {
        assert_eq!(codec as usize, index);
        assert_eq!(Codec::named(&codec.name().to_lowercase()), Some(codec));
    }
    assert_eq!(Codec::named("GSM"), None);
}

#[test]
fn encoded_samples_are_heard_again() {
    for (codec, mix, least_db) in [
        (Codec::Pcmu, WIDE, 34.0),
        (Codec::Pcma, WIDE, 34.0),
        (Codec::L16, (44_100, 2), 90.0),
        (Codec::G722, (48_000, 2), 24.0),
        (Codec::Opus, (8_000, 1), 15.0),
        (Codec::Opus, (16_000, 1), 15.0),
        (Codec::Opus, (44_100, 1), 15.0),
        (Codec::Opus, (48_000, 2), 15.0),
    ] {
        let format = samples_format(codec, mix);
        let packet = format.rate_hz() as usize / 50;
        let sent = speech(format, 20 * packet);
        let (mut encoder, mut decoder) = (codec.encoder(format), codec.decoder(format));
        let mut heard = Vec::new();
        for samples in sent.chunks(packet * usize::from(format.channels())) {
            let mut payload = Vec::new();
            encoder.encode(samples, &mut payload);
            heard.extend(decoded(codec, &mut *decoder, &payload, format));
        }
        assert_eq!(heard.len(), sent.len(), "{codec:?}");
        let snr = best_snr(&sent, &heard, format);
        assert!(snr > least_db, "{codec:?} at {mix:?}: {snr:.1} dB");
    }
}

#[test]
fn a_reset_decoder_is_as_a_new_one() {
    for codec in [Codec::G722, Codec::Opus] {
        let format = samples_format(codec, WIDE);
        let sent = speech(format, 640);
        let mut encoder = codec.encoder(format);
        let payloads: Vec<_> = sent
            .chunks(320)
            .map(|samples| {
                let mut payload = Vec::new();
                encoder.encode(samples, &mut payload);
                payload
            })
            .collect();
        let mut decoder = codec.decoder(format);
        let new = decoded(codec, &mut *decoder, &payloads[0], format);
        decoded(codec, &mut *decoder, &payloads[1], format);
        decoder.reset();
        let again = decoded(codec, &mut *decoder, &payloads[0], format);
        assert_eq!(again, new, "{codec:?}");
    }
}

#[test]
fn only_whole_samples_are_a_payload_of_pcm() {
    let stereo = format((48_000, 2));
    assert_eq!(Codec::L16.samples(&[0; 8], stereo), Ok(2));
    assert_eq!(Codec::L16.samples(&[0; 6], stereo), Err(Malformed));
}

#[derive(Clone, Debug)]
enum Step {
    Decode(Vec<u8>),
    Recover(Vec<u8>, usize),
    Conceal(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        6 => bytes().prop_map(Step::Decode),
        1 => (bytes(), 0..3000usize).prop_map(|(next, length)| Step::Recover(next, length)),
        1 => (0..8000usize).prop_map(Step::Conceal),
    ]
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(
        codec in prop::sample::select(Codec::ALL.to_vec()),
        mix in prop::sample::select(vec![(8_000, 1), (16_000, 2), (44_100, 1), (48_000, 2)]),
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let format = samples_format(codec, mix);
        let channels = usize::from(format.channels());
        let mut decoder = codec.decoder(format);
        for step in steps {
            match step {
                Step::Decode(payload) => if let Ok(samples) = codec.samples(&payload, format) {
                    let _ = decoder.decode(&payload, &mut vec![0; samples * channels]);
                },
                Step::Recover(next, length) => {
                    decoder.recover(&next, &mut vec![0; length * channels]);
                }
                Step::Conceal(length) => {
                    decoder.conceal(&mut vec![0; length * channels]);
                }
            }
        }
    }
}
