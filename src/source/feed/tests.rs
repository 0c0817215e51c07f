use super::*;
use crate::{
    audio::{Format, Grid, MixClock},
    ledger::{Account, StreamState},
    os::now_ns,
    queue::{Consumer, Drained, Pool},
    source::schedule::Imperfection,
    stream::PlacingThreads,
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
    let grid = Grid::new(Format::new(8000, 1).unwrap(), FRAME);
    feeds_on(&grid, sources)
}

fn feeds_on(grid: &Grid, sources: Vec<Samples>) -> (Vec<Feed>, Vec<Arc<Account>>, Consumer) {
    let (pool, consumer) = Pool::builder()
        .slots(sources.len())
        .ring_bytes(4096)
        .build()
        .unwrap();
    let accounts: Vec<_> = (0..sources.len())
        .map(|index| Arc::new(Account::new(format!("stream-{index}"))))
        .collect();
    let feeds = sources.into_iter().zip(&accounts).map(|(source, account)| {
        let producer = pool.acquire().unwrap();
        let stream = Stream::new(producer, Arc::clone(account), grid.clone());
        Feed::new(stream, Box::new(source))
    });
    (feeds.collect(), accounts, consumer)
}

fn is_done(feeders: &Feeders) -> bool {
    feeders.threads.iter().all(JoinHandle::is_finished)
}

fn done(feeders: &Feeders) {
    while !is_done(feeders) {
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
                    // Or its close might be reported again.
                    consumer.release(lease).unwrap();
                    open -= 1;
                }
            }
        }
        done(&feeders);
        assert_eq!(feeders.join().kept.len(), 0);
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
    let errors = feeders.join().kept;
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
    assert_eq!(feeders.join().kept.len(), 0);
    assert!(consumer.is_closed(lease).unwrap());
    assert_eq!(accounts[0].read().dropped_full, 0);
}

#[test]
fn a_stream_ended_by_command_ends_while_its_ring_is_full() {
    for live in [false, true] {
        let endless = || Samples {
            left: usize::MAX,
            fails: false,
        };
        let (feeds, accounts, mut consumer) = feeds(vec![endless(), endless()]);
        let leases: Vec<_> = feeds.iter().map(|feed| feed.stream.lease()).collect();
        let feeders = if live {
            let ptime = Duration::from_millis(1);
            let schedule = Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1);
            let feeds = feeds.into_iter().map(|feed| (feed, schedule.clone()));
            Feeders::live(feeds.collect(), 1, &PlacingThreads::default()).unwrap()
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
        accounts[0].advance(StreamState::Ending);
        while !consumer.is_closed(leases[0]).unwrap() {
            thread::yield_now();
        }
        assert!(!consumer.is_closed(leases[1]).unwrap() && !is_done(&feeders));
        assert_eq!(consumer.get_batch(leases[0], 99).unwrap().len(), 18);
        assert!(feeders.join().kept.is_empty());
    }
}

#[test]
fn a_live_thread_drops_what_finds_its_ring_full_and_counts_it() {
    let source = Samples {
        left: 40 * FRAME,
        fails: false,
    };
    let (feeds, accounts, consumer) = feeds(vec![source]);
    let lease = feeds[0].stream.lease();
    let ptime = Duration::from_millis(1);
    let schedule = Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1);
    let feeds = feeds
        .into_iter()
        .map(|feed| (feed, schedule.clone()))
        .collect();
    let feeders = Feeders::live(feeds, 4, &PlacingThreads::default()).unwrap();
    until(|| consumer.is_closed(lease).unwrap());
    feeders.join();
    // A frame of 100 samples takes 224 bytes of ring.
    let room = 4096 / 224;
    let entry = accounts[0].read();
    assert_eq!(entry.offered, 40 * FRAME as u64);
    assert_eq!(entry.dropped_full, (40 - room) * FRAME as u64);
}

fn schedule() -> Schedule {
    let ptime = Duration::from_millis(1);
    Schedule::new(ptime, Duration::ZERO, Imperfection::default(), 1)
}

/// Until it holds, for threads that are at work.
fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

