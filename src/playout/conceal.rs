//! Concealment of gaps: a fading repetition in the pitch period.
//!
//! The structure is that of ITU-T G.711 Appendix I: the period is the lag of 5 to 15 ms at which what was
//! heard last is most like what came before it, by normalized cross-correlation; the last period is
//! repeated, its seam overlap-added; after 10 ms two periods are repeated and after 20 ms three, so that
//! it does not sound like a buzzer; and from 10 ms on it fades by a fifth of full gain every 10 ms, to
//! silence at 60 ms. The way back differs: the samples that come after a gap are left as they are, so the
//! cross-fade into them lies inside the gap, into their own first period, repeated backwards in time.
//!
//! It works at any rate, all channels with one period. All memory is taken at construction.

/// The shortest and the longest period, the length that is compared, and what is remembered: three
/// periods and the quarter of one more for the seam. In units of 1/8000 s.
const SHORTEST: usize = 40;
const LONGEST: usize = 120;
const COMPARED: usize = 160;
const REMEMBERED: usize = 3 * LONGEST + LONGEST / 4;
/// Full gain until then; silence from the end on.
const FADE_START: usize = 80;
const FADE_END: usize = 480;
/// One more period is repeated after each of these.
const GROWS_AFTER: usize = 80;
const PERIODS_MAX: usize = 3;
/// The cross-fade into the samples after the gap.
const CLOSING: usize = 40;
/// Audio at most this loud is not repeated: A-law has no zero, and idles at 8.
const IDLE: u16 = 16;
/// The rate of the units above, and of the coarse search.
const COARSE_HZ: usize = 8000;

#[derive(Debug)]
pub(super) struct Concealer {
    rate_hz: usize,
    channels: usize,
    /// The last samples played, interleaved, the newest at the end; as much as there is.
    heard: Vec<i16>,
    /// The same in one channel, at the coarse rate and at the full.
    coarse: Vec<f32>,
    mono: Vec<f32>,
    /// The period, if there was one to find, in samples per channel.
    period: usize,
    /// Samples per channel made since the gap began.
    made: usize,
    active: bool,
}

impl Concealer {
    pub(super) fn new(rate_hz: u32, channels: usize) -> Self {
        let rate_hz = rate_hz as usize;
        let remembered = REMEMBERED * rate_hz / COARSE_HZ;
        Self {
            rate_hz,
            channels,
            heard: Vec::with_capacity(remembered * channels),
            coarse: Vec::with_capacity(REMEMBERED * 2),
            mono: Vec::with_capacity(remembered),
            period: 0,
            made: 0,
            active: false,
        }
    }

    /// A length given in units of the coarse rate.
    fn units(&self, units: usize) -> usize {
        units * self.rate_hz / COARSE_HZ
    }

    /// So many samples of the sender's were played, interleaved; `read` writes the last of them.
    pub(super) fn hear(&mut self, samples: usize, read: impl FnOnce(&mut [i16])) {
        self.active = false;
        let room = self.units(REMEMBERED) * self.channels;
        let new = samples.min(room);
        let kept = self.heard.len().min(room - new);
        self.heard.drain(..self.heard.len() - kept);
        self.heard.resize(kept + new, 0);
        read(&mut self.heard[kept..]);
    }

    /// There was silence: what was heard before it is not repeated.
    pub(super) fn forget(&mut self) {
        self.active = false;
        self.heard.clear();
    }

    /// A gap begins. Returns its period in samples per channel; none if there is nothing to repeat.
    pub(super) fn begin(&mut self) -> usize {
        if !self.active {
            self.active = true;
            self.made = 0;
            self.period = self.find_period();
        }
        self.period
    }

    /// Makes the next samples of the gap; returns how many per channel until it is silent, none if it is.
    pub(super) fn fill(&mut self, out: &mut [i16]) -> usize {
        if self.begin() == 0 {
            return 0;
        }
        let end = self.units(FADE_END);
        let count = (out.len() / self.channels).min(end.saturating_sub(self.made));
        for (index, frame) in out.chunks_exact_mut(self.channels).take(count).enumerate() {
            let time = self.made + index;
            for (channel, sample) in frame.iter_mut().enumerate() {
                *sample = (self.repeated(time, channel) * self.gain(time)).round() as i16;
            }
        }
        self.made += count;
        count
    }

    /// How long the cross-fade into the samples after the gap is.
    pub(super) fn closing(&self) -> usize {
        self.units(CLOSING)
    }

