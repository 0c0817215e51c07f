//! Senders that were announced before they send: each is taken into its room, with its settings, from its first packet.
//!
//! A switch announces the legs of its calls so. The threads of the network look up a sender once, as its stream begins, and
//! never for a packet of a live stream. An announcement is forgotten [`EXPECTED_FOR`] after it was made, or after its stream
//! was there last; there are [`EXPECTED_MAX`] at most.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use thiserror::Error;

use crate::{
    audio::Gain,
    wire::{audiosocket::uuid_text, label::Label, payload::PayloadMap},
};

/// Announcements at once.
pub const EXPECTED_MAX: usize = 4096;

/// An announcement without a stream is forgotten after so long: as long as a SIP proxy lets a phone ring (timer C, RFC 3261).
pub const EXPECTED_FOR: Duration = Duration::from_secs(180);

/// The mark of a sender, by which it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SenderMark {
    /// The UUID of an AudioSocket connection.
    AudioSocket([u8; 16]),
    /// The address that RTP comes from.
    Rtp(SocketAddr),
}

/// The announcement of a sender.
#[derive(Debug)]
pub struct Announcement {
    /// Its mark; no two announcements have the same.
    pub mark: SenderMark,
    /// Its room, by name.
    pub room: String,
    /// The label for people; that of its own protocol if none is given.
    pub label: Option<Label>,
    /// The server's own if none is given.
    pub gain: Option<Gain>,
    /// Whether it is muted from its first sample on.
    pub muted: bool,
    /// The source number of its packets; any if none is given. RTP alone has this and the following.
    pub ssrc: Option<u32>,
    /// The meaning of its payload types; its listener's if none is given.
    pub payloads: Option<PayloadMap>,
    /// Where the mix goes back to, if not to where the packets come from.
    pub return_to: Option<SocketAddr>,
    /// Whether the mix goes back, where its listener sends any back.
    pub returns: bool,
}

/// A sender that was announced.
#[derive(Debug)]
pub struct Expected {
    /// As it was announced.
    pub sender: Announcement,
    /// When it was announced, or its stream was there last, on the monotonic clock.
    last_ns: AtomicU64,
    number: u64,
}

/// An address at which announced senders of RTP are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct RtpEntrance {
    /// Where packets come to.
    pub address: SocketAddr,
    /// Whether senders get the mix back.
    pub returns: bool,
    /// The meaning of payload types there.
    pub payloads: PayloadMap,
}

/// Why a sender is not announced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnnounceError {
    /// Its mark is another's.
    #[error("{mark} is announced already, for room {room}: delete that first")]
    Twice {
        /// The mark, for people.
        mark: String,
        /// The room of the other.
        room: String,
    },
    /// There are as many as there may be.
    #[error("all {EXPECTED_MAX} places of announced senders are in use: delete some, or wait")]
    Full,
}

/// All announcements of a server. Each call takes a mutex, for the time of a look-up.
#[derive(Debug, Default)]
pub struct ExpectedSenders {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_number: BTreeMap<u64, Arc<Expected>>,
    by_mark: HashMap<SenderMark, u64>,
    announced: u64,
    rtp: Vec<RtpEntrance>,
    audiosocket: Vec<SocketAddr>,
}

impl Expected {
    /// Names it among all that ever were.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its stream is there, at this time.
    pub(crate) fn touch(&self, now_ns: u64) {
        self.last_ns.fetch_max(now_ns, Ordering::Relaxed);
    }

    /// How long it is still kept, if no stream of it comes; 0 if it is forgotten.
    pub fn left(&self, now_ns: u64) -> Duration {
        let since_ns = now_ns.saturating_sub(self.last_ns.load(Ordering::Relaxed));
        EXPECTED_FOR.saturating_sub(Duration::from_nanos(since_ns))
    }
}

impl SenderMark {
    /// A UUID, or an address with its port.
    pub fn text(self) -> String {
        match self {
            Self::AudioSocket(uuid) => uuid_text(uuid),
            Self::Rtp(address) => address.to_string(),
        }
    }
}

impl Inner {
    fn forget(&mut self, now_ns: u64) {
        let Self {
            by_number, by_mark, ..
        } = self;
        by_number.retain(|_, expected| {
            let is_kept = !expected.left(now_ns).is_zero();
            if !is_kept {
                by_mark.remove(&expected.sender.mark);
            }
            is_kept
        });
    }

    fn find(&self, mark: SenderMark, now_ns: u64) -> Option<&Arc<Expected>> {
        let expected = self.by_number.get(self.by_mark.get(&mark)?)?;
        (!expected.left(now_ns).is_zero()).then_some(expected)
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Expected>> {
        let expected = self.by_number.remove(&number)?;
        self.by_mark.remove(&expected.sender.mark);
        Some(expected)
    }
}

impl ExpectedSenders {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a sender, at `now_ns` of the monotonic clock. Looks at all that there are.
    ///
    /// # Errors
    /// [`AnnounceError`].
    pub fn announce(&self, new: Announcement, now_ns: u64) -> Result<Arc<Expected>, AnnounceError> {
        let mut inner = self.lock();
        inner.forget(now_ns);
        if let Some(other) = inner.find(new.mark, now_ns) {
            return Err(AnnounceError::Twice {
                mark: new.mark.text(),
                room: other.sender.room.clone(),
            });
        }
        if inner.by_number.len() >= EXPECTED_MAX {
            return Err(AnnounceError::Full);
        }
        inner.announced += 1;
        let number = inner.announced;
        inner.by_mark.insert(new.mark, number);
        let expected = Arc::new(Expected {
            sender: new,
            last_ns: now_ns.into(),
            number,
        });
        inner.by_number.insert(number, Arc::clone(&expected));
        Ok(expected)
    }

