//! A room's gain and limiting: in force from a tick on, without a step, and for its mix-minuses as well.

use std::time::Duration;

use mixpool::{
    audio::Limiter,
    mixer::{Limiting, Room},
};
use proptest::prelude::*;

use super::*;

fn gain(linear: f32) -> Gain {
    Gain::from_linear(linear).unwrap()
}

/// A room with these start values.
fn open_at(rig: &mut Rig, id: RoomId, start: Gain, limiting: Limiting) -> Arc<RoomStrip> {
    let room = Room::new(id, &rig.settings).gain(start).limiting(limiting);
    let strip = room.strip();
    rig.mixer.apply(Command::OpenRoom(Box::new(room)));
    strip
}

/// One tick whose blocks are not the sums of `main`.
fn tick(rig: &mut Rig) {
    rig.mixer.collect();
    rig.mixer.tick(rig.mixer.next_tick());
    rig.send_feeds();
}

/// Ticks in which this stream sends one sample over and over.
fn say_for(rig: &mut Rig, sender: &mut TestStream, sample: i16, ticks: usize) {
    for _ in 0..ticks {
        let samples = vec![sample; BLOCK * usize::from(rig.format.channels())];
        sender.place(rig.mixer.next_tick() * N, &samples);
        tick(rig);
    }
}

fn flush(rig: &mut Rig) {
    rig.mixer.flush();
    rig.send_feeds();
}

#[test]
fn a_room_gain_takes_20_ms_in_a_straight_line() {
    let mut rig = rig_of(Setup::mono(), 2);
    let mut sender = rig.stream_in(first(1));
    say_for(&mut rig, &mut sender, 1600, 2);
    rig.mixer.apply(Command::SetRoomGain(first(1), gain(2.0)));
    say_for(&mut rig, &mut sender, 1600, 2);
    rig.mixer
        .apply(Command::SetRoomGain(first(1), Gain::SILENCE));
    say_for(&mut rig, &mut sender, 1600, 2);
    flush(&mut rig);
    let up = (1..=160).map(|passed| 1600 + 10 * passed);
    let down = (1..=160).map(|passed| 3200 - 20 * passed);
    let expected: Vec<i16> = (vec![1600; 2 * BLOCK].into_iter())
        .chain(up)
        .chain(vec![3200; BLOCK])
        .chain(down)
        .chain(vec![0; BLOCK])
        .collect();
    assert!(heard(&rig, first(1)) == expected);
    assert!(heard(&rig, A).iter().all(|&sample| sample == 0));
}

#[test]
fn settings_before_the_first_block_are_in_force_at_once() {
    let clips = Limiting::Saturate;
    for commanded in [false, true] {
        let mut rig = Setup::mono().limited().rooms(2).rig();
        rig.listen();
        let strip = if commanded {
            let strip = rig.open_room(first(1));
            // Not in the tick, and so without a block.
            rig.ticks(3);
            rig.mixer.apply(Command::SetRoomGain(first(1), gain(3.0)));
            rig.mixer.apply(Command::SetLimiting(first(1), clips));
            strip
        } else {
            open_at(&mut rig, first(1), gain(3.0), clips)
        };
        assert_eq!((strip.gain(), strip.limiting()), (gain(3.0), clips));
        rig.hear(Signal::Room(first(1)));
        let mut sender = rig.stream_in(first(1));
        let from = rig.mixer.ticks() as usize * BLOCK;
        say_for(&mut rig, &mut sender, 1000, 1);
        say_for(&mut rig, &mut sender, 20_000, 1);
        flush(&mut rig);
        let expected = [vec![3000; BLOCK], vec![i16::MAX; BLOCK]].concat();
        assert!(heard(&rig, first(1))[from..] == expected, "{commanded}");
    }
}

#[test]
fn a_room_shows_its_settings_its_peak_and_its_contributors() {
    let mut rig = Setup::mono().rooms(2).rig();
    let strip = rig.open_room(first(1));
    let clips = Limiting::Saturate;
    assert_eq!((strip.gain(), strip.limiting()), (Gain::UNITY, clips));
    let mut senders = [(); 2].map(|()| rig.stream_in(first(1)));
    let slots = [&senders[0], &senders[1]].map(|sender| sender.lease().slot() as u32);
    rig.mixer
        .apply(Command::SetLimiting(first(1), Limiting::Limiter));
    rig.mixer.apply(Command::SetRoomGain(first(1), gain(0.5)));
    assert_eq!(
        (strip.gain(), strip.limiting()),
        (gain(0.5), Limiting::Limiter)
    );
    assert!(strip.contributors().is_empty());
    for sender in &mut senders {
        sender.say_all(&[100; BLOCK]);
    }
    tick(&mut rig);
    assert_eq!(strip.contributors(), slots);
    assert_eq!((strip.peak(), strip.mixed()), (100, 2 * N));
    say_for(&mut rig, &mut senders[1], 600, 1);
    assert_eq!(strip.contributors(), [slots[1]]);
    for sender in senders {
        sender.close();
    }
    // The room rests.
    (0..3).for_each(|_| tick(&mut rig));
    assert!(strip.contributors().is_empty());
    assert_eq!((strip.peak(), strip.gain()), (0, gain(0.5)));
}

