//! The thread that serves all connections, on `epoll`: takes them, reads what came, looks after the
//! ticks, and sends the mix back. It does not parse protocols.

mod acceptor;
mod close;
mod handed_over;
mod overload;
mod peer;
mod serve;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, mpsc::Receiver},
    time::Duration,
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
        Admission, LogRate, Tuning, feeds,
        overload::Overload,
        quota::{Quota, Share},
        tuning::changed,
    },
    os::{
        now_ns,
        poll::{Bell, Events, Poll},
    },
    output::ReaderId,
    output::{FeedReader, participants::return_encoder::Mixes},
    queue::Pool,
    stream::{PlacingThread, Stream},
};

/// Bytes read from one connection at a time.
const READ_BYTES: usize = 64 << 10;
/// Refusals that are logged follow each other so, after the first ten.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);

const STOP: u64 = 0;
const FEEDS: u64 = 1;
const HANDOFF: u64 = 2;
/// The first listener's key; the others follow.
const ACCEPTORS: u64 = 3;
/// The first connection's key; none is used twice.
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
    /// The reader of the mix-minuses that go back, and their rings.
    feeds: Option<(ReaderId, Pool)>,
    /// Whether the thread takes no new streams.
    is_overloaded: bool,
}

impl Common {
    fn context<'a>(&'a self, account: &'a Listener, now_ns: u64) -> Context<'a> {
        Context {
            settings: &self.settings,
            clock: &self.clock,
            admission: &*self.admission,
            account,
            feeds: self.feeds.as_ref(),
            is_overloaded: self.is_overloaded,
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
    /// If any mix goes back.
    reader: Option<FeedReader>,
    mixes: Mixes,
    tuning: Option<watch::Receiver<Tuning>>,
    overload: Overload,
    poll: Poll,
    stop: Bell,
    next_tick: u64,
    placing: PlacingThread,
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
    ) -> io::Result<Self> {
        let (poll, stop) = (Poll::new()?, Bell::new()?);
        poll.add(&stop, STOP)?;
        let two_way = handoff.is_some()
            || acceptors
                .iter()
                .any(|(listen, ..)| matches!(listen, Listen::AudioSocket { .. }));
        let (mut reader, mut pool) = (None, None);
        if two_way {
            let senders = settings.limits.connections_max;
            let (made, id) = feeds::open_reader(&*admission, &clock, senders)?;
            poll.add(&made, FEEDS)?;
            pool = made.pool().map(|pool| (id, pool.clone()));
            reader = Some(made);
        }
        let acceptors = (ACCEPTORS..).zip(acceptors);
        let mut acceptors = acceptors
            .map(|(key, (listen, listen_socket, account))| {
                let mut acceptor = Acceptor::new(key, Some((listen, listen_socket)), account);
                acceptor.resume(&poll)?;
                Ok(acceptor)
            })
            .collect::<io::Result<Vec<_>>>()?;
        let mut handed_over = None;
        if let Some(acceptor) = handoff {
            poll.add(acceptor.handoff.bell(), HANDOFF)?;
            acceptors.push(Acceptor::new(HANDOFF, None, acceptor.account));
            handed_over = Some((acceptor.handoff, acceptor.receiver));
        }
        let placing = admission.placing_thread();
        Ok(Self {
            quota: Quota::new(settings.limits.streams_per_source),
            common: Common {
                settings,
                clock,
                admission,
                feeds: pool,
                is_overloaded: false,
            },
            acceptors,
            peers: HashMap::new(),
            lingering: HashMap::new(),
            refusals: LogRate::new(REFUSAL_LOG_INTERVAL),
            handoff: handed_over,
            next_key: PEERS,
            draining: Vec::new(),
            reader,
            mixes: Mixes::new(clock.format),
            tuning,
            overload: Overload::default(),
            poll,
            stop,
            next_tick: clock.next_tick(now_ns()),
            placing,
            buffer: vec![0; READ_BYTES].into(),
            accept_log_ns: 0,
            gone: Vec::new(),
        })
    }

    /// Ends the thread.
    pub(super) fn stop(&self) -> &Bell {
        &self.stop
    }

    pub(super) fn run(mut self) {
        let mut events = Events::new();
        // All that is served was not ready before.
        let mut since_ns = 0;
        loop {
            let is_rest = events.is_full();
            self.poll.wait(self.wake_ns(), &mut events);
            let woken_ns = now_ns();
            if !is_rest {
                since_ns = woken_ns;
            }
            // What came while this thread stood still is taken before the ticks that were due meanwhile: it plays in
            // them. A burst that is read in time comes after its ticks, and is a stall.
            let stood_still = woken_ns.saturating_sub(self.wake_ns()) > self.common.clock.period_ns;
            for (key, ready) in events.iter() {
                if !stood_still {
                    // Before each: in any flood, a tick is not left waiting.
                    self.tick(now_ns());
                }
                match key {
                    STOP => return self.hang_up(),
                    FEEDS => self.send_feeds(),
                    HANDOFF => self.take_handed_over(),
                    key if key >= PEERS => self.serve(key, ready),
                    key => self.accept((key - ACCEPTORS) as usize),
                }
                self.close_gone();
            }
            self.tick(now_ns());
            let now_ns = now_ns();
            self.look(now_ns - since_ns, now_ns);
        }
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
                peer.caller.before_tick(tick, now_ns);
            }
            for ended in &mut self.draining {
                ended.input.before_tick(tick, now_ns);
            }
            self.next_tick += 1;
        }
        self.placing.has_placed_before(self.next_tick);
        self.draining.retain(|ended| !ended.input.is_done());
        for acceptor in &mut self.acceptors {
            // Refused, it is tried again at the next tick.
            let _ = acceptor.resume(&self.poll);
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
            let (reason, event) = if peer.caller.stream().is_some_and(Stream::is_ending) {
                (EndReason::EndedByCommand, Some("ended by command"))
            } else if !peer.caller.is_known() {
                // However much it says meanwhile.
                if peer.age_ns(now_ns) <= first_ns {
                    continue;
                }
                peer.account.refuse(Refusal::FirstMessage);
                let limit = first;
                (EndReason::Refused(Rejection::FirstMessage { limit }), None)
            } else if peer.caller.is_playing(now_ns) {
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
                peer.caller.note(event, &context);
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
