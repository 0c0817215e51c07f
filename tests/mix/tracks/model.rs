//! Tracks against an oracle that adds by hand, and against the rooms that they make up.

use proptest::prelude::*;

use super::{
    steps::{Step, steps},
    *,
};
use crate::rooms::model::ramped;

/// Streams ever.
const STREAMS_MAX: usize = 30;

/// So loud that it is cut by itself, at a gain above 1.
const LOUD: i16 = i16::MAX;

/// How far a stream has come: its producer may close at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Here,
    /// By command.
    Ended,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Here,
    Leaving,
    Over,
}

struct Track {
    /// The number of its room.
    room: usize,
    feed: usize,
    from: u64,
    state: State,
    expected: Vec<i16>,
}

struct Stream {
    sender: Option<TestStream>,
    lease: LeaseId,
    /// The number of its room.
    room: usize,
    gain: f32,
    /// The gain of its last block; none before the first.
    in_force: Option<f32>,
    /// The gain from which it fades out of its last room in the coming tick.
    fade: Option<f32>,
    muted: bool,
    solo: bool,
    life: Life,
    said: Option<Vec<i16>>,
    tracks: Vec<Track>,
}

struct Room {
    id: RoomId,
    strip: Option<Arc<RoomStrip>>,
    feed: Option<usize>,
    /// The index before which it was closed.
    until: Option<u64>,
    gone: bool,
}

struct Oracle {
    rig: Rig,
    /// Whether each stream has one track of each room that it is in, and nobody is cut by itself.
    complete: bool,
    slots: usize,
    at_once: usize,
    streams: Vec<Stream>,
    rooms: Vec<Room>,
}

impl Oracle {
    fn new(complete: bool, slots: usize, at_once: usize) -> Self {
        let setup = Setup::mono().slots(STREAMS_MAX).ring(1 << 13);
        let mut rig = setup.rooms(slots).rig();
        rig.listen();
        let main = Room {
            id: RoomId::MAIN,
            strip: None,
            feed: None,
            until: None,
            gone: false,
        };
        Self {
            rig,
            complete,
            slots,
            at_once,
            streams: Vec::new(),
            rooms: vec![main],
        }
    }

    /// The number of the room in this place.
    fn room(&self, slot: usize) -> Option<usize> {
        let is_it = |room: &Room| !room.gone && room.id.slot() == slot;
        self.rooms.iter().position(is_it)
    }

    fn open_room_in(&self, slot: usize) -> Option<usize> {
        self.room(slot)
            .filter(|&room| self.rooms[room].until.is_none())
    }

    /// The name of the room in this place, or of none.
    fn id(&self, slot: usize) -> RoomId {
        let none = RoomId::new(slot as u32, 77);
        self.room(slot).map_or(none, |room| self.rooms[room].id)
    }

    /// One with a sender.
    fn stream(&self, who: usize) -> Option<usize> {
        let there = |&index: &usize| self.streams[index].sender.is_some();
        let there: Vec<_> = (0..self.streams.len()).filter(there).collect();
        (!there.is_empty()).then(|| there[who % there.len()])
    }

    fn now(&self) -> u64 {
        self.rig.mixer.next_tick() * N
    }

    fn act(&mut self, seed: u64, step: &Step) {
        match *step {
            Step::OpenRoom(slot) => self.open_room(slot % self.slots),
            Step::CloseRoom(slot) => self.close_room(slot % self.slots),
            Step::Admit(slot) => self.admit(slot % self.slots),
            Step::Tick => self.tick(),
            Step::Move(who, to, fade) => {
                if let Some(who) = self.stream(who) {
                    self.shift(who, to % self.slots, fade);
                }
            }
            Step::Open(who, slot) => {
                if let Some(who) = self.stream(who) {
                    self.open_track(who, slot % self.slots);
                }
            }
            Step::Close(who) => self.close_track(who),
            Step::Say(who, loud) => {
                let now = self.now();
                let loud = loud && !self.complete;
                let Some(who) = self.stream(who) else { return };
                let stream = &mut self.streams[who];
                if stream.said.is_none() {
                    let samples = noise(seed + 1, BLOCK, if loud { LOUD } else { 3000 });
                    stream.sender.as_mut().unwrap().place(now, &samples);
                    stream.said = Some(samples);
                }
            }
            Step::Mute(who, muted) => {
                self.steer(
                    who,
                    |lease| Command::SetMuted(lease, muted),
                    |it| it.muted = muted,
                );
            }
            Step::Solo(who, solo) => {
                self.steer(
                    who,
                    |lease| Command::SetSolo(lease, solo),
                    |it| it.solo = solo,
                );
            }
            Step::Gain(who, gain) => {
                let linear = Gain::from_linear(gain).unwrap();
                self.steer(
                    who,
                    |lease| Command::SetGain(lease, linear),
                    |it| it.gain = gain,
                );
            }
            Step::End(who) => {
                self.steer(who, Command::End, |stream| {
                    stream.solo = false;
                    stream.life = stream.life.max(Life::Ended);
                    stream.in_force = stream.in_force.or(Some(0.0));
                });
            }
            Step::Leave(who) => {
                if let Some(who) = self.stream(who) {
                    self.streams[who].sender = None;
                }
            }
        }
    }

