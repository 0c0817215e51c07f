//! Feeds against an oracle that keeps every block.

use proptest::{prelude::*, sample::Index};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// A stream comes; whether it has a feed of its own.
    Join(bool),
    /// A frame of so many samples per channel in the next tick, this loud or silent.
    Say(Index, usize, bool),
    Leave(Index),
    OpenReader,
    CloseReader(Index),
    OpenRoom(Index),
    OpenRoomRing(Index),
    OpenMixMinus(Index, Index),
    OpenAlone(Index, Index),
    Close(Index),
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<Index>;
    let len = prop_oneof![4 => Just(BLOCK), 1 => 1..BLOCK];
    let step = prop_oneof![
        2 => any::<bool>().prop_map(Step::Join),
        8 => (at(), len, any::<bool>()).prop_map(|(who, len, loud)| Step::Say(who, len, loud)),
        1 => at().prop_map(Step::Leave),
        1 => Just(Step::OpenReader),
        1 => at().prop_map(Step::CloseReader),
        3 => at().prop_map(Step::OpenRoom),
        3 => at().prop_map(Step::OpenRoomRing),
        3 => (at(), at()).prop_map(|(reader, who)| Step::OpenMixMinus(reader, who)),
        3 => (at(), at()).prop_map(|(reader, who)| Step::OpenAlone(reader, who)),
        5 => at().prop_map(Step::Close),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..250)
}

/// Streams at once, and readers ever.
const STREAMS: usize = 4;
const READERS: usize = 5;

/// One after the last tick of something, while that has no end.
const OPEN: u64 = u64::MAX;

struct ModelStream {
    sender: Option<TestStream>,
    lease: LeaseId,
    /// All its samples from the first tick on, interleaved.
    given: Vec<i16>,
    /// The last tick that it said something in.
    said: Option<u64>,
    /// The tick that it has no part in any more.
    ends: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Room,
    /// With a ring of its own.
    RoomRing,
    MixMinus(usize),
    Alone(usize),
}

impl What {
    fn is_room(self) -> bool {
        matches!(self, Self::Room | Self::RoomRing)
    }

    /// Whether its reader hears the room in the mix ring.
    fn is_in_mix_ring(self) -> bool {
        matches!(self, Self::Room | Self::MixMinus(_))
    }
}

/// A feed as its commands say.
#[derive(Debug)]
struct ModelFeed {
    what: What,
    feed: usize,
    reader: usize,
    from: u64,
    until: u64,
    by_command: bool,
}

/// A rig, and an oracle that keeps what everybody gave.
struct Oracle {
    rig: Rig,
    first_block: u64,
    wide: usize,
    peak: i16,
    streams: Vec<ModelStream>,
    feeds: Vec<ModelFeed>,
    /// From which tick on and until which each reader is open.
    readers: Vec<(u64, u64)>,
}

impl Oracle {
    fn new(channels: u16, limited: bool, first_block: u64) -> Self {
        let setup = Setup {
            channels,
            first_block,
            slots: STREAMS,
            ..Setup::mono()
        };
        let setup = if limited { setup.limited() } else { setup };
        let mut rig = setup.rig();
        rig.listen();
        Self {
            rig,
            first_block,
            wide: channels.into(),
            // So that the limiter changes nothing.
            peak: if limited { 8000 } else { i16::MAX },
            streams: Vec::new(),
            feeds: vec![ModelFeed {
                what: What::Room,
                feed: usize::MAX,
                reader: 0,
                from: first_block,
                until: OPEN,
                by_command: false,
            }],
            readers: vec![(first_block, OPEN)],
        }
    }

    fn now(&self) -> u64 {
        self.rig.mixer.next_tick()
    }

