//! How long does a sleeping consumer take to run once a message is published?
//!
//! The producer waits until the kernel says that the consumer's thread sleeps, stamps a message with
//! the time and publishes it; the consumer, on the other core, subtracts the stamp when it has it.

use std::{
    fs,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use mixpool_queue::{Consumer, Pool, Producer};
use nix::{
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
    },
    unistd::gettid,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::{Builder, Runtime},
};

use crate::{
    measure::{Pinned, Run, Times, order},
    report::{Answer, Bar, Unit},
    turns,
};

pub const ASKS: &str = "How long from a publish on an idle queue until its sleeping consumer, on the other \
core, has the message? The limit: an eventfd and an epoll, and nothing else.";

const CASE: &str = "consumer asleep";

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("wake", Unit::Microseconds);
    let contenders: [(&str, Session); 5] = [
        (BarePair::NAME, session::<BarePair>),
        (Mixpool::NAME, session::<Mixpool>),
        (TokioTask::NAME, session::<TokioTask>),
        (StdChannel::NAME, session::<StdChannel>),
        (Crossbeam::NAME, session::<Crossbeam>),
    ];
    let mut times = vec![Times::default(); contenders.len()];
    for round in 0..run.count(40, 1) {
        for index in order(contenders.len(), round) {
            contenders[index].1(run, run.count(100, 5), &mut times[index])?;
        }
    }
    let rows: Vec<_> = contenders
        .iter()
        .zip(times)
        .map(|((name, _), times)| ((*name).to_owned(), times))
        .collect();
    answer.case(CASE, BarePair::NAME, 0, &rows);
    answer.bars = vec![Bar::at_most(
        format!("`{}` / `{}`", Mixpool::NAME, BarePair::NAME),
        answer.times_limit(CASE, Mixpool::NAME),
        1.3,
    )];
    Ok(answer)
}

/// A way to wake a thread that waits for a stamp.
trait Waking {
    const NAME: &'static str;
    type Producer;
    type Consumer: Send;

    fn make() -> anyhow::Result<(Self::Producer, Self::Consumer)>;
    fn publish(producer: &mut Self::Producer, stamp: u64) -> anyhow::Result<()>;
    /// Sleeps until there is a stamp.
    fn wait(consumer: &mut Self::Consumer) -> anyhow::Result<u64>;
}

type Session = fn(&Run, usize, &mut Times) -> anyhow::Result<()>;

/// One pair of threads and its wakes.
fn session<W: Waking>(run: &Run, wakes: usize, times: &mut Times) -> anyhow::Result<()> {
    /// The first find cold code and cold memory.
    const WARM_UP: usize = 3;
    let (mut producer, mut consumer) = W::make()?;
    let begun = Instant::now();
    let now = || begun.elapsed().as_nanos() as u64;
    let thread_id = AtomicI32::new(0);
    let woken = AtomicUsize::new(0);
    let latencies = thread::scope(|scope| -> anyhow::Result<Vec<u64>> {
        let sleeper = scope.spawn(|| -> anyhow::Result<Vec<u64>> {
            let _pinned = Pinned::to(run.cores.0)?;
            let mut latencies = Vec::with_capacity(WARM_UP + wakes);
            thread_id.store(gettid().as_raw(), Ordering::Relaxed);
            for wake in 1..=WARM_UP + wakes {
                let stamp = W::wait(&mut consumer)?;
                latencies.push(now() - black_box(stamp));
                woken.store(wake, Ordering::Release);
            }
            Ok(latencies)
        });
        let pinned = Pinned::to(run.cores.1);
        turns::spin_until(|| thread_id.load(Ordering::Relaxed) != 0 || sleeper.is_finished());
        let state = format!("/proc/self/task/{}/stat", thread_id.load(Ordering::Relaxed));
        for wake in 1..=WARM_UP + wakes {
            turns::spin_until(|| sleeps(&state) || sleeper.is_finished());
            // The kernel marks the thread asleep before the core has left it.
            thread::sleep(Duration::from_micros(20));
            W::publish(&mut producer, now())?;
            turns::spin_until(|| woken.load(Ordering::Acquire) == wake || sleeper.is_finished());
        }
        drop(pinned?);
        sleeper.join().expect("the consumer does not panic")
    })?;
    ensure!(
        latencies.len() == WARM_UP + wakes,
        "{}: a wake is missing",
        W::NAME
    );
    for latency in &latencies[WARM_UP..] {
        times.note(Duration::from_nanos(*latency), 1);
    }
    Ok(())
}

/// Whether the kernel says that the thread sleeps.
fn sleeps(stat: &str) -> bool {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_name.is_some_and(|rest| rest.starts_with('S'))
}

/// The limit: the stamp lies in an atomic.
struct BarePair;

struct Sleeper {
    epoll: Epoll,
    stamp: Arc<AtomicU64>,
}

