//! The expected blocks and accounts, computed from the streams and from the deliveries of the network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mixpool::{
    audio::Format,
    cluster::{Event, LinkReport, LinkTerms},
    wire::part::{Message, Shape, cluster_id, room_id},
};

use super::host::{LEAD, ROOMS, host_of};
use crate::rig::BLOCK;

/// A node's own part of one block of one room.
#[derive(Debug, Clone, Default)]
pub struct Own {
    sums: Option<Vec<i64>>,
    pub mixed: u32,
    pub mixed_before: u64,
}

impl Own {
    pub fn add(&mut self, samples: &[i16]) {
        let sums = self.sums.get_or_insert_with(|| vec![0; samples.len()]);
        for (sum, &sample) in sums.iter_mut().zip(samples) {
            *sum += i64::from(sample);
        }
        self.mixed += samples.len() as u32;
    }

    pub fn sums(&self) -> Vec<i64> {
        self.sums.clone().unwrap_or_else(|| vec![0; BLOCK])
    }
}

/// The samples of which a tick's block is made, by room.
#[derive(Debug, Default)]
pub struct Made {
    pub own: [Own; ROOMS],
    /// The parts that were handed over, by host.
    pub got: [BTreeMap<usize, Vec<i64>>; ROOMS],
    /// Their senders' places at this node, as `RoomPart::finished_of` has them.
    pub places: [u32; ROOMS],
}

/// A message as the test's own reading has it.
pub struct Read {
    pub block: u64,
    pub incarnation: u64,
    /// Room, samples mixed before, samples mixed.
    pub parts: Vec<(usize, u64, u32)>,
}

/// An incarnation of a host.
pub type Life = (usize, u64);

/// A block as a host has finished it: the nodes with a part in it, and its CRC-32.
type Finished = (BTreeSet<Life>, u32);

#[derive(Default)]
pub struct Oracle {
    sent: HashMap<(usize, u64), (u64, [Own; ROOMS])>,
    /// By room and by incarnation of a host.
    finished: [BTreeMap<Life, BTreeMap<u64, Finished>>; ROOMS],
}

fn shape() -> Shape {
    Shape {
        cluster: cluster_id("test"),
        format: Format::new(8000, 1).unwrap(),
        block_samples: BLOCK as u16,
        lead_ticks: LEAD as u8,
    }
}

impl Oracle {
    pub fn sent(&mut self, host: usize, incarnation: u64, block: u64, own: [Own; ROOMS]) {
        let before = self.sent.insert((host, block), (incarnation, own));
        let is_new = before.is_none_or(|(other, _)| other != incarnation);
        assert!(is_new, "block {block} twice in one incarnation");
    }

    pub fn truth(&self, host: usize, block: u64, room: usize) -> &Own {
        &self.sent[&(host, block)].1[room]
    }

    pub fn read(&self, from: usize, bytes: &[u8]) -> Option<Read> {
        let message = Message::parse(bytes, &shape()).ok()?;
        let index = |number| {
            let rooms = ["studio", "stage"];
            rooms
                .iter()
                .position(|name| room_id(name, "") == number)
                .unwrap()
        };
        let part = |part: mixpool::wire::part::Part<'_>| {
            let figures = part.figures;
            (index(figures.room), figures.mixed_before, figures.mixed)
        };
        let read = Read {
            block: message.head.block,
            incarnation: message.head.incarnation,
            parts: message.parts().map(|(it, _)| part(it)).collect(),
        };
        for &(room, mixed_before, mixed) in &read.parts {
            let own = self.truth(from, read.block, room);
            assert_eq!((own.mixed_before, own.mixed), (mixed_before, mixed));
        }
        Some(read)
    }

    pub fn finished(&mut self, room: usize, of: Life, block: u64, nodes: &[usize], crc: u32) {
        let life = |host: usize| (host, self.sent[&(host, block)].0);
        let nodes = nodes.iter().map(|&host| life(host)).chain([of]);
        let nodes = nodes.collect();
        let blocks = self.finished[room].entry(of).or_default();
        blocks.insert(block, (nodes, crc));
    }

    /// Hosts that had equal parts for the memory of the limiter have equal blocks. Returns how many pairs of blocks were
    /// compared.
    pub fn check_same(&self) -> usize {
        let mut compared = 0;
        for lives in &self.finished {
            for (at, (_, one)) in lives.iter().enumerate() {
                for (_, other) in lives.iter().skip(at + 1) {
                    compared += check_pair(one, other);
                }
            }
        }
        compared
    }

    /// The last blocks that two hosts both finished are the same.
    pub fn ends_same(&self, room: usize, one: Life, other: Life, count: usize) {
        let of = |life| self.finished[room].get(&life);
        let (Some(one), Some(other)) = (of(one), of(other)) else {
            panic!("a host has finished nothing");
        };
        let both = one
            .iter()
            .rev()
            .filter_map(|(block, it)| Some((it, other.get(block)?)));
        let mut checked = 0;
        for ((nodes, crc), (other_nodes, other_crc)) in both.take(count) {
            assert_eq!(nodes, other_nodes);
            assert_eq!(crc, other_crc);
            checked += 1;
        }
        assert_eq!(checked, count, "blocks that both have finished");
    }
}

