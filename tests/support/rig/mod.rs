//! A mixer driven by hand, so that a scenario reads as a sentence. No thread, no clock, no sleep:
//! time is the count of ticks, and after each tick every account must balance to the sample.

pub mod gaps;
mod reader;
mod samples;
mod setup;
mod stream;
mod tracks;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mixpool::{
    audio::{Format, FrameHeader, FrameMut, Gain, frame::frame_bytes},
    ledger::{Account, Entry, GapKind},
    mixer::{
        Block, ChannelStrip, Command, Feed, FeedId, Limiting, Mixer, NewInput, PartRings, Parts,
        ReaderId, Room, RoomId, RoomStrip, Settings, Signal,
    },
    queue::{LeaseId, Pool, Producer},
};

use gaps::StreamGaps;
pub use reader::{Line, Reader};
pub use samples::{cut, noise, reference};
pub use setup::Setup;
pub use stream::TestStream;

/// Samples per channel of a block: 20 ms at 8 kHz.
pub const BLOCK: usize = 160;

/// After how many ticks gaps are compared with the accounts.
const CHECK_TICKS: u64 = 16;

/// A pool, its mixer, and all that came out so far.
pub struct Rig {
    pub pool: Pool,
    pub mixer: Mixer,
    /// By which sums of shared rooms go and come.
    pub part_rings: Option<PartRings>,
    pub settings: Settings,
    /// The playout delay of its streams.
    delay_ticks: u64,
    next_tick: Arc<AtomicU64>,
    /// Those that listen.
    pub readers: Vec<Reader>,
    /// All feeds that were opened, by their numbers.
    feeds: Vec<Opened>,
    pub format: Format,
    pub accounts: Vec<Arc<Account>>,
    /// Where samples of their streams are missing.
    pub gaps: StreamGaps,
    pub output: Vec<i16>,
    /// How many of them came in blocks.
    made: usize,
    pub clipped: usize,
}

/// A feed: where it is heard, and what to close it by.
struct Opened {
    reader: usize,
    /// If it has a ring of its own.
    line: Option<usize>,
    /// None if it came with its stream's admission, which nothing but the stream's end closes.
    id: Option<FeedId>,
}

impl Rig {
    /// A stream that is admitted at unity gain.
    pub fn stream(&mut self) -> TestStream {
        self.stream_at(Gain::UNITY)
    }

    /// An admitted stream, and its channel strip.
    pub fn channel_strip(&mut self) -> (TestStream, Arc<ChannelStrip>) {
        let sender = self.unadmitted();
        let new = sender.input();
        let channel_strip = new.channel_strip();
        self.mixer.apply(Command::Admit(new));
        (sender, channel_strip)
    }

    /// A stream that is admitted at this gain.
    pub fn stream_at(&mut self, gain: Gain) -> TestStream {
        let sender = self.unadmitted();
        self.admit(&sender, gain);
        sender
    }

    /// Listens to the whole mix, and to later participants.
    pub fn listen(&mut self) {
        let reader = self.add_reader(true);
        assert_eq!(reader, 0, "before others do");
    }

    /// Another reader, which hears nothing yet; its number.
    pub fn reader(&mut self) -> usize {
        self.add_reader(false)
    }

    fn add_reader(&mut self, hears_main: bool) -> usize {
        let number = self.readers.len();
        let id = ReaderId(number as u64);
        // The first has those of the participants.
        let feeds = if number == 0 {
            4 * self.pool.slots()
        } else {
            0
        };
        let (feeds, rooms) = (64 + feeds, self.settings.rooms_max);
        let (mut reader, mut ring) = Reader::new(id, feeds, rooms, self.format.channels());
        reader.lead = self.settings.lead_ticks * BLOCK as u64;
        if hears_main {
            ring = ring.with_room(RoomId::MAIN);
        }
        self.readers.push(reader);
        self.mixer.apply(Command::OpenReader(id, Box::new(ring)));
        number
    }

    /// An admitted stream with a feed of the mix without it, and that feed's number. The rig listens.
    pub fn participant(&mut self, gain: Gain) -> (TestStream, usize) {
        let sender = self.unadmitted();
        let line = self.admit_with_return(sender.input().gain(gain));
        (sender, line)
    }

    /// The same in this room.
    pub fn participant_in(&mut self, room: RoomId) -> (TestStream, usize) {
        let sender = self.unadmitted();
        let line = self.admit_with_return(sender.input().room(room));
        (sender, line)
    }

    fn admit_with_return(&mut self, new: NewInput) -> usize {
        let reader = self.readers.first_mut().expect("the rig listens");
        let (line, producer) = reader.line();
        let ring = (producer, reader.pool());
        let new = new.mix_minus(reader.id, ring, &self.settings);
        self.mixer.apply(Command::Admit(new));
        self.note(0, Some(line), None)
    }

