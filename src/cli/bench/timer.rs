//! The bare timer: the lateness of a thread that only waits for ticks.
//!
//! It is the mixer's clock without the mixer, so its lateness is the machine's own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mixpool::engine::{Stop, TickReport};
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time,
};
use serde::Serialize;

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

/// Waits on a timer of this period for `time`, or until stopped.
pub(super) fn measure(period: Duration, time: Duration, stop: &Stop) -> Result<TimerReport> {
    let lateness_ns = wait(period, time, stop).context("cannot wait on the bare timer")?;
    Ok(TimerReport::new(lateness_ns, period))
}

/// The lateness of each tick in nanoseconds, for `time` or until stopped.
fn wait(period: Duration, time: Duration, stop: &Stop) -> nix::Result<Vec<u64>> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    // Room for all ticks, so that the thread only waits.
    let room = time.as_nanos() / period.as_nanos() + 2;
    let mut lateness_ns = Vec::with_capacity(room as usize);
    let mut due = now()? + period;
    let end = due + time;
    timer.set(
        Expiration::IntervalDelayed(TimeSpec::from(due), TimeSpec::from(period)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME,
    )?;
    while due < end && !stop.is_requested() {
        let mut ticks = [0; 8];
        match nix::unistd::read(&timer, &mut ticks) {
            Err(Errno::EINTR) => continue,
            read => read?,
        };
        let begun = now()?;
        for _ in 0..u64::from_ne_bytes(ticks) {
            lateness_ns.push(begun.saturating_sub(due).as_nanos() as u64);
            due += period;
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
        let (period, time) = (Duration::from_millis(1), Duration::from_millis(20));
        let before = now().unwrap();
        let lateness = wait(period, time, &Stop::new().unwrap()).unwrap();
        let passed = now().unwrap().saturating_sub(before);
        assert!((20..=passed.as_millis()).contains(&(lateness.len() as u128)));
        let begun = (1..)
            .zip(&lateness)
            .map(|(tick, late)| tick * 1_000_000 + late);
        assert!(begun.is_sorted(), "{lateness:?}");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let stop = Stop::new().unwrap();
        stop.request();
        let hour = Duration::from_secs(3600);
        assert!(wait(hour, hour, &stop).unwrap().is_empty());
        assert!(stop.wait(hour));
    }
}