#[test]
fn threads_started_empty_feed_later_streams_to_their_end() {
    let lengths = [0, 1, 500, 1234];
    let source = |left| Samples { left, fails: false };
    let (feeds, accounts, mut consumer) = feeds(lengths.map(source).into());
    let feeders = Feeders::live(Vec::new(), 3, &PlacingThreads::default()).unwrap();
    let intake = feeders.intake().unwrap().clone();
    for feed in feeds {
        intake.take(feed, schedule()).unwrap();
    }
    let mut closed = 0;
    while closed < lengths.len() {
        consumer.wait(None).unwrap();
        while let Some(lease) = consumer.next_ready() {
            if consumer.drain(lease, usize::MAX, |_| {}).unwrap() == Drained::Closed {
                consumer.release(lease).unwrap();
                closed += 1;
            }
        }
    }
    assert!(!is_done(&feeders), "more may come");
    for (account, length) in accounts.iter().zip(lengths) {
        assert_eq!(account.read().offered, length as u64);
    }
    assert!(feeders.join().kept.is_empty());
}

#[test]
fn what_comes_goes_to_the_thread_that_feeds_the_fewest() {
    let endless = || Samples {
        left: usize::MAX,
        fails: false,
    };
    let short = || Samples {
        left: 1,
        fails: false,
    };
    // The first thread begins with one that goes on, the second with one that ends.
    let (mut sources, _accounts, _consumer) = feeds(vec![endless(), short(), endless(), endless()]);
    let rest = sources.split_off(2);
    let begun = sources.into_iter().map(|feed| (feed, schedule())).collect();
    let feeders = Feeders::live(begun, 2, &PlacingThreads::default()).unwrap();
    let intake = feeders.intake().unwrap();
    let fed = || {
        let ways = intake.0.iter();
        ways.map(|way| way.fed.load(Ordering::Relaxed))
            .collect::<Vec<_>>()
    };
    until(|| fed() == [1, 0]);
    for (feed, expected) in rest.into_iter().zip([[1, 1], [2, 1]]) {
        intake.take(feed, schedule()).unwrap();
        assert_eq!(fed(), expected);
    }
    feeders.join();
}

#[test]
fn a_source_that_came_later_and_fails_is_told_at_the_end() {
    let (sources, accounts, consumer) = feeds(vec![Samples {
        left: 150,
        fails: true,
    }]);
    let lease = sources[0].stream.lease();
    let feeders = Feeders::live(Vec::new(), 1, &PlacingThreads::default()).unwrap();
    for feed in sources {
        feeders.intake().unwrap().take(feed, schedule()).unwrap();
    }
    until(|| consumer.is_closed(lease).unwrap());
    let errors = feeders.join();
    assert_eq!((errors.kept.len(), errors.not_kept), (1, 0));
    assert_eq!(errors.kept[0].id, "stream-0");
    assert_eq!(accounts[0].read().offered, 150);
}

#[test]
fn a_stream_after_the_threads_ended_is_refused_and_closed() {
    let (mut feeds, _accounts, consumer) = feeds(vec![Samples {
        left: usize::MAX,
        fails: false,
    }]);
    let feeders = Feeders::live(Vec::new(), 2, &PlacingThreads::default()).unwrap();
    let intake = feeders.intake().unwrap().clone();
    feeders.join();
    let feed = feeds.pop().unwrap();
    let lease = feed.stream.lease();
    assert_eq!(intake.take(feed, schedule()), Err(FeedersEnded));
    assert!(consumer.is_closed(lease).unwrap());
}

#[test]
fn errors_beyond_those_that_are_kept_are_counted() {
    let mut errors = FeedErrors::default();
    for number in 0..ERRORS_MAX + 3 {
        errors.add(FeedError {
            id: number.to_string(),
            source: SourceError::Empty {
                path: "samples".into(),
            },
        });
    }
    assert_eq!((errors.kept.len(), errors.not_kept), (ERRORS_MAX, 3));
    assert_eq!(errors.kept[0].id, "0");
}

#[test]
fn a_thread_says_up_to_which_tick_it_has_placed() {
    let grid = Grid::from(MixClock {
        first_block: 0,
        first_ns: now_ns(),
        period_ns: 1_000_000,
        format: Format::new(8000, 1).unwrap(),
        block_samples: FRAME,
    });
    let source = Samples {
        left: usize::MAX,
        fails: false,
    };
    let (feeds, _accounts, _consumer) = feeds_on(&grid, vec![source]);
    let feeds = feeds.into_iter().map(|feed| (feed, schedule())).collect();
    let placing = PlacingThreads::default();
    let feeders = Feeders::live(feeds, 1, &placing).unwrap();
    while !placing.have_placed_before(20) || placing.have_placed_before(u64::MAX) {
        thread::yield_now();
    }
    assert!(grid.clock().unwrap().next_tick(now_ns()) >= 19);
    feeders.join();
    assert!(placing.have_placed_before(u64::MAX), "it has ended");
}
