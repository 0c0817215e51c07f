//! When the streams of a room talk; and those that began or ended, for a thread that looks after each tick.
//!
//! A bit for each slot: however late that thread is, there is room, and a tick neither waits nor drops. A stream that began
//! and ended between two looks is as it was; its [strip](super::ChannelStrip::talking) has the last turn.
//!
//! # Memory orders
//! A bit is set (Release) after the strip was written, and taken (Acquire) before it is read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{Mixer, Room, Settings};
use crate::audio::{TalkingRule, talking::BlockRule};

/// The slots of streams that began or ended talking since they were taken.
#[derive(Debug)]
pub struct TalkingNews(Box<[AtomicU64]>);

impl TalkingNews {
    pub(super) fn new(slots: usize) -> Self {
        let words = 0..slots.div_ceil(64);
        Self(words.map(|_| AtomicU64::new(0)).collect())
    }

    /// Wait-free.
    pub(super) fn note_if(&self, turns: bool, slot: usize) {
        if turns {
            self.0[slot / 64].fetch_or(1 << (slot % 64), Ordering::Release);
        }
    }

    /// Takes the slots that have news, in order. Wait-free; costs a load for each 64 slots without any.
    pub fn take(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut bits = match word.load(Ordering::Relaxed) {
                0 => 0,
                _ => word.swap(0, Ordering::Acquire),
            };
            std::iter::from_fn(move || {
                let bit = (bits > 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(64 * at + bit as usize)
            })
        })
    }
}

impl Settings {
    /// The rule of a room at first.
    pub(super) fn talking_rule(&self) -> BlockRule {
        let block = self.format.duration_of(self.block_samples as u64);
        BlockRule::new(TalkingRule::default(), block)
    }
}

impl Room {
    /// When its streams talk.
    #[must_use]
    pub fn talking(mut self, rule: TalkingRule) -> Self {
        self.set_talking(rule);
        self
    }

    pub(super) fn set_talking(&mut self, rule: TalkingRule) {
        self.talking = BlockRule::new(rule, self.talking.block());
    }
}

impl Mixer {
    /// The streams that began or ended talking, for one thread, which finds those of a tick when its feeds were
    /// [sent](Self::send_feeds).
    pub fn talking_news(&self) -> Arc<TalkingNews> {
        Arc::clone(&self.inputs.talking_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_with_news_is_taken_once() {
        let news = TalkingNews::new(130);
        for slot in [129, 0, 64, 63, 0] {
            news.note_if(true, slot);
        }
        news.note_if(false, 1);
        assert_eq!(news.take().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(news.take().next(), None);
    }
}
