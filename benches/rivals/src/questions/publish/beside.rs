//! Batches that the other core reads as they come.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::ensure;

use super::{
    LIMIT, USUAL,
    laps::{Lap, Memcpy, is_same},
};
use crate::{
    contenders::{Contender, Publish, Receive, Room, Visit, visit_all},
    measure::{Pinned, Run, Times, order, time},
    report::Rows,
    turns,
};

/// Messages of a batch that the other core reads meanwhile, and the ring they never fill.
const BATCH: usize = 128;
const READ_ROOM: Room = Room {
    ring_bytes: 64 << 10,
    message_bytes: USUAL,
};

type Beside = fn(&Run, usize, &mut Times) -> anyhow::Result<()>;

struct Besides(Vec<(String, Beside)>);

impl Visit for Besides {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()> {
        self.0.push((C::NAME.to_owned(), beside::<C>));
        Ok(())
    }
}

/// Every contender while the other core reads, and the limit without a reader, in turn.
pub fn measure(run: &Run) -> anyhow::Result<Rows> {
    let mut all = Besides(vec![(LIMIT.to_owned(), alone)]);
    visit_all(&mut all)?;
    let mut times = vec![Times::default(); all.0.len()];
    for round in 0..run.count(20, 1) {
        for index in order(all.0.len(), round) {
            all.0[index].1(run, run.count(100, 3), &mut times[index])?;
        }
    }
    let rows = all.0.into_iter().zip(times);
    Ok(rows.map(|((name, _), times)| (name, times)).collect())
}

fn alone(run: &Run, batches: usize, times: &mut Times) -> anyhow::Result<()> {
    let _pinned = Pinned::to(run.cores.0)?;
    let mut limit = Memcpy::new(READ_ROOM, 0)?;
    let message = vec![0x5a; black_box(USUAL)];
    for batch in 0..batches + 2 {
        let (took, _) = time(|| limit.publish(&message, BATCH));
        if batch >= 2 {
            times.note(took, BATCH);
        }
    }
    Ok(())
}

fn beside<C: Contender>(run: &Run, batches: usize, times: &mut Times) -> anyhow::Result<()> {
    let (mut sender, mut receiver) = C::pair(READ_ROOM)?;
    let message = vec![0x5a; black_box(USUAL)];
    let (received, damaged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| -> anyhow::Result<()> {
        let reader = scope.spawn(|| -> anyhow::Result<()> {
            let _pinned = Pinned::to(run.cores.1)?;
            let (mut read, mut same) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let each = |first: &[u8], second: &[u8]| {
                    same += usize::from(is_same(&message, first, second));
                };
                read += receiver.receive(64, each);
                damaged.store(read - same, Ordering::Relaxed);
                received.store(read, Ordering::Release);
            }
            Ok(())
        });
        let pinned = Pinned::to(run.cores.0);
        let mut sent = 0;
        for batch in 0..batches + 2 {
            let (took, taken) = time(|| {
                (0..BATCH)
                    .filter(|_| sender.publish(black_box(&message)))
                    .count()
            });
            sent += taken;
            if batch >= 2 {
                times.note(took, BATCH);
            }
            turns::spin_until(|| received.load(Ordering::Acquire) == sent || reader.is_finished());
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader does not panic")?;
        drop(pinned?);
        ensure!(
            sent == (batches + 2) * BATCH,
            "{}: a ring with room refused",
            C::NAME
        );
        let damaged = damaged.load(Ordering::Relaxed);
        ensure!(
            damaged == 0,
            "{}: {damaged} messages are not what was sent",
            C::NAME
        );
        Ok(())
    })
}
