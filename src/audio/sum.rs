//! Exact sums of samples in `i32`, and back to 16 bits.
//!
//! Up to [`STREAMS_MAX`] full-scale streams at unity gain add without overflow, in any order, so a
//! tree of partial sums equals the flat sum bit for bit. A gain takes its factor from that headroom:
//! at the largest gain, [`LINEAR_MAX`](super::gain::LINEAR_MAX), 4,095 full-scale streams fit.
//!
//! No function here allocates; all are simple loops that the compiler turns into vector code, for AVX2
//! where the processor has it and for baseline x86-64; the results are the same. None divides by the
//! count of streams, and none checks for overflow beyond the bound above.

use multiversion::multiversion;

use super::gain::{Gain, Ramp};

/// Full-scale streams that a sum holds for sure: 65,535 * 32,768 is just below 2^31.
pub const STREAMS_MAX: usize = 65_535;

/// Samples per `u32` count of clipping: keeps the count in vector lanes.
const COUNT_RUN: usize = 4_096;

/// Adds `samples` to `sum`.
///
/// # Panics
/// If the lengths differ.
#[multiversion(targets("x86_64+avx2"))]
pub fn add(sum: &mut [i32], samples: &[i16]) {
    assert_same_length(sum.len(), samples.len());
    for (sum, &sample) in sum.iter_mut().zip(samples) {
        *sum += i32::from(sample);
    }
}

/// Adds `samples`, each [gained](Gain::apply) first, to `sum`. Unity adds them untouched.
///
/// # Panics
/// If the lengths differ.
#[multiversion(targets("x86_64+avx2"))]
pub fn add_gained(sum: &mut [i32], samples: &[i16], gain: Gain) {
    if gain.is_unity() {
        return add(sum, samples);
    }
    assert_same_length(sum.len(), samples.len());
    for (sum, &sample) in sum.iter_mut().zip(samples) {
        *sum += gain.apply(sample);
    }
}

/// Adds `samples`, interleaved and the first of them number `from` of a block that begins with the ramp's
/// next instant, each with the gain of its instant.
///
/// # Panics
/// If the lengths differ, or there are no channels.
pub(crate) fn add_ramped(
    sum: &mut [i32],
    samples: &[i16],
    channels: usize,
    from: usize,
    ramp: &Ramp,
) {
    assert_same_length(sum.len(), samples.len());
    let (mut instant, mut channel) = (from / channels, from % channels);
    for (sum, &sample) in sum.iter_mut().zip(samples) {
        *sum += ramp.gain(instant as u32).apply(sample);
        channel += 1;
        if channel == channels {
            (instant, channel) = (instant + 1, 0);
        }
    }
}

/// Adds the partial sum `other` to `sum`.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn add_sums(sum: &mut [i32], other: &[i32]) {
    assert_same_length(sum.len(), other.len());
    for (sum, &other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// Turns `part`, which was added to `sum`, into the rest: what `sum` is without it.
///
/// # Panics
/// If the lengths differ.
pub(crate) fn leave_out(sum: &[i32], part: &mut [i32]) {
    assert_same_length(sum.len(), part.len());
    for (&sum, part) in sum.iter().zip(part) {
        *part = sum - *part;
    }
}

/// Multiplies each sum of a block with the [gain](Gain::apply_to_sum) of its instant: the block begins with the ramp's
/// next one. Unity leaves them untouched.
///
/// # Panics
/// If there are no channels.
pub(crate) fn scale(sums: &mut [i32], channels: usize, ramp: &Ramp) {
    let (moving, steady) = ramped(sums, channels, ramp);
    for (sum, gain) in moving {
        *sum = gain.apply_to_sum(*sum);
    }
    if !ramp.target().is_unity() {
        scale_evenly(steady, ramp.target());
    }
}

/// The sums of a block, as far as the ramp goes, each with the gain of its instant; and the others.
fn ramped<'a>(
    sums: &'a mut [i32],
    channels: usize,
    ramp: &'a Ramp,
) -> (impl Iterator<Item = (&'a mut i32, Gain)>, &'a mut [i32]) {
    let moving = sums.len().min(ramp.left() as usize * channels);
    let (moving, steady) = sums.split_at_mut(moving);
    let instants = (0..).zip(moving.chunks_mut(channels));
    let moving = instants.flat_map(|(instant, sums)| {
        let gain = ramp.gain(instant);
        sums.iter_mut().map(move |sum| (sum, gain))
    });
    (moving, steady)
}

#[multiversion(targets("x86_64+avx2"))]
fn scale_evenly(sums: &mut [i32], gain: Gain) {
    for sum in sums {
        *sum = gain.apply_to_sum(*sum);
    }
}

/// Takes away what 16 bits do not hold of each sum of a block: as much of it as the ramp has at the sum's instant, from
/// nothing at silence to all at unity. Returns how many sums were changed.
///
/// # Panics
/// If there are no channels.
pub(crate) fn clip(sums: &mut [i32], channels: usize, share: &Ramp) -> usize {
    let (moving, steady) = ramped(sums, channels, share);
    let mut clipped = 0;
    for (sum, share) in moving {
        // Below 2^31 in magnitude: the two have one sign.
        let beyond = share.apply_to_sum(*sum - fitted(*sum));
        *sum -= beyond;
        clipped += usize::from(beyond != 0);
    }
    if share.target() == Gain::SILENCE {
        return clipped;
    }
    clipped + saturate(steady)
}

/// The nearest value that 16 bits hold.
#[inline]
fn fitted(sum: i32) -> i32 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}

