//! Packets of one stream by their payload: audio, keys, pauses, and types that are not decoded here.

use super::{RtpStream, Sound};
use crate::{
    ledger::{Malformed, Packet as Count},
    net::rtp::{
        Shared, advice,
        sequence::Order,
        telephone,
        timing::{Jitter, Misfit, Timestamps},
    },
    playout::{Arrived, Playout, Time},
    wire::{
        payload::{AudioPayload, Payload},
        rtp::Packet,
    },
};

impl RtpStream {
    /// A packet that is new, with its extended number.
    pub(super) fn deliver(
        &mut self,
        packet: &Packet<'_>,
        order: Order,
        number: u64,
        at_ns: u64,
        shared: &mut Shared,
    ) {
        match shared.settings.payloads.get(packet.payload_type) {
            Payload::Audio(payload) => self.audio(payload, packet, order, number, at_ns, shared),
            Payload::ComfortNoise => {
                self.count(Count::ComfortNoise);
                self.note_number(number);
                self.pause(packet, order);
            }
            Payload::TelephoneEvent => {
                self.count(Count::TelephoneEvent);
                self.note_number(number);
                if let Some(event) = self.presses.take(packet.timestamp, packet.payload) {
                    self.note(&telephone::name(event), at_ns);
                    // Audio stops meanwhile, mostly: that is no gap.
                    self.pause(packet, order);
                }
            }
            Payload::Unsupported => {
                self.count(Count::Unsupported);
                // The sender has no audio for here meanwhile, unless some is under way. The clock may be
                // another: it is not followed.
                if self.note_number(number) {
                    self.pause(packet, Order::Behind);
                }
                self.warn_of_type(packet, at_ns, shared);
            }
        }
    }

    /// Logs once for each type that it is not decoded. An empty packet keeps a path open (RFC 6263).
    fn warn_of_type(&mut self, packet: &Packet<'_>, at_ns: u64, shared: &mut Shared) {
        let bit = 1 << packet.payload_type;
        if packet.payload.is_empty() || self.warned & bit != 0 || !shared.may_log(at_ns) {
            return;
        }
        self.warned |= bit;
        tracing::warn!(
            stream = self.id(),
            payload_type = packet.payload_type,
            "this payload type is not decoded here: its packets are counted and not heard; {}",
            advice::undecoded(packet)
        );
    }

    /// A packet without audio came: its number is not missing. Returns whether the one before it came.
    fn note_number(&mut self, number: u64) -> bool {
        self.sound
            .as_mut()
            .is_some_and(|sound| sound.playout.note(number))
    }

    /// The sender is silent from this packet on.
    fn pause(&mut self, packet: &Packet<'_>, order: Order) {
        let Some(sound) = &mut self.sound else {
            return;
        };
        let Some(timestamps) = &mut self.timestamps else {
            return;
        };
        let timestamp = timestamps.extend(packet.timestamp);
        if order != Order::Behind && timestamps.ahead(packet.timestamp) > 0 {
            timestamps.follow(packet.timestamp);
        }
        let timestamp = sound.payload.samples_until(timestamp, sound.format);
        sound.playout.pause(timestamp, &mut self.stream);
    }

