//! Packets of no live source: strangers, until two in sequence prove a stream.

use std::sync::Arc;

use super::{Gone, Key, Packet, Receiver};
use crate::{
    ledger::{Refusal, SourceKind},
    net::{
        Expected, StreamRequest,
        rtp::{
            probation::Held,
            returns::Returns,
            stream::RtpStream,
            table::{Kin, Succession},
        },
        sequence::MAX_MISORDER,
    },
    wire::payload::Payload,
};

impl Receiver {
    /// A packet of no live source.
    pub(super) fn stranger(&mut self, key: Key, packet: &Packet<'_>, bytes: &[u8], now_ns: u64) {
        if !self.shared.settings.limits.allow(key.from.ip()) && self.expected(key, now_ns).is_none()
        {
            self.shared.listener.refuse(Refusal::Network);
            return;
        }
        if self.is_echo(key.ssrc, packet.sequence) {
            return;
        }
        // A packet ahead of all before the goodbye shows that its sender goes on.
        let overtaken = |gone: &Gone| {
            now_ns < gone.until_ns && gone.highest.wrapping_sub(packet.sequence) < MAX_MISORDER
        };
        if self.gone.get(&key).is_some_and(overtaken) {
            self.shared.listener.leave_out(1);
            return;
        }
        let idle_ns = self.idle_ns();
        if self.ended_sources.refuses(key, now_ns, idle_ns) {
            self.shared.listener.refuse(Refusal::EndedByCommand);
            return;
        }
        match self.table.kin(key, packet.sequence) {
            Kin::Stranger => {}
            Kin::Straggler(slot) => {
                if let Some(stream) = self.table.slot(slot) {
                    stream.straggler(packet, &self.shared);
                }
                return;
            }
            Kin::Overtaken(slot) => {
                self.packet(slot, packet, now_ns, self.count);
                return;
            }
        }
        if let Some(away) = self.turned_away.get_mut(&key) {
            away.last_ns = now_ns;
            let (why, retry_ns) = (away.why, away.retry_ns);
            // A packet of a type that is known, or that may prove one, is asked in at once.
            let known = why == Refusal::Payload
                && (self.knows(key, packet.payload_type, now_ns) || self.probation.holds(key));
            if now_ns < retry_ns && !known {
                self.shared.listener.leave_out(1);
                return;
            }
        }
        let held = self.hold(key, packet, bytes, now_ns);
        if let Some(held) = held {
            self.proved(key, &held, packet, bytes, now_ns);
        }
    }

    /// Leaves it to the next packet whether a source succeeds another: what came too soon must not push a live
    /// one aside.
    fn wait(&mut self, key: Key, packet: &Packet<'_>, bytes: &[u8], now_ns: u64) {
        self.shared.listener.leave_out(1);
        self.hold(key, packet, bytes, now_ns);
    }

    /// Holds a stranger's packet. Returns the one before it if the two prove a source.
    fn hold(&mut self, key: Key, packet: &Packet<'_>, bytes: &[u8], now_ns: u64) -> Option<Held> {
        let number = packet.sequence;
        let held = self.probation.take(key, number, bytes, now_ns, self.count);
        let forgotten = self.probation.take_forgotten();
        self.shared.listener.leave_out(forgotten);
        held
    }

