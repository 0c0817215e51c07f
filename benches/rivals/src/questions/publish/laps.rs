//! Batches that one thread publishes and takes back itself.

use std::{hint::black_box, mem, time::Duration};

use anyhow::ensure;

use super::{LIMIT, SPACED};
use crate::{
    contenders::{Contender, Publish, Receive, Room, Visit, visit_all},
    measure::{Pinned, Run, Times, order, time},
    memory::Shared,
    report::Rows,
};

/// More than any core has of its own.
const EVICTING_BYTES: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq)]
pub enum Heat {
    /// Laps of a ring that the laps before left in the cache.
    Warm,
    /// One lap of a ring that has left the caches of this core.
    Cold,
}

/// A queue, both its halves on this thread.
pub trait Lap {
    /// Publishes as many copies; returns how many were taken.
    fn publish(&mut self, message: &[u8], count: usize) -> usize;

    /// Takes all that was published; returns how many were what was sent.
    fn drain(&mut self, message: &[u8]) -> usize;
}

pub struct Both<C: Contender>(C::Sender, C::Receiver);

impl<C: Contender> Both<C> {
    pub fn new(room: Room) -> anyhow::Result<Self> {
        let (sender, receiver) = C::pair(room)?;
        Ok(Self(sender, receiver))
    }
}

impl<C: Contender> Lap for Both<C> {
    fn publish(&mut self, message: &[u8], count: usize) -> usize {
        let taken = (0..count).filter(|_| self.0.publish(black_box(message)));
        taken.count()
    }

    fn drain(&mut self, message: &[u8]) -> usize {
        let mut same = 0;
        while self.1.receive(64, |first, second| {
            same += usize::from(is_same(message, first, second));
        }) > 0
        {}
        same
    }
}

pub fn is_same(message: &[u8], first: &[u8], second: &[u8]) -> bool {
    message.len() == first.len() + second.len()
        && message.starts_with(first)
        && message.ends_with(second)
}

/// The limit: copies into shared memory, one behind the other, around and around.
pub struct Memcpy {
    memory: Shared,
    /// Bytes left out before each copy.
    gap: usize,
    at: usize,
    copied: usize,
}

impl Memcpy {
    pub fn new(room: Room, gap: usize) -> anyhow::Result<Self> {
        let memory = Shared::present(room.ring_bytes)?;
        Ok(Self {
            memory,
            gap,
            at: 0,
            copied: 0,
        })
    }
}

impl Lap for Memcpy {
    fn publish(&mut self, message: &[u8], count: usize) -> usize {
        for _ in 0..count {
            let message = black_box(message);
            if self.at + self.gap + message.len() > self.memory.len() {
                self.at = 0;
            }
            let from = self.at + self.gap;
            self.at = from + message.len();
            self.memory[from..self.at].copy_from_slice(message);
        }
        self.copied += count;
        count
    }

    fn drain(&mut self, message: &[u8]) -> usize {
        // The copies of a lap lie in a row, the last one before `at`.
        let copies = self.memory[..self.at].chunks_exact(self.gap + message.len());
        let mut latest = copies.rev().take(self.copied);
        let same = latest.all(|copy| copy.ends_with(message));
        mem::take(&mut self.copied) * usize::from(same)
    }
}

struct Laps {
    room: Room,
    all: Vec<(String, Box<dyn Lap>)>,
}

impl Visit for Laps {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()> {
        self.all
            .push((C::NAME.to_owned(), Box::new(Both::<C>::new(self.room)?)));
        Ok(())
    }
}

/// Every contender and the limit, in turn.
pub fn measure(run: &Run, room: Room, heat: Heat) -> anyhow::Result<Rows> {
    let pinned = Pinned::to(run.cores.0)?;
    let limit: Box<dyn Lap> = Box::new(Memcpy::new(room, 0)?);
    let spaced: Box<dyn Lap> = Box::new(Memcpy::new(room, 8)?);
    let mut laps = Laps {
        room,
        all: vec![(LIMIT.to_owned(), limit), (SPACED.to_owned(), spaced)],
    };
    visit_all(&mut laps)?;
    let mut laps = laps.all;
    // A ring that was just drained takes a message less where it must not wrap in a message.
    let count = room.messages() - 1;
    let (warm_up, timed) = match heat {
        Heat::Warm => (2, 8),
        Heat::Cold => (0, 1),
    };
    let rounds = match heat {
        Heat::Warm => run.count(2000, 3),
        Heat::Cold => run.count(200, 2),
    };
    let evicting = vec![1_u8; EVICTING_BYTES];
    let mut times = vec![Times::default(); laps.len()];
    for round in 0..=rounds {
        for index in order(laps.len(), round) {
            let (name, lap) = &mut laps[index];
            let message = vec![round as u8 ^ 0x5a; black_box(room.message_bytes)];
            let mut took = Duration::ZERO;
            for repeat in 0..warm_up + timed {
                if heat == Heat::Cold {
                    black_box(evicting.iter().fold(0_u8, |all, &byte| all ^ byte));
                }
                let (batch, taken) = time(|| lap.publish(&message, count));
                ensure!(taken == count, "{name}: refused {} messages", count - taken);
                let same = lap.drain(&message);
                ensure!(
                    same == count,
                    "{name}: {} messages are not what was sent",
                    count - same
                );
                if repeat >= warm_up {
                    took += batch;
                }
            }
            // The first round makes pages present and finds the allocator's.
            if round > 0 {
                times[index].note(took, timed * count);
            }
        }
    }
    drop(pinned);
    let rows = laps.into_iter().zip(times);
    Ok(rows.map(|((name, _), times)| (name, times)).collect())
}
