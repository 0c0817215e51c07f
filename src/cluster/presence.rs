//! The presence of a node: its name, rooms and ledger, as JSON in the store of the cluster.
//!
//! It is renewed every 300 ms, and a node whose presence is older than a second is not present. Nothing in it is
//! trusted for the mix: that takes parts alone.

use std::{fs, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ledger::StreamState;

/// From one renewal to the next.
pub const RENEWED: Duration = Duration::from_millis(300);

/// How long a presence lives that is not renewed.
pub const LIVES: Duration = Duration::from_secs(1);

/// The version of the JSON.
const VERSION: u32 = 1;

/// A node that is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClusterNode)]
pub struct Presence {
    /// The version of these keys: 1.
    pub version: u32,
    /// The name of the node.
    pub node: String,
    /// Its incarnation, in hexadecimal: another one after each restart, and after its clock was set.
    pub incarnation: String,
    /// Which run of which host it is on.
    pub boot_id: String,
    /// Whether its host keeps its clock right.
    pub is_synchronised: bool,
    /// Whether its ticks have numbers of blocks: `idle`, `listening`, `aligned` or `alone`.
    pub alignment: String,
    /// The block of its last tick, if it has numbers.
    pub block: Option<u64>,
    /// Its rooms of the cluster.
    pub rooms: Vec<PresentRoom>,
    /// Its streams that have not ended, in all of its rooms.
    pub streams: usize,
    /// Its ledger: all samples of all its streams, interleaved.
    pub ledger: Totals,
}

/// A room of the cluster, as one node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClusterNodeRoom)]
pub struct PresentRoom {
    /// Its name.
    pub name: String,
    /// Its number in parts, in hexadecimal: of its name and its settings.
    pub key: String,
    /// Its settings.
    pub settings: String,
    /// The node's own streams in it.
    pub streams: usize,
}

/// The sums of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClusterLedger)]
pub struct Totals {
    /// Offered by senders.
    pub offered: u64,
    /// Heard.
    pub mixed: u64,
    /// Consumed, but muted.
    pub muted: u64,
    /// Refused by a full ring.
    pub dropped_full: u64,
    /// Came after their tick.
    pub dropped_late: u64,
    /// Thrown away on purpose.
    pub discarded: u64,
    /// Waiting for their tick.
    pub in_ring: u64,
}

/// A stream as other nodes see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ClusterStream)]
pub struct PresentStream {
    /// Its id on its node.
    pub id: String,
    /// Its label, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its room, of the cluster or of its node alone.
    pub room: String,
    /// Its state.
    pub state: StreamState,
    /// Samples offered, interleaved.
    pub offered: u64,
    /// Samples heard.
    pub mixed: u64,
    /// Samples dropped.
    pub dropped: u64,
}

/// The streams of a node, as many as a message holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentStreams {
    /// In the order of their admission.
    pub streams: Vec<PresentStream>,
    /// How many more there are.
    pub more: usize,
}

impl PresentStreams {
    /// As the store has them, in at most so many bytes: the last ones are left out.
    pub fn write(mut self, bytes_max: usize) -> Vec<u8> {
        loop {
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            let kept = self.streams.len();
            if bytes.len() <= bytes_max || kept == 0 {
                return bytes;
            }
            let fits = kept * bytes_max / bytes.len();
            self.streams.truncate(fits.min(kept - 1));
            self.more += kept - self.streams.len();
        }
    }
}

