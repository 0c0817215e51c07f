//! The bare timer: the lateness of a thread that only waits for ticks.
//!
//! It is the mixer's clock without the mixer, so its lateness is the machine's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use mixpool::engine::TickReport;
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time,
};
use serde::Serialize;

use super::Interrupt;

/// The ticks of the bare timer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TimerReport {
    pub(super) ticks: u64,
    /// Ticks that began after the next was due, as the mixer counts them.
    pub(super) late_ticks: u64,
    /// From due to begun.
    pub(super) tick_lateness: TickReport,
}

impl TimerReport {
    /// From the lateness of each tick.
    fn new(mut lateness_ns: Vec<u64>, period: Duration) -> Self {
        let late = |&&ns: &&u64| u128::from(ns) >= period.as_nanos();
        let late_ticks = lateness_ns.iter().filter(late).count() as u64;
        lateness_ns.sort_unstable();
        let ticks = lateness_ns.len();
        // The shortest lateness that this part of the ticks does not exceed.
        let quantile = |per_mille: usize| {
            let rank = (ticks * per_mille).div_ceil(1000);
            lateness_ns.get(rank.saturating_sub(1)).copied()
        };
        Self {
            ticks: ticks as u64,
            late_ticks,
            tick_lateness: TickReport {
                p50_ns: quantile(500).unwrap_or(0),
                p99_ns: quantile(990).unwrap_or(0),
                p99_9_ns: quantile(999).unwrap_or(0),
                max_ns: quantile(1000).unwrap_or(0),
            },
        }
    }
}

/// Waits on a timer of this period for `time`. `None`: interrupted.
pub(super) fn measure(
    period: Duration,
    time: Duration,
    interrupt: &Interrupt,
) -> Result<Option<TimerReport>> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)
        .context("cannot make the bare timer")?;
    // Room for all ticks, so that the thread only waits.
    let room = time.as_nanos() / period.as_nanos() + 2;
    let lateness_ns = Vec::with_capacity(room as usize);
    let stop = Arc::new(AtomicBool::new(false));
    let thread = thread::Builder::new()
        .name("bare-timer".to_owned())
        .spawn({
            let stop = Arc::clone(&stop);
            move || wait(&timer, period, lateness_ns, &stop)
        })
        .context("cannot start the bare timer's thread")?;
    let interrupted = interrupt.sleep(time);
    stop.store(true, Ordering::Relaxed);
    let lateness_ns = thread
        .join()
        .expect("the bare timer's thread panicked")
        .context("cannot wait on the bare timer")?;
    Ok((!interrupted).then(|| TimerReport::new(lateness_ns, period)))
}

/// The lateness of each tick until stopped, in nanoseconds; at least of one tick.
fn wait(
    timer: &TimerFd,
    period: Duration,
    mut lateness_ns: Vec<u64>,
    stop: &AtomicBool,
) -> nix::Result<Vec<u64>> {
    let mut due = now()? + period;
    timer.set(
        Expiration::IntervalDelayed(TimeSpec::from(due), TimeSpec::from(period)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
    )?;
    loop {
        let mut ticks = [0; 8];
        match nix::unistd::read(timer, &mut ticks) {
            Err(Errno::EINTR) => continue,
            read => read?,
        };
        let begun = now()?;
        for _ in 0..u64::from_ne_bytes(ticks) {
            lateness_ns.push(begun.saturating_sub(due).as_nanos() as u64);
            due += period;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(lateness_ns)
}

fn now() -> nix::Result<Duration> {
    time::clock_gettime(time::ClockId::CLOCK_MONOTONIC).map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_late_once_the_next_is_due_and_quantiles_are_exact() {
        let lateness: Vec<u64> = (1..=1000).rev().collect();
        let report = TimerReport::new(lateness, Duration::from_nanos(998));
        assert_eq!((report.ticks, report.late_ticks), (1000, 3));
        let TickReport {
            p50_ns,
            p99_ns,
            p99_9_ns,
            max_ns,
        } = report.tick_lateness;
        assert_eq!((p50_ns, p99_ns, p99_9_ns, max_ns), (500, 990, 999, 1000));
        let none = TimerReport::new(Vec::new(), Duration::from_nanos(1));
        assert_eq!((none.ticks, none.tick_lateness.max_ns), (0, 0));
    }

    #[test]
    fn ticks_begin_in_order_and_none_before_its_time() {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).unwrap();
        let stop = AtomicBool::new(false);
        let period = Duration::from_millis(1);
        let before = now().unwrap();
        let lateness = thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&timer, period, Vec::new(), &stop).unwrap());
            thread::sleep(Duration::from_millis(20));
            stop.store(true, Ordering::Relaxed);
            waiting.join().unwrap()
        });
        let passed = now().unwrap().saturating_sub(before);
        assert!((1..=passed.as_millis()).contains(&(lateness.len() as u128)));
        let begun = (1..)
            .zip(&lateness)
            .map(|(tick, late)| tick * 1_000_000 + late);
        assert!(begun.is_sorted(), "{lateness:?}");
    }
}
