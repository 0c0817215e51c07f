//! The mixer thread: waits in epoll, runs ticks, hands blocks to the sinks.

mod ending;
mod hold_back;

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        resource::{UsageWho, getrusage},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use self::{ending::Ending, hold_back::HoldBack};
use super::{
    Clock, Scheduler, Settings, commands::Commands, mixer_stats::MixerStats, realtime::Granted,
    sinks::Sinks, stop::Stop, streams::Streams,
};
use crate::{
    audio::MixClock,
    mixer::Mixer,
    os::{during, now_ns},
    queue::LeaseId,
    stream::PlacingThreads,
};

/// While it catches up, the mixer runs at most this many ticks per period. A machine that stood still
/// stopped the sources too: they need a moment to bring what is overdue, or it would count as late.
const CATCH_UP_SPEED: u32 = 4;

/// While a tick is held back, the mixer looks so many times a period whether its blocks are placed.
const HOLD_BACK_LOOKS: u64 = 20;

/// Under a real-time priority the mixer rests for this share of a tick's time before the next overdue
/// one: 3 %, less than the 5 % that the kernel would keep for other threads.
const REST_SHARE: u64 = 32;

/// How the mixer thread ended.
#[derive(Debug)]
pub(super) struct MixerEnd {
    pub(super) mixer: Mixer,
    /// Commands that came too late for a tick.
    commands: Commands,
    /// Processor time of the thread.
    pub(super) cpu: Duration,
    /// From the first wait to the last tick.
    pub(super) elapsed: Duration,
}

impl MixerEnd {
    /// Once all sources are at rest: takes in those that were admitted too late to be mixed, so that their
    /// samples are seen where they lie, checks the ledgers of all, and ends all.
    pub(super) fn end_all(&mut self) {
        self.commands.apply(&mut self.mixer);
        self.mixer.close_outputs();
        self.mixer.end_all();
    }
}

/// The sources of the epoll's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Tick,
    Pool,
    Stop,
}

impl Token {
    const ALL: [Self; 3] = [Self::Tick, Self::Pool, Self::Stop];

    fn of(event: &EpollEvent) -> Self {
        Self::ALL[event.data() as usize]
    }
}

/// Starts the thread, and returns its clock, if it follows one, and the host's grants. Everything that must not fail
/// is made here, on the caller's thread.
pub(super) fn spawn(
    mut mixer: Mixer,
    sinks: Sinks,
    commands: Commands,
    mixer_stats: Arc<MixerStats>,
    stop: Stop,
    settings: &Settings,
    streams: &Streams,
) -> io::Result<Spawned> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(during("epoll_create1"))?;
    let timer = TimerFd::new(
        ClockId::CLOCK_MONOTONIC,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )
    .map_err(during("timerfd_create"))?;
    let event = |token| EpollEvent::new(EpollFlags::EPOLLIN, token as u64);
    epoll
        .add(mixer.consumer_mut(), event(Token::Pool))
        .and_then(|()| epoll.add(stop.bell(), event(Token::Stop)))
        .and_then(|()| epoll.add(&timer, event(Token::Tick)))
        .map_err(during("epoll_ctl"))?;
    let mut mixing = Mixing {
        mixer,
        sinks,
        commands,
        mixer_stats,
        stop,
        epoll,
        timer,
        placing: streams.placing.clone(),
        hold_back: HoldBack::default(),
        rests: false,
    };
    let (ticks, clock) = match settings.clock {
        Clock::Live { speed, ticks, .. } => {
            let period = settings.ptime.div_f64(speed);
            let clock = MixClock {
                first_block: mixing.mixer.next_tick(),
                first_ns: start(&mixing.timer, period),
                period_ns: period.as_nanos() as u64,
                format: streams.mixing.format,
                block_samples: streams.mixing.block_samples,
            };
            (ticks, Some(clock))
        }
        Clock::Offline => (None, None),
    };
    let realtime = settings.realtime;
    let (tell, told) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name("mixer".to_owned())
        .spawn(move || {
            let _done = Done(Arc::clone(&mixing.mixer_stats));
            let granted = realtime.claim();
            mixing.rests = granted.report.scheduler == Scheduler::Fifo;
            // The caller waits for it.
            let _ = tell.send(granted);
            let begun = Instant::now();
            match clock {
                Some(clock) => mixing.run_live(clock, ticks),
                None => mixing.run_offline(),
            }
            mixing.end(begun, clock.is_some())
        })
        .map_err(during("starting a thread"))?;
    let granted = told
        .recv()
        .expect("the mixer thread reports before it mixes");
    Ok(Spawned {
        thread,
        clock,
        granted,
    })
}

/// A mixer thread that runs.
pub(super) struct Spawned {
    pub(super) thread: JoinHandle<(MixerEnd, Sinks)>,
    /// The clock that it follows; none if it follows its streams.
    pub(super) clock: Option<MixClock>,
    pub(super) granted: Granted,
}

/// Says at the thread's end, though it panics, that no tick follows.
struct Done(Arc<MixerStats>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done();
    }
}

struct Mixing {
    mixer: Mixer,
    sinks: Sinks,
    commands: Commands,
    mixer_stats: Arc<MixerStats>,
    stop: Stop,
    epoll: Epoll,
    timer: TimerFd,
    placing: PlacingThreads,
    hold_back: HoldBack,
    /// Whether it leaves its CPU to others for a moment even between overdue ticks: a real-time thread
    /// that never sleeps would keep them off it.
    rests: bool,
}

