//! The one consumer: the sum of all streams, one block per tick.
//!
//! The mixer is passive. It has no thread, socket, file or clock: its owner waits, says when a tick
//! is due, and has the feeds sent. Time is the count of ticks.
//!
//! # Guarantees
//! - Each tick makes one block, late or not: the output is as long as the ticks.
//! - The sum is exact (`i32`, in any order) and limited once, so the output depends on the frames and
//!   the ticks they are mixed in, never on the order in which inputs are visited.
//! - A tick allocates nothing, takes no lock, logs nothing and enters the kernel never.
//! - Every sample taken from a ring is counted in its stream's [`Account`](crate::ledger::Account).
//!
//! # Between ticks
//! [`Mixer::collect`] notices streams that begin and returns the slots of those that ended; that
//! takes the pool's mutex. Inputs that ended and feeds that closed go back by [`Mixer::removed`]: another thread frees
//! them.

mod apply;
mod bus;
mod by_slot;
mod channel_strip;
mod command;
mod delayed;
mod fader;
mod feed;
mod feeds;
mod input;
mod inputs;
mod lead;
mod line;
mod mix_message;
mod mix_minus;
mod part_message;
mod parts;
mod readers;
mod removed;
mod room;
mod room_line;
mod room_strip;
mod settings;
mod talking;
mod target;

pub use self::{
    bus::{Block, Limiting},
    channel_strip::{ChannelStrip, Levels},
    command::{Command, NewInput},
    feed::{Feed, FeedId, RoomId, Signal},
    line::STREAM_FEEDS_MAX,
    mix_message::{MixMessage, RoomBlock, mix_message_bytes_max},
    part_message::{PartMessage, PartMessageMut, RoomPart, part_message_bytes},
    parts::{PART_PEAK_MAX, PEERS_MAX, PartRings, Parts},
    readers::{MixRing, READERS_MAX, ReaderId},
    removed::Removed,
    room::Room,
    room_strip::RoomStrip,
    settings::Settings,
    talking::TalkingNews,
};
use self::{
    fader::ramp_instants,
    feeds::{Feeds, Playing},
    input::{Beside, Input, Moment, OURS},
    inputs::{Inputs, PREFETCH_INPUTS, prefetch},
    readers::Readers,
    removed::Removals,
    room::Rooms,
    target::Target,
};
use crate::{
    audio::frame::frame_bytes,
    ledger::Checked,
    queue::{Consumer, LeaseId},
};

/// Most contributors that a block names: as many as an RTP packet has room for (RFC 3550, section
/// 5.1).
pub const CONTRIBUTORS_MAX: usize = 15;

/// Ticks in which the ledgers of all streams are checked once, a few at each.
const CHECK_TICKS: usize = 64;

/// The mixer of one pool.
#[derive(Debug)]
pub struct Mixer {
    settings: Settings,
    consumer: Consumer,
    rooms: Rooms,
    feeds: Feeds,
    readers: Readers,
    removals: Removals,
    inputs: Inputs,
    /// The exchange with other nodes.
    parts: Option<Parts>,
    /// The number of the next tick.
    tick: u64,
    levels_ticks: u64,
    /// Samples per channel by which a frame may be ahead of the tick that is due: known with the first ring.
    horizon: u64,
    /// The inputs before it are ready for the next tick: where [`Mixer::first_unready`] goes on.
    next_unready: usize,
    next_checked: usize,
    checks: Checks,
}

/// Checks of the ledger's equation.
#[derive(Debug, Default)]
struct Checks {
    /// Checks that had a result.
    made: u64,
    /// Checks that failed: bugs.
    failed: u64,
}

impl Checks {
    /// Brings a stream's account up to date with its ring, and checks it.
    fn settle(&mut self, input: &Input, consumer: &Consumer) {
        let ring = consumer.lease_stats(input.lease).expect(OURS);
        input.account.note_high_water(ring.high_water_bytes);
        let checked = input.account.check(|| input.in_ring(consumer));
        self.made += u64::from(checked != Ok(Checked::Moving));
        self.failed += u64::from(checked.is_err());
    }
}

