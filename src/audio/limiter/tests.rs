use super::*;
use proptest::prelude::*;

/// A 5 ms look-ahead at 1 kHz: short enough for the naive reference.
fn short(channels: u16) -> Limiter {
    let format = Format::new(1_000, channels).unwrap();
    Limiter::new(format, DEFAULT_LOOKAHEAD, Duration::from_millis(30))
}

fn telephone() -> Limiter {
    Limiter::new(
        Format::new(8_000, 1).unwrap(),
        DEFAULT_LOOKAHEAD,
        DEFAULT_RELEASE,
    )
}

/// The whole signal, delayed by nothing: processed in blocks of `block` instants, then flushed.
fn run(mut limiter: Limiter, sum: &[i32], block: usize) -> Vec<i16> {
    let mut out = vec![0; sum.len()];
    let block = block * limiter.channels;
    for (sum, out) in sum.chunks(block).zip(out.chunks_mut(block)) {
        limiter.process(sum, out);
    }
    let mut tail = vec![0; limiter.delay.len()];
    limiter.flush(&mut tail);
    out.extend(tail);
    out.split_off(limiter.delay.len())
}

/// The gains by definition: each a minimum and a mean over slices of the whole signal.
fn reference_gains(sum: &[i32], channels: usize, lookahead: usize, release: u64) -> Vec<u64> {
    const UNITY: u64 = 1 << 30;
    let mut required: Vec<u64> = vec![UNITY; lookahead];
    required.extend(sum.chunks(channels).map(|instant| {
        let gain = |&x: &i32| match i64::from(x) {
            -32_768..=32_767 => UNITY,
            x if x < 0 => (32_767 << 30) / (-x - 1) as u64,
            x => (32_767 << 30) / x as u64,
        };
        instant.iter().map(gain).min().unwrap()
    }));
    required.extend(vec![UNITY; lookahead]);
    let mut released = vec![UNITY; lookahead];
    for window in required.windows(lookahead + 1) {
        let last = *released.last().unwrap();
        let climb = (UNITY + UNITY / 1024 - last) * (UNITY / release) / UNITY;
        released.push((last + climb.max(1)).min(*window.iter().min().unwrap()));
    }
    let means = released
        .windows(lookahead + 1)
        .map(|window| window.iter().sum::<u64>() / window.len() as u64);
    // The gain that meets an instant is the one `lookahead` later.
    means.skip(lookahead).collect()
}

fn reference(sum: &[i32], channels: usize, lookahead: usize, release: u64) -> Vec<i16> {
    let gains = reference_gains(sum, channels, lookahead, release);
    let scaled = sum
        .iter()
        .enumerate()
        .map(|(index, &x)| i128::from(x) * i128::from(gains[index / channels]) / (1 << 30));
    scaled
        .map(|x| i16::try_from(x).expect("the reference fits too"))
        .collect()
}

/// Interleaved sums of both kinds: runs that fit and runs that do not, up to the extremes.
fn sums() -> impl Strategy<Value = Vec<i32>> {
    let quiet = prop::collection::vec(-32_768..=32_767i32, 0..120);
    let loud = prop::collection::vec(-200_000..200_000i32, 0..20);
    let extreme = prop::collection::vec(
        prop_oneof![
            any::<i32>(),
            Just(i32::MIN),
            Just(i32::MAX),
            Just(-32_769),
            Just(32_768)
        ],
        0..5,
    );
    prop::collection::vec(prop_oneof![quiet, loud, extreme], 0..8).prop_map(|runs| {
        let mut sum = runs.concat();
        sum.truncate(sum.len() / 2 * 2);
        sum
    })
}