impl Mixing {
    /// A tick each period of the clock. Ticks that are overdue are run, not skipped, each as late as
    /// the clock says.
    fn run_live(&mut self, clock: MixClock, ticks: Option<u64>) {
        let pause = clock.period_ns / u64::from(CATCH_UP_SPEED);
        let mut ending = Ending::new(ticks.map(|ticks| clock.first_block + ticks));
        let mut due = 0;
        let (mut now, mut not_before) = (now_ns(), 0_u64);
        loop {
            if self.stop.is_requested() {
                // Not the time of the last tick: the process may have stood still since.
                ending.stop(&clock, now_ns());
            }
            if ending.is_reached(self.mixer.next_tick(), now) {
                break;
            }
            if due > 0 {
                // Not a timeout of the epoll: it counts in milliseconds, and a tick may be shorter.
                thread::sleep(Duration::from_nanos(not_before.saturating_sub(now)));
            }
            due += self.wait(due == 0);
            self.housekeep();
            if due == 0 {
                now = now_ns();
                continue;
            }
            due -= 1;
            self.hold_back(&clock);
            let begun = now_ns();
            not_before = begun + ending.pause_ns(&clock, self.mixer.next_tick(), begun, pause);
            let late = begun.saturating_sub(clock.due_ns(self.mixer.next_tick()));
            self.mixer_stats.begun(late, clock.period_ns);
            let block = self.mixer.tick(clock.next_tick(begun).saturating_sub(1));
            self.sinks.write(&block);
            self.mixer_stats.tick(&block);
            self.mixer.send_outputs();
            now = now_ns();
            self.mixer_stats.tick_time.record(now - begun);
            if self.rests {
                not_before = not_before.max(now + (now - begun) / REST_SHARE);
            }
        }
        let unmixed = ending.unmixed(self.mixer.next_tick());
        if unmixed > 0 {
            tracing::warn!(
                "stopped {unmixed} ticks behind the clock: their streams' audio is not in the mix"
            );
        }
    }

    /// Waits, in bounds, while the next tick is overdue and blocks of it are not placed.
    fn hold_back(&mut self, clock: &MixClock) {
        let Self {
            mixer,
            placing,
            hold_back,
            ..
        } = self;
        let next = mixer.next_tick();
        let mut holds = |now: u64| {
            let late = now.saturating_sub(clock.due_ns(next));
            let is_placed = || placing.have_placed_before(next + 1);
            hold_back.holds(late, clock.period_ns, now, is_placed)
        };
        while holds(now_ns()) {
            thread::sleep(Duration::from_nanos(clock.period_ns / HOLD_BACK_LOOKS));
        }
    }

    /// A tick whenever every stream is ready for it, until all have ended.
    fn run_offline(&mut self) {
        self.housekeep();
        while !self.stop.is_requested() && self.mixer.streams() > 0 {
            let begun = now_ns();
            if let Some(missing) = self.mixer.first_unready() {
                self.wait_for(missing);
                continue;
            }
            let block = self.mixer.tick(self.mixer.next_tick());
            self.sinks.write_waiting(&block);
            self.mixer_stats.tick(&block);
            self.mixer.send_outputs();
            self.mixer_stats.tick_time.record(now_ns() - begun);
            // Streams end at ticks only.
            self.mixer.collect();
            self.sinks.obey();
        }
    }

    fn wait_for(&mut self, lease: LeaseId) {
        if self.mixer.arm(lease) {
            self.wait(true);
        }
        self.housekeep();
    }

    /// Takes note of what happened, or sleeps until something does; returns how many ticks became due.
    fn wait(&mut self, sleep: bool) -> u64 {
        let timeout = if sleep {
            EpollTimeout::NONE
        } else {
            EpollTimeout::ZERO
        };
        let mut events = [EpollEvent::empty(); Token::ALL.len()];
        let count = match self.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => panic!("epoll_wait on a valid epoll: {errno}"),
        };
        // Pool and Stop need no more than the wake-up: both are looked at on each turn.
        let ticked = events[..count]
            .iter()
            .any(|event| Token::of(event) == Token::Tick);
        if ticked { self.expirations() } else { 0 }
    }

    fn expirations(&self) -> u64 {
        let mut count = [0; 8];
        match nix::unistd::read(&self.timer, &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            // Another wake-up took them.
            Err(_) => 0,
        }
    }

    /// Between ticks: commands, streams that begin and that ended.
    fn housekeep(&mut self) {
        self.commands.apply(&mut self.mixer);
        self.sinks.obey();
        self.mixer.collect();
        self.mixer_stats.streams(self.mixer.streams());
        self.mixer_stats.ledger_checks(self.mixer.ledger_checks());
    }

    fn end(mut self, begun: Instant, is_live: bool) -> (MixerEnd, Sinks) {
        self.housekeep();
        let rest = self.mixer.flush();
        if is_live {
            // A disk that does not answer must not hold up the end of the mix.
            self.sinks.write(&rest);
        } else {
            self.sinks.write_waiting(&rest);
        }
        self.mixer_stats.block(&rest);
        self.mixer.send_outputs();
        self.mixer.close_outputs();
        let elapsed = begun.elapsed();
        let cpu = getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
            [usage.user_time(), usage.system_time()]
                .into_iter()
                .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000))
                .sum()
        });
        let end = MixerEnd {
            mixer: self.mixer,
            commands: self.commands,
            cpu,
            elapsed,
        };
        (end, self.sinks)
    }
}

/// Starts the timer of a live clock, and returns when the first tick is due: a period from now. The others follow it
/// exactly.
fn start(timer: &TimerFd, period: Duration) -> u64 {
    let first = Duration::from_nanos(now_ns()) + period;
    let ticks = Expiration::IntervalDelayed(TimeSpec::from(first), TimeSpec::from(period));
    timer
        .set(ticks, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
        .expect("a timer accepts any positive period");
    first.as_nanos() as u64
}
