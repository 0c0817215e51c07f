//! The rooms of a mixer: each a bus of its own, and the streams and readers that keep it in the tick.
//!
//! A room without streams and readers leaves the tick once its bus is at rest: silence in is silence out then, so it
//! comes back as if it had never left. `main` is in every tick.

use std::{cell::Cell, sync::Arc};

use super::{
    Block, CONTRIBUTORS_MAX, Limiting, RoomId, RoomStrip, Settings,
    bus::Bus,
    part_message::RoomPart,
    parts::Shared,
    removed::{Part, Removals},
};
use crate::audio::{Gain, Ramp, talking::BlockRule};

/// A room to be [opened](super::Command::OpenRoom).
#[derive(Debug)]
pub struct Room {
    pub(super) id: RoomId,
    pub(super) bus: Bus,
    /// Sources that were heard in the tick. Room for all that are named, so it never grows.
    contributors: Vec<u32>,
    /// The slots of streams that were. Room for all that are shown, so it never grows.
    heard: Vec<u32>,
    /// Streams in it, those that wait or fade out among them, and mixes without one.
    members: usize,
    /// Readers that hear it.
    readers: Cell<usize>,
    /// Streams that are solo.
    solos: usize,
    pub(super) talking: BlockRule,
    mixed: u64,
    strip: Arc<RoomStrip>,
    /// The index before which it closes for its readers; the largest while it is open.
    ends: u64,
    is_active: bool,
    /// Only if it is on several nodes.
    shared: Option<Box<Shared>>,
}

impl Room {
    /// A room without streams, at unity gain and limited as `main` began: `settings` are the mixer's. Allocates all that
    /// it ever will.
    pub fn new(id: RoomId, settings: &Settings) -> Self {
        let room = Self {
            id,
            bus: Bus::new(settings),
            contributors: Vec::with_capacity(CONTRIBUTORS_MAX),
            heard: Vec::with_capacity(CONTRIBUTORS_MAX),
            members: 0,
            readers: Cell::new(0),
            solos: 0,
            talking: settings.talking_rule(),
            mixed: 0,
            strip: Arc::default(),
            ends: u64::MAX,
            is_active: false,
            shared: None,
        };
        room.limiting(settings.limiting)
    }

    /// The gain of its sum, before the limiter; that of its mix-minuses, too.
    #[must_use]
    pub fn gain(mut self, gain: Gain) -> Self {
        self.set_gain(gain);
        self
    }

    /// How its sums beyond 16 bits become samples.
    #[must_use]
    pub fn limiting(mut self, limiting: Limiting) -> Self {
        self.set_limiting(limiting);
        self
    }

    /// It is on several nodes: its sums of each tick are sent, its block is made of those of all, [`Settings::lead_ticks`]
    /// later, whether there are others or not. It is in every tick. Allocates the sums of those ticks.
    ///
    /// # Panics
    /// If those are none.
    #[must_use]
    pub fn shared(self, settings: &Settings) -> Self {
        assert!(settings.lead_ticks > 0, "a shared room has a lead");
        Self {
            shared: Some(Box::new(Shared::new(settings))),
            ..self
        }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub(super) fn set_gain(&mut self, gain: Gain) {
        self.bus.gain = gain;
        self.show(self.strip.peak());
    }

    pub(super) fn set_limiting(&mut self, limiting: Limiting) {
        self.bus.limiting = limiting;
        self.show(self.strip.peak());
    }

    fn show(&self, peak: u16) {
        self.strip.set(self.bus.gain, self.bus.limiting, peak);
    }

    /// The memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(self)
            + size_of::<u32>() * self.contributors.capacity()
            + size_of::<RoomStrip>()
            + self.bus.heap_bytes()
            + self
                .shared
                .as_ref()
                .map_or(0, |shared| shared.memory_bytes())
    }

    /// Its figures, for any thread, for as long as that keeps them.
    pub fn strip(&self) -> Arc<RoomStrip> {
        Arc::clone(&self.strip)
    }

