//! The mixer's state of one room, which any thread reads at any time.
//!
//! Only the mixer writes it, once a tick. It outlives its room.
//!
//! # Memory orders
//! Contributors are a list, so a reader must not see half of one block's and half of the next one's. There are two lists,
//! and the version says which one to read; the mixer writes the other one, then raises the version (Release), which pairs
//! with the reader's first load of it (Acquire): all entries are seen. The fence (Release) before the entries pairs with
//! that after the reader's loads (Acquire): a reader that saw an entry of a list that is written again sees that the
//! version has moved, and reads once more. So neither waits for the other, though it be interrupted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::{CONTRIBUTORS_MAX, Limiting, PEERS_MAX};
use crate::audio::Gain;

/// The mixer's figures of one room. Made with its [`Room`](super::Room::strip).
#[derive(Debug)]
pub struct RoomStrip {
    mixed: AtomicU64,
    clipped: AtomicU64,
    limited: AtomicU64,
    /// So that what is read together is of one moment:
    ///
    /// ```text
    /// bit 0         32       48
    ///     +---------+--------+-------+
    ///     | gain f32|  peak  | clips |
    ///     +---------+--------+-------+
    /// ```
    word: AtomicU64,
    version: AtomicU32,
    contributors: [Contributors; 2],
    /// By peer.
    missed: [AtomicU64; PEERS_MAX],
}

/// Slots of streams, as many as the count.
#[derive(Debug, Default)]
struct Contributors {
    count: AtomicU32,
    slots: [AtomicU32; CONTRIBUTORS_MAX],
}

const PEAK: u32 = 32;
const CLIPS: u32 = 48;

impl Default for RoomStrip {
    /// A room at unity gain, with a limiter, and without a block.
    fn default() -> Self {
        Self {
            mixed: AtomicU64::new(0),
            clipped: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            word: AtomicU64::new(word(Gain::UNITY, Limiting::Limiter, 0)),
            version: AtomicU32::new(0),
            contributors: Default::default(),
            missed: Default::default(),
        }
    }
}

fn word(gain: Gain, limiting: Limiting, peak: u16) -> u64 {
    let clips = limiting == Limiting::Saturate;
    u64::from(gain.linear().to_bits()) | u64::from(peak) << PEAK | u64::from(clips) << CLIPS
}

impl RoomStrip {
    /// Samples of its streams that were heard, interleaved. Over all rooms that there were they are the streams' own
    /// `mixed`. Wait-free.
    pub fn mixed(&self) -> u64 {
        self.mixed.load(Ordering::Relaxed)
    }

    /// Samples of its mix that saturation cut, interleaved. Wait-free.
    pub fn clipped(&self) -> u64 {
        self.clipped.load(Ordering::Relaxed)
    }

    /// Samples of its mix that the limiter turned down, interleaved. Wait-free.
    pub fn limited(&self) -> u64 {
        self.limited.load(Ordering::Relaxed)
    }

    /// Largest magnitude of the last block, 0 to 32768. Wait-free.
    pub fn peak(&self) -> u16 {
        (self.word.load(Ordering::Relaxed) >> PEAK) as u16
    }

    /// The gain of its sum that was commanded last; a ramp may still lead there. Wait-free.
    pub fn gain(&self) -> Gain {
        let bits = self.word.load(Ordering::Relaxed) as u32;
        // It was a gain.
        Gain::from_linear(f32::from_bits(bits)).unwrap_or_default()
    }

    /// How its sums beyond 16 bits become samples. Wait-free.
    pub fn limiting(&self) -> Limiting {
        match self.word.load(Ordering::Relaxed) >> CLIPS & 1 {
            0 => Limiting::Limiter,
            _ => Limiting::Saturate,
        }
    }

