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

mod bus;
mod channel_strip;
mod command;
mod fader;
mod feed;
mod feeds;
mod input;
mod inputs;
mod mix_message;
mod readers;
mod removed;

use std::time::Duration;

use self::{
    bus::Bus,
    fader::ramp_instants,
    feed::Makes,
    feeds::{Feeds, LeftOut},
    input::{Input, Moment, OURS},
    inputs::{Inputs, PREFETCH_INPUTS, prefetch},
    readers::Readers,
    removed::Removals,
};
pub use self::{
    bus::{Block, Limiting},
    channel_strip::{ChannelStrip, Levels},
    command::{Command, NewInput},
    feed::{Feed, FeedId, RoomId, Signal},
    mix_message::{MixMessage, RoomBlock, mix_message_bytes_max},
    readers::{MixRing, READERS_MAX, ReaderId},
    removed::Removed,
};
use crate::{
    audio::{Format, frame::frame_bytes},
    ledger::Checked,
    queue::{Consumer, LeaseId},
};

/// Most contributors that a block names: as many as an RTP packet has room for (RFC 3550, section
/// 5.1).
pub const CONTRIBUTORS_MAX: usize = 15;

/// Ticks in which the ledgers of all streams are checked once, a few at each.
const CHECK_TICKS: usize = 64;

/// A frame may always be so far ahead.
const AHEAD_SECONDS: u64 = 60;

/// Strips are refreshed so many times a second, or once a tick where that is longer.
const LEVELS_PER_SECOND: usize = 10;

/// The settings of a mixer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The number of the first tick: block `k` of the mix begins at sample `k * block_samples`.
    pub first_block: u64,
    /// The bus's rate and channels.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: usize,
    /// How a sum beyond 16 bits becomes a sample.
    pub limiting: Limiting,
    /// Most rooms at once, `main` among them.
    pub rooms_max: usize,
}

impl Settings {
    /// Interleaved samples of a block.
    fn block(&self) -> usize {
        self.block_samples * usize::from(self.format.channels())
    }

    /// Samples per channel that a frame may be ahead: as much as a ring of these bytes holds, or more.
    fn horizon(&self, ring_bytes: u64) -> u64 {
        let sample_bytes = 2 * u64::from(self.format.channels());
        (ring_bytes / sample_bytes).max(AHEAD_SECONDS * u64::from(self.format.rate_hz()))
    }

    /// Ticks after which a stream's levels are refreshed.
    fn levels_ticks(&self) -> u64 {
        let samples = self.format.rate_hz() as usize / LEVELS_PER_SECOND;
        ((samples + self.block_samples / 2) / self.block_samples).max(1) as u64
    }

    /// A playout delay in whole ticks, rounded up.
    pub fn ticks(delay: Duration, ptime: Duration) -> u64 {
        delay.as_nanos().div_ceil(ptime.as_nanos().max(1)) as u64
    }
}

/// The mixer of one pool.
#[derive(Debug)]
pub struct Mixer {
    settings: Settings,
    consumer: Consumer,
    bus: Bus,
    feeds: Feeds,
    readers: Readers,
    removals: Removals,
    /// Sources that were heard in the tick. Room for all that are named, so it never grows.
    contributors: Vec<u32>,
    inputs: Inputs,
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
            bus: Bus::new(&settings),
            feeds: Feeds::new(slots),
            readers: Readers::new(),
            removals: Removals::default(),
            contributors: Vec::with_capacity(CONTRIBUTORS_MAX),
            inputs: Inputs::new(slots),
            tick: settings.first_block,
            levels_ticks: settings.levels_ticks(),
            horizon: 0,
            next_unready: 0,
            next_checked: 0,
            checks: Checks::default(),
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

    /// Checks of the ledger's equation that could tell, and those of them that failed: bugs.
    pub fn ledger_checks(&self) -> (u64, u64) {
        (self.checks.made, self.checks.failed)
    }

    /// The end at which all that the mixer removes arrives: inputs that ended, closed feeds and rings. From now on the
    /// mixer frees nothing itself; until then it does, between ticks. The end must be emptied again and again, as
    /// the mixer [takes no command](Self::takes_commands) while it is nearly full. Allocates.
    pub fn removed(&mut self) -> Removed {
        let inputs_and_feeds = 3 * self.consumer.slots();
        self.removals.begin(inputs_and_feeds)
    }

    /// Whether a command may be applied now: the way back has room for all that a command can remove.
    pub fn takes_commands(&self) -> bool {
        self.removals.has_room()
    }