    /// Whether a stream is solo in it, here or on another node. `tick` is the one that runs.
    pub(super) fn is_soloing(&self, tick: u64) -> bool {
        let shared = self.shared.as_ref();
        self.solos > 0 || shared.is_some_and(|shared| shared.is_soloing(tick))
    }

    /// This node's part of the tick that has run; a room that is not shared has none.
    pub(super) fn part(&self) -> Option<RoomPart<'_>> {
        let shared = self.shared.as_ref()?;
        let streams = self.members as u32;
        Some(shared.part(self.id, streams, self.solos as u32, self.mixed))
    }

    /// The block of this slot's stream was mixed: so many samples of it count, and its source was heard.
    pub(super) fn count(&mut self, mixed: u64, slot: usize, source: Option<u32>) {
        self.mixed += mixed;
        if self.heard.len() < CONTRIBUTORS_MAX {
            self.heard.push(slot as u32);
        }
        if let Some(source) = source
            && self.contributors.len() < CONTRIBUTORS_MAX
        {
            self.contributors.push(source);
        }
    }

    pub(super) fn block(&self) -> Block<'_> {
        self.bus.block(&self.contributors)
    }

    /// One after the last sample that is heard of it.
    pub(super) fn ends(&self) -> u64 {
        self.ends
    }

    fn closes(&self) -> bool {
        self.ends < u64::MAX
    }

    /// The index of its block in a tick that begins at `first`; none before the mix's first, `origin`.
    fn first_of(&self, first: u64, origin: u64, lead: u64) -> Option<u64> {
        if !self.is_shared() {
            return Some(first);
        }
        first.checked_sub(lead).filter(|&first| first >= origin)
    }

    /// Whether silence would go on in it, unheard.
    fn rests(&self) -> bool {
        if self.is_shared() && !self.closes() {
            return false;
        }
        self.members == 0 && self.readers.get() == 0 && (self.closes() || self.bus.is_at_rest())
    }
}

/// A stream on its way out of a room: for the length of the ramp it adds to that as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fade {
    /// The slot of the room that it leaves.
    pub(super) from: u32,
    pub(super) ramp: Ramp,
}

/// All rooms of a mixer, by their slots.
#[derive(Debug)]
pub(super) struct Rooms {
    slots: Box<[Option<Box<Room>>]>,
    /// Those in the tick. Room for all, so it never grows.
    active: Vec<u32>,
    /// By stream.
    fades: Box<[Option<Fade>]>,
    /// The sums of a block of one room, shaped.
    shaped: Box<[i32]>,
    /// Samples that were heard in rooms that are closed.
    mixed_before: u64,
}

const IS_THERE: &str = "a stream's room is there";

impl Rooms {
    /// `main`, and room for the others and for so many streams. Allocates.
    pub(super) fn new(settings: &Settings, streams: usize) -> Self {
        let mut rooms = Self {
            slots: (0..settings.rooms_max.max(1)).map(|_| None).collect(),
            active: Vec::with_capacity(settings.rooms_max.max(1)),
            fades: vec![None; streams].into(),
            shaped: vec![0; settings.block()].into(),
            mixed_before: 0,
        };
        let refused = rooms.open(Box::new(Room::new(RoomId::MAIN, settings)));
        debug_assert!(refused.is_none(), "the first room has a slot");
        rooms
    }

    /// Opens a room; returned if its slot is taken, or there is none.
    pub(super) fn open(&mut self, room: Box<Room>) -> Option<Box<Room>> {
        let slot = room.id.slot();
        match self.slots.get_mut(slot) {
            Some(free @ None) => {
                *free = Some(room);
                if slot == 0 || self.get(slot as u32).is_shared() {
                    self.activate(slot as u32);
                }
                None
            }
            _ => Some(room),
        }
    }

    /// The room closes once it has no streams and no readers; rings that it has of its own get no sample from this index
    /// on. `main` never closes.
    pub(super) fn close(&mut self, id: RoomId, index: u64) {
        if id != RoomId::MAIN
            && let Some(room) = self.find_mut(id)
        {
            room.ends = room.ends.min(index);
            // It leaves with the next tick.
            self.activate(id.slot() as u32);
        }
    }

