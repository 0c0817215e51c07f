//! The mix back to the senders of one receiver: the feeds of their mix-minuses, and the sources of what is sent.
//!
//! A sender gets nothing back but on loopback, from a network that is allowed by name, or if it was announced.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use rand::{RngExt, rngs::Xoshiro256PlusPlus};

use super::{Outgoing, Receiver, Via, stream::ReturnPath};
use crate::{
    audio::MixClock,
    output::{Delivery, FeedReader, ReaderId},
    queue::{AcquireError, LeaseId, Pool, Producer},
};

/// Goodbyes of sources that changed their number and wait to be sent, at most.
const GOODBYES_MAX: usize = 64;

/// The feeds and the sources of one receiver's ways back.
pub(super) struct Returns {
    reader: FeedReader,
    id: ReaderId,
    pool: Pool,
    rng: Xoshiro256PlusPlus,
    /// The slot of the stream that each source of ours goes back to.
    by_ssrc: HashMap<u32, usize>,
    /// Feeds so far: no two have the same key.
    feeds: u32,
    /// Sources that were given up, and where they were sent to.
    pub goodbyes: Vec<(SocketAddr, u32)>,
}

impl Returns {
    /// None if the reader has no rings of single feeds.
    pub(super) fn new(reader: FeedReader, id: ReaderId, rng: Xoshiro256PlusPlus) -> Option<Self> {
        let pool = reader.pool()?.clone();
        Some(Self {
            reader,
            id,
            pool,
            rng,
            by_ssrc: HashMap::new(),
            feeds: 0,
            goodbyes: Vec::new(),
        })
    }

    /// A ring for another feed. Takes the pool's mutex.
    pub(super) fn lease(&self) -> Result<(ReaderId, Producer, Pool), AcquireError> {
        Ok((self.id, self.pool.acquire()?, self.pool.clone()))
    }

    /// The way back to the stream in this slot, which sends as `theirs`; its feed comes in this ring.
    pub(super) fn open(
        &mut self,
        slot: usize,
        feed: LeaseId,
        theirs: u32,
        clock: &MixClock,
    ) -> ReturnPath {
        self.feeds = self.feeds.wrapping_add(1);
        let key = u64::from(self.feeds) << 32 | slot as u64;
        self.reader.own(feed, key);
        let ssrc = self.unused(theirs);
        self.by_ssrc.insert(ssrc, slot);
        ReturnPath::new(key, ssrc, clock.format, clock.block_samples)
    }

    /// A random number that no source of ours has, and not this one.
    fn unused(&mut self, theirs: u32) -> u32 {
        loop {
            let ssrc = self.rng.random();
            if ssrc != theirs && !self.by_ssrc.contains_key(&ssrc) {
                return ssrc;
            }
        }
    }

    /// The way back ends with its stream.
    pub(super) fn forget(&mut self, path: Option<&ReturnPath>) {
        if let Some(path) = path {
            self.by_ssrc.remove(&path.ssrc);
        }
    }
}

impl Receiver {
    /// Sends each sender its room's mix without itself: blocks come by this reader, which the mixer knows as `id`.
    /// `unix_ns` is the time since 1970 at which the clock of all other calls was 0, for reports.
    #[must_use]
    pub fn with_returns(mut self, reader: FeedReader, id: ReaderId, unix_ns: u64) -> Self {
        self.reporter.unix_ns = unix_ns;
        self.returns = Returns::new(reader, id, self.reporter.split_rng());
        self
    }

    /// Whether the mix goes back.
    pub(super) fn returns(&self) -> bool {
        self.returns.is_some()
    }

    /// Passes the packets of the blocks that have come to `send`. To be called whenever the reader is ready. Allocates a
    /// list of the blocks, and where a sender changes its payload.
    pub fn send_returns(&mut self, now_ns: u64, send: &mut dyn FnMut(Outgoing<'_>)) {
        let Some(returns) = &mut self.returns else {
            return;
        };
        let (table, cname) = (&mut self.table, &self.shared.settings.cname);
        returns.reader.drain(|delivery| {
            let Delivery::Feed(key, piece) = delivery else {
                return;
            };
            let Some(place) = table.slots.get_mut(key as u32 as usize) else {
                return;
            };
            let is_shed = place.is_shed;
            if let Some(stream) = place.stream() {
                stream.send_back(key, &piece, is_shed, (cname, now_ns), send);
            }
        });
    }

    /// A packet to this address could not be sent, or its host refused it; then the sender has to prove itself again.
    pub(super) fn not_sent(&mut self, to: SocketAddr, is_refused: bool, why: &dyn fmt::Display) {
        let to = super::receiver::canonical(to);
        let slots = match self.table.peers.get(&to) {
            Some(peer) => peer.slots.clone(),
            // It is not where packets come from.
            None => (0..self.table.slots.len()).collect(),
        };
        for slot in slots {
            let stream = self.table.slot(slot);
            if let Some(stream) = stream.filter(|stream| stream.returns_to() == Some(to)) {
                stream.not_sent(is_refused, why);
            }
        }
    }

    /// Whether a sender of this address may get the mix back.
    pub(super) fn may_return(&self, to: IpAddr) -> bool {
        let limits = &self.shared.settings.limits;
        self.returns.is_some()
            && (to.is_loopback() || (!limits.allowed.is_empty() && limits.allow(to)))
    }

    /// Whether a packet is one of ours, which a sender echoes (RFC 3550, section 8.2): it is no stream, and left out.
    pub(super) fn is_echo(&mut self, ssrc: u32, number: u16) -> bool {
        let slot = self.returns.as_ref().and_then(|all| all.by_ssrc.get(&ssrc));
        let Some(stream) = slot.and_then(|&slot| self.table.slot(slot)) else {
            return false;
        };
        let is_echo = stream.has_sent_back(number);
        if is_echo {
            self.shared.listener.leave_out(1);
        }
        is_echo
    }

    /// A sender has this number: a way back with it takes another, and says goodbye (RFC 3550, section 8.2).
    pub(super) fn avoid_return_ssrc(&mut self, ssrc: u32) {
        let Some(returns) = &mut self.returns else {
            return;
        };
        let Some(slot) = returns.by_ssrc.remove(&ssrc) else {
            return;
        };
        let other = returns.unused(ssrc);
        returns.by_ssrc.insert(other, slot);
        if let Some(stream) = self.table.slot(slot) {
            if returns.goodbyes.len() < GOODBYES_MAX {
                returns.goodbyes.push((stream.key.from, ssrc));
            }
            stream.change_return_ssrc(other);
        }
    }

    /// Says goodbye for the sources that were given up.
    pub(super) fn send_goodbyes(&mut self, send: &mut dyn FnMut(Outgoing<'_>)) {
        let goodbyes = self
            .returns
            .iter_mut()
            .flat_map(|all| all.goodbyes.drain(..));
        for (from, ssrc) in goodbyes {
            let schedule = self.table.peers.get(&from).map(|peer| peer.schedule);
            self.reporter.send_goodbye(ssrc, from, schedule, send);
        }
    }
}

/// The address of reports until one came from there: the port after the packets'.
pub(super) fn next_port(from: SocketAddr) -> Option<(SocketAddr, Via)> {
    let port = from.port().checked_add(1)?;
    Some((SocketAddr::new(from.ip(), port), Via::Rtcp))
}
