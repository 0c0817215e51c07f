//! The rooms of a server, by their names.
//!
//! `main` is always open. Each other room has a place in the mixer from the command that opens it to the moment at which
//! the mixer has let go of it, which is after its last stream and its last reader have left.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    Admitted, Busy, Handle,
    commands::{Place, Sender},
};
use crate::{
    config::RoomPolicy,
    mixer::{self, Command, Room, RoomId, RoomStrip},
    net::NotAdmitted,
    wire::id::{ID_BYTES_MAX, is_id},
};

/// The room that is always open.
pub const MAIN_ROOM: &str = "main";

/// Why a room is not opened, closed or entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// No room can be called so.
    #[error(
        "no room can be called '{}': choose 1 to {ID_BYTES_MAX} printable characters of ASCII without spaces",
        name.escape_debug()
    )]
    Name {
        /// The text.
        name: String,
    },
    /// It is open already.
    #[error("room {name} is open already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no room {}: open it first", name.escape_debug())]
    NotFound {
        /// The name.
        name: String,
    },
    /// All places are taken.
    #[error("room refused: all {max} rooms are in use")]
    TooMany {
        /// Rooms at once.
        max: usize,
    },
    /// `main` stays.
    #[error("room {MAIN_ROOM} is always open")]
    Main,
    /// Streams are in it.
    #[error("room {name} has streams ({streams}): move or end them first")]
    Occupied {
        /// Its name.
        name: String,
        /// How many.
        streams: usize,
    },
    /// The stream has ended, or is ending.
    #[error("stream {id} has ended")]
    StreamEnded {
        /// Its id.
        id: String,
    },
    /// The mixer has too many commands waiting.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// A room that is open, or was.
#[derive(Debug)]
pub struct OpenRoom {
    name: String,
    id: RoomId,
    strip: Arc<RoomStrip>,
    is_closed: AtomicBool,
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

    fn new(name: &str, id: RoomId, strip: Arc<RoomStrip>) -> Self {
        Self {
            name: name.to_owned(),
            id,
            strip,
            is_closed: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        Self::new(MAIN_ROOM, RoomId::MAIN, Arc::default())
    }
}

/// All rooms of a server.
#[derive(Debug)]
pub(super) struct Rooms {
    main: Arc<OpenRoom>,
    mixing: mixer::Settings,
    /// What becomes of a stream with a room that is not open.
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
}

impl Rooms {
    /// `main` alone, with these figures.
    pub(super) fn new(mixing: mixer::Settings, policy: RoomPolicy, main: Arc<RoomStrip>) -> Self {
        let main = Arc::new(OpenRoom::new(MAIN_ROOM, RoomId::MAIN, main));
        Self {
            inner: Mutex::new(Inner {
                open: BTreeMap::from([(MAIN_ROOM.to_owned(), Arc::clone(&main))]),
                // The lowest first.
                free: (1..mixing.rooms_max as u32).rev().collect(),
                generations: vec![0; mixing.rooms_max].into(),
            }),
            main,
            mixing,
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

    fn open(&self, name: &str, commands: &Sender) -> Result<Arc<OpenRoom>, RoomError> {
        let owned = || name.to_owned();
        if !is_id(name) {
            return Err(RoomError::Name { name: owned() });
        }
        let mut inner = self.lock(commands);
        if inner.open.contains_key(name) {
            return Err(RoomError::Exists { name: owned() });
        }
        let (opened, room) = self
            .make(&inner, name)
            .map_err(|max| RoomError::TooMany { max })?;
        commands.open_room(room)?;
        inner.add(&opened);
        Ok(opened)
    }

    /// A room of this name, which no other has, and its mixer's part; or how many there may be, if there are as many.
    fn make(&self, inner: &Inner, name: &str) -> Result<(Arc<OpenRoom>, Room), usize> {
        let Some(&slot) = inner.free.last() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(self.mixing.rooms_max);
        };
        let id = RoomId::new(slot, inner.generations[slot as usize]);
        let room = Room::new(id, &self.mixing);
        Ok((Arc::new(OpenRoom::new(name, id, room.strip())), room))
    }

    /// The way of a stream into the room that it names.
    pub(super) fn entrance(
        &self,
        name: Option<&str>,
        commands: &Sender,
    ) -> Result<Entrance<'_>, NotAdmitted> {
        let Some(name) = name.filter(|name| *name != MAIN_ROOM) else {
            return Ok(Entrance {
                room: Arc::clone(&self.main),
                opens: None,
                inner: None,
            });
        };
        let owned = || name.to_owned();
        if !is_id(name) {
            return Err(NotAdmitted::RoomName { room: owned() });
        }
        let inner = self.lock(commands);
        let (room, opens) = match (inner.open.get(name), self.policy) {
            (Some(room), _) => (Arc::clone(room), None),
            (None, RoomPolicy::Listed) => {
                return Err(NotAdmitted::UnknownRoom { room: owned() });
            }
            (None, RoomPolicy::Auto) => {
                let made = self.make(&inner, name);
                let (room, opens) = made.map_err(|max| NotAdmitted::RoomsMax { max })?;
                (room, Some(opens))
            }
        };
        Ok(Entrance {
            room,
            opens,
            inner: Some(inner),
        })
    }

