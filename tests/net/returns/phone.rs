//! A phone that talks and hears, and what it got.

use std::{net::SocketAddr, rc::Rc};

use mixpool::{
    audio::{Codec, Encoder, Encoding, Format},
    wire::{payload::AudioPayload, rtp::Packet},
};

use crate::{
    emulator::{Kind, Sent},
    network::Network,
    rig::{BLOCK, noise},
};

/// A phone on loopback. It sends 20 ms of noise a packet.
pub struct Phone {
    pub from: SocketAddr,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub encoding: Encoding,
    /// The encoder of a codec with state, and the samples of 20 ms.
    encoder: Option<(Box<dyn Encoder>, usize)>,
    /// Units of the time stamps in a packet.
    step: u32,
    packets: u64,
}

impl Phone {
    pub fn new(port: u16, payload_type: u8, encoding: Encoding) -> Self {
        Self {
            from: SocketAddr::from(([127, 0, 0, 1], port)),
            ssrc: u32::from(port) << 8 | 1,
            sequence: 65_530,
            timestamp: port.into(),
            payload_type,
            encoding,
            encoder: None,
            step: BLOCK as u32,
            packets: 0,
        }
    }

    pub fn of_codec(port: u16, payload_type: u8, codec: Codec) -> Self {
        let mut phone = Self::new(port, payload_type, Encoding::S16Be);
        phone.set_codec(payload_type, codec);
        phone
    }

    /// Goes on with another codec.
    pub fn set_codec(&mut self, payload_type: u8, codec: Codec) {
        let (payload, format) = formats(codec);
        self.payload_type = payload_type;
        self.encoder = codec
            .stateless()
            .is_none()
            .then(|| (codec.encoder(format), format.rate_hz() as usize / 50));
        self.encoding = codec.stateless().unwrap_or(Encoding::S16Be);
        self.step = payload.clock.rate_hz() / 50;
    }

    pub fn next(&mut self) -> Vec<u8> {
        let samples = self.encoder.as_ref().map_or(BLOCK, |(_, samples)| *samples);
        let noise = noise(self.packets ^ u64::from(self.ssrc), samples, 4000);
        let mut payload = Vec::new();
        if let Some((encoder, _)) = &mut self.encoder {
            encoder.encode(&noise, &mut payload);
        } else {
            payload.resize(noise.len() * self.encoding.bytes_per_sample(), 0);
            self.encoding.encode(&noise, &mut payload);
        }
        self.packets += 1;
        let mut bytes = Vec::new();
        Packet {
            marker: false,
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: &payload,
        }
        .write(&[], &mut bytes);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.step);
        bytes
    }

    /// So many packets' time passes without one.
    pub fn pause(&mut self, packets: u32) {
        self.timestamp = self.timestamp.wrapping_add(packets * self.step);
    }
}

/// The payload of a codec, and the format of its samples for a mix of 8 kHz.
fn formats(codec: Codec) -> (AudioPayload, Format) {
    let mix = Format::new(8_000, 1).unwrap();
    let clock = match codec {
        Codec::Opus => Format::new(48_000, 2).unwrap(),
        _ => mix,
    };
    let payload = AudioPayload { codec, clock };
    (payload, payload.samples(mix))
}

/// The packets that an address got.
pub struct Returned<'a> {
    to: SocketAddr,
    at_ns: Vec<u64>,
    bytes: Vec<&'a [u8]>,
    pub packets: Vec<Packet<'a>>,
}

impl<'a> Returned<'a> {
    pub fn to(network: &'a Network, to: SocketAddr) -> Self {
        let got = network
            .returned
            .iter()
            .filter(|(_, address, _)| *address == to);
        let (mut at_ns, mut all, mut packets) = (Vec::new(), Vec::new(), Vec::new());
        for (at, _, bytes) in got {
            at_ns.push(*at);
            all.push(&bytes[..]);
            packets.push(Packet::parse(bytes).unwrap());
        }
        Self {
            to,
            at_ns,
            bytes: all,
            packets,
        }
    }

    pub fn payload(&self) -> Vec<u8> {
        let payloads = self.packets.iter().map(|packet| packet.payload);
        payloads.collect::<Vec<_>>().concat()
    }

    pub fn ssrcs(&self) -> Vec<u32> {
        runs(self.packets.iter().map(|packet| packet.ssrc))
    }

    pub fn payload_types(&self) -> Vec<u8> {
        runs(self.packets.iter().map(|packet| packet.payload_type))
    }

    pub fn decoded(&self, codec: Codec) -> Vec<i16> {
        let (_, format) = formats(codec);
        let mut decoder = codec.decoder(format);
        let mut all = Vec::new();
        for packet in &self.packets {
            let samples = codec.samples(packet.payload, format).unwrap();
            let mut out = vec![0; samples];
            decoder.decode(packet.payload, &mut out).unwrap();
            all.extend(out);
        }
        all
    }

    /// For a path of the emulator.
    pub fn sent(&self) -> Vec<Rc<Sent>> {
        let all = self.bytes.iter().zip(&self.at_ns).zip(0..);
        all.map(|((bytes, &at_ns), number)| {
            Rc::new(Sent {
                from: self.to,
                at_ns,
                bytes: bytes.to_vec(),
                kind: Kind::Audio,
                segment: 0,
                number,
                time: 0,
                length: BLOCK as u64,
                samples: Vec::new(),
                // The first two prove a stream, and the last one has an end to be lost before.
                protected: number < 3 || number + 1 == self.packets.len() as u64,
            })
        })
        .collect()
    }
}

/// Equal neighbours as one.
fn runs<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut runs: Vec<T> = all.collect();
    runs.dedup();
    runs
}
