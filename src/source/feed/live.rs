//! A thread that feeds live streams: each frame at its own deadline.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, binary_heap::PeekMut},
    sync::{
        Arc,
        atomic::{self, AtomicBool, AtomicUsize},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use super::{Feed, FeedErrors, Schedule};

/// A live thread wakes at most this often: streams with frames due within it share a wake-up, so
/// a thousand streams do not cost a thousand wake-ups a frame.
const WAKE_QUANTUM: Duration = Duration::from_millis(1);

/// How soon a sleeping thread sees that it is to stop, at the latest.
const STOP_LATENCY: Duration = Duration::from_millis(50);

/// The streams of a thread at its start, and the channel of later ones.
pub(super) struct Hand {
    feeds: Vec<(Feed, Schedule)>,
    coming: mpsc::Receiver<(Feed, Schedule)>,
    /// Streams that the thread feeds, those on their way to it among them: each sender adds its own.
    fed: Arc<AtomicUsize>,
}

impl Hand {
    pub(super) fn new(
        feeds: Vec<(Feed, Schedule)>,
        coming: mpsc::Receiver<(Feed, Schedule)>,
        fed: Arc<AtomicUsize>,
    ) -> Self {
        Self { feeds, coming, fed }
    }
}

/// A stream under way. Its order is that of its deadlines, and of its beginning among equals.
struct Fed {
    due: Duration,
    number: u64,
    begun: Duration,
    feed: Box<(Feed, Schedule)>,
}

impl Fed {
    /// Whether the source has more; its deadline is then known.
    fn step(&mut self, errors: &mut FeedErrors) -> bool {
        let (feed, schedule) = &mut *self.feed;
        let goes_on = feed.step(errors);
        if goes_on {
            self.due = self.begun + schedule.next_deadline();
        }
        goes_on
    }
}

impl Ord for Fed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Fed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Fed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Fed {}

struct Table {
    begun: Instant,
    due: BinaryHeap<Reverse<Fed>>,
    count: u64,
    /// Numbers below this are of streams that the thread began with.
    of_start: u64,
}

impl Table {
    /// Adds a stream; its schedule begins now.
    fn add(&mut self, (feed, mut schedule): (Feed, Schedule), now: Duration) {
        let due = now + schedule.next_deadline();
        self.due.push(Reverse(Fed {
            due,
            number: self.count,
            begun: now,
            feed: Box::new((feed, schedule)),
        }));
        self.count += 1;
    }

    /// Offers the frames that are due; returns how many streams ended.
    fn step(&mut self, now: Duration, errors: &mut FeedErrors) -> usize {
        let mut ended = 0;
        while let Some(mut first) = self.due.peek_mut()
            && first.0.due <= now
        {
            let known = errors.kept.len();
            if !first.0.step(errors) {
                // The report may be months away. It is at hand for sources of the start.
                if first.0.number >= self.of_start
                    && let Some(failed) = errors.kept.get(known)
                {
                    tracing::error!(stream = failed.id, "its source failed: {}", failed.source);
                }
                // Closes the ring.
                PeekMut::pop(first);
                ended += 1;
            }
        }
        ended
    }

    /// How long until a frame is due, at most as long as a thread sleeps.
    fn pause(&self, now: Duration) -> Duration {
        let first = self.due.peek().map(|Reverse(fed)| fed.due);
        first
            .map_or(STOP_LATENCY, |due| due.saturating_sub(now))
            .clamp(WAKE_QUANTUM, STOP_LATENCY)
    }
}

pub(super) fn run(hand: Hand, stop: &AtomicBool) -> FeedErrors {
    let Hand { feeds, coming, fed } = hand;
    let mut errors = FeedErrors::default();
    let mut table = Table {
        begun: Instant::now(),
        due: BinaryHeap::with_capacity(feeds.len()),
        count: 0,
        of_start: feeds.len() as u64,
    };
    for feed in feeds {
        table.add(feed, Duration::ZERO);
    }
    while !stop.load(atomic::Ordering::Relaxed) {
        let ended = table.step(table.begun.elapsed(), &mut errors);
        fed.fetch_sub(ended, atomic::Ordering::Relaxed);
        let pause = table.pause(table.begun.elapsed());
        match coming.recv_timeout(pause) {
            Ok(feed) => table.add(feed, table.begun.elapsed()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // Each sender is gone.
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(pause),
        }
    }
    errors
}