/// 0.6 s, and the block that the look-ahead reaches back to.
const FORGETS: u64 = 31;

fn check_pair(one: &BTreeMap<u64, Finished>, other: &BTreeMap<u64, Finished>) -> usize {
    let (mut compared, mut equal, mut last) = (0, 0, None);
    for (&block, (nodes, crc)) in one {
        let Some((other_nodes, other_crc)) = other.get(&block) else {
            equal = 0;
            continue;
        };
        let follows = last.is_some_and(|last| last + 1 == block);
        equal = match nodes == other_nodes {
            true if follows => equal + 1,
            true => 1,
            false => 0,
        };
        last = Some(block);
        if equal > FORGETS {
            assert_eq!(crc, other_crc, "block {block} after {equal} of equal parts");
            compared += 1;
        }
    }
    compared
}

/// A part that came: samples mixed before and in it, and whether it came in time.
type Arrival = (u64, u32, bool);

/// The messages that came to one host, beside its own account of them.
#[derive(Default)]
pub struct Books {
    came: BTreeMap<(usize, usize), BTreeMap<u64, Arrival>>,
    /// The block from which a host is taken in; none if that was more than once, or under other numbers.
    up: BTreeMap<usize, Option<u64>>,
    is_renumbered: bool,
    incarnations: BTreeMap<usize, u64>,
}

impl Books {
    pub fn arrived(&mut self, from: usize, read: &Read, in_time: bool) {
        let before = self.incarnations.insert(from, read.incarnation);
        if before.is_some_and(|before| before != read.incarnation) {
            self.up.insert(from, None);
        }
        for &(room, mixed_before, mixed) in &read.parts {
            let came = self.came.entry((from, room)).or_default();
            let arrival = (mixed_before, mixed, in_time);
            came.entry(read.block).or_insert(arrival);
        }
    }

    pub fn note(&mut self, event: &Event) {
        match event {
            Event::NodeUp { node, block, .. } => {
                self.up.entry(host_of(node)).or_insert(Some(*block));
            }
            // Its account begins again.
            Event::NodeGone { node } => _ = self.up.insert(host_of(node), None),
            Event::Alignment { .. } if !self.up.is_empty() => self.is_renumbered = true,
            _ => {}
        }
    }

    /// Whether a link is that of a host that was taken in once, and then has the terms of what came.
    pub fn check(&self, from: usize, room: usize, link: &LinkReport) -> bool {
        let Some(Some(up)) = self.up.get(&from).copied() else {
            return false;
        };
        let Some(came) = self.came.get(&(from, room)) else {
            return false;
        };
        // The room may be taken in later than the node, if its piece was lost.
        let first = came.range(up..).find(|(_, (.., in_time))| *in_time);
        let Some((&first, &(base, ..))) = first else {
            return false;
        };
        if self.is_renumbered || !link.is_joined {
            return false;
        }
        let mut terms = LinkTerms::default();
        for (_, &(mixed_before, mixed, in_time)) in came.range(first..) {
            let term = if in_time {
                &mut terms.delivered
            } else {
                &mut terms.late
            };
            *term += u64::from(mixed);
            terms.claimed = mixed_before + u64::from(mixed) - base;
        }
        terms.lost = terms.claimed - terms.delivered - terms.late;
        // Parts that came in time may wait for older ones: they are in no term yet.
        let waits = terms.claimed > link.terms.claimed;
        if !waits {
            assert_eq!(link.terms, terms);
        }
        !waits
    }
}