    fn steer(
        &mut self,
        who: usize,
        command: impl FnOnce(LeaseId) -> Command,
        note: impl FnOnce(&mut Stream),
    ) {
        let Some(who) = self.stream(who) else { return };
        let stream = &mut self.streams[who];
        self.rig.mixer.apply(command(stream.lease));
        if stream.life == Life::Here {
            note(stream);
        }
    }

    fn open_room(&mut self, slot: usize) {
        let before = self.rooms.iter().filter(|room| room.id.slot() == slot);
        let id = RoomId::new(slot as u32, before.count() as u32);
        let strip = self.rig.open_room(id);
        if Arc::strong_count(&strip) == 2 {
            let feed = self.rig.hear(Signal::Room(id));
            self.rooms.push(Room {
                id,
                strip: Some(strip),
                feed: Some(feed),
                until: None,
                gone: false,
            });
        }
    }

    fn close_room(&mut self, slot: usize) {
        let Some(number) = self.room(slot).filter(|&number| number > 0) else {
            return;
        };
        let now = self.now();
        let room = &mut self.rooms[number];
        self.rig.mixer.apply(Command::CloseRoom(room.id));
        room.until.get_or_insert(now);
        if let Some(feed) = room.feed.take() {
            self.rig.close(feed);
        }
        let tracks = self
            .streams
            .iter_mut()
            .flat_map(|stream| &mut stream.tracks);
        for track in tracks.filter(|track| track.room == number) {
            track.state = State::Over;
        }
    }

    fn admit(&mut self, slot: usize) {
        let there = self.streams.iter().filter(|stream| stream.sender.is_some());
        if there.count() >= self.at_once || self.streams.len() == STREAMS_MAX {
            return;
        }
        let found = self.open_room_in(slot);
        let room = found.unwrap_or(0);
        let of = if self.complete {
            self.rooms[room].id
        } else {
            self.id(slot)
        };
        let (sender, _, feed) = self.rig.tracked_in(self.rooms[room].id, of);
        let mut stream = Stream {
            lease: sender.lease(),
            sender: Some(sender),
            room,
            gain: 1.0,
            in_force: None,
            fade: None,
            muted: false,
            solo: false,
            life: Life::Here,
            said: None,
            tracks: Vec::new(),
        };
        stream.add(feed, room, self.now(), found.is_some() || self.complete);
        self.streams.push(stream);
    }

    fn shift(&mut self, who: usize, to: usize, fade: bool) {
        let now = self.now();
        let (id, found) = (self.id(to), self.open_room_in(to));
        let stream = &mut self.streams[who];
        let is_moved = stream.life == Life::Here && found.is_some_and(|room| room != stream.room);
        if self.complete && !is_moved {
            return;
        }
        let feed = self.rig.move_tracked(stream.lease, id, fade);
        if is_moved {
            let fades = fade && stream.in_force.is_some();
            for track in &mut stream.tracks {
                track.state = match track.state {
                    State::Here if fades => State::Leaving,
                    _ => State::Over,
                };
            }
            (stream.solo, stream.fade) = (false, None);
            if fades {
                stream.fade = stream.in_force;
                stream.in_force = Some(0.0);
            }
            stream.room = found.unwrap();
        }
        let opens = stream.life == Life::Here && found.is_some();
        stream.add(feed, found.unwrap_or(0), now, opens);
    }

    fn open_track(&mut self, who: usize, slot: usize) {
        if self.complete {
            return;
        }
        let (room, found, now) = (self.id(slot), self.open_room_in(slot), self.now());
        let stream = &mut self.streams[who];
        let lease = stream.lease;
        let feed = self.rig.hear(Signal::Track {
            stream: lease,
            room,
        });
        let opens = stream.life == Life::Here && found == Some(stream.room);
        stream.add(feed, found.unwrap_or(0), now, opens);
    }

    fn close_track(&mut self, which: usize) {
        let tracks = self
            .streams
            .iter_mut()
            .flat_map(|stream| &mut stream.tracks);
        let mut open: Vec<_> = tracks.filter(|track| track.state != State::Over).collect();
        if self.complete || open.is_empty() {
            return;
        }
        let which = which % open.len();
        open[which].state = State::Over;
        self.rig.close(open[which].feed);
    }