    /// Changes a room from its next block on. It is in the tick as long as the ramp takes, if it ever was.
    pub(super) fn set(&mut self, id: RoomId, change: impl FnOnce(&mut Room)) {
        if let Some(room) = self.find_mut(id) {
            change(room);
            if room.bus.has_begun() {
                self.activate(id.slot);
            }
        }
    }

    /// The slot of a room that is open, or that of `main`.
    pub(super) fn slot_or_main(&self, id: RoomId) -> u32 {
        match self.find(id) {
            Some(room) if !room.closes() => id.slot,
            _ => 0,
        }
    }

    pub(super) fn is_open(&self, id: RoomId) -> bool {
        self.find(id).is_some_and(|room| !room.closes())
    }

    pub(super) fn find(&self, id: RoomId) -> Option<&Room> {
        let room = self.slots.get(id.slot())?.as_deref()?;
        (room.id == id).then_some(room)
    }

    fn find_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        let room = self.slots.get_mut(id.slot())?.as_deref_mut()?;
        (room.id == id).then_some(room)
    }

    pub(super) fn get(&self, slot: u32) -> &Room {
        self.slots[slot as usize].as_deref().expect(IS_THERE)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Room {
        self.slots[slot as usize].as_deref_mut().expect(IS_THERE)
    }

    pub(super) fn main(&self) -> &Room {
        self.get(0)
    }

    fn activate(&mut self, slot: u32) {
        let room = self.get_mut(slot);
        if std::mem::replace(&mut room.is_active, true) {
            return;
        }
        self.active.push(slot);
    }

    /// A stream comes into a room, fades out of it, or has its mix-minus made there.
    pub(super) fn join(&mut self, slot: u32) {
        self.get_mut(slot).members += 1;
        self.activate(slot);
    }

    pub(super) fn leave(&mut self, slot: u32) {
        self.get_mut(slot).members -= 1;
    }

    pub(super) fn solo(&mut self, slot: u32, solo: bool) {
        let room = self.get_mut(slot);
        if solo {
            room.solos += 1;
        } else {
            room.solos -= 1;
        }
    }

    /// One more reader hears the room, if it is there.
    pub(super) fn hear(&mut self, id: RoomId) {
        if let Some(room) = self.find(id) {
            room.readers.set(room.readers.get() + 1);
            self.activate(id.slot);
        }
    }

    /// One less does.
    pub(super) fn forget(&self, id: RoomId) {
        if let Some(room) = self.find(id) {
            room.readers.set(room.readers.get().saturating_sub(1));
        }
    }

    /// A stream fades out of a room that it has left; a fade before ends at once.
    pub(super) fn fade(&mut self, stream: usize, fade: Option<Fade>) {
        if let Some(before) = std::mem::replace(&mut self.fades[stream], fade) {
            self.leave(before.from);
        }
        if let Some(fade) = fade {
            self.join(fade.from);
        }
    }

    /// The room of this slot, and the sums of the one that a stream fades out of, with its way out.
    pub(super) fn playing(
        &mut self,
        slot: u32,
        fading: Option<usize>,
    ) -> (&mut Room, Option<(&mut [i32], &Ramp)>) {
        let Self { slots, fades, .. } = self;
        let Some(fade) = fading.and_then(|stream| fades[stream].as_ref()) else {
            let room = slots[slot as usize].as_deref_mut().expect(IS_THERE);
            return (room, None);
        };
        let both = slots.get_disjoint_mut([slot as usize, fade.from as usize]);
        let [room, from] = both.expect("a stream fades out of another room");
        let room = room.as_deref_mut().expect(IS_THERE);
        let (sums, _) = from.as_deref_mut().expect(IS_THERE).bus.sum_mut();
        (room, Some((sums, &fade.ramp)))
    }

    /// A tick has passed of a fade. Returns whether it goes on.
    pub(super) fn pass(&mut self, stream: usize, instants: u32) -> bool {
        let Some(fade) = &mut self.fades[stream] else {
            return false;
        };
        fade.ramp.pass(instants);
        if fade.ramp.left() > 0 {
            return true;
        }
        self.fade(stream, None);
        false
    }

    /// A tick begins. A change of gain takes `ramp` instants.
    pub(super) fn begin(&mut self, ramp: u32) {
        for &slot in &self.active {
            if let Some(room) = &mut self.slots[slot as usize] {
                room.bus.begin(ramp);
                if let Some(shared) = &mut room.shared {
                    shared.begin(room.mixed);
                }
                room.contributors.clear();
                room.heard.clear();
            }
        }
    }

    /// Exchanges this tick's sums of each shared room for those that are finished now.
    pub(super) fn recall(&mut self) {
        for &slot in &self.active {
            if let Some(room) = &mut self.slots[slot as usize]
                && let Some(shared) = &mut room.shared
            {
                shared.sums.swap(room.bus.sums_mut());
            }
        }
    }

    /// Adds another node's part of the tick that is finished now.
    pub(super) fn add_part(&mut self, peer: usize, tick: u64, part: &RoomPart<'_>) {
        match self.find_mut(part.room) {
            Some(room) if room.is_shared() => {
                let (sums, _) = room.bus.sum_mut();
                if let Some(shared) = &mut room.shared {
                    shared.add(peer, tick, part, sums);
                }
            }
            _ => {}
        }
    }

    /// Counts another node's part of a tick that was finished without it.
    pub(super) fn miss_part(&self, peer: usize, part: &RoomPart<'_>) {
        if let Some(room) = self.find(part.room) {
            room.strip.miss_part(peer, part.mixed);
        }
    }

    /// The shared rooms, each of which is in every tick.
    pub(super) fn shared_parts(&self) -> impl Iterator<Item = RoomPart<'_>> {
        self.active.iter().filter_map(|&slot| self.get(slot).part())
    }

    /// Makes the block of each room from its sums. Those begin at `first`, of a shared room `lead` samples earlier, where
    /// nothing is before the mix's first sample, `origin`.
    pub(super) fn finish(&mut self, first: u64, origin: u64, lead: u64) {
        for &slot in &self.active {
            if let Some(room) = &mut self.slots[slot as usize] {
                match room.first_of(first, origin, lead) {
                    Some(first) => room.bus.finish(first, &mut self.shaped),
                    None => room.bus.finish_none(),
                }
                room.strip.note(room.mixed, &room.heard);
                let block = room.bus.block(&room.contributors);
                if let Some(shared) = &mut room.shared {
                    shared.finish(block.samples);
                }
                room.strip.count(block.clipped, block.limited);
                room.show(block.peak);
            }
        }
    }

    /// Makes the last block of each room, which ends before `first`, of a shared room `lead` samples earlier.
    pub(super) fn flush(&mut self, first: u64, origin: u64, lead: u64) {
        for room in self.slots.iter_mut().flatten() {
            if room.is_active {
                room.contributors.clear();
                match room.first_of(first, origin, lead) {
                    Some(first) => room.bus.flush(first),
                    None => room.bus.finish_none(),
                }
                let block = room.block();
                room.strip.count(block.clipped, block.limited);
            } else {
                room.bus.begin_at(first);
            }
        }
    }

    /// Takes rooms that rest out of the tick; those that close go back, or wait until there is room for them.
    pub(super) fn rest(&mut self, removals: &mut Removals) {
        let mut index = 0;
        while let Some(&slot) = self.active.get(index) {
            let room = self.get_mut(slot);
            if slot == 0 || !room.rests() || (room.closes() && !removals.has_room()) {
                index += 1;
                continue;
            }
            room.is_active = false;
            room.strip.note(room.mixed, &[]);
            room.show(0);
            self.active.swap_remove(index);
            if self.get(slot).closes()
                && let Some(room) = self.slots[slot as usize].take()
            {
                self.mixed_before += room.mixed;
                removals.send_all([Part::Room(room)]);
            }
        }
    }

    /// Samples that were heard in all rooms that there were, interleaved.
    pub(super) fn mixed(&self) -> u64 {
        let rooms = self.slots.iter().flatten();
        self.mixed_before + rooms.map(|room| room.mixed).sum::<u64>()
    }
}
