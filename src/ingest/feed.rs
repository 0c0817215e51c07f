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

    /// Offers the next frame; false once the source has ended, well or not, or the stream was dismissed.
    fn step(&mut self, errors: &mut Vec<FeedError>) -> bool {
        if self.stream.is_dismissed() {
            return false;
        }
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
            let wait = first.saturating_sub(now);
            thread::sleep(wait.clamp(WAKE_QUANTUM, STOP_LATENCY));
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
                // Who is to end does not wait for room.
                if !feed.stream.is_dismissed() && !feed.stream.has_room() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::Format,
        ingest::schedule::Imperfection,
        ledger::Account,
        queue::{Consumer, Drained, Pool},
    };

    const FRAME: usize = 100;

    /// So many samples, then the end or an error.
    struct Samples {
        left: usize,
        fails: bool,
    }

    impl Source for Samples {
        fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
            let count = out.len().min(self.left);
            self.left -= count;
            if count == 0 && self.fails {
                return Err(SourceError::Empty {
                    path: "samples".into(),
                });
            }
            Ok(count)
        }

        fn length(&self) -> Option<u64> {
            None
        }
    }

    fn feeds(sources: Vec<Samples>) -> (Vec<Feed>, Vec<Arc<Account>>, Consumer) {
        let (pool, consumer) = Pool::builder()
            .slots(sources.len())
            .ring_bytes(4096)
            .build()
            .unwrap();
        let accounts: Vec<_> = (0..sources.len())
            .map(|index| Arc::new(Account::new(format!("stream-{index}"))))
            .collect();
        let feeds = sources.into_iter().zip(&accounts).map(|(source, account)| {
            let format = Format::new(8000, 1).unwrap();
            let producer = pool.acquire().unwrap();
            let stream = Stream::new(producer, Arc::clone(account), format, FRAME);
            Feed::new(stream, Box::new(source))
        });
        (feeds.collect(), accounts, consumer)
    }

    fn done(feeders: &Feeders) {
        while !feeders.are_done() {
            thread::yield_now();
        }
    }

    #[test]
    fn unpaced_threads_wait_for_room_and_drop_nothing() {
        let lengths = [0, 1, 12_345, 20_000, 100];
        for threads in [1, 2, 9] {
            let source = |left| Samples { left, fails: false };
            let (feeds, accounts, mut consumer) = feeds(lengths.map(source).into());
            let feeders = Feeders::unpaced(feeds, threads).unwrap();
            let mut open = lengths.len();
            while open > 0 {
                consumer.wait(None).unwrap();
                while let Some(lease) = consumer.next_ready() {
                    let drained = consumer.drain(lease, usize::MAX, |_| {}).unwrap();
                    if drained == Drained::Closed {
                        // Or its close might be told again.
                        consumer.release(lease).unwrap();
                        open -= 1;
                    }
                }
            }
            done(&feeders);
            assert_eq!(feeders.join().len(), 0);
            for (account, length) in accounts.iter().zip(lengths) {
                let entry = account.read();
                assert_eq!((entry.offered, entry.dropped_full), (length as u64, 0));
            }
        }
    }

    #[test]
    fn a_source_that_fails_is_told_by_its_stream_and_ends_no_other() {
        let (feeds, accounts, _consumer) = feeds(vec![
            Samples {
                left: 150,
                fails: true,
            },
            Samples {
                left: 900,
                fails: false,
            },
        ]);
        let feeders = Feeders::unpaced(feeds, 1).unwrap();
        done(&feeders);
        let errors = feeders.join();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].id, "stream-0");
        assert_eq!(accounts[0].read().offered, 150);
        assert_eq!(accounts[1].read().offered, 900);
    }

    #[test]
    fn a_thread_that_waits_for_room_can_be_stopped() {
        let endless = Samples {
            left: usize::MAX,
            fails: false,
        };
        let (feeds, accounts, mut consumer) = feeds(vec![endless]);
        let feeders = Feeders::unpaced(feeds, 1).unwrap();
        consumer.wait(None).unwrap();
        let lease = consumer.next_ready().unwrap();
        assert_eq!(feeders.join().len(), 0);
        assert!(consumer.is_closed(lease).unwrap());
        assert_eq!(accounts[0].read().dropped_full, 0);
    }

    #[test]
    fn a_dismissed_stream_ends_in_both_kinds_of_threads_even_while_its_ring_is_full() {
        for live in [false, true] {
            let endless = || Samples {
                left: usize::MAX,
                fails: false,
            };
            let (feeds, accounts, mut consumer) = feeds(vec![endless(), endless()]);
            let dismissals: Vec<_> = feeds.iter().map(|feed| feed.stream.dismissal()).collect();
            let leases: Vec<_> = feeds.iter().map(|feed| feed.stream.lease()).collect();
            let feeders = if live {
                let ptime = Duration::from_millis(1);
                let schedule = Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1);
                let feeds = feeds.into_iter().map(|feed| (feed, schedule.clone()));
                Feeders::live(feeds.collect(), 1).unwrap()
            } else {
                Feeders::unpaced(feeds, 1).unwrap()
            };
            // Both rings are full.
            while accounts
                .iter()
                .any(|account| account.read().offered < 1_800)
            {
                thread::yield_now();
            }
            dismissals[0].dismiss();
            while !consumer.is_closed(leases[0]).unwrap() {
                thread::yield_now();
            }
            assert!(!consumer.is_closed(leases[1]).unwrap() && !feeders.are_done());
            assert_eq!(consumer.get_batch(leases[0], 99).unwrap().len(), 18);
            assert!(feeders.join().is_empty());
        }
    }

    #[test]
    fn a_live_thread_drops_what_finds_its_ring_full_and_counts_it() {
        let source = Samples {
            left: 40 * FRAME,
            fails: false,
        };
        let (feeds, accounts, consumer) = feeds(vec![source]);
        let ptime = Duration::from_millis(1);
        let schedule = Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1);
        let feeds = feeds
            .into_iter()
            .map(|feed| (feed, schedule.clone()))
            .collect();
        let feeders = Feeders::live(feeds, 4).unwrap();
        done(&feeders);
        feeders.join();
        // A frame of 100 samples takes 224 bytes of ring.
        let room = 4096 / 224;
        let entry = accounts[0].read();
        assert_eq!(entry.offered, 40 * FRAME as u64);
        assert_eq!(entry.dropped_full, (40 - room) * FRAME as u64);
        drop(consumer);
    }
}