    /// The made-up samples before the gap's last `left` per channel turn into `next`, what lies one
    /// period later than they.
    pub(super) fn close(&self, out: &mut [i16], next: &[i16], left: usize) {
        let length = self.closing() as f32;
        let frames = out.chunks_exact_mut(self.channels);
        for (index, (frame, next)) in frames.zip(next.chunks_exact(self.channels)).enumerate() {
            let weight = 1.0 - ((left - index) as f32 - 0.5) / length;
            for (sample, &next) in frame.iter_mut().zip(next) {
                let (from, to) = (f32::from(*sample), f32::from(next));
                *sample = (from + weight * (to - from)).round() as i16;
            }
        }
    }

    fn gain(&self, time: usize) -> f32 {
        let (start, end) = (self.units(FADE_START), self.units(FADE_END));
        1.0 - time.saturating_sub(start) as f32 / (end - start) as f32
    }

    /// The sample at this time of the gap before it fades.
    fn repeated(&self, time: usize, channel: usize) -> f32 {
        let step = self.units(GROWS_AFTER);
        let most = (self.heard.len() / self.channels - self.period / 4) / self.period;
        let periods = (1 + time / step).min(PERIODS_MAX).min(most.max(1));
        let now = self.cycled(periods, time, channel);
        let since = time - (periods - 1) * step;
        let overlap = self.period / 4;
        if periods > 1 && since < overlap {
            let before = self.cycled(periods - 1, time, channel);
            let weight = (since as f32 + 0.5) / overlap as f32;
            before + weight * (now - before)
        } else {
            now
        }
    }

    /// The sample at this time if so many periods are repeated.
    fn cycled(&self, periods: usize, time: usize, channel: usize) -> f32 {
        let heard = self.heard.len() / self.channels;
        let (length, overlap) = (periods * self.period, self.period / 4);
        let phase = time % length;
        let at = |index: usize| f32::from(self.heard[index * self.channels + channel]);
        let sample = at(heard - length + phase);
        let left = length - phase;
        // Before its end a cycle turns into what came before its beginning.
        if left <= overlap && heard >= 2 * length - phase {
            let before = at(heard + phase - 2 * length);
            let weight = 1.0 - (left as f32 - 0.5) / overlap as f32;
            sample + weight * (before - sample)
        } else {
            sample
        }
    }

    /// The lag at which what was heard last is most like what came before it; none if too little was.
    fn find_period(&mut self) -> usize {
        let needed = self.units(COMPARED + LONGEST) + 1;
        let heard = self.heard.len() / self.channels;
        if heard < needed {
            return 0;
        }
        let compared = self.units(COMPARED) * self.channels;
        let last = &self.heard[self.heard.len() - compared..];
        if last.iter().all(|sample| sample.unsigned_abs() <= IDLE) {
            return 0;
        }
        let frames = self.heard.chunks_exact(self.channels);
        self.mono.clear();
        self.mono
            .extend(frames.map(|frame| frame.iter().map(|&s| f32::from(s)).sum::<f32>()));
        let by = (self.rate_hz / COARSE_HZ).max(1);
        if by == 1 {
            let (shortest, longest) = (self.units(SHORTEST), self.units(LONGEST));
            return best_lag(&self.mono, shortest.max(1), longest, self.units(COMPARED));
        }
        self.coarse.clear();
        // From the end, so that the newest are whole.
        let whole = &self.mono[self.mono.len() % by..];
        self.coarse.extend(
            whole
                .chunks_exact(by)
                .map(|chunk| chunk.iter().sum::<f32>()),
        );
        let coarse_hz = self.rate_hz as f32 / by as f32;
        let scaled = |units: usize| (units as f32 * coarse_hz / COARSE_HZ as f32) as usize;
        let compared = scaled(COMPARED).min(self.coarse.len() - scaled(LONGEST));
        let lag = best_lag(&self.coarse, scaled(SHORTEST), scaled(LONGEST), compared);
        let (least, most) = (self.units(SHORTEST), self.units(LONGEST));
        let (from, to) = ((lag - 1) * by, (lag + 1) * by);
        best_lag(
            &self.mono,
            from.clamp(least, most),
            to.clamp(least, most),
            self.units(COMPARED),
        )
    }
}

/// The lag between these two at which the last `compared` samples are most like those before them.
fn best_lag(samples: &[f32], shortest: usize, longest: usize, compared: usize) -> usize {
    let end = samples.len();
    let last = &samples[end - compared..];
    let square = |index: usize| f64::from(samples[index]).powi(2);
    let mut energy: f64 = (end - compared - shortest..end - shortest)
        .map(square)
        .sum();
    let mut best = (f64::MIN, longest);
    for lag in shortest..=longest {
        let (from, to) = (end - compared - lag, end - lag);
        let likeness = f64::from(product(last, &samples[from..to])) / energy.max(1.0).sqrt();
        if likeness > best.0 {
            best = (likeness, lag);
        }
        if lag < longest {
            energy += square(from - 1) - square(to - 1);
        }
    }
    best.1
}

