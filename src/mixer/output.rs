//! Output by rings: to each participant that listens, the mix without itself; to each tap, the mix;
//! to each monitor, one stream or the mix without it.
//!
//! A participant's block is the sum less its own contribution, limited as the bus is, but by itself: the
//! very samples that a mixer of the others alone would give. It is made in the tick and leaves with
//! [`Mixer::send_outputs`](super::Mixer::send_outputs).
//!
//! # Outputs that are the same
//! Most participants are silent most of the time, and what they hear is the whole mix. An output is *in
//! step* with the bus while its stage (the limiter and what it remembers) would give the same for the
//! same sums. It begins so: what was before the participant came, all others made. Its first sample that
//! is not zero takes it out of step, with a copy of the bus's stage as that was before the block. After
//! each block the two stages are compared; once they are equal again it is back in step. So an output in
//! step with a block to which nothing was added *is* the mix, bit for bit, and says so with an empty frame.

use std::ops::Range;

use super::{
    Settings,
    bus::{Block, Bus, Stage},
    monitor::{Alone, Listens, Monitor, MonitorKind},
};
use crate::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes, sum},
    queue::Producer,
};

/// A ring to one listener: a frame for each block.
#[derive(Debug)]
pub(super) struct Line {
    producer: Producer,
    channels: usize,
    /// The index of its first sample: nothing earlier is sent.
    begins: u64,
}

impl Line {
    pub(super) fn new(producer: Producer, format: Format) -> Self {
        Self {
            producer,
            begins: 0,
            channels: format.channels().into(),
        }
    }

    /// Begins with the tick that plays this index on.
    pub(super) fn begin(&mut self, index: u64) {
        self.begins = index;
    }

    /// Publishes the block of `mix`'s index as a frame: these samples, or none if they are those of the mix. Drops it,
    /// counted by the ring, if that is full. Enters the kernel only to wake the listener.
    pub(super) fn send_as(&mut self, samples: Option<&[i16]>, mix: &Block<'_>) {
        if mix.at < self.begins {
            self.send(mix.at, samples.unwrap_or(mix.samples));
        } else {
            self.publish(mix.at, samples.unwrap_or_default());
        }
    }

    /// Publishes samples that begin at this index, but for those before its first.
    pub(super) fn send(&mut self, at: u64, samples: &[i16]) {
        let early = self.begins.saturating_sub(at) as usize * self.channels;
        if early < samples.len() {
            self.publish(at.max(self.begins), &samples[early..]);
        }
    }

    fn publish(&mut self, at: u64, samples: &[i16]) {
        let bytes = frame_bytes(samples.len());
        if let Ok(mut reservation) = self.producer.reserve(bytes) {
            let mut frame = FrameMut::new(&mut reservation)
                .expect("a message starts at a multiple of 8 and is as long as its frame");
            frame.samples_mut().copy_from_slice(samples);
            frame.seal(FrameHeader::new(at, samples.len() / self.channels));
            reservation.commit();
        } else {
            self.producer.count_drop(bytes);
        }
    }
}

/// The mix without one stream, made once for all its readers.
#[derive(Debug)]
pub(super) struct Output {
    /// To the participant itself.
    pub(super) participant: Option<Line>,
    /// A monitor of it.
    pub(super) monitor: Option<Line>,
    /// The participant's samples in the current block.
    own: Box<[i32]>,
    /// Whether any of that is not zero.
    sounds: bool,
    stage: Stage,
    /// Whether `stage` is the bus's and stands for it: then its own is out of date.
    in_step: bool,
    out: Box<[i16]>,
    /// Where the last block lies in `out`; none if it was that of the mix.
    made: Option<Range<usize>>,
}

impl Output {
    /// In step with the bus of a mixer of these settings, without readers. Allocates all it ever will.
    pub(super) fn new(settings: &Settings) -> Self {
        let stage = Stage::new(settings);
        Self {
            participant: None,
            monitor: None,
            own: vec![0; settings.block()].into(),
            sounds: false,
            out: stage.room(settings),
            stage,
            in_step: true,
            made: None,
        }
    }

    /// All of the participant's samples of the block are in the sum, and `stage`, the bus's, has not seen
    /// the block yet.
    pub(super) fn end_of_input(&mut self, stage: &Stage) {
        if self.in_step && self.sounds {
            self.stage.copy_from(stage);
            self.in_step = false;
        }
    }

    /// Makes the block, after the bus made its own.
    fn finish(&mut self, bus: &Bus) {
        self.made = None;
        if self.in_step {
            return;
        }
        sum::leave_out(bus.sum(), &mut self.own);
        let out = &mut self.out[..self.own.len()];
        self.stage.process(&self.own, out);
        self.own.fill(0);
        self.sounds = false;
        self.made(bus);
    }

    fn flush(&mut self, bus: &Bus) {
        self.made = None;
        if !self.in_step {
            self.stage.flush(&mut self.out[..bus.made().end]);
            self.made(bus);
        }
    }

    fn made(&mut self, bus: &Bus) {
        self.made = Some(bus.made());
        self.in_step = self.stage.is_in_step_with(bus.stage());
    }

    /// Begins its lines with the tick that plays this index on.
    fn begin(&mut self, index: u64) {
        let lines = [&mut self.participant, &mut self.monitor];
        lines
            .into_iter()
            .flatten()
            .for_each(|line| line.begin(index));
    }

    fn send(&mut self, mix: &Block<'_>) {
        let samples = self.made.clone().map(|made| &self.out[made]);
        let lines = [&mut self.participant, &mut self.monitor];
        for line in lines.into_iter().flatten() {
            line.send_as(samples, mix);
        }
    }
}

/// Where an input's samples go.
pub(super) trait Target {
    /// Has `add` add samples to their place in a sum, the first at number `from` of the block; no two
    /// calls for a block pass the same of its samples.
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16]));
}

