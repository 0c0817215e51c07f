//! Rooms against an oracle that adds by hand.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Open(usize),
    Close(usize),
    Admit(usize),
    Say(usize, bool),
    Move(usize, usize, bool),
    Mute(usize, bool),
    Solo(usize, bool),
    /// A room's gain.
    Gain(usize, f32),
    End(usize),
    Leave(usize),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 0usize..60;
    let step = prop_oneof![
        2 => n().prop_map(Step::Open),
        1 => n().prop_map(Step::Close),
        3 => n().prop_map(Step::Admit),
        12 => (n(), any::<bool>()).prop_map(|(who, loud)| Step::Say(who, loud)),
        5 => (n(), n(), any::<bool>()).prop_map(|(who, to, fade)| Step::Move(who, to, fade)),
        1 => (n(), any::<bool>()).prop_map(|(who, on)| Step::Mute(who, on)),
        1 => (n(), any::<bool>()).prop_map(|(who, on)| Step::Solo(who, on)),
        2 => (n(), gain()).prop_map(|(slot, gain)| Step::Gain(slot, gain)),
        1 => n().prop_map(Step::End),
        1 => n().prop_map(Step::Leave),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..250)
}

fn gain() -> impl Strategy<Value = f32> {
    prop_oneof![2 => Just(1.0), 1 => Just(0.0), 2 => 0f32..=16.0]
}

/// Streams ever.
const STREAMS_MAX: usize = 30;

/// How far a stream has come: its producer may close at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Here,
    /// By command.
    Ended,
    Over,
}

struct ModelStream {
    sender: Option<TestStream>,
    lease: LeaseId,
    feed: usize,
    /// The slot of its room.
    room: usize,
    /// The gain of its last block; none before the first.
    gain: Option<f32>,
    /// The room that it fades out of in the coming tick, and from which gain.
    fade: Option<(usize, f32)>,
    muted: bool,
    solo: bool,
    life: Life,
    moved: bool,
    said: Option<Vec<i16>>,
    /// The samples that its mix-minus must have from the tick on that it came.
    expected: Vec<i16>,
}

impl ModelStream {
    /// After a move: the last samples of its feed, which wait in the delay, are the new room's own.
    fn arrive(&mut self, room: &ModelRoom) {
        if std::mem::take(&mut self.moved) && !self.expected.is_empty() {
            let past = room.expected.len().checked_sub(DELAY);
            let past = past.map_or(&[0; DELAY][..], |from| &room.expected[from..]);
            let len = self.expected.len();
            self.expected[len - DELAY..].copy_from_slice(past);
        }
    }
}

/// A room as its commands say.
struct ModelRoom {
    id: RoomId,
    strip: Option<Arc<RoomStrip>>,
    feed: Option<usize>,
    /// Its first tick, and the one before which its feed was closed.
    from: u64,
    until: Option<u64>,
    gone: bool,
    gain: f32,
    /// The gain at the end of its last block; none before the first.
    in_force: Option<f32>,
    /// The samples that it must have sent since it was opened.
    expected: Vec<i16>,
}

impl ModelRoom {
    fn new(id: RoomId, strip: Option<Arc<RoomStrip>>, feed: Option<usize>, from: u64) -> Self {
        Self {
            id,
            strip,
            feed,
            from,
            until: None,
            gone: false,
            gain: 1.0,
            in_force: None,
            expected: Vec::new(),
        }
    }

    /// The samples of a block of sums.
    fn shaped(&self, sums: impl Iterator<Item = i64>) -> Vec<i16> {
        let gains = way(self.in_force.unwrap_or(self.gain), self.gain);
        let gained = |(sum, gain)| (sum as f64 * f64::from(gain)).round_ties_even();
        sums.zip(gains)
            .map(|pair| cut(gained(pair) as i64))
            .collect()
    }
}

struct Oracle {
    rig: Rig,
    slots: usize,
    at_once: usize,
    streams: Vec<ModelStream>,
    rooms: Vec<ModelRoom>,
}