    /// A source that two packets in sequence have proved.
    fn proved(&mut self, key: Key, held: &Held, packet: &Packet<'_>, bytes: &[u8], now_ns: u64) {
        let Ok(first) = Packet::parse(&held.bytes) else {
            return;
        };
        self.reporter.avoid(key.ssrc);
        self.avoid_return_ssrc(key.ssrc);
        let known = |packet: &Packet<'_>| self.knows(key, packet.payload_type, now_ns);
        if !known(&first) && !known(packet) {
            self.turn_away(key, Refusal::Payload, packet, now_ns);
            return;
        }
        match self.table.moved(key, &first, held.count, now_ns) {
            Succession::Nobody => {}
            Succession::Of(slot) => {
                let schedule = || self.reporter.begin(now_ns);
                if let Some(stream) = self.table.relocate(slot, key.from, schedule) {
                    stream.note(&format!("moved to {}", key.from), now_ns);
                    self.both(slot, (&first, held), (packet, now_ns));
                }
                return;
            }
            Succession::Open => return self.wait(key, packet, bytes, now_ns),
        }
        match self.table.succession(key.from, held.count, now_ns) {
            Succession::Nobody => {}
            Succession::Of(slot) => {
                if let Some(stream) = self.table.succeed(slot, key.ssrc) {
                    stream.note(&format!("ssrc {:08x}", key.ssrc), now_ns);
                    stream.take_over(key.ssrc, first.sequence);
                    self.both(slot, (&first, held), (packet, now_ns));
                }
                return;
            }
            Succession::Open => return self.wait(key, packet, bytes, now_ns),
        }
        if self.overload.is_overloaded() {
            self.turn_away(key, Refusal::Overloaded, packet, now_ns);
            return;
        }
        let Some(share) = self.quota.take(key.from.ip()) else {
            self.turn_away(key, Refusal::StreamsPerSource, packet, now_ns);
            return;
        };
        let returns = self.returns.as_ref();
        let expected = self.expected(key, now_ns);
        let sender = expected.as_ref().map(|expected| &expected.sender);
        let returns = returns.filter(|_| match sender {
            Some(sender) => sender.returns,
            None => self.may_return(key.from.ip()),
        });
        let Ok(mix_minus) = returns.map(Returns::lease).transpose() else {
            self.turn_away(key, Refusal::Unavailable, packet, now_ns);
            return;
        };
        let feed = mix_minus.as_ref().map(|(_, ring, _)| ring.lease());
        let request = StreamRequest {
            id: format!("rtp-{}-{:08x}", key.from, key.ssrc),
            label: sender.and_then(|sender| sender.label.clone()),
            kind: SourceKind::Rtp,
            from: format!("rtp {}", key.from),
            gain: sender
                .and_then(|sender| sender.gain)
                .or(self.shared.settings.gain),
            source: key.ssrc,
            room: match sender {
                Some(sender) => Some(sender.room.clone()),
                None => self.shared.settings.room.clone(),
            },
            muted: sender.is_some_and(|sender| sender.muted),
            mix_minus,
        };
        let stream = match self.admission.admit(request) {
            Ok(stream) => stream,
            Err(refused) => {
                self.turn_away(key, refused.source.refusal(), packet, now_ns);
                return;
            }
        };
        self.turned_away.remove(&key);
        let stream = RtpStream::new(key, stream, share, first.sequence, held.at_ns, held.count);
        let slot = self.table.insert(stream, || self.reporter.begin(now_ns));
        if let Some(stream) = self.table.slot(slot) {
            tracing::debug!(stream = stream.id(), "stream admitted");
            if let (Some(feed), Some(returns)) = (feed, &mut self.returns) {
                let mut path = returns.open(slot, feed, key.ssrc, &self.shared.clock);
                path.to = expected
                    .as_ref()
                    .and_then(|expected| expected.sender.return_to);
                stream.return_path = Some(Box::new(path));
            }
            stream.expected = expected;
        }
        self.both(slot, (&first, held), (packet, now_ns));
    }

    /// The announcement of a sender. Takes a mutex.
    pub(super) fn expected(&self, key: Key, now_ns: u64) -> Option<Arc<Expected>> {
        let all = self.admission.expected()?;
        all.rtp(key.from, key.ssrc, now_ns)
    }

    /// Whether packets of this type have a meaning for a stranger.
    fn knows(&self, key: Key, payload_type: u8, now_ns: u64) -> bool {
        let expected = self.expected(key, now_ns);
        let payloads = expected
            .as_ref()
            .and_then(|one| one.sender.payloads.as_ref());
        let payloads = payloads.unwrap_or(&self.shared.settings.payloads);
        payloads.get(payload_type) != Payload::Unsupported
    }

    /// Both packets that proved the source of the stream in this slot.
    fn both(
        &mut self,
        slot: usize,
        (first, held): (&Packet<'_>, &Held),
        (second, now_ns): (&Packet<'_>, u64),
    ) {
        self.packet(slot, first, held.at_ns, held.count);
        self.packet(slot, second, now_ns, self.count);
    }
}