proptest! {
    #[test]
    fn what_fits_passes_bit_for_bit(samples: Vec<i16>, block in 1usize..200) {
        let sum: Vec<i32> = samples.iter().map(|&sample| sample.into()).collect();
        prop_assert_eq!(run(telephone(), &sum, block), samples);
    }

    #[test]
    fn the_output_is_the_reference_however_it_is_cut(
        sum in sums(),
        channels in 1u16..=2,
        block in 1usize..60,
    ) {
        let expected = reference(&sum, channels.into(), 5, 30);
        prop_assert_eq!(run(short(channels), &sum, block), expected);
    }

    #[test]
    fn no_sum_ever_leaves_16_bits_and_its_sign_is_kept(sum in prop::collection::vec(any::<i32>(), 0..600)) {
        // The reference computes in i128 and panics on what does not fit; signs show a wrap too.
        let out = run(telephone(), &sum, 160);
        prop_assert_eq!(&out, &reference(&sum, 1, 40, 640));
        prop_assert!(sum.iter().zip(&out).all(|(&sum, &out)| i32::from(out).signum() * sum.signum() >= 0));
    }

    #[test]
    fn limiters_in_step_forget_their_different_pasts(
        pasts in [sums(), sums()],
        common in prop::collection::vec(sums(), 1..6),
        rest in sums(),
        channels in 1u16..=2,
    ) {
        let [mut one, mut other] = pasts.map(|past| {
            let mut limiter = short(channels);
            limiter.process(&past, &mut vec![0; past.len()]);
            limiter
        });
        for sum in common {
            let was_in_step = one.is_in_step_with(&other);
            prop_assert_eq!(was_in_step, other.is_in_step_with(&one));
            let [out, others] = [&mut one, &mut other].map(|limiter| {
                let mut out = vec![0; sum.len()];
                limiter.process(&sum, &mut out);
                out
            });
            if was_in_step {
                prop_assert_eq!(out, others);
                prop_assert!(one.is_in_step_with(&other));
            }
        }
        // In the end silence brings both to the same.
        for limiter in [&mut one, &mut other] {
            limiter.process(&[0; 2_000], &mut [0; 2_000]);
        }
        prop_assert!(one.is_in_step_with(&other));
        // And a copy is in step at any time, wherever its memory begins.
        one.process(&rest, &mut vec![0; rest.len()]);
        other.copy_from(&one);
        prop_assert!(one.is_in_step_with(&other));
        prop_assert_eq!(run(one, &rest, 10), run(other, &rest, 10));
    }

    /// With any two pasts, silent or beyond all bounds up to the last instant, and any sums since.
    #[test]
    fn equal_sums_make_limiters_equal_after_7_releases(
        pasts in [sums(), sums()],
        common in sums(),
        rate_hz in prop_oneof![Just(8_000), Just(11_025), Just(16_000), Just(48_000)],
        rest in sums(),
    ) {
        let format = Format::new(rate_hz, 1).unwrap();
        let [mut one, mut other] = pasts.map(|past| {
            let mut limiter = Limiter::new(format, DEFAULT_LOOKAHEAD, DEFAULT_RELEASE);
            limiter.process(&past, &mut vec![0; past.len()]);
            limiter
        });
        let forgets = (FORGETS.as_secs_f64() * f64::from(rate_hz)).ceil() as usize;
        let sums: Vec<i32> = common.into_iter().chain([0]).cycle().take(forgets).collect();
        for limiter in [&mut one, &mut other] {
            limiter.process(&sums, &mut vec![0; sums.len()]);
        }
        prop_assert!(one.is_in_step_with(&other));
        prop_assert_eq!(run(one, &rest, 160), run(other, &rest, 160));
    }

    #[test]
    fn both_channels_of_an_instant_share_one_gain(
        left in prop::collection::vec(-500_000..500_000i32, 1..200),
    ) {
        let sum: Vec<i32> = left.iter().flat_map(|&left| [left, -left]).collect();
        for pair in run(short(2), &sum, 16).chunks(2) {
            prop_assert_eq!(pair[0], -pair[1]);
        }
    }
}

#[test]
fn the_gain_falls_at_most_linearly_over_the_lookahead() {
    // 1000 full-scale streams at once, out of silence. The reference is the limiter bit for bit, as
    // tested above, and shows its gains.
    let mut sum = vec![0; 400];
    sum[200] = 1_000 * 32_767;
    let gains = reference_gains(&sum, 1, 40, 640);
    let missing = f64::from(ONE) * (1.0 - 1.0 / 1_000.0);
    let steepest = gains
        .windows(2)
        .map(|pair| pair[0] as f64 - pair[1] as f64)
        .fold(0.0, f64::max);
    assert!(steepest <= missing / 40.0, "{steepest} of {missing}");
    assert!(
        gains[159] == u64::from(ONE)
            && gains[161] < u64::from(ONE)
            && gains[200] <= u64::from(ONE) / 1_000
    );
}

