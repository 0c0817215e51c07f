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
    time::Duration,
};

use super::{Feed, FeedErrors, Schedule};
use crate::{os::now_ns, stream::PlacingThread};

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
    placing: PlacingThread,
}

impl Hand {
    pub(super) fn new(
        feeds: Vec<(Feed, Schedule)>,
        coming: mpsc::Receiver<(Feed, Schedule)>,
        fed: Arc<AtomicUsize>,
        placing: PlacingThread,
    ) -> Self {
        Self {
            feeds,
            coming,
            fed,
            placing,
        }
    }
}

/// A stream under way. Its order is that of its deadlines, and of its beginning among equals. Times are on the
/// monotonic clock.
struct Fed {
    due_ns: u64,
    number: u64,
    begun_ns: u64,
    /// When the next block is due; none once the source has ended.
    block_ns: Option<u64>,
    feed: Box<(Feed, Schedule)>,
}

impl Fed {
    /// Whether it goes on; its deadline is then known.
    fn step(&mut self, now_ns: u64, errors: &mut FeedErrors) -> bool {
        let (feed, schedule) = &mut *self.feed;
        let Some(mut sender) = feed.sender.take() else {
            let goes_on = feed.step(errors);
            self.due_ns = self.begun_ns + nanoseconds(schedule.next_deadline());
            return goes_on;
        };
        sender.place(now_ns, &mut feed.stream);
        if let Some(at_ns) = self.block_ns.filter(|&at_ns| at_ns <= now_ns) {
            let goes_on = feed.send(&mut sender, at_ns, errors);
            let next_ns = self.begun_ns + nanoseconds(schedule.next_deadline());
            self.block_ns = goes_on.then_some(next_ns);
        }
        let due_ns = [self.block_ns, sender.placed_ns()];
        self.due_ns = due_ns.into_iter().flatten().min().unwrap_or(now_ns);
        let ends = feed.stream.is_ending();
        if ends {
            sender.abandon(&mut feed.stream);
        }
        let goes_on = !ends && (self.block_ns.is_some() || !sender.is_done());
        feed.sender = Some(sender);
        goes_on
    }

    /// The thread ends.
    fn close(self) {
        let (mut feed, _) = *self.feed;
        if let Some(mut sender) = feed.sender.take() {
            sender.abandon(&mut feed.stream);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Ord for Fed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due_ns, self.number).cmp(&(other.due_ns, other.number))
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
    due: BinaryHeap<Reverse<Fed>>,
    count: u64,
    /// Numbers below this are of streams that the thread began with.
    of_start: u64,
}

impl Table {
    /// Adds a stream; its schedule begins now.
    fn add(&mut self, (feed, mut schedule): (Feed, Schedule), now_ns: u64) {
        let due_ns = now_ns + nanoseconds(schedule.next_deadline());
        self.due.push(Reverse(Fed {
            due_ns,
            number: self.count,
            begun_ns: now_ns,
            block_ns: Some(due_ns),
            feed: Box::new((feed, schedule)),
        }));
        self.count += 1;
    }

    /// Offers the blocks that are due; returns how many streams ended.
    fn step(&mut self, now_ns: u64, errors: &mut FeedErrors) -> usize {
        let mut ended = 0;
        while let Some(mut first) = self.due.peek_mut()
            && first.0.due_ns <= now_ns
        {
            let known = errors.kept.len();
            if !first.0.step(now_ns, errors) {
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

    /// Says which ticks have all their blocks: those before the next block's. A block is placed no earlier than in the
    /// first tick after it is due.
    fn say_placed(&self, placing: &PlacingThread) {
        let next = self.due.peek().and_then(|Reverse(fed)| {
            let clock = fed.feed.0.stream.clock()?;
            Some(clock.next_tick(fed.due_ns))
        });
        match next {
            Some(tick) => placing.has_placed_before(tick),
            None => placing.rests(),
        }
    }

    /// How long until a block is due, at most as long as a thread sleeps.
    fn pause(&self, now_ns: u64) -> Duration {
        let first = self.due.peek().map(|Reverse(fed)| fed.due_ns);
        first
            .map_or(STOP_LATENCY, |due_ns| {
                Duration::from_nanos(due_ns.saturating_sub(now_ns))
            })
            .clamp(WAKE_QUANTUM, STOP_LATENCY)
    }
}

pub(super) fn run(hand: Hand, stop: &AtomicBool) -> FeedErrors {
    let Hand {
        feeds,
        coming,
        fed,
        placing,
    } = hand;
    let mut errors = FeedErrors::default();
    let mut table = Table {
        due: BinaryHeap::with_capacity(feeds.len()),
        count: 0,
        of_start: feeds.len() as u64,
    };
    let begun_ns = now_ns();
    for feed in feeds {
        table.add(feed, begun_ns);
    }
    while !stop.load(atomic::Ordering::Relaxed) {
        let ended = table.step(now_ns(), &mut errors);
        fed.fetch_sub(ended, atomic::Ordering::Relaxed);
        table.say_placed(&placing);
        let pause = table.pause(now_ns());
        match coming.recv_timeout(pause) {
            Ok(feed) => table.add(feed, now_ns()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            // Each sender is gone.
            Err(mpsc::RecvTimeoutError::Disconnected) => thread::sleep(pause),
        }
    }
    for Reverse(fed) in table.due {
        fed.close();
    }
    errors
}
