//! One stream as the mixer sees it: its ring, its fader, its account.
//!
//! Every stream places its blocks on the mix clock, so a tick asks one question of an input: is this tick's
//! block at the head of its ring? If it is, the block is added to the bus. A frame of a tick that is past is late
//! and dropped; one of a later tick waits; one off the grid of blocks, longer than a block or too far ahead is
//! misplaced and discarded. Blocks between two frames that the ring did not refuse never came.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use crate::{
    audio::{
        Format, Frame, Gain, Ramp,
        frame::HEADER_BYTES,
        meter, sum,
        talking::{BlockRule, Talking},
    },
    ledger::{Account, Fate, GapKind, StreamState},
    queue::{Consumer, LeaseId, Message, prefetch_to_write},
};

use super::{
    ChannelStrip, NewInput, RoomId, TalkingNews, delayed::Delayed, fader::Fader, target::Target,
};

/// Messages of one stream that a tick takes at most, whatever they are: more than come in a tick, and few enough that a
/// thousand full rings do not make it late.
const MESSAGES_MAX: usize = 64;

/// Two whole cache lines: with a thousand inputs a tick waits for memory, so values that all share are in
/// [`Moment`]. With 144 bytes across three lines a tick took 4 % longer.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Input {
    pub(super) lease: LeaseId,
    pub(super) account: Arc<Account>,
    /// How the mix names it as a contributor.
    pub(super) source: Option<u32>,
    /// The slot of its room.
    pub(super) room: u32,
    /// Whether it has feeds of its own.
    pub(super) has_feeds: bool,
    /// Whether it fades out of another room.
    pub(super) fades: bool,
    /// Whether it was ended by command: its samples are discarded, once it has gone to silence.
    pub(super) is_ended_by_command: bool,
    channel_strip: Arc<ChannelStrip>,
    fader: Fader,
    /// Largest magnitude that it gave since the levels were refreshed.
    peak: u16,
    /// At which ticks that is.
    turn: u32,
    talking: Talking,
    /// For how long it talked since then.
    talked: Duration,
    /// The index behind the frame that reached furthest of those that were taken, per channel.
    reached: Option<u64>,
    pub(super) ended: bool,
}

/// The tick as its inputs see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The index of the tick's first sample, per channel.
    pub(super) first: u64,
    /// A frame from here on is too far ahead.
    pub(super) horizon: u64,
    pub(super) soloing: bool,
    pub(super) talking: BlockRule,
    /// The group of inputs that refreshes its levels.
    pub(super) turn: u32,
    /// Samples per channel of a block.
    pub(super) instants: u32,
    /// Samples per channel that a change of gain takes.
    pub(super) ramp: u32,
}

/// The outcome of a stream's tick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Played {
    pub(super) is_heard: bool,
    /// Samples that count as mixed, interleaved.
    pub(super) mixed: u64,
    /// Largest magnitude of the block, before the fader; 0 without one.
    peak: u16,
    /// Whether it began or ended talking.
    pub(super) turns: bool,
}

/// Where else a stream's block goes.
#[derive(Debug, Default)]
pub(super) struct Beside<'a> {
    pub(super) alone: Option<&'a mut Delayed>,
    /// The room that it fades out of, and the way out.
    pub(super) fade: Option<(Target<'a>, &'a Ramp)>,
}

/// Adds the first samples of a block, as far as the ramp goes. Returns whether any is audible.
fn add_fading(target: &mut Target<'_>, samples: &[i16], channels: usize, ramp: &Ramp) -> bool {
    let way = samples.len().min(ramp.left() as usize * channels);
    target.add(0, &samples[..way], |sums, samples| {
        sum::add_ramped(sums, samples, channels, 0, ramp);
    });
    way > 0
}

/// The tick of a frame, beside the one that is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Now,
    Ahead,
    Late,
    Misplaced,
}

