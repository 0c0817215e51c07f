use super::*;
use proptest::prelude::*;
use std::f64::consts::TAU;

fn converter(source_hz: u32, source_channels: u16, bus_hz: u32, bus_channels: u16) -> Converter {
    Converter::new(
        source_hz,
        source_channels,
        Format::new(bus_hz, bus_channels).unwrap(),
    )
    .unwrap()
}

/// Pushes all of `input` in chunks of at most `chunk` samples, and pulls all there is.
fn convert(mut converter: Converter, input: &[f32], chunk: usize) -> Vec<i16> {
    let mut out = Vec::new();
    let mut drain = |converter: &mut Converter| {
        let start = out.len();
        out.resize(start + converter.buffered(), 0);
        assert_eq!(converter.pull(&mut out[start..]), out.len() - start);
    };
    for chunk in input.chunks(chunk) {
        converter.push(chunk);
        drain(&mut converter);
    }
    converter.finish();
    drain(&mut converter);
    out
}

fn sine(rate_hz: u32, tone_hz: f64, samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|n| (0.9 * (n as f64 * tone_hz / f64::from(rate_hz) * TAU).sin()) as f32)
        .collect()
}

fn power(samples: impl Iterator<Item = f64>) -> f64 {
    samples.map(|sample| sample * sample).sum()
}

/// Signal to noise in dB of a converted tone against the same tone made at the bus's rate, leaving
/// out 50 ms at either end.
fn snr_db(source_hz: u32, bus_hz: u32, tone_hz: f64) -> f64 {
    let out = convert(
        converter(source_hz, 1, bus_hz, 1),
        &sine(source_hz, tone_hz, source_hz as usize),
        777,
    );
    let edge = bus_hz as usize / 20;
    let ideal = |n: usize| 0.9 * 32_768.0 * (n as f64 * tone_hz / f64::from(bus_hz) * TAU).sin();
    let range = edge..out.len() - edge;
    let noise = power(range.clone().map(|n| f64::from(out[n]) - ideal(n)));
    10.0 * (power(range.map(ideal)) / noise).log10()
}

#[test]
fn a_tone_keeps_its_frequency_level_and_phase() {
    // The last three are odd pairs, with interpolated sincs.
    let pairs = [
        (44_100, 8_000),
        (48_000, 8_000),
        (16_000, 8_000),
        (11_025, 8_000),
        (8_000, 48_000),
        (44_100, 48_000),
        (44_101, 8_000),
        (8_000, 44_101),
        (47_999, 44_101),
    ];
    for (source_hz, bus_hz) in pairs {
        for share in [0.02, 0.25, 0.8] {
            let tone_hz = f64::from(source_hz.min(bus_hz)) / 2.0 * share;
            let snr = snr_db(source_hz, bus_hz, tone_hz);
            assert!(
                snr > 75.0,
                "{source_hz} to {bus_hz} Hz at {tone_hz} Hz: {snr} dB"
            );
        }
    }
}

#[test]
fn a_tone_above_the_new_nyquist_is_rejected() {
    for source_hz in [11_025, 16_000, 44_100, 48_000, 44_101] {
        for tone_hz in [4_050.0, 4_700.0, 5_400.0] {
            let out = convert(
                converter(source_hz, 1, 8_000, 1),
                &sine(source_hz, tone_hz, source_hz as usize),
                777,
            );
            let inner = &out[400..out.len() - 400];
            let alias = power(inner.iter().map(|&sample| sample.into())) / inner.len() as f64;
            let tone = (0.9f64 * 32_768.0).powi(2) / 2.0;
            let rejection_db = 10.0 * (tone / alias.max(f64::MIN_POSITIVE)).log10();
            assert!(
                rejection_db > 80.0,
                "{tone_hz} Hz from {source_hz} Hz: {rejection_db} dB"
            );
        }
    }
}

#[test]
fn an_impulse_comes_out_where_it_went_in() {
    for (source_hz, bus_hz) in [
        (44_100, 8_000),
        (48_000, 8_000),
        (8_000, 44_100),
        (11_025, 8_000),
        (44_101, 8_000),
    ] {
        for at in [0, 1, 999, 5_000, 9_999] {
            let mut input = vec![0.0; 10_000];
            input[at] = 1.0;
            let out = convert(converter(source_hz, 1, bus_hz, 1), &input, 100);
            let peak = (0..out.len())
                .max_by_key(|&n| out[n].unsigned_abs())
                .unwrap();
            let expected = at as f64 * f64::from(bus_hz) / f64::from(source_hz);
            assert!(
                (peak as f64 - expected).abs() <= 1.0,
                "{source_hz} to {bus_hz} Hz: {at} came at {peak}"
            );
        }
    }
}

