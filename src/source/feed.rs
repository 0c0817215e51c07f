//! A stream with its source, and the threads that feed many of them.
//!
//! Streams are dealt out to a few threads. A live thread keeps each stream's absolute deadlines and
//! drops frames that a full ring refuses; an unpaced one offers frames while there is room, and drops none.
//! Threads that serve take in streams that begin later, too, through an [`Intake`].

mod live;
mod sender;

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use self::{live::Hand, sender::Sender};
use super::{Source, SourceError, schedule::Schedule};
use crate::{
    os::during,
    playout::PlayoutSettings,
    stream::{Offered, PlacingThreads, Stream},
};

/// Errors that a thread keeps one by one. A server that runs for months has sources that fail again and
/// again.
const ERRORS_MAX: usize = 10_000;

/// Frames that an unpaced thread offers for one stream before it turns to the next: enough to make the
/// turn cheap, few enough that all streams advance together and the rings' memory stays warm.
const UNPACED_BURST: usize = 64;

/// How long an unpaced thread waits when no ring has room.
const UNPACED_PAUSE: Duration = Duration::from_micros(200);

/// One stream and where its samples come from.
pub struct Feed {
    stream: Stream,
    source: Box<dyn Source>,
    /// If it is fed as a network sender sends.
    sender: Option<Box<Sender>>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
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

/// The errors of the sources.
#[derive(Debug, Default)]
pub struct FeedErrors {
    /// The first of them, 10,000 for each thread.
    pub kept: Vec<FeedError>,
    /// How many more there were.
    pub not_kept: u64,
}

impl FeedErrors {
    fn add(&mut self, error: FeedError) {
        if self.kept.len() < ERRORS_MAX {
            self.kept.push(error);
        } else {
            self.not_kept += 1;
        }
    }
}

impl Feed {
    /// Joins a stream and its source.
    pub fn new(stream: Stream, source: Box<dyn Source>) -> Self {
        Self {
            stream,
            source,
            sender: None,
        }
    }

    /// The same, but fed as a network sender sends: the times of its schedule are those at which its packets
    /// arrive, and a playout of these settings puts them on the mix clock. Where the ticks follow the streams, it is fed
    /// like any other.
    pub(crate) fn sent(stream: Stream, source: Box<dyn Source>, settings: PlayoutSettings) -> Self {
        Self {
            sender: Some(Box::new(Sender::new(settings))),
            ..Self::new(stream, source)
        }
    }

    /// Offers the next block; false once the source has ended, well or not, or the stream was ended by command.
    fn step(&mut self, errors: &mut FeedErrors) -> bool {
        if self.stream.is_ending() {
            return false;
        }
        let offered = self
            .stream
            .offer_placed(|index, out| self.source.read_at(index, out));
        let goes_on = offered.map(|offered| offered != Offered::Ended);
        self.keep(goes_on, errors)
    }

    /// Sends the next packet, to arrive at this time; false as for [`step`](Self::step).
    fn send(&mut self, sender: &mut Sender, at_ns: u64, errors: &mut FeedErrors) -> bool {
        let goes_on = sender.send(&mut *self.source, &mut self.stream, at_ns);
        self.keep(goes_on, errors)
    }