impl Moment {
    /// The place of a frame with this first sample, and as many per channel.
    fn place(&self, first: u64, samples: u64) -> Place {
        let block = u64::from(self.instants);
        // The tick's own is on the grid, and so is the next, without a division.
        let is_near = first == self.first || first == self.first + block;
        let is_placed = is_near || (first < self.horizon && first.is_multiple_of(block));
        if samples > block || !is_placed {
            return Place::Misplaced;
        }
        match first.cmp(&self.first) {
            Ordering::Less => Place::Late,
            Ordering::Equal => Place::Now,
            Ordering::Greater => Place::Ahead,
        }
    }
}

const _: () = assert!(size_of::<Input>() == 128);

impl Input {
    /// In the room of this slot. `turns` is after how many ticks the levels are refreshed.
    pub(super) fn new(new: &NewInput, room: u32, format: Format, turns: u64) -> Self {
        Self {
            lease: new.lease,
            account: Arc::clone(&new.account),
            source: new.source,
            room,
            has_feeds: false,
            fades: false,
            is_ended_by_command: false,
            channel_strip: Arc::clone(&new.channel_strip),
            fader: Fader::new(new.gain, new.muted, format),
            peak: 0,
            talking: Talking::default(),
            talked: Duration::ZERO,
            turn: (new.lease.slot() as u64 % turns) as u32,
            reached: None,
            ended: false,
        }
    }

    pub(super) fn set_gain(&mut self, gain: Gain) {
        self.fader.gain = gain;
        self.channel_strip.set_gain(gain);
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.fader.muted = muted;
        self.channel_strip.set_muted(muted);
    }

    pub(super) fn end_by_command(&mut self) {
        self.is_ended_by_command = true;
        self.account.advance(StreamState::Ending);
        self.fader.close();
    }

    /// Whether all further samples are discarded.
    pub(super) fn is_discarded(&self) -> bool {
        self.is_ended_by_command && self.fader.is_silent() && !self.fades
    }

    /// Returns whether that changed anything.
    pub(super) fn set_solo(&mut self, solo: bool) -> bool {
        self.channel_strip.set_solo(solo);
        std::mem::replace(&mut self.fader.solo, solo) != solo
    }

    /// The stream is over, and its account settled.
    pub(super) fn tell_end(&self, talking: &TalkingNews) {
        self.channel_strip.refresh(0, 0, self.talked);
        if self.talking.is_on() {
            let end = self.reached.unwrap_or_default();
            self.channel_strip.set_talking(false, end);
        }
        // Before its state: events of the one come before those of the other.
        talking.note_if(self.talking.is_on(), self.lease.slot());
        self.account.advance(StreamState::Ended);
    }

    /// A move was commanded, from this index on.
    pub(super) fn note_move(&self, index: u64) {
        self.channel_strip.note_move(index);
    }

    /// From this index on it is in this room.
    pub(super) fn note_room(&self, index: u64, room: RoomId) {
        let room = u64::from(room.slot) << 32 | u64::from(room.generation);
        self.account.note_room(index, room);
    }

    /// It moves to the room of this slot. Returns the way out of the room before, if it is to fade over so many instants
    /// and was played before.
    pub(super) fn move_to(&mut self, room: u32, fade: Option<u32>) -> Option<Ramp> {
        self.room = room;
        self.fader.move_over(fade)
    }

    /// Its first message came: it is visited by each tick from now on.
    pub(super) fn begin(&self) {
        self.account.advance(StreamState::Playing);
    }

    /// Whether nothing that comes could change the block of the stream in this tick: its block is at the head of the ring,
    /// or a later one, or the ring is closed. Takes frames of no use, and counts them.
    pub(super) fn is_ready(&mut self, consumer: &mut Consumer, moment: Moment) -> bool {
        while let Some(message) = get(consumer, self.lease) {
            if self.look_at(&message, moment).is_some() {
                return true;
            }
            message.ack();
        }
        consumer.is_closed(self.lease).expect(OURS)
    }