    /// Takes a command, effective at the next tick. A command for a stream that ended, or is ended by
    /// command, does nothing; a feed of it is closed then.
    ///
    /// # Panics
    /// If an admitted stream's lease is not of this pool, or was released: a bug of the caller.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Admit(new) => self.admit(new),
            Command::OpenReader(id, ring) => {
                let index = self.first_sample();
                let refused = self.readers.open(id, ring, index);
                self.removals.send_all(refused.map(removed::Part::Ring));
            }
            Command::CloseReader(id) => {
                let index = self.first_sample();
                if let Some(ring) = self.readers.get_mut(id) {
                    ring.close_at(index);
                }
            }
            Command::OpenFeed(feed) => self.open_feed(feed),
            Command::CloseFeed(id) => self.close_feed(id),
            Command::SetGain(lease, gain) => {
                if let Some(input) = self.commanded(lease) {
                    input.set_gain(gain);
                }
            }
            Command::SetMuted(lease, muted) => {
                if let Some(input) = self.commanded(lease) {
                    input.set_muted(muted);
                }
            }
            Command::SetSolo(lease, solo) => {
                if self.commanded(lease).is_some() {
                    self.inputs.set_solo(lease, solo);
                }
            }
            Command::End(lease) => self.end_by_command(lease),
        }
    }

    fn admit(&mut self, new: NewInput) {
        let lease = new.lease;
        let ring = self.consumer.lease_stats(lease).expect(OURS);
        self.horizon = self.settings.horizon(ring.capacity_bytes);
        let input = Input::new(&new, self.settings.format, self.levels_ticks);
        self.inputs.wait(input);
        if let Some((reader, mix_minus)) = new.mix_minus {
            self.open_made(lease, reader, Makes::MixMinus(mix_minus));
        }
        // Its first frame may have come before this command did.
        self.consumer.keep_ready(lease).expect(OURS);
    }

    fn open_feed(&mut self, feed: Feed) {
        let Feed {
            signal,
            reader,
            makes,
        } = feed;
        match signal {
            Signal::Room(room) => {
                let index = self.first_sample();
                if let Some(ring) = self.readers.get_mut(reader) {
                    ring.hear(room, index);
                }
            }
            Signal::MixMinus(lease) | Signal::Alone(lease) => self.open_made(lease, reader, makes),
        }
    }

    /// Opens a feed of a stream, or closes it, if there is none of this lease.
    fn open_made(&mut self, lease: LeaseId, reader: ReaderId, makes: Makes) {
        let index = self.first_sample();
        let (slot, is_there) = (lease.slot(), self.commanded(lease).is_some());
        let left = match makes {
            Makes::Room => None,
            Makes::MixMinus(mix_minus) if is_there => {
                let (is_open, left) = self.feeds.open_mix_minus(slot, mix_minus, index);
                if is_open && let Some(ring) = self.readers.get_mut(reader) {
                    ring.hear(RoomId::MAIN, index);
                }
                left
            }
            Makes::Alone(alone) if is_there => self.feeds.open_alone(slot, alone, index),
            Makes::MixMinus(mix_minus) => Some(mix_minus.closed()),
            Makes::Alone(alone) => Some(alone.closed()),
        };
        self.removals.send_all(left.map(removed::Part::Feed));
        self.note_feeds(lease);
    }

    fn close_feed(&mut self, id: FeedId) {
        let index = self.first_sample();
        let lease = match id.signal {
            Signal::Room(room) => {
                if let Some(ring) = self.readers.get_mut(id.reader) {
                    ring.leave(room, index);
                }
                return;
            }
            Signal::MixMinus(lease) | Signal::Alone(lease) => lease,
        };
        if self.inputs.get_mut(lease).is_none() {
            return;
        }
        let closed = self
            .feeds
            .close(lease.slot(), id, &(self.bus.next()..index));
        if closed.is_some()
            && let Signal::MixMinus(_) = id.signal
            && let Some(ring) = self.readers.get_mut(id.reader)
        {
            ring.leave(RoomId::MAIN, index);
        }
        self.removals.send_all(closed.map(removed::Part::Feed));
        self.note_feeds(lease);
    }

    /// The stream of this lease, if it takes commands.
    fn commanded(&mut self, lease: LeaseId) -> Option<&mut Input> {
        let input = self.inputs.get_mut(lease)?;
        (!input.is_ended_by_command).then_some(input)
    }

    fn note_feeds(&mut self, lease: LeaseId) {
        let has_feeds = self.feeds.has(lease.slot());
        if let Some(input) = self.inputs.get_mut(lease) {
            input.has_feeds = has_feeds;
        }
    }

    /// Ends a stream by command: its audio goes to silence as if it were muted. One that waits is visited by each
    /// tick from now on, like those that play, until its producer closes.
    fn end_by_command(&mut self, lease: LeaseId) {
        self.inputs.set_solo(lease, false);
        if let Some(input) = self.inputs.get_mut(lease) {
            input.end_by_command();
        }
        if let Some(input) = self.inputs.take_waiting(lease) {
            self.inputs.play(input);
        }
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
                self.inputs.end(input);
            } else {
                self.arm(lease);
                self.inputs.wait(input);
            }
        }
        // Most often there is none; the loop keeps the vector's room.
        while self.removals.has_room()
            && let Some(input) = self.inputs.take_ended()
        {
            self.end_feeds(input.lease.slot());
            self.consumer
                .release(input.lease)
                .expect("an ended input's ring is closed and empty");
            input.tell_end();
            self.removals.send_all([removed::Part::Input(input)]);
        }
    }

    fn end_feeds(&mut self, slot: usize) {
        let index = self.first_sample();
        for reader in self.feeds.readers_of_mix_minus(slot) {
            if let Some(ring) = self.readers.get_mut(reader) {
                ring.leave(RoomId::MAIN, index);
            }
        }
        let closed = self.feeds.end(slot, &(self.bus.next()..index));
        let closed = closed.into_iter().flatten();
        self.removals.send_all(closed.map(removed::Part::Feed));
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

    fn moment(&self, due: u64) -> Moment {
        let block = self.settings.block_samples as u64;
        Moment {
            first: self.first_sample(),
            horizon: (due.max(self.tick) * block).saturating_add(self.horizon),
            soloing: self.inputs.is_soloing(),
            turn: (self.tick % self.levels_ticks) as u32,
            instants: self.settings.block_samples as u32,
            ramp: ramp_instants(self.settings.format),
        }
    }

    /// The first stage of a tick: adds up its blocks, and returns the sums. `due` is as for [`tick`](Self::tick).
    pub fn sum(&mut self, due: u64) -> &[i32] {
        let moment = self.moment(due);
        let Self {
            inputs: Inputs {
                playing: inputs, ..
            },
            consumer,
            bus,
            feeds,
            contributors,
            ..
        } = self;
        bus.clear();
        feeds.begin();
        contributors.clear();
        let (sums, stage) = bus.sum_mut();
        let block = sums.len();
        for index in 0..inputs.len() {
            if index.is_multiple_of(PREFETCH_INPUTS) {
                prefetch(inputs, index, consumer, moment, frame_bytes(block));
            }
            let input = &mut inputs[index];
            let (mix_minus, alone) = if input.has_feeds {
                feeds.get_mut(input.lease.slot())
            } else {
                (None, None)
            };
            let heard = if let Some(mix_minus) = mix_minus {
                let mut sums = LeftOut { sums, mix_minus };
                let heard = input.play(consumer, moment, &mut sums, alone);
                sums.mix_minus.end_of_input(stage);
                heard
            } else {
                input.play(consumer, moment, sums, alone)
            };
            if heard
                && let Some(source) = input.source
                && contributors.len() < CONTRIBUTORS_MAX
            {
                contributors.push(source);
            }
        }
        self.bus.sum()
    }

    /// The second stage: makes the blocks of the bus and of the feeds.
    pub fn finish(&mut self) -> Block<'_> {
        self.next_unready = 0;
        self.tick += 1;
        self.end_those_that_did();
        self.check_some();
        self.bus.finish();
        self.feeds.finish(&self.bus);
        self.bus.block(&self.contributors)
    }

    /// Sends the last block, that of a tick or the flush, to the readers: the frames of single feeds, then to each
    /// reader one [message](MixMessage) with the rooms that it hears. To be called once after each.
    ///
    /// A full ring drops its message, and counts it. Never waits, allocates or frees; enters the kernel only to
    /// wake readers, once each.
    pub fn send_feeds(&mut self) {
        let block = self.bus.block(&self.contributors);
        self.feeds.send(RoomId::MAIN, &block);
        let made = block.at..block.at + block.instants() as u64;
        let main = |room| (room == RoomId::MAIN).then_some(block);
        let removals = &mut self.removals;
        self.readers.send(&made, main, |ring| {
            removals.send_all([removed::Part::Ring(ring)]);
        });
    }

    /// Whether a reader that is [waited for](MixRing::waited_for) has no room for the next message: a mixer that is not
    /// bound to the clock runs no tick then.
    pub fn is_any_reader_full(&mut self) -> bool {
        self.readers.is_any_full(self.settings.block())
    }

    /// Closes all feeds and readers: they get no more. Frees them, and wakes the readers.
    pub fn close_feeds(&mut self) {
        self.feeds.close_all();
        self.readers.close();
    }

    /// The limiter's last samples, once no tick will follow.
    pub fn flush(&mut self) -> Block<'_> {
        self.contributors.clear();
        self.bus.flush();
        self.feeds.flush(&self.bus);
        self.bus.block(&self.contributors)
    }

    /// Settles their accounts, too: the last figures are there without a [`collect`](Self::collect).
    fn end_those_that_did(&mut self) {
        for input in self.inputs.end_those_that_did() {
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
            input.tell_end();
        }
    }

    /// Checks the ledger of every stream now; exact while the ingest threads rest.
    pub fn check_all(&mut self) {
        for input in self.inputs.iter() {
            self.checks.settle(input, &self.consumer);
        }
    }
}
