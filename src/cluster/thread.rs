//! The thread of the cluster: parts between the mixer and NATS, presence, and the agreement on rooms.
//!
//! It waits for the mixer's sums, for messages, for the store and for the time, and hands them to [`Node`]. No tick waits for
//! it: a thread that is late costs parts, which are counted.

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

use async_nats::jetstream::kv::{Entry, Operation};
use bytes::Bytes;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_stream::{Stream, StreamExt as _};

use super::{
    Alignment, ClusterRoom, Event, Face, Link, Node, Presence, Settings, Standing, Totals,
    alignment::Reading,
    directory::room_of,
    face::View,
    nats::{Session, Target},
    presence::{self, Host, PresentRoom, PresentStreams},
};
use crate::{
    audio::{GapReason, MixClock},
    mixer::{PartRings, RoomId},
    os::{during, now_ns, realtime_ns},
    queue,
};

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

/// What a node says of itself and shows of its streams.
pub struct Own {
    /// Its ledger, and its streams that have not ended: in all, and by room.
    pub figures: Box<dyn Fn() -> Figures + Send>,
    /// Its streams that have not ended.
    pub streams: Box<dyn Fn() -> PresentStreams + Send>,
    /// Takes ticks of a room that lack a node, or differ from it.
    pub gap: Box<dyn Fn(RoomId, &str, GapReason, Range<u64>) + Send>,
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
    /// Of the node.
    pub node: Settings,
    /// Of NATS.
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
                runtime.block_on(Cluster::new(start, stopped).run());
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
    session: Option<Session>,
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
        // What is refused is counted there.
        let _ = self.node.receive(name, payload, now_ns());
    }

    fn take_presence(&mut self, entry: &Entry) {
        let now = now_ns();
        if entry.operation != Operation::Put {
            if self.others.remove(&entry.key).is_some() {
                self.node.gone(&entry.key);
            }
            return;
        }
        let Some(presence) = Presence::read(&entry.key, &entry.value) else {
            return;
        };
        if presence.node == self.name {
            return;
        }
        let is_host = presence.boot_id == self.host.boot_id;
        let are_right = self.is_synchronised && presence.is_synchronised;
        let may_join = is_host || are_right || self.trusts_clocks;
        if may_join {
            self.node
                .presence(&presence.node, &presence.room_keys(), now);
        } else {
            self.node.gone(&presence.node);
        }
        let before = self.others.remove(&entry.key);
        if before.as_ref().is_none_or(|before| before.may_join) && !may_join {
            tracing::warn!(
                "node {} is not joined: {} clock is not synchronised; run an NTP client there, or trust clocks with \
                 --cluster-clock trust",
                presence.node,
                if self.is_synchronised {
                    "its"
                } else {
                    "this host's"
                }
            );
        }
        if self.others.len() < OTHERS_MAX {
            let streams = before.map(|before| before.streams).unwrap_or_default();
            self.others.insert(
                entry.key.clone(),
                Other {
                    presence,
                    seen_ns: now,
                    may_join,
                    streams,
                },
            );
        }
    }

    fn take_room(&mut self, entry: &Entry) {
        let Some(name) = room_of(&entry.key) else {
            return;
        };
        if self.renewed.len() < OTHERS_MAX || self.renewed.contains_key(&name) {
            self.renewed.insert(name, now_ns());
        }
    }

    fn take_streams(&mut self, entry: Entry) {
        if let Some(other) = self.others.get_mut(&entry.key) {
            other.streams = entry.value;
        }
    }

    /// Nodes that do not renew their presence are not present.
    fn forget_absent(&mut self, now: u64) {
        let lives = presence::LIVES.as_nanos() as u64;
        let is_absent = |other: &Other| now > other.seen_ns + lives;
        while let Some(name) = self
            .others
            .iter()
            .find_map(|(name, other)| is_absent(other).then(|| name.clone()))
        {
            self.others.remove(&name);
            self.node.gone(&name);
        }
    }

    /// Takes in what the engine has opened and closed.
    fn look_at_rooms(&mut self) {
        let rooms = self.face.directory().rooms();
        let node = &mut self.node;
        self.open.retain(|id, _| {
            let is_open = rooms.iter().any(|room| room.room == *id);
            if !is_open {
                node.close_room(*id);
            }
            is_open
        });
        for room in rooms {
            if self.open.contains_key(&room.room) {
                continue;
            }
            if !node.open_room(room.key, room.room, Arc::clone(&room.strip)) {
                tracing::error!(
                    "room {} is of this node alone: there is one like it",
                    room.name
                );
            }
            match &self.session {
                Some(session) => session.agree(Arc::clone(&room)),
                None => room.stand(Standing::Away),
            }
            self.open.insert(room.room, room);
        }
        // The others are to know at once.
        self.renew();
    }

    /// Renews the rooms in the store that no other node has renewed, and asks again about those that differ.
    fn renew_rooms(&mut self, now: u64) {
        let Some(session) = &self.session else {
            return;
        };
        self.renewed
            .retain(|_, renewed| now < *renewed + 4 * ROOM_RENEWED_NS);
        for room in self.open.values() {
            let renewed = self.renewed.get(&room.name);
            match room.standing() {
                Standing::Agreed => {
                    if renewed.is_none_or(|renewed| now > renewed + ROOM_RENEWED_NS) {
                        session.renew_room(room);
                    }
                }
                _ => session.agree(Arc::clone(room)),
            }
        }
    }

    fn presence(&self) -> Presence {
        let now = now_ns();
        let figures = (self.own.figures)();
        let report = self.node.report(now);
        let alignment = match report.alignment {
            Alignment::Idle => "idle",
            Alignment::Listening => "listening",
            Alignment::Aligned => "aligned",
            Alignment::Alone(_) => "alone",
        };
        let mut rooms: Vec<_> = self.open.values().collect();
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        let rooms = rooms.into_iter().map(|room| PresentRoom {
            name: room.name.clone(),
            key: format!("{:016x}", room.key),
            settings: room.settings.clone(),
            streams: figures.streams.get(&room.room).copied().unwrap_or(0),
        });
        Presence {
            boot_id: self.host.boot_id.clone(),
            is_synchronised: self.is_synchronised,
            alignment: alignment.to_owned(),
            block: report.block,
            rooms: rooms.collect(),
            streams: figures.streams.values().sum(),
            ledger: figures.ledger,
            ..presence::present(&self.name, self.node.incarnation())
        }
    }

    fn renew(&self) {
        if let Some(session) = &self.session {
            session.renew(&self.name, self.presence().write());
        }
    }

    fn show_streams(&self) {
        if let Some(session) = &self.session {
            let most = session.payload_bytes_max() / 2;
            session.show_streams(&self.name, (self.own.streams)().write(most));
        }
    }

    /// Has other threads see how it is.
    fn show(&self, now: u64) {
        let link = match &self.session {
            Some(session) => Link::Connected(session.server()),
            None => Link::Away(self.why_away.clone()),
        };
        let mut nodes = vec![self.presence()];
        let others = || self.others.values();
        nodes.extend(others().map(|other| other.presence.clone()));
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        let unsynchronised = others().filter(|other| !other.may_join);
        let streams = others().map(|other| (other.presence.node.clone(), other.streams.clone()));
        let before = self.face.view();
        self.face.show(View {
            link,
            is_synchronised: self.is_synchronised,
            unsynchronised: unsynchronised
                .map(|other| other.presence.node.clone())
                .collect(),
            unsynchronised_messages: self.unsynchronised_messages,
            unsent_messages: self.unsent_messages,
            report: Some(self.node.report(now)),
            nodes,
            streams: streams.collect(),
            ..before
        });
    }

    /// Tells what has happened.
    fn tell(&mut self) {
        while let Some(event) = self.node.next_event() {
            log(&event, &self.open);
            self.note_gap(&event);
            self.face.note(event);
        }
    }

    /// Has recordings say where they lack a node, or differ from it.
    fn note_gap(&mut self, event: &Event) {
        match event {
            Event::Missing {
                room,
                node,
                first_tick,
                ticks,
            } => (self.own.gap)(
                *room,
                node,
                GapReason::Node,
                *first_tick..first_tick + ticks,
            ),
            Event::Differs { room, node, block } => {
                if let Some(tick) = self.tick_of(*block)
                    && self.differs.len() < OTHERS_MAX
                {
                    self.differs.insert((*room, Arc::clone(node)), tick);
                }
            }
            Event::Same { room, node, block } => {
                if let Some(to) = self.tick_of(*block) {
                    self.note_differing(*room, node, to);
                }
            }
            Event::NodeGone { node } => self.end_differing(|other| other == node),
            Event::Alignment { .. } => self.end_differing(|_| true),
            _ => {}
        }
    }

    fn tick_of(&self, block: u64) -> Option<u64> {
        self.node.tick_of(block)?.try_into().ok()
    }

    /// A node is compared with no more.
    fn end_differing(&mut self, ends: impl Fn(&Arc<str>) -> bool) {
        let ended: Vec<_> = self
            .differs
            .keys()
            .filter(|(_, node)| ends(node))
            .cloned()
            .collect();
        let finished = self
            .clock
            .next_tick(now_ns())
            .saturating_sub(self.lead_ticks);
        for (room, node) in ended {
            self.note_differing(room, &node, finished);
        }
    }

    fn note_differing(&mut self, room: RoomId, node: &Arc<str>, to: u64) {
        if let Some(from) = self.differs.remove(&(room, Arc::clone(node))) {
            (self.own.gap)(room, node, GapReason::Differs, from..to);
        }
    }

    fn begin(&mut self, session: Session) {
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

    /// Gives the connection up with what waits in it, and asks for another.
    fn lose(&mut self, connected: mpsc::Sender<Result<Session, String>>) {
        if self.session.take().is_some() {
            self.fail("NATS is away".to_owned());
            tokio::spawn(connect(self.target.clone(), connected));
        }
    }
}