    fn tick(&mut self) {
        // One that never began ends before the tick.
        for stream in &mut self.streams {
            let began = stream.in_force.is_some() || stream.said.is_some();
            if stream.sender.is_none() && !began {
                stream.end();
            }
        }
        let is_solo = |stream: &&Stream| stream.life != Life::Over && stream.solo;
        let soloing = self
            .streams
            .iter()
            .filter(is_solo)
            .map(|stream| stream.room);
        let soloing: Vec<_> = soloing.collect();
        for stream in &mut self.streams {
            stream.play(soloing.contains(&stream.room));
        }
        let now = self.rig.mixer.next_tick();
        self.rig.mixer.collect();
        self.rig.mixer.tick(now);
        self.rig.send_feeds();
        self.rig.check_ledger();
        for room in &mut self.rooms {
            let is_held = |strip: &Arc<RoomStrip>| Arc::strong_count(strip) == 2;
            room.gone = room.strip.as_ref().is_some_and(|strip| !is_held(strip));
        }
    }

    fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.streams.iter().flat_map(|stream| &stream.tracks)
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for track in self.tracks() {
            let line = self.rig.line(track.feed);
            prop_assert!(
                line.heard == track.expected,
                "{:?}",
                self.rooms[track.room].id
            );
            prop_assert_eq!(line.closed, track.state == State::Over);
            prop_assert!(line.heard.is_empty() || line.from == Some(track.from));
        }
        Ok(())
    }

    /// All tracks of a room, added and cut once, are its mix.
    fn check_sums(&self) -> Result<(), TestCaseError> {
        for (number, room) in self.rooms.iter().enumerate() {
            let mut sums = vec![0; self.now() as usize];
            for track in self.tracks().filter(|track| track.room == number) {
                let heard = self.rig.line(track.feed).heard.iter();
                for (sum, &sample) in sums[track.from as usize..].iter_mut().zip(heard) {
                    *sum += i64::from(sample);
                }
            }
            let sums: Vec<_> = sums.into_iter().map(cut).collect();
            // Mix-minuses may keep it heard.
            let until = room.until.unwrap_or(self.now()) as usize;
            prop_assert!(sums[until..].iter().all(|&sample| sample == 0));
            let heard = heard(&self.rig, room.id);
            prop_assert!(heard[..until] == sums[..until], "{:?}", room.id);
        }
        Ok(())
    }
}

impl Stream {
    fn add(&mut self, feed: usize, room: usize, from: u64, opens: bool) {
        let here = self
            .tracks
            .iter()
            .filter(|track| track.state == State::Here);
        let opens = opens && here.count() < STREAM_FEEDS_MAX;
        self.tracks.push(Track {
            room,
            feed,
            from,
            state: if opens { State::Here } else { State::Over },
            expected: Vec::new(),
        });
    }

    fn end(&mut self) {
        self.life = Life::Over;
        for track in &mut self.tracks {
            track.state = State::Over;
        }
    }

    fn play(&mut self, soloing: bool) {
        let silent = self.muted || self.life == Life::Ended || (soloing && !self.solo);
        let target = if silent { 0.0 } else { self.gain };
        let (mut own, mut left) = (vec![0; BLOCK], vec![0; BLOCK]);
        if let Some(said) = self.said.take() {
            own = ramped(&said, self.in_force.unwrap_or(target), target);
            if let Some(gain) = self.fade {
                left = ramped(&said, gain, 0.0);
            }
            self.in_force = Some(target);
        }
        self.in_force = self.in_force.map(|_| target);
        self.fade = None;
        for track in &mut self.tracks {
            let block = match track.state {
                State::Here => &own,
                State::Leaving => &left,
                State::Over => continue,
            };
            track
                .expected
                .extend(block.iter().map(|&sample| cut(sample)));
            if track.state == State::Leaving {
                track.state = State::Over;
            }
        }
        if self.sender.is_none() {
            self.end();
        }
    }
}

fn run(oracle: &mut Oracle, steps: &[Step]) {
    for (seed, step) in (0..).zip(steps) {
        oracle.act(seed, step);
    }
    oracle.rig.mixer.collect();
    oracle.rig.mixer.flush();
    oracle.rig.send_feeds();
    // Those of streams that end only now.
    for stream in &mut oracle.streams {
        let began = stream.in_force.is_some() || stream.said.is_some();
        if stream.sender.is_none() && !began {
            stream.end();
        }
    }
}

proptest! {
    #[test]
    fn each_track_is_what_its_stream_adds_by_hand(
        steps in steps(),
        slots in 1usize..=4,
        at_once in 1usize..=4,
    ) {
        let mut oracle = Oracle::new(false, slots, at_once);
        run(&mut oracle, &steps);
        oracle.check()?;
    }

    #[test]
    fn all_tracks_of_a_room_add_up_to_its_mix(
        steps in steps(),
        slots in 1usize..=4,
        at_once in 2usize..=6,
    ) {
        let mut oracle = Oracle::new(true, slots, at_once);
        run(&mut oracle, &steps);
        oracle.check()?;
        oracle.check_sums()?;
    }
}
