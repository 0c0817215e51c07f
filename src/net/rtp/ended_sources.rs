//! Sources of streams that were ended by command: their packets are refused until they have been silent for
//! long enough to be a new stream.

use std::collections::HashMap;

use super::Key;

/// Sources that are remembered. Beyond it the one that has been silent for longest is forgotten.
const ENDED_SOURCES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct EndedSources {
    /// When each sent last.
    last_ns: HashMap<Key, u64>,
}

impl EndedSources {
    /// Packets of this source are refused from now on.
    pub(super) fn add(&mut self, key: Key, now_ns: u64) {
        if self.last_ns.len() >= ENDED_SOURCES_MAX
            && let Some((&stalest, _)) = self.last_ns.iter().min_by_key(|&(_, &last)| last)
        {
            self.last_ns.remove(&stalest);
        }
        self.last_ns.insert(key, now_ns);
    }

    /// Whether a packet that this source sent now is refused: it was not silent for longer than this.
    pub(super) fn refuses(&mut self, key: Key, now_ns: u64, silence_ns: u64) -> bool {
        let Some(last) = self.last_ns.get_mut(&key) else {
            return false;
        };
        if now_ns.saturating_sub(*last) > silence_ns {
            self.last_ns.remove(&key);
            return false;
        }
        *last = now_ns;
        true
    }

    /// Forgets those that have been silent for long enough.
    pub(super) fn sweep(&mut self, now_ns: u64, silence_ns: u64) {
        self.last_ns
            .retain(|_, last| now_ns.saturating_sub(*last) <= silence_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ssrc: u32) -> Key {
        Key {
            from: ([192, 0, 2, 1], 4000).into(),
            ssrc,
        }
    }

    #[test]
    fn a_source_is_refused_until_it_was_silent() {
        let mut ended_sources = EndedSources::default();
        ended_sources.add(key(1), 1000);
        assert!(!ended_sources.refuses(key(2), 1000, 100), "another source");
        for now_ns in [1000, 1100, 1200] {
            assert!(ended_sources.refuses(key(1), now_ns, 100));
        }
        ended_sources.sweep(1300, 100);
        assert!(ended_sources.refuses(key(1), 1300, 100));
        assert!(!ended_sources.refuses(key(1), 1401, 100));
        assert!(!ended_sources.refuses(key(1), 1402, 100), "and goes on");
    }

    #[test]
    fn memory_is_bounded_and_the_longest_silent_is_forgotten_first() {
        let mut ended_sources = EndedSources::default();
        for ssrc in 0..=ENDED_SOURCES_MAX as u32 {
            ended_sources.add(key(ssrc), u64::from(ssrc));
        }
        assert_eq!(ended_sources.last_ns.len(), ENDED_SOURCES_MAX);
        assert!(
            !ended_sources.refuses(key(0), 5000, 1_000_000)
                && ended_sources.refuses(key(1), 5000, 1_000_000)
        );
        ended_sources.sweep(2_000_000, 1_000_000);
        assert!(ended_sources.last_ns.is_empty());
    }
}