/// The scalar product, in eight lanes.
fn product(one: &[f32], other: &[f32]) -> f32 {
    let mut parts = [0.0f32; 8];
    let (one, rest) = one.as_chunks::<8>();
    let (other, other_rest) = other.as_chunks::<8>();
    for (one, other) in one.iter().zip(other) {
        for (part, (a, b)) in parts.iter_mut().zip(one.iter().zip(other)) {
            *part += a * b;
        }
    }
    let rest: f32 = rest.iter().zip(other_rest).map(|(a, b)| a * b).sum();
    parts.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A voice of this period: harmonics that fall off.
    fn tone(period: f64, from: usize, count: usize, channels: usize) -> Vec<i16> {
        let sample = |n: usize| {
            let turn = std::f64::consts::TAU * n as f64 / period;
            let harmonics = (1..6).map(f64::from).map(|k| (k * turn + k * k).sin() / k);
            (5000.0 * harmonics.sum::<f64>()) as i16
        };
        let times = from..from + count;
        times
            .flat_map(|n| std::iter::repeat_n(sample(n), channels))
            .collect()
    }

    fn hear(concealer: &mut Concealer, samples: &[i16]) {
        concealer.hear(samples.len(), |out| {
            out.copy_from_slice(&samples[samples.len() - out.len()..]);
        });
    }

    fn power(samples: &[i16]) -> f64 {
        samples
            .iter()
            .map(|&sample| f64::from(sample).powi(2))
            .sum()
    }

    #[test]
    fn concealment_keeps_the_pitch_period_at_any_rate() {
        for (rate_hz, channels) in [(8000, 1), (11_025, 1), (16_000, 2), (48_000, 2), (1000, 1)] {
            let period = f64::from(rate_hz / 100);
            let (heard, gap) = (rate_hz as usize / 5, rate_hz as usize / 100);
            let mut concealer = Concealer::new(rate_hz, channels);
            for chunk in tone(period, 0, heard, channels).chunks(160) {
                hear(&mut concealer, chunk);
            }
            let mut out = vec![0; gap * channels];
            assert_eq!(concealer.fill(&mut out), gap);
            let expected = tone(period, heard, gap, channels);
            let off: Vec<i16> = out.iter().zip(&expected).map(|(a, b)| a - b).collect();
            assert!(power(&off) < power(&expected) / 100.0, "{rate_hz}");
        }
    }

    #[test]
    fn concealment_fades_by_a_fifth_per_10_ms_and_ends_at_60_ms() {
        let mut concealer = Concealer::new(8000, 1);
        hear(&mut concealer, &tone(80.0, 0, 800, 1));
        let mut out = [0; 800];
        assert_eq!(concealer.fill(&mut out), 480);
        assert_eq!(concealer.fill(&mut out[480..]), 0);
        let full = power(&out[..80]);
        // Half-way through each ten milliseconds.
        for (tenth, gain) in [(1, 0.9), (2, 0.7), (3, 0.5), (4, 0.3), (5, 0.1f64)] {
            let part = power(&out[80 * tenth..80 * (tenth + 1)]);
            assert!(((part / full).sqrt() - gain).abs() < 0.03, "{tenth}");
        }
    }

    #[test]
    fn in_pieces_it_is_the_same() {
        let made = |piece: usize| {
            let mut concealer = Concealer::new(8000, 2);
            hear(&mut concealer, &tone(63.0, 0, 500, 2));
            let mut out = vec![0; 960];
            for out in out.chunks_mut(2 * piece) {
                concealer.fill(out);
            }
            out
        };
        assert_eq!(made(480), made(7));
    }

    #[test]
    fn there_is_nothing_to_repeat_of_silence_or_too_little() {
        let mut concealer = Concealer::new(8000, 1);
        let mut out = [0; 80];
        for idle in [0, 8, -8] {
            hear(&mut concealer, &[idle; 800]);
            assert_eq!(concealer.fill(&mut out), 0);
        }
        hear(&mut concealer, &tone(80.0, 0, 800, 1));
        concealer.forget();
        assert_eq!(concealer.fill(&mut out), 0);
        hear(&mut concealer, &tone(80.0, 0, 100, 1));
        assert_eq!(concealer.fill(&mut out), 0);
    }

    #[test]
    fn noise_at_full_scale_stays_within_bounds() {
        let mut concealer = Concealer::new(8000, 1);
        let noise: Vec<i16> = (0..800u32)
            .map(|n| {
                if n.wrapping_mul(2_654_435_761) >> 31 == 0 {
                    i16::MAX
                } else {
                    i16::MIN
                }
            })
            .collect();
        hear(&mut concealer, &noise);
        let mut out = [0; 480];
        assert_eq!(concealer.fill(&mut out), 480);
        concealer.close(&mut out[440..], &[i16::MIN; 40], 40);
        assert!(out[479] < -30_000);
    }
}