/// To the sum alone.
impl Target for [i32] {
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16])) {
        add(&mut self[from..from + samples.len()], samples);
    }
}

/// To the sum, and to the part that the input's own output leaves out.
pub(super) struct LeftOut<'a> {
    pub(super) sums: &'a mut [i32],
    pub(super) output: &'a mut Output,
}

impl Target for LeftOut<'_> {
    fn add(&mut self, from: usize, samples: &[i16], add: impl FnOnce(&mut [i32], &[i16])) {
        // Most listeners are silent, and there is nothing to leave out. Not `all`: it would look at one
        // sample after the other.
        if samples.iter().fold(0, |bits, &sample| bits | sample) == 0 {
            return;
        }
        let range = from..from + samples.len();
        let Output { own, sounds, .. } = &mut *self.output;
        let own = &mut own[range.clone()];
        add(own, samples);
        sum::add_sums(&mut self.sums[range], own);
        *sounds |= own.iter().fold(0, |bits, &sample| bits | sample) != 0;
    }
}

/// A table by the slots of streams.
#[derive(Debug)]
struct BySlot<T> {
    boxes: Box<[Option<Box<T>>]>,
    /// The slots that have one. Room for all, so it never grows.
    slots: Vec<usize>,
    /// The place of each slot's entry among them.
    places: Box<[usize]>,
}

impl<T> BySlot<T> {
    fn new(slots: usize) -> Self {
        Self {
            boxes: (0..slots).map(|_| None).collect(),
            slots: Vec::with_capacity(slots),
            places: vec![0; slots].into(),
        }
    }

    fn insert(&mut self, slot: usize, value: Box<T>) {
        if self.boxes[slot].replace(value).is_none() {
            self.places[slot] = self.slots.len();
            self.slots.push(slot);
        }
    }

    fn remove(&mut self, slot: usize) {
        if self.boxes[slot].take().is_some() {
            let place = self.places[slot];
            self.slots.swap_remove(place);
            if let Some(&moved) = self.slots.get(place) {
                self.places[moved] = place;
            }
        }
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.boxes[slot].as_deref_mut()
    }

    fn has(&self, slot: usize) -> bool {
        self.boxes[slot].is_some()
    }

    fn clear(&mut self) {
        for slot in self.slots.drain(..) {
            self.boxes[slot] = None;
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut T)) {
        for &slot in &self.slots {
            if let Some(value) = &mut self.boxes[slot] {
                act(value);
            }
        }
    }
}

/// All lines out of a mixer. Each goes with its stream's slot, but for the taps.
#[derive(Debug)]
pub(super) struct Outputs {
    without: BySlot<Output>,
    alone: BySlot<Alone>,
    taps: Vec<Line>,
}

impl Outputs {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            without: BySlot::new(slots),
            alone: BySlot::new(slots),
            taps: Vec::new(),
        }
    }

    /// `index` is the next tick's first sample, as below.
    pub(super) fn insert(&mut self, slot: usize, mut output: Box<Output>, index: u64) {
        output.begin(index);
        self.without.insert(slot, output);
    }

    /// The slot's stream is monitored from the next tick on.
    pub(super) fn monitor(&mut self, slot: usize, Monitor(listens): Monitor, index: u64) {
        match listens {
            Listens::Alone(mut alone) => {
                alone.line.begin(index);
                self.alone.insert(slot, alone);
            }
            Listens::Without(mut new) => {
                new.begin(index);
                match self.without.get_mut(slot) {
                    Some(output) => output.monitor = new.monitor,
                    None => self.without.insert(slot, new),
                }
            }
        }
    }

    /// The slot's stream is no longer monitored so.
    pub(super) fn unmonitor(&mut self, slot: usize, kind: MonitorKind) {
        match kind {
            MonitorKind::Alone => self.alone.remove(slot),
            MonitorKind::Without => {
                if let Some(output) = self.without.get_mut(slot) {
                    output.monitor = None;
                    if output.participant.is_none() {
                        self.without.remove(slot);
                    }
                }
            }
        }
    }

    /// The slot's stream has ended: closes and frees its outputs.
    pub(super) fn remove(&mut self, slot: usize) {
        self.without.remove(slot);
        self.alone.remove(slot);
    }

    pub(super) fn has(&self, slot: usize) -> bool {
        self.without.has(slot) || self.alone.has(slot)
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> (Option<&mut Output>, Option<&mut Alone>) {
        (self.without.get_mut(slot), self.alone.get_mut(slot))
    }

    pub(super) fn tap(&mut self, producer: Producer, format: Format, index: u64) {
        let mut tap = Line::new(producer, format);
        tap.begin(index);
        self.taps.push(tap);
    }

    pub(super) fn close(&mut self) {
        self.without.clear();
        self.alone.clear();
        self.taps.clear();
    }

    pub(super) fn begin(&mut self) {
        self.alone.each(Alone::begin);
    }

    /// Makes each output's block, after the bus made its own.
    pub(super) fn finish(&mut self, bus: &Bus) {
        self.without.each(|output| output.finish(bus));
        self.alone.each(|alone| alone.finish(bus));
    }

    /// Makes each output's last block, after the bus made its own.
    pub(super) fn flush(&mut self, bus: &Bus) {
        self.without.each(|output| output.flush(bus));
        self.alone.each(|alone| alone.flush(bus));
    }

    /// Sends the block that was made last to all: the mix first, since outputs may refer to it.
    pub(super) fn send(&mut self, mix: &Block<'_>) {
        for tap in &mut self.taps {
            tap.send(mix.at, mix.samples);
        }
        self.without.each(|output| output.send(mix));
        self.alone.each(|alone| alone.send(mix.at));
    }
}
