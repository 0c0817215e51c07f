//! The cost of taking and freeing a ring, and its effect on the neighbours.
//!
//! The rival does what a pool spares: it maps a ring's memory, twice in a row, for each lease, and
//! unmaps it.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use memfd::Memfd;
use mixpool_queue::{Consumer, Pool};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::{
    measure::{Pinned, Run, Times, order, time},
    memory::memory_file,
    report::{Answer, Rows, Unit},
    turns,
};

pub const ASKS: &str = "What does it cost to take a ring and give it back, and what do its neighbours feel of \
it? Divided by mapping and unmapping a ring for each lease.";

const RING_BYTES: usize = 1 << 20;
const MESSAGE_BYTES: usize = 320;
const OURS: &str = "mixpool, acquire and release";
const RIVAL: &str = "mmap and munmap, two views";
const NOBODY: &str = "nobody";

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("lease, or publish", Unit::Nanoseconds);
    for (case, publishes) in [
        ("lease of 1 MiB", false),
        ("lease of 1 MiB, one message", true),
    ] {
        answer.case(case, RIVAL, 0, &cycles(run, publishes)?);
    }
    answer.case(
        "publish of 320 bytes while the other core cycles leases",
        NOBODY,
        MESSAGE_BYTES,
        &neighbour(run)?,
    );
    answer.note(
        "The neighbour's publishes are timed one by one; the row is named by what the other core does \
meanwhile, beside draining the neighbour's ring, and divided by its doing nothing.",
    );
    Ok(answer)
}

/// Leases, one after the other.
trait Cycle: Send {
    /// One lease from beginning to end, with a message or without.
    fn cycle(&mut self, message: Option<&[u8]>) -> anyhow::Result<()>;
}

struct Leases {
    pool: Pool,
    consumer: Consumer,
}

impl Leases {
    fn new() -> anyhow::Result<Self> {
        let (pool, consumer) = Pool::builder()
            .slots(16)
            .ring_bytes(RING_BYTES)
            .prefault(true)
            .build()?;
        Ok(Self { pool, consumer })
    }
}

impl Cycle for Leases {
    fn cycle(&mut self, message: Option<&[u8]>) -> anyhow::Result<()> {
        let mut producer = self.pool.acquire()?;
        let lease = producer.lease();
        if let Some(message) = message {
            producer.publish(message)?;
        }
        producer.close();
        if let Some(message) = message {
            let got = self.consumer.get(lease)?.context("no message")?;
            ensure!(*got == *message, "the message is not what was sent");
            got.ack();
        }
        Ok(self.consumer.release(lease)?)
    }
}

/// A ring's bytes of a memory file with resident pages.
struct Mappings(Memfd);

impl Mappings {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(memory_file(RING_BYTES)?))
    }
}

impl Cycle for Mappings {
    fn cycle(&mut self, message: Option<&[u8]>) -> anyhow::Result<()> {
        let both = NonZeroUsize::new(2 * RING_BYTES).context("no bytes")?;
        let one = NonZeroUsize::new(RING_BYTES).context("no bytes")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let fixed = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY:
        // * The reservation is at an address of the kernel's choice and replaces nothing; both views
        //   lie inside it and replace parts of it alone.
        // * The bytes written and read lie in the first view, which lives until the end of the block,
        //   and no other thread has the file.
        // * The reservation is unmapped, views included; no reference to it is left.
        unsafe {
            let start = mmap_anonymous(None, both, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE)?;
            for view in [start, start.byte_add(RING_BYTES)] {
                let at = NonZeroUsize::new(view.as_ptr() as usize);
                mmap(at, one, access, fixed, self.0.as_file(), 0)?;
            }
            if let Some(message) = message {
                let ring =
                    std::slice::from_raw_parts_mut(start.cast::<u8>().as_ptr(), message.len());
                ring.copy_from_slice(message);
                ensure!(
                    black_box(&*ring) == message,
                    "the message is not what was sent"
                );
            }
            munmap(start, both.get())?;
        }
        Ok(())
    }
}