#[test]
fn a_steady_tone_12_db_over_stays_a_pure_tone() {
    let sum: Vec<i32> = (0..16_000)
        .map(|n| {
            (4.0 * 32_767.0 * (f64::from(n) * 440.0 / 8_000.0 * std::f64::consts::TAU).sin())
                .round() as i32
        })
        .collect();
    let mut limiter = telephone();
    let mut out = vec![0; sum.len()];
    let limited = limiter.process(&sum, &mut out);
    assert!((limited.min_gain - 0.25).abs() < 0.001 && limited.samples > 15_900);
    // The last second holds 440 whole periods: what is not the tone is distortion.
    let tone = &out[8_000..];
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, &sample) in tone.iter().enumerate() {
        let phase = n as f64 * 440.0 / 8_000.0 * std::f64::consts::TAU;
        re += f64::from(sample) * phase.cos() / 4_000.0;
        im += f64::from(sample) * phase.sin() / 4_000.0;
        power += f64::from(sample).powi(2) / 8_000.0;
    }
    let level = re.hypot(im);
    let distortion_db = 10.0 * ((power - level * level / 2.0) / power).log10();
    assert!(level > 32_000.0, "level {level}");
    assert!(distortion_db < -50.0, "distortion {distortion_db} dB");
}

#[test]
fn the_slowest_way_back_is_forgotten_in_7_releases() {
    for rate_hz in [8_000, 44_100, 192_000] {
        let format = Format::new(rate_hz, 1).unwrap();
        let [mut one, mut other] =
            [(); 2].map(|()| Limiter::new(format, DEFAULT_LOOKAHEAD, DEFAULT_RELEASE));
        one.process(&[i32::MIN; 10], &mut [0; 10]);
        let forgets = (FORGETS.as_secs_f64() * f64::from(rate_hz)).ceil() as usize;
        let mut out = vec![0; forgets];
        // Loud, but not so loud that it takes the gain down: the way back is not cut short.
        let sums = vec![30_000; forgets];
        one.process(&sums[..forgets / 2], &mut out[..forgets / 2]);
        other.process(&sums[..forgets / 2], &mut out[..forgets / 2]);
        assert!(!one.is_in_step_with(&other));
        one.process(&sums[forgets / 2..], &mut out[forgets / 2..]);
        other.process(&sums[forgets / 2..], &mut out[forgets / 2..]);
        assert!(one.is_in_step_with(&other), "{rate_hz} Hz");
    }
}

#[test]
fn after_seven_release_times_the_limiter_is_transparent_again() {
    let mut limiter = telephone();
    let mut out = vec![0; 8_000];
    assert!(limiter.process(&[i32::MAX; 10], &mut out[..10]).samples > 0);
    let recovery = limiter.process(&vec![30_000; 8_000], &mut out);
    assert!(recovery.samples < 7 * 640 + 2 * 41, "{}", recovery.samples);
    assert!(limiter.envelope.is_idle());
    assert_eq!(
        limiter.process(&[1; 160], &mut out[..160]),
        Limited {
            samples: 0,
            min_gain: 1.0
        }
    );
}

#[test]
fn times_round_to_samples_within_one_sample_and_a_second() {
    let delay = |lookahead| {
        Limiter::new(Format::new(8_000, 2).unwrap(), lookahead, DEFAULT_RELEASE).delay_samples()
    };
    assert_eq!(delay(DEFAULT_LOOKAHEAD), 40);
    assert_eq!(delay(Duration::from_micros(5_063)), 41);
    assert_eq!(delay(Duration::ZERO), 1);
    assert_eq!(delay(Duration::MAX), 8_000);
}

#[test]
#[should_panic(expected = "a limiter of 10 samples and 2 channels cannot be one of 5 and 1")]
fn a_copy_of_another_format_is_a_bug_of_the_caller() {
    short(2).copy_from(&short(1));
}

#[test]
#[should_panic(expected = "limiting 3 sums into 3 samples of 2 channels")]
fn half_an_instant_is_a_bug_of_the_caller() {
    short(2).process(&[0; 3], &mut [0; 3]);
}
