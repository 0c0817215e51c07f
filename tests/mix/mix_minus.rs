//! A participant hears the mix without itself: the very samples of a mixer of the others alone,
//! limited or not, with any loss of frames. Where that is the whole mix, a frame says so and
//! holds no samples.

use mixpool::{
    audio::Gain,
    mixer::{CONTRIBUTORS_MAX, Command, Limiting, NewInput, ReaderId, RoomId},
};
use proptest::{prelude::*, sample::Index};

use crate::{
    readers::mix_ring,
    rig::{BLOCK, Rig, Setup, TestStream, cut, noise},
};

/// Fewer than bring a new beginning: not a participant's affair.
const TICKS_MAX: usize = 40;

#[derive(Debug, Clone)]
enum Step {
    Join,
    /// A frame of so many samples per channel comes in order, this loud.
    Say(usize, i16),
    Damaged,
    /// So many blocks never come.
    Lose(u64),
    Mute(bool),
    Gain(f32),
    Leave,
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<(Index, Step)>> {
    let len = 0usize..400;
    let peak = prop_oneof![Just(0), Just(300), Just(i16::MAX)];
    let step = prop_oneof![
        4 => Just(Step::Join),
        4 => (len, peak.clone()).prop_map(|(len, peak)| Step::Say(len, peak)),
        10 => peak.prop_map(|peak| Step::Say(BLOCK, peak)),
        1 => Just(Step::Damaged),
        2 => (1u64..4).prop_map(Step::Lose),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => prop_oneof![Just(0.0), Just(1.0), 0f32..16.0].prop_map(Step::Gain),
        1 => Just(Step::Leave),
        10 => Just(Step::Tick),
    ];
    prop::collection::vec((any::<Index>(), step), 1..200)
}

/// The mixer of all participants, and for each of them a mixer of the others alone.
struct Hall {
    all: Rig,
    lines: Vec<Option<usize>>,
    others: Vec<Rig>,
    /// By rig, that of all first; by participant.
    senders: Vec<Vec<Option<TestStream>>>,
    /// Where each participant's feed begins, in interleaved samples of its mixer's.
    joined: Vec<usize>,
}

impl Hall {
    fn new(setup: Setup, count: usize) -> Self {
        let mut all = setup.rig();
        all.listen();
        let nobody = || (0..count).map(|_| None).collect();
        Self {
            all,
            lines: vec![None; count],
            others: (0..count).map(|_| setup.rig()).collect(),
            senders: (0..=count).map(|_| nobody()).collect(),
            joined: vec![0; count],
        }
    }

    /// The participant comes, to every mixer but that of the others.
    fn join(&mut self, who: usize) {
        if self.lines[who].is_some() {
            return;
        }
        let (sender, line) = self.all.participant(Gain::UNITY);
        self.lines[who] = Some(line);
        let wide = usize::from(self.all.format.channels());
        self.joined[who] = self.all.mixer.ticks() as usize * BLOCK * wide;
        self.senders[0][who] = Some(sender);
        for (without, rig) in self.others.iter_mut().enumerate() {
            if without != who {
                self.senders[1 + without][who] = Some(rig.stream());
            }
        }
    }

    /// The participant does something, wherever it is.
    fn each(&mut self, who: usize, mut act: impl FnMut(&mut Rig, &mut TestStream)) {
        let rigs = [&mut self.all].into_iter().chain(&mut self.others);
        for (rig, senders) in rigs.zip(&mut self.senders) {
            if let Some(sender) = &mut senders[who] {
                act(rig, sender);
            }
        }
    }

    fn leave(&mut self, who: usize) {
        for senders in &mut self.senders {
            senders[who] = None;
        }
    }

    fn tick(&mut self) {
        self.all.tick();
        for rig in &mut self.others {
            rig.tick();
        }
    }

    fn flush(&mut self) {
        self.all.flush();
        for rig in &mut self.others {
            rig.flush();
        }
    }

