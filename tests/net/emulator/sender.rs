//! One sender's packets, samples and times. Its packets are written here, apart from
//! the library's own writer.

use std::{net::SocketAddr, rc::Rc};

use super::{Coding, Dice, MS, PHONE, SECOND, coding::RAMP};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Audio,
    ComfortNoise,
    TelephoneEvent,
    /// Audio of a type that is not decoded here.
    Unsupported,
    /// Half a sample is missing.
    Odd,
    /// Nothing is in it.
    Empty,
}

/// A packet that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub from: SocketAddr,
    pub at_ns: u64,
    pub bytes: Vec<u8>,
    pub kind: Kind,
    /// How often the sender had restarted before it.
    pub segment: usize,
    /// Among the packets of its segment.
    pub number: u64,
    /// Of its first sample, on the sender's clock, which goes on over all segments.
    pub time: u64,
    /// Samples of its time, and, if it is audio, the samples.
    pub length: u64,
    pub samples: Vec<i16>,
    /// The path must not lose, double or delay it: the effect would be ambiguous.
    pub protected: bool,
}

/// A sender of mono. It sends noise that it remembers.
#[derive(Debug)]
pub struct Sender {
    pub from: SocketAddr,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub coding: Coding,
    pub rate_hz: u64,
    /// Samples of a packet, in turn.
    pub lengths: Vec<u64>,
    /// Packets that leave at once.
    pub burst: usize,
    /// How much faster its clock runs than the mix's.
    pub ppm: f64,
    pub start_ns: u64,
    /// Whether it is (nearly) silent.
    pub quiet: bool,
    sent: Vec<Sent>,
    dice: Dice,
    /// Samples that passed on its clock.
    time: u64,
    segment: usize,
    number: u64,
    marker: bool,
    protect: usize,
    /// Whether any packet is protected from now on.
    pub protects: bool,
}