#[test]
fn changed_samples_are_counted_in_their_own_room() {
    let mut rig = Setup::mono().limited().rooms(3).rig();
    let strips = [(1, Limiting::Limiter), (2, Limiting::Saturate)]
        .map(|(slot, limiting)| open_at(&mut rig, first(slot), gain(4.0), limiting));
    let mut senders = [first(1), first(2)].map(|room| rig.stream_in(room));
    for _ in 0..2 {
        for sender in &mut senders {
            sender.place(rig.mixer.next_tick() * N, &[20_000; BLOCK]);
        }
        tick(&mut rig);
    }
    let counts = [&strips[0], &strips[1]].map(|strip| (strip.clipped(), strip.limited()));
    assert!(counts[0].0 == 0 && counts[0].1 > 0, "{counts:?}");
    assert_eq!(counts[1], (2 * N, 0));
    let main = rig.mixer.main_strip();
    assert_eq!((main.clipped(), main.limited()), (0, 0));
}

#[test]
fn settings_of_a_room_that_is_not_there_change_nothing() {
    let mut rig = Setup::mono().rooms(2).rig();
    rig.listen();
    let strip = rig.open_room(first(1));
    for id in [RoomId::new(1, 1), first(9)] {
        rig.mixer.apply(Command::SetRoomGain(id, Gain::SILENCE));
        rig.mixer.apply(Command::SetLimiting(id, Limiting::Limiter));
    }
    assert_eq!(
        (strip.gain(), strip.limiting()),
        (Gain::UNITY, Limiting::Saturate)
    );
}

#[test]
fn a_change_keeps_a_resting_room_in_the_tick_for_its_ramp() {
    // As one that was heard all the time, however soon a stream comes.
    for pause in [0, 1, 2, 30] {
        let mut always = rig_of(Setup::mono(), 2);
        let mut rested = Setup::mono().rooms(2).rig();
        rested.listen();
        rested.open_room(first(1));
        for rig in [&mut always, &mut rested] {
            let mut sender = rig.stream_in(first(1));
            say_for(rig, &mut sender, 500, 2);
            sender.close();
            (0..10).for_each(|_| tick(rig));
            rig.mixer.apply(Command::SetRoomGain(first(1), gain(2.0)));
            (0..pause).for_each(|_| tick(rig));
        }
        let from = rested.mixer.ticks() as usize * BLOCK;
        rested.hear(Signal::Room(first(1)));
        for rig in [&mut always, &mut rested] {
            let mut sender = rig.stream_in(first(1));
            say_for(rig, &mut sender, 800, 3);
            flush(rig);
        }
        let [always, rested] = [&always, &rested].map(|rig| heard(rig, first(1)));
        assert!(always[from..] == rested[from..], "{pause}");
        assert!(pause > 0 || always[from] < 1600);
    }
}

#[test]
fn no_sample_jumps_when_a_limiter_is_switched() {
    for channels in [1, 2] {
        let setup = Setup {
            channels,
            ..Setup::mono().limited()
        };
        let mut rig = setup.rig();
        rig.listen();
        // As loud as two streams: a step from limited to cut samples would be one of thousands.
        let mut senders = [rig.stream(), rig.stream()];
        for limiting in [Limiting::Saturate, Limiting::Limiter].repeat(3) {
            for _ in 0..40 {
                let samples = vec![30_000; BLOCK * usize::from(channels)];
                let at = rig.mixer.next_tick() * N;
                for sender in &mut senders {
                    sender.place(at, &samples);
                }
                tick(&mut rig);
            }
            let command = Command::SetLimiting(RoomId::MAIN, limiting);
            rig.mixer.apply(command);
        }
        flush(&mut rig);
        let heard = heard(&rig, A);
        let wide = usize::from(channels);
        let steps = heard[wide..].iter().zip(&heard);
        let steps = steps.map(|(&next, &sample)| (i32::from(next) - i32::from(sample)).abs());
        // In 5 ms the limiter goes from 1 to 0.55, 160 a sample.
        assert!(steps.skip(wide).max() <= Some(400), "{channels} channels");
    }
}

/// A change of a room before a tick.
#[derive(Debug, Clone, Copy)]
enum Change {
    Gain(f32),
    Clip(bool),
}

fn changes() -> impl Strategy<Value = Vec<Option<Change>>> {
    let change = prop_oneof![
        4 => Just(None),
        1 => prop_oneof![Just(1.0), Just(0.0), 0f32..=16.0]
            .prop_map(|gain| Some(Change::Gain(gain))),
        1 => any::<bool>().prop_map(|clip| Some(Change::Clip(clip))),
    ];
    prop::collection::vec(change, 1..40)
}

