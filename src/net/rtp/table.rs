//! The streams of one receiver: found by their source, and by the address that they share.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use super::{Key, Packet, reports::Schedule, stream::RtpStream};
use crate::net::sequence::MAX_MISORDER;

/// Where a stream is, or was.
#[derive(Default)]
pub(super) struct Slot {
    stream: Option<Box<RtpStream>>,
    /// The stream's packets are discarded, for want of time.
    pub is_shed: bool,
    unheard: Unheard,
}

/// Packets that came and are discarded for want of time. They are counted beside the stream until it is visited, as a look
/// at its memory is most of the price of a packet.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Unheard {
    pub packets: u16,
    /// The number of the last.
    pub last: u16,
    /// As the account counts.
    pub samples: u64,
    /// When the last came.
    pub at_ns: u64,
}

impl Slot {
    /// The stream, which has taken note of all that came.
    pub(crate) fn stream(&mut self) -> Option<&mut RtpStream> {
        let stream = self.stream.as_deref_mut()?;
        if self.unheard.packets > 0 {
            stream.leave_out(std::mem::take(&mut self.unheard));
        }
        Some(stream)
    }

    /// The stream, unless it is shed; for prefetching.
    pub(crate) fn playing(&self) -> Option<&RtpStream> {
        self.stream.as_deref().filter(|_| !self.is_shed)
    }

    /// A packet came that is not worked on.
    pub(crate) fn leave_out(&mut self, number: u16, samples: u64, at_ns: u64) {
        if self.unheard.packets == u16::MAX {
            self.stream();
        }
        self.unheard = Unheard {
            packets: self.unheard.packets + 1,
            last: number,
            samples: self.unheard.samples + samples,
            at_ns,
        };
    }
}

/// Streams and the addresses that they come from.
#[derive(Default)]
pub(super) struct Table {
    pub slots: Vec<Slot>,
    free: Vec<usize>,
    by_key: HashMap<Key, usize>,
    /// For reports that come from any port of an address.
    by_source: HashMap<(IpAddr, u32), usize>,
    pub peers: HashMap<SocketAddr, Peer>,
}

/// An address that streams come from.
pub(super) struct Peer {
    /// Where its streams are.
    pub slots: Vec<usize>,
    /// It has had several sources at once: a new one is never an old one's successor.
    several: bool,
    /// The source that a stream of it had before, and the last number of that.
    former: Option<(u32, u16)>,
    /// When and where to it is reported.
    pub schedule: Schedule,
}

/// The owner of a packet that belongs to no live source.
pub(super) enum Kin {
    /// Unknown.
    Stranger,
    /// The packet is of this stream's earlier source, sent before the change.
    Straggler(usize),
    /// The packet is of this stream, sent before it changed its port.
    Overtaken(usize),
}

/// The predecessor of a new source.
pub(super) enum Succession {
    /// None: it is a stream of its own.
    Nobody,
    /// This stream, with a silent source.
    Of(usize),
    /// The only stream of its address may still be about to go on.
    Open,
}

