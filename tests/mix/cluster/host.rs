//! One node: a mixer, what it plays, and its view of the cluster. Its clocks are arguments.

use std::{collections::BTreeMap, sync::Arc};

use mixpool::{
    audio::{Format, MixClock},
    cluster::{Alignment, Event, Node, Reading, Settings},
    mixer::{PEERS_MAX, PartMessage, RoomId, RoomStrip},
    queue::{Consumer, LeaseId, Pool, Producer},
    wire::part::{Shape, cluster_id, room_id},
};

use super::oracle::{Books, Made, Oracle, Own};
use crate::rig::{BLOCK, Rig, Setup, TestStream, noise};

pub const MS: u64 = 1_000_000;
pub const PERIOD: u64 = 20 * MS;
pub const LEAD: u64 = 2;
/// UTC at the beginning.
const UTC: u64 = 1_796_000_000_000 * MS;

/// The rooms that nodes may share.
pub const ROOMS: usize = 2;

pub fn room(index: usize) -> RoomId {
    RoomId::new(1 + index as u32, 0)
}

fn number(index: usize) -> u64 {
    room_id(["studio", "stage"][index], "")
}

pub fn name(host: usize) -> String {
    format!("node-{host}")
}

pub fn host_of(node: &str) -> usize {
    node.strip_prefix("node-").unwrap().parse().unwrap()
}

/// How a node is made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub limited: bool,
    pub payload_bytes_max: usize,
    /// Streams in each room.
    pub streams: [usize; ROOMS],
    /// Largest magnitude of a stream.
    pub peak: i16,
    /// UTC is ahead by it.
    pub utc_ahead_ns: i64,
    /// The monotonic clock is ahead of the time of the test by it.
    pub monotonic_ns: u64,
}

pub struct Host {
    pub index: usize,
    pub plan: Plan,
    pub rig: Rig,
    pub node: Node,
    clock: MixClock,
    seed: u64,
    /// Parts that the node hands over, on their way to the mixer.
    handed: Consumer,
    leases: Vec<LeaseId>,
    /// To the mixer, by place.
    to_mixer: Vec<Producer>,
    streams: Vec<(usize, TestStream)>,
    strips: Vec<(usize, Arc<RoomStrip>)>,
    /// Its samples, and those that it got, by tick.
    pub made: BTreeMap<u64, Made>,
    /// Samples mixed so far, by room.
    mixed: [u64; ROOMS],
    /// The mix that there must be, by room, without limiter.
    expected: [Vec<i16>; ROOMS],
    /// Beside each peer.
    pub books: Books,
    /// Events with their time.
    pub events: Vec<(u64, Event)>,
}

impl Host {
    /// Its first tick is due at `now_ns`.
    pub fn new(index: usize, life: u64, plan: &Plan, now_ns: u64) -> Self {
        let setup = Setup {
            rooms_max: 1 + ROOMS,
            ..Setup::mono().lead(LEAD)
        };
        let setup = if plan.limited { setup.limited() } else { setup };
        let mut rig = setup.rig();
        let clock = MixClock {
            first_block: 0,
            first_ns: now_ns + plan.monotonic_ns,
            period_ns: PERIOD,
            format: Format::new(8000, 1).unwrap(),
            block_samples: BLOCK,
        };
        let builder = Pool::builder().slots(PEERS_MAX).ring_bytes(1 << 17);
        let (pool, handed) = builder.polled(true).build().unwrap();
        let rings: Vec<_> = (0..PEERS_MAX).map(|_| pool.acquire().unwrap()).collect();
        let seed = (index as u64) << 32 | life << 16 | 7;
        let settings = Settings {
            name: name(index),
            shape: Shape {
                cluster: cluster_id("test"),
                format: clock.format,
                block_samples: BLOCK as u16,
                lead_ticks: LEAD as u8,
            },
            clock,
            rooms_max: ROOMS,
            payload_bytes_max: plan.payload_bytes_max,
            seed,
        };
        let leases = rings.iter().map(Producer::lease).collect();
        let node = Node::new(&settings, rings);
        let to_mixer = std::mem::take(&mut rig.part_rings.as_mut().unwrap().peers);
        let (mut streams, mut strips) = (Vec::new(), Vec::new());
        let in_rooms = plan.streams.into_iter().enumerate();
        for (index, count) in in_rooms.filter(|(_, count)| *count > 0) {
            strips.push((index, rig.open_shared(room(index))));
            for _ in 0..count {
                let mut stream = rig.stream_in(room(index));
                stream.next();
                streams.push((index, stream));
            }
        }
        let mut host = Self {
            index,
            plan: plan.clone(),
            rig,
            node,
            clock,
            seed,
            handed,
            leases,
            to_mixer,
            streams,
            strips,
            made: BTreeMap::new(),
            mixed: [0; ROOMS],
            expected: Default::default(),
            books: Books::default(),
            events: Vec::new(),
        };
        for (index, strip) in &host.strips {
            assert!(
                host.node
                    .open_room(number(*index), room(*index), Arc::clone(strip))
            );
        }
        host.read_clocks(now_ns);
        host
    }