    /// The slots of streams that were heard in the last block, in no order: the first [`CONTRIBUTORS_MAX`] of them. A
    /// stream's slot is that of its lease. Lock-free: reads again if a block is made meanwhile. Allocates.
    pub fn contributors(&self) -> Vec<u32> {
        let mut slots = Vec::with_capacity(CONTRIBUTORS_MAX);
        loop {
            slots.clear();
            let version = self.version.load(Ordering::Acquire);
            let list = &self.contributors[version as usize % 2];
            let count = list.count.load(Ordering::Relaxed) as usize;
            let listed = list.slots.iter().take(count);
            slots.extend(listed.map(|slot| slot.load(Ordering::Relaxed)));
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return slots;
            }
        }
    }

    /// Samples of another node's parts that this mixer finished their tick without, though they were in its ring, as it ran
    /// late or early; of this peer, below [`PEERS_MAX`], interleaved. Wait-free.
    pub fn parts_missed(&self, peer: usize) -> u64 {
        self.missed[peer].load(Ordering::Relaxed)
    }

    pub(super) fn miss_part(&self, peer: usize, mixed: u32) {
        let missed = &self.missed[peer];
        missed.store(
            missed.load(Ordering::Relaxed) + u64::from(mixed),
            Ordering::Relaxed,
        );
    }

    pub(super) fn set(&self, gain: Gain, limiting: Limiting, peak: u16) {
        self.word
            .store(word(gain, limiting, peak), Ordering::Relaxed);
    }

    /// So many samples of a block were changed. Most blocks have none, and nothing is written of them.
    pub(super) fn count(&self, clipped: usize, limited: usize) {
        for (sum, count) in [(&self.clipped, clipped), (&self.limited, limited)] {
            if count > 0 {
                sum.store(
                    sum.load(Ordering::Relaxed) + count as u64,
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// A block was made.
    pub(super) fn note(&self, mixed: u64, contributors: &[u32]) {
        self.mixed.store(mixed, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed).wrapping_add(1);
        let list = &self.contributors[version as usize % 2];
        fence(Ordering::Release);
        for (slot, &heard) in list.slots.iter().zip(contributors) {
            slot.store(heard, Ordering::Relaxed);
        }
        let count = contributors.len().min(CONTRIBUTORS_MAX) as u32;
        list.count.store(count, Ordering::Relaxed);
        self.version.store(version, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_written_of_a_room_is_read() {
        let strip = RoomStrip::default();
        assert_eq!((strip.gain(), strip.peak()), (Gain::UNITY, 0));
        assert_eq!(strip.limiting(), Limiting::Limiter);
        let loudest = Gain::from_linear(16.0).unwrap();
        for (gain, limiting, peak) in [
            (loudest, Limiting::Saturate, 32_768),
            (Gain::SILENCE, Limiting::Limiter, 1),
        ] {
            strip.set(gain, limiting, peak);
            assert_eq!(
                (strip.gain(), strip.limiting(), strip.peak()),
                (gain, limiting, peak)
            );
        }
        let heard: Vec<u32> = (0..20).collect();
        for count in [3, 0, CONTRIBUTORS_MAX] {
            strip.note(7, &heard[..count]);
            assert_eq!(strip.contributors(), heard[..count]);
        }
        assert_eq!(strip.mixed(), 7);
        for (clipped, limited) in [(2, 0), (0, 0), (3, 4)] {
            strip.count(clipped, limited);
        }
        assert_eq!((strip.clipped(), strip.limited()), (5, 4));
    }

    #[test]
    fn contributors_are_of_one_block() {
        let strip = RoomStrip::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                for block in 0..100_000_u32 {
                    let count = 1 + block as usize % CONTRIBUTORS_MAX;
                    strip.note(1, &[block; CONTRIBUTORS_MAX][..count]);
                    // As between two ticks: a writer that never rests leaves no time to read.
                    (0..100).for_each(|_| std::hint::spin_loop());
                }
                strip.note(2, &[]);
            });
            let mut lists = 0;
            while strip.mixed() < 2 {
                let heard = strip.contributors();
                let Some(&block) = heard.first() else {
                    continue;
                };
                lists += 1;
                assert_eq!(heard.len(), 1 + block as usize % CONTRIBUTORS_MAX);
                assert!(heard.iter().all(|&slot| slot == block), "{heard:?}");
            }
            assert!(lists > 0);
        });
    }
}