impl Sender {
    /// A phone with numbers that begin anywhere. It sends PCMU, 20 ms a packet, from 100 ms to 120 ms after
    /// the mix began.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            from: PHONE.parse().unwrap(),
            ssrc: dice.word(),
            sequence: dice.word() as u16,
            timestamp: dice.word(),
            coding: Coding::MuLaw,
            rate_hz: 8000,
            lengths: vec![160],
            burst: 1,
            ppm: 0.0,
            start_ns: SECOND + 100 * MS + dice.up_to(20 * MS),
            quiet: false,
            sent: Vec::new(),
            dice,
            time: 0,
            segment: 0,
            number: 0,
            marker: true,
            protect: 0,
            protects: true,
        }
    }

    pub fn from(mut self, from: &str) -> Self {
        self.from = from.parse().unwrap();
        self
    }

    pub fn coding(mut self, coding: Coding) -> Self {
        self.coding = coding;
        self
    }

    /// 8 kHz if it is not said.
    pub fn rate(mut self, rate_hz: u64) -> Self {
        self.rate_hz = rate_hz;
        self
    }

    pub fn lengths(mut self, lengths: &[u64]) -> Self {
        self.lengths = lengths.to_vec();
        self
    }

    pub fn in_bursts_of(mut self, burst: usize) -> Self {
        self.burst = burst;
        self
    }

    pub fn skewed(mut self, ppm: f64) -> Self {
        self.ppm = ppm;
        self
    }

    /// The numbers wrap within the first packets.
    pub fn about_to_wrap(mut self) -> Self {
        self.sequence = u16::MAX - 5;
        self.timestamp = u32::MAX - 1000;
        self
    }

    /// So many packets of audio.
    pub fn talk(&mut self, packets: usize) -> &mut Self {
        for _ in 0..packets {
            let length = self.next_length();
            self.packet(Kind::Audio, length);
        }
        self
    }

    /// The same for about so long.
    pub fn talk_for(&mut self, ms: u64) -> &mut Self {
        self.talk_until(self.time * 1000 / self.rate_hz + ms)
    }

    /// The same until so much of its time has passed.
    pub fn talk_until(&mut self, ms: u64) -> &mut Self {
        while self.time < ms * self.rate_hz / 1000 {
            self.talk(1);
        }
        self
    }

    /// It sends nothing for so long, and numbers nothing. The packets beside are protected: if one were
    /// lost, the loss would look like the pause.
    pub fn pause(&mut self, ms: u64) -> &mut Self {
        self.protect_last(1);
        self.pass(ms * self.rate_hz / 1000);
        self.marker = true;
        self.protect = self.protect.max(1);
        self
    }

    /// It says that it is silent, and is for so long.
    pub fn comfort_noise(&mut self, ms: u64) -> &mut Self {
        self.protect_last(1);
        self.protect = self.protect.max(2);
        self.packet(Kind::ComfortNoise, 0);
        self.pass(ms * self.rate_hz / 1000);
        self.marker = true;
        self
    }

    /// A key is pressed for about so long, and reported as telephones do: all packets have the time of the
    /// beginning, the last comes thrice.
    pub fn press(&mut self, key: u8, ms: u64) -> &mut Self {
        self.protect_last(1);
        let packets = (ms / 20).max(1);
        for packet in 1..=packets {
            let [d0, d1] = ((packet * 160) as u16).to_be_bytes();
            let last = packet == packets;
            for _ in 0..if last { 3 } else { 1 } {
                self.protect = self.protect.max(2);
                let event = [key, if last { 0x8a } else { 0x0a }, d0, d1];
                self.timestamp = self.timestamp.wrapping_sub((packet * 160 - 160) as u32);
                self.send(Kind::TelephoneEvent, 101, 0, &event, Vec::new());
                self.timestamp = self.timestamp.wrapping_add((packet * 160 - 160) as u32);
            }
            self.pass(160);
        }
        self
    }

    /// A packet of another kind, in the place of one of audio. One that stands for silence is protected, and
    /// those beside it, as with [`comfort_noise`](Self::comfort_noise).
    pub fn instead(&mut self, kind: Kind) -> &mut Self {
        if kind == Kind::Unsupported {
            self.protect_last(1);
            self.protect = self.protect.max(2);
        }
        let length = match kind {
            Kind::Empty => 0,
            _ => self.next_length(),
        };
        self.packet(kind, length);
        self
    }

    /// It restarts with other numbers, after a while.
    pub fn restart(&mut self, after_ms: u64) -> &mut Self {
        self.begin_segment(after_ms);
        // Far from those before.
        let far = 5000 + self.dice.up_to(50_000) as u16;
        self.sequence = self.sequence.wrapping_add(far);
        self
    }

    /// It restarts with numbers that it had not long ago, after a while.
    pub fn restart_near(&mut self, after_ms: u64, back: u16) -> &mut Self {
        self.begin_segment(after_ms);
        self.sequence = self.sequence.wrapping_sub(back);
        self
    }

    /// Its time stamps jump by so many samples; its numbers go on.
    pub fn jump(&mut self, samples: i32) -> &mut Self {
        let timestamp = self.timestamp;
        self.begin_segment(0);
        self.timestamp = timestamp.wrapping_add(samples as u32);
        self
    }

    /// It restarts as another source, after a while.
    pub fn change_source(&mut self, after_ms: u64) -> &mut Self {
        self.begin_segment(after_ms);
        self.ssrc = self.ssrc.wrapping_add(1 + self.dice.word() / 2);
        self.sequence = self.dice.word() as u16;
        self
    }

    fn begin_segment(&mut self, after_ms: u64) {
        self.protect_last(1);
        self.pass(after_ms * self.rate_hz / 1000);
        self.timestamp = self.dice.word();
        self.segment += 1;
        self.number = 0;
        self.marker = true;
        self.protect = self.protect.max(3);
    }

    /// Time passes.
    fn pass(&mut self, samples: u64) {
        self.time += samples;
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    /// The packets sent so far, in order. They are forgotten here.
    pub fn sent(&mut self) -> Vec<Rc<Sent>> {
        // A whole burst leaves with its last packet.
        for burst in self.sent.chunks_mut(self.burst) {
            let at_ns = burst.iter().map(|sent| sent.at_ns).max().unwrap_or(0);
            for sent in burst {
                sent.at_ns = at_ns;
            }
        }
        self.sent.drain(..).map(Rc::new).collect()
    }

    /// When it recorded this sample of a [`Coding::Ramp`], if it plays now.
    pub fn recorded_ns(&self, sample: i16, now_ns: u64) -> u64 {
        let passed = (now_ns - self.start_ns) as f64 * 1e-9 * self.rate_hz as f64;
        let passed = (passed * (1.0 + self.ppm / 1e6)) as u64;
        let since = (passed + RAMP - Coding::ramp_time(sample)) % RAMP;
        self.at_ns(passed.saturating_sub(since))
    }

    /// Its packets are protected from now on, for so many.
    pub fn protect(&mut self, packets: usize) -> &mut Self {
        self.protect = self.protect.max(packets);
        self
    }

    fn protect_last(&mut self, packets: usize) {
        let last = self.sent.iter_mut().rev().take(packets);
        let last = last.filter(|_| self.protects);
        last.for_each(|sent| sent.protected = true);
    }

    fn next_length(&mut self) -> u64 {
        self.lengths.rotate_left(1);
        self.lengths[self.lengths.len() - 1]
    }

    fn packet(&mut self, kind: Kind, length: u64) {
        let (mut payload, mut samples) = (Vec::new(), Vec::new());
        let mut payload_type = self.coding.payload_type(self.rate_hz);
        match kind {
            Kind::Audio => {
                for time in self.time..self.time + length {
                    let (dice, quiet) = (&mut self.dice, self.quiet);
                    let sample = self.coding.sample(time, dice, quiet, &mut payload);
                    samples.push(sample);
                }
            }
            Kind::ComfortNoise => (payload_type, payload) = (13, vec![40]),
            Kind::Unsupported => (payload_type, payload) = (3, self.dice.bytes(length as usize)),
            Kind::Odd => {
                assert_eq!(self.coding.bytes_per_sample(), 2, "a byte is whole");
                payload = self.dice.bytes(2 * length as usize - 1);
            }
            Kind::Empty => {}
            Kind::TelephoneEvent => unreachable!("it has its own shape"),
        }
        self.send(kind, payload_type, length, &payload, samples);
        self.pass(length);
    }

    fn send(
        &mut self,
        kind: Kind,
        payload_type: u8,
        length: u64,
        payload: &[u8],
        samples: Vec<i16>,
    ) {
        let marker = u8::from(std::mem::take(&mut self.marker)) << 7;
        let mut bytes = vec![0x80, marker | payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sent.push(Sent {
            from: self.from,
            at_ns: self.at_ns(self.time + length),
            bytes,
            kind,
            segment: self.segment,
            number: self.number,
            time: self.time,
            length,
            samples,
            protected: self.protect > 0 && self.protects,
        });
        self.protect = self.protect.saturating_sub(1);
        self.sequence = self.sequence.wrapping_add(1);
        self.number += 1;
    }

    /// When so many samples have passed on its clock.
    fn at_ns(&self, time: u64) -> u64 {
        let ns = time as f64 * 1e9 / (self.rate_hz as f64 * (1.0 + self.ppm / 1e6));
        self.start_ns + ns as u64
    }
}