/// The gains of a block, on a straight way from one to another that takes the block.
fn way(from: f32, to: f32) -> impl Iterator<Item = f32> {
    let step = (to - from) / BLOCK as f32;
    let on_the_way = move |passed: usize| from + step * passed as f32;
    (1..BLOCK).map(on_the_way).chain([to])
}

/// Samples with these gains.
pub fn ramped(samples: &[i16], from: f32, to: f32) -> Vec<i64> {
    let gained = |(&sample, gain): (&i16, f32)| (f32::from(sample) * gain).round_ties_even() as i64;
    samples.iter().zip(way(from, to)).map(gained).collect()
}

impl Oracle {
    fn new(slots: usize, at_once: usize) -> Self {
        let setup = Setup::mono().slots(STREAMS_MAX).ring(1 << 13);
        let mut rig = setup.rooms(slots).rig();
        rig.listen();
        let main = ModelRoom::new(RoomId::MAIN, None, None, 0);
        Self {
            rig,
            slots,
            at_once,
            streams: Vec::new(),
            rooms: vec![main],
        }
    }

    fn room(&self, slot: usize) -> Option<usize> {
        let is_it = |room: &ModelRoom| !room.gone && room.id.slot() == slot;
        self.rooms.iter().position(is_it)
    }

    /// One of those that take commands.
    fn stream(&self, who: usize) -> Option<usize> {
        let there = |&index: &usize| self.streams[index].sender.is_some();
        let there: Vec<_> = (0..self.streams.len()).filter(there).collect();
        (!there.is_empty()).then(|| there[who % there.len()])
    }

    fn act(&mut self, seed: u64, step: &Step) {
        let now = self.rig.mixer.next_tick();
        match *step {
            Step::Open(slot) => self.open(slot % self.slots),
            Step::Close(slot) => self.close(slot % self.slots),
            Step::Admit(slot) => self.admit(slot % self.slots),
            Step::Tick => self.tick(),
            Step::Say(who, loud) => {
                let Some(who) = self.stream(who) else { return };
                let stream = &mut self.streams[who];
                if stream.said.is_none() {
                    let samples = noise(seed + 1, BLOCK, if loud { i16::MAX } else { 3000 });
                    stream.sender.as_mut().unwrap().place(now * N, &samples);
                    stream.said = Some(samples);
                }
            }
            Step::Move(who, to, fade) => self.shift(who, to % self.slots, fade),
            Step::Mute(who, muted) => {
                let Some(who) = self.stream(who) else { return };
                let stream = &mut self.streams[who];
                let command = Command::SetMuted(stream.lease, muted);
                self.rig.mixer.apply(command);
                stream.muted = if stream.life == Life::Here {
                    muted
                } else {
                    stream.muted
                };
            }
            Step::Solo(who, solo) => {
                let Some(who) = self.stream(who) else { return };
                let stream = &mut self.streams[who];
                self.rig.mixer.apply(Command::SetSolo(stream.lease, solo));
                stream.solo = solo && stream.life == Life::Here;
            }
            Step::Gain(slot, gain) => {
                let Some(room) = self.room(slot % self.slots) else {
                    return;
                };
                let room = &mut self.rooms[room];
                let command = Command::SetRoomGain(room.id, Gain::from_linear(gain).unwrap());
                self.rig.mixer.apply(command);
                room.gain = gain;
                if let Some(strip) = &room.strip {
                    assert_eq!(strip.gain().linear().to_bits(), gain.to_bits());
                }
            }
            Step::End(who) => {
                let Some(who) = self.stream(who) else { return };
                let stream = &mut self.streams[who];
                self.rig.mixer.apply(Command::End(stream.lease));
                stream.solo = false;
                stream.life = stream.life.max(Life::Ended);
                stream.gain = stream.gain.or(Some(0.0));
            }
            Step::Leave(who) => {
                let Some(who) = self.stream(who) else { return };
                self.streams[who].sender = None;
            }
        }
    }