impl Mixer {
    /// A mixer that reads this pool. Allocates all that it ever will, but for what commands bring.
    pub fn new(settings: Settings, consumer: Consumer) -> Self {
        let slots = consumer.slots();
        Self {
            settings,
            consumer,
            rooms: Rooms::new(&settings, slots),
            feeds: Feeds::new(slots, &settings),
            readers: Readers::new(),
            removals: Removals::default(),
            inputs: Inputs::new(slots),
            parts: None,
            tick: settings.first_block,
            levels_ticks: settings.levels_ticks(),
            horizon: 0,
            next_unready: 0,
            next_checked: 0,
            checks: Checks::default(),
        }
    }

    /// Exchanges the sums of shared rooms by these rings from the next tick on.
    #[must_use]
    pub fn with_parts(self, parts: Parts) -> Self {
        Self {
            parts: Some(parts),
            ..self
        }
    }

    /// The consumer, to watch it in an epoll or to wait on it.
    pub fn consumer_mut(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Ticks run.
    pub fn ticks(&self) -> u64 {
        self.tick - self.settings.first_block
    }

    /// The number of the next tick.
    pub fn next_tick(&self) -> u64 {
        self.tick
    }

    /// Streams that play.
    pub fn playing(&self) -> usize {
        self.inputs.playing.len()
    }

    /// Streams that play or wait for their first frame.
    pub fn streams(&self) -> usize {
        self.inputs.len()
    }

    /// The figures of `main`, for any thread.
    pub fn main_strip(&self) -> std::sync::Arc<RoomStrip> {
        self.rooms.main().strip()
    }

    /// Samples that were heard in all rooms that there were, interleaved: the sum of `mixed` over all streams that there
    /// were.
    pub fn mixed_in_rooms(&self) -> u64 {
        self.rooms.mixed()
    }

    /// Checks of the ledger's equation that could tell, and those of them that failed: bugs.
    pub fn ledger_checks(&self) -> (u64, u64) {
        (self.checks.made, self.checks.failed)
    }

    /// The end at which all that the mixer removes arrives: inputs that ended, closed feeds and rings. From now on the
    /// mixer frees nothing itself; until then it does, between ticks. The end must be emptied again and again, as
    /// the mixer [takes no command](Self::takes_commands) while it is nearly full. Allocates.
    pub fn removed(&mut self) -> Removed {
        // A stream, its mix-minus, and it alone, in its room and in the one that it leaves.
        let inputs_and_feeds = 5 * self.consumer.slots();
        self.removals.begin(inputs_and_feeds)
    }

    /// Whether a command may be applied now: the way back has room for all that a command can remove.
    pub fn takes_commands(&self) -> bool {
        self.removals.has_room()
    }

    /// Between ticks: begins streams with a first frame, and returns the slots of those that
    /// ended. Takes the pool's mutex for each that ended.
    ///
    /// # Panics
    /// If a stream's lease was released elsewhere: a bug.
    pub fn collect(&mut self) {
        while let Some(lease) = self.consumer.next_ready() {
            // A stream that plays is visited at each tick; one not admitted yet says so again when
            // its command comes.
            let Some(input) = self.inputs.take_waiting(lease) else {
                continue;
            };
            if self.consumer.get(lease).expect(OURS).is_some() {
                input.begin();
                self.inputs.play(input);
            } else if self.consumer.is_finished(lease).expect(OURS) {
                self.checks.settle(&input, &self.consumer);
                self.inputs.end(input, &mut self.rooms);
            } else {
                self.arm(lease);
                self.inputs.wait(input);
            }
        }
        // Most often there is none; the loop keeps the vector's room.
        while self.removals.has_room()
            && let Some(input) = self.inputs.take_ended()
        {
            self.end_feeds(input.lease.slot(), input.room);
            self.consumer
                .release(input.lease)
                .expect("an ended input's ring is closed and empty");
            input.tell_end(&self.inputs.talking_news);
            self.removals.send_all([removed::Part::Input(input)]);
        }
    }

    /// Runs one tick and returns its block: every input plays its block, if that came. `due` is the latest tick that is
    /// due, at least this one: frames that are far ahead of it are misplaced.
    #[cfg_attr(rtsan, sanitize(realtime = "nonblocking"))]
    pub fn tick(&mut self, due: u64) -> Block<'_> {
        self.sum(due);
        self.finish()
    }

