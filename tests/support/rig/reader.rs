//! The thread that listens, as a test runs it: after each tick it takes one message with the blocks of the rooms, and
//! one frame from the ring of each feed that has its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mixpool::{
    audio::Frame,
    mixer::{MixMessage, MixRing, ReaderId, RoomBlock, RoomId},
    queue::{Consumer, LeaseId, Pool, Producer},
};

/// The rings to it.
pub struct Reader {
    pub id: ReaderId,
    rooms_pool: Pool,
    rooms: Consumer,
    /// The mix ring's, once it had something.
    rooms_lease: Option<LeaseId>,
    /// One after the last sample that was meant for it, as the mixer says.
    end: Arc<AtomicU64>,
    pool: Pool,
    feeds: Consumer,
    lines: Vec<Line>,
    /// The room `main` as it was heard: a line for each run of blocks that follow each other.
    pub mix: Vec<Line>,
    /// Each other room that was heard, in the same way.
    pub others: Vec<(RoomId, Vec<Line>)>,
    /// Messages, and those of them without a room.
    pub messages: usize,
    pub silent: usize,
    pub closed: bool,
    /// Where the next message begins.
    next: Option<u64>,
    /// Samples by which shared rooms are behind.
    pub lead: u64,
    channels: usize,
}

/// What was heard of one feed.
#[derive(Debug, Default)]
pub struct Line {
    /// Its ring, until that is finished.
    lease: Option<LeaseId>,
    /// Index in the mix of the first sample, per channel, once a frame came.
    pub from: Option<u64>,
    /// All samples, those of frames that name a room taken from the message.
    pub heard: Vec<i16>,
    /// Frames, and those of them that named a room.
    pub frames: usize,
    pub same: usize,
    pub closed: bool,
}

/// One room's block in a message.
struct Heard {
    room: RoomId,
    first: u64,
    samples: Vec<i16>,
}

impl Reader {
    /// A reader with room for so many feeds, and the mixer's end of its mix ring.
    pub fn new(id: ReaderId, feeds: usize, rooms_max: usize, channels: u16) -> (Self, MixRing) {
        let ring_bytes = (rooms_max << 12).next_power_of_two().max(1 << 14);
        let builder = Pool::builder().slots(1).ring_bytes(ring_bytes);
        let (rooms_pool, rooms) = builder.build().unwrap();
        let end = Arc::new(AtomicU64::new(0));
        let ring = MixRing::new(&rooms_pool, rooms_max, Arc::clone(&end)).unwrap();
        let builder = Pool::builder().slots(feeds).ring_bytes(1 << 13);
        let ring = ring.with_room_rings(feeds);
        let (pool, feeds) = builder.polled(true).build().unwrap();
        let reader = Self {
            id,
            rooms_pool,
            rooms,
            rooms_lease: None,
            end,
            pool,
            feeds,
            lines: Vec::new(),
            mix: Vec::new(),
            others: Vec::new(),
            messages: 0,
            silent: 0,
            closed: false,
            next: None,
            lead: 0,
            channels: channels.into(),
        };
        (reader, ring)
    }

    /// A new line's number, and the producer of its ring.
    pub fn line(&mut self) -> (usize, Producer) {
        let producer = self.pool.acquire().unwrap();
        self.lines.push(Line {
            lease: Some(producer.lease()),
            ..Line::default()
        });
        (self.lines.len() - 1, producer)
    }