impl Totals {
    /// Adds those of another node; figures that cannot be stay at the largest.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            offered: self.offered.saturating_add(other.offered),
            mixed: self.mixed.saturating_add(other.mixed),
            muted: self.muted.saturating_add(other.muted),
            dropped_full: self.dropped_full.saturating_add(other.dropped_full),
            dropped_late: self.dropped_late.saturating_add(other.dropped_late),
            discarded: self.discarded.saturating_add(other.discarded),
            in_ring: self.in_ring.saturating_add(other.in_ring),
        }
    }

    /// All terms that offered samples are in, by their names.
    pub fn terms(self) -> [(&'static str, u64); 6] {
        [
            ("mixed", self.mixed),
            ("muted", self.muted),
            ("dropped_full", self.dropped_full),
            ("dropped_late", self.dropped_late),
            ("discarded", self.discarded),
            ("in_ring", self.in_ring),
        ]
    }

    fn counts(self) -> impl Iterator<Item = u64> {
        self.terms().into_iter().map(|(_, count)| count)
    }

    /// Samples offered that are in no other term, or more of those than offered, if negative: figures that were read while
    /// samples moved, and those that cannot be.
    pub fn in_flight(self) -> i64 {
        let sum = self.counts().fold(0, u64::saturating_add);
        self.offered.wrapping_sub(sum) as i64
    }

    /// Whether the equation holds: offered is the sum of all other terms.
    pub fn is_closed(&self) -> bool {
        self.counts().try_fold(0_u64, u64::checked_add) == Some(self.offered)
    }
}

impl Presence {
    /// Reads what a store has under this name; none if it is of another version or name, or no presence.
    pub fn read(name: &str, bytes: &[u8]) -> Option<Self> {
        let read: Self = serde_json::from_slice(bytes).ok()?;
        (read.version == VERSION && read.node == name).then_some(read)
    }

    /// As the store has it.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The rooms' numbers in parts.
    pub fn room_keys(&self) -> Vec<u64> {
        let keys = self.rooms.iter();
        keys.filter_map(|room| u64::from_str_radix(&room.key, 16).ok())
            .collect()
    }
}

/// This host, as far as nodes of it know each other.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name, made one that a node may have.
    pub name: String,
    /// Another one after each start of the host.
    pub boot_id: String,
}

impl Host {
    /// Reads both. Enters the kernel.
    pub fn detect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name: String = read("/proc/sys/kernel/hostname")
            .trim()
            .chars()
            .map(|c| if is_part(c) { c } else { '-' })
            .take(32)
            .collect();
        Self {
            name: if name.is_empty() {
                "node".to_owned()
            } else {
                name
            },
            boot_id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        }
    }
}

/// A presence of this version.
pub(super) fn present(node: &str, incarnation: u64) -> Presence {
    Presence {
        version: VERSION,
        node: node.to_owned(),
        incarnation: format!("{incarnation:016x}"),
        boot_id: String::new(),
        is_synchronised: false,
        alignment: String::new(),
        block: None,
        rooms: Vec::new(),
        streams: 0,
        ledger: Totals::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_is_read_as_it_was_written() {
        let mut written = present("a", 7);
        written.rooms.push(PresentRoom {
            name: "r".to_owned(),
            key: format!("{:016x}", u64::MAX),
            settings: "gain=1".to_owned(),
            streams: 3,
        });
        let bytes = written.write();
        assert_eq!(Presence::read("a", &bytes), Some(written.clone()));
        assert_eq!(written.room_keys(), [u64::MAX]);
        assert_eq!(Presence::read("b", &bytes), None);
        for wrong in [&b""[..], b"{}", &bytes[..bytes.len() - 1]] {
            assert_eq!(Presence::read("a", wrong), None);
        }
    }

    #[test]
    fn streams_that_do_not_fit_are_counted() {
        let stream = PresentStream {
            id: "a".repeat(100),
            label: None,
            room: "r".to_owned(),
            state: StreamState::Playing,
            offered: 1,
            mixed: 1,
            dropped: 0,
        };
        for (bytes_max, some) in [(1 << 20, true), (5000, true), (100, false)] {
            let all = PresentStreams {
                streams: vec![stream.clone(); 1000],
                more: 0,
            };
            let bytes = all.write(bytes_max);
            assert!(bytes.len() <= bytes_max);
            let read: PresentStreams = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(read.streams.len() + read.more, 1000);
            assert_eq!(!read.streams.is_empty(), some);
        }
    }

    #[test]
    fn the_equation_of_all_ledgers_is_checked_without_overflow() {
        let one = Totals {
            offered: 10,
            mixed: 7,
            in_ring: 3,
            ..Totals::default()
        };
        assert!(one.is_closed() && one.plus(one).is_closed());
        let much = Totals {
            mixed: u64::MAX,
            ..one
        };
        assert!(!much.is_closed() && !much.plus(much).is_closed());
    }
}
