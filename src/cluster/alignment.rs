//! The numbers of blocks: which block of the cluster a tick of this node is.
//!
//! Nodes agree on the number of a block by their clocks: `block = UTC since the Unix epoch / ptime`, and
//! `block = tick + offset` on each node, with an offset that is fixed for one incarnation. So no number comes twice in one
//! incarnation, under any trouble of the clocks. When the clocks of a node come apart it leaves, goes on alone, and comes back as
//! another incarnation once they agree.
//!
//! Passive: readings of the clocks come in, and the [origins](Origins) of the peers.

// An origin is the local monotonic time of block 0: `arrival - block * ptime` of a part, `monotonic - UTC` of the
// clocks. A part can only come later than it was made, so the origin of a peer is the earliest that was seen, and still
// later than the truth by the shortest time on the way. So a node that is behind its peers' median is so for certain; one
// that seems to be ahead may just be far from them. Hence the two bounds in `is_off`.

mod origins;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

pub use self::origins::Origins;
use crate::audio::MixClock;

/// A node that left comes back no earlier: its peers take its name as another incarnation's 1 s after it last sent.
const RETURN_NS: u64 = 1_100_000_000;

/// The node with the first name among those that share a room waits so long to hear one that has numbers.
const FIRST_WAITS_NS: u64 = 250_000_000;

/// The others wait for its numbers.
const OTHERS_WAIT_NS: u64 = 1_000_000_000;

/// The shortest time in which origins settle, where five ticks are shorter.
const SETTLE_NS_MIN: u64 = 100_000_000;

/// Both clocks of the host at one instant. They are read within a millisecond, or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The monotonic clock, which ticks follow.
    pub monotonic_ns: u64,
    /// UTC since the Unix epoch.
    pub utc_ns: u64,
}

impl Reading {
    /// The monotonic time of the epoch.
    fn origin(self) -> i64 {
        (self.monotonic_ns as i64).wrapping_sub(self.utc_ns as i64)
    }
}

/// The other nodes, as far as alignment looks at them.
#[derive(Debug)]
pub struct Around<'a> {
    /// Another node has a room of this one.
    pub is_sharing: bool,
    /// The name of this node comes before those of the nodes that share a room with it.
    pub is_first: bool,
    /// The [origin](Origins::get) of each peer that sends.
    pub origins: &'a mut [i64],
}

/// Why a node is alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// UTC was stepped against the monotonic clock, forward if positive: it was set, or the host was suspended.
    Stepped {
        /// By how much.
        by_ns: i64,
    },
    /// The blocks of this node came before those of the median of its peers, or after if negative.
    Peers {
        /// By how much.
        ahead_ns: i64,
    },
    /// UTC of this node is ahead of that of the median of its peers, or behind if negative, by more than the lead.
    Utc {
        /// By how much.
        ahead_ns: i64,
    },
}

/// Whether ticks have numbers of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// No: no other node has a room of this one, so none are needed.
    Idle,
    /// No: the node listens for the numbers of its peers.
    Listening,
    /// Yes.
    Aligned,
    /// No: the node's rooms go on without the others.
    Alone(Off),
}

impl Alignment {
    /// As the API has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Listening => "listening",
            Self::Aligned => "aligned",
            Self::Alone(_) => "alone",
        }
    }
}

/// The state, with the times and origins that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Listening {
        since_ns: u64,
    },
    Aligned {
        /// Origin of the blocks.
        origin: i64,
        /// Origin of the clocks at the beginning.
        clocks: i64,
    },
    Alone {
        why: Off,
        since_ns: u64,
    },
}

/// The numbers of one node's blocks.
#[derive(Debug)]
pub struct Aligner {
    clock: MixClock,
    lead_ns: i64,
    state: State,
    seed: u64,
    incarnation: u64,
}

impl Aligner {
    /// The numbers for ticks of this clock, and rooms with such a lead. Incarnations are made of the seed: no other start
    /// of any node has it.
    pub fn new(clock: MixClock, lead_ticks: u8, seed: u64) -> Self {
        Self {
            clock,
            lead_ns: (u64::from(lead_ticks) * clock.period_ns) as i64,
            state: State::Idle,
            seed,
            incarnation: mix(seed),
        }
    }

    /// Whether ticks have numbers.
    pub fn alignment(&self) -> Alignment {
        match self.state {
            State::Idle => Alignment::Idle,
            State::Listening { .. } => Alignment::Listening,
            State::Aligned { .. } => Alignment::Aligned,
            State::Alone { why, .. } => Alignment::Alone(why),
        }
    }

    /// The present incarnation: the next one while ticks have no numbers.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The time in which an [origin](Origins) settles.
    pub fn settle_ns(&self) -> u64 {
        (5 * self.clock.period_ns).max(SETTLE_NS_MIN)
    }

    /// The number of a tick's block, if ticks have numbers.
    pub fn block_of(&self, tick: u64) -> Option<u64> {
        self.block_at(i64::try_from(tick).ok()?)
    }

    /// The same of a tick that may be before the first.
    pub fn block_at(&self, tick: i64) -> Option<u64> {
        tick.checked_add(self.offset()?)?.try_into().ok()
    }

    /// The tick that has a block of this number, if ticks have numbers. It may be before the first.
    pub fn tick_of(&self, block: u64) -> Option<i64> {
        i64::try_from(block).ok()?.checked_sub(self.offset()?)
    }