    fn act(&mut self, seed: u64, step: &Step) {
        let now = self.now();
        match *step {
            Step::Join(participates) => {
                // Those that end at this very tick hold their slots until it comes.
                let there = self.streams.iter().filter(|stream| stream.ends >= now);
                if there.count() < STREAMS {
                    self.join(participates);
                }
            }
            Step::Say(who, len, loud) => self.say(who, seed, len, loud),
            Step::Leave(who) => {
                let present = |stream: &&mut ModelStream| stream.sender.is_some();
                let mut there: Vec<_> = self.streams.iter_mut().filter(present).collect();
                if !there.is_empty() {
                    let who = who.index(there.len());
                    let stream = &mut *there[who];
                    stream.sender = None;
                    // The tick that finds its ring closed is its last; one that never began has none.
                    stream.ends = now + u64::from(stream.said.is_some());
                }
            }
            Step::OpenReader if self.readers.len() < READERS => {
                self.rig.reader();
                self.readers.push((now, OPEN));
            }
            Step::CloseReader(reader) => self.close_reader(reader),
            Step::OpenRoom(reader) => self.open(reader, What::Room),
            Step::OpenRoomRing(reader) => self.open(reader, What::RoomRing),
            Step::OpenMixMinus(reader, who) if !self.streams.is_empty() => {
                self.open(reader, What::MixMinus(who.index(self.streams.len())));
            }
            Step::OpenAlone(reader, who) if !self.streams.is_empty() => {
                self.open(reader, What::Alone(who.index(self.streams.len())));
            }
            Step::OpenReader | Step::OpenMixMinus(..) | Step::OpenAlone(..) => {}
            Step::Close(feed) => {
                let closable = |opened: &&mut ModelFeed| opened.by_command && opened.until == OPEN;
                let mut open: Vec<_> = self.feeds.iter_mut().filter(closable).collect();
                if !open.is_empty() {
                    let feed = feed.index(open.len());
                    let opened = &mut *open[feed];
                    self.rig.close(opened.feed);
                    opened.until = now;
                }
            }
            Step::Tick => _ = self.rig.tick(),
        }
    }

    fn join(&mut self, participates: bool) {
        let now = self.now();
        let sender = if participates {
            let (sender, feed) = self.rig.participant(Gain::UNITY);
            self.feeds.push(ModelFeed {
                what: What::MixMinus(self.streams.len()),
                feed,
                reader: 0,
                from: now,
                until: OPEN,
                by_command: false,
            });
            sender
        } else {
            self.rig.stream()
        };
        self.streams.push(ModelStream {
            lease: sender.lease(),
            sender: Some(sender),
            given: Vec::new(),
            said: None,
            ends: OPEN,
        });
    }

    fn say(&mut self, who: Index, seed: u64, len: usize, loud: bool) {
        let (now, wide, first_block) = (self.now(), self.wide, self.first_block);
        let peak = if loud { self.peak } else { 0 };
        let can = |stream: &&mut ModelStream| stream.sender.is_some() && stream.said != Some(now);
        let mut there: Vec<_> = self.streams.iter_mut().filter(can).collect();
        if there.is_empty() {
            return;
        }
        let who = who.index(there.len());
        let stream = &mut *there[who];
        let samples = noise(seed, len * wide, peak);
        stream
            .given
            .resize((now - first_block) as usize * BLOCK * wide, 0);
        stream.given.extend(&samples);
        stream.said = Some(now);
        stream.sender.as_mut().unwrap().place(now * N, &samples);
    }

    /// Opens a feed, if the reader is there and has few.
    fn open(&mut self, reader: Index, what: What) {
        let now = self.now();
        let reader = reader.index(self.readers.len());
        // The ring of one that was closed just now is not free yet.
        let is_open = |opened: &&ModelFeed| opened.until >= now && opened.reader == reader;
        let is_same = |opened: &&ModelFeed| opened.until == OPEN && opened.what == what;
        let is_many = self.feeds.iter().filter(is_open).count() > 60
            || !what.is_room() && self.feeds.iter().filter(is_same).count() >= 8;
        if self.readers[reader].1 != OPEN || is_many {
            return;
        }
        let feed = match what {
            What::Room => self.rig.open(reader, MAIN),
            What::RoomRing => self.rig.open_room_ring(reader, RoomId::MAIN),
            What::MixMinus(who) => {
                let signal = Signal::MixMinus(self.streams[who].lease);
                self.rig.open(reader, signal)
            }
            What::Alone(who) => {
                let signal = Signal::Alone(self.streams[who].lease);
                self.rig.open(reader, signal)
            }
        };
        self.feeds.push(ModelFeed {
            what,
            feed,
            reader,
            from: now,
            until: OPEN,
            by_command: true,
        });
    }

    /// Closes a reader but the first, and before it its feeds.
    fn close_reader(&mut self, reader: Index) {
        let (now, reader) = (self.now(), reader.index(self.readers.len()));
        if reader == 0 || self.readers[reader].1 != OPEN {
            return;
        }
        for opened in &mut self.feeds {
            if opened.reader == reader && opened.until == OPEN {
                self.rig.close(opened.feed);
                opened.until = now;
            }
        }
        let id = self.rig.readers[reader].id;
        self.rig.mixer.apply(Command::CloseReader(id));
        self.readers[reader].1 = now;
    }