    /// Adds the tick's block of the stream to `target` and passes it to `beside` unchanged. Never allocates, locks or
    /// enters the kernel.
    pub(super) fn play(
        &mut self,
        consumer: &mut Consumer,
        moment: Moment,
        target: &mut Target<'_>,
        beside: Beside<'_>,
    ) -> Played {
        let mut played = if self.is_discarded() {
            self.discard_waiting(consumer);
            Played::default()
        } else {
            if self.fader.is_open() {
                self.fader.begin(moment.soloing, moment.ramp);
            } else {
                self.fader.rest(moment.soloing);
            }
            let played = self.play_block(consumer, moment, target, beside);
            self.fader.end(moment.instants);
            played
        };
        played.turns = self.talking.block(moment.talking, played.peak);
        if played.turns {
            self.channel_strip
                .set_talking(self.talking.is_on(), moment.first);
        }
        if self.talking.is_on() {
            self.talked += moment.talking.block();
        }
        if self.refreshes_at(moment) {
            // Not from the ring's counters: those lie in the other core's cache, and one input in five waiting for
            // them made a tick of a thousand 5 % dearer.
            let filled = consumer.filled(self.lease).expect(OURS);
            let peak = std::mem::take(&mut self.peak);
            let talked = std::mem::take(&mut self.talked);
            self.channel_strip.refresh(peak, filled, talked);
        }
        played
    }

    /// Whether this tick refreshes its levels.
    fn refreshes_at(&self, moment: Moment) -> bool {
        moment.turn == self.turn
    }

    /// Asks for the memory of its levels, if this tick refreshes them.
    pub(super) fn prefetch_levels(&self, moment: Moment) {
        if self.refreshes_at(moment) {
            prefetch_to_write(&*self.channel_strip);
        }
    }

    fn play_block(
        &mut self,
        consumer: &mut Consumer,
        mut moment: Moment,
        target: &mut Target<'_>,
        mut beside: Beside<'_>,
    ) -> Played {
        let mut played = None;
        for _ in 0..MESSAGES_MAX {
            let Some(message) = get(consumer, self.lease) else {
                self.ended = consumer.is_finished(self.lease).expect(OURS);
                break;
            };
            match self.look_at(&message, moment) {
                Some((frame, Place::Now)) if played.is_none() => {
                    let refused = message.dropped_before();
                    if frame.checksum_ok() {
                        if !self.fader.is_open() {
                            self.fader.begin(moment.soloing, moment.ramp);
                        }
                        self.reach(&frame, refused, moment);
                        played = Some(self.add(&frame, target, &mut beside));
                        // Another one of this tick is late now.
                        moment.first += u64::from(moment.instants);
                    } else {
                        self.account.note_checksum_error();
                        self.leave_out(&frame, Fate::Damaged, refused, moment);
                    }
                }
                Some(_) => break,
                None => {}
            }
            message.ack();
        }
        played.unwrap_or_default()
    }