    /// The runs of a room.
    pub fn runs(&self, room: RoomId) -> &[Line] {
        if room == RoomId::MAIN {
            return &self.mix;
        }
        let mut others = self.others.iter();
        let found = others.find(|(other, _)| *other == room);
        found.map_or(&[], |(_, runs)| runs)
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    #[allow(dead_code, reason = "programs with long runs need it")]
    /// Forgets the samples that were heard so far: what comes is in its place after them.
    pub fn forget(&mut self) {
        let others = self.others.iter_mut().flat_map(|(_, runs)| runs);
        let lines = self.mix.iter_mut().chain(others).chain(&mut self.lines);
        lines.for_each(|line| line.forget(self.channels));
    }

    pub fn get(&self, line: usize) -> &Line {
        &self.lines[line]
    }

    /// Asks to be woken by the next message, as a thread does before it sleeps.
    pub fn sleep(&mut self) {
        let lease = self.rooms_lease.expect("something came");
        assert!(self.rooms.arm(lease).unwrap(), "all of it was taken");
        while self.rooms.next_ready().is_some() {}
    }

    /// How often the mixer entered the kernel to wake it.
    pub fn wakes(&self) -> u64 {
        self.rooms_pool.stats().wakes + self.pool.stats().wakes
    }

    /// Takes what the mixer sent: one message, and one frame on each ring that is open.
    pub fn take(&mut self) {
        let blocks = if self.closed {
            Vec::new()
        } else {
            self.take_message()
        };
        self.take_frames(&blocks);
    }

    /// Takes what feeds got that were closed after the last message.
    pub fn take_rest(&mut self) {
        self.take_frames(&[]);
    }

    fn take_frames(&mut self, blocks: &[Heard]) {
        for line in &mut self.lines {
            line.take(&mut self.feeds, self.channels, blocks, self.lead > 0);
        }
    }

    fn take_message(&mut self) -> Vec<Heard> {
        let mut blocks = Vec::new();
        let lease = self.rooms_lease.or_else(|| self.rooms.next_ready());
        let lease = lease.expect("something came");
        self.rooms_lease = Some(lease);
        if let Some(message) = self.rooms.get(lease).unwrap() {
            let read = MixMessage::parse(&message).unwrap();
            let first = self.next.unwrap_or(read.first);
            assert_eq!(read.first, first, "messages follow each other");
            self.next = Some(read.end);
            self.messages += 1;
            for block in read.rooms() {
                let heard = Heard::new(&block, self.channels);
                let end = heard.first + (heard.samples.len() / self.channels) as u64;
                let first = read.first.saturating_sub(self.lead);
                assert!(first <= heard.first && heard.first < end && end <= read.end);
                let is_new = blocks.iter().all(|other: &Heard| other.room != heard.room);
                assert!(is_new, "a room once");
                blocks.push(heard);
            }
            self.silent += usize::from(blocks.is_empty());
            message.ack();
            let more = self.rooms.get(lease).unwrap();
            assert!(more.is_none(), "one message a tick");
        } else {
            let finished = self.rooms.is_finished(lease).unwrap();
            assert!(finished, "no message came");
        }
        self.hear(&blocks);
        self.closed = self.rooms.is_finished(lease).unwrap();
        if self.closed {
            self.hear(&[]);
            let others = self.others.iter().map(|(_, runs)| runs);
            let last = others.chain([&self.mix]).filter_map(|runs| runs.last());
            let end = last.map(|run| run.end(self.channels)).max().unwrap_or(0);
            let meant = self.end.load(Ordering::Relaxed);
            assert!((end..=end + self.lead).contains(&meant), "all was meant");
        }
        blocks
    }

    fn hear(&mut self, blocks: &[Heard]) {
        for heard in blocks {
            let is_known = self.others.iter().any(|(room, _)| *room == heard.room);
            if heard.room != RoomId::MAIN && !is_known {
                self.others.push((heard.room, Vec::new()));
            }
        }
        let others = self.others.iter_mut().map(|(room, runs)| (*room, runs));
        for (room, runs) in others.chain([(RoomId::MAIN, &mut self.mix)]) {
            let block = blocks.iter().find(|heard| heard.room == room);
            hear(runs, block, self.channels);
        }
    }
}

/// A room's next block, or none.
fn hear(runs: &mut Vec<Line>, block: Option<&Heard>, channels: usize) {
    if let Some(run) = runs.last_mut() {
        run.closed |= block.is_none_or(|block| block.first != run.end(channels));
    }
    let Some(block) = block else {
        return;
    };
    if runs.last().is_none_or(|run| run.closed) {
        runs.push(Line::default());
    }
    let run = runs.last_mut().unwrap();
    run.add(block.first, &block.samples, channels);
}

impl Heard {
    fn new(block: &RoomBlock<'_>, channels: usize) -> Self {
        let (frame, header) = (block.frame, block.frame.header());
        assert!(frame.checksum_ok() && !header.same);
        assert_eq!(header.given as usize * channels, frame.samples().len());
        Self {
            room: block.room,
            first: header.first,
            samples: frame.samples().to_vec(),
        }
    }
}

impl Line {
    #[allow(dead_code, reason = "programs with long runs need it")]
    /// The samples that were heard are not kept.
    fn forget(&mut self, channels: usize) {
        if self.from.is_some() {
            self.from = Some(self.end(channels));
            self.heard.clear();
        }
    }

    /// One after the index of its last sample, per channel.
    fn end(&self, channels: usize) -> u64 {
        self.from.unwrap_or(0) + (self.heard.len() / channels) as u64
    }

    fn add(&mut self, first: u64, samples: &[i16], channels: usize) {
        self.from.get_or_insert(first);
        assert_eq!(first, self.end(channels), "in its place in the mix");
        self.heard.extend_from_slice(samples);
        self.frames += 1;
    }

    fn take(
        &mut self,
        consumer: &mut Consumer,
        channels: usize,
        blocks: &[Heard],
        may_be_behind: bool,
    ) {
        let Some(lease) = self.lease else {
            return;
        };
        if let Some(message) = consumer.get(lease).unwrap() {
            let frame = Frame::parse(&message).unwrap();
            let header = frame.header();
            assert!(frame.checksum_ok());
            let samples = if header.same {
                let room = RoomId::from_samples(frame.samples()).unwrap();
                let named = blocks.iter().find(|heard| heard.room == room);
                let named = named.expect("the message has the room that a frame names");
                assert_eq!(named.first, header.first, "the block of the same tick");
                &named.samples
            } else {
                frame.samples()
            };
            assert_eq!(header.given as usize * channels, samples.len());
            self.same += usize::from(header.same);
            self.add(header.first, samples, channels);
            message.ack();
            assert!(consumer.get(lease).unwrap().is_none(), "one a tick");
            self.closed = consumer.is_finished(lease).unwrap();
        } else {
            self.closed = consumer.is_finished(lease).unwrap();
            // One that was opened after the last tick has no part in the flush.
            assert!(
                self.closed || self.frames == 0 || may_be_behind,
                "no frame came"
            );
        }
        if self.closed {
            consumer.release(lease).unwrap();
            self.lease = None;
        }
    }
}