    /// The samples of these indices, interleaved: of all, and without or of a stream alone.
    fn samples(&self, what: What, from: u64, until: u64) -> Vec<i16> {
        let wide = self.wide as u64;
        let first = self.first_block * N;
        let gave = |stream: &ModelStream, index: u64| {
            let sample = stream.given.get(index as usize).copied();
            i64::from(sample.unwrap_or(0))
        };
        ((from - first) * wide..(until - first) * wide)
            .map(|index| {
                let all = || {
                    self.streams
                        .iter()
                        .map(|stream| gave(stream, index))
                        .sum::<i64>()
                };
                match what {
                    What::Room | What::RoomRing => cut(all()),
                    What::MixMinus(who) => cut(all() - gave(&self.streams[who], index)),
                    What::Alone(who) => gave(&self.streams[who], index) as i16,
                }
            })
            .collect()
    }

    /// The tick before which a feed is closed.
    fn closes(&self, opened: &ModelFeed) -> u64 {
        match opened.what {
            What::Room | What::RoomRing => opened.until,
            What::MixMinus(who) | What::Alone(who) => opened.until.min(self.streams[who].ends),
        }
    }

    /// The ticks of a feed.
    fn range(&self, opened: &ModelFeed) -> (u64, u64) {
        let until = self.closes(opened).min(self.now());
        (opened.from, until.max(opened.from))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        prop_assert!(self.rig.output == self.samples(What::Room, self.first_block * N, now * N));
        for opened in &self.feeds {
            if opened.what != What::Room {
                self.check_feed(opened)?;
            }
        }
        for reader in 0..self.readers.len() {
            self.check_reader(reader)?;
        }
        Ok(())
    }

    fn check_feed(&self, opened: &ModelFeed) -> Result<(), TestCaseError> {
        let (from, until) = self.range(opened);
        let is_over = self.closes(opened) <= self.now();
        let [from, mut until] = [from, until].map(|tick| tick * N);
        // The mix of the others was not made further yet.
        if is_over && matches!(opened.what, What::MixMinus(_)) {
            until = until.saturating_sub(DELAY).max(from);
        }
        let line = self.rig.line(opened.feed);
        let expected = self.samples(opened.what, from, until);
        prop_assert_eq!(line.heard.len(), expected.len(), "{:?}", opened);
        prop_assert!(line.heard == expected, "{:?}", opened);
        prop_assert_eq!(line.from, (until > from).then_some(from), "{:?}", opened);
        prop_assert!(line.closed || !is_over, "{:?}", opened);
        Ok(())
    }

    /// The room is heard while any feed of the reader needs it.
    fn check_reader(&self, reader: usize) -> Result<(), TestCaseError> {
        let needs = |opened: &&ModelFeed| opened.reader == reader && opened.what.is_in_mix_ring();
        let needing = self.feeds.iter().filter(needs);
        let mut ranges: Vec<_> = needing.map(|opened| self.range(opened)).collect();
        ranges.retain(|(from, until)| from < until);
        ranges.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (from, until) in ranges {
            match runs.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => runs.push((from, until)),
            }
        }
        let heard = &self.rig.readers[reader];
        let heard_runs: Vec<_> = heard.mix.iter().map(|run| run.from.unwrap()).collect();
        let expected: Vec<_> = runs.iter().map(|run| run.0 * N).collect();
        prop_assert_eq!(heard_runs, expected, "reader {}", reader);
        for (run, (from, until)) in heard.mix.iter().zip(&runs) {
            let expected = self.samples(What::Room, from * N, until * N);
            prop_assert!(
                run.heard == expected,
                "reader {}: {}..{}",
                reader,
                from,
                until
            );
        }
        let (opens, closes) = self.readers[reader];
        // The flush, or the head of the block after its close.
        let messages = closes.min(self.now()) - opens + 1;
        prop_assert_eq!(heard.messages as u64, messages, "reader {}", reader);
        prop_assert!(heard.closed == (closes != OPEN));
        if runs.is_empty() {
            prop_assert_eq!(heard.silent, heard.messages, "reader {}", reader);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_feed_has_exactly_what_was_given_between_its_commands(
        steps in steps(),
        channels in 1u16..=2,
        limited: bool,
        first_block in prop_oneof![Just(0), 1u64..1000],
    ) {
        let mut oracle = Oracle::new(channels, limited, first_block);
        for (seed, step) in (0..).zip(&steps) {
            oracle.act(seed, step);
        }
        oracle.rig.flush();
        oracle.check()?;
    }
}
