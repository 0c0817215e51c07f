use crate::{
    audio::Format,
    cluster::{LinkTerms, Off, PeerState, Refusal, Rejected},
    mixer::{PartMessageMut, RoomPart, part_message_bytes},
    queue::{Consumer, Pool},
    wire::part::{PartError, cluster_id},
};

use super::*;

mod any;

const MS: u64 = 1_000_000;
const PERIOD: u64 = 20 * MS;
const BLOCK: usize = 4;
/// The first tick is due then, at a whole number of periods in UTC.
const START: u64 = 1_000 * MS;
const UTC: u64 = 1_796_000_000_000 * MS;
/// The block of tick 0.
const FIRST: u64 = UTC / PERIOD;
const ROOM: u64 = 77;

fn shape() -> Shape {
    Shape {
        cluster: cluster_id("c"),
        format: Format::new(1000, 1).unwrap(),
        block_samples: BLOCK as u16,
        lead_ticks: 2,
    }
}

fn room() -> RoomId {
    RoomId::new(1, 0)
}

/// A node named `b`, and the mixer's ends of its rings.
struct Desk {
    node: Node,
    handed: Consumer,
    now_ns: u64,
}

impl Desk {
    fn new() -> Self {
        let builder = Pool::builder().slots(PEERS_MAX).ring_bytes(1 << 12);
        let (pool, handed) = builder.polled(true).build().unwrap();
        let rings = (0..PEERS_MAX).map(|_| pool.acquire().unwrap()).collect();
        let settings = Settings {
            name: "b".into(),
            shape: shape(),
            clock: MixClock {
                first_block: 0,
                first_ns: START,
                period_ns: PERIOD,
                format: shape().format,
                block_samples: BLOCK,
            },
            rooms_max: 2,
            payload_bytes_max: 1 << 20,
            seed: 5,
        };
        let mut node = Node::new(&settings, rings);
        assert!(node.open_room(ROOM, room(), Arc::default()));
        Self {
            node,
            handed,
            now_ns: START,
        }
    }

    /// The same, with numbers of blocks, at tick 50; `a` is present.
    fn aligned() -> Self {
        let mut desk = Self::new();
        desk.node.presence("a", &[ROOM], desk.now_ns);
        desk.clocks(0);
        // It is not the first by its name.
        desk.to(50, 0);
        assert_eq!(desk.node.alignment(), Alignment::Aligned);
        assert_eq!(desk.node.block_of(0), Some(FIRST));
        desk.events();
        desk
    }

    fn clocks(&mut self, ahead_ns: i64) {
        self.node.update(Reading {
            monotonic_ns: self.now_ns,
            utc_ns: (UTC + self.now_ns - START).wrapping_add_signed(ahead_ns),
        });
    }

    /// So long after a tick was due.
    fn to(&mut self, tick: u64, after_ns: u64) {
        let to_ns = START + tick * PERIOD + after_ns;
        while self.now_ns < to_ns {
            self.now_ns = self.node.next_judged_ns(self.now_ns).min(to_ns);
            self.node.poll(self.now_ns);
        }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.node.next_event()).collect()
    }

    /// A message of this node with its part of a tick.
    fn hear_as(
        &mut self,
        name: &str,
        incarnation: u64,
        tick: u64,
        mixed: u32,
    ) -> Result<(), Rejected> {
        let mut writer = Writer::new(shape(), 1 << 20);
        writer.begin(incarnation, FIRST + tick);
        writer.push(&figures(tick, mixed), &[7; BLOCK]).unwrap();
        let message = writer.finish().next().unwrap().to_vec();
        self.node.receive(name, &message, self.now_ns)
    }

    fn hear(&mut self, tick: u64) -> Result<(), Rejected> {
        self.hear_as("a", 1, tick, 4)
    }

    /// Parts of these ticks, each as it is due.
    fn hear_all(&mut self, ticks: std::ops::Range<u64>) {
        for tick in ticks {
            self.to(tick, MS);
            self.hear(tick).unwrap();
        }
    }

    /// The ticks of the parts that were handed over.
    fn handed(&mut self) -> Vec<u64> {
        let mut ticks = Vec::new();
        let leases: Vec<_> = self
            .node
            .peers
            .iter()
            .map(|peer| peer.ring.lease())
            .collect();
        for lease in leases {
            let take = |bytes: &[u8]| ticks.push(PartMessage::parse(bytes).unwrap().tick);
            self.handed.drain(lease, 64, take).unwrap();
        }
        ticks
    }

    /// The messages for the mixer's sums of a tick.
    fn send(&mut self, tick: u64, sums: &[i32]) -> Vec<Vec<u8>> {
        let mut memory = vec![0u64; part_message_bytes([sums.len()].into_iter()) / 8];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
        PartMessageMut::new(bytes, tick, 1).push(&RoomPart {
            room: room(),
            streams: 1,
            solos: 0,
            mixed_before: 4 * tick,
            mixed: 4,
            finished_crc: 9,
            finished_of: 1,
            sums,
        });
        self.node.send(bytes).map(<[u8]>::to_vec).collect()
    }

    fn terms(&self) -> LinkTerms {
        self.node.report(self.now_ns).rooms[0].links[0].terms
    }

    fn refused(&self, why: Refusal) -> u64 {
        let report = self.node.report(self.now_ns);
        let peers = report.peers.iter().map(|peer| peer.refused.of(why));
        report.refused.of(why) + peers.sum::<u64>()
    }
}

