//! All streams of one socket: their admission, and their reports.
//!
//! Passive: its owner reads the sockets, says when a tick is near, and sends the reports. No datagram of
//! a live stream allocates or locks, but where the stream changes what it sends; a stranger's does,
//! within bounds.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

mod control;
mod overload;
mod refusal;

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    Key, Outgoing, Settings, Shared, Via,
    ended_sources::EndedSources,
    probation::{Held, Probation},
    reports::Reporter,
    socket::{BATCH, Datagram},
    stream::RtpStream,
    table::{Kin, Slot, Succession, Table},
};
use crate::{
    audio::MixClock,
    ledger::{Listener, Malformed, Refusal, SourceKind},
    net::{
        Admission, StreamRequest, Tuning, overload::Overload, quota::Quota, sequence::MAX_MISORDER,
    },
    queue::prefetch_to_write,
    wire::{
        rtcp::{self, Compound},
        rtp::{Packet, RtpError},
    },
};

/// Streams that were refused and are remembered, so that each is counted and logged once.
const TURNED_AWAY_MAX: usize = 4096;

/// How often a stream that was refused is asked in again.
const RETRY_NS: u64 = 1_000_000_000;

/// A stream that was refused and is silent for so long is forgotten.
const TURNED_AWAY_MEMORY_NS: u64 = 10_000_000_000;

/// Sources that said goodbye and are remembered: packets that it overtook are no new stream.
const GONE_MAX: usize = 4096;

/// For how long they are.
const GONE_MEMORY_NS: u64 = 2_000_000_000;

/// Each of the three steps of asking for a stream's memory is so many streams ahead of the next.
const TICKS_AHEAD: usize = 2;

/// A stream that is shed is visited at each tick of so many.
const SHED_VISIT_TICKS: u64 = 16;

/// How often the tables are swept.
const SWEEP_NS: u64 = 1_000_000_000;

/// The streams of one socket.
pub struct Receiver {
    shared: Shared,
    admission: Arc<dyn Admission>,
    quota: Quota,
    table: Table,
    probation: Probation,
    turned_away: HashMap<Key, TurnedAway>,
    gone: HashMap<Key, Gone>,
    ended_sources: EndedSources,
    overload: Overload,
    reporter: Reporter,
    /// Datagrams of packets taken so far.
    count: u64,
    swept_ns: u64,
}

struct Gone {
    /// How long it is remembered.
    until_ns: u64,
    /// The number furthest ahead.
    highest: u16,
}

struct TurnedAway {
    why: Refusal,
    last_ns: u64,
    retry_ns: u64,
}

impl Receiver {
    /// A receiver without streams. `seed` decides its own number and the times of its reports. Receivers
    /// of one listener share its quota.
    pub fn new(
        settings: Settings,
        clock: MixClock,
        admission: Arc<dyn Admission>,
        listener: Arc<Listener>,
        quota: Quota,
        seed: u64,
    ) -> Self {
        let reporter = Reporter::new(
            settings.cname.clone(),
            Xoshiro256PlusPlus::seed_from_u64(seed),
        );
        Self {
            shared: Shared::new(settings, clock, listener),
            admission,
            quota,
            table: Table::default(),
            probation: Probation::default(),
            turned_away: HashMap::new(),
            gone: HashMap::new(),
            ended_sources: EndedSources::default(),
            overload: Overload::default(),
            reporter,
            count: 0,
            swept_ns: 0,
        }
    }

    /// Streams at present.
    pub fn streams(&self) -> usize {
        self.table.len()
    }

    /// Takes other limits from now on, and has new streams played otherwise.
    pub(crate) fn retune(&mut self, tuning: Tuning) {
        let Tuning { limits, playout } = tuning;
        self.quota.set_max(limits.streams_per_source);
        let settings = &mut self.shared.settings;
        (settings.limits, settings.playout) = (limits, playout);
    }

    /// Sources on probation.
    pub fn strangers(&self) -> usize {
        self.probation.len()
    }