    /// A stream that is admitted into this room.
    pub fn stream_in(&mut self, room: RoomId) -> TestStream {
        let sender = self.unadmitted();
        self.mixer.apply(Command::Admit(sender.input().room(room)));
        sender
    }

    /// Opens a room. Its figures are held by the mixer, too, for as long as it has the room.
    pub fn open_room(&mut self, id: RoomId) -> Arc<RoomStrip> {
        let room = Box::new(Room::new(id, &self.settings));
        let strip = room.strip();
        self.mixer.apply(Command::OpenRoom(room));
        strip
    }

    /// Opens a room that is on other nodes, too.
    pub fn open_shared(&mut self, id: RoomId) -> Arc<RoomStrip> {
        let room = Box::new(Room::new(id, &self.settings).shared(&self.settings));
        let strip = room.strip();
        self.mixer.apply(Command::OpenRoom(room));
        strip
    }

    /// Moves a stream, with a fade or at once.
    pub fn move_to(&mut self, stream: LeaseId, to: RoomId, fade: bool) {
        self.apply_move(stream, to, fade, None);
    }

    /// Opens a feed to the first reader; its number.
    pub fn hear(&mut self, signal: Signal) -> usize {
        self.open(0, signal)
    }

    /// Opens a feed to this reader; its number.
    pub fn open(&mut self, reader: usize, signal: Signal) -> usize {
        let (feed, line) = self.feed(reader, signal);
        let number = self.note(reader, line, Some(feed.id()));
        self.mixer.apply(Command::OpenFeed(feed));
        number
    }

    /// Opens a feed of a room, with a ring of its own; its number.
    pub fn open_room_ring(&mut self, reader: usize, room: RoomId) -> usize {
        let feed = self.room_ring(reader, room);
        self.mixer.apply(Command::OpenFeed(feed));
        self.feeds.len() - 1
    }

    /// Such a feed, to be opened.
    pub fn room_ring(&mut self, reader: usize, room: RoomId) -> Feed {
        let to = &mut self.readers[reader];
        let (line, producer) = to.line();
        let feed = Feed::room_ring(room, to.id, (producer, to.pool()), &self.settings);
        self.note(reader, Some(line), Some(feed.id()));
        feed
    }

    /// A feed to this reader, and its line there, if it has one.
    fn feed(&mut self, reader: usize, signal: Signal) -> (Feed, Option<usize>) {
        let reader = &mut self.readers[reader];
        if let Signal::Room(room) = signal {
            return (Feed::room(room, reader.id), None);
        }
        let (line, producer) = reader.line();
        let ring = (producer, reader.pool());
        (
            stream_feed(signal, reader.id, ring, &self.settings),
            Some(line),
        )
    }

    fn note(&mut self, reader: usize, line: Option<usize>, id: Option<FeedId>) -> usize {
        self.feeds.push(Opened { reader, line, id });
        self.feeds.len() - 1
    }

    /// The command that closes this feed.
    pub fn close_command(&self, feed: usize) -> Command {
        let id = self.feeds[feed].id;
        Command::CloseFeed(id.expect("it was opened by a command of its own"))
    }

    /// Closes this feed.
    pub fn close(&mut self, feed: usize) {
        self.mixer.apply(self.close_command(feed));
    }

    /// What was heard of this feed.
    pub fn line(&self, feed: usize) -> &Line {
        let Opened { reader, line, .. } = self.feeds[feed];
        self.readers[reader].get(line.expect("rooms are heard by readers"))
    }

    /// All that the first reader heard of the whole mix, without a pause.
    pub fn mix_heard(&self) -> &[i16] {
        match &self.readers[0].mix[..] {
            [] => &[],
            [run] => &run.heard,
            runs => panic!("with pauses: {} runs", runs.len()),
        }
    }

    /// A stream without its admission command.
    pub fn unadmitted(&mut self) -> TestStream {
        let number = self.accounts.len();
        let account = Account::new(format!("stream-{number}"));
        let account = self.gaps.accounts.add(account);
        self.accounts.push(Arc::clone(&account));
        TestStream {
            producer: self.pool.acquire().unwrap(),
            account,
            channels: usize::from(self.format.channels()),
            delay: self.delay_ticks * BLOCK as u64,
            next_tick: Arc::clone(&self.next_tick),
            next: None,
        }
    }

    pub fn admit(&mut self, sender: &TestStream, gain: Gain) {
        let new = sender.input();
        self.mixer.apply(Command::Admit(new.gain(gain)));
    }

