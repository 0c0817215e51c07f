//! A mixer driven by hand, so that a scenario reads as a sentence. No thread, no clock, no sleep:
//! time is the count of ticks, and after each tick every account must balance to the sample.

mod egress;
mod samples;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mixpool::{
    audio::{Format, FrameHeader, FrameMut, Gain, frame::frame_bytes},
    ledger::{Account, Entry},
    mixer::{
        Block, ChannelStrip, Command, Limiting, Mixer, Monitor, MonitorKind, NewInput, Settings,
    },
    queue::{LeaseId, Pool, Producer},
};

pub use egress::{Egress, Line};
pub use samples::{cut, noise, reference};

/// Samples per channel of a block: 20 ms at 8 kHz.
pub const BLOCK: usize = 160;

/// The settings of a [`Rig`].
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub first_block: u64,
    pub rate_hz: u32,
    pub channels: u16,
    pub limiting: Limiting,
    pub delay_ticks: u64,
    pub slots: usize,
    pub ring_bytes: usize,
    pub block_samples: usize,
}

impl Setup {
    pub fn mono() -> Self {
        Self {
            first_block: 0,
            rate_hz: 8000,
            channels: 1,
            limiting: Limiting::Saturate,
            delay_ticks: 0,
            slots: 8,
            ring_bytes: 1 << 16,
            block_samples: BLOCK,
        }
    }

    pub fn stereo() -> Self {
        Self {
            channels: 2,
            ..Self::mono()
        }
    }

    pub fn limited(self) -> Self {
        Self {
            limiting: Limiting::Limiter,
            ..self
        }
    }

    pub fn delay(self, delay_ticks: u64) -> Self {
        Self {
            delay_ticks,
            ..self
        }
    }

    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    pub fn ring(self, ring_bytes: usize) -> Self {
        Self { ring_bytes, ..self }
    }

    pub fn rig(self) -> Rig {
        let format = Format::new(self.rate_hz, self.channels).unwrap();
        let (pool, consumer) = Pool::builder()
            .slots(self.slots)
            .ring_bytes(self.ring_bytes)
            .build()
            .unwrap();
        let settings = Settings {
            first_block: self.first_block,
            format,
            block_samples: self.block_samples,
            limiting: self.limiting,
        };
        Rig {
            pool,
            mixer: Mixer::new(settings, consumer),
            settings,
            delay_ticks: self.delay_ticks,
            next_tick: Arc::new(self.first_block.into()),
            egress: None,
            format,
            accounts: Vec::new(),
            output: Vec::new(),
            made: 0,
            clipped: 0,
        }
    }
}

