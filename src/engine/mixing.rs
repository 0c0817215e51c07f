//! The mixer thread: waits, runs ticks, and has the feeds sent.

mod ending;
mod hold_back;

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

use self::{ending::Ending, hold_back::HoldBack};
use super::{
    Clock, Scheduler, Settings, commands::Commands, mixer_stats::MixerStats, realtime::Granted,
    stop::Stop, streams::Streams,
};
use crate::{
    audio::MixClock,
    mixer::Mixer,
    os::{
        during, now_ns,
        poll::{Events, Poll},
        realtime_ns,
    },
    queue::LeaseId,
    stream::PlacingThreads,
};

/// While it catches up, the mixer runs at most this many ticks per period. A machine that stood still
/// stopped the sources too: they need a moment to bring what is overdue, or it would count as late.
const CATCH_UP_SPEED: u32 = 4;

/// While a tick is held back, the mixer looks so many times a period whether its blocks are placed.
const HOLD_BACK_LOOKS: u64 = 20;

/// How long a mixer that follows its streams waits for room in a reader's ring before it looks again.
const ROOM_PAUSE: Duration = Duration::from_micros(200);

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
        self.mixer.close_feeds();
        self.mixer.end_all();
    }
}

/// Both need no more than the wake-up: each is looked at on each turn.
const POOL: u64 = 0;
const STOP: u64 = 1;

/// Starts the thread, and returns its clock, if it follows one, and the host's grants. Everything that must not fail
/// is made here, on the caller's thread.
pub(super) fn spawn(
    mut mixer: Mixer,
    commands: Commands,
    mixer_stats: Arc<MixerStats>,
    stop: Stop,
    settings: &Settings,
    streams: &Streams,
) -> io::Result<Spawned> {
    let poll = Poll::new()?;
    poll.add(mixer.consumer_mut(), POOL)?;
    poll.add(stop.bell(), STOP)?;
    let mut mixing = Mixing {
        mixer,
        commands,
        mixer_stats,
        stop,
        poll,
        events: Events::new(),
        placing: streams.placing.clone(),
        hold_back: HoldBack::default(),
        rests: false,
    };
    let (ticks, clock) = match settings.clock {
        Clock::Live { speed, ticks, .. } => {
            let period_ns = settings.ptime.div_f64(speed).as_nanos() as u64;
            let clock = MixClock {
                first_block: mixing.mixer.next_tick(),
                first_ns: now_ns() + period_ns,
                period_ns,
                format: streams.mixing.format,
                block_samples: streams.mixing.block_samples,
            };
            let clock = match settings.cluster {
                None => clock,
                // Nodes of a cluster tick together.
                Some(_) => clock.on_utc(now_ns(), realtime_ns()),
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
    pub(super) thread: JoinHandle<MixerEnd>,
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
    commands: Commands,
    mixer_stats: Arc<MixerStats>,
    stop: Stop,
    poll: Poll,
    events: Events,
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
        let (mut now, mut not_before) = (now_ns(), 0_u64);
        loop {
            if self.stop.is_requested() {
                // Not the time of the last tick: the process may have stood still since.
                ending.stop(&clock, now_ns());
            }
            if ending.is_reached(self.mixer.next_tick(), now) {
                break;
            }
            let due_ns = clock.due_ns(self.mixer.next_tick());
            if due_ns > now {
                self.poll.wait(due_ns, &mut self.events);
            } else {
                thread::sleep(Duration::from_nanos(not_before.saturating_sub(now)));
            }
            self.housekeep();
            now = now_ns();
            if due_ns > now {
                continue;
            }
            self.hold_back(&clock);
            let begun = now_ns();
            not_before = begun + ending.pause_ns(&clock, self.mixer.next_tick(), begun, pause);
            let late = begun.saturating_sub(due_ns);
            self.mixer_stats.begun(late, clock.period_ns);
            let block = self.mixer.tick(clock.next_tick(begun).saturating_sub(1));
            self.mixer_stats.tick(&block);
            self.mixer.send_feeds();
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
            self.wait_for_readers();
            let block = self.mixer.tick(self.mixer.next_tick());
            self.mixer_stats.tick(&block);
            self.mixer.send_feeds();
            self.mixer_stats.tick_time.record(now_ns() - begun);
            // Streams end at ticks only.
            self.mixer.collect();
        }
    }

    /// Waits until all readers that are waited for have room.
    fn wait_for_readers(&mut self) {
        while self.mixer.is_any_feed_full() {
            thread::sleep(ROOM_PAUSE);
        }
    }

    fn wait_for(&mut self, lease: LeaseId) {
        if self.mixer.arm(lease) {
            self.poll.wait(u64::MAX, &mut self.events);
        }
        self.housekeep();
    }

    /// Between ticks: commands, streams that begin and that ended.
    fn housekeep(&mut self) {
        self.commands.apply(&mut self.mixer);
        self.mixer.collect();
        self.mixer_stats.streams(self.mixer.streams());
        self.mixer_stats.ledger_checks(self.mixer.ledger_checks());
    }

    fn end(mut self, begun: Instant, is_live: bool) -> MixerEnd {
        self.housekeep();
        // Live, a disk that does not answer must not hold up the end of the mix.
        if !is_live {
            self.wait_for_readers();
        }
        self.mixer_stats.block(&self.mixer.flush());
        self.mixer.send_feeds();
        self.mixer.close_feeds();
        let elapsed = begun.elapsed();
        let cpu = getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
            [usage.user_time(), usage.system_time()]
                .into_iter()
                .map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000))
                .sum()
        });
        MixerEnd {
            mixer: self.mixer,
            commands: self.commands,
            cpu,
            elapsed,
        }
    }
}
