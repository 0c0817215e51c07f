//! The thread of the cluster: parts between the mixer and NATS, presence, and the agreement on rooms.
//!
//! It waits for the mixer's sums, for messages, for the store and for the time, and hands them to [`Node`]. No tick waits for
//! it: a thread that is late costs parts, which are counted.

mod news;
mod store;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::Range,
    os::fd::AsFd as _,
    pin::pin,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_stream::{Stream, StreamExt as _};

use super::{
    ClusterRoom, Face, Link, Node, Presence, Settings, Standing, Totals,
    alignment::Reading,
    face::View,
    nats::{Session, Target},
    presence::{self, Host, PresentStreams},
};
use crate::{
    audio::{GapReason, MixClock},
    mixer::{PartRings, RoomId},
    os::{during, now_ns, realtime_ns},
    queue,
};

/// A connection, or why there is none.
type Connection = Result<Box<Session>, String>;

/// From one attempt to connect to the next.
const RETRY: Duration = Duration::from_millis(250);

/// From one view for other threads to the next.
const SHOWN: Duration = Duration::from_millis(100);

/// From one look at the clocks and at rooms, and one list of streams, to the next.
const LOOKS: Duration = Duration::from_secs(1);

/// A room that the nodes agree on is renewed by one of them when it is so old.
const ROOM_RENEWED_NS: u64 = 3_000_000_000;

/// Nodes and rooms of others that are kept.
const OTHERS_MAX: usize = 1024;

/// Takes ticks of a room that lack the node of this name, or differ from it.
pub type NoteGap = Box<dyn Fn(RoomId, &str, GapReason, Range<u64>) + Send>;

/// The node's own figures, for other nodes.
pub struct Own {
    /// Its ledger, and its streams that have not ended: in all, and by room.
    pub figures: Box<dyn Fn() -> Figures + Send>,
    /// Its streams that have not ended.
    pub streams: Box<dyn Fn() -> PresentStreams + Send>,
    /// For the sidecars of recordings.
    pub gap: NoteGap,
    /// Blocks have other numbers: recordings begin another file.
    pub renumbered: Box<dyn Fn() + Send>,
}

/// The figures of a node.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Its ledger.
    pub ledger: Totals,
    /// Streams that have not ended, by the room that they are in.
    pub streams: HashMap<RoomId, usize>,
}

/// The thread's settings.
pub struct Start {
    /// The settings of the node.
    pub node: Settings,
    /// The NATS servers.
    pub target: Target,
    /// Whether it joins nodes of other hosts though a clock is not synchronised.
    pub trusts_clocks: bool,
    /// To the mixer.
    pub rings: PartRings,
    /// To other threads.
    pub face: Face,
    /// The node itself.
    pub own: Own,
}

/// A thread that runs.
#[derive(Debug)]
pub struct Thread {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Thread {
    /// Starts it. It connects by itself, and again and again.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be had.
    pub fn start(start: Start) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(during("making the runtime of the cluster"))?;
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("cluster".to_owned())
            .spawn(move || {
                runtime.block_on(Box::pin(Cluster::new(start, stopped).run()));
            })
            .map_err(during("starting a thread"))?;
        Ok(Self { thread, stop })
    }

    /// Takes the node's presence away, and ends.
    pub fn join(self) {
        self.stop.send_replace(true);
        // Its panic has been printed.
        let _ = self.thread.join();
    }
}

/// Another node, as the store has it.
struct Other {
    presence: Presence,
    seen_ns: u64,
    may_join: bool,
    streams: Bytes,
}

struct Cluster {
    node: Node,
    name: String,
    target: Target,
    trusts_clocks: bool,
    sums: queue::Consumer,
    clock: MixClock,
    lead_ticks: u64,
    face: Face,
    own: Own,
    host: Host,
    is_synchronised: bool,
    /// Rooms that the node knows.
    open: HashMap<RoomId, Arc<ClusterRoom>>,
    others: BTreeMap<String, Other>,
    /// When each room in the store was renewed last.
    renewed: BTreeMap<String, u64>,
    /// The first tick of each room that differs from a node.
    differs: HashMap<(RoomId, Arc<str>), u64>,
    /// Its rooms went on alone.
    was_alone: bool,
    session: Option<Box<Session>>,
    why_away: Option<String>,
    unsynchronised_messages: u64,
    unsent_messages: u64,
    stopped: watch::Receiver<bool>,
}

/// The moments at which something is due.
struct Due {
    shown: Instant,
    renewed: Instant,
    looks: Instant,
}