    /// A stream that is not ready for the next tick: its block may still come. With none, the tick's result does not
    /// depend on when frames come. Goes on where it stopped, so that a tick of many streams looks at each once. Takes
    /// frames of no use. A stream that has ended is named if no other is left, since no tick is run for streams that
    /// have nothing: [`collect`](Self::collect) it.
    ///
    /// # Panics
    /// If a stream's lease was released elsewhere: a bug.
    pub fn first_unready(&mut self) -> Option<LeaseId> {
        if let Some(waiting) = self.inputs.first_waiting() {
            return Some(waiting.lease);
        }
        let moment = self.moment(self.tick);
        let Self {
            inputs: Inputs { playing, .. },
            consumer,
            ..
        } = self;
        while let Some(input) = playing.get_mut(self.next_unready) {
            if input.is_discarded() {
                // Its producer may wait for room.
                input.discard_waiting(consumer);
            } else if !input.is_ended_by_command && !input.is_ready(consumer, moment) {
                return Some(input.lease);
            }
            input.ended = consumer.is_finished(input.lease).expect(OURS);
            self.next_unready += 1;
        }
        self.next_unready = 0;
        let ended = playing.first().map(|input| input.lease);
        // Discarded samples are not audible.
        if playing
            .iter()
            .all(|input| input.ended || input.is_discarded())
        {
            self.end_those_that_did();
            return ended;
        }
        None
    }

    /// Asks to be woken when there is news of the lease that [`first_unready`](Self::first_unready) gave. False
    /// if there is already: then [`collect`](Self::collect) and try again, without a sleep between.
    ///
    /// # Panics
    /// If the lease is not of a stream of this mixer.
    pub fn arm(&mut self, lease: LeaseId) -> bool {
        if self.consumer.arm(lease).expect(OURS) {
            return true;
        }
        // To arm and find news takes the announcement of a commit under way back: a stream that
        // waits for its first frame would never be named.
        self.consumer.keep_ready(lease).expect(OURS);
        false
    }

    /// The index of the next tick's first sample, per channel.
    fn first_sample(&self) -> u64 {
        self.tick * self.settings.block_samples as u64
    }

    /// The index of the first tick's first sample.
    fn origin(&self) -> u64 {
        self.settings.first_block * self.settings.block_samples as u64
    }

    /// Samples per channel by which shared rooms are behind.
    fn lead(&self) -> u64 {
        self.settings.lead_ticks * self.settings.block_samples as u64
    }

    fn moment(&self, due: u64) -> Moment {
        let block = self.settings.block_samples as u64;
        Moment {
            first: self.first_sample(),
            horizon: (due.max(self.tick) * block).saturating_add(self.horizon),
            soloing: false,
            talking: self.rooms.main().talking,
            turn: (self.tick % self.levels_ticks) as u32,
            instants: self.settings.block_samples as u32,
            ramp: ramp_instants(self.settings.format),
        }
    }

    /// The first stage of a tick: adds up its blocks, and returns the sums. `due` is as for [`tick`](Self::tick).
    pub fn sum(&mut self, due: u64) -> &[i32] {
        let mut moment = self.moment(due);
        let Self {
            inputs:
                Inputs {
                    playing: inputs,
                    talking_news,
                    ..
                },
            consumer,
            rooms,
            feeds,
            settings,
            tick,
            ..
        } = self;
        rooms.begin(moment.ramp);
        feeds.begin();
        for index in 0..inputs.len() {
            if index.is_multiple_of(PREFETCH_INPUTS) {
                prefetch(
                    inputs,
                    index,
                    consumer,
                    moment,
                    frame_bytes(settings.block()),
                );
            }
            let input = &mut inputs[index];
            let slot = input.lease.slot();
            let mut feeds_of = input.has_feeds.then(|| feeds.playing(slot));
            let (room, fade) = rooms.playing(input.room, input.fades.then_some(slot));
            (moment.soloing, moment.talking) = (room.is_soloing(*tick), room.talking);
            let (sums, limiter) = room.bus.sum_mut();
            let (alone, own, left) = feeds_of.as_mut().map(Playing::ways).unwrap_or_default();
            let fade = fade.map(|(sums, ramp)| (Target { sums, own: left }, ramp));
            let mut target = Target { sums, own };
            let played = input.play(consumer, moment, &mut target, Beside { alone, fade });
            if let Some(feeds_of) = feeds_of {
                feeds_of.end_of_input(limiter);
            }
            talking_news.note_if(played.turns, slot);
            if played.is_heard {
                room.count(played.mixed, slot, input.source);
            }
            if input.fades {
                input.fades = rooms.pass(slot, moment.instants);
                if !input.fades && input.has_feeds {
                    feeds.has_left(slot, moment.first + u64::from(moment.instants));
                }
            }
        }
        self.rooms.main().bus.sum()
    }