#[test]
fn channels_are_kept_spread_or_averaged() {
    let input = [0.5, 0.25, -0.5, 1.0, 0.0, 0.5];
    let run = |source, bus| convert(converter(8_000, source, 8_000, bus), &input, 6);
    assert_eq!(run(1, 1), [16_384, 8_192, -16_384, 32_767, 0, 16_384]);
    assert_eq!(
        run(1, 2),
        [
            16_384, 16_384, 8_192, 8_192, -16_384, -16_384, 32_767, 32_767, 0, 0, 16_384, 16_384
        ]
    );
    assert_eq!(run(2, 1), [12_288, 8_192, 8_192]);
    assert_eq!(run(2, 2), run(1, 1));
    assert_eq!(run(3, 1), [2_731, 16_384]);
    assert_eq!(run(3, 2), [2_731, 2_731, 16_384, 16_384]);
}

#[test]
fn resampled_stereo_keeps_its_channels_apart() {
    let (left, right) = (sine(44_100, 440.0, 20_000), sine(44_100, 1_000.0, 20_000));
    let both: Vec<f32> = left
        .iter()
        .zip(&right)
        .flat_map(|(&left, &right)| [left, right])
        .collect();
    let out = convert(converter(44_100, 2, 8_000, 2), &both, 1_000);
    for (channel, alone) in [left, right].iter().enumerate() {
        let alone = convert(converter(44_100, 1, 8_000, 1), alone, 1_000);
        assert!(out.iter().skip(channel).step_by(2).eq(&alone));
    }
}

#[test]
fn values_beyond_full_scale_saturate_and_no_number_is_silence() {
    let input = [
        1.5,
        -1.5,
        f32::MAX,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let out = convert(converter(8_000, 1, 8_000, 1), &input, 6);
    assert_eq!(out, [32_767, -32_768, 32_767, 0, 0, 0]);
    let resampled = convert(converter(48_000, 2, 8_000, 1), &[f32::NAN; 2_000], 200);
    assert!(resampled.iter().all(|&sample| sample == 0));
}

#[test]
fn sources_out_of_range_are_refused_with_the_range() {
    let bus = Format::new(8_000, 1).unwrap();
    let message = |rate_hz, channels| {
        Converter::new(rate_hz, channels, bus)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(999, 1),
        "a source of 999 Hz cannot be converted: its rate must be 1000 to 384000 Hz"
    );
    assert_eq!(
        message(8_000, 0),
        "a source without channels cannot be converted"
    );
}

#[test]
fn the_extreme_ratios_work() {
    assert_eq!(
        convert(converter(384_000, 1, 1_000, 1), &[0.0; 3_840], 999).len(),
        10
    );
    assert_eq!(
        convert(converter(1_000, 1, 384_000, 2), &[0.0; 10], 3).len(),
        7_680
    );
    assert_eq!(
        convert(converter(383_999, 1, 1_000, 1), &vec![0.0; 5_000], 999).len(),
        13
    );
}

#[test]
#[should_panic(expected = "3 samples of 2 channels were pushed")]
fn half_a_frame_is_a_bug_of_the_caller() {
    converter(8_000, 2, 8_000, 1).push(&[0.0; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equal_rates_give_every_16_bit_sample_back(samples: Vec<i16>, chunk in 1usize..300) {
        let input: Vec<f32> = samples.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
        prop_assert_eq!(convert(converter(16_000, 1, 16_000, 1), &input, chunk), samples);
    }

    #[test]
    fn the_length_is_the_rounded_share_and_cutting_changes_nothing(
        source_hz in prop::sample::select(vec![8_000u32, 11_025, 16_000, 22_050, 44_100, 48_000, 12_345]),
        bus_hz in prop::sample::select(vec![8_000u32, 16_000, 44_100, 48_000]),
        input in prop::collection::vec(-1f32..1.0, 0..3_000),
        chunk in 1usize..700,
    ) {
        let out = convert(converter(source_hz, 1, bus_hz, 1), &input, chunk);
        let (source, bus, len) = (u64::from(source_hz), u64::from(bus_hz), input.len() as u64);
        prop_assert_eq!(out.len() as u64, (2 * len * bus + source) / (2 * source));
        prop_assert_eq!(out, convert(converter(source_hz, 1, bus_hz, 1), &input, usize::MAX));
    }
}

#[test]
fn no_output_is_later_than_the_latency_says() {
    let rates = [1_000, 8_000, 11_025, 16_000, 44_100, 48_000, 192_000];
    for (source_hz, bus_hz) in rates
        .iter()
        .flat_map(|&source| rates.map(|bus| (source, bus)))
    {
        let mut converter = converter(source_hz, 1, bus_hz, 1);
        let latency = converter.latency();
        assert_eq!(latency == 0, source_hz == bus_hz);
        let mut pushed = 0;
        for length in [1, 7, 100, 333, 50].into_iter().cycle().take(100) {
            converter.push(&vec![0.0; length]);
            pushed += length;
            let due = pushed.saturating_sub(latency) * bus_hz as usize / source_hz as usize;
            let made = converter.buffered();
            assert!(made >= due, "{source_hz} to {bus_hz}: {made} of {due}");
        }
    }
}
