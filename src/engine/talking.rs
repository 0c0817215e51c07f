//! Streams that began or ended talking, in order, in bounded memory.
//!
//! The mixer marks each stream that turned; the next call takes the marks and notes the events. So a caller that calls after
//! each tick has each event with the tick.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Admitted, Handle};
use crate::mixer::TalkingNews;

/// Events that are kept, the latest.
const EVENTS_MAX: usize = 8192;

/// A stream began or ended talking.
#[derive(Debug, Clone)]
pub struct TalkingEvent {
    /// From 1, in order.
    pub number: u64,
    /// When it was noticed, since the start of the server.
    pub at: Duration,
    /// The stream. It may have ended since.
    pub stream: Arc<Admitted>,
    /// Whether it began.
    pub is_talking: bool,
    /// The index in the mix, per channel, of the first sample of the block with which it did; of a stream that ended, of
    /// the first that it did not have.
    pub sample: u64,
}

/// The streams that talk, and the latest events of them.
#[derive(Debug)]
pub(super) struct TalkingWatch {
    news: Arc<TalkingNews>,
    /// The streams that began and did not end, by slot and by the events.
    talking: BTreeMap<usize, Arc<Admitted>>,
    events: VecDeque<TalkingEvent>,
    count: u64,
}

impl TalkingWatch {
    pub(super) fn new(news: Arc<TalkingNews>) -> Self {
        Self {
            news,
            talking: BTreeMap::new(),
            events: VecDeque::new(),
            count: 0,
        }
    }

    /// Notes what the mixer marked since the last look. `running` is asked for only if there is any.
    fn look(&mut self, at: Duration, running: impl FnOnce() -> Vec<Arc<Admitted>>) {
        let turned: Vec<usize> = self.news.take().collect();
        if turned.is_empty() {
            return;
        }
        let running = running();
        for slot in turned {
            // Another stream may have the slot by now.
            if let Some(stream) = self.talking.remove(&slot) {
                match stream.talking() {
                    (true, _) => drop(self.talking.insert(slot, stream)),
                    (false, sample) => self.note(at, stream, false, sample),
                }
            }
            let begun = running.iter().rfind(|stream| stream.slot() == slot);
            if let Some(stream) = begun
                && let (true, sample) = stream.talking()
                && !self.talking.contains_key(&slot)
            {
                self.talking.insert(slot, Arc::clone(stream));
                self.note(at, Arc::clone(stream), true, sample);
            }
        }
    }

    fn note(&mut self, at: Duration, stream: Arc<Admitted>, is_talking: bool, sample: u64) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.count += 1;
        self.events.push_back(TalkingEvent {
            number: self.count,
            at,
            stream,
            is_talking,
            sample,
        });
    }

    fn after(&self, seen: u64) -> Vec<TalkingEvent> {
        let first = self.events.partition_point(|event| event.number <= seen);
        self.events.range(first..).cloned().collect()
    }
}

impl Handle {
    /// Streams that began or ended talking, after the `seen`th event, the latest 8192: asked after each tick, it has the
    /// events of that tick. A stream that began and ended between two calls has none; its
    /// [levels](Admitted::levels) have the time. Takes mutexes; without news it costs a load for each 64 slots.
    pub fn talking_events(&self, seen: u64) -> Vec<TalkingEvent> {
        let mut watch = self.shared().talking();
        watch.look(self.uptime(), || self.running());
        watch.after(seen)
    }
}

#[cfg(test)]
mod tests;