/// Connects, with patience; each failure is told.
async fn connect(target: Target, connected: mpsc::Sender<Result<Session, String>>) {
    loop {
        let session = target.connect().await;
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

fn log(event: &Event, rooms: &HashMap<RoomId, Arc<ClusterRoom>>) {
    let name = |room: &RoomId| rooms.get(room).map_or("a closed room", |room| &room.name);
    match event {
        Event::Alignment { alignment, .. } => match alignment {
            Alignment::Alone(off) => tracing::warn!("this node is alone: {off}"),
            Alignment::Aligned => tracing::info!("this node has joined the cluster"),
            Alignment::Idle | Alignment::Listening => {}
        },
        Event::NodeUp { node, block, .. } => {
            tracing::info!("node {node} is taken in from block {block} on");
        }
        Event::NodeDown {
            node,
            rooms,
            streams,
            last_block,
        } => {
            let rooms: Vec<_> = rooms.iter().map(name).collect();
            tracing::warn!(
                "node {node} is down: its last block was {last_block}; {streams} streams of {} are missing",
                rooms.join(", ")
            );
        }
        Event::NodeGone { node } => tracing::info!("node {node} has left"),
        Event::NodeOff { node, ahead_ns } => tracing::warn!(
            "node {node} is refused: its clock is off by {:.1} ms",
            *ahead_ns as f64 / 1e6
        ),
        Event::Differs { room, node, block } => {
            tracing::warn!(
                "room {} differs from node {node} since block {block}",
                name(room)
            );
        }
        Event::Same { room, node, block } => {
            tracing::info!(
                "room {} is the same as on node {node} since block {block}",
                name(room)
            );
        }
        Event::Missing { .. } => {}
    }
}