impl Waking for BarePair {
    const NAME: &'static str = "bare eventfd and epoll";
    type Producer = (Arc<EventFd>, Arc<AtomicU64>);
    type Consumer = Sleeper;

    fn make() -> anyhow::Result<(Self::Producer, Sleeper)> {
        let bell = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            &*bell,
            EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0),
        )?;
        let stamp = Arc::new(AtomicU64::new(0));
        Ok(((bell, Arc::clone(&stamp)), Sleeper { epoll, stamp }))
    }

    fn publish((bell, shared): &mut Self::Producer, stamp: u64) -> anyhow::Result<()> {
        shared.store(stamp, Ordering::Release);
        bell.write(1)?;
        Ok(())
    }

    fn wait(sleeper: &mut Sleeper) -> anyhow::Result<u64> {
        sleeper
            .epoll
            .wait(&mut [EpollEvent::empty()], EpollTimeout::NONE)?;
        Ok(sleeper.stamp.load(Ordering::Acquire))
    }
}

/// A ring that is armed, in the pool's own epoll.
struct Mixpool;

impl Waking for Mixpool {
    const NAME: &'static str = "mixpool";
    type Producer = Producer;
    type Consumer = Consumer;

    fn make() -> anyhow::Result<(Producer, Consumer)> {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(64 << 10).build()?;
        Ok((pool.acquire()?, consumer))
    }

    fn publish(producer: &mut Producer, stamp: u64) -> anyhow::Result<()> {
        Ok(producer.publish(&stamp.to_ne_bytes())?)
    }

    fn wait(consumer: &mut Consumer) -> anyhow::Result<u64> {
        let mut stamp = None;
        loop {
            // To the end of the pass: then, and not before, it is safe to sleep.
            while let Some(lease) = consumer.next_ready() {
                consumer.drain(lease, 64, |message| stamp = message.try_into().ok())?;
            }
            if let Some(stamp) = stamp {
                return Ok(u64::from_ne_bytes(stamp));
            }
            consumer.wait(None)?;
        }
    }
}

/// As `Mixpool`, with the pool's descriptor in a tokio task.
struct TokioTask;

struct Task {
    runtime: Runtime,
    pool: AsyncFd<Consumer>,
}

impl Waking for TokioTask {
    const NAME: &'static str = "mixpool, in a tokio task";
    type Producer = Producer;
    type Consumer = Task;

    fn make() -> anyhow::Result<(Producer, Task)> {
        let (producer, consumer) = Mixpool::make()?;
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let pool = {
            let _entered = runtime.enter();
            // SAFETY: the consumer's descriptor is the same one for as long as the pool lives, which closes it.
            unsafe { AsyncFd::register_with_interest(consumer, Interest::READABLE) }
        };
        let pool = pool.map_err(|refused| refused.into_parts().1)?;
        Ok((producer, Task { runtime, pool }))
    }

    fn publish(producer: &mut Producer, stamp: u64) -> anyhow::Result<()> {
        Mixpool::publish(producer, stamp)
    }

    fn wait(Task { runtime, pool }: &mut Task) -> anyhow::Result<u64> {
        runtime.block_on(async {
            let mut stamp = None;
            loop {
                let mut ready = pool.readable_mut().await?;
                let consumer = ready.get_inner_mut();
                while let Some(lease) = consumer.next_ready() {
                    consumer.drain(lease, 64, |message| stamp = message.try_into().ok())?;
                }
                ready.clear_ready();
                if let Some(stamp) = stamp {
                    return Ok(u64::from_ne_bytes(stamp));
                }
            }
        })
    }
}

struct StdChannel;

impl Waking for StdChannel {
    const NAME: &'static str = "std sync_channel, parked";
    type Producer = mpsc::SyncSender<u64>;
    type Consumer = mpsc::Receiver<u64>;

    fn make() -> anyhow::Result<(Self::Producer, Self::Consumer)> {
        Ok(mpsc::sync_channel(64))
    }

    fn publish(producer: &mut Self::Producer, stamp: u64) -> anyhow::Result<()> {
        producer.send(stamp).context("sending a stamp")
    }

    fn wait(consumer: &mut Self::Consumer) -> anyhow::Result<u64> {
        consumer.recv().context("waiting for a stamp")
    }
}

struct Crossbeam;

impl Waking for Crossbeam {
    const NAME: &'static str = "crossbeam-channel, parked";
    type Producer = crossbeam_channel::Sender<u64>;
    type Consumer = crossbeam_channel::Receiver<u64>;

    fn make() -> anyhow::Result<(Self::Producer, Self::Consumer)> {
        Ok(crossbeam_channel::bounded(64))
    }

    fn publish(producer: &mut Self::Producer, stamp: u64) -> anyhow::Result<()> {
        producer.send(stamp).context("sending a stamp")
    }

    fn wait(consumer: &mut Self::Consumer) -> anyhow::Result<u64> {
        consumer.recv().context("waiting for a stamp")
    }
}