fn figures(tick: u64, mixed: u32) -> Figures {
    Figures {
        room: ROOM,
        mixed_before: 4 * tick,
        mixed,
        streams: 1,
        solos: 0,
        finished_crc: 0,
        finished_nodes: 0,
    }
}

fn refused(why: Refusal) -> Result<(), Rejected> {
    Err(Rejected::Refused(why))
}

#[test]
fn nothing_is_sent_while_no_other_node_has_the_room() {
    let mut desk = Desk::new();
    desk.clocks(0);
    desk.to(100, 0);
    assert_eq!(desk.node.alignment(), Alignment::Idle);
    assert!(desk.send(100, &[1; BLOCK]).is_empty());
    let mut desk = Desk::aligned();
    assert_eq!(desk.send(50, &[1; BLOCK]).len(), 1);
    desk.node.presence("a", &[ROOM + 1], desk.now_ns);
    assert!(desk.send(51, &[1; BLOCK]).is_empty());
    desk.node.presence("a", &[ROOM], desk.now_ns);
    assert_eq!(desk.send(52, &[1; BLOCK]).len(), 1);
    desk.node.gone("a");
    assert!(desk.send(53, &[1; BLOCK]).is_empty());
}

#[test]
fn a_tick_is_sent_once() {
    let mut desk = Desk::aligned();
    assert_eq!(desk.send(50, &[1; BLOCK]).len(), 1);
    assert!(desk.send(50, &[1; BLOCK]).is_empty());
    assert!(desk.send(49, &[1; BLOCK]).is_empty());
}

#[test]
fn a_part_too_loud_is_sent_as_silence_without_its_samples() {
    let mut desk = Desk::aligned();
    let sent = desk.send(50, &[1 << 27; BLOCK]);
    let message = crate::wire::part::Message::parse(&sent[0], &shape()).unwrap();
    assert_eq!(message.head.block, FIRST + 50);
    let (part, _) = message.parts().next().unwrap();
    assert!(part.sums.is_silence());
    assert_eq!((part.figures.mixed_before, part.figures.mixed), (200, 0));
    assert_eq!(desk.node.report(desk.now_ns).too_loud, 1);
}

#[test]
fn parts_are_handed_over_in_the_order_of_ticks() {
    let mut desk = Desk::aligned();
    desk.to(50, MS);
    desk.hear(50).unwrap();
    desk.to(52, 0);
    desk.hear(52).unwrap();
    assert_eq!(desk.handed(), [50]);
    desk.hear(51).unwrap();
    assert_eq!(desk.handed(), [51, 52]);
}