    fn keep(&self, goes_on: Result<bool, SourceError>, errors: &mut FeedErrors) -> bool {
        goes_on.unwrap_or_else(|source| {
            errors.add(FeedError {
                id: self.stream.id().to_owned(),
                source,
            });
            false
        })
    }
}

/// Threads that feed streams. [`join`](Self::join) returns the errors of their sources.
#[derive(Debug)]
pub struct Feeders {
    threads: Vec<JoinHandle<FeedErrors>>,
    stop: Arc<AtomicBool>,
    intake: Option<Intake>,
}

/// Hands streams to running feeder threads. Clones share it.
#[derive(Debug, Clone)]
pub struct Intake(Arc<[FeedThread]>);

/// One thread as [`Intake`] sees it.
#[derive(Debug)]
struct FeedThread {
    sender: mpsc::Sender<(Feed, Schedule)>,
    /// Streams that it feeds, or that wait in its channel.
    fed: Arc<AtomicUsize>,
}

/// The threads that feed streams have ended and take no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the threads that feed streams have ended")]
pub struct FeedersEnded;

impl Intake {
    /// Hands a stream to the thread that feeds the fewest. Its schedule begins when the thread takes it,
    /// which is within a few milliseconds, and 50 at most. Allocates; does not wait.
    ///
    /// # Errors
    /// [`FeedersEnded`]; the stream's ring is closed then.
    ///
    /// # Panics
    /// Never: there is a thread.
    pub fn take(&self, feed: Feed, schedule: Schedule) -> Result<(), FeedersEnded> {
        let idlest = self
            .0
            .iter()
            .min_by_key(|thread| thread.fed.load(Ordering::Relaxed));
        let thread = idlest.expect("at least one thread");
        thread.fed.fetch_add(1, Ordering::Relaxed);
        thread
            .sender
            .send((feed, schedule))
            .map_err(|_| FeedersEnded)
    }
}

impl Feeders {
    /// Starts threads that publish each stream's frames at the times of its schedule, and drop what finds its
    /// ring full. They take further streams, though they begin with none, and end when they are
    /// [joined](Self::join).
    ///
    /// # Errors
    /// The kernel's reason, if a thread cannot be started.
    pub(crate) fn live(
        feeds: Vec<(Feed, Schedule)>,
        threads: usize,
        placing: &PlacingThreads,
    ) -> io::Result<Self> {
        let (hands, intake_threads): (Vec<_>, Vec<_>) = deal(feeds, threads.max(1))
            .into_iter()
            .map(|feeds| {
                let fed = Arc::new(AtomicUsize::new(feeds.len()));
                let (sender, coming) = mpsc::channel();
                let hand = Hand::new(feeds, coming, Arc::clone(&fed), placing.add());
                (hand, FeedThread { sender, fed })
            })
            .unzip();
        Self::spawn(hands, Some(Intake(intake_threads.into())), live::run)
    }

    /// Starts threads that give frames as fast as the rings have room, and drop nothing.
    ///
    /// # Errors
    /// The kernel's reason, if a thread cannot be started.
    pub fn unpaced(feeds: Vec<Feed>, threads: usize) -> io::Result<Self> {
        let threads = threads.clamp(1, feeds.len().max(1));
        Self::spawn(deal(feeds, threads), None, run_unpaced)
    }

    fn spawn<T: Send + 'static>(
        hands: Vec<T>,
        intake: Option<Intake>,
        run: fn(T, &AtomicBool) -> FeedErrors,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut feeders = Self {
            threads: Vec::new(),
            stop: Arc::clone(&stop),
            intake,
        };
        for (index, hand) in hands.into_iter().enumerate() {
            let stop = Arc::clone(&stop);
            let thread = thread::Builder::new()
                .name(format!("ingest-{index}"))
                .spawn(move || run(hand, &stop));
            match thread {
                Ok(thread) => feeders.threads.push(thread),
                Err(error) => {
                    feeders.join();
                    return Err(during(format!("thread ingest-{index}"))(error));
                }
            }
        }
        Ok(feeders)
    }

    /// Takes further streams, if these threads take any.
    pub(crate) fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

    /// Stops the threads, closes their rings, and returns the errors of their sources.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn join(self) -> FeedErrors {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = FeedErrors::default();
        for thread in self.threads {
            let FeedErrors { kept, not_kept } = thread.join().expect("an ingest thread panicked");
            errors.kept.extend(kept);
            errors.not_kept += not_kept;
        }
        errors
    }
}

/// Deals out to so many hands, in turn.
fn deal<T>(feeds: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut hands: Vec<Vec<T>> = (0..count).map(|_| Vec::new()).collect();
    for (index, feed) in feeds.into_iter().enumerate() {
        hands[index % count].push(feed);
    }
    hands
}

fn run_unpaced(mut feeds: Vec<Feed>, stop: &AtomicBool) -> FeedErrors {
    let mut errors = FeedErrors::default();
    while !feeds.is_empty() && !stop.load(Ordering::Relaxed) {
        let mut progress = false;
        feeds.retain_mut(|feed| {
            for _ in 0..UNPACED_BURST {
                // A stream that is to end does not wait for room.
                if !feed.stream.is_ending() && !feed.stream.has_room() {
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
mod tests;