    /// The frame of a message, if it is this tick's or a later one's. Any other is counted, and of no use.
    fn look_at<'m>(
        &mut self,
        message: &'m Message<'_>,
        moment: Moment,
    ) -> Option<(Frame<'m>, Place)> {
        let Ok(frame) = Frame::parse(message) else {
            // The samples that it should have held are unknown; if they were offered, the ledger's equation shows it.
            self.account.note_checksum_error();
            return None;
        };
        let place = moment.place(frame.header().first, self.instants(&frame));
        match place {
            Place::Now | Place::Ahead => return Some((frame, place)),
            Place::Late => {
                self.leave_out(&frame, Fate::DroppedLate, message.dropped_before(), moment);
            }
            Place::Misplaced => self.count(&frame, Fate::Misplaced),
        }
        None
    }

    /// Adds the samples of this tick's block.
    fn add(
        &mut self,
        frame: &Frame<'_>,
        target: &mut Target<'_>,
        beside: &mut Beside<'_>,
    ) -> Played {
        let samples = frame.samples();
        let peak = meter::peak(samples);
        self.peak = self.peak.max(peak);
        if let Some(alone) = &mut beside.alone {
            alone.put(samples);
        }
        let mut is_heard = self.fader.add(samples, target);
        if let Some((target, fade)) = &mut beside.fade {
            is_heard |= add_fading(target, samples, self.fader.channels.into(), fade);
        }
        if is_heard {
            self.count(frame, Fate::Mixed);
        } else {
            self.count(frame, Fate::Muted);
            self.note_gap(frame, GapKind::Muted);
        }
        Played {
            is_heard,
            mixed: if is_heard { self.given(frame) } else { 0 },
            peak,
            turns: false,
        }
    }

    /// Counts a frame of a tick that plays without it.
    fn leave_out(&mut self, frame: &Frame<'_>, fate: Fate, refused: u32, moment: Moment) {
        self.count(frame, fate);
        // Unless another frame of its tick came before it.
        if self
            .reached
            .is_none_or(|reached| frame.header().first >= reached)
        {
            self.account.conceal(self.given(frame));
            if fate == Fate::DroppedLate {
                self.note_gap(frame, GapKind::Lost);
                self.note_gap(frame, GapKind::Late);
            } else {
                self.note_gap(frame, GapKind::Discarded);
            }
        }
        self.reach(frame, refused, moment);
    }

    /// Counts the samples missing before this frame: all since the last, without the blocks that the ring refused.
    fn reach(&mut self, frame: &Frame<'_>, refused: u32, moment: Moment) {
        let header = frame.header();
        if let Some(reached) = self.reached
            && header.first > reached
            && !header.after_pause
        {
            let refused = u64::from(refused) * u64::from(moment.instants);
            let missing = (header.first - reached).saturating_sub(refused);
            self.account
                .underrun(missing * u64::from(self.fader.channels));
            self.account
                .note_gap(GapKind::Underrun, reached, header.first, missing);
        }
        let end = header.first + self.instants(frame);
        self.reached = Some(self.reached.map_or(end, |reached| reached.max(end)));
    }

    /// The samples of a frame, per channel.
    fn instants(&self, frame: &Frame<'_>) -> u64 {
        // One channel or two: a shift, as a thousand divisions a tick are dear.
        frame.samples().len() as u64 >> (self.fader.channels - 1)
    }

    /// Those of its samples that the sender gave, interleaved.
    fn given(&self, frame: &Frame<'_>) -> u64 {
        let given = u64::from(frame.header().given) * u64::from(self.fader.channels);
        given.min(frame.samples().len() as u64)
    }

    /// Says where the samples lie that the sender gave in a frame.
    fn note_gap(&self, frame: &Frame<'_>, kind: GapKind) {
        let header = frame.header();
        let instants = self.instants(frame);
        let given = u64::from(header.given).min(instants);
        let end = header.first.saturating_add(instants);
        self.account.note_gap(kind, header.first, end, given);
    }

    fn count(&self, frame: &Frame<'_>, fate: Fate) {
        let (given, samples) = (self.given(frame), frame.samples().len() as u64);
        self.account.count(fate, given);
        if given < samples {
            self.account.count(Fate::Filled, samples - given);
        }
    }

    /// Discards the frames that wait of a stream that was ended by command.
    pub(super) fn discard_waiting(&mut self, consumer: &mut Consumer) {
        for _ in 0..MESSAGES_MAX {
            let Some(message) = get(consumer, self.lease) else {
                self.ended = consumer.is_finished(self.lease).expect(OURS);
                return;
            };
            match Frame::parse(&message) {
                Ok(frame) => {
                    self.count(&frame, Fate::Ended);
                    self.note_gap(&frame, GapKind::Discarded);
                }
                Err(_) => self.account.note_checksum_error(),
            }
            message.ack();
        }
    }

    /// Samples that wait in the ring, concealment included, by the ring's own counters.
    pub(super) fn in_ring(&self, consumer: &Consumer) -> u64 {
        let waiting = consumer.waiting(self.lease).expect(OURS);
        let headers = waiting.messages * HEADER_BYTES as u64;
        // A frame may be published between the looks at the two counters, and a message that is no
        // frame may be shorter than a header.
        waiting.payload_bytes.saturating_sub(headers) / 2
    }
}

/// Only the mixer releases leases: those of its inputs are never stale.
pub(super) const OURS: &str = "an input's lease lives as long as the input";

fn get(consumer: &mut Consumer, lease: LeaseId) -> Option<Message<'_>> {
    consumer.get(lease).expect(OURS)
}
