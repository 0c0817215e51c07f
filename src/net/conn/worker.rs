//! The thread that serves all connections, on `epoll`: takes them, reads what came, looks after the
//! ticks, and sends the mix back. It does not parse protocols.

mod acceptor;
mod close;
mod handed_over;
mod peer;
mod serve;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::EventFd,
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use self::{acceptor::Acceptor, close::Lingering, peer::Peer};
use tokio::sync::watch;

use super::{
    ConnSettings, Listen,
    context::{Context, EndReason},
    handoff::{HandedOver, Handoff, Rejection},
    input::StreamInput,
    socket::ListenSocket,
};
use crate::{
    audio::MixClock,
    ledger::{Listener, Refusal},
    net::{
        Admission, LogRate, Tuning,
        quota::{Quota, Share},
        tuning::changed,
    },
    os::{during, now_ns},
    output::participants::return_rings::ReturnRings,
    queue::Pool,
    stream::Stream,
};

/// Bytes read from one connection at a time.
const READ_BYTES: usize = 64 << 10;
/// Refusals that are logged follow each other so, after the first ten.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);
const EVENTS: usize = 256;

const TICK: u64 = 0;
const STOP: u64 = 1;
const OUTPUTS: u64 = 2;
const HANDOFF: u64 = 3;
/// The first listener's token; the others follow.
const ACCEPTORS: u64 = 4;
/// The first connection's token; none is used twice.
const PEERS: u64 = 1 << 32;

/// A stream input that still plays after its connection.
struct Draining {
    input: Box<dyn StreamInput>,
    /// Its address's part of the quota: the stream still has a ring.
    _share: Option<Share>,
}

/// State shared by connections.
struct Common {
    settings: ConnSettings,
    clock: MixClock,
    admission: Arc<dyn Admission>,
    outputs: Option<Pool>,
}

impl Common {
    fn context<'a>(&'a self, account: &'a Listener, now_ns: u64) -> Context<'a> {
        Context {
            settings: &self.settings,
            clock: &self.clock,
            admission: &*self.admission,
            account,
            outputs: self.outputs.as_ref(),
            now_ns,
        }
    }
}

#[derive(Debug)]
pub(super) struct HandoffEnd {
    pub(super) account: Arc<Listener>,
    pub(super) receiver: Receiver<HandedOver>,
    pub(super) handoff: Handoff,
}

pub(super) struct Worker {
    common: Common,
    acceptors: Vec<Acceptor>,
    peers: HashMap<u64, Peer>,
    lingering: HashMap<u64, Lingering>,
    refusals: LogRate,
    /// The handoff and its waiting sockets, if sockets may be handed over.
    handoff: Option<(Handoff, Receiver<HandedOver>)>,
    next_key: u64,
    draining: Vec<Draining>,
    quota: Quota,
    return_rings: Option<ReturnRings>,
    tuning: Option<watch::Receiver<Tuning>>,
    epoll: Epoll,
    timer: TimerFd,
    /// Registered in the epoll.
    _bell: Arc<EventFd>,
    next_tick: u64,
    buffer: Box<[u8]>,
    /// When the next failure to accept may be logged.
    accept_log_ns: u64,
    /// Connections that were found to be over while others were looked after.
    gone: Vec<(u64, EndReason)>,
}

impl Worker {
    /// Everything that must not fail is made here.
    pub(super) fn new(
        settings: ConnSettings,
        clock: MixClock,
        admission: Arc<dyn Admission>,
        tuning: Option<watch::Receiver<Tuning>>,
        acceptors: Vec<(Listen, ListenSocket, Arc<Listener>)>,
        handoff: Option<HandoffEnd>,
        bell: Arc<EventFd>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(during("epoll_create1"))?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(during("timerfd_create"))?;
        epoll
            .add(&timer, readable(TICK))
            .and_then(|()| epoll.add(&*bell, readable(STOP)))
            .map_err(during("epoll_ctl"))?;
        let two_way = handoff.is_some()
            || acceptors
                .iter()
                .any(|(listen, ..)| matches!(listen, Listen::AudioSocket { .. }));
        let mut return_rings = None;
        if two_way {
            // A ring is given back only when its stream has played, after its connection.
            let listeners = 2 * settings.limits.connections_max;
            let (made, tap) = ReturnRings::new(listeners, &clock)?;
            epoll
                .add(&made, readable(OUTPUTS))
                .map_err(during("epoll_ctl"))?;
            admission
                .tap(tap)
                .map_err(io::Error::other)
                .map_err(during("the way of the mix back"))?;
            return_rings = Some(made);
        }
        for (token, (_, listen_socket, _)) in (ACCEPTORS..).zip(&acceptors) {
            epoll
                .add(listen_socket, readable(token))
                .map_err(during("epoll_ctl"))?;
        }
        let mut acceptors: Vec<_> = acceptors
            .into_iter()
            .map(|(listen, listen_socket, account)| {
                Acceptor::new(Some((listen, listen_socket)), account)
            })
            .collect();
        let mut handed_over = None;
        if let Some(acceptor) = handoff {
            epoll
                .add(acceptor.handoff.bell(), readable(HANDOFF))
                .map_err(during("epoll_ctl"))?;
            acceptors.push(Acceptor::new(None, acceptor.account));
            handed_over = Some((acceptor.handoff, acceptor.receiver));
        }
        Ok(Self {
            quota: Quota::new(settings.limits.streams_per_source),
            common: Common {
                settings,
                clock,
                admission,
                outputs: return_rings
                    .as_ref()
                    .map(|return_rings| return_rings.pool().clone()),
            },
            acceptors,
            peers: HashMap::new(),
            lingering: HashMap::new(),
            refusals: LogRate::new(REFUSAL_LOG_INTERVAL),
            handoff: handed_over,
            next_key: PEERS,
            draining: Vec::new(),
            return_rings,
            tuning,
            epoll,
            timer,
            _bell: bell,
            next_tick: clock.next_tick(now_ns()),
            buffer: vec![0; READ_BYTES].into(),
            accept_log_ns: 0,
            gone: Vec::new(),
        })
    }