    /// Its monotonic clock.
    fn local(&self, now_ns: u64) -> u64 {
        now_ns + self.plan.monotonic_ns
    }

    /// When its next tick is due.
    pub fn tick_due_ns(&self) -> u64 {
        self.clock.due_ns(self.rig.mixer.next_tick()) - self.plan.monotonic_ns
    }

    pub fn judged_ns(&self, now_ns: u64) -> u64 {
        self.node.next_judged_ns(self.local(now_ns)) - self.plan.monotonic_ns
    }

    pub fn is_aligned(&self) -> bool {
        self.node.alignment() == Alignment::Aligned
    }

    /// The numbers of its rooms.
    pub fn rooms(&self) -> Vec<u64> {
        self.strips
            .iter()
            .map(|(index, _)| number(*index))
            .collect()
    }

    pub fn has_room(&self, index: usize) -> bool {
        self.plan.streams[index] > 0
    }

    pub fn read_clocks(&mut self, now_ns: u64) {
        self.node.update(Reading {
            monotonic_ns: self.local(now_ns),
            utc_ns: (UTC + now_ns).wrapping_add_signed(self.plan.utc_ahead_ns),
        });
    }

    /// Runs a tick; the messages to be sent.
    pub fn tick(&mut self, now_ns: u64, oracle: &mut Oracle) -> Vec<Vec<u8>> {
        let tick = self.rig.mixer.next_tick();
        let made = self.made.entry(tick).or_default();
        for (number, (index, stream)) in self.streams.iter_mut().enumerate() {
            let seed = self.seed ^ tick << 40 ^ (number as u64) << 50;
            // Streams pause now and then, each at a time of its own.
            if (tick / 16 + number as u64 + self.seed / 7).is_multiple_of(4) {
                continue;
            }
            let samples = noise(seed, BLOCK, self.plan.peak);
            assert!(stream.place(tick * BLOCK as u64, &samples));
            made.own[*index].add(&samples);
        }
        for (index, own) in made.own.iter_mut().enumerate() {
            own.mixed_before = self.mixed[index];
            self.mixed[index] += u64::from(own.mixed);
        }
        self.rig.mixer.collect();
        self.rig.mixer.tick(tick);
        let message = self.sums();
        self.check_finished(tick, &message, oracle);
        let messages = self.node.send(bytemuck::cast_slice(&message));
        let messages: Vec<_> = messages.map(<[u8]>::to_vec).collect();
        if let Some(block) = self.node.block_of(tick) {
            let own = self.made[&tick].own.clone();
            let incarnation = self.node.incarnation();
            if !messages.is_empty() {
                oracle.sent(self.index, incarnation, block, own);
            }
        }
        self.note_events(now_ns);
        messages
    }

    /// The mixer's message of the tick.
    fn sums(&mut self) -> Vec<u64> {
        let sums = &mut self.rig.part_rings.as_mut().unwrap().sums;
        let mut message = Vec::new();
        while let Some(lease) = sums.next_ready() {
            let copy = |bytes: &[u8]| {
                message.extend(
                    bytes
                        .chunks_exact(8)
                        .map(bytemuck::pod_read_unaligned::<u64>),
                );
            };
            sums.drain(lease, 2, copy).unwrap();
        }
        message
    }