    fn audio(
        &mut self,
        payload: AudioPayload,
        packet: &Packet<'_>,
        order: Order,
        number: u64,
        at_ns: u64,
        shared: &mut Shared,
    ) {
        if packet.payload.is_empty() {
            // Some keep a path open so (RFC 6263).
            self.note_number(number);
            return;
        }
        let mix = shared.clock.format;
        let format = payload.samples(mix);
        let Ok(samples) = payload.codec.samples(packet.payload, format) else {
            self.malformed(at_ns, shared);
            return;
        };
        if !self.sounds_as(payload, shared) {
            self.count(Count::Unsupported);
            self.note_number(number);
            return;
        }
        let Some(sound) = &mut self.sound else {
            return;
        };
        let decoded = ..samples * usize::from(format.channels());
        let out = &mut shared.scratch[decoded];
        if sound.decoder.decode(packet.payload, out).is_err() {
            self.malformed(at_ns, shared);
            return;
        }
        let timestamp = self.follow(packet.timestamp, order);
        if payload.codec.stateless().is_some() {
            self.compare_steps(payload, packet, number, samples as u32, at_ns);
        }
        let Some(sound) = &mut self.sound else {
            return;
        };
        self.packet_ns = samples as u64 * 1_000_000_000 / u64::from(format.rate_hz());
        self.packet_samples = mix.samples_as_long_as(samples as u64, format.rate_hz());
        let timestamp = payload.samples_until(timestamp, format);
        let samples = &shared.scratch[decoded];
        let arrived = Arrived {
            sequence: number,
            timestamp,
            samples,
            at_ns,
        };
        let time = sound.playout.push(arrived, &mut self.stream);
        let jitter = self
            .jitter
            .get_or_insert_with(|| Jitter::new(payload.clock.rate_hz()));
        match time {
            Time::GoesOn => {}
            Time::Begins => jitter.restart(),
            Time::Astray => return,
        }
        jitter.take(packet.timestamp, at_ns);
    }

    /// A payload that its codec cannot have made. Its number stays missing.
    fn malformed(&mut self, at_ns: u64, shared: &mut Shared) {
        self.count(Count::Malformed);
        shared.malformed(
            Malformed::Payload,
            self.key.from,
            at_ns,
            &"its payload is none of its codec's",
        );
    }

    /// Logs once if the time stamps say throughout that the packets are of another format.
    fn compare_steps(
        &mut self,
        payload: AudioPayload,
        packet: &Packet<'_>,
        number: u64,
        instants: u32,
        at_ns: u64,
    ) {
        let misfit = self.steps.take(number, packet.timestamp, instants, at_ns);
        let Some(Misfit { step, rate_hz }) = misfit else {
            return;
        };
        let (number, bytes) = (packet.payload_type, packet.payload.len());
        let meant = advice::format(number, payload, bytes, step, rate_hz);
        tracing::warn!(
            stream = self.id(),
            payload_type = number,
            "payload type {number} is read as {payload}, and its packets do not fit: they hold {instants} \
             samples per channel, and their time stamps step by {step}; name the type with --rtp ADDR,{meant}"
        );
    }

    /// The packet's extended timestamp.
    fn follow(&mut self, timestamp: u32, order: Order) -> u64 {
        let timestamps = self
            .timestamps
            .get_or_insert_with(|| Timestamps::new(timestamp));
        if order == Order::Behind {
            timestamps.extend(timestamp)
        } else {
            timestamps.follow(timestamp)
        }
    }

    /// Makes sure that decoder and playout are those of this payload. Another clock or format is a new segment;
    /// another codec alone is none, as samples are samples. False if nothing can play it.
    fn sounds_as(&mut self, payload: AudioPayload, shared: &Shared) -> bool {
        let format = payload.samples(shared.clock.format);
        if let Some(sound) = &mut self.sound {
            let before = std::mem::replace(&mut sound.payload, payload);
            if (before.clock, sound.format) == (payload.clock, format) {
                if before.codec != payload.codec {
                    sound.decoder = payload.codec.decoder(format);
                }
                return true;
            }
            self.begin_segment();
            self.jitter = None;
            self.abandon();
        }
        let settings = shared.settings.playout;
        let playout = Playout::new(settings, format.rate_hz(), format.channels(), shared.clock);
        self.sound = playout.ok().map(|mut playout| {
            // Blocks of the mix before it came are not its to place: its first packet may have been
            // held for long, to be proved.
            if let Some(tick) = shared.tick {
                playout.top_up(tick, &mut self.stream);
            }
            Sound {
                payload,
                format,
                decoder: payload.codec.decoder(format),
                playout,
            }
        });
        self.sound.is_some()
    }
}