    /// `streams` counts those in a room.
    fn close(
        &self,
        name: &str,
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
        commands.close_room(room)?;
        if let Some(room) = inner.open.remove(name) {
            room.is_closed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn move_to(
        &self,
        stream: &Admitted,
        name: &str,
        fade: bool,
        commands: &Sender,
    ) -> Result<bool, RoomError> {
        // Locked until the stream is in it: a room is not closed meanwhile.
        let inner = self.lock(commands);
        let room = inner.find(name)?;
        if stream.is_ending() {
            let id = stream.id().to_owned();
            return Err(RoomError::StreamEnded { id });
        }
        commands.steer(Command::Move {
            stream: stream.lease,
            to: room.id,
            fade,
        })?;
        Ok(stream.set_room(room).id != room.id)
    }
}

/// The way of a stream into a room, which is not closed before this is dropped.
pub(super) struct Entrance<'a> {
    room: Arc<OpenRoom>,
    /// The mixer's part, if the stream opens the room.
    opens: Option<Room>,
    /// Locked, unless it is `main`, which is never closed.
    inner: Option<MutexGuard<'a, Inner>>,
}

impl Entrance<'_> {
    /// The room, which is opened first if it was not. Called once it is certain that the stream is admitted.
    pub(super) fn enter(&mut self, place: &mut Place<'_>) -> &Arc<OpenRoom> {
        if let (Some(room), Some(inner)) = (self.opens.take(), &mut self.inner) {
            place.open_room(room);
            inner.add(&self.room);
        }
        &self.room
    }
}

impl Inner {
    /// Adds a room that the mixer is about to open, in the first free place.
    fn add(&mut self, room: &Arc<OpenRoom>) {
        self.free.pop();
        self.open.insert(room.name.clone(), Arc::clone(room));
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
        let inner = self.shared().streams.rooms.lock(self.commands());
        inner.find(name).cloned()
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
        self.shared().streams.rooms.open(name, self.commands())
    }

    /// Closes a room without streams. Its listeners hear silence from then on, until they leave.
    ///
    /// # Errors
    /// [`RoomError`]: `main`, no room of this name, streams in it, or a mixer that is busy.
    pub fn close_room(&self, name: &str) -> Result<(), RoomError> {
        let streams = &self.shared().streams;
        streams.rooms.close(name, self.commands(), |room| {
            let mut register = streams.register.lock();
            let running = register.running().iter();
            running.filter(|stream| stream.room().id == room).count()
        })
    }

    /// Has a stream in another room from the next tick on: with a cross-fade of 20 ms, or at once. Returns false, and
    /// nothing happens, if it is there already.
    ///
    /// # Errors
    /// [`RoomError`]: no room of this name, a stream that has ended, or a mixer that is busy.
    pub fn move_stream(
        &self,
        stream: &Admitted,
        room: &str,
        fade: bool,
    ) -> Result<bool, RoomError> {
        let rooms = &self.shared().streams.rooms;
        rooms.move_to(stream, room, fade, self.commands())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::Format,
        engine::commands::{self, Commands},
        ledger::Account,
        mixer::{Limiting, Mixer, NewInput, ReaderId},
        queue::{Pool, Producer},
    };

