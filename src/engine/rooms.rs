//! The rooms of a server, by their names.
//!
//! `main` is always open. Each other room has a place in the mixer from the command that opens it to the moment at which
//! the mixer has let go of it, which is after its last stream and its last reader have left.

mod entrance;
mod error;
mod listed;
mod of_cluster;
mod steer;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Admitted, Busy, Handle,
    commands::Sender,
    recordings::{Rule, RuleState},
    room_events::{RoomEvent, RoomLog},
};
use crate::{
    audio::TalkingRule,
    cluster::{ClusterRoom, Directory},
    config::RoomPolicy,
    mixer::{self, ReaderId, Room, RoomId, RoomStrip},
};

use self::error::check_name;
pub use self::{
    error::RoomError,
    steer::{Leave, Move, MovedAt, RoomSettings},
};

/// A room that a stream opened is closed when it has had no stream for so long.
const EMPTY_FOR: Duration = Duration::from_secs(60);

/// How often such rooms are looked at, at most: that visits every stream.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The room that is always open.
pub const MAIN_ROOM: &str = "main";

/// A room that is open, or was.
#[derive(Debug)]
pub struct OpenRoom {
    name: String,
    id: RoomId,
    strip: Arc<RoomStrip>,
    is_closed: AtomicBool,
    /// Readers that are closed with it. Written before `is_closed`.
    readers: Mutex<Vec<ReaderId>>,
    /// The recordings that its config asks for.
    rule: OnceLock<Rule>,
    /// The rule that the mixer was sent last. Written with the rooms locked.
    talking: Mutex<TalkingRule>,
    /// If it is a room of the cluster.
    cluster: Option<Arc<ClusterRoom>>,
}

impl OpenRoom {
    /// Its name. No other open room has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the mixer names it, for [feeds](mixer::Feed).
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Its figures in the mix.
    pub fn strip(&self) -> &RoomStrip {
        &self.strip
    }