    /// The blocks that a tick has finished are those of the parts that were handed over.
    fn check_finished(&mut self, tick: u64, message: &[u64], oracle: &mut Oracle) {
        let Some(finished) = tick.checked_sub(LEAD) else {
            return;
        };
        let message = PartMessage::parse(bytemuck::cast_slice(message)).unwrap();
        assert_eq!(message.tick, tick);
        for part in message.rooms() {
            let index = part.room.slot() - 1;
            let made = &self.made[&finished];
            let nodes: Vec<_> = made.got[index].keys().copied().collect();
            assert_eq!(part.finished_of, 1 | made.places[index]);
            let own = &made.own[index];
            let sums = made.got[index].values().fold(own.sums(), |mut sums, got| {
                for (sum, got) in sums.iter_mut().zip(got) {
                    *sum += got;
                }
                sums
            });
            if !self.plan.limited {
                let expected = &mut self.expected[index];
                let delay = 40;
                let from = (expected.len()).saturating_sub(delay);
                expected.extend(sums.iter().map(|&sum| crate::rig::cut(sum)));
                let block = &expected[from..expected.len() - delay];
                let crc = crc32fast::hash(bytemuck::cast_slice(block));
                assert_eq!(part.finished_crc, crc, "tick {finished} of {}", self.index);
            }
            if let Some(block) = self.node.block_of(finished) {
                let of = (self.index, self.node.incarnation());
                oracle.finished(index, of, block, &nodes, part.finished_crc);
            }
        }
    }

    pub fn receive(&mut self, from: usize, bytes: &[u8], now_ns: u64, oracle: &Oracle) {
        let now = self.local(now_ns);
        let judged = |tick: u64| self.clock.due_ns(tick + LEAD) - 2 * MS;
        if let Some(sent) = oracle.read(from, bytes)
            && let Some(tick) = self.node.tick_of(sent.block)
            && let Ok(tick) = u64::try_from(tick)
        {
            self.books.arrived(from, &sent, now < judged(tick));
        }
        let _ = self.node.receive(&name(from), bytes, now);
        self.forward(oracle);
        self.note_events(now_ns);
    }

    pub fn poll(&mut self, now_ns: u64, oracle: &Oracle) {
        self.node.poll(self.local(now_ns));
        self.forward(oracle);
        self.note_events(now_ns);
    }

    /// Passes on what was handed over, and checks that it is what its sender sent.
    fn forward(&mut self, oracle: &Oracle) {
        for (place, &lease) in self.leases.iter().enumerate() {
            while let Some(bytes) = self.handed.get(lease).unwrap() {
                let message = PartMessage::parse(&bytes).unwrap();
                let block = self.node.block_of(message.tick).unwrap();
                let node = self.node.name_of(place).unwrap();
                let from = host_of(node);
                for part in message.rooms() {
                    let index = part.room.slot() - 1;
                    let own: &Own = oracle.truth(from, block, index);
                    let sums = own.sums();
                    let read: Vec<i64> = match part.sums {
                        [] => vec![0; BLOCK],
                        sums => sums.iter().map(|&sum| sum.into()).collect(),
                    };
                    assert!(read == sums, "block {block} of {from} at {}", self.index);
                    assert_eq!(part.mixed, own.mixed);
                    // The mixer runs on time here, so it misses none.
                    let made = self.made.entry(message.tick).or_default();
                    made.places[index] |= 2 << place;
                    let before = made.got[index].insert(from, sums);
                    assert_eq!(before, None, "a part twice");
                }
                self.to_mixer[place].publish(&bytes).unwrap();
                bytes.ack();
            }
        }
    }

    pub fn presence(&mut self, of: usize, rooms: &[u64], now_ns: u64) {
        self.node.presence(&name(of), rooms, self.local(now_ns));
    }

    pub fn gone(&mut self, host: usize, now_ns: u64) {
        self.node.gone(&name(host));
        self.note_events(now_ns);
    }

    pub fn note_events(&mut self, now_ns: u64) {
        while let Some(event) = self.node.next_event() {
            self.books.note(&event);
            self.events.push((now_ns, event));
        }
    }

    /// Every link's equation is closed, and its terms are those of the messages that came.
    pub fn check_links(&self, now_ns: u64) -> usize {
        let report = self.node.report(self.local(now_ns));
        assert_eq!(report.events_dropped, 0);
        let mut checked = 0;
        for room in &report.rooms {
            for link in &room.links {
                assert!(link.terms.is_closed(), "{link:?}");
                let peer = report.peers.iter().find(|peer| peer.place == link.place);
                let from = host_of(&peer.unwrap().name);
                checked += usize::from(self.books.check(from, room.room.slot() - 1, link));
            }
        }
        checked
    }
}
