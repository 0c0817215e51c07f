//! Samples, and their sum computed in another way than the mixer's.

/// Samples that look like noise: the same for the same seed, at most `peak` in magnitude.
pub fn noise(seed: u64, len: usize, peak: i16) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let span = 2 * u64::from(peak.unsigned_abs()) + 1;
    let sample = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 20) % span) as i64 - i64::from(peak)) as i16
    };
    (0..len).map(sample).collect()
}

/// The streams' sum, sample by sample in `i64`, cut to 16 bits: what a bus must give without limiter.
pub fn reference(streams: &[Vec<i16>], len: usize) -> Vec<i16> {
    let sum = |index: usize| {
        let column = streams.iter().filter_map(|stream| stream.get(index));
        column.map(|&sample| i64::from(sample)).sum::<i64>()
    };
    (0..len).map(|index| cut(sum(index))).collect()
}

/// The nearest 16-bit sample.
pub fn cut(sum: i64) -> i16 {
    i16::try_from(sum).unwrap_or(if sum < 0 { i16::MIN } else { i16::MAX })
}