    /// Whether it was closed: nothing more is to be heard from it, and another room may have its name. Costs one load.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    fn new(name: &str, id: RoomId, strip: Arc<RoomStrip>, talking: TalkingRule) -> Self {
        Self {
            name: name.to_owned(),
            id,
            strip,
            is_closed: AtomicBool::new(false),
            readers: Mutex::default(),
            rule: OnceLock::new(),
            talking: Mutex::new(talking),
            cluster: None,
        }
    }

    /// When its streams talk, from the next tick on at the latest. Takes a mutex for the time of a copy.
    pub fn talking(&self) -> TalkingRule {
        *self.lock_talking()
    }

    fn lock_talking(&self) -> MutexGuard<'_, TalkingRule> {
        self.talking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its rule, if its config asks for more than its mix from its opening to its close. Takes a mutex.
    pub fn recording(&self) -> Option<RuleState> {
        self.rule().map(Rule::read)
    }

    /// Its rule for recordings, if its config has one.
    pub(super) fn rule(&self) -> Option<&Rule> {
        self.rule.get()
    }

    /// Gives it a rule, unless it has one.
    pub(super) fn set_rule(&self, rule: Rule) {
        let _ = self.rule.set(rule);
    }

    fn readers(&self) -> MutexGuard<'_, Vec<ReaderId>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reader is closed with the room. False if the room is closed already.
    pub(super) fn add_reader(&self, reader: ReaderId) -> bool {
        let mut readers = self.readers();
        let is_open = !self.is_closed();
        if is_open {
            readers.push(reader);
        }
        is_open
    }

    /// Closes it, after its readers.
    fn close(&self, commands: &Sender) -> Result<(), Busy> {
        let mut readers = self.readers();
        while let Some(&reader) = readers.last() {
            commands.close_reader(reader)?;
            readers.pop();
        }
        commands.close_room(self.id)?;
        self.is_closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// All rooms of a server.
#[derive(Debug)]
pub(super) struct Rooms {
    pub(super) main: Arc<OpenRoom>,
    mixing: mixer::Settings,
    /// Those of the cluster, if this is a node.
    directory: Option<Directory>,
    /// The policy for a stream with a room that is not open.
    policy: RoomPolicy,
    inner: Mutex<Inner>,
    /// Rooms that were refused, as all places were taken.
    refused: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    /// Those that are open, by their names.
    open: BTreeMap<String, Arc<OpenRoom>>,
    /// Places that no room has.
    free: Vec<u32>,
    /// Rooms that each place had.
    generations: Box<[u32]>,
    /// Those that streams opened, and since when each was seen without any.
    by_streams: BTreeMap<String, Option<Duration>>,
    /// When these were looked at.
    looked_at: Option<Duration>,
    /// The rule of rooms without one of their own.
    talking: TalkingRule,
    log: RoomLog,
    directory: Option<Directory>,
}

impl Rooms {
    /// `main` alone, with these figures.
    pub(super) fn new(
        mixing: mixer::Settings,
        policy: RoomPolicy,
        main: Arc<RoomStrip>,
        directory: Option<&Directory>,
    ) -> Self {
        let talking = TalkingRule::default();
        let main = Arc::new(OpenRoom::new(MAIN_ROOM, RoomId::MAIN, main, talking));
        Self {
            inner: Mutex::new(Inner {
                open: BTreeMap::from([(MAIN_ROOM.to_owned(), Arc::clone(&main))]),
                // The lowest first.
                free: (1..mixing.rooms_max as u32).rev().collect(),
                generations: vec![0; mixing.rooms_max].into(),
                by_streams: BTreeMap::new(),
                looked_at: None,
                talking,
                log: RoomLog::default(),
                directory: directory.cloned(),
            }),
            main,
            mixing,
            directory: directory.cloned(),
            policy,
            refused: AtomicU64::new(0),
        }
    }

    fn lock(&self, commands: &Sender) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for room in commands.take_closed_rooms() {
            inner.generations[room.slot()] += 1;
            inner.free.push(room.slot() as u32);
        }
        inner
    }

    fn open(
        &self,
        name: &str,
        start: RoomSettings,
        at: Duration,
        commands: &Sender,
    ) -> Result<Arc<OpenRoom>, RoomError> {
        check_name(name)?;
        let mut inner = self.lock(commands);
        if inner.open.contains_key(name) {
            let name = name.to_owned();
            return Err(RoomError::Exists { name });
        }
        let mut places = commands.places(1)?;
        let (opened, room) = self.make(&inner, name, start)?;
        places.open_room(room);
        inner.add(&opened, at);
        Ok(opened)
    }

    /// A room of this name, which no other has, and its mixer's part, unless there are as many as there may be.
    fn make(
        &self,
        inner: &Inner,
        name: &str,
        start: RoomSettings,
    ) -> Result<(Arc<OpenRoom>, Room), RoomError> {
        let Some(&slot) = inner.free.last() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let max = self.mixing.rooms_max;
            return Err(RoomError::TooMany { max });
        };
        let id = RoomId::new(slot, inner.generations[slot as usize]);
        let talking = start.talking(inner.talking);
        let mut room = start.of(Room::new(id, &self.mixing)).talking(talking);
        let mut opened = OpenRoom::new(name, id, room.strip(), talking);
        if start.cluster {
            opened.cluster = Some(self.share(&opened, start)?);
            room = room.shared(&self.mixing);
        }
        Ok((Arc::new(opened), room))
    }

    /// Closes the rooms that streams opened and that have had none for [`EMPTY_FOR`], as far as the mixer takes commands.
    /// `occupied` are the rooms that have streams.
    pub(super) fn close_empty(
        &self,
        now: Duration,
        commands: &Sender,
        occupied: impl FnOnce() -> HashSet<RoomId>,
    ) {
        let mut inner = self.lock(commands);
        let is_early = |before| now < before + LOOK_PERIOD;
        if inner.by_streams.is_empty() || inner.looked_at.is_some_and(is_early) {
            return;
        }
        inner.looked_at = Some(now);
        let occupied = occupied();
        let Inner {
            open, by_streams, ..
        } = &mut *inner;
        let mut expired = Vec::new();
        for (name, empty_since) in by_streams {
            if open
                .get(name)
                .is_some_and(|room| occupied.contains(&room.id))
            {
                *empty_since = None;
            } else if now >= *empty_since.get_or_insert(now) + EMPTY_FOR {
                expired.push(name.clone());
            }
        }
        for name in expired {
            // The mixer that is too busy now is asked again.
            let _ = inner.close(&name, now, commands);
        }
    }

    /// The events after this one.
    pub(super) fn events(&self, seen: u64, commands: &Sender) -> Vec<RoomEvent> {
        self.lock(commands).log.after(seen)
    }

    /// The open room of this name.
    pub(super) fn find(&self, name: &str, commands: &Sender) -> Result<Arc<OpenRoom>, RoomError> {
        self.lock(commands).find(name).cloned()
    }

    /// `streams` counts those in a room.
    fn close(
        &self,
        name: &str,
        at: Duration,
        commands: &Sender,
        streams: impl FnOnce(RoomId) -> usize,
    ) -> Result<(), RoomError> {
        if name == MAIN_ROOM {
            return Err(RoomError::Main);
        }
        let mut inner = self.lock(commands);
        let room = inner.find(name)?.id;
        let streams = streams(room);
        if streams > 0 {
            let name = name.to_owned();
            return Err(RoomError::Occupied { name, streams });
        }
        Ok(inner.close(name, at, commands)?)
    }

    fn move_to(
        &self,
        stream: &Arc<Admitted>,
        name: &str,
        fade: bool,
        at: Duration,
        commands: &Sender,
    ) -> Result<Option<Move>, RoomError> {
        // Locked until the stream is in it: a room is not closed meanwhile.
        let mut inner = self.lock(commands);
        let room = Arc::clone(inner.find(name)?);
        if stream.is_ending() {
            let id = stream.id().to_owned();
            return Err(RoomError::StreamEnded { id });
        }
        if stream.room().id == room.id {
            return Ok(None);
        }
        let asked = stream.move_to(&room, fade, commands)?;
        inner.log.moved(at, stream, &room, asked);
        Ok(Some(asked))
    }
}

