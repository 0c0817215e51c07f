use super::*;
use crate::{
    audio::Format,
    config::{RoomConfig, RoomPolicy},
    engine::{
        RoomChange,
        commands::{self, Commands},
    },
    ledger::Account,
    mixer::{Limiting, Mixer, NewInput, ReaderId},
    net::NotAdmitted,
    queue::{Pool, Producer},
};

const AT: Duration = Duration::ZERO;

impl OpenRoom {
    pub(in crate::engine) fn for_test() -> Self {
        let talking = TalkingRule::default();
        Self::new(MAIN_ROOM, RoomId::MAIN, Arc::default(), talking)
    }
}

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
        Self::beside(policy, None)
    }

    /// On a node of a cluster with so many rooms.
    fn of_cluster(rooms_max: usize) -> Self {
        Self::beside(RoomPolicy::Listed, Some(&Directory::new(rooms_max)))
    }

    fn beside(policy: RoomPolicy, directory: Option<&Directory>) -> Self {
        let (pool, consumer) = Pool::builder().slots(4).ring_bytes(4096).build().unwrap();
        let mixing = mixer::Settings {
            first_block: 0,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
            limiting: Limiting::Limiter,
            rooms_max: 3,
            lead_ticks: directory.map_or(0, |_| 2),
        };
        let mut mixer = Mixer::new(mixing, consumer);
        let rooms = Rooms::new(mixing, policy, mixer.main_strip(), directory);
        let (sender, commands) = commands::channel(&mut mixer, 4, 0);
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
        self.rooms
            .open(name, RoomSettings::default(), AT, &self.sender)
            .map(|room| room.id)
    }

    fn close(&self, name: &str, streams: usize) -> Result<(), RoomError> {
        self.rooms.close(name, AT, &self.sender, |_| streams)
    }

    fn events(&self) -> Vec<String> {
        let events = self.rooms.events(0, &self.sender);
        let text = |event: &RoomEvent| {
            let room = event.room.name();
            match &event.change {
                RoomChange::Opened => format!("opened {room}"),
                RoomChange::Entered { sample, .. } => format!("into {room} at {}", sample.unwrap()),
                RoomChange::Closed => format!("closed {room}"),
            }
        };
        events.iter().map(text).collect()
    }

    fn stream(&mut self) -> (Producer, Arc<Admitted>) {
        let producer = self.pool.acquire().unwrap();
        let lease = producer.lease();
        let account = Arc::new(Account::new("a"));
        let new = NewInput::new(lease, Arc::clone(&account));
        let strip = new.channel_strip();
        self.sender.place().unwrap().admit(new);
        let main = Arc::clone(&self.rooms.main);
        let from = (crate::ledger::SourceKind::Library, String::new());
        let at = std::time::Duration::ZERO;
        let admitted = Admitted::new(account, strip, lease, main, from, at, 0);
        (producer, Arc::new(admitted))
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
    let open = |name| {
        rig.rooms
            .open(name, RoomSettings::default(), AT, &rig.sender)
            .unwrap()
    };
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
    let moved = || rig.rooms.move_to(&stream, "a", false, AT, &rig.sender);
    assert!(matches!(moved(), Ok(Some(_))));
    assert!(matches!(moved(), Ok(None)), "it is there already");
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
    let mut entrance = rig.rooms.entrance(name, AT, &rig.sender)?;
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

/// Whether this room closed when it was looked at.
fn closes(rig: &Rig, name: &str, at_s: u64, occupied: &[RoomId]) -> bool {
    let at = Duration::from_secs(at_s);
    let occupied = || occupied.iter().copied().collect();
    rig.rooms.close_empty(at, &rig.sender, occupied);
    !rig.rooms.lock(&rig.sender).open.contains_key(name)
}

#[test]
fn a_room_of_streams_closes_a_minute_after_it_was_seen_empty() {
    let mut rig = Rig::with(RoomPolicy::Auto);
    let room = enter(&rig, Some("a")).unwrap();
    for (at_s, occupied) in [
        (0, false),
        (59, false),
        (59, true),
        (80, true),
        (100, false),
    ] {
        let occupied = if occupied { &[room][..] } else { &[] };
        assert!(!closes(&rig, "a", at_s, occupied), "{at_s}");
    }
    assert!(!closes(&rig, "a", 159, &[]));
    assert!(closes(&rig, "a", 160, &[]));
    rig.tick();
    assert!(rig.open("a").is_ok());
    assert!(
        !closes(&rig, "a", 1000, &[]) && !closes(&rig, "a", 2000, &[]),
        "it was opened by name"
    );
}

#[test]
fn a_room_that_is_listed_later_stays() {
    let rig = Rig::with(RoomPolicy::Auto);
    enter(&rig, Some("a")).unwrap();
    let listed = [room("a"), room("main")];
    rig.rooms.open_listed(&listed, AT, &rig.sender).unwrap();
    assert!(!closes(&rig, "a", 0, &[]) && !closes(&rig, "a", 1000, &[]));
}

#[test]
fn a_mixer_that_is_busy_closes_the_room_later() {
    let mut rig = Rig::with(RoomPolicy::Auto);
    enter(&rig, Some("a")).unwrap();
    assert!(!closes(&rig, "a", 0, &[]));
    while rig.sender.close_reader(ReaderId(0)).is_ok() {}
    assert!(!closes(&rig, "a", 60, &[]));
    rig.tick();
    assert!(closes(&rig, "a", 61, &[]));
}

fn room(name: &str) -> RoomConfig {
    RoomConfig::named(name)
}

#[test]
fn listed_rooms_open_all_or_none() {
    let rig = Rig::new();
    let open = |names: &[&str]| {
        let listed: Vec<_> = names.iter().map(|name| room(name)).collect();
        rig.rooms.open_listed(&listed, AT, &rig.sender)
    };
    assert!(matches!(
        open(&["a", "b", "c"]),
        Err(RoomError::TooMany { max: 3 })
    ));
    assert!(matches!(open(&["a", "b c"]), Err(RoomError::Name { .. })));
    assert!(rig.rooms.events(0, &rig.sender).is_empty());
    open(&["a", "main"]).unwrap();
    open(&["b", "a"]).unwrap();
    let events = rig.rooms.events(0, &rig.sender);
    let names: Vec<_> = events.iter().map(|event| event.room.name()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn listed_rooms_of_a_cluster_open_all_or_none() {
    let listed = ["a", "b"].map(|name| RoomConfig {
        cluster: true,
        ..room(name)
    });
    let open = |rig: &Rig, listed: &[RoomConfig]| rig.rooms.open_listed(listed, AT, &rig.sender);
    let (small, none) = (Rig::of_cluster(1), Rig::new());
    let too_many = open(&small, &listed);
    assert!(matches!(
        too_many,
        Err(RoomError::TooManyInCluster { max: 1 })
    ));
    let alone = open(&none, &[room("c"), listed[0].clone()]);
    assert!(matches!(alone, Err(RoomError::NoCluster { .. })));
    for rig in [&small, &none] {
        assert!(rig.rooms.events(0, &rig.sender).is_empty());
    }
    open(&small, &listed[..1]).unwrap();
    open(&Rig::of_cluster(2), &listed).unwrap();
}

#[test]
fn each_opening_and_closing_is_one_event_in_order() {
    let mut rig = Rig::with(RoomPolicy::Auto);
    rig.open("a").unwrap();
    assert!(rig.open("a").is_err());
    enter(&rig, Some("b")).unwrap();
    rig.close("a", 0).unwrap();
    rig.tick();
    assert!(!closes(&rig, "b", 0, &[]) && closes(&rig, "b", 61, &[]));
    let expected = ["opened a", "opened b", "closed a", "closed b"];
    assert_eq!(rig.events(), expected);
    let events = rig.rooms.events(0, &rig.sender);
    assert!(
        events
            .iter()
            .map(|event| event.at.as_secs())
            .eq([0, 0, 0, 61])
    );
}

#[test]
fn a_room_that_closes_does_so_after_the_moves_out_of_it() {
    let mut rig = Rig::new();
    let (_producer, stream) = rig.stream();
    for name in ["a", "b"] {
        rig.open(name).unwrap();
    }
    rig.rooms
        .move_to(&stream, "a", false, AT, &rig.sender)
        .unwrap();
    rig.tick();
    let mut moved = Vec::new();
    let streams = |_| vec![Arc::clone(&stream)];
    let leave = Leave::MoveTo("b");
    rig.rooms
        .close_occupied("a", leave, AT, &rig.sender, streams, &mut moved)
        .unwrap();
    let before = ["opened a", "opened b", "into a at 0"];
    assert_eq!(rig.events(), before);
    rig.tick();
    let after = ["into b at 160", "closed a"];
    assert_eq!(rig.events(), [&before[..], &after].concat());
}

#[test]
fn a_room_opens_after_one_of_its_name_closed() {
    let mut rig = Rig::new();
    let (_producer, stream) = rig.stream();
    rig.open("a").unwrap();
    rig.rooms
        .move_to(&stream, "a", true, AT, &rig.sender)
        .unwrap();
    rig.close("a", 0).unwrap();
    rig.open("a").unwrap();
    assert_eq!(rig.events(), ["opened a"]);
    rig.tick();
    let after = ["opened a", "into a at 0", "closed a", "opened a"];
    assert_eq!(rig.events(), after);
}

#[test]
fn a_move_of_a_stream_that_ended_first_is_no_event() {
    let mut rig = Rig::new();
    let (_producer, stream) = rig.stream();
    rig.open("a").unwrap();
    rig.rooms
        .move_to(&stream, "a", true, AT, &rig.sender)
        .unwrap();
    rig.close("a", 0).unwrap();
    assert_eq!(rig.events(), ["opened a"]);
    stream.account().advance(crate::ledger::StreamState::Ending);
    assert_eq!(rig.events(), ["opened a", "closed a"]);
}

#[test]
fn a_move_says_when_it_took_effect_unless_another_followed() {
    let mut rig = Rig::new();
    let (_producer, stream) = rig.stream();
    rig.open("a").unwrap();
    let moved = |rig: &Rig, to| {
        let moved = rig.rooms.move_to(&stream, to, false, AT, &rig.sender);
        moved.unwrap().expect("it is elsewhere")
    };
    rig.tick();
    let to_a = moved(&rig, "a");
    assert_eq!(stream.moved_at(to_a), MovedAt::Waiting);
    rig.tick();
    assert_eq!(stream.moved_at(to_a), MovedAt::Sample(160));
    let back = moved(&rig, "main");
    assert_eq!(stream.moved_at(to_a), MovedAt::Sample(160));
    assert_eq!(stream.moved_at(back), MovedAt::Waiting);
    let again = moved(&rig, "a");
    rig.tick();
    assert_eq!(stream.moved_at(back), MovedAt::Followed);
    assert_eq!(stream.moved_at(again), MovedAt::Sample(320));
}

#[test]
fn an_ended_stream_moves_nowhere() {
    let mut rig = Rig::new();
    let (_producer, stream) = rig.stream();
    rig.open("a").unwrap();
    stream.account().advance(crate::ledger::StreamState::Ending);
    let moved = rig.rooms.move_to(&stream, "a", true, AT, &rig.sender);
    assert!(matches!(moved, Err(RoomError::StreamEnded { .. })));
    let unknown = rig.rooms.move_to(&stream, "b", true, AT, &rig.sender);
    assert!(matches!(unknown, Err(RoomError::NotFound { .. })));
}
