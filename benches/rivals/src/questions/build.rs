//! How long does it take to make a pool?

use std::hint::black_box;

use anyhow::ensure;
use mixpool_queue::Pool;

use crate::{
    measure::{Run, Times, order, time},
    memory::Shared,
    report::{Answer, Bar, Rows, Unit},
};

pub const ASKS: &str = "How long does it take to make a pool? The limit: the kernel zeroing as many \
bytes of fresh shared memory, once.";

const LIMIT: &str = "zeroing a plain shared mapping";
const OURS: &str = "mixpool, prefaulted";
const LAZY: &str = "mixpool, not prefaulted";

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("pool", Unit::Milliseconds);
    let lazy = case(run.count(10_000, 1000), 64 << 10);
    answer.case(
        &lazy.to_string(),
        LIMIT,
        0,
        &vec![(LAZY.to_owned(), not_prefaulted(run, lazy)?)],
    );
    let whole = case(run.count(1000, 10), 1 << 20);
    answer.case(
        &whole.to_string(),
        LIMIT,
        whole.bytes(),
        &prefaulted(run, whole)?,
    );
    answer.bars = vec![
        Bar::at_most(
            format!("{lazy}, not prefaulted, in seconds"),
            answer.median(&lazy.to_string(), LAZY) / 1e9,
            1.0,
        ),
        Bar::at_most(
            format!("{whole}: `{OURS}` / `{LIMIT}`"),
            answer.times_limit(&whole.to_string(), OURS),
            1.2,
        ),
    ];
    answer.note("A prefaulted pool has its pages present in both views of each ring: twice the page table entries.");
    Ok(answer)
}

/// Rings of one size.
#[derive(Debug, Clone, Copy)]
struct Case {
    slots: usize,
    ring_bytes: usize,
}

fn case(slots: usize, ring_bytes: usize) -> Case {
    Case { slots, ring_bytes }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rings of {} KiB", self.slots, self.ring_bytes >> 10)
    }
}

impl Case {
    fn bytes(self) -> usize {
        self.slots * self.ring_bytes
    }

    /// Times making the pool; then sees that its first ring and its last carry a message.
    fn build(self, prefault: bool, times: &mut Times) -> anyhow::Result<()> {
        let builder = Pool::builder()
            .slots(self.slots)
            .ring_bytes(self.ring_bytes);
        let (took, built) = time(|| builder.prefault(prefault).build());
        times.note(took, 1);
        let (pool, mut consumer) = built?;
        let producers: Result<Vec<_>, _> = (0..self.slots).map(|_| pool.acquire()).collect();
        let mut producers = producers?;
        for slot in [0, self.slots - 1] {
            let producer = &mut producers[slot];
            producer.publish(b"message")?;
            let message = consumer.get(producer.lease())?;
            ensure!(
                message.is_some_and(|message| *message == *b"message"),
                "slot {slot} lost a message"
            );
        }
        Ok(())
    }
}

fn not_prefaulted(run: &Run, case: Case) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for _ in 0..run.count(20, 1) {
        case.build(false, &mut times)?;
    }
    Ok(times)
}

/// The pool, the limit and ordinary memory, in turn.
fn prefaulted(run: &Run, case: Case) -> anyhow::Result<Rows> {
    const WRITTEN: &str = "writing zeroes to ordinary memory";
    let names = [LIMIT, OURS, WRITTEN];
    let mut times = vec![Times::default(); names.len()];
    for round in 0..run.count(9, 1) {
        for index in order(names.len(), round) {
            let times = &mut times[index];
            match names[index] {
                OURS => case.build(true, times)?,
                LIMIT => {
                    let memory = Shared::new(case.bytes())?;
                    let (took, populated) = time(|| memory.populate());
                    populated?;
                    times.note(took, 1);
                    ensure!(
                        memory.iter().all(|&byte| byte == 0),
                        "fresh memory is not zero"
                    );
                }
                _ => {
                    let mut memory: Vec<u8> = Vec::with_capacity(case.bytes());
                    let (took, ()) = time(|| memory.resize(black_box(case.bytes()), 0));
                    times.note(took, 1);
                }
            }
        }
    }
    let rows = names.into_iter().zip(times);
    Ok(rows.map(|(name, times)| (name.to_owned(), times)).collect())
}