    fn open(&mut self, slot: usize) {
        let before = self.rooms.iter().filter(|room| room.id.slot() == slot);
        let id = RoomId::new(slot as u32, before.count() as u32);
        let strip = self.rig.open_room(id);
        let is_open = Arc::strong_count(&strip) == 2;
        assert_eq!(is_open, self.room(slot).is_none(), "unless one is there");
        if is_open {
            let feed = self.rig.hear(Signal::Room(id));
            let from = self.rig.mixer.next_tick();
            let room = ModelRoom::new(id, Some(strip), Some(feed), from);
            self.rooms.push(room);
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(room) = self.room(slot) {
            let room = &mut self.rooms[room];
            self.rig.mixer.apply(Command::CloseRoom(room.id));
            if let Some(feed) = room.feed.take() {
                self.rig.close(feed);
                room.until = Some(self.rig.mixer.next_tick());
            }
        }
    }

    fn admit(&mut self, slot: usize) {
        let there = self.streams.iter().filter(|stream| stream.sender.is_some());
        if there.count() >= self.at_once || self.streams.len() == STREAMS_MAX {
            return;
        }
        let room = self.room(slot);
        let id = room.map_or(RoomId::new(slot as u32, 77), |room| self.rooms[room].id);
        let is_open = room.is_some_and(|room| self.rooms[room].until.is_none());
        let (sender, feed) = self.rig.participant_in(id);
        self.streams.push(ModelStream {
            lease: sender.lease(),
            sender: Some(sender),
            feed,
            room: if is_open { slot } else { 0 },
            gain: None,
            fade: None,
            muted: false,
            solo: false,
            life: Life::Here,
            moved: false,
            said: None,
            expected: Vec::new(),
        });
    }

    fn shift(&mut self, who: usize, to: usize, fade: bool) {
        let Some(who) = self.stream(who) else { return };
        let room = self.room(to);
        let id = room.map_or(RoomId::new(to as u32, 77), |room| self.rooms[room].id);
        let is_open = room.is_some_and(|room| self.rooms[room].until.is_none());
        let stream = &mut self.streams[who];
        self.rig.move_to(stream.lease, id, fade);
        if !is_open || stream.life != Life::Here || stream.room == to {
            return;
        }
        (stream.solo, stream.moved, stream.fade) = (false, true, None);
        if let (true, Some(gain)) = (fade, stream.gain) {
            stream.fade = Some((stream.room, gain));
            stream.gain = Some(0.0);
        }
        stream.room = to;
    }

    fn tick(&mut self) {
        let now = self.rig.mixer.next_tick();
        // One that never began ends before the tick.
        for stream in &mut self.streams {
            let began = stream.gain.is_some() || stream.said.is_some();
            if stream.sender.is_none() && !began {
                stream.life = Life::Over;
            }
        }
        let mut sums = vec![vec![0i64; BLOCK]; self.slots];
        let mut add = |room: usize, samples: &[i64]| {
            for (sum, sample) in sums[room].iter_mut().zip(samples) {
                *sum += sample;
            }
        };
        let soloing: Vec<_> = (0..self.slots)
            .map(|slot| {
                let mut there = self.streams.iter();
                there.any(|stream| stream.life != Life::Over && stream.solo && stream.room == slot)
            })
            .collect();
        let mut own = Vec::new();
        for stream in &mut self.streams {
            let mut own_block = vec![0; BLOCK];
            let silent = stream.muted
                || stream.life == Life::Ended
                || (soloing[stream.room] && !stream.solo);
            let target = if silent { 0.0 } else { 1.0 };
            if let Some(said) = stream.said.take() {
                own_block = ramped(&said, stream.gain.unwrap_or(target), target);
                add(stream.room, &own_block);
                if let Some((from, gain)) = stream.fade {
                    add(from, &ramped(&said, gain, 0.0));
                }
                stream.gain = Some(target);
            }
            stream.gain = stream.gain.map(|_| target);
            stream.fade = None;
            own.push(own_block);
        }
        for (stream, own) in self.streams.iter_mut().zip(own) {
            if stream.life == Life::Over {
                continue;
            }
            let is_it = |room: &&ModelRoom| !room.gone && room.id.slot() == stream.room;
            let room = self.rooms.iter().find(is_it).unwrap();
            stream.arrive(room);
            let minus = sums[stream.room].iter().zip(own);
            let minus = minus.map(|(sum, own)| sum - own);
            stream.expected.extend(room.shaped(minus));
            if stream.sender.is_none() {
                stream.life = Life::Over;
            }
        }
        for room in self.rooms.iter_mut().filter(|room| !room.gone) {
            let sums = sums[room.id.slot()].iter();
            let block = room.shaped(sums.copied());
            room.expected.extend(block);
            room.in_force = Some(room.gain);
        }
        self.rig.mixer.collect();
        self.rig.mixer.tick(now);
        self.rig.send_feeds();
        self.rig.check_ledger();
        for room in &mut self.rooms {
            let is_held = |strip: &Arc<RoomStrip>| Arc::strong_count(strip) == 2;
            room.gone = room.strip.as_ref().is_some_and(|strip| !is_held(strip));
            assert!(
                !room.gone || room.until.is_some(),
                "only one that closes goes"
            );
        }
        assert_eq!(self.rig.mixer.mixed_in_rooms(), mixed(&self.rig));
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let end = self.rig.mixer.next_tick();
        for room in &self.rooms {
            let runs = self.rig.readers[0].runs(room.id);
            let least = (room.until.unwrap_or(end) - room.from) as usize * BLOCK;
            let len = runs.first().map_or(0, |run| run.heard.len());
            prop_assert!(len >= least, "{:?} was heard {len} of {least}", room.id);
            for (index, run) in runs.iter().enumerate() {
                let from = run.from.unwrap() - room.from * N;
                prop_assert!(index > 0 || from == 0, "{:?} begins late", room.id);
                let expected = &room.expected[from as usize..][..run.heard.len()];
                prop_assert!(run.heard == expected, "{:?}", room.id);
            }
        }
        for (who, stream) in self.streams.iter().enumerate() {
            let line = self.rig.line(stream.feed);
            let expected = &stream.expected[..];
            prop_assert!(line.heard.len() + DELAY >= expected.len(), "stream {who}");
            prop_assert!(line.closed || line.heard.len() == expected.len());
            let at = line.heard.iter().zip(expected).position(|(a, b)| a != b);
            prop_assert!(
                at.is_none(),
                "stream {who} from {at:?} of {}",
                expected.len()
            );
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_room_and_mix_minus_is_the_sum_by_hand(
        steps in steps(),
        slots in 1usize..=4,
        at_once in 2usize..=6,
    ) {
        let mut oracle = Oracle::new(slots, at_once);
        for (seed, step) in (0..).zip(&steps) {
            oracle.act(seed, step);
        }
        oracle.rig.mixer.flush();
        oracle.rig.send_feeds();
        for stream in &mut oracle.streams {
            let mut rooms = oracle.rooms.iter().filter(|room| !room.gone);
            if let Some(room) = rooms.find(|room| room.id.slot() == stream.room) {
                stream.arrive(room);
            }
        }
        oracle.check()?;
        // All that close go, once nobody is there.
        for slot in 1..slots {
            oracle.close(slot);
        }
        oracle.streams.clear();
        for _ in 0..3 {
            oracle.rig.mixer.collect();
            oracle.rig.mixer.tick(0);
            oracle.rig.mixer.send_feeds();
        }
        for strip in oracle.rooms.iter().filter_map(|room| room.strip.as_ref()) {
            prop_assert_eq!(Arc::strong_count(strip), 1);
        }
    }
}