#[test]
fn a_part_is_late_2_ms_before_its_tick_is_finished() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..51);
    desk.to(52, MS);
    desk.hear(52).unwrap();
    desk.to(52, PERIOD - 2 * MS - 1);
    assert_eq!(desk.handed(), [50]);
    desk.to(52, PERIOD - 2 * MS);
    assert_eq!(desk.handed(), [52]);
    desk.hear(51).unwrap();
    assert!(desk.handed().is_empty());
    let terms = desk.terms();
    assert_eq!(
        (terms.claimed, terms.delivered, terms.late, terms.lost),
        (12, 8, 4, 0)
    );
    let missing = Event::Missing {
        room: room(),
        node: "a".into(),
        first_tick: 51,
        ticks: 1,
    };
    assert!(desk.events().contains(&missing));
}

#[test]
fn each_message_out_of_place_is_refused_by_its_kind() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    assert_eq!(desk.hear_as("b", 1, 60, 4), refused(Refusal::OwnName));
    assert_eq!(desk.hear_as("a", 2, 60, 4), refused(Refusal::Incarnation));
    assert_eq!(desk.hear_as("c", 1, 63, 4), refused(Refusal::Ahead));
    desk.hear(61).unwrap();
    assert_eq!(desk.hear(61), refused(Refusal::Duplicate));
    let short = desk.node.receive("x", &[], desk.now_ns);
    assert_eq!(short, Err(PartError::TooShort { bytes: 0 }.into()));
    // Those of known nodes are theirs; parts of a message that is taken are counted alone.
    desk.hear_as("a", 1, 60, 5).unwrap();
    desk.hear(49).unwrap();
    for (why, count) in [
        (Refusal::OwnName, 1),
        (Refusal::Incarnation, 1),
        (Refusal::Ahead, 1),
        (Refusal::Duplicate, 1),
        (Refusal::TooShort, 1),
        (Refusal::Mixed, 1),
        (Refusal::Old, 1),
    ] {
        assert_eq!(desk.refused(why), count, "{why:?}");
    }
}

#[test]
fn one_number_that_cannot_be_costs_no_other_part() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    for tick in [1 << 40, 90] {
        assert_eq!(desk.hear(tick), refused(Refusal::Ahead));
    }
    desk.hear_all(60..70);
    let terms = desk.terms();
    assert_eq!((terms.claimed, terms.delivered), (80, 80));
    assert_eq!(
        desk.node.report(desk.now_ns).peers[0].last_block,
        FIRST + 69
    );
}

#[test]
fn a_node_without_numbers_takes_no_parts() {
    let mut desk = Desk::new();
    desk.clocks(0);
    assert_eq!(desk.hear(0), refused(Refusal::Unaligned));
    // But it then knows that it shares the room.
    desk.to(1, 0);
    assert_eq!(desk.node.alignment(), Alignment::Listening);
}

#[test]
fn a_sixteenth_node_has_no_place_until_one_is_away() {
    let mut desk = Desk::aligned();
    desk.to(50, MS);
    for peer in 1..15 {
        desk.hear_as(&format!("n{peer}"), 1, 50, 4).unwrap();
    }
    assert_eq!(desk.hear_as("late", 1, 50, 4), refused(Refusal::NodesMax));
    desk.to(101, MS);
    desk.hear_as("late", 1, 101, 4).unwrap();
    let report = desk.node.report(desk.now_ns);
    assert_eq!(report.peers.len(), 15);
    let late = report
        .peers
        .iter()
        .find(|peer| *peer.name == *"late")
        .unwrap();
    assert_eq!((late.state, late.refused.total()), (PeerState::Up, 0));
}

#[test]
fn a_name_is_another_incarnations_1_s_after_its_last_message() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    desk.to(109, MS - 1);
    assert_eq!(desk.hear_as("a", 2, 109, 4), refused(Refusal::Incarnation));
    desk.to(109, MS);
    desk.hear_as("a", 2, 109, 4).unwrap();
    desk.to(112, 0);
    assert_eq!(desk.hear(112), refused(Refusal::Incarnation));
    let report = desk.node.report(desk.now_ns);
    assert_eq!(report.peers[0].incarnation, 2);
    // Its account goes on from a new beginning.
    assert_eq!(desk.terms().claimed, 44);
}