    /// How far an origin is behind that of this node's blocks, if ticks have numbers: so much this node is ahead.
    pub fn ahead_ns(&self, origin: i64) -> Option<i64> {
        match self.state {
            State::Aligned { origin: own, .. } => Some(origin.saturating_sub(own)),
            _ => None,
        }
    }

    /// How far UTC is ahead of the numbers of blocks, if ticks have them.
    pub fn utc_ahead_ns(&self, reading: Reading) -> Option<i64> {
        self.ahead_ns(reading.origin()).map(i64::saturating_neg)
    }

    /// The number of the block of tick 0, which may be before the epoch.
    fn offset(&self) -> Option<i64> {
        match self.state {
            State::Aligned { origin, .. } => Some(self.nearest(origin)),
            _ => None,
        }
    }

    /// The offset by which blocks have the origin that is nearest to this one.
    fn nearest(&self, origin: i64) -> i64 {
        let period = self.clock.period_ns as i64;
        let first = (self.clock.first_ns as i64).wrapping_sub(origin);
        let whole = first.saturating_add(period / 2).div_euclid(period);
        whole.saturating_sub(self.clock.first_block as i64)
    }

    /// The origin of blocks with this offset.
    fn origin(&self, offset: i64) -> i64 {
        let tick_0 = (self.clock.first_block as i64).saturating_add(offset);
        let since = tick_0.saturating_mul(self.clock.period_ns as i64);
        (self.clock.first_ns as i64).wrapping_sub(since)
    }

    /// Looks at the clocks and at the peers: once a second or more often, and when a part has come. True if ticks have
    /// numbers from now on, or none any more.
    pub fn update(&mut self, reading: Reading, around: &mut Around<'_>) -> bool {
        let now_ns = reading.monotonic_ns;
        let was = matches!(self.state, State::Aligned { .. });
        match self.state {
            State::Aligned { origin, clocks } => {
                let peers = median(around.origins, origin);
                if let Some(why) = self.is_off(reading, clocks, origin, peers) {
                    let since_ns = now_ns;
                    self.state = State::Alone { why, since_ns };
                    self.seed = self.seed.wrapping_add(1);
                    self.incarnation = mix(self.seed);
                }
            }
            State::Idle if around.is_sharing => {
                let since_ns = now_ns;
                self.state = State::Listening { since_ns };
            }
            State::Idle => {}
            State::Listening { .. } if !around.is_sharing => self.state = State::Idle,
            State::Listening { since_ns } => self.listen(reading, around, since_ns),
            State::Alone { since_ns, .. } if now_ns < since_ns.saturating_add(RETURN_NS) => {}
            State::Alone { .. } if !around.is_sharing => self.state = State::Idle,
            State::Alone { since_ns, .. } => {
                self.listen(reading, around, since_ns.saturating_add(RETURN_NS));
            }
        }
        was != matches!(self.state, State::Aligned { .. })
    }

    /// Why the node must leave, if it must.
    fn is_off(
        &self,
        reading: Reading,
        clocks: i64,
        origin: i64,
        peers: Option<i64>,
    ) -> Option<Off> {
        let period = self.clock.period_ns as i64;
        let by_ns = clocks.wrapping_sub(reading.origin());
        if by_ns.saturating_abs() > period / 2 {
            return Some(Off::Stepped { by_ns });
        }
        // Two nodes round to ticks of their own, by up to half a tick each; another half is an error.
        let ahead_ns = peers?.saturating_sub(origin);
        let is_off = ahead_ns < -(period + period / 2) || ahead_ns > self.lead_ns.max(2 * period);
        is_off.then_some(Off::Peers { ahead_ns })
    }

    /// Takes numbers from the clocks, as far as those agree with the peers; in time, if no peer has any.
    fn listen(&mut self, reading: Reading, around: &mut Around<'_>, since_ns: u64) {
        let (now_ns, clocks) = (reading.monotonic_ns, reading.origin());
        let Some(peers) = median(around.origins, clocks) else {
            let wait = if around.is_first {
                FIRST_WAITS_NS
            } else {
                OTHERS_WAIT_NS
            };
            if now_ns >= since_ns.saturating_add(wait) {
                self.align(clocks, clocks);
            }
            return;
        };
        let ahead_ns = peers.saturating_sub(clocks);
        if ahead_ns.saturating_abs() > self.lead_ns.max(2 * self.clock.period_ns as i64) {
            let why = Off::Utc { ahead_ns };
            // It has waited.
            let since_ns = since_ns.saturating_sub(RETURN_NS);
            self.state = State::Alone { why, since_ns };
        } else {
            // Peers that are later may be far; peers that are half a tick earlier may have rounded so. In either case UTC
            // is right, and nodes that all follow it are a tick apart at most. A node that followed a peer would add its
            // own rounding to that of the peer.
            let half = self.clock.period_ns as i64 / 2;
            self.align(clocks.min(peers.saturating_add(half)), clocks);
        }
    }

    fn align(&mut self, origin: i64, clocks: i64) {
        let origin = self.origin(self.nearest(origin));
        self.state = State::Aligned { origin, clocks };
    }
}

/// The median; of an even count the one of the two that is nearer to `to`.
fn median(origins: &mut [i64], to: i64) -> Option<i64> {
    origins.sort_unstable();
    let (upper, lower) = (origins.len() / 2, origins.len().checked_sub(1)? / 2);
    let distance = |origin: &i64| origin.saturating_sub(to).saturating_abs();
    [origins[upper], origins[lower]]
        .into_iter()
        .max_by_key(|origin| Reverse(distance(origin)))
}

/// A number in which every bit depends on all bits of the seed (`SplitMix64`).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