    /// Asks for the memory of the streams that these datagrams are of: it is on its way while the first are taken.
    pub(super) fn prefetch(&mut self, datagrams: &[Datagram<'_>]) {
        let mut slots = [None; BATCH];
        for (datagram, slot) in datagrams.iter().zip(&mut slots) {
            if let Ok(Packet { ssrc, .. }) = Packet::parse(datagram.bytes) {
                let from = canonical(datagram.from);
                *slot = self.table.find(Key { from, ssrc });
            }
            if let Some(stream) = slot.and_then(|slot| self.table.slots[slot].playing()) {
                prefetch_to_write(stream);
            }
        }
        for step in [RtpStream::prefetch, RtpStream::prefetch_packet] {
            for slot in slots.into_iter().flatten() {
                self.table.slots[slot]
                    .playing()
                    .inspect(|stream| step(stream));
            }
        }
    }

    /// A datagram of the main port: a packet, or a report (RFC 5761).
    pub fn datagram(&mut self, bytes: &[u8], from: SocketAddr, now_ns: u64) {
        let from = canonical(from);
        if rtcp::is_rtcp(bytes) {
            self.report(bytes, from, now_ns, Via::Rtp);
            return;
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.shared.malformed(kind(&error), from, now_ns, &error);
                return;
            }
        };
        self.count += 1;
        let key = Key {
            from,
            ssrc: packet.ssrc,
        };
        match self.table.find(key) {
            Some(slot) => self.packet(slot, &packet, now_ns, self.count),
            None => self.stranger(key, &packet, bytes, now_ns),
        }
    }

    /// A packet of the stream in this slot, the receiver's `count`-th.
    fn packet(&mut self, slot: usize, packet: &Packet<'_>, at_ns: u64, count: u64) {
        let place = &mut self.table.slots[slot];
        if place.is_shed || self.overload.is_too_old(at_ns) {
            let samples = self.shared.samples_in(packet).unwrap_or(0);
            place.leave_out(packet.sequence, samples, at_ns);
        } else if let Some(stream) = place.stream() {
            stream.packet(packet, at_ns, count, &mut self.shared);
        }
    }

    /// A datagram of the next port: a report, or nothing.
    pub fn control(&mut self, bytes: &[u8], from: SocketAddr, now_ns: u64) {
        self.report(bytes, canonical(from), now_ns, Via::Rtcp);
    }

    /// Takes a report that another receiver read, which counted it if it was malformed.
    pub(super) fn overheard(&mut self, bytes: &[u8], from: SocketAddr, now_ns: u64) {
        if let Ok(compound) = Compound::parse(bytes) {
            self.obey(compound, canonical(from), now_ns, Via::Rtcp);
        }
    }

    /// The account of packets that became no stream.
    pub fn account(&self) -> &Listener {
        &self.shared.listener
    }

    /// Places each stream's audio for this tick, ends those that are idle or ended by command, and sends the reports
    /// that are due. To be called once for each tick, in order, shortly before it is due. Allocates only where
    /// streams end.
    pub fn before_tick(&mut self, tick: u64, now_ns: u64, send: &mut dyn FnMut(Outgoing<'_>)) {
        self.shared.tick = Some(tick);
        let idle_ns = duration_ns(self.shared.settings.limits.idle_timeout);
        let mut done = Vec::new();
        for slot in 0..self.table.slots.len() {
            self.prefetch_tick(slot);
            if self.table.slots[slot].is_shed
                && !(tick + slot as u64).is_multiple_of(SHED_VISIT_TICKS)
            {
                continue;
            }
            let Some(stream) = self.table.slot(slot) else {
                continue;
            };
            if stream.is_ending() {
                stream.note("ended by command", now_ns);
                stream.close(&mut self.shared);
                self.ended_sources.add(stream.key, now_ns);
                done.push(slot);
                continue;
            }
            stream.before_tick(tick, &mut self.shared);
            if !stream.ending && now_ns.saturating_sub(stream.last_ns) > idle_ns {
                self.shared.listener.time_out();
                stream.note("idle", now_ns);
                stream.end();
            }
            if stream.is_done() {
                stream.close(&mut self.shared);
                if stream.said_bye && self.gone.len() < GONE_MAX {
                    let gone = Gone {
                        until_ns: now_ns + GONE_MEMORY_NS,
                        highest: stream.highest(),
                    };
                    self.gone.insert(stream.key, gone);
                }
                done.push(slot);
            }
        }
        for slot in done {
            self.table.remove(slot);
        }
        self.reporter.send_due(&mut self.table, now_ns, send);
        if now_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = now_ns;
            self.sweep(now_ns);
        }
    }