#[test]
fn a_node_is_down_after_150_ms_and_up_with_its_next_part() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    let up = |block| Event::NodeUp {
        node: "a".into(),
        block: FIRST + block,
        tick: block,
    };
    assert_eq!(desk.events(), [up(50)]);
    desk.to(59, 150 * MS);
    assert!(desk.events().is_empty());
    desk.to(59, 170 * MS);
    let down = Event::NodeDown {
        node: "a".into(),
        rooms: vec![room()],
        streams: 1,
        last_block: FIRST + 59,
    };
    assert_eq!(desk.events(), [down]);
    let link = desk.node.report(desk.now_ns).rooms[0].links[0];
    assert_eq!(link.unknown_since, Some(FIRST + 60));
    desk.hear_all(80..90);
    let missing = Event::Missing {
        room: room(),
        node: "a".into(),
        first_tick: 60,
        ticks: 20,
    };
    assert_eq!(desk.events(), [missing, up(80)]);
    let terms = desk.terms();
    assert_eq!((terms.claimed, terms.delivered, terms.lost), (160, 80, 80));
}

#[test]
fn a_node_that_leaves_a_room_is_not_missing() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    desk.events();
    for tick in 60..70 {
        desk.to(tick, MS);
        let mut writer = Writer::new(shape(), 1 << 20);
        writer.begin(1, FIRST + tick);
        let elsewhere = Figures {
            room: ROOM + 1,
            ..figures(tick, 4)
        };
        writer.push(&elsewhere, &[]).unwrap();
        let message = writer.finish().next().unwrap().to_vec();
        desk.node.receive("a", &message, desk.now_ns).unwrap();
    }
    assert!(desk.events().is_empty());
    assert_eq!(desk.refused(Refusal::UnknownRoom), 10);
    // Samples that it mixed elsewhere are no loss when it comes back.
    desk.hear_all(70..80);
    let terms = desk.terms();
    assert_eq!((terms.claimed, terms.lost), (80, 0));
}

#[test]
fn a_full_ring_refuses_a_part_and_counts_its_samples() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..150);
    let handed = desk.handed().len() as u64;
    let terms = desk.terms();
    assert_eq!(terms.delivered, 4 * handed);
    assert_eq!(terms.refused, 4 * (100 - handed));
    assert_eq!(desk.refused(Refusal::RingFull), 100 - handed);
    desk.hear_all(150..151);
    assert_eq!(desk.handed(), [150]);
}

#[test]
fn a_node_off_by_more_than_the_lead_is_named_with_the_figure() {
    let mut desk = Desk::aligned();
    // Its numbers are 41 ms late, those of a third node are not.
    for tick in 50..80 {
        desk.to(tick, MS);
        desk.hear_as("c", 1, tick, 4).unwrap();
        let _ = desk.hear(tick - 2);
    }
    let off = Event::NodeOff {
        node: "a".into(),
        ahead_ns: -41 * MS as i64,
    };
    assert!(desk.events().contains(&off));
    assert!(desk.refused(Refusal::Clock) > 20);
    let report = desk.node.report(desk.now_ns);
    assert_eq!(report.peers[0].state, PeerState::Off);
}

#[test]
fn a_node_alone_says_why_and_takes_no_parts() {
    let mut desk = Desk::aligned();
    desk.hear_all(50..60);
    desk.clocks(1_000 * MS as i64);
    let by_ns = 1_000 * MS as i64;
    let alone = Alignment::Alone(Off::Stepped { by_ns });
    assert_eq!(desk.node.alignment(), alone);
    assert_eq!(desk.hear(60), refused(Refusal::Unaligned));
    assert!(desk.send(60, &[1; BLOCK]).is_empty());
    let told = desk.events();
    let is_told =
        |event: &Event| matches!(event, Event::Alignment { alignment, .. } if *alignment == alone);
    assert!(told.iter().any(is_told));
}

#[test]
fn a_room_is_opened_once_and_up_to_the_limit() {
    let mut desk = Desk::new();
    let other = RoomId::new(2, 0);
    assert!(!desk.node.open_room(ROOM, other, Arc::default()));
    assert!(!desk.node.open_room(ROOM + 1, room(), Arc::default()));
    assert!(desk.node.open_room(ROOM + 1, other, Arc::default()));
    let third = RoomId::new(3, 0);
    assert!(!desk.node.open_room(ROOM + 2, third, Arc::default()));
    desk.node.close_room(other);
    assert!(desk.node.open_room(ROOM + 2, third, Arc::default()));
}