impl Inner {
    /// Adds a room that the mixer is about to open, in the first free place.
    fn add(&mut self, room: &Arc<OpenRoom>, at: Duration) {
        self.free.pop();
        self.open.insert(room.name.clone(), Arc::clone(room));
        self.log.opened(at, room);
    }

    /// Closes a room without streams, if it is open.
    fn close(&mut self, name: &str, at: Duration, commands: &Sender) -> Result<(), Busy> {
        if let Some(room) = self.open.get(name) {
            room.close(commands)?;
            self.log.closed(at, room);
            if let Some(directory) = &self.directory {
                directory.close(name);
            }
        }
        self.open.remove(name);
        self.by_streams.remove(name);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&Arc<OpenRoom>, RoomError> {
        let name_of = || RoomError::NotFound {
            name: name.to_owned(),
        };
        self.open.get(name).ok_or_else(name_of)
    }
}

impl Handle {
    /// The open rooms by their names, `main` among them. Takes a mutex, and allocates.
    pub fn rooms(&self) -> Vec<Arc<OpenRoom>> {
        let inner = self.shared().streams.rooms.lock(self.commands());
        inner.open.values().cloned().collect()
    }

    /// The open room of this name. Takes a mutex.
    ///
    /// # Errors
    /// [`RoomError::NotFound`].
    pub fn room(&self, name: &str) -> Result<Arc<OpenRoom>, RoomError> {
        self.shared().streams.rooms.find(name, self.commands())
    }

    /// The room that is always open.
    pub fn main_room(&self) -> Arc<OpenRoom> {
        Arc::clone(&self.shared().streams.rooms.main)
    }

    /// Rooms that were refused, as all were in use.
    pub fn rooms_refused(&self) -> u64 {
        self.shared().streams.rooms.refused.load(Ordering::Relaxed)
    }

    /// Opens a room. Takes a mutex, and allocates.
    ///
    /// # Errors
    /// [`RoomError`]: its name, a room of this name, no place left, or a mixer that is busy.
    pub fn open_room(&self, name: &str) -> Result<Arc<OpenRoom>, RoomError> {
        self.open_room_with(name, RoomSettings::default())
    }

    /// Opens a room, which begins with these settings. Takes a mutex, and allocates.
    ///
    /// # Errors
    /// As [`open_room`](Self::open_room).
    pub fn open_room_with(
        &self,
        name: &str,
        start: RoomSettings,
    ) -> Result<Arc<OpenRoom>, RoomError> {
        let rooms = &self.shared().streams.rooms;
        rooms.open(name, start, self.uptime(), self.commands())
    }

    /// Closes a room without streams: its listeners, recordings and RTP targets end.
    ///
    /// # Errors
    /// [`RoomError`]: `main`, no room of this name, streams in it, or a mixer that is busy.
    pub fn close_room(&self, name: &str) -> Result<(), RoomError> {
        let streams = &self.shared().streams;
        let at = self.uptime();
        streams.rooms.close(name, at, self.commands(), |room| {
            let mut register = streams.register.lock();
            let running = register.running().iter();
            running.filter(|stream| stream.room().id == room).count()
        })
    }

    /// Has a stream in another room from the next tick on: with a cross-fade of 20 ms, or at once. Returns its move, which
    /// says [when](Admitted::moved_at) it took effect; none, and nothing happens, if it is there already.
    ///
    /// # Errors
    /// [`RoomError`]: no room of this name, a stream that has ended, or a mixer that is busy.
    pub fn move_stream(
        &self,
        stream: &Arc<Admitted>,
        room: &str,
        fade: bool,
    ) -> Result<Option<Move>, RoomError> {
        let streams = &self.shared().streams;
        streams.gaps.poll();
        let rooms = &streams.rooms;
        rooms.move_to(stream, room, fade, self.uptime(), self.commands())
    }
}

#[cfg(test)]
mod tests;
