//! Messages, clocks and presence of any kind: nothing panics, and every link stays closed.

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// Time passes.
    Pass(u64),
    /// UTC is ahead by it.
    Clocks(i64),
    Message(Parts),
    Bytes(Vec<u8>),
    Presence(u8, Vec<u64>),
    Gone(u8),
    Open(u64, u32),
    Close(u32),
    Send(u64),
}

/// A message of parts with any claims.
#[derive(Debug, Clone)]
struct Parts {
    from: u8,
    incarnation: u64,
    /// Ticks from now.
    ahead: i64,
    pieces: bool,
    rooms: Vec<Figures>,
}

fn any_figures() -> impl Strategy<Value = Figures> {
    let edge = || prop_oneof![4 => 0u64..2_000, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let claims = (edge(), 0u32..9, prop_oneof![0u32..3, any::<u32>()], 0u16..3);
    (ROOM..ROOM + 4, claims, any::<u32>(), any::<u8>()).prop_map(
        |(room, (mixed_before, mixed, streams, solos), finished_crc, finished_nodes)| Figures {
            room,
            mixed_before,
            mixed,
            streams,
            solos,
            finished_crc: finished_crc % 2,
            finished_nodes,
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![8 => -4i64..4, 1 => -200i64..200, 1 => any::<i64>()];
    let from = || 0u8..18;
    let message = (
        from(),
        0u64..3,
        ahead,
        any::<bool>(),
        vec(any_figures(), 0..5),
    )
        .prop_map(|(from, incarnation, ahead, pieces, rooms)| {
            Step::Message(Parts {
                from: from.min(2 + from / 9),
                incarnation,
                ahead,
                pieces,
                rooms,
            })
        });
    prop_oneof![
        30 => message,
        6 => prop_oneof![9 => 0..30 * MS, 1 => 0..3_000 * MS].prop_map(Step::Pass),
        1 => prop_oneof![Just(0), -30_000_000i64..30_000_000, any::<i64>()].prop_map(Step::Clocks),
        1 => vec(any::<u8>(), 0..99).prop_map(Step::Bytes),
        2 => (from(), vec(ROOM..ROOM + 4, 0..4)).prop_map(|(from, rooms)| Step::Presence(from, rooms)),
        1 => from().prop_map(Step::Gone),
        1 => (ROOM..ROOM + 4, 1u32..4).prop_map(|(number, slot)| Step::Open(number, slot)),
        1 => (1u32..4).prop_map(Step::Close),
        4 => (0u64..3).prop_map(Step::Send),
    ]
}

impl Desk {
    fn message(&mut self, parts: &Parts) {
        let number = (self.now_ns - START) / PERIOD + FIRST;
        let payload = if parts.pieces { 0 } else { 1 << 20 };
        let mut writer = Writer::new(shape(), payload);
        writer.begin(parts.incarnation, number.wrapping_add_signed(parts.ahead));
        for figures in &parts.rooms {
            writer.push(figures, &[3, -70_000, 1 << 26, 0]).unwrap();
        }
        let messages: Vec<_> = writer.finish().map(<[u8]>::to_vec).collect();
        for message in messages.iter().rev() {
            let _ = self
                .node
                .receive(&format!("n{}", parts.from), message, self.now_ns);
        }
    }

    fn step(&mut self, step: &Step) {
        let now_ns = self.now_ns;
        match step {
            Step::Pass(ns) => {
                self.now_ns += ns;
                self.node.poll(self.now_ns);
            }
            Step::Clocks(ahead_ns) => self.clocks(*ahead_ns),
            Step::Message(parts) => self.message(parts),
            Step::Bytes(bytes) => _ = self.node.receive("n1", bytes, now_ns),
            Step::Presence(of, rooms) => self.node.presence(&format!("n{of}"), rooms, now_ns),
            Step::Gone(of) => self.node.gone(&format!("n{of}")),
            Step::Open(number, slot) => {
                self.node
                    .open_room(*number, RoomId::new(*slot, 0), Arc::default());
            }
            Step::Close(slot) => self.node.close_room(RoomId::new(*slot, 0)),
            Step::Send(more) => {
                let tick = (now_ns - START) / PERIOD + more;
                self.send(tick, &[1, 2, 3, 4]);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_steps_leave_every_account_closed(
        aligned: bool,
        steps in vec(any_step(), 0..120),
    ) {
        let mut desk = if aligned { Desk::aligned() } else { Desk::new() };
        let mut last = 0;
        for step in &steps {
            desk.step(step);
            for tick in desk.handed() {
                last = tick.max(last);
            }
            let report = desk.node.report(desk.now_ns);
            prop_assert!(report.peers.len() <= PEERS_MAX && report.rooms.len() <= 2);
            for link in report.rooms.iter().flat_map(|room| &room.links) {
                prop_assert!(link.terms.is_closed(), "{:?}", link);
            }
            desk.events();
        }
        // No tick is handed over that is further ahead than the lead.
        let now_tick = (desk.now_ns - START) / PERIOD;
        prop_assert!(last <= now_tick + 4);
    }
}
