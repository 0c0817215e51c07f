//! The streams of a mixer: those that wait for their first frame, those that play, those that ended.

use std::sync::Arc;

use super::{
    TalkingNews,
    input::{Input, Moment},
    room::Rooms,
};
use crate::queue::{Consumer, LeaseId, prefetch_to_write};

/// Inputs with memory that is fetched into the cache together, while groups before them are mixed. The cost
/// of a thousand cold rings is memory latency, much of it in finding their pages: a processor looks up
/// several pages at once if it is asked in one go, but not if a mix lies in between.
pub(super) const PREFETCH_INPUTS: usize = 8;

#[derive(Debug)]
pub(super) struct Inputs {
    /// Streams that play. Room for all slots, so it never grows.
    pub(super) playing: Vec<Input>,
    /// The place of each slot's stream among them.
    places: Box<[usize]>,
    /// Streams without a first frame, by slot. Their rings are armed, and cost a tick nothing.
    waiting: Box<[Option<Input>]>,
    waiting_count: usize,
    /// Streams that ended, until they are collected. Room for all slots, too.
    ended: Vec<Input>,
    /// Those that began or ended talking.
    pub(super) talking_news: Arc<TalkingNews>,
}

impl Inputs {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            playing: Vec::with_capacity(slots),
            places: vec![0; slots].into(),
            waiting: (0..slots).map(|_| None).collect(),
            waiting_count: 0,
            ended: Vec::with_capacity(slots),
            talking_news: Arc::new(TalkingNews::new(slots)),
        }
    }

    /// Streams that play or wait.
    pub(super) fn len(&self) -> usize {
        self.playing.len() + self.waiting_count
    }

    pub(super) fn first_waiting(&self) -> Option<&Input> {
        if self.waiting_count == 0 {
            return None;
        }
        self.waiting.iter().flatten().next()
    }

    /// All inputs that hold a ring.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Input> {
        let waiting = self.waiting.iter().flatten();
        self.playing.iter().chain(waiting).chain(&self.ended)
    }

    /// The stream of this lease, if it plays or waits.
    pub(super) fn get_mut(&mut self, lease: LeaseId) -> Option<&mut Input> {
        let waiting = self.waiting.get_mut(lease.slot())?.as_mut();
        let playing = self.playing.get_mut(self.places[lease.slot()]);
        let mut found = waiting.into_iter().chain(playing);
        found.find(|input| input.lease == lease)
    }

    /// A stream waits for its first frame.
    pub(super) fn wait(&mut self, input: Input) {
        let replaced = self.waiting[input.lease.slot()].replace(input);
        debug_assert!(replaced.is_none(), "a slot was admitted twice");
        self.waiting_count += 1;
    }

    /// The stream of this lease waits no more, if it did.
    pub(super) fn take_waiting(&mut self, lease: LeaseId) -> Option<Input> {
        let waiting = &mut self.waiting[lease.slot()];
        let taken = waiting.take_if(|input| input.lease == lease);
        self.waiting_count -= usize::from(taken.is_some());
        taken
    }

    /// The stream is visited by each tick from now on.
    pub(super) fn play(&mut self, input: Input) {
        self.places[input.lease.slot()] = self.playing.len();
        self.playing.push(input);
    }

    pub(super) fn set_solo(&mut self, lease: LeaseId, solo: bool, rooms: &mut Rooms) {
        if let Some(input) = self.get_mut(lease)
            && input.set_solo(solo)
        {
            rooms.solo(input.room, solo);
        }
    }

    /// The stream is over: it leaves its room.
    pub(super) fn end(&mut self, mut input: Input, rooms: &mut Rooms) {
        if input.set_solo(false) {
            rooms.solo(input.room, false);
        }
        rooms.fade(input.lease.slot(), None);
        rooms.leave(input.room);
        self.ended.push(input);
    }

    /// Moves ended inputs out of the playing ones, and returns them.
    pub(super) fn end_those_that_did(&mut self, rooms: &mut Rooms) -> &[Input] {
        let ended_before = self.ended.len();
        let mut index = 0;
        while index < self.playing.len() {
            if self.playing[index].ended {
                let input = self.playing.swap_remove(index);
                if let Some(moved) = self.playing.get(index) {
                    self.places[moved.lease.slot()] = index;
                }
                self.end(input, rooms);
            } else {
                index += 1;
            }
        }
        &self.ended[ended_before..]
    }

    pub(super) fn take_ended(&mut self) -> Option<Input> {
        self.ended.pop()
    }
}

/// Fetches what the inputs after `index` will need, a step further the nearer they are: the address of
/// each step is known from the step before it.
pub(super) fn prefetch(
    inputs: &[Input],
    index: usize,
    consumer: &Consumer,
    moment: Moment,
    frame: usize,
) {
    let group = |ahead: usize| {
        let inputs = inputs.iter().skip(index + ahead * PREFETCH_INPUTS);
        inputs.take(PREFETCH_INPUTS)
    };
    for input in group(3) {
        prefetch_to_write(input);
    }
    for input in group(2) {
        consumer.prefetch_position(input.lease);
        prefetch_to_write(input.account.hot());
        input.prefetch_levels(moment);
    }
    for input in group(1) {
        consumer.prefetch(input.lease, frame);
    }
}
