//! How much gets through from many producers to one consumer?
//!
//! The consumer has one core, the producers share the other one. All send messages of random sizes,
//! wait when there is no room, and the consumer adds up every byte.

use std::{sync::Barrier, thread};

use anyhow::ensure;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    contenders::{Contender, Publish, Receive, Room, Visit, visit_all},
    measure::{Pinned, Run, Times, order, time, total},
    memory::Shared,
    report::{Answer, Rows, Unit},
    turns,
};

pub const ASKS: &str = "What does a message of random size cost, from 1 to 64 producers on one core \
to a consumer on the other? The limit: one thread copying the same messages.";

const LIMIT: &str = "copying alone";
/// Of a message, in steps of eight.
const BYTES_MIN: usize = 8;
const BYTES_MAX: usize = 4096;
const ROOM: Room = Room {
    ring_bytes: 64 << 10,
    message_bytes: 2048,
};

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("message", Unit::Nanoseconds);
    for producers in [1, 2, 4, 8, 64] {
        let case = match producers {
            1 => "1 producer".to_owned(),
            producers => format!("{producers} producers"),
        };
        let traffic = Traffic::new(producers, run.count(32_768, 1024));
        answer.case(&case, LIMIT, traffic.mean_bytes(), &measure(run, &traffic)?);
    }
    answer.note(format!(
        "Messages of {BYTES_MIN} to {BYTES_MAX} bytes; {} KiB of room for each producer. Who finds no room gives \
the core to others and tries again, or sleeps where the queue offers it.",
        ROOM.ring_bytes >> 10
    ));
    answer.note("Each round is timed as a whole: median, p99 and max are of rounds.");
    Ok(answer)
}

/// The messages of all producers, each from the same noise at places of its own.
struct Traffic {
    noise: Vec<u8>,
    /// By producer: where each message lies.
    messages: Vec<Vec<(usize, usize)>>,
}

impl Traffic {
    fn new(producers: usize, messages: usize) -> Self {
        let mut random = SmallRng::seed_from_u64(1);
        let noise: Vec<u8> = (0..64 << 10).map(|_| random.random()).collect();
        let mut message = || {
            let bytes = random.random_range(BYTES_MIN / 8..=BYTES_MAX / 8) * 8;
            (random.random_range(0..=noise.len() - bytes), bytes)
        };
        let messages = (0..producers)
            .map(|_| (0..messages / producers).map(|_| message()).collect())
            .collect();
        Self { noise, messages }
    }

    fn of(&self, producer: usize) -> impl Iterator<Item = &[u8]> {
        let places = self.messages[producer].iter();
        places.map(|&(from, bytes)| &self.noise[from..from + bytes])
    }

    fn mean_bytes(&self) -> usize {
        let sizes = self.all().map(<[u8]>::len);
        sizes.sum::<usize>() / self.all().count()
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.messages.len()).flat_map(|producer| self.of(producer))
    }
}

/// The messages that arrived, or should.
#[derive(Debug, Default, PartialEq)]
struct Arrived {
    messages: usize,
    bytes: usize,
    sum: u64,
}

impl Arrived {
    fn add(&mut self, first: &[u8], second: &[u8]) {
        self.messages += 1;
        self.bytes += first.len() + second.len();
        self.sum = self
            .sum
            .wrapping_add(total(first))
            .wrapping_add(total(second));
    }
}

type Round = fn(&Run, &Traffic, &Arrived, &mut Times) -> anyhow::Result<()>;

struct Rounds(Vec<(String, Round)>);

impl Visit for Rounds {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()> {
        if C::ANY_SIZE {
            self.0.push((C::NAME.to_owned(), round::<C>));
        }
        Ok(())
    }
}

/// Every contender and the limit, in turn.
fn measure(run: &Run, traffic: &Traffic) -> anyhow::Result<Rows> {
    let mut expected = Arrived::default();
    traffic.all().for_each(|message| expected.add(message, &[]));
    let mut contenders = Rounds(vec![(LIMIT.to_owned(), copy)]);
    visit_all(&mut contenders)?;
    let contenders = contenders.0;
    let mut times = vec![Times::default(); contenders.len()];
    for round in 0..run.count(20, 1) {
        for index in order(contenders.len(), round) {
            contenders[index].1(run, traffic, &expected, &mut times[index])?;
        }
    }
    let rows = contenders.into_iter().zip(times);
    Ok(rows.map(|((name, _), times)| (name, times)).collect())
}

/// The limit: every message copied into shared memory, around and around.
fn copy(run: &Run, traffic: &Traffic, expected: &Arrived, times: &mut Times) -> anyhow::Result<()> {
    let _pinned = Pinned::to(run.cores.0)?;
    let mut memory = Shared::present(ROOM.ring_bytes)?;
    let (took, ()) = time(|| {
        let mut at = 0;
        for message in traffic.all() {
            if at + message.len() > memory.len() {
                at = 0;
            }
            memory[at..at + message.len()].copy_from_slice(message);
            at += message.len();
        }
    });
    times.note(took, expected.messages);
    Ok(())
}

fn round<C: Contender>(
    run: &Run,
    traffic: &Traffic,
    expected: &Arrived,
    times: &mut Times,
) -> anyhow::Result<()> {
    let producers = traffic.messages.len();
    let (senders, mut receiver) = C::make(producers, ROOM)?;
    let start = Barrier::new(producers + 1);
    let mut arrived = Arrived::default();
    thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(producer, mut sender)| {
                let start = &start;
                scope.spawn(move || {
                    let pinned = Pinned::to(run.cores.1);
                    start.wait();
                    traffic
                        .of(producer)
                        .for_each(|message| sender.publish_or_wait(message));
                    pinned.map(drop)
                })
            })
            .collect();
        let pinned = Pinned::to(run.cores.0);
        start.wait();
        let (took, ()) = time(|| {
            turns::spin_until(|| {
                receiver.receive(64, |first, second| arrived.add(first, second));
                arrived.messages == expected.messages
            });
        });
        times.note(took, expected.messages);
        for thread in threads {
            thread.join().expect("a producer does not panic")?;
        }
        pinned.map(drop)
    })?;
    ensure!(
        arrived == *expected,
        "{}: {arrived:?} arrived, not {expected:?}",
        C::NAME
    );
    Ok(())
}