impl Table {
    /// Streams at present.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<&mut RtpStream> {
        let slot = self.find(key)?;
        self.slot(slot)
    }

    pub(crate) fn slot(&mut self, slot: usize) -> Option<&mut RtpStream> {
        self.slots.get_mut(slot)?.stream()
    }

    pub(crate) fn streams(&mut self) -> impl Iterator<Item = (usize, &mut RtpStream)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, stream)| Some((slot, stream.stream()?)))
    }

    /// The stream of this source with reports from this address: as its packets do, from the port
    /// after theirs, or else from any.
    pub(crate) fn reported(&mut self, from: SocketAddr, ssrc: u32) -> Option<&mut RtpStream> {
        let mut before = from;
        before.set_port(from.port().wrapping_sub(1));
        let slot = [from, before]
            .iter()
            .find_map(|&from| self.by_key.get(&Key { from, ssrc }))
            .or_else(|| self.by_source.get(&(from.ip(), ssrc)));
        self.slots[*slot?].stream()
    }

    /// The stream of this source if a goodbye or name from this address counts: from the port of its packets, from the
    /// one after it, or from where its reports have come. Any other port may be another program's.
    pub(crate) fn leaving(&mut self, from: SocketAddr, ssrc: u32) -> Option<&mut RtpStream> {
        let mut before = from;
        before.set_port(from.port().wrapping_sub(1));
        let key = self.reported(from, ssrc)?.key;
        let reports = self.peers.get(&key.from)?.schedule.known;
        let believed = key.from == from
            || key.from == before
            || reports.is_some_and(|(known, _)| known == from);
        believed.then(|| self.get(key)).flatten()
    }

    /// Takes a stream in. `schedule` is for its address, if that is new.
    pub(crate) fn insert(
        &mut self,
        stream: RtpStream,
        schedule: impl FnOnce() -> Schedule,
    ) -> usize {
        let key = stream.key;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[slot].stream = Some(Box::new(stream));
        self.by_key.insert(key, slot);
        self.by_source.insert((key.from.ip(), key.ssrc), slot);
        self.join(slot, key.from, schedule);
        slot
    }

    fn join(&mut self, slot: usize, from: SocketAddr, schedule: impl FnOnce() -> Schedule) {
        let peer = self.peers.entry(from).or_insert_with(|| Peer {
            slots: Vec::new(),
            several: false,
            former: None,
            schedule: schedule(),
        });
        peer.slots.push(slot);
    }

    /// An address is forgotten with the last of its streams.
    fn leave(&mut self, slot: usize, from: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.slots.retain(|&other| other != slot);
            if peer.slots.is_empty() {
                self.peers.remove(&from);
            }
        }
    }

    /// Lets a stream go.
    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(stream) = std::mem::take(&mut self.slots[slot]).stream else {
            return;
        };
        let key = stream.key;
        self.free.push(slot);
        self.by_key.remove(&key);
        self.forget_source(key, slot);
        self.leave(slot, key.from);
    }

    fn forget_source(&mut self, key: Key, slot: usize) {
        let source = (key.from.ip(), key.ssrc);
        // Another port of the address may have the same source.
        if self.by_source.get(&source) == Some(&slot) {
            self.by_source.remove(&source);
        }
    }

    /// The owner of this packet of no live source. A source that had been succeeded and goes on
    /// sending shows that its address has several at once.
    pub(crate) fn kin(&mut self, key: Key, number: u16) -> Kin {
        if let Some(&slot) = self.by_source.get(&(key.from.ip(), key.ssrc))
            && let Some(stream) = self.slot(slot)
            && stream.moved_from == Some(key.from)
            && stream.highest().wrapping_sub(number) < MAX_MISORDER
        {
            return Kin::Overtaken(slot);
        }
        let Some(peer) = self.peers.get_mut(&key.from) else {
            return Kin::Stranger;
        };
        match peer.former {
            Some((ssrc, highest)) if ssrc == key.ssrc => {
                if highest.wrapping_sub(number) < MAX_MISORDER
                    && let Some(&slot) = peer.slots.first()
                {
                    return Kin::Straggler(slot);
                }
                peer.several = true;
                peer.former = None;
                Kin::Stranger
            }
            _ => Kin::Stranger,
        }
    }

    /// The stream that goes on from another port of its address with this packet, the receiver's `count`-th:
    /// one of its source that sent nothing since, and should have.
    pub(crate) fn moved(
        &mut self,
        key: Key,
        first: &Packet<'_>,
        count: u64,
        now_ns: u64,
    ) -> Succession {
        let slot = self.by_source.get(&(key.from.ip(), key.ssrc)).copied();
        let stream = slot.and_then(|slot| Some((slot, self.slot(slot)?)));
        match stream {
            Some((slot, stream))
                if !stream.ending
                    && stream.last_count < count
                    && stream.goes_on_with(first, now_ns) =>
            {
                stream.succession(slot, now_ns)
            }
            _ => Succession::Nobody,
        }
    }

    /// The stream comes from this port of its address from now on. `schedule` is for that.
    pub(crate) fn relocate(
        &mut self,
        slot: usize,
        from: SocketAddr,
        schedule: impl FnOnce() -> Schedule,
    ) -> Option<&mut RtpStream> {
        let old = self.slot(slot)?.key;
        let new = Key { from, ..old };
        self.by_key.remove(&old);
        self.by_key.insert(new, slot);
        self.leave(slot, old.from);
        self.join(slot, from, schedule);
        let stream = self.slot(slot)?;
        stream.key = new;
        stream.moved_from = Some(old.from);
        Some(stream)
    }

    /// The stream that a new source succeeds, first seen at the receiver's `count`-th packet: the only stream of
    /// its address, if that sent nothing since, and should have.
    pub(crate) fn succession(&mut self, from: SocketAddr, count: u64, now_ns: u64) -> Succession {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Succession::Nobody;
        };
        let &[slot] = peer.slots.as_slice() else {
            peer.several = true;
            return Succession::Nobody;
        };
        let Some(stream) = self.slots[slot].stream() else {
            return Succession::Nobody;
        };
        if stream.ending {
            return Succession::Nobody;
        }
        if stream.last_count > count {
            peer.several = true;
        }
        if peer.several {
            Succession::Nobody
        } else {
            stream.succession(slot, now_ns)
        }
    }

    /// The stream is another source's from now on, which succeeds its own.
    pub(crate) fn succeed(&mut self, slot: usize, ssrc: u32) -> Option<&mut RtpStream> {
        let stream = self.slot(slot)?;
        let (old, highest) = (stream.key, stream.highest());
        let new = Key { ssrc, ..old };
        self.by_key.remove(&old);
        self.forget_source(old, slot);
        self.by_key.insert(new, slot);
        self.by_source.insert((new.from.ip(), ssrc), slot);
        if let Some(peer) = self.peers.get_mut(&old.from) {
            peer.former = Some((old.ssrc, highest));
        }
        self.slot(slot)
    }
}
