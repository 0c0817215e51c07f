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
mod strangers;

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    Key, Outgoing, Settings, Shared, Via,
    ended_sources::EndedSources,
    probation::Probation,
    reports::Reporter,
    returns::Returns,
    socket::{BATCH, Datagram},
    stream::RtpStream,
    table::{Slot, Table},
};
use crate::{
    audio::MixClock,
    ledger::{Listener, Malformed, Refusal},
    net::{Admission, Tuning, overload::Overload, quota::Quota},
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
    pub(super) shared: Shared,
    admission: Arc<dyn Admission>,
    quota: Quota,
    pub(super) table: Table,
    probation: Probation,
    turned_away: HashMap<Key, TurnedAway>,
    gone: HashMap<Key, Gone>,
    ended_sources: EndedSources,
    overload: Overload,
    pub(super) reporter: Reporter,
    /// If the mix goes back.
    pub(super) returns: Option<Returns>,
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
            returns: None,
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
            if let (Some(returns), Some(stream)) = (&mut self.returns, self.table.slot(slot)) {
                returns.forget(stream.return_path.as_deref());
            }
            self.table.remove(slot);
        }
        self.send_goodbyes(send);
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
        for (_, stream) in self.table.streams() {
            if let Some(expected) = &stream.expected {
                expected.touch(now_ns);
            }
        }
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
pub(super) fn canonical(from: SocketAddr) -> SocketAddr {
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
