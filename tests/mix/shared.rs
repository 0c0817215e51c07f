//! A room over several mixers: each makes, bit for bit, what one mixer of all streams would make, some ticks later.

use std::sync::Arc;

use mixpool::{
    audio::Gain,
    mixer::{Command, PART_PEAK_MAX, PEERS_MAX, PartMessage, RoomId, RoomStrip, Signal},
};
use proptest::{prelude::*, sample::Index};

use crate::rig::{BLOCK, Rig, Setup, TestStream, cut, noise};

/// The room.
fn room() -> RoomId {
    RoomId::new(1, 0)
}

/// The mixers, whose messages reach each other between two ticks.
struct Nodes {
    rigs: Vec<Rig>,
    /// The room's, by node.
    strips: Vec<Arc<RoomStrip>>,
}

/// A message of sums, by the node that sent it.
type Sums = (usize, Vec<u64>);

impl Nodes {
    fn new(setup: Setup, count: usize) -> Self {
        let node = |_| {
            let mut rig = setup.rooms(2).rig();
            rig.listen();
            let strip = rig.open_shared(room());
            rig.hear(Signal::Room(room()));
            (rig, strip)
        };
        let (rigs, strips) = (0..count).map(node).unzip();
        Self { rigs, strips }
    }

    /// Runs a tick on each node; the messages that come of it.
    fn run(&mut self) -> Vec<Sums> {
        let run = |(from, rig): (usize, &mut Rig)| {
            rig.tick();
            let sums = &mut rig.part_rings.as_mut().unwrap().sums;
            let mut messages = Vec::new();
            while let Some(lease) = sums.next_ready() {
                let copy = |bytes: &[u8]| {
                    let words = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned);
                    messages.push((from, words.collect()));
                };
                sums.drain(lease, 2, copy).unwrap();
            }
            assert_eq!(messages.len(), 1, "a message a tick");
            messages.remove(0)
        };
        self.rigs.iter_mut().enumerate().map(run).collect()
    }

    fn send(&mut self, (from, message): &Sums, to: usize) {
        let peers = &mut self.rigs[to].part_rings.as_mut().unwrap().peers;
        let bytes = bytemuck::cast_slice(message);
        peers[*from].publish(bytes).unwrap();
    }

    fn tick(&mut self) {
        for message in self.run() {
            for to in 0..self.rigs.len() {
                if to != message.0 {
                    self.send(&message, to);
                }
            }
        }
    }
}