impl Cluster {
    fn new(start: Start, stopped: watch::Receiver<bool>) -> Self {
        let Start {
            node,
            target,
            trusts_clocks,
            rings,
            face,
            own,
        } = start;
        Self {
            name: node.name.clone(),
            clock: node.clock,
            lead_ticks: node.shape.lead_ticks.into(),
            node: Node::new(&node, rings.peers),
            target,
            trusts_clocks,
            sums: rings.sums,
            face,
            own,
            host: Host::detect(),
            is_synchronised: queue::clock_is_synchronised(),
            open: HashMap::new(),
            others: BTreeMap::new(),
            renewed: BTreeMap::new(),
            differs: HashMap::new(),
            was_alone: false,
            session: None,
            why_away: None,
            unsynchronised_messages: 0,
            unsent_messages: 0,
            stopped,
        }
    }

    async fn run(mut self) {
        #[expect(
            deprecated,
            reason = "no other constructor is safe: the others have the caller promise that the descriptor stays what it is, as that of an OwnedFd does"
        )]
        let bell = self
            .sums
            .as_fd()
            .try_clone_to_owned()
            .and_then(|bell| AsyncFd::with_interest(bell, Interest::READABLE));
        let bell = match bell {
            Ok(bell) => bell,
            Err(error) => {
                tracing::error!("cannot wait for the sums of rooms of the cluster: {error}");
                return;
            }
        };
        let (connected, mut connections) = mpsc::channel(1);
        tokio::spawn(connect(self.target.clone(), connected.clone()));
        let mut rooms = self.face.directory().watch();
        let mut stopped = self.stopped.clone();
        let mut due = Due {
            shown: Instant::now(),
            renewed: Instant::now(),
            looks: Instant::now(),
        };
        self.read_clocks();
        self.look_at_rooms();
        loop {
            self.take_sums().await;
            self.tell();
            let wait = self.wait(&mut due);
            let session = self.session.as_mut();
            let mut lost = session.as_ref().map(|session| session.lost.clone());
            let mut parts = None;
            let (mut nodes, mut store_rooms, mut streams) = (None, None, None);
            if let Some(session) = session {
                parts = Some(&mut session.parts);
                nodes = Some(&mut session.nodes_watch);
                store_rooms = Some(&mut session.rooms_watch);
                streams = Some(&mut session.streams_watch);
            }
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                () = is_lost(&mut lost) => self.lose(connected.clone()),
                readable = bell.readable() => {
                    if let Ok(mut guard) = readable {
                        guard.clear_ready();
                    }
                }
                message = next(&mut parts) => match message {
                    Some(message) => self.take_message(&message.subject, &message.payload),
                    None => self.lose(connected.clone()),
                },
                entry = next(&mut nodes) => match entry {
                    Some(Ok(entry)) => self.take_presence(&entry),
                    Some(Err(_)) => {}
                    None => self.lose(connected.clone()),
                },
                entry = next(&mut store_rooms) => match entry {
                    Some(Ok(entry)) => self.take_room(&entry),
                    Some(Err(_)) => {}
                    None => self.lose(connected.clone()),
                },
                entry = next(&mut streams) => match entry {
                    Some(Ok(entry)) => self.take_streams(entry),
                    Some(Err(_)) => {}
                    None => self.lose(connected.clone()),
                },
                connection = connections.recv() => match connection {
                    Some(Ok(session)) => self.begin(session),
                    Some(Err(why)) => self.fail(why),
                    None => {}
                },
                _ = rooms.changed() => self.look_at_rooms(),
                () = time::sleep(wait) => {}
            }
        }
        self.end_differing(|_| true);
        if let Some(session) = &self.session {
            session.leave(&self.name).await;
        }
    }

    /// Does what is due now; how long to wait for what is due next.
    fn wait(&mut self, due: &mut Due) -> Duration {
        let (now, instant) = (now_ns(), Instant::now());
        self.node.poll(now);
        if instant >= due.looks {
            due.looks = instant + LOOKS;
            self.read_clocks();
            self.renew_rooms(now);
            self.show_streams();
        }
        if instant >= due.renewed {
            due.renewed = instant + presence::RENEWED;
            self.renew();
            self.forget_absent(now);
        }
        if instant >= due.shown {
            due.shown = instant + SHOWN;
            self.show(now);
        }
        let judged = Duration::from_nanos(self.node.next_judged_ns(now).saturating_sub(now));
        let others = due.shown.min(due.renewed).min(due.looks) - instant;
        judged.min(others)
    }

    fn read_clocks(&mut self) {
        self.is_synchronised = queue::clock_is_synchronised();
        // Both of one moment: a thread that is interrupted between them reads again.
        let mut reading = None;
        for _ in 0..10 {
            let before = now_ns();
            let utc_ns = realtime_ns();
            let after = now_ns();
            let monotonic_ns = before + (after - before) / 2;
            reading = Some(Reading {
                monotonic_ns,
                utc_ns,
            });
            if after - before < 100_000 {
                break;
            }
        }
        if let Some(reading) = reading {
            self.node.update(reading);
        }
    }

    /// Sends the mixer's sums, if it has made any.
    async fn take_sums(&mut self) {
        let Self {
            sums,
            node,
            session,
            unsent_messages,
            ..
        } = self;
        let session = session.as_ref().filter(|session| !session.is_lost());
        let mut messages = Vec::new();
        while let Some(lease) = sums.next_ready() {
            let drained = sums.drain(lease, 64, |bytes| {
                messages.extend(node.send(bytes).map(<[u8]>::to_vec));
            });
            if drained.is_err() {
                break;
            }
        }
        for message in messages {
            let is_sent = match session {
                Some(session) => session.send(&message).await,
                None => false,
            };
            *unsent_messages += u64::from(!is_sent);
        }
    }

    fn take_message(&mut self, subject: &str, payload: &[u8]) {
        let name = subject.rsplit('.').next().unwrap_or_default();
        if self.others.get(name).is_some_and(|other| !other.may_join) {
            self.unsynchronised_messages += 1;
            return;
        }
        // The node counts refusals by kind.
        let _ = self.node.receive(name, payload, now_ns());
    }

    /// Has other threads see how it is.
    fn show(&self, now: u64) {
        let link = match &self.session {
            Some(session) => Link::Connected(session.server()),
            None => Link::Away(self.why_away.clone()),
        };
        let report = self.node.report(now);
        let mut nodes = vec![self.presence(&report)];
        let others = || self.others.values();
        nodes.extend(others().map(|other| other.presence.clone()));
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        let unsynchronised = others().filter(|other| !other.may_join);
        let streams = others().map(|other| (other.presence.node.clone(), other.streams.clone()));
        self.face.show(View {
            membership: self.face.membership().clone(),
            link,
            is_synchronised: self.is_synchronised,
            unsynchronised: unsynchronised
                .map(|other| other.presence.node.clone())
                .collect(),
            unsynchronised_messages: self.unsynchronised_messages,
            unsent_messages: self.unsent_messages,
            report: Some(report),
            nodes,
            streams: streams.collect(),
        });
    }

    fn begin(&mut self, session: Box<Session>) {
        tracing::info!(
            "node {} is connected to NATS {}",
            self.name,
            session.server()
        );
        self.node.set_payload_bytes_max(session.payload_bytes_max());
        for room in self.open.values() {
            session.agree(Arc::clone(room));
        }
        self.session = Some(session);
        self.why_away = None;
        self.renew();
    }

    fn fail(&mut self, why: String) {
        if self.why_away.as_ref() != Some(&why) {
            tracing::warn!("{why}; the rooms of the cluster go on alone, and it is tried again");
        }
        self.why_away = Some(why);
        for room in self.open.values() {
            if room.standing() == Standing::Asked {
                room.stand(Standing::Away);
            }
        }
    }

    /// Gives the connection up, with all messages that wait in it, and asks for another.
    fn lose(&mut self, connected: mpsc::Sender<Connection>) {
        if self.session.take().is_some() {
            self.fail("NATS is away".to_owned());
            tokio::spawn(connect(self.target.clone(), connected));
        }
    }
}

/// Connects, with patience; each failure is told.
async fn connect(target: Target, connected: mpsc::Sender<Connection>) {
    loop {
        let session = Box::pin(target.connect()).await.map(Box::new);
        let is_done = session.is_ok();
        if connected.send(session).await.is_err() || is_done {
            return;
        }
        time::sleep(RETRY).await;
    }
}

/// The next item of a stream that there may be.
async fn next<S: Stream + Unpin>(stream: &mut Option<&mut S>) -> Option<S::Item> {
    match stream {
        Some(stream) => pin!(stream.next()).await,
        None => std::future::pending().await,
    }
}

/// Once the connection is lost, if there is one.
async fn is_lost(lost: &mut Option<watch::Receiver<bool>>) {
    match lost {
        Some(lost) => {
            let _ = lost.wait_for(|lost| *lost).await;
        }
        None => std::future::pending().await,
    }
}
