//! Measurements for tests: level, and the strength of one frequency.

/// RMS level in dB relative to full scale (32767).
pub(crate) fn rms_dbfs(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|&s| f64::from(s).powi(2)).sum();
    20.0 * ((sum / samples.len() as f64).sqrt() / 32767.0).log10()
}

/// Power at `frequency_hz` (Goertzel's recurrence over a Hann window).
pub(crate) fn power_at(samples: &[i16], rate_hz: u32, frequency_hz: f64) -> f64 {
    let turn = std::f64::consts::TAU / samples.len() as f64;
    let coefficient = 2.0 * (std::f64::consts::TAU * frequency_hz / f64::from(rate_hz)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let window = 0.5 - 0.5 * (turn * n as f64).cos();
        let s0 = f64::from(sample) * window + coefficient * s1 - s2;
        s2 = s1;
        s1 = s0;
    }
    s1 * s1 + s2 * s2 - coefficient * s1 * s2
}

/// Peak level in dBFS of the sine at `frequency_hz` that `samples` hold.
pub(crate) fn tone_dbfs(samples: &[i16], rate_hz: u32, frequency_hz: f64) -> f64 {
    // A full-scale sine yields the window's sum (half the length) times half the amplitude.
    let amplitude = 4.0 * power_at(samples, rate_hz, frequency_hz).sqrt() / samples.len() as f64;
    20.0 * (amplitude / 32767.0).log10()
}

/// The frequency of the one tone in `samples`, in Hz, from its upward zero crossings.
pub(crate) fn tone_hz(samples: &[i16], rate_hz: u32) -> f64 {
    let crossings: Vec<f64> = (1..samples.len())
        .filter(|&n| samples[n - 1] < 0 && samples[n] >= 0)
        .map(|n| {
            let (before, after) = (f64::from(samples[n - 1]), f64::from(samples[n]));
            n as f64 - after / (after - before)
        })
        .collect();
    let (first, last) = (crossings[0], crossings[crossings.len() - 1]);
    (crossings.len() - 1) as f64 * f64::from(rate_hz) / (last - first)
}