#[multiversion(targets("x86_64+avx2"))]
fn saturate(sums: &mut [i32]) -> usize {
    let mut clipped = 0;
    for sums in sums.chunks_mut(COUNT_RUN) {
        let mut run = 0u32;
        for sum in sums {
            let fitted = fitted(*sum);
            run += u32::from(fitted != *sum);
            *sum = fitted;
        }
        clipped += run as usize;
    }
    clipped
}

/// Each sum as the nearest sample.
///
/// # Panics
/// If the lengths differ.
#[multiversion(targets("x86_64+avx2"))]
pub(crate) fn to_samples(sums: &[i32], samples: &mut [i16]) {
    assert_same_length(sums.len(), samples.len());
    for (&sum, sample) in sums.iter().zip(samples) {
        *sample = fitted(sum) as i16;
    }
}

#[track_caller]
fn assert_same_length(sum: usize, samples: usize) {
    assert!(
        sum == samples,
        "a sum of {sum} samples met {samples}: both sides must have one block's length"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_count_of_full_scale_streams_does_not_overflow() {
        for extreme in [i16::MIN, i16::MAX] {
            let mut sum = [0];
            for _ in 0..STREAMS_MAX {
                add(&mut sum, &[extreme]);
            }
            assert_eq!(i64::from(sum[0]), STREAMS_MAX as i64 * i64::from(extreme));
        }
    }

    #[test]
    fn the_largest_gain_leaves_room_for_4095_full_scale_streams() {
        let gain = Gain::from_linear(super::super::gain::LINEAR_MAX).unwrap();
        let mut sum = [0];
        for _ in 0..4_095 {
            add_gained(&mut sum, &[i16::MIN], gain);
        }
        assert_eq!(sum[0], 4_095 * 16 * -32_768);
    }

    #[test]
    fn samples_at_the_edge_of_16_bits_are_not_clipped() {
        let mut out = [32_767, 32_768, -32_768, -32_769, i32::MAX, i32::MIN];
        let clipped = saturate(&mut out);
        assert_eq!(
            (clipped, out),
            (4, [32_767, 32_767, -32_768, -32_768, 32_767, -32_768])
        );
    }

    #[test]
    #[should_panic(expected = "a sum of 2 samples met 3")]
    fn a_block_of_another_length_is_a_bug_of_the_caller() {
        add(&mut [0; 2], &[0; 3]);
    }

    fn streams() -> impl Strategy<Value = Vec<Vec<i16>>> {
        (1usize..200).prop_flat_map(|len| {
            prop::collection::vec(prop::collection::vec(any::<i16>(), len), 1..12)
        })
    }

    fn flat(streams: &[Vec<i16>]) -> Vec<i32> {
        let mut sum = vec![0; streams[0].len()];
        for samples in streams {
            add(&mut sum, samples);
        }
        sum
    }

    proptest! {
        #[test]
        fn a_sum_is_the_sum_of_each_column(streams in streams()) {
            for (index, &sum) in flat(&streams).iter().enumerate() {
                let column: i64 = streams.iter().map(|samples| i64::from(samples[index])).sum();
                prop_assert_eq!(i64::from(sum), column);
            }
        }

        #[test]
        fn a_tree_of_partial_sums_equals_the_flat_sum(streams in streams(), cut: prop::sample::Index) {
            let (left, right) = streams.split_at(cut.index(streams.len()));
            let mut tree = vec![0; streams[0].len()];
            for part in [right, left].into_iter().filter(|part| !part.is_empty()) {
                add_sums(&mut tree, &flat(part));
            }
            prop_assert_eq!(tree, flat(&streams));
        }

        #[test]
        fn a_sum_without_a_part_is_the_sum_of_the_others(
            streams in streams(),
            left_out: prop::sample::Index,
        ) {
            let mut others = streams.clone();
            let mut part = flat(&[others.remove(left_out.index(streams.len()))]);
            leave_out(&flat(&streams), &mut part);
            others.push(vec![0; part.len()]);
            prop_assert_eq!(part, flat(&others));
        }

        #[test]
        fn a_gained_sum_adds_each_sample_rounded_to_nearest_even(
            samples: Vec<i16>,
            linear in 0f32..=16.0,
            start in -1_000_000..1_000_000,
        ) {
            let mut sum = vec![start; samples.len()];
            add_gained(&mut sum, &samples, Gain::from_linear(linear).unwrap());
            for (&sum, &sample) in sum.iter().zip(&samples) {
                prop_assert_eq!(sum - start, (f32::from(sample) * linear).round_ties_even() as i32);
            }
        }

        #[test]
        fn a_ramped_sum_is_independent_of_how_it_is_cut(
            samples in prop::collection::vec(any::<i16>(), 0..400),
            channels in 1usize..4,
            from in 0usize..1_000,
            length in 0u32..300,
            cut: prop::sample::Index,
        ) {
            let mut ramp = Ramp::at_rest(Gain::UNITY);
            ramp.aim(Gain::SILENCE, length);
            let mut sum = vec![7; samples.len()];
            let mut cut_sum = sum.clone();
            add_ramped(&mut sum, &samples, channels, from, &ramp);
            let cut = cut.index(samples.len() + 1);
            let (left, right) = cut_sum.split_at_mut(cut);
            add_ramped(left, &samples[..cut], channels, from, &ramp);
            add_ramped(right, &samples[cut..], channels, from + cut, &ramp);
            prop_assert_eq!(&sum, &cut_sum);
            for (index, (&sum, &sample)) in sum.iter().zip(&samples).enumerate() {
                let instant = (from + index) / channels + 1;
                let left = 1.0 - (instant as f64 / f64::from(length)).min(1.0);
                let exact = f64::from(sample) * if length == 0 { 0.0 } else { left };
                prop_assert!((f64::from(sum - 7) - exact).abs() < 0.51);
            }
        }

        #[test]
        fn a_scaled_block_has_at_each_instant_the_gain_of_the_ramp(
            sums in prop::collection::vec(any::<i32>(), 0..400),
            channels in 1usize..4,
            (from, to) in (0f32..=16.0, 0f32..=16.0),
            (length, passed) in (0u32..300, 0u32..300),
        ) {
            let mut ramp = Ramp::at_rest(Gain::from_linear(from).unwrap());
            ramp.aim(Gain::from_linear(to).unwrap(), length);
            ramp.pass(passed);
            let mut scaled = sums.clone();
            scale(&mut scaled, channels, &ramp);
            for (index, (&sum, &scaled)) in sums.iter().zip(&scaled).enumerate() {
                let gain = ramp.gain((index / channels) as u32);
                prop_assert_eq!(scaled, gain.apply_to_sum(sum));
            }
        }

        #[test]
        fn clipping_that_begins_takes_away_more_with_each_instant(
            sums in prop::collection::vec(prop_oneof![-70_000..70_000, any::<i32>()], 0..400),
            channels in 1usize..4,
            begins: bool,
            (length, passed) in (0u32..300, 0u32..300),
        ) {
            let mut ends = [Gain::SILENCE, Gain::UNITY];
            if !begins {
                ends.reverse();
            }
            let mut share = Ramp::at_rest(ends[0]);
            share.aim(ends[1], length);
            share.pass(passed);
            let mut clipped = sums.clone();
            let count = clip(&mut clipped, channels, &share);
            prop_assert_eq!(count, sums.iter().zip(&clipped).filter(|(a, b)| a != b).count());
            for (index, (&sum, &clipped)) in sums.iter().zip(&clipped).enumerate() {
                let nearest = i64::from(sum).clamp(i16::MIN.into(), i16::MAX.into());
                let share = f64::from(share.gain((index / channels) as u32).linear());
                let exact = f64::from(sum) - share * (i64::from(sum) - nearest) as f64;
                prop_assert!((f64::from(clipped) - exact).abs() <= 0.5, "{sum} {share}");
            }
        }

        #[test]
        fn saturation_counts_exactly_the_samples_it_changes(
            sum in prop::collection::vec(-70_000i32..70_000, 0..9_000),
        ) {
            let mut out = sum.clone();
            let clipped = saturate(&mut out);
            let nearest = |sum: i32| if sum < 0 { i16::MIN } else { i16::MAX };
            let cut = |&sum: &i32| i16::try_from(sum).unwrap_or(nearest(sum)).into();
            let expected: Vec<i32> = sum.iter().map(cut).collect();
            prop_assert_eq!(clipped, sum.iter().filter(|&&sum| i16::try_from(sum).is_err()).count());
            prop_assert_eq!(out, expected);
        }
    }
}
