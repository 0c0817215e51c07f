//! The packets of a mix, without a socket or a clock.

use crate::{
    audio::{Converter, Encoder, Encoding, Format},
    wire::{
        payload::AudioPayload,
        rtcp::{Report, SenderInfo, write_bye, write_sender_report},
        rtp::Packet,
    },
};

/// Most bytes of samples in a packet: with its headers it fits an Ethernet frame, also through a tunnel.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// So many of the packets that were sent last are known by their numbers: a minute of 20 ms.
const RECENT_PACKETS: u16 = 3000;

/// The random start values of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) name: [u32; 3],
}

impl Chance {
    pub(crate) fn draw() -> Self {
        let (ssrc, sequence, timestamp, name) = rand::random();
        Self {
            ssrc,
            sequence,
            timestamp,
            name,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Packets {
    payload: AudioPayload,
    payload_type: u8,
    ssrc: u32,
    cname: String,
    /// The next packet's number.
    sequence: u16,
    /// The time stamp of the mix's first sample.
    timestamp: u32,
    mix: Format,
    /// Samples per channel of a block of the mix.
    block: usize,
    /// Index in the mix of the sample that comes next, per channel.
    next: u64,
    begun: bool,
    /// The next packet is the first after a silence.
    marks: bool,
    /// Packets and payload bytes that were sent, as reports say them.
    sent: (u32, u32),
    /// Of the samples that are encoded.
    format: Format,
    converter: Option<Converter>,
    encoder: Box<dyn Encoder>,
    /// Samples per channel of a packet, and whether each must have so many.
    part: usize,
    fixed: bool,
    /// Samples for the next packet, and the index of the first from the mix's first on, per channel.
    waiting: Vec<i16>,
    index: u64,
    /// Room for a block, a payload, and a packet.
    floats: Vec<f32>,
    encoded: Vec<u8>,
    out: Vec<u8>,
}

impl Packets {
    pub(crate) fn new(
        payload: AudioPayload,
        payload_type: u8,
        mix: Format,
        block: usize,
        chance: Chance,
    ) -> Self {
        let [a, b, c] = chance.name;
        let format = payload.samples(mix);
        let fixed = payload.codec.packet_samples(format);
        let part = fixed.unwrap_or_else(|| {
            let bytes = payload
                .codec
                .stateless()
                .map_or(0, Encoding::bytes_per_sample);
            let bytes = block * bytes * usize::from(format.channels());
            let parts = bytes.div_ceil(PAYLOAD_BYTES_MAX);
            block.div_ceil(parts.max(1)).max(1)
        });
        let converter = (format != mix).then(|| {
            Converter::new(mix.rate_hz(), mix.channels(), format)
                .expect("a mix has a rate and channels that convert")
        });
        Self {
            payload,
            payload_type,
            ssrc: chance.ssrc,
            cname: format!("mixpool-{a:08x}{b:08x}{c:08x}"),
            sequence: chance.sequence,
            timestamp: chance.timestamp,
            mix,
            block,
            next: 0,
            begun: false,
            marks: true,
            sent: (0, 0),
            format,
            converter,
            encoder: payload.codec.encoder(format),
            part,
            fixed: fixed.is_some(),
            waiting: Vec::new(),
            index: 0,
            floats: Vec::new(),
            encoded: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// With this name in its reports, of 255 bytes at most.
    pub(crate) fn named(mut self, cname: &str) -> Self {
        cname.clone_into(&mut self.cname);
        self
    }

    /// The payload of its packets, and their type.
    pub(crate) fn payload(&self) -> (u8, AudioPayload) {
        (self.payload_type, self.payload)
    }

    /// How long a packet is.
    pub(crate) fn packet_ns(&self) -> u64 {
        self.part as u64 * 1_000_000_000 / u64::from(self.format.rate_hz())
    }

    /// Whether this number was one of its last packets.
    pub(crate) fn has_sent(&self, number: u16) -> bool {
        let before = self.sequence.wrapping_sub(number);
        self.begun && (1..=RECENT_PACKETS).contains(&before)
    }

    /// Packets that left, as reports count them.
    pub(crate) fn sent_packets(&self) -> u32 {
        self.sent.0
    }

    /// The next packet is the first after a silence.
    pub(crate) fn mark(&mut self) {
        self.marks = true;
    }

    /// Packets hold this from the next on; source, numbers and time stamps go on. Samples that wait for a whole packet are
    /// left out. Allocates.
    pub(crate) fn switch(&mut self, payload: AudioPayload, payload_type: u8) {
        let waiting = (self.waiting.len() / usize::from(self.format.channels())) as u64;
        let end = self.index.wrapping_add(waiting);
        let time = self.payload.time_of(end, self.format) as u32;
        let chance = Chance {
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: 0,
            name: [0; 3],
        };
        let mut switched = Self::new(payload, payload_type, self.mix, self.block, chance);
        switched.next = self.next;
        switched.index = switched.here(self.next);
        let base = payload.time_of(switched.index, switched.format) as u32;
        switched.timestamp = self.timestamp.wrapping_add(time).wrapping_sub(base);
        (switched.begun, switched.sent) = (self.begun, self.sent);
        switched.cname = std::mem::take(&mut self.cname);
        *self = switched;
    }

    /// Another source goes on with its numbers: this one's is taken. Its reports count from zero.
    pub(crate) fn change_ssrc(&mut self, ssrc: u32) {
        (self.ssrc, self.sent) = (ssrc, (0, 0));
    }

    /// Passes the packets of a block to `send`, each with its count of payload bytes: one, or as many of
    /// one length as it takes to keep them below 1500 bytes; where the codec's packets are all of one length, those that
    /// are full. `send` says whether it left.
    ///
    /// A limiter's delay makes the first block short: silence before it makes it whole, so that all
    /// packets are of one length.
    pub(crate) fn block(
        &mut self,
        at: u64,
        contributors: &[u32],
        samples: &[i16],
        mut send: impl FnMut(&[u8], usize) -> bool,
    ) {
        let channels = usize::from(self.mix.channels());
        let is_first = self.next == 0 && !samples.is_empty();
        let missing = at.saturating_sub(self.next);
        self.next = at + (samples.len() / channels) as u64;
        if is_first {
            let lacking = self.block.saturating_sub(samples.len() / channels);
            self.index = self.here(at).wrapping_sub(self.here(lacking as u64));
            self.take(&vec![0; lacking * channels]);
        } else {
            self.pass(self.here(missing), &mut send);
        }
        self.take(samples);
        self.send_waiting(contributors, &mut send);
    }

    /// The rest as a last packet.
    pub(crate) fn finish(&mut self, mut send: impl FnMut(&[u8], usize) -> bool) {
        if let Some(converter) = &mut self.converter {
            converter.finish();
        }
        self.pull();
        if self.fixed && !self.waiting.is_empty() {
            let packet = self.part * usize::from(self.format.channels());
            let whole = self.waiting.len().next_multiple_of(packet);
            self.waiting.resize(whole, 0);
        }
        self.send_waiting(&[], &mut send);
    }

    /// A time of the mix, in samples as they are encoded.
    fn here(&self, samples: u64) -> u64 {
        let (rate, mix) = (self.format.rate_hz(), self.mix.rate_hz());
        (u128::from(samples) * u128::from(rate) / u128::from(mix)) as u64
    }

    /// Samples of the mix become such as are encoded, behind those that wait.
    fn take(&mut self, samples: &[i16]) {
        let Some(converter) = &mut self.converter else {
            self.waiting.extend_from_slice(samples);
            return;
        };
        let floats = samples.iter().map(|&sample| f32::from(sample) / 32_768.0);
        self.floats.clear();
        self.floats.extend(floats);
        converter.push(&self.floats);
        self.pull();
    }

    fn pull(&mut self) {
        if let Some(converter) = &mut self.converter {
            let start = self.waiting.len();
            self.waiting.resize(start + converter.buffered(), 0);
            converter.pull(&mut self.waiting[start..]);
        }
    }

    /// So many samples never came: silence completes the packet that was begun, and the time stamps skip the rest.
    fn pass(&mut self, missing: u64, send: &mut impl FnMut(&[u8], usize) -> bool) {
        let channels = usize::from(self.format.channels());
        let waiting = self.waiting.len() / channels;
        let silent = (waiting.next_multiple_of(self.part) - waiting).min(missing as usize);
        self.waiting.resize((waiting + silent) * channels, 0);
        if missing > 0 {
            self.send_waiting(&[], send);
        }
        self.index = self.index.wrapping_add(missing - silent as u64);
    }

    /// Sends what is a packet.
    fn send_waiting(&mut self, contributors: &[u32], send: &mut impl FnMut(&[u8], usize) -> bool) {
        let channels = usize::from(self.format.channels());
        let part = self.part * channels;
        let mut waiting = std::mem::take(&mut self.waiting);
        let rest = if self.fixed { waiting.len() % part } else { 0 };
        let ready = waiting.len() - rest;
        for samples in waiting[..ready].chunks(part) {
            self.packet(contributors, samples, send);
            self.index = self.index.wrapping_add((samples.len() / channels) as u64);
        }
        waiting.drain(..ready);
        self.waiting = waiting;
    }

    fn packet(
        &mut self,
        contributors: &[u32],
        samples: &[i16],
        send: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        self.encoded.clear();
        self.encoder.encode(samples, &mut self.encoded);
        let time = self.payload.time_of(self.index, self.format);
        let packet = Packet {
            marker: self.marks,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp.wrapping_add(time as u32),
            ssrc: self.ssrc,
            payload: &self.encoded,
        };
        self.out.clear();
        packet.write(contributors, &mut self.out);
        (self.begun, self.marks) = (true, false);
        self.sequence = self.sequence.wrapping_add(1);
        if send(&self.out, self.encoded.len()) {
            let (packets, bytes) = self.sent;
            let bytes = bytes.wrapping_add(self.encoded.len() as u32);
            self.sent = (packets.wrapping_add(1), bytes);
        }
    }

    /// The report that says what was sent up to now, which is `ntp`, and what was received; the last one with a goodbye.
    pub(crate) fn report(&mut self, ntp: u64, received: &[Report], goodbye: bool) -> &[u8] {
        let time = self.payload.time_of(self.next, self.mix);
        let sender = SenderInfo {
            ssrc: self.ssrc,
            ntp,
            // The sample that comes next is the present.
            timestamp: self.timestamp.wrapping_add(time as u32),
            packets: self.sent.0,
            bytes: self.sent.1,
        };
        self.out.clear();
        write_sender_report(&sender, received, &self.cname, &mut self.out);
        if goodbye {
            write_bye(self.ssrc, "", &mut self.out);
        }
        &self.out
    }
}