    /// A mixer of three rooms, and its rooms by name.
    struct Rig {
        pool: Pool,
        mixer: Mixer,
        sender: Sender,
        commands: Commands,
        rooms: Rooms,
    }

    impl Rig {
        fn new() -> Self {
            Self::with(RoomPolicy::Listed)
        }

        fn with(policy: RoomPolicy) -> Self {
            let (pool, consumer) = Pool::builder().slots(4).ring_bytes(4096).build().unwrap();
            let mixing = mixer::Settings {
                first_block: 0,
                format: Format::new(8000, 1).unwrap(),
                block_samples: 160,
                limiting: Limiting::Limiter,
                rooms_max: 3,
            };
            let mut mixer = Mixer::new(mixing, consumer);
            let rooms = Rooms::new(mixing, policy, mixer.main_strip());
            let (sender, commands) = commands::channel(&mut mixer, 4);
            Self {
                pool,
                mixer,
                sender,
                commands,
                rooms,
            }
        }

        fn tick(&mut self) {
            self.commands.apply(&mut self.mixer);
            self.mixer.collect();
            self.mixer.tick(0);
            self.mixer.send_feeds();
        }

        fn open(&self, name: &str) -> Result<RoomId, RoomError> {
            self.rooms.open(name, &self.sender).map(|room| room.id)
        }

        fn close(&self, name: &str, streams: usize) -> Result<(), RoomError> {
            self.rooms.close(name, &self.sender, |_| streams)
        }

        fn stream(&mut self) -> (Producer, Admitted) {
            let producer = self.pool.acquire().unwrap();
            let lease = producer.lease();
            let account = Arc::new(Account::new("a"));
            let new = NewInput::new(lease, Arc::clone(&account));
            let strip = new.channel_strip();
            self.sender.place().unwrap().admit(new);
            let main = Arc::clone(&self.rooms.main);
            let from = (crate::ledger::SourceKind::Library, String::new());
            let at = std::time::Duration::ZERO;
            (
                producer,
                Admitted::new(account, strip, lease, main, from, at, 0),
            )
        }
    }

