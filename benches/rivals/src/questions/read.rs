//! The cost of getting a message, reading it and freeing its room.
//!
//! One thread publishes a batch, untimed, and takes it back, timed. Every contender's consumer adds up
//! the bytes of every message, and the sum is checked.

use std::{hint::black_box, time::Duration};

use anyhow::ensure;

use crate::{
    contenders::{
        Contender, FromC, InPlace, Mixpool, Publish, Receive, Room, Visit, Woken, visit_all,
    },
    measure::{Pinned, Run, Times, order, time, total},
    report::{Answer, Bar, Rows, Unit},
};

pub const ASKS: &str = "What does it cost to get, read and ack a message that is in the cache? The limit: \
reading the same bytes in a row.";

const LIMIT: &str = "reading alone";
/// Messages published, then taken.
const MESSAGES: usize = 64;
/// Fits the first cache of a core.
const RING_BYTES: usize = 32 << 10;

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("message", Unit::Nanoseconds);
    for message_bytes in [32, 320] {
        for batch in [1, 16, 64] {
            let case = match batch {
                1 => format!("{message_bytes} bytes, one at a time"),
                batch => format!("{message_bytes} bytes, in batches of {batch}"),
            };
            answer.case(
                &case,
                LIMIT,
                message_bytes,
                &measure(run, message_bytes, batch)?,
            );
        }
    }
    let usual = "320 bytes, one at a time";
    let ours = answer.median(usual, Mixpool::NAME);
    let from_c = answer.median(usual, FromC::NAME);
    answer.bars = vec![
        Bar::at_most(
            format!("{usual}: `{}` - `{}`, ns", FromC::NAME, Mixpool::NAME),
            from_c - ours,
            4.0,
        ),
        Bar::at_most(
            format!("{usual}: `{}` - `{LIMIT}`, ns", FromC::NAME),
            from_c - answer.median(usual, LIMIT),
            14.5,
        ),
    ];
    answer.note(
        "A batch is one look at the producer and one ack where the queue can: mixpool, rtrb, ringbuf. \
The others take message after message.",
    );
    Ok(answer)
}

/// A queue, both its halves on this thread.
trait Refill {
    /// Publishes as many copies; returns how many were taken.
    fn fill(&mut self, message: &[u8], count: usize) -> usize;

    /// Takes them back, `batch` at a time; returns the sum of their bytes.
    fn read(&mut self, batch: usize) -> u64;
}

struct Both<C: Contender>(C::Sender, C::Receiver);

impl<C: Contender> Refill for Both<C> {
    fn fill(&mut self, message: &[u8], count: usize) -> usize {
        (0..count).filter(|_| self.0.publish(message)).count()
    }

    fn read(&mut self, batch: usize) -> u64 {
        let mut sum = 0_u64;
        for _ in 0..MESSAGES / batch {
            self.1.receive(batch, |first, second| {
                sum = sum.wrapping_add(total(first)).wrapping_add(total(second));
            });
        }
        sum
    }
}

/// The limit: the messages in a row.
#[derive(Default)]
struct Flat {
    bytes: Vec<u8>,
    message_bytes: usize,
}

impl Refill for Flat {
    fn fill(&mut self, message: &[u8], count: usize) -> usize {
        self.bytes = message.repeat(count);
        self.message_bytes = black_box(message.len());
        count
    }

    fn read(&mut self, _batch: usize) -> u64 {
        let messages = self.bytes.chunks_exact(self.message_bytes);
        messages.map(total).fold(0, u64::wrapping_add)
    }
}

struct Refills {
    room: Room,
    all: Vec<(String, Box<dyn Refill>)>,
}

impl Visit for Refills {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()> {
        // Its consumer is the same as with a publish from a slice.
        if [InPlace::NAME, Woken::NAME].contains(&C::NAME) {
            return Ok(());
        }
        let (sender, receiver) = C::pair(self.room)?;
        let both = Both::<C>(sender, receiver);
        self.all.push((C::NAME.to_owned(), Box::new(both)));
        Ok(())
    }
}

/// Every contender and the limit, in turn.
fn measure(run: &Run, message_bytes: usize, batch: usize) -> anyhow::Result<Rows> {
    /// The first finds the ring's memory as the other contenders left it.
    const WARM_UP: usize = 2;
    const TIMED: usize = 8;
    let _pinned = Pinned::to(run.cores.0)?;
    let mut refills = Refills {
        room: Room {
            ring_bytes: RING_BYTES,
            message_bytes,
        },
        all: vec![(LIMIT.to_owned(), Box::new(Flat::default()))],
    };
    visit_all(&mut refills)?;
    let mut refills = refills.all;
    let mut times = vec![Times::default(); refills.len()];
    for round in 0..run.count(2000, 3) {
        for index in order(refills.len(), round) {
            let (name, refill) = &mut refills[index];
            let message: Vec<u8> = (0..black_box(message_bytes))
                .map(|at| (at + round) as u8)
                .collect();
            let expected = total(&message).wrapping_mul(MESSAGES as u64);
            let mut took = Duration::ZERO;
            for repeat in 0..WARM_UP + TIMED {
                let taken = refill.fill(&message, MESSAGES);
                ensure!(taken == MESSAGES, "{name}: a ring with room refused");
                let (read, sum) = time(|| refill.read(batch));
                ensure!(
                    sum == expected,
                    "{name}: the bytes read are not those that were sent"
                );
                if repeat >= WARM_UP {
                    took += read;
                }
            }
            times[index].note(took, TIMED * MESSAGES);
        }
    }
    let rows = refills.into_iter().zip(times);
    Ok(rows.map(|((name, _), times)| (name, times)).collect())
}
