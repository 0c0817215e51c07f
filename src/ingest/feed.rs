//! A stream with its source, and the threads that feed many of them.
//!
//! Streams are dealt out to a few threads. A live thread keeps each stream's absolute deadlines and
//! drops what finds its ring full; an unpaced one gives as fast as there is room, and drops nothing.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    schedule::Schedule,
    source::{Source, SourceError},
    stream::{Offered, Stream},
};

/// A live thread wakes at most this often: streams whose frames are due within it share a wake-up, so
/// a thousand streams do not cost a thousand wake-ups a frame.
const WAKE_QUANTUM: Duration = Duration::from_millis(1);

/// How soon a sleeping thread sees that it is to stop, at the latest.
const STOP_LATENCY: Duration = Duration::from_millis(50);

/// Frames that an unpaced thread gives one stream before it turns to the next: enough to make the
/// turn cheap, few enough that all streams advance together and the rings' memory stays warm.
const UNPACED_BURST: usize = 64;

/// How long an unpaced thread waits when no ring has room.
const UNPACED_PAUSE: Duration = Duration::from_micros(200);

/// One stream and where its samples come from.
pub struct Feed {
    stream: Stream,
    source: Box<dyn Source>,
}

/// A source that failed, and the stream that it fed.
#[derive(Debug, thiserror::Error)]
#[error("stream {id}")]
pub struct FeedError {
    /// The stream.
    pub id: String,
    /// Why its source failed.
    pub source: SourceError,
}

impl Feed {
    /// Joins a stream and its source.
    pub fn new(stream: Stream, source: Box<dyn Source>) -> Self {
        Self { stream, source }
    }

    /// Offers the next frame; false once the source has ended, well or not.
    fn step(&mut self, errors: &mut Vec<FeedError>) -> bool {
        match self.stream.offer(&mut *self.source) {
            Ok(Offered::Published | Offered::Dropped) => true,
            Ok(Offered::Ended) => false,
            Err(source) => {
                errors.push(FeedError {
                    id: self.stream.id().to_owned(),
                    source,
                });
                false
            }
        }
    }
}

/// Threads that feed streams. [`join`](Self::join) gives the errors of their sources.
#[derive(Debug)]
pub struct Feeders {
    threads: Vec<JoinHandle<Vec<FeedError>>>,
    stop: Arc<AtomicBool>,
}

impl Feeders {
    /// Starts threads that give each stream's frames at the times of its schedule, and drop what
    /// finds its ring full.
    ///
    /// # Errors
    /// The kernel's reason, if a thread cannot be started.
    pub fn live(feeds: Vec<(Feed, Schedule)>, threads: usize) -> io::Result<Self> {
        Self::spawn(feeds, threads, run_live)
    }

    /// Starts threads that give frames as fast as the rings have room, and drop nothing.
    ///
    /// # Errors
    /// The kernel's reason, if a thread cannot be started.
    pub fn unpaced(feeds: Vec<Feed>, threads: usize) -> io::Result<Self> {
        Self::spawn(feeds, threads, run_unpaced)
    }

    fn spawn<T: Send + 'static>(
        feeds: Vec<T>,
        threads: usize,
        run: fn(Vec<T>, &AtomicBool) -> Vec<FeedError>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut feeders = Self {
            threads: Vec::new(),
            stop: Arc::clone(&stop),
        };
        let threads = threads.clamp(1, feeds.len().max(1));
        let mut hands: Vec<Vec<T>> = (0..threads).map(|_| Vec::new()).collect();
        for (index, feed) in feeds.into_iter().enumerate() {
            hands[index % threads].push(feed);
        }
        for (index, hand) in hands.into_iter().enumerate() {
            let stop = Arc::clone(&stop);
            let thread = thread::Builder::new()
                .name(format!("ingest-{index}"))
                .spawn(move || run(hand, &stop));
            match thread {
                Ok(thread) => feeders.threads.push(thread),
                Err(error) => {
                    feeders.join();
                    return Err(error);
                }
            }
        }
        Ok(feeders)
    }

    /// Whether every source has ended.
    pub fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Stops the threads, closes their rings, and gives what went wrong with their sources.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn join(self) -> Vec<FeedError> {
        self.stop.store(true, Ordering::Relaxed);
        let ends = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("an ingest thread panicked"));
        ends.flatten().collect()
    }
}

fn run_live(feeds: Vec<(Feed, Schedule)>, stop: &AtomicBool) -> Vec<FeedError> {
    let mut errors = Vec::new();
    let begun = Instant::now();
    let mut feeds: Vec<_> = feeds.into_iter().map(Some).collect();
    let mut due: BinaryHeap<_> = feeds
        .iter_mut()
        .flatten()
        .enumerate()
        .map(|(index, (_, schedule))| Reverse((schedule.next_deadline(), index)))
        .collect();
    while !stop.load(Ordering::Relaxed)
        && let Some(&Reverse((first, _))) = due.peek()
    {
        let now = begun.elapsed();
        if first > now {
            thread::sleep((first - now).clamp(WAKE_QUANTUM, STOP_LATENCY));
            continue;
        }
        while let Some(&Reverse((deadline, index))) = due.peek()
            && deadline <= now
        {
            due.pop();
            let feed = &mut feeds[index];
            let (ref mut stream, ref mut schedule) =
                *feed.as_mut().expect("a feed with a deadline");
            if stream.step(&mut errors) {
                due.push(Reverse((schedule.next_deadline(), index)));
            } else {
                // Closes the ring.
                *feed = None;
            }
        }
    }
    errors
}

fn run_unpaced(mut feeds: Vec<Feed>, stop: &AtomicBool) -> Vec<FeedError> {
    let mut errors = Vec::new();
    while !feeds.is_empty() && !stop.load(Ordering::Relaxed) {
        let mut progress = false;
        feeds.retain_mut(|feed| {
            for _ in 0..UNPACED_BURST {
                if !feed.stream.has_room() {
                    return true;
                }
                progress = true;
                if !feed.step(&mut errors) {
                    return false;
                }
            }
            true
        });
        if !progress && !feeds.is_empty() {
            thread::sleep(UNPACED_PAUSE);
        }
    }
    errors
}
