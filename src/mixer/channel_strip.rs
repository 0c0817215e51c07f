//! The mixer's state of one stream, which any thread reads at any time.
//!
//! Only the mixer writes a channel strip; a reader pays two loads. It outlives its stream. Levels are
//! refreshed about ten times a second, each stream at ticks of its own, so that no tick writes them all.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::audio::Gain;

/// One reading of a [`ChannelStrip`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// The gain that was commanded last; a ramp may still lead there.
    pub gain: Gain,
    /// Whether it is muted by command.
    pub muted: bool,
    /// Whether it is solo.
    pub solo: bool,
    /// Largest magnitude, 0 to 32,768, before gain and mute, in the last whole window of about 100 ms.
    pub peak: u16,
    /// Bytes that waited in its ring at the end of that window, headers and padding included.
    pub ring_filled_bytes: u64,
    /// Whether it talks, before gain and mute, by the rule of its room.
    pub talking: bool,
    /// For how long it talked, up to the end of that window.
    pub talked: Duration,
}

/// The mixer's state of one stream. Made with its [`NewInput`](super::NewInput::channel_strip).
#[derive(Debug)]
pub struct ChannelStrip {
    /// All but the ring's bytes, so that what is read together is of one moment:
    ///
    /// ```text
    /// bit 0         32       48      49     50
    ///     +---------+--------+-------+------+
    ///     | gain f32|  peak  | muted | solo |
    ///     +---------+--------+-------+------+
    /// ```
    word: AtomicU64,
    ring_filled_bytes: AtomicU64,
    talked_ns: AtomicU64,
    /// Whether it talks, in bit 0, below the index at which that began or ended: one word, so that the two are of one turn.
    talking: AtomicU64,
    /// How many moves were commanded, modulo 65536, below the index at which the last one took effect: one word, so that
    /// the two are of one move. At 48 kHz the index is good for 185 years.
    moved: AtomicU64,
}

const PEAK: u32 = 32;
const MUTED: u32 = 48;
const SOLO: u32 = 49;

impl Default for ChannelStrip {
    /// The state of a stream that waits, at unity gain.
    fn default() -> Self {
        Self {
            word: AtomicU64::new(Gain::UNITY.linear().to_bits().into()),
            ring_filled_bytes: AtomicU64::new(0),
            talked_ns: AtomicU64::new(0),
            talking: AtomicU64::new(0),
            moved: AtomicU64::new(0),
        }
    }
}

impl ChannelStrip {
    /// The state as last written. Wait-free.
    pub fn read(&self) -> Levels {
        let word = self.word.load(Ordering::Relaxed);
        Levels {
            // It was a gain.
            gain: Gain::from_linear(f32::from_bits(word as u32)).unwrap_or_default(),
            muted: word >> MUTED & 1 == 1,
            solo: word >> SOLO & 1 == 1,
            peak: (word >> PEAK) as u16,
            ring_filled_bytes: self.ring_filled_bytes.load(Ordering::Relaxed),
            talking: self.talking().0,
            talked: Duration::from_nanos(self.talked_ns.load(Ordering::Relaxed)),
        }
    }

    /// Whether it talks, and the index in the mix, per channel, of the first sample of the block with which that began or
    /// ended; 0 before the first. Wait-free.
    pub fn talking(&self) -> (bool, u64) {
        let talking = self.talking.load(Ordering::Relaxed);
        (talking & 1 == 1, talking >> 1)
    }

    /// It talks from this index on, or no more.
    pub(super) fn set_talking(&self, is_talking: bool, index: u64) {
        let talking = index << 1 | u64::from(is_talking);
        self.talking.store(talking, Ordering::Relaxed);
    }

    /// How many moves of the stream the mixer has taken, modulo 65536, and the index in the mix, per channel, of the first
    /// sample after the last one: the first that counts in its new room, or fades into it. Wait-free.
    pub fn moved(&self) -> (u16, u64) {
        let moved = self.moved.load(Ordering::Relaxed);
        (moved as u16, moved >> 16)
    }

    /// A move takes effect at this index.
    pub(super) fn note_move(&self, index: u64) {
        let (count, _) = self.moved();
        let moved = index << 16 | u64::from(count.wrapping_add(1));
        self.moved.store(moved, Ordering::Relaxed);
    }

    pub(super) fn set_gain(&self, gain: Gain) {
        self.put(0, 32, gain.linear().to_bits().into());
    }

    pub(super) fn set_muted(&self, muted: bool) {
        self.put(MUTED, 1, muted.into());
    }

    pub(super) fn set_solo(&self, solo: bool) {
        self.put(SOLO, 1, solo.into());
    }

    /// A window is over, in which it talked for so long.
    pub(super) fn refresh(&self, peak: u16, ring_filled_bytes: u64, talked: Duration) {
        self.put(PEAK, 16, peak.into());
        if !talked.is_zero() {
            let talked_ns = self.talked_ns.load(Ordering::Relaxed) + talked.as_nanos() as u64;
            self.talked_ns.store(talked_ns, Ordering::Relaxed);
        }
        self.ring_filled_bytes
            .store(ring_filled_bytes, Ordering::Relaxed);
    }

    /// Puts a value of so many bits there. Only the mixer's thread does.
    fn put(&self, at: u32, bits: u32, value: u64) {
        let mask = ((1 << bits) - 1) << at;
        let word = self.word.load(Ordering::Relaxed) & !mask;
        self.word.store(word | value << at, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_counted_beside_the_index_of_the_last() {
        let strip = ChannelStrip::default();
        assert_eq!(strip.moved(), (0, 0));
        for count in 1..=70_000_u64 {
            strip.note_move(count << 30);
            assert_eq!(strip.moved(), (count as u16, count << 30));
        }
    }

    #[test]
    fn each_thing_that_is_told_is_read_and_changes_nothing_else() {
        let channel_strip = ChannelStrip::default();
        let mut expected = Levels {
            gain: Gain::UNITY,
            muted: false,
            solo: false,
            peak: 0,
            ring_filled_bytes: 0,
            talking: false,
            talked: Duration::ZERO,
        };
        assert_eq!(channel_strip.read(), expected);
        for gain in [Gain::from_linear(16.0).unwrap(), Gain::SILENCE] {
            channel_strip.set_gain(gain);
            expected.gain = gain;
            assert_eq!(channel_strip.read(), expected);
        }
        for on in [true, false, true] {
            channel_strip.set_muted(on);
            expected.muted = on;
            assert_eq!(channel_strip.read(), expected);
            channel_strip.set_solo(!on);
            expected.solo = !on;
            assert_eq!(channel_strip.read(), expected);
        }
        let window = Duration::from_millis(80);
        for (peak, bytes) in [(32_768, u64::MAX), (1, 344)] {
            channel_strip.refresh(peak, bytes, window);
            (expected.peak, expected.ring_filled_bytes) = (peak, bytes);
            expected.talked += window;
            assert_eq!(channel_strip.read(), expected);
        }
        for (is_talking, index) in [(true, 1 << 62), (false, 7)] {
            channel_strip.set_talking(is_talking, index);
            expected.talking = is_talking;
            assert_eq!(channel_strip.read(), expected);
            assert_eq!(channel_strip.talking(), (is_talking, index));
        }
    }
}