    /// Those of a room, in the order of their coming. Allocates.
    pub fn of_room(&self, room: &str, now_ns: u64) -> Vec<Arc<Expected>> {
        let mut inner = self.lock();
        inner.forget(now_ns);
        let of_room = inner
            .by_number
            .values()
            .filter(|one| one.sender.room == room);
        of_room.cloned().collect()
    }

    /// Takes back the announcement of this number, if it is of this room. A stream that came by it goes on.
    pub fn withdraw(&self, room: &str, number: u64) -> Option<Arc<Expected>> {
        let mut inner = self.lock();
        let is_there = inner.by_number.get(&number)?.sender.room == room;
        is_there.then(|| inner.remove(number)).flatten()
    }

    /// The announcement of a sender of RTP, if it sends as this source.
    pub(crate) fn rtp(&self, from: SocketAddr, ssrc: u32, now_ns: u64) -> Option<Arc<Expected>> {
        let inner = self.lock();
        let expected = inner.find(SenderMark::Rtp(from), now_ns)?;
        let is_it = expected.sender.ssrc.is_none_or(|expected| expected == ssrc);
        is_it.then(|| Arc::clone(expected))
    }

    /// The announcement of this UUID, which is used up.
    pub(crate) fn take_call(&self, uuid: [u8; 16], now_ns: u64) -> Option<Arc<Expected>> {
        let mut inner = self.lock();
        let expected = inner.find(SenderMark::AudioSocket(uuid), now_ns)?;
        let number = expected.number;
        inner.remove(number)
    }

    /// Says where announced senders are taken.
    pub(crate) fn set_entrances(&self, rtp: Vec<RtpEntrance>, audiosocket: Vec<SocketAddr>) {
        let mut inner = self.lock();
        (inner.rtp, inner.audiosocket) = (rtp, audiosocket);
    }

    /// The address at which announced senders of RTP are taken: the first that sends the mix back, or else the first.
    pub fn rtp_entrance(&self) -> Option<RtpEntrance> {
        let inner = self.lock();
        let returning = inner.rtp.iter().find(|entrance| entrance.returns);
        returning.or(inner.rtp.first()).cloned()
    }

    /// The first address at which AudioSocket is taken.
    pub fn audiosocket_entrance(&self) -> Option<SocketAddr> {
        self.lock().audiosocket.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn announcement(mark: SenderMark, room: &str) -> Announcement {
        Announcement {
            mark,
            room: room.to_owned(),
            label: None,
            gain: None,
            muted: false,
            ssrc: None,
            payloads: None,
            return_to: None,
            returns: true,
        }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_sender_is_found_by_address_and_source() {
        let all = ExpectedSenders::default();
        let new = Announcement {
            ssrc: Some(7),
            ..announcement(SenderMark::Rtp(address(4000)), "a")
        };
        all.announce(new, 0).unwrap();
        assert_eq!(all.rtp(address(4000), 7, S).unwrap().sender.room, "a");
        assert!(all.rtp(address(4000), 8, S).is_none());
        assert!(all.rtp(address(4002), 7, S).is_none());
    }

    #[test]
    fn a_mark_is_announced_once_until_it_is_withdrawn() {
        let all = ExpectedSenders::default();
        let mark = SenderMark::Rtp(address(4000));
        let first = all.announce(announcement(mark, "a"), 0).unwrap();
        let again = all.announce(announcement(mark, "b"), S).unwrap_err();
        assert!(matches!(&again, AnnounceError::Twice { room, .. } if room == "a"));
        assert!(all.withdraw("b", first.number()).is_none());
        assert!(all.withdraw("a", first.number()).is_some());
        assert!(all.withdraw("a", first.number()).is_none());
        all.announce(announcement(mark, "b"), S).unwrap();
        assert_eq!(all.of_room("b", S).len(), 1);
    }

    #[test]
    fn an_announcement_without_a_stream_is_forgotten_in_time() {
        let all = ExpectedSenders::default();
        let mark = SenderMark::Rtp(address(4000));
        let expected = all.announce(announcement(mark, "a"), 0).unwrap();
        expected.touch(100 * S);
        assert!(all.rtp(address(4000), 1, 279 * S).is_some());
        assert!(all.rtp(address(4000), 1, 280 * S).is_none());
        assert!(all.of_room("a", 280 * S).is_empty());
    }

    #[test]
    fn a_uuid_is_used_up_by_its_call() {
        let all = ExpectedSenders::default();
        let mark = SenderMark::AudioSocket([3; 16]);
        all.announce(announcement(mark, "a"), 0).unwrap();
        assert!(all.take_call([4; 16], 0).is_none());
        assert!(all.take_call([3; 16], 0).is_some());
        assert!(all.take_call([3; 16], 0).is_none());
    }

    #[test]
    fn announcements_are_bounded() {
        let all = ExpectedSenders::default();
        let mark = |n: usize| SenderMark::AudioSocket((n as u128).to_be_bytes());
        for n in 0..EXPECTED_MAX {
            all.announce(announcement(mark(n), "a"), 0).unwrap();
        }
        let full = all.announce(announcement(mark(EXPECTED_MAX), "a"), 0);
        assert_eq!(full.unwrap_err(), AnnounceError::Full);
        // They are forgotten by the next that comes.
        let later = EXPECTED_FOR.as_nanos() as u64;
        all.announce(announcement(mark(0), "a"), later).unwrap();
        assert_eq!(all.of_room("a", later).len(), 1);
    }
}
