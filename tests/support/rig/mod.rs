//! A mixer driven by hand, so that a scenario reads as a sentence. No thread, no clock, no sleep:
//! time is the count of ticks, and after each tick every account must balance to the sample.

mod egress;
mod samples;

use std::sync::Arc;

use mixpool::{
    audio::{Format, FrameKind, FrameMut, Gain, frame::frame_bytes},
    ledger::{Account, Entry},
    mixer::{
        Block, ChannelStrip, Command, Limiting, Mixer, Monitor, MonitorKind, NewInput, Settings,
        Timing,
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
    pub rate_hz: u32,
    pub channels: u16,
    pub limiting: Limiting,
    pub delay_ticks: u64,
    pub slots: usize,
    pub ring_bytes: usize,
}

impl Setup {
    pub fn mono() -> Self {
        Self {
            rate_hz: 8000,
            channels: 1,
            limiting: Limiting::Saturate,
            delay_ticks: 0,
            slots: 8,
            ring_bytes: 1 << 16,
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
            format,
            block_samples: BLOCK,
            limiting: self.limiting,
        };
        Rig {
            pool,
            mixer: Mixer::new(settings, consumer),
            settings,
            delay_ticks: self.delay_ticks,
            egress: None,
            format,
            accounts: Vec::new(),
            output: Vec::new(),
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
    /// Set once a test listens.
    pub egress: Option<Egress>,
    pub format: Format,
    pub accounts: Vec<Arc<Account>>,
    pub output: Vec<i16>,
    pub clipped: usize,
}

impl Rig {
    /// A stream that is admitted at unity gain.
    pub fn stream(&mut self) -> TestStream {
        self.stream_at(Gain::UNITY)
    }

    /// A stream that is admitted on the mix's own clock.
    pub fn clocked(&mut self) -> TestStream {
        let sender = self.unadmitted();
        let new = NewInput::new(sender.lease(), Arc::clone(&sender.account));
        self.mixer.apply(Command::Admit(new.timing(Timing::Clock)));
        sender
    }

    /// An admitted stream, and its channel strip.
    pub fn channel_strip(&mut self) -> (TestStream, Arc<ChannelStrip>) {
        let sender = self.unadmitted();
        let new = self.input(&sender);
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
        let (line, output) = self.egress.as_mut().expect("somebody listens").line();
        let new = self
            .input(&sender)
            .gain(gain)
            .output(output, &self.settings);
        self.mixer.apply(Command::Admit(new));
        (sender, line)
    }

    /// From the next tick on this stream is monitored; the line's number. The rig listens.
    pub fn monitor(&mut self, stream: LeaseId, kind: MonitorKind) -> usize {
        let (line, producer) = self.egress.as_mut().expect("somebody listens").line();
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
        self.egress.as_ref().expect("somebody listens").get(line)
    }

    /// A stream without its admission command.
    pub fn unadmitted(&mut self) -> TestStream {
        let account = Arc::new(Account::new(format!("stream-{}", self.accounts.len())));
        self.accounts.push(Arc::clone(&account));
        TestStream {
            producer: self.pool.acquire().unwrap(),
            account,
            channels: u64::from(self.format.channels()),
            media_time: 0,
            sequence: 0,
        }
    }

    pub fn admit(&mut self, sender: &TestStream, gain: Gain) {
        let new = self.input(sender);
        self.mixer.apply(Command::Admit(new.gain(gain)));
    }

    fn input(&self, sender: &TestStream) -> NewInput {
        NewInput::new(sender.lease(), Arc::clone(&sender.account))
            .playout_delay_ticks(self.delay_ticks)
    }

    /// Runs one tick as a live server does, and checks the ledger. Returns the block.
    pub fn tick(&mut self) -> Vec<i16> {
        self.mixer.collect();
        let block = take(self.mixer.tick(), &mut self.clipped);
        self.after_tick(block)
    }

    /// Runs that many ticks; returns their blocks as one.
    pub fn ticks(&mut self, count: usize) -> Vec<i16> {
        (0..count).flat_map(|_| self.tick()).collect()
    }

    /// Runs one tick as an offline server does, if every stream has its window.
    pub fn try_tick(&mut self) -> Result<Vec<i16>, LeaseId> {
        self.mixer.collect();
        let block = take(self.mixer.try_tick()?, &mut self.clipped);
        Ok(self.after_tick(block))
    }

    fn after_tick(&mut self, block: Vec<i16>) -> Vec<i16> {
        self.send_outputs();
        self.output.extend_from_slice(&block);
        self.check_ledger();
        block
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
        self.output.extend_from_slice(&rest);
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
    channels: u64,
    /// Of the next frame that is sent in order.
    pub media_time: u64,
    pub sequence: u32,
}

impl TestStream {
    pub fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    pub fn entry(&self) -> Entry {
        self.account.read()
    }

    /// Sends the next frame in order; false if the ring was full.
    pub fn say(&mut self, samples: &[i16]) -> bool {
        let published = self.send(self.media_time, self.sequence, samples);
        self.skip(samples.len());
        published
    }

    /// Sends the samples in frames of `len`, in order. The ring must take them all.
    pub fn say_in_frames(&mut self, samples: &[i16], len: usize) {
        for frame in samples.chunks(len) {
            assert!(self.say(frame), "the ring is full");
        }
    }

    /// The next frame, of `samples`, never comes: its number and its time pass.
    pub fn skip(&mut self, samples: usize) {
        self.media_time += samples as u64 / self.channels;
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Sends the last frame again.
    pub fn repeat(&mut self, samples: &[i16]) -> bool {
        let media_time = self.media_time - samples.len() as u64 / self.channels;
        self.send(media_time, self.sequence.wrapping_sub(1), samples)
    }

    /// Sends any frame at all.
    pub fn send(&mut self, media_time: u64, sequence: u32, samples: &[i16]) -> bool {
        self.send_damaged(media_time, sequence, samples, 0)
    }

    /// Sends the samples to this place in the mix, with the next number.
    pub fn place(&mut self, kind: FrameKind, at: u64, samples: &[i16]) -> bool {
        let published = self.send_as(kind, at, self.sequence, samples, 0);
        self.sequence = self.sequence.wrapping_add(1);
        published
    }

    /// As [`send`](Self::send), with bits of the last sample flipped after the frame was sealed.
    pub fn send_damaged(
        &mut self,
        media_time: u64,
        sequence: u32,
        samples: &[i16],
        flip: u8,
    ) -> bool {
        self.send_as(FrameKind::Audio, media_time, sequence, samples, flip)
    }

    /// As [`send_damaged`](Self::send_damaged), as one of either kind.
    pub fn send_as(
        &mut self,
        kind: FrameKind,
        media_time: u64,
        sequence: u32,
        samples: &[i16],
        flip: u8,
    ) -> bool {
        let bytes = frame_bytes(samples.len());
        match kind {
            FrameKind::Audio => self.account.offer(samples.len() as u64),
            // Concealment that a full ring refuses is in no count.
            FrameKind::Concealment if !self.producer.has_room(bytes) => return false,
            FrameKind::Concealment => self.account.fill(samples.len() as u64),
        }
        let sent = self.producer.publish_with(bytes, |message| {
            let mut frame = FrameMut::new(message).unwrap();
            frame.samples_mut().copy_from_slice(samples);
            frame.seal_as(kind, media_time, sequence);
            message[bytes - 1] ^= flip;
        });
        match sent {
            Ok(()) => self.account.settle(),
            Err(_) => self.account.settle_dropped(samples.len() as u64),
        }
        sent.is_ok()
    }

    /// Nothing more will come. The account stays.
    pub fn close(self) -> Arc<Account> {
        self.producer.close();
        self.account
    }
}