    /// Runs one tick as a live server does, and checks the ledger. Returns the block.
    pub fn tick(&mut self) -> Vec<i16> {
        self.mixer.collect();
        let sums = self.mixer.sum(self.mixer.next_tick()).iter();
        let sums: Vec<_> = sums.map(|&sum| cut(sum.into())).collect();
        let block = take(self.mixer.finish(), &mut self.clipped);
        self.after_tick(block, sums)
    }

    /// Runs that many ticks; returns their blocks as one.
    pub fn ticks(&mut self, count: usize) -> Vec<i16> {
        (0..count).flat_map(|_| self.tick()).collect()
    }

    /// Runs one tick as an offline server does, if every stream is ready for it.
    pub fn try_tick(&mut self) -> Result<Vec<i16>, LeaseId> {
        self.mixer.collect();
        match self.mixer.first_unready() {
            Some(unready) => Err(unready),
            None => Ok(self.tick()),
        }
    }

    /// What a tick gives: with the limiter its block, else its saturated sums, of which blocks are the same samples,
    /// delayed.
    fn after_tick(&mut self, block: Vec<i16>, sums: Vec<i16>) -> Vec<i16> {
        self.next_tick
            .store(self.mixer.next_tick(), Ordering::Relaxed);
        self.send_feeds();
        self.check_ledger();
        self.gaps.take();
        if self.mixer.ticks().is_multiple_of(CHECK_TICKS) {
            self.check_gaps();
        }
        if self.settings.limiting == Limiting::Limiter {
            self.output.extend_from_slice(&block);
            return block;
        }
        self.output.extend_from_slice(&sums);
        self.check_delayed(&block);
        sums
    }

    fn check_delayed(&mut self, block: &[i16]) {
        let made = self.made..self.made + block.len();
        assert!(
            block == &self.output[made.clone()],
            "a block is not its sums"
        );
        self.made = made.end;
    }

    /// Sends the last tick's blocks; the readers take them.
    pub fn send_feeds(&mut self) {
        self.mixer.send_feeds();
        self.take();
    }

    /// The readers take what was sent.
    pub fn take(&mut self) {
        self.readers.iter_mut().for_each(Reader::take);
    }

    /// The limiter's last samples: no tick follows.
    pub fn flush(&mut self) {
        self.mixer.collect();
        self.check_ledger();
        self.check_gaps();
        let rest = take(self.mixer.flush(), &mut self.clipped);
        if self.settings.limiting == Limiting::Limiter {
            self.output.extend_from_slice(&rest);
        } else {
            self.check_delayed(&rest);
            assert_eq!(self.made, self.output.len(), "as many samples as ticks");
        }
        self.send_feeds();
    }

    /// The limiter's last samples; then all that ever came out.
    pub fn finish(mut self) -> Vec<i16> {
        self.flush();
        self.output
    }

    /// Every stream's equation holds now: by the mixer's own checks, none of which may ever have
    /// failed, and by the figures that any reader sees.
    pub fn check_ledger(&mut self) {
        let (before, _) = self.mixer.ledger_checks();
        self.mixer.check_all();
        let (checks, imbalances) = self.mixer.ledger_checks();
        let streams = self.mixer.streams() as u64;
        assert!(checks >= before + streams, "a stream was not checked");
        assert_eq!(imbalances, 0, "ledger imbalances");
        for account in &self.accounts {
            balance(account.id(), &account.read());
        }
    }
}

impl Rig {
    /// The gaps of every stream are as long as its account says.
    pub fn check_gaps(&mut self) {
        self.gaps.take();
        let checked = self.accounts.iter().filter(|_| self.gaps.is_checked);
        for (stream, account) in checked.enumerate() {
            self.gaps.check(stream, account, self.format.channels());
        }
    }
}

fn take(block: Block<'_>, clipped: &mut usize) -> Vec<i16> {
    *clipped += block.clipped;
    block.samples.to_vec()
}

/// A feed of a stream, into this ring.
pub fn stream_feed(
    signal: Signal,
    reader: ReaderId,
    ring: (Producer, &Pool),
    settings: &Settings,
) -> Feed {
    match signal {
        Signal::Room(room) => panic!("{room:?} has no ring of its own"),
        Signal::MixMinus(stream) => Feed::mix_minus(stream, reader, ring, settings),
        Signal::Alone(stream) => Feed::alone(stream, reader, ring, settings),
        Signal::Track { stream, room } => Feed::track(stream, room, reader, ring, settings),
    }
}

/// The equation, term by term, not by the library's own sum.
pub fn balance(id: &str, entry: &Entry) {
    let dropped = entry.dropped_full + entry.dropped_late + entry.discarded;
    let accounted = entry.mixed + entry.muted + dropped + entry.in_ring;
    assert_eq!(entry.offered, accounted, "{id} does not balance: {entry:?}");
}