impl Change {
    fn apply(self, rig: &mut Rig, room: RoomId) {
        rig.mixer.apply(match self {
            Self::Gain(linear) => Command::SetRoomGain(room, gain(linear)),
            Self::Clip(true) => Command::SetLimiting(room, Limiting::Saturate),
            Self::Clip(false) => Command::SetLimiting(room, Limiting::Limiter),
        });
    }
}

/// A figure on its way to another, which it reaches after a block of 20 ms.
#[derive(Debug, Clone, Copy)]
struct Way {
    from: f32,
    to: f32,
}

impl Way {
    /// The figure for each sample of the block; then it is there.
    fn block(&mut self, channels: usize) -> Vec<f32> {
        let Self { from, to } = *self;
        let step = (to - from) / BLOCK as f32;
        let figures = (1..BLOCK).map(|passed| from + step * passed as f32);
        self.from = to;
        let each = figures.chain([to]);
        each.flat_map(|figure| vec![figure; channels]).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_room_is_a_limiter_of_sums_that_were_gained_and_clipped(
        changes in changes(),
        channels in 1u16..=2,
        clips_first: bool,
        seed in 1u64..1000,
    ) {
        let setup = Setup { channels, ..Setup::mono().limited() }.rooms(2);
        let mut rig = setup.rig();
        rig.listen();
        let limiting = if clips_first { Limiting::Saturate } else { Limiting::Limiter };
        open_at(&mut rig, first(1), Gain::UNITY, limiting);
        rig.hear(Signal::Room(first(1)));
        let mut senders = [rig.stream_in(first(1)), rig.stream_in(first(1))];
        let release = Duration::from_millis(80);
        let mut limiter = Limiter::new(rig.format, Duration::from_millis(5), release);
        let share = f32::from(u8::from(clips_first));
        let (mut gains, mut shares) = (Way { from: 1.0, to: 1.0 }, Way { from: share, to: share });
        let mut expected = Vec::new();
        for (tick_number, change) in (0..).zip(&changes) {
            if let Some(change) = change {
                change.apply(&mut rig, first(1));
                match *change {
                    Change::Gain(gain) => gains.to = gain,
                    Change::Clip(clip) => shares.to = f32::from(u8::from(clip)),
                }
                if tick_number == 0 {
                    (gains.from, shares.from) = (gains.to, shares.to);
                }
            }
            let wide = usize::from(channels);
            let mut sums = vec![0i64; BLOCK * wide];
            for (sender, number) in senders.iter_mut().zip(0..) {
                let peak = if tick_number % 5 < 3 { 3000 } else { i16::MAX };
                let samples = noise(seed * 100 + tick_number * 2 + number, BLOCK * wide, peak);
                sums.iter_mut().zip(&samples).for_each(|(sum, &sample)| *sum += i64::from(sample));
                sender.place(rig.mixer.next_tick() * N, &samples);
            }
            tick(&mut rig);
            let shape = |((sum, gain), share): ((&i64, f32), f32)| {
                let gained = (*sum as f64 * f64::from(gain)).round_ties_even() as i64;
                let beyond = gained - i64::from(cut(gained));
                (gained - (beyond as f64 * f64::from(share)).round_ties_even() as i64) as i32
            };
            let gained = sums.iter().zip(gains.block(wide)).zip(shares.block(wide));
            let shaped: Vec<i32> = gained.map(shape).collect();
            let mut block = vec![0; shaped.len()];
            limiter.process(&shaped, &mut block);
            expected.extend(block);
        }
        let mut rest = vec![0; limiter.delay_samples() * usize::from(channels)];
        limiter.flush(&mut rest);
        expected.extend_from_slice(&rest);
        flush(&mut rig);
        prop_assert!(heard(&rig, first(1)) == expected[rest.len()..]);
    }

    #[test]
    fn a_mix_minus_is_a_room_of_the_others_whatever_is_changed(
        changes in changes(),
        loud: bool,
        seed in 1u64..1000,
    ) {
        let setup = Setup::mono().limited().rooms(2);
        let [mut all, mut others] = [setup.rig(), setup.rig()];
        for rig in [&mut all, &mut others] {
            rig.listen();
            rig.open_room(first(1));
            rig.hear(Signal::Room(first(1)));
        }
        let (mut own, line) = all.participant_in(first(1));
        let mut other = [all.stream_in(first(1)), others.stream_in(first(1))];
        for (number, change) in (0..).zip(&changes) {
            if let Some(change) = change {
                change.apply(&mut all, first(1));
                change.apply(&mut others, first(1));
            }
            let at = all.mixer.next_tick() * N;
            // It speaks now and then, and is silent for as long as the limiter takes to forget.
            if number % 39 < 5 {
                let peak = if loud { i16::MAX } else { 5000 };
                own.place(at, &noise(seed + number, BLOCK, peak));
            }
            let samples = noise(seed * 7 + number, BLOCK, i16::MAX);
            for (sender, rig) in other.iter_mut().zip([&mut all, &mut others]) {
                sender.place(at, &samples);
                tick(rig);
            }
        }
        flush(&mut all);
        flush(&mut others);
        prop_assert!(all.line(line).heard == heard(&others, first(1)));
    }
}