/// What was heard of the room, and the index of its first sample, interleaved.
fn heard(rig: &Rig) -> (usize, &[i16]) {
    let wide = usize::from(rig.format.channels());
    match rig.readers[0].runs(room()) {
        [] => (0, &[]),
        [run] => (run.from.unwrap() as usize * wide, &run.heard),
        runs => panic!("with pauses: {} runs", runs.len()),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    Say(i16),
    Lose(u64),
    Mute(bool),
    Gain(f32),
    Leave,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<(Index, Step)>> {
    let peak = prop_oneof![Just(0), Just(300), Just(i16::MAX)];
    let step = prop_oneof![
        4 => Just(Step::Join),
        10 => peak.prop_map(Step::Say),
        1 => (1u64..4).prop_map(Step::Lose),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => prop_oneof![Just(0.0), Just(1.0), 0f32..16.0].prop_map(Step::Gain),
        1 => Just(Step::Leave),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec((any::<Index>(), step), 1..150)
}

/// A participant at its node, and in the one mixer.
struct Caller {
    node: usize,
    senders: [TestStream; 2],
}

proptest! {
    #[test]
    fn nodes_make_what_one_mixer_of_all_makes(
        steps in steps(),
        count in 1usize..5,
        lead in 1u64..4,
        channels in 1u16..=2,
        limited: bool,
    ) {
        let setup = Setup { channels, ..Setup::mono() }.slots(16);
        let setup = if limited { setup.limited() } else { setup };
        let mut one = setup.rooms(2).rig();
        one.listen();
        one.open_room(room());
        one.hear(Signal::Room(room()));
        let mut nodes = Nodes::new(setup.lead(lead), count);
        let mut callers: [Option<Caller>; 4] = Default::default();
        let mut lines = Vec::new();
        let wide = usize::from(channels);
        for (seed, (who, step)) in (0..).zip(&steps) {
            let who = who.index(callers.len());
            let node = who % count;
            match (step, &mut callers[who]) {
                (Step::Join, None) => {
                    let (here, line) = nodes.rigs[node].participant_in(room());
                    let (there, same) = one.participant_in(room());
                    lines.push((node, line, same));
                    callers[who] = Some(Caller { node, senders: [here, there] });
                }
                (Step::Leave, caller) => *caller = None,
                (Step::Tick, _) => {
                    one.tick();
                    nodes.tick();
                }
                (step, Some(Caller { node, senders })) => {
                    let rigs = [&mut nodes.rigs[*node], &mut one];
                    for (sender, rig) in senders.iter_mut().zip(rigs) {
                        let lease = sender.lease();
                        match *step {
                            Step::Say(peak) => _ = sender.say(&noise(seed, BLOCK * wide, peak)),
                            Step::Lose(blocks) => sender.skip(blocks),
                            Step::Mute(muted) => rig.mixer.apply(Command::SetMuted(lease, muted)),
                            Step::Gain(gain) => {
                                let gain = Gain::from_linear(gain).unwrap();
                                rig.mixer.apply(Command::SetGain(lease, gain));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        one.flush();
        nodes.rigs.iter_mut().for_each(Rig::flush);
        let ticks = one.mixer.ticks();
        let (from, all) = heard(&one);
        for rig in &nodes.rigs {
            let (begins, mix) = heard(rig);
            prop_assert!(mix.is_empty() || begins == from);
            // At the end the limiter of a room that is behind looks ahead at nothing.
            let alike = mix.len().saturating_sub(40 * wide);
            prop_assert!(mix[..alike] == all[..alike]);
            prop_assert_eq!(mix.len(), ticks.saturating_sub(lead) as usize * BLOCK * wide);
        }
        for (node, line, same) in lines {
            let (line, same) = (nodes.rigs[node].line(line), one.line(same));
            prop_assert!(line.heard.is_empty() || line.from == same.from);
            let alike = line.heard.len().saturating_sub(40 * wide);
            prop_assert!(line.heard[..alike] == same.heard[..alike]);
            let behind = same.heard.len() - line.heard.len();
            prop_assert!(behind <= lead as usize * BLOCK * wide, "{} samples behind", behind);
        }
    }
}

/// Two nodes with a stream each, and what they said so far.
struct Two {
    nodes: Nodes,
    senders: [TestStream; 2],
    said: [Vec<i16>; 2],
}

const LEAD: u64 = 2;

impl Two {
    fn new(setup: Setup) -> Self {
        let mut nodes = Nodes::new(setup.lead(LEAD), 2);
        let mut stream = |node: usize| nodes.rigs[node].stream_in(room());
        let senders = [stream(0), stream(1)];
        Self {
            nodes,
            senders,
            said: Default::default(),
        }
    }

    /// Each says a block, and a tick runs on each; the messages.
    fn say(&mut self, peak: i16) -> Vec<Sums> {
        for (seed, (sender, said)) in (1..).zip(self.senders.iter_mut().zip(&mut self.said)) {
            let samples = noise(seed + 1000 * said.len() as u64, BLOCK, peak);
            sender.say_all(&samples);
            said.extend(samples);
        }
        self.nodes.run()
    }

    fn exchange(&mut self, messages: &[Sums]) {
        self.nodes.send(&messages[0], 1);
        self.nodes.send(&messages[1], 0);
    }
}

#[test]
fn a_block_without_a_part_is_that_of_the_others() {
    let mut two = Two::new(Setup::mono());
    for tick in 0..20 {
        let messages = two.say(9000);
        two.nodes.send(&messages[0], 1);
        if !(5..8).contains(&tick) {
            two.nodes.send(&messages[1], 0);
        }
    }
    let expected = |node: usize| -> Vec<i16> {
        let sum = |(at, (&here, &there)): (usize, (&i16, &i16))| {
            let is_lost = node == 0 && (5..8).contains(&(at / BLOCK));
            cut(i64::from(here) + if is_lost { 0 } else { i64::from(there) })
        };
        let both = two.said[node].iter().zip(&two.said[1 - node]);
        both.enumerate().map(sum).collect()
    };
    for (node, rig) in two.nodes.rigs.iter_mut().enumerate() {
        rig.flush();
        let expected = expected(node);
        let (_, mix) = heard(rig);
        assert_eq!(mix, &expected[..mix.len()], "node {node}");
    }
}

#[test]
fn a_message_says_of_which_nodes_the_last_block_was_made() {
    let mut two = Two::new(Setup::mono());
    let mut made = Vec::new();
    for tick in 0..12 {
        let messages = two.say(9000);
        for (_, words) in &messages {
            let message = PartMessage::parse(bytemuck::cast_slice(words)).unwrap();
            assert_eq!(message.tick, tick);
            let parts: Vec<_> = message.rooms().collect();
            assert_eq!(parts.len(), 1);
            assert_eq!((parts[0].room, parts[0].streams), (room(), 1));
            assert_eq!(
                (parts[0].mixed_before, parts[0].mixed as usize),
                (tick * BLOCK as u64, BLOCK)
            );
            made.push((parts[0].finished_of, parts[0].finished_crc));
        }
        if tick != 6 {
            two.exchange(&messages);
        }
    }
    for (tick, both) in made.chunks(2).enumerate() {
        // The seventh part of each is lost.
        let is_of_both = !matches!(tick, 0 | 1 | 8);
        // Bit 0 is the node itself. At node 0 the other one has ring 1, at node 1 it has ring 0.
        let of = if is_of_both { [0b101, 0b11] } else { [1, 1] };
        assert_eq!([both[0].0, both[1].0], of, "tick {tick}");
        assert_eq!(
            both[0].1 == both[1].1,
            tick < 2 || is_of_both && tick != 9,
            "tick {tick}"
        );
    }
}

#[test]
fn after_a_lost_part_limited_mixes_are_equal_again() {
    let mut two = Two::new(Setup::mono().limited());
    // Seven release constants of 80 ms, and the look-ahead.
    let forgotten = 29;
    for tick in 0..80 {
        let messages = two.say(i16::MAX);
        two.nodes.send(&messages[0], 1);
        if tick != 10 {
            two.nodes.send(&messages[1], 0);
        }
    }
    let [(_, a), (_, b)] = [heard(&two.nodes.rigs[0]), heard(&two.nodes.rigs[1])];
    assert_eq!(a.len(), b.len());
    assert_eq!(a[..9 * BLOCK], b[..9 * BLOCK]);
    assert_ne!(a[10 * BLOCK..11 * BLOCK], b[10 * BLOCK..11 * BLOCK]);
    assert_eq!(a[(11 + forgotten) * BLOCK..], b[(11 + forgotten) * BLOCK..]);
}

#[test]
fn a_part_of_a_tick_that_is_over_is_counted_as_missed() {
    let mut two = Two::new(Setup::mono());
    let mut late = Vec::new();
    for tick in 0..10 {
        let messages = two.say(100);
        late.push(messages[1].clone());
        if tick >= 4 {
            for message in late.drain(..) {
                two.nodes.send(&message, 0);
            }
        }
    }
    // When the fifth message came, the parts of three ticks were too late.
    let missed = |peer| two.nodes.strips[0].parts_missed(peer);
    assert_eq!((missed(0), missed(1)), (0, 3 * BLOCK as u64));
}

#[test]
fn a_solo_on_one_node_silences_the_others_streams() {
    let mut two = Two::new(Setup::mono());
    for tick in 0..30 {
        if tick == 5 {
            let lease = two.senders[0].lease();
            two.nodes.rigs[0].mixer.apply(Command::SetSolo(lease, true));
        }
        let messages = two.say(9000);
        two.exchange(&messages);
    }
    let muted = two.senders[1].entry().muted;
    assert!(muted as usize >= 20 * BLOCK, "{muted} samples");
    assert_eq!(two.senders[0].entry().muted, 0);
}

#[test]
fn a_move_to_a_shared_room_repeats_no_index_of_a_mix_minus() {
    let mut nodes = Nodes::new(Setup::mono().lead(LEAD), 1);
    let (mut sender, line) = nodes.rigs[0].participant(Gain::UNITY);
    let mut other = nodes.rigs[0].stream_in(room());
    for tick in 0..16 {
        if tick == 8 {
            nodes.rigs[0].move_to(sender.lease(), room(), false);
        }
        sender.say_all(&noise(3, BLOCK, 900));
        other.say_all(&[tick + 1; BLOCK]);
        nodes.tick();
    }
    let line = nodes.rigs[0].line(line);
    let moved = 8 * BLOCK;
    let expected = (0..line.heard.len()).map(|at| {
        let is_moved = at >= moved - 40;
        if is_moved { (at / BLOCK) as i16 + 1 } else { 0 }
    });
    assert_eq!(
        (line.from, line.heard.len()),
        (Some(0), (16 - LEAD as usize) * BLOCK - 40)
    );
    assert!(line.heard.iter().copied().eq(expected));
}

#[test]
fn peers_are_as_many_as_a_sum_has_room_for() {
    let all = (PEERS_MAX as i64 + 1) * i64::from(PART_PEAK_MAX - 1);
    assert!(all <= i64::from(i32::MAX));
}