    /// All that anybody heard is what the mixer of the others gave meanwhile.
    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.all.mix_heard() == self.all.output);
        for (who, rig) in self.others.iter().enumerate() {
            let Some(line) = self.lines[who] else {
                continue;
            };
            let line = self.all.line(line);
            let heard = self.joined[who]..self.joined[who] + line.heard.len();
            prop_assert!(line.heard == rig.output[heard], "participant {who}");
            prop_assert!(line.closed || line.heard.len() + self.joined[who] == rig.output.len());
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_participant_hears_what_a_mixer_of_the_others_gives(
        steps in steps(),
        count in 1usize..5,
        channels in 1u16..=2,
        limited: bool,
    ) {
        let setup = Setup { channels, ..Setup::mono() };
        let mut hall = Hall::new(if limited { setup.limited() } else { setup }, count);
        let wide = usize::from(channels);
        for (seed, (who, step)) in (0..).zip(&steps) {
            let who = who.index(count);
            match *step {
                Step::Join => hall.join(who),
                Step::Say(len, peak) => {
                    let samples = noise(seed, len * wide, peak);
                    hall.each(who, |_, sender| _ = sender.say(&samples));
                }
                Step::Damaged => {
                    let samples = noise(seed, BLOCK * wide, i16::MAX);
                    hall.each(who, |_, sender| {
                        let next = sender.next();
                        sender.place_damaged(next, &samples);
                        sender.skip(1);
                    });
                }
                Step::Lose(blocks) => hall.each(who, |_, sender| sender.skip(blocks)),
                Step::Mute(muted) => hall.each(who, |rig, sender| {
                    rig.mixer.apply(Command::SetMuted(sender.lease(), muted));
                }),
                Step::Gain(gain) => hall.each(who, |rig, sender| {
                    let gain = Gain::from_linear(gain).unwrap();
                    rig.mixer.apply(Command::SetGain(sender.lease(), gain));
                }),
                Step::Leave => hall.leave(who),
                Step::Tick if hall.all.mixer.ticks() as usize == TICKS_MAX => break,
                Step::Tick => hall.tick(),
            }
        }
        hall.flush();
        hall.check()?;
    }
}

/// The mix-minus of each of many participants, by plain arithmetic in `i64`.
fn everybody_hears_the_others(count: usize, channels: u16) {
    let setup = Setup {
        channels,
        ..Setup::mono()
    };
    let len = 4 * BLOCK * usize::from(channels);
    let mut rig = setup.slots(count).ring(1 << 14).rig();
    rig.listen();
    let (mut lines, mut given) = (Vec::new(), Vec::new());
    for who in 0..count {
        let linear = [1.0, 0.5, 0.0, 1.7][who % 4];
        let (mut sender, line) = rig.participant(Gain::from_linear(linear).unwrap());
        let samples = noise(who as u64 + 1, len, 9000);
        sender.say_all(&samples);
        let muted = who % 5 == 4;
        rig.mixer.apply(Command::SetMuted(sender.lease(), muted));
        let gained = |&sample: &i16| (f32::from(sample) * linear).round_ties_even() as i64;
        let given_by: Vec<_> = samples.iter().map(gained).collect();
        given.push(if muted { vec![0; len] } else { given_by });
        lines.push((sender, line));
    }
    rig.ticks(4);
    rig.flush();
    let sum: Vec<i64> = (0..len)
        .map(|index| given.iter().map(|given| given[index]).sum())
        .collect();
    for ((_, line), given) in lines.iter().zip(&given) {
        let expected = sum.iter().zip(given).map(|(sum, given)| cut(sum - given));
        let line = rig.line(*line);
        assert!(line.heard.iter().copied().eq(expected));
        let silent = given.iter().all(|&sample| sample == 0);
        assert_eq!(line.same, if silent { 5 } else { 0 });
    }
}

#[test]
fn two_hundred_participants_hear_the_sum_of_the_others() {
    everybody_hears_the_others(200, 1);
    everybody_hears_the_others(50, 2);
}

/// Two constant senders, and one with a feed that is looked at: a mix this loud, and the tick's blocks
/// that the third says. Whether each of its blocks is the room's.
fn hear(loud: i16, limiting: Limiting, says: impl Fn(u64) -> Vec<i16>) -> Vec<bool> {
    let setup = Setup {
        limiting,
        ..Setup::mono()
    };
    let mut rig = setup.rig();
    rig.listen();
    let mut senders = [rig.stream(), rig.stream()];
    let (mut third, line) = rig.participant(Gain::UNITY);
    let mut same = Vec::new();
    for tick in 0..40 {
        for (at, sender) in senders.iter_mut().enumerate() {
            sender.say(&noise(2 * tick + at as u64, BLOCK, loud));
        }
        match says(tick) {
            samples if samples.is_empty() => third.skip(1),
            samples => assert!(third.say(&samples)),
        }
        let before = rig.line(line).same;
        rig.tick();
        same.push(rig.line(line).same > before);
    }
    assert_eq!(rig.line(line).frames, 40);
    same
}

#[test]
fn who_adds_nothing_hears_the_whole_mix() {
    for limiting in [Limiting::Saturate, Limiting::Limiter] {
        for loud in [300, i16::MAX] {
            // Neither a participant without frames nor a silent one.
            for says in [vec![], vec![0; BLOCK]] {
                let same = hear(loud, limiting, |_| says.clone());
                assert!(same.iter().all(|&same| same), "{limiting:?}, {loud}");
            }
        }
    }
}

#[test]
fn a_silent_participant_gets_the_whole_mix_at_once_if_it_fits() {
    let words = |tick| match tick {
        5..8 => noise(99, BLOCK, 300),
        _ => vec![0; BLOCK],
    };
    let mut expected = vec![true; 40];
    // The rest of it comes out in the next block.
    expected[5..9].fill(false);
    assert_eq!(hear(300, Limiting::Saturate, words), expected);
    assert_eq!(hear(300, Limiting::Limiter, words), expected);
}

#[test]
fn a_silent_participant_gets_the_limited_mix_soon() {
    let words = |tick| match tick {
        5..8 => noise(99, BLOCK, i16::MAX),
        _ => vec![],
    };
    let same = hear(i16::MAX, Limiting::Limiter, words);
    assert!(same[..5].iter().all(|&same| same) && !same[5..9].contains(&true));
    // A peak that brings both limiters to the same gain ends the difference.
    let again = same.iter().skip(9).position(|&same| same).unwrap();
    assert!(
        again < 20 && same[9 + again..].iter().all(|&same| same),
        "{again}"
    );
}

#[test]
fn a_waiting_participant_gets_the_others_and_an_ended_nothing() {
    let mut rig = Setup::mono().rig();
    rig.listen();
    let mut sender = rig.stream();
    let (mut listener, line) = rig.participant(Gain::UNITY);
    for tick in 0..3 {
        sender.say(&noise(tick, BLOCK, 900));
        rig.tick();
    }
    assert_eq!((rig.line(line).frames, rig.line(line).from), (3, Some(0)));
    assert_eq!(rig.line(line).heard, rig.output[..3 * BLOCK - 40]);
    listener.say(&noise(9, BLOCK, 900));
    listener.close();
    // The block in which its last sample plays is its last.
    rig.tick();
    assert!(!rig.line(line).closed);
    rig.tick();
    assert_eq!((rig.line(line).frames, rig.line(line).closed), (4, true));
    assert_eq!(rig.readers[0].messages, 5);
    // Its slot serves another.
    let (_silent, next) = rig.participant(Gain::UNITY);
    rig.ticks(2);
    assert_eq!(rig.line(next).from, Some(5 * BLOCK as u64));
    rig.mixer.close_feeds();
    rig.tick();
    assert!(rig.line(next).closed && rig.readers[0].closed);
}

#[test]
fn a_mix_minus_begins_with_its_first_tick_and_ends_in_the_flush() {
    for block in 0..2 {
        let mut rig = Setup::mono().limited().rig();
        rig.listen();
        rig.ticks(block);
        let (mut sender, line) = rig.participant(Gain::UNITY);
        sender.say(&noise(1, BLOCK, 900));
        rig.ticks(2);
        rig.flush();
        let from = [0, BLOCK][block];
        assert_eq!(rig.line(line).from, Some(from as u64));
        assert_eq!(rig.line(line).heard, vec![0; rig.output.len() - from]);
        assert_eq!(rig.output.len(), (2 + block) * BLOCK);
    }
}

#[test]
fn a_block_names_those_who_were_heard_in_it() {
    let mut rig = Setup::mono().slots(40).rig();
    let (ring, mut reader) = mix_ring(4096);
    let ring = Box::new(ring.with_room(RoomId::MAIN));
    rig.mixer.apply(Command::OpenReader(ReaderId(0), ring));
    let mut senders: Vec<_> = (0..40_u32)
        .map(|number| {
            let sender = rig.unadmitted();
            let new = NewInput::new(sender.lease(), sender.account.clone());
            // Not all have names.
            let new = if number < 30 {
                new.source(1000 + number)
            } else {
                new
            };
            rig.mixer.apply(Command::Admit(new));
            sender
        })
        .collect();
    let mut heard = |who: &[usize], muted: bool| {
        let command = Command::SetMuted(senders[2].lease(), muted);
        rig.mixer.apply(command);
        for &number in who {
            senders[number].place(rig.mixer.ticks() * BLOCK as u64, &[5; BLOCK]);
        }
        rig.mixer.collect();
        let mut named = rig.mixer.tick(0).contributors.to_vec();
        rig.mixer.send_feeds();
        let message = reader.take().unwrap();
        named.sort_unstable();
        assert_eq!(message.contributors.as_ref(), Some(&named));
        named
    };
    assert_eq!(heard(&[], false), [0_u32; 0]);
    assert_eq!(heard(&[35, 2, 1, 7], false), [1001, 1002, 1007]);
    // On its way to silence it is heard.
    assert_eq!(heard(&[2, 7], true), [1002, 1007]);
    assert_eq!(heard(&[2, 7], true), [1007]);
    let all: Vec<_> = (0..40).collect();
    let named = heard(&all, true);
    assert_eq!(named.len(), CONTRIBUTORS_MAX);
    assert!(
        named
            .iter()
            .all(|&source| (1000..1030).contains(&source) && source != 1002)
    );
    assert_eq!(rig.mixer.flush().contributors, [0_u32; 0]);
}
