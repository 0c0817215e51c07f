//! Streams that are refused, and the log line that says why.

use super::{Key, Packet, RETRY_NS, Receiver, Refusal, TURNED_AWAY_MAX, TurnedAway};
use crate::{
    net::{admission::UnknownRoom, rtp::advice},
    wire::payload::static_name,
};

impl Receiver {
    /// Refuses a stream that two packets proved, this one the second: counted and logged once, however long
    /// it goes on, and asked in again later.
    pub(super) fn turn_away(&mut self, key: Key, why: Refusal, packet: &Packet<'_>, now_ns: u64) {
        self.shared.listener.leave_out(2);
        let away = TurnedAway {
            why,
            last_ns: now_ns,
            retry_ns: now_ns + RETRY_NS,
        };
        if let Some(known) = self.turned_away.get_mut(&key) {
            *known = away;
            return;
        }
        self.shared.listener.refuse(why);
        if self.turned_away.len() >= TURNED_AWAY_MAX {
            return;
        }
        self.turned_away.insert(key, away);
        if !self.shared.may_log(now_ns) {
            return;
        }
        let expected = self.expected(key, now_ns);
        let own = expected.as_ref().map(|expected| &expected.sender.room);
        let room = own.or(self.shared.settings.room.as_ref());
        let (listener, ssrc) = (self.shared.listener.name(), format!("{:08x}", key.ssrc));
        match why {
            Refusal::Payload => tracing::warn!(
                listener, from = %key.from, ssrc, payload_type = packet.payload_type,
                name = static_name(packet.payload_type),
                "stream refused: this payload type is not decoded here; {}", advice::undecoded(packet)
            ),
            Refusal::StreamsPerSource => tracing::warn!(
                listener, from = %key.from, ssrc,
                max = self.shared.settings.limits.streams_per_source,
                "stream refused: its address has as many streams as one may have; raise \
                 --streams-per-source if that is right"
            ),
            Refusal::Overloaded => tracing::warn!(
                listener, from = %key.from, ssrc,
                "stream refused: its thread has more streams than it holds; it is tried again"
            ),
            Refusal::UnknownRoom => tracing::warn!(
                listener, from = %key.from, ssrc,
                "stream refused: {}; it is tried again",
                UnknownRoom(room.map_or("", String::as_str))
            ),
            Refusal::RoomsMax => tracing::warn!(
                listener, from = %key.from, ssrc,
                "stream refused: all rooms are in use, and its own is not open; raise --rooms-max if they are to be \
                 more"
            ),
            Refusal::Unavailable => tracing::warn!(
                listener, from = %key.from, ssrc,
                "stream refused: the server ends, or its mixer has too many commands waiting; it is \
                 tried again"
            ),
            _ => tracing::warn!(
                listener, from = %key.from, ssrc,
                "stream refused: all rings are in use; raise --streams-max if they are to be more"
            ),
        }
    }
}