    /// Asks for the memory of the streams after this slot in steps, as each leads to the next.
    fn prefetch_tick(&mut self, slot: usize) {
        for (ahead, step) in [
            (3, prefetch_to_write as fn(&RtpStream)),
            (2, RtpStream::prefetch),
            (1, RtpStream::prefetch_tick),
        ] {
            let next = self.table.slots.get(slot + ahead * TICKS_AHEAD);
            next.and_then(Slot::playing).inspect(|stream| step(stream));
        }
    }

    /// Ends all streams: waiting packets play no more, and are accounted for. Notifies the senders.
    pub fn close(mut self, now_ns: u64, send: &mut dyn FnMut(Outgoing<'_>)) {
        self.reporter.send_bye(&mut self.table, now_ns, send);
        for (_, stream) in self.table.streams() {
            stream.close(&mut self.shared);
        }
        let held = self.probation.len() as u64;
        self.shared.listener.leave_out(held);
    }

    fn idle_ns(&self) -> u64 {
        duration_ns(self.shared.settings.limits.idle_timeout)
    }

    fn sweep(&mut self, now_ns: u64) {
        self.probation.forget_stale(now_ns);
        let forgotten = self.probation.take_forgotten();
        self.shared.listener.leave_out(forgotten);
        self.turned_away
            .retain(|_, away| now_ns.saturating_sub(away.last_ns) <= TURNED_AWAY_MEMORY_NS);
        self.gone.retain(|_, gone| gone.until_ns > now_ns);
        self.ended_sources.sweep(now_ns, self.idle_ns());
    }

    /// A packet of no live source.
    fn stranger(&mut self, key: Key, packet: &Packet<'_>, bytes: &[u8], now_ns: u64) {
        if !self.shared.settings.limits.allow(key.from.ip()) {
            self.shared.listener.refuse(Refusal::Network);
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
            // A packet of a type that is known, or that may prove one, is asked in at once.
            let known = away.why == Refusal::Payload
                && (self.shared.knows(packet.payload_type) || self.probation.holds(key));
            if now_ns < away.retry_ns && !known {
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
        let known = |packet: &Packet<'_>| self.shared.knows(packet.payload_type);
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
        let request = StreamRequest {
            id: format!("rtp-{}-{:08x}", key.from, key.ssrc),
            label: None,
            kind: SourceKind::Rtp,
            from: format!("rtp {}", key.from),
            gain: self.shared.settings.gain,
            source: key.ssrc,
            room: self.shared.settings.room.clone(),
            muted: false,
            mix_minus: None,
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
        }
        self.both(slot, (&first, held), (packet, now_ns));
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

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("listener", &self.shared.listener.name())
            .field("streams", &self.streams())
            .field("strangers", &self.strangers())
            .finish_non_exhaustive()
    }
}

/// An IPv4 address in IPv6 form is what it is.
fn canonical(from: SocketAddr) -> SocketAddr {
    match from.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, from.port()),
        IpAddr::V6(_) => from,
    }
}

fn kind(error: &RtpError) -> Malformed {
    match error {
        RtpError::TooShort { .. } => Malformed::TooShort,
        RtpError::Version { .. } => Malformed::Version,
        RtpError::Csrcs { .. } | RtpError::Extension { .. } => Malformed::Length,
        RtpError::Padding { .. } => Malformed::Padding,
    }
}

fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