    #[test]
    fn a_room_has_one_name_and_a_place_until_the_mixer_lets_go() {
        let mut rig = Rig::new();
        let first = rig.open("a").unwrap();
        assert!(matches!(rig.open("a"), Err(RoomError::Exists { .. })));
        assert!(matches!(rig.open("main"), Err(RoomError::Exists { .. })));
        rig.open("b").unwrap();
        assert!(matches!(rig.open("c"), Err(RoomError::TooMany { max: 3 })));
        rig.close("a", 0).unwrap();
        assert!(
            matches!(rig.open("c"), Err(RoomError::TooMany { .. })),
            "the mixer has not let go of it"
        );
        rig.tick();
        let again = rig.open("a").unwrap();
        assert_eq!(again.slot(), first.slot());
        assert_ne!(again, first, "it is another room");
        assert_eq!(rig.rooms.refused.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_room_that_was_closed_knows_it() {
        let rig = Rig::new();
        let open = |name| rig.rooms.open(name, &rig.sender).unwrap();
        let [first, other] = ["a", "b"].map(open);
        rig.close("a", 0).unwrap();
        assert!(first.is_closed() && !other.is_closed());
        assert!(rig.close("main", 0).is_err() && !rig.rooms.main.is_closed());
    }

    #[test]
    fn names_that_no_url_can_carry_are_refused() {
        let rig = Rig::new();
        for name in ["", "..", "a b", "a\n", "\u{fc}"] {
            assert!(matches!(rig.open(name), Err(RoomError::Name { .. })));
        }
    }

    #[test]
    fn main_and_rooms_with_streams_are_not_closed() {
        let rig = Rig::new();
        rig.open("a").unwrap();
        assert!(matches!(rig.close("main", 0), Err(RoomError::Main)));
        assert!(matches!(
            rig.close("a", 2),
            Err(RoomError::Occupied { streams: 2, .. })
        ));
        assert!(matches!(rig.close("b", 0), Err(RoomError::NotFound { .. })));
    }

    #[test]
    fn a_stream_moves_into_a_room_that_was_just_opened() {
        let mut rig = Rig::new();
        let (producer, stream) = rig.stream();
        let id = rig.open("a").unwrap();
        let moved = || rig.rooms.move_to(&stream, "a", false, &rig.sender);
        assert!(matches!(moved(), Ok(true)));
        assert!(matches!(moved(), Ok(false)), "it is there already");
        assert_eq!(stream.room().id(), id);
        rig.tick();
        rig.close("a", 0).unwrap();
        rig.tick();
        rig.tick();
        assert!(rig.open("a").is_ok(), "under its name there is none");
        assert!(
            matches!(rig.open("b"), Err(RoomError::TooMany { .. })),
            "the stream keeps the mixer's room"
        );
        drop(producer);
        rig.tick();
        rig.tick();
        assert!(rig.open("b").is_ok());
    }

    /// Admits a stream that names this room, as [`Streams`](super::super::streams::Streams) does.
    fn enter(rig: &Rig, name: Option<&str>) -> Result<RoomId, NotAdmitted> {
        let mut entrance = rig.rooms.entrance(name, &rig.sender)?;
        let mut place = rig.sender.place()?;
        let producer = rig.pool.acquire()?;
        let room = entrance.enter(&mut place).id;
        let new = NewInput::new(producer.lease(), Arc::new(Account::new("a")));
        place.admit(new.room(room));
        Ok(room)
    }

    #[test]
    fn a_stream_without_a_room_is_in_main() {
        let rig = Rig::new();
        assert_eq!(enter(&rig, None), Ok(RoomId::MAIN));
        assert_eq!(enter(&rig, Some("main")), Ok(RoomId::MAIN));
    }

    #[test]
    fn a_room_that_is_not_open_refuses_the_stream() {
        let rig = Rig::new();
        let room = || "a".to_owned();
        assert_eq!(
            enter(&rig, Some("a")),
            Err(NotAdmitted::UnknownRoom { room: room() })
        );
        let id = rig.open("a").unwrap();
        assert_eq!(enter(&rig, Some("a")), Ok(id));
    }

    #[test]
    fn a_stream_opens_its_room_if_it_may() {
        let mut rig = Rig::with(RoomPolicy::Auto);
        let room = enter(&rig, Some("a")).unwrap();
        assert_eq!(enter(&rig, Some("a")), Ok(room));
        assert!(matches!(rig.open("a"), Err(RoomError::Exists { .. })));
        rig.tick();
        // Both are in it: closed, it keeps its place until they have left.
        rig.close("a", 0).unwrap();
        rig.open("b").unwrap();
        assert_eq!(
            enter(&rig, Some("a")),
            Err(NotAdmitted::RoomsMax { max: 3 })
        );
        assert_eq!(rig.rooms.refused.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_stream_opens_no_room_under_a_name_that_cannot_be() {
        let rig = Rig::with(RoomPolicy::Auto);
        for name in ["", "..", "a b", "a\n"] {
            let room = name.to_owned();
            let refused = Err(NotAdmitted::RoomName { room });
            assert_eq!(enter(&rig, Some(name)), refused);
        }
    }

    #[test]
    fn a_stream_that_is_refused_opens_no_room() {
        let rig = Rig::with(RoomPolicy::Auto);
        let producers: Vec<_> = (0..4).map(|_| rig.pool.acquire().unwrap()).collect();
        assert!(matches!(enter(&rig, Some("a")), Err(NotAdmitted::Lease(_))));
        drop(producers);
        while rig.sender.close_reader(ReaderId(0)).is_ok() {}
        assert_eq!(
            enter(&rig, Some("a")),
            Err(NotAdmitted::Busy(crate::net::Busy))
        );
        let open = rig.rooms.lock(&rig.sender);
        assert!(open.open.keys().eq(["main"]));
        assert_eq!(open.free.len(), 2);
    }

    #[test]
    fn an_ended_stream_moves_nowhere() {
        let mut rig = Rig::new();
        let (_producer, stream) = rig.stream();
        rig.open("a").unwrap();
        stream.account().advance(crate::ledger::StreamState::Ending);
        let moved = rig.rooms.move_to(&stream, "a", true, &rig.sender);
        assert!(matches!(moved, Err(RoomError::StreamEnded { .. })));
        let unknown = rig.rooms.move_to(&stream, "b", true, &rig.sender);
        assert!(matches!(unknown, Err(RoomError::NotFound { .. })));
    }
}
