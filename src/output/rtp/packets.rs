//! The packets of a mix, without a socket or a clock.

use crate::wire::{
    payload::AudioPayload,
    rtcp::{SenderInfo, write_bye, write_sender_report},
    rtp::Packet,
};

/// Most bytes of samples in a packet: with its headers it fits an Ethernet frame, also through a tunnel.
const PAYLOAD_BYTES_MAX: usize = 1400;

/// The random start values of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chance {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) name: [u32; 3],
}

impl Chance {
    pub(super) fn draw() -> Self {
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
pub(super) struct Packets {
    payload: AudioPayload,
    payload_type: u8,
    ssrc: u32,
    cname: String,
    /// The next packet's number.
    sequence: u16,
    /// The time stamp of the mix's first sample.
    timestamp: u32,
    /// Samples per channel of a block, and of a packet.
    block: usize,
    part: usize,
    /// Index in the mix of the sample that comes next, per channel.
    next: u64,
    begun: bool,
    /// Packets and payload bytes that were sent, as reports tell them.
    sent: (u32, u32),
    /// Room for the first block, for a payload, and for a packet.
    padded: Vec<i16>,
    encoded: Vec<u8>,
    out: Vec<u8>,
}

impl Packets {
    pub(super) fn new(
        payload: AudioPayload,
        payload_type: u8,
        block: usize,
        chance: Chance,
    ) -> Self {
        let [a, b, c] = chance.name;
        let parts = (block * payload.bytes_per_instant()).div_ceil(PAYLOAD_BYTES_MAX);
        Self {
            payload,
            payload_type,
            ssrc: chance.ssrc,
            cname: format!("mixpool-{a:08x}{b:08x}{c:08x}"),
            sequence: chance.sequence,
            timestamp: chance.timestamp,
            block,
            part: block.div_ceil(parts.max(1)).max(1),
            next: 0,
            begun: false,
            sent: (0, 0),
            padded: Vec::new(),
            encoded: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Passes the packets of a block to `send`, each with its count of payload bytes: one, or as many of
    /// one length as it takes to keep them below 1500 bytes. `send` says whether it left. Returns how
    /// many interleaved samples are missing before the block.
    ///
    /// A limiter's delay makes the first block short: silence before it makes it whole, so that all
    /// packets are of one length.
    pub(super) fn block(
        &mut self,
        at: u64,
        contributors: &[u32],
        samples: &[i16],
        mut send: impl FnMut(&[u8], usize) -> bool,
    ) -> u64 {
        let channels = usize::from(self.payload.channels);
        let missing = at.saturating_sub(self.next) * channels as u64;
        self.next = at + (samples.len() / channels) as u64;
        let mut timestamp = self.timestamp.wrapping_add(at as u32);
        let mut padded = std::mem::take(&mut self.padded);
        let lacking = (self.block * channels).saturating_sub(samples.len());
        let samples = if self.begun || samples.is_empty() || lacking == 0 {
            samples
        } else {
            padded.resize(lacking, 0);
            padded.extend_from_slice(samples);
            timestamp = timestamp.wrapping_sub((lacking / channels) as u32);
            &padded
        };
        for part in samples.chunks(self.part * channels) {
            self.packet(timestamp, contributors, part, &mut send);
            timestamp = timestamp.wrapping_add((part.len() / channels) as u32);
        }
        padded.clear();
        self.padded = padded;
        missing
    }

    fn packet(
        &mut self,
        timestamp: u32,
        contributors: &[u32],
        samples: &[i16],
        send: &mut impl FnMut(&[u8], usize) -> bool,
    ) {
        let encoding = self.payload.encoding;
        self.encoded
            .resize(encoding.bytes_per_sample() * samples.len(), 0);
        encoding.encode(samples, &mut self.encoded);
        let packet = Packet {
            marker: !self.begun,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload: &self.encoded,
        };
        self.out.clear();
        packet.write(contributors, &mut self.out);
        self.begun = true;
        self.sequence = self.sequence.wrapping_add(1);
        if send(&self.out, self.encoded.len()) {
            let (packets, bytes) = self.sent;
            let bytes = bytes.wrapping_add(self.encoded.len() as u32);
            self.sent = (packets.wrapping_add(1), bytes);
        }
    }

    /// The report that says what was sent up to now, which is `ntp`; the last one with a goodbye.
    pub(super) fn report(&mut self, ntp: u64, goodbye: bool) -> &[u8] {
        let sender = SenderInfo {
            ssrc: self.ssrc,
            ntp,
            // The sample that comes next is the present.
            timestamp: self.timestamp.wrapping_add(self.next as u32),
            packets: self.sent.0,
            bytes: self.sent.1,
        };
        self.out.clear();
        write_sender_report(&sender, &[], &self.cname, &mut self.out);
        if goodbye {
            write_bye(self.ssrc, "", &mut self.out);
        }
        &self.out
    }
}
