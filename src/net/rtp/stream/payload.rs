//! Packets of one stream by their payload: audio, keys, pauses, and types that are not decoded here.

use super::{RtpStream, Sound};
use crate::{
    ledger::{Malformed, Packet as Count},
    net::rtp::{
        Shared, advice, telephone,
        timing::{Jitter, Misfit, Timestamps},
    },
    playout::{Mark, Playout, Verdict},
    wire::{
        payload::{AudioPayload, Payload},
        rtp::Packet,
    },
};

impl RtpStream {
    /// Hands a packet on by its payload, and returns the judgement on it. `number` is its extended number.
    pub(super) fn deliver(
        &mut self,
        packet: &Packet<'_>,
        number: u64,
        at_ns: u64,
        shared: &mut Shared,
    ) -> Verdict {
        let own = self.expected.as_ref();
        let own = own.and_then(|expected| expected.sender.payloads.as_ref());
        let payloads = own.unwrap_or(&shared.settings.payloads);
        let payload = payloads.get(packet.payload_type);
        if let Payload::Audio(payload) = payload
            && !packet.payload.is_empty()
        {
            return self.audio(payload, packet, number, at_ns, shared);
        }
        let (verdict, in_order) = self.note_number(number);
        if verdict != Verdict::Taken {
            return verdict;
        }
        match payload {
            // Some keep a path open so (RFC 6263).
            Payload::Audio(_) => {}
            Payload::ComfortNoise => {
                self.count(Count::ComfortNoise);
                self.pause(packet, number);
            }
            Payload::TelephoneEvent => {
                self.count(Count::TelephoneEvent);
                if let Some(event) = self.presses.take(packet.timestamp, packet.payload) {
                    self.note(&telephone::name(event), at_ns);
                    // Audio stops meanwhile, mostly: that is no gap.
                    self.pause(packet, number);
                }
            }
            Payload::Unsupported => {
                self.count(Count::Unsupported);
                // The sender has no audio for here meanwhile, unless some is under way. The clock may be
                // another: it is not followed.
                if in_order {
                    self.pause(packet, 0);
                }
                self.warn_of_type(packet, at_ns, shared);
            }
        }
        verdict
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

    /// A packet without audio came: its number is not missing. Returns the judgement, and whether the one before it
    /// came.
    fn note_number(&mut self, number: u64) -> (Verdict, bool) {
        let sound = self.sound.as_mut();
        sound.map_or((Verdict::Taken, false), |sound| {
            sound.playout.note(number, &mut self.stream)
        })
    }

    /// The sender is silent from this packet on.
    fn pause(&mut self, packet: &Packet<'_>, number: u64) {
        let Some(sound) = &mut self.sound else {
            return;
        };
        let Some(timestamps) = &mut self.timestamps else {
            return;
        };
        let timestamp = timestamps.extend(packet.timestamp);
        if number > self.sequence.highest() && timestamps.ahead(packet.timestamp) > 0 {
            timestamps.follow(packet.timestamp);
        }
        let timestamp = sound.payload.samples_until(timestamp, sound.format);
        sound.playout.pause(timestamp, &mut self.stream);
    }

    fn audio(
        &mut self,
        payload: AudioPayload,
        packet: &Packet<'_>,
        number: u64,
        at_ns: u64,
        shared: &mut Shared,
    ) -> Verdict {
        let mix = shared.clock.format;
        let format = payload.samples(mix);
        let Ok(length) = payload.codec.samples(packet.payload, format) else {
            let sound = self.sound.as_mut();
            let verdict = sound.map_or(Verdict::Taken, |sound| {
                sound.playout.refuse(number, &mut self.stream)
            });
            if verdict == Verdict::Taken {
                self.count(Count::Malformed);
                self.report_malformed(at_ns, shared);
            }
            return verdict;
        };
        if !self.sounds_as(payload, shared) {
            self.count(Count::Unsupported);
            return Verdict::Taken;
        }
        let timestamps = self
            .timestamps
            .get_or_insert_with(|| Timestamps::new(packet.timestamp));
        let Some(sound) = &mut self.sound else {
            return Verdict::Taken;
        };
        let start = payload.samples_until(timestamps.extend(packet.timestamp), format);
        let judged = sound.playout.judge(
            Mark {
                number,
                start,
                end: start.wrapping_add(length as u64),
                at_ns,
            },
            &mut self.stream,
        );
        let verdict = judged.verdict();
        if verdict == Verdict::Duplicate {
            return verdict;
        }
        let stream = &mut self.stream;
        sound.playout.insert_payload(judged, packet.payload, stream);
        match verdict {
            Verdict::Held | Verdict::Stray => return verdict,
            Verdict::Taken if number < self.sequence.highest() => {}
            _ => timestamps.follow(packet.timestamp),
        }
        self.packet_ns = length as u64 * 1_000_000_000 / u64::from(format.rate_hz());
        self.packet_samples = mix.samples_as_long_as(length as u64, format.rate_hz());
        if let Some(path) = &mut self.return_path {
            path.heard_as((packet.payload_type, payload));
        }
        let jitter = self
            .jitter
            .get_or_insert_with(|| Jitter::new(payload.clock.rate_hz()));
        if let Verdict::Begins { .. } = verdict {
            jitter.restart();
        }
        jitter.take(packet.timestamp, at_ns);
        if payload.codec.stateless().is_some() {
            self.compare_steps(payload, packet, number, length as u32, at_ns);
        }
        verdict
    }

    /// Counts at the listener what failed in its decoder, and in the account.
    pub(super) fn report_undecodable(&mut self, shared: &mut Shared) {
        let sound = self.sound.as_mut();
        let undecodable = sound.map_or(0, |sound| sound.playout.take_undecodable());
        (0..undecodable).for_each(|_| self.report_malformed(self.last_ns, shared));
    }

    /// A payload came that its codec cannot have made. Its number stays missing.
    fn report_malformed(&self, at_ns: u64, shared: &mut Shared) {
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

    /// Makes sure that decoder and playout are those of this payload. Another clock or format is a new segment;
    /// another codec alone is none, as samples are samples. False if nothing can play it.
    fn sounds_as(&mut self, payload: AudioPayload, shared: &mut Shared) -> bool {
        let format = payload.samples(shared.clock.format);
        if let Some(sound) = &mut self.sound {
            let before = std::mem::replace(&mut sound.payload, payload);
            if (before.clock, sound.format) == (payload.clock, format) {
                if before.codec != payload.codec {
                    let stream = &mut self.stream;
                    sound.playout.set_codec(payload.codec, format, stream);
                }
                return true;
            }
            self.begin_segment();
            self.jitter = None;
            self.abandon(shared);
        }
        let settings = shared.settings.playout;
        let playout = Playout::new(settings, format.rate_hz(), format.channels(), shared.clock);
        self.sound = playout.ok().map(|mut playout| {
            // Blocks of the mix before it came are not its to place: its first packet may have been
            // held for long, to be proved.
            if let Some(tick) = shared.tick {
                playout.top_up(tick, &mut self.stream);
            }
            playout.set_codec(payload.codec, format, &mut self.stream);
            Sound {
                payload,
                format,
                playout,
            }
        });
        self.sound.is_some()
    }
}