/// A pool, its mixer, and all that came out so far.
pub struct Rig {
    pub pool: Pool,
    pub mixer: Mixer,
    pub settings: Settings,
    /// The playout delay of its streams.
    delay_ticks: u64,
    next_tick: Arc<AtomicU64>,
    /// Set once a test listens.
    pub egress: Option<Egress>,
    pub format: Format,
    pub accounts: Vec<Arc<Account>>,
    pub output: Vec<i16>,
    /// How many of them came in blocks.
    made: usize,
    pub clipped: usize,
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
        // The mix, and of each stream an output and monitors.
        let rings = 1 + 4 * self.pool.slots();
        let (egress, tap) = Egress::new(rings, self.format.channels());
        self.mixer.apply(Command::Tap(tap));
        self.egress = Some(egress);
    }

    /// An admitted stream with an output, and that output's number. The rig listens.
    pub fn participant(&mut self, gain: Gain) -> (TestStream, usize) {
        let sender = self.unadmitted();
        let (line, output) = self.egress.as_mut().expect("the rig listens").line();
        let new = sender.input().gain(gain).output(output, &self.settings);
        self.mixer.apply(Command::Admit(new));
        (sender, line)
    }

    /// From the next tick on this stream is monitored; the line's number. The rig listens.
    pub fn monitor(&mut self, stream: LeaseId, kind: MonitorKind) -> usize {
        let (line, producer) = self.egress.as_mut().expect("the rig listens").line();
        let monitor = match kind {
            MonitorKind::Alone => Monitor::alone(producer, &self.settings),
            MonitorKind::Without => Monitor::without(producer, &self.settings),
        };
        assert_eq!(monitor.kind(), kind);
        self.mixer.apply(Command::Monitor(stream, monitor));
        line
    }

    /// The frames of this line.
    pub fn line(&self, line: usize) -> &Line {
        self.egress.as_ref().expect("the rig listens").get(line)
    }

    /// A stream without its admission command.
    pub fn unadmitted(&mut self) -> TestStream {
        let account = Arc::new(Account::new(format!("stream-{}", self.accounts.len())));
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
        self.send_outputs();
        self.check_ledger();
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

    /// Sends the last tick's blocks; the listening lines take them.
    pub fn send_outputs(&mut self) {
        self.mixer.send_outputs();
        self.egress.iter_mut().for_each(Egress::take);
    }

    /// The limiter's last samples: no tick follows.
    pub fn flush(&mut self) {
        self.mixer.collect();
        self.check_ledger();
        let rest = take(self.mixer.flush(), &mut self.clipped);
        if self.settings.limiting == Limiting::Limiter {
            self.output.extend_from_slice(&rest);
        } else {
            self.check_delayed(&rest);
            assert_eq!(self.made, self.output.len(), "as many samples as ticks");
        }
        self.send_outputs();
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

fn take(block: Block<'_>, clipped: &mut usize) -> Vec<i16> {
    *clipped += block.clipped;
    block.samples.to_vec()
}

/// The equation, term by term, not by the library's own sum.
pub fn balance(id: &str, entry: &Entry) {
    let dropped = entry.dropped_full + entry.dropped_late + entry.discarded;
    let accounted = entry.mixed + entry.muted + dropped + entry.in_ring;
    assert_eq!(entry.offered, accounted, "{id} does not balance: {entry:?}");
}

/// The sending end of one stream, that can do everything wrong.
pub struct TestStream {
    pub producer: Producer,
    pub account: Arc<Account>,
    channels: usize,
    delay: u64,
    next_tick: Arc<AtomicU64>,
    /// Where the next block that is [said](Self::say) begins.
    next: Option<u64>,
}

impl TestStream {
    pub fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    fn input(&self) -> NewInput {
        NewInput::new(self.lease(), Arc::clone(&self.account))
    }

    pub fn entry(&self) -> Entry {
        self.account.read()
    }

    /// Where the next block begins: at first, a delay after the next tick.
    pub fn next(&mut self) -> u64 {
        *self.next.get_or_insert_with(|| {
            self.account.begin_segment();
            self.next_tick.load(Ordering::Relaxed) * BLOCK as u64 + self.delay
        })
    }

    /// Sends the samples as the next blocks in order, the last of them short if they do not fill it; false if the
    /// ring refused any.
    pub fn say(&mut self, samples: &[i16]) -> bool {
        let mut published = true;
        for block in samples.chunks(BLOCK * self.channels) {
            let next = self.next();
            published &= self.place(next, block);
            self.skip(1);
        }
        published
    }

    /// [`say`](Self::say), and the ring takes them all.
    pub fn say_all(&mut self, samples: &[i16]) {
        assert!(self.say(samples), "the ring is full");
    }

    /// The next blocks never come: their time passes.
    pub fn skip(&mut self, blocks: u64) {
        self.next = Some(self.next() + blocks * BLOCK as u64);
    }

    /// Sends the last block again.
    pub fn repeat(&mut self, samples: &[i16]) -> bool {
        let next = self.next();
        self.place(next - BLOCK as u64, samples)
    }

    /// Sends samples to this place in the mix.
    pub fn place(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(self.given(first, samples), samples, 0)
    }

    /// The same after a pause.
    pub fn place_after_pause(&mut self, first: u64, samples: &[i16]) -> bool {
        let header = FrameHeader {
            after_pause: true,
            ..self.given(first, samples)
        };
        self.send(header, samples, 0)
    }

    /// Sends samples of which none is the sender's.
    pub fn conceal(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(FrameHeader::new(first, 0), samples, 0)
    }

    /// [`place`](Self::place), with a bit of the last sample flipped after the frame was sealed.
    pub fn place_damaged(&mut self, first: u64, samples: &[i16]) -> bool {
        self.send(self.given(first, samples), samples, 0x10)
    }

    fn given(&self, first: u64, samples: &[i16]) -> FrameHeader {
        FrameHeader::new(first, samples.len() / self.channels)
    }

    /// Sends any frame at all, with these bits of its last byte flipped; false if the ring is full.
    pub fn send(&mut self, header: FrameHeader, samples: &[i16], flip: u8) -> bool {
        let bytes = frame_bytes(samples.len());
        let given = u64::from(header.given) * self.channels as u64;
        self.account.offer(given);
        if !self.producer.has_room(bytes) {
            self.producer.count_drop(bytes);
            self.account.settle_dropped(given);
            self.account.miss(given);
            return false;
        }
        self.account.fill(samples.len() as u64 - given);
        self.producer
            .publish_with(bytes, |message| {
                let mut frame = FrameMut::new(message).unwrap();
                frame.samples_mut().copy_from_slice(samples);
                frame.seal(header);
                message[bytes - 1] ^= flip;
            })
            .unwrap();
        self.account.settle();
        true
    }

    /// Nothing more will come. The account stays.
    pub fn close(self) -> Arc<Account> {
        self.producer.close();
        self.account
    }
}