    /// The second stage: makes the blocks of the rooms and of the feeds. Returns that of `main`.
    pub fn finish(&mut self) -> Block<'_> {
        let (first, tick) = (self.first_sample(), self.tick);
        self.next_unready = 0;
        self.tick += 1;
        self.rooms.recall();
        if let Some(parts) = &mut self.parts
            && let Some(finished) = tick.checked_sub(self.settings.lead_ticks)
        {
            parts.take(finished, &mut self.rooms);
        }
        self.rooms.finish(first, self.origin(), self.lead());
        if let Some(parts) = &mut self.parts {
            parts.send(tick, &self.rooms);
        }
        self.feeds.finish(&self.rooms);
        self.end_those_that_did();
        self.check_some();
        self.rooms.main().block()
    }

    /// Sends the last block, that of a tick or the flush, to the readers: the frames of single feeds, then to each
    /// reader one [message](MixMessage) with the rooms that it hears. To be called once after each.
    ///
    /// A full ring drops its message, and counts it. Never waits, allocates or frees; enters the kernel only to
    /// wake readers, once each.
    pub fn send_feeds(&mut self) {
        let Self {
            feeds,
            readers,
            rooms,
            removals,
            ..
        } = self;
        feeds.send(rooms, removals);
        let main = rooms.main().block();
        let made = main.at..main.at + main.instants() as u64;
        readers.send(&made, rooms, removals);
        rooms.rest(removals);
    }

    /// Whether a ring of a reader or a feed that is [waited](MixRing::waited_for) [for](Feed::waited_for) has no room for
    /// the next block: a mixer that is not bound to the clock runs no tick then. Looks at each.
    pub fn is_any_feed_full(&mut self) -> bool {
        let block = self.settings.block();
        self.readers.is_any_full(block) || self.feeds.is_any_full(block)
    }

    /// Closes all feeds and readers: they get no more. Frees them, and wakes the readers.
    pub fn close_feeds(&mut self) {
        self.feeds.close_all();
        self.readers.close();
    }

    /// The limiter's last samples, once no tick will follow.
    pub fn flush(&mut self) -> Block<'_> {
        let first = self.first_sample();
        self.rooms.flush(first, self.origin(), self.lead());
        self.feeds.flush(&self.rooms);
        self.rooms.main().block()
    }

    /// Settles their accounts, too: the last figures are there without a [`collect`](Self::collect).
    fn end_those_that_did(&mut self) {
        for input in self.inputs.end_those_that_did(&mut self.rooms) {
            self.checks.settle(input, &self.consumer);
        }
    }

    fn check_some(&mut self) {
        let inputs = &self.inputs.playing;
        for _ in 0..inputs.len().div_ceil(CHECK_TICKS) {
            self.next_checked = (self.next_checked + 1) % inputs.len();
            self.checks
                .settle(&inputs[self.next_checked], &self.consumer);
        }
    }

    /// Settles all accounts and ends all streams: nothing may follow but reads. Exact while the ingest
    /// threads rest.
    pub fn end_all(&mut self) {
        self.check_all();
        for input in self.inputs.iter() {
            input.tell_end(&self.inputs.talking_news);
        }
    }

    /// Checks the ledger of every stream now; exact while the ingest threads rest.
    pub fn check_all(&mut self) {
        for input in self.inputs.iter() {
            self.checks.settle(input, &self.consumer);
        }
    }
}