/// Both kinds of lease, in turn.
fn cycles(run: &Run, publishes: bool) -> anyhow::Result<Rows> {
    const CYCLES: usize = 16;
    let _pinned = Pinned::to(run.cores.0)?;
    let mut all: [(&str, Box<dyn Cycle>); 2] = [
        (OURS, Box::new(Leases::new()?)),
        (RIVAL, Box::new(Mappings::new()?)),
    ];
    let message = vec![0x5a; MESSAGE_BYTES];
    let message = publishes.then_some(&*message);
    let mut times = vec![Times::default(); all.len()];
    for round in 0..=run.count(1000, 3) {
        for index in order(all.len(), round) {
            let cycle = &mut all[index].1;
            let (took, cycled) = time(|| (0..CYCLES).try_for_each(|_| cycle.cycle(message)));
            cycled?;
            // The first finds everything cold.
            if round > 0 {
                times[index].note(took, CYCLES);
            }
        }
    }
    let rows = all.into_iter().zip(times);
    Ok(rows
        .map(|((name, _), times)| (name.to_owned(), times))
        .collect())
}

/// The publishes of a neighbour while the other core cycles leases, or does not, in turn.
fn neighbour(run: &Run) -> anyhow::Result<Rows> {
    let names = [NOBODY, OURS, RIVAL];
    let mut times = vec![Times::default(); names.len()];
    for round in 0..run.count(20, 1) {
        for index in order(names.len(), round) {
            let leases = Leases::new()?;
            let disturb = match names[index] {
                OURS => Disturb::Leases,
                RIVAL => Disturb::Mappings(Mappings::new()?),
                _ => Disturb::Not,
            };
            publish_beside(
                run,
                leases,
                disturb,
                run.count(10_000, 100),
                &mut times[index],
            )?;
        }
    }
    let rows = names.into_iter().zip(times);
    Ok(rows.map(|(name, times)| (name.to_owned(), times)).collect())
}

/// The work of the other core.
enum Disturb {
    Not,
    Leases,
    Mappings(Mappings),
}

fn publish_beside(
    run: &Run,
    mut leases: Leases,
    mut disturb: Disturb,
    messages: usize,
    times: &mut Times,
) -> anyhow::Result<()> {
    /// How often the neighbour's ring is drained meanwhile.
    const DRAIN_PERIOD: Duration = Duration::from_micros(50);
    let mut producer = leases.pool.acquire()?;
    let lease = producer.lease();
    let message = vec![0x5a; MESSAGE_BYTES];
    let closed = AtomicBool::new(false);
    thread::scope(|scope| -> anyhow::Result<()> {
        let (sent, closed) = (&message, &closed);
        let other = scope.spawn(move || -> anyhow::Result<usize> {
            let _pinned = Pinned::to(run.cores.1)?;
            let mut same = 0;
            loop {
                let last = closed.load(Ordering::Acquire);
                let batch = leases.consumer.get_batch(lease, usize::MAX)?;
                same += batch.iter().filter(|got| got == sent).count();
                batch.ack();
                if last {
                    return Ok(same);
                }
                let drained = Instant::now();
                while drained.elapsed() < DRAIN_PERIOD {
                    match &mut disturb {
                        Disturb::Not => std::hint::spin_loop(),
                        Disturb::Leases => leases.cycle(Some(sent))?,
                        Disturb::Mappings(mappings) => mappings.cycle(Some(sent))?,
                    }
                }
            }
        });
        let pinned = Pinned::to(run.cores.0);
        let published = (0..messages).try_for_each(|_| {
            turns::spin_until(|| producer.has_room(MESSAGE_BYTES) || other.is_finished());
            let (took, published) = time(|| producer.publish(black_box(&message)));
            times.note(took, 1);
            published
        });
        closed.store(true, Ordering::Release);
        drop(pinned?);
        published?;
        let same = other.join().expect("the other thread does not panic")?;
        ensure!(
            same == messages,
            "{same} of {messages} messages are what was sent"
        );
        Ok(())
    })
}