    pub(super) fn run(mut self) {
        self.set_timer();
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                // After a stop of the process, too: the sockets come before the ticks then.
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("epoll_wait on a valid epoll: {errno}"),
            };
            // What came while this thread stood still is taken before the ticks that were due meanwhile: it plays in
            // them. A burst that is read in time comes after its ticks, and is a stall.
            let stood_still = now_ns().saturating_sub(self.wake_ns()) > self.common.clock.period_ns;
            for event in &events[..count] {
                if !stood_still {
                    // Before each: in any flood, a tick is not left waiting.
                    self.tick(now_ns());
                }
                match event.data() {
                    TICK => self.set_timer(),
                    STOP => return self.hang_up(),
                    OUTPUTS => self.send_outputs(),
                    HANDOFF => self.take_handed_over(),
                    key if key >= PEERS => self.serve(key, event.events()),
                    token => self.accept((token - ACCEPTORS) as usize),
                }
                self.close_gone();
            }
            self.tick(now_ns());
        }
    }

    /// Sets the timer to the next tick's time, which also takes back that it went off.
    fn set_timer(&mut self) {
        let at = Duration::from_nanos(self.wake_ns().max(1));
        let expiration = Expiration::OneShot(TimeSpec::from(at));
        self.timer
            .set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            .expect("a timer accepts any positive time");
    }

    /// When the next tick's samples are placed.
    fn wake_ns(&self) -> u64 {
        self.common.clock.placed_ns(self.next_tick)
    }

    fn tick(&mut self, now_ns: u64) {
        if self.wake_ns() > now_ns {
            return;
        }
        if let Some(tuning) = changed(&mut self.tuning) {
            self.retune(tuning);
        }
        while self.wake_ns() <= now_ns {
            let tick = self.next_tick;
            for peer in self.peers.values_mut() {
                peer.caller_mut().before_tick(tick, now_ns);
            }
            for ended in &mut self.draining {
                ended.input.before_tick(tick, now_ns);
            }
            self.next_tick += 1;
        }
        self.draining.retain(|ended| !ended.input.is_done());
        for (token, acceptor) in (ACCEPTORS..).zip(&mut self.acceptors) {
            if let (true, Some((_, listen_socket))) = (acceptor.rests, &acceptor.socket) {
                acceptor.rests = self.epoll.add(listen_socket, readable(token)).is_err();
            }
        }
        let rested = self.peers.values().filter(|peer| peer.rests());
        let rested: Vec<_> = rested.map(|peer| peer.key).collect();
        for key in rested {
            self.read(key);
        }
        self.time_out(now_ns);
        self.close_expired(now_ns);
        self.close_gone();
    }

    /// Takes other limits from now on, and has new streams played otherwise. The way back was made for the
    /// connections that there might be at the start; one that has none is refused.
    fn retune(&mut self, tuning: Tuning) {
        let Tuning { limits, playout } = tuning;
        self.quota.set_max(limits.streams_per_source);
        let settings = &mut self.common.settings;
        (settings.limits, settings.playout) = (limits, playout);
    }

    /// Ends streams that were ended by command, connections without a valid message in time, and silent ones.
    fn time_out(&mut self, now_ns: u64) {
        let limits = &self.common.settings.limits;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (first, idle) = (limits.first_message_timeout, limits.idle_timeout);
        let (first_ns, idle_ns) = (nanos(first), nanos(idle));
        for peer in self.peers.values_mut() {
            let (reason, event) = if peer.caller().stream().is_some_and(Stream::is_ending) {
                (EndReason::EndedByCommand, Some("ended by command"))
            } else if !peer.caller().is_known() {
                // However much it says meanwhile.
                if peer.age_ns(now_ns) <= first_ns {
                    continue;
                }
                peer.account.refuse(Refusal::FirstMessage);
                let limit = first;
                (EndReason::Refused(Rejection::FirstMessage { limit }), None)
            } else if peer.caller().is_playing(now_ns) {
                peer.touch(now_ns);
                continue;
            } else if peer.silent_ns(now_ns) > idle_ns {
                peer.account.time_out();
                let limit = idle;
                let reason = EndReason::Refused(Rejection::Idle { limit });
                (reason, Some("idle for too long"))
            } else {
                continue;
            };
            if let Some(event) = event {
                let account = Arc::clone(&peer.account);
                let context = self.common.context(&account, now_ns);
                peer.caller_mut().note(event, &context);
            }
            self.gone.push((peer.key, reason));
        }
        // The input of a closed connection has no peer to notify.
        self.draining.retain_mut(|ended| {
            let ended_by_command = ended.input.stream().is_ending();
            if ended_by_command {
                ended.input.abandon();
            }
            !ended_by_command
        });
    }
}

fn readable(token: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, token)
}
