//! The feeds of one stream, which come and go while the mixer runs: the stream alone, before its fader, bit for bit; or
//! the mix without it, made once for all its readers.

use mixpool::{
    audio::{Frame, Gain},
    mixer::{Command, Limiting, ReaderId, Signal},
    queue::{Consumer, LeaseId, Pool},
};
use proptest::prelude::*;

use crate::rig::{BLOCK, Rig, Setup, TestStream, noise, stream_feed};

const N: u64 = BLOCK as u64;

fn listening(setup: Setup) -> Rig {
    let mut rig = setup.rig();
    rig.listen();
    rig
}

fn say(stream: &mut TestStream, seed: u64, channels: u16) -> Vec<i16> {
    let samples = noise(seed, BLOCK * usize::from(channels), i16::MAX);
    stream.say(&samples);
    samples
}

proptest! {
    #[test]
    fn a_stream_alone_is_the_stream_before_its_fader(
        // How long the frame of each tick is; or none.
        frames in prop::collection::vec(prop::option::of(1..=BLOCK), 2..40),
        begins in 0usize..20,
        channels in 1u16..=2,
        limited: bool,
        linear in prop_oneof![Just(1.0), Just(0.0), 0f32..16.0],
    ) {
        let setup = Setup { channels, ..Setup::mono() };
        let mut rig = listening(if limited { setup.limited() } else { setup });
        let wide = usize::from(channels);
        let mut stream = rig.stream();
        let mut loud = rig.stream();
        let mut line = None;
        let mut given = vec![0; BLOCK * wide];
        stream.place(0, &given);
        for (tick, frame) in frames.iter().enumerate() {
            if tick == begins {
                line = Some(rig.hear(Signal::Alone(stream.lease())));
            }
            // Neither the fader nor another solo matters, or how loud the mix is.
            match tick % 7 {
                1 => rig.mixer.apply(Command::SetMuted(stream.lease(), tick % 2 == 0)),
                3 => rig.mixer.apply(Command::SetGain(stream.lease(), Gain::from_linear(linear).unwrap())),
                5 => rig.mixer.apply(Command::SetSolo(loud.lease(), tick % 2 == 0)),
                _ => {}
            }
            if let &Some(len) = frame && tick > 0 {
                let samples = noise(tick as u64, len * wide, i16::MAX);
                if tick % 5 == 4 {
                    stream.conceal(tick as u64 * N, &samples);
                } else {
                    stream.place(tick as u64 * N, &samples);
                }
                given.extend(samples);
            }
            given.resize((tick + 1) * BLOCK * wide, 0);
            say(&mut loud, tick as u64 + 1000, channels);
            rig.tick();
        }
        rig.flush();
        if let Some(line) = line {
            let line = rig.line(line);
            prop_assert_eq!(line.from, Some(begins as u64 * N));
            prop_assert!(line.heard == given[begins * BLOCK * wide..]);
            prop_assert_eq!((line.frames, line.same), (frames.len() - begins + 1, 0));
        }
    }

    #[test]
    fn the_mix_without_a_stream_is_that_of_the_others_alone(
        begins in 0usize..30,
        channels in 1u16..=2,
        limited: bool,
        peak in prop_oneof![Just(0), Just(2_000), Just(i16::MAX)],
    ) {
        // Beside its own feed, which has been there from the first: the same, bit for bit.
        let setup = Setup { channels, ..Setup::mono() };
        let setup = if limited { setup.limited() } else { setup };
        let (mut all, mut others) = (listening(setup), setup.rig());
        let (mut participant, own) = all.participant(Gain::UNITY);
        let mut signals = [all.stream(), others.stream()];
        let mut line = 0;
        for tick in 0..40 {
            if tick == begins {
                line = all.hear(Signal::MixMinus(participant.lease()));
            }
            let wide = usize::from(channels);
            participant.say(&noise(tick as u64, BLOCK * wide, peak));
            for signal in &mut signals {
                signal.say(&noise(tick as u64 + 1000, BLOCK * wide, i16::MAX));
            }
            all.tick();
            others.tick();
        }
        all.flush();
        others.flush();
        let (line, own) = (all.line(line), all.line(own));
        prop_assert!(others.output.ends_with(&line.heard) && own.heard == others.output);
        prop_assert_eq!(line.frames, 41 - begins);
        // A silent stream is not left out of anything. The first frame is a part of the mix's block, where that begins
        // earlier.
        let part = usize::from(begins > 0);
        let same = if peak == 0 { line.frames - part } else { 0 };
        prop_assert_eq!(line.same, same);
    }
}

/// The mix without a stream that was heard before, and the mixer of the others.
fn without(setup: Setup, begins: u64, until: u64, peak: i16) -> (Vec<i16>, Vec<i16>) {
    let (mut all, mut others) = (listening(setup), setup.rig());
    let mut stream = all.stream();
    let mut signals = [all.stream(), others.stream()];
    let mut line = 0;
    for tick in 0..until {
        if tick == begins {
            line = all.hear(Signal::MixMinus(stream.lease()));
        }
        // Both are loud until then: the limiter has something to remember.
        let peak = if tick < begins { i16::MAX } else { peak };
        stream.say(&noise(tick, BLOCK, peak));
        for signal in &mut signals {
            signal.say(&noise(tick + 1000, BLOCK, peak));
        }
        all.tick();
        others.tick();
    }
    all.flush();
    others.flush();
    let heard = all.line(line).heard.clone();
    assert_eq!(all.line(line).frames as u64, until - begins + 1);
    let from = others.output.len() - heard.len();
    (heard, others.output[from..].to_vec())
}

#[test]
fn without_a_limiter_it_is_exact_from_the_first_sample() {
    for begins in [0, 1, 17] {
        let (heard, others) = without(Setup::mono(), begins, 30, i16::MAX);
        assert!(heard == others, "from tick {begins}");
    }
}

#[test]
fn a_limited_mix_minus_is_exact_once_the_release_is_over() {
    let lookahead = 8_000 * 5 / 1_000;
    let (heard, others) = without(Setup::mono().limited(), 20, 80, 2_000);
    assert!(heard[..lookahead] != others[..lookahead], "the mix's own");
    // Seven times the release of 80 ms after the last peak, all of the gain is back.
    let settled = 8 * 8_000 * 80 / 1_000;
    assert!(heard[settled..] == others[settled..]);
    assert!(heard.len() > settled + 10 * BLOCK);
    // And from the first sample, if the limiter held nothing.
    let (heard, others) = without(Setup::mono().limited(), 0, 30, i16::MAX);
    assert!(heard == others);
}

#[test]
fn a_stream_that_waits_has_feeds_too() {
    let mut rig = listening(Setup::mono().delay(2));
    let (mut stream, mut other) = (rig.stream(), rig.stream());
    let alone = rig.hear(Signal::Alone(stream.lease()));
    let without = rig.hear(Signal::MixMinus(stream.lease()));
    for tick in 0..10 {
        say(&mut other, tick, 1);
        if tick >= 4 {
            say(&mut stream, tick, 1);
        }
        rig.tick();
    }
    let spoken: Vec<_> = (4..8)
        .flat_map(|tick| noise(tick, BLOCK, i16::MAX))
        .collect();
    rig.flush();
    let (alone, without) = (rig.line(alone), rig.line(without));
    assert_eq!(alone.heard[..6 * BLOCK], [0; 6 * BLOCK]);
    assert!(alone.heard[6 * BLOCK..] == spoken);
    assert_eq!((without.frames, without.same), (11, 6));
}

/// Either feed of a stream.
const SIGNALS: [fn(LeaseId) -> Signal; 2] = [Signal::Alone, Signal::MixMinus];

#[test]
fn each_feed_closes_by_command_and_all_with_the_stream() {
    let mut rig = listening(Setup::mono());
    for by_command in [false, true] {
        let (mut stream, own) = rig.participant(Gain::UNITY);
        let lease = stream.lease();
        say(&mut stream, 1, 1);
        let closed = SIGNALS.map(|signal| {
            let feed = rig.hear(signal(lease));
            rig.tick();
            rig.close(feed);
            // Once more is no harm.
            rig.close(feed);
            rig.tick();
            feed
        });
        // What waits in the delay of a stream comes with its close; of a mix it was not made yet.
        let frames = closed.map(|feed| (rig.line(feed).frames, rig.line(feed).closed));
        assert_eq!(frames, [(2, true), (1, true)]);
        let feeds = SIGNALS.map(|signal| rig.hear(signal(lease)));
        rig.tick();
        assert!(!rig.line(own).closed && feeds.iter().all(|&feed| !rig.line(feed).closed));
        if by_command {
            rig.mixer.apply(Command::End(lease));
        }
        rig.tick();
        stream.close();
        rig.ticks(2);
        for feed in [own, feeds[0], feeds[1]] {
            assert!(rig.line(feed).closed);
        }
        // Of a stream that is over there is no feed: the producer is closed.
        let late = SIGNALS.map(|signal| rig.hear(signal(lease)));
        rig.tick();
        for feed in late {
            assert_eq!((rig.line(feed).frames, rig.line(feed).closed), (0, true));
        }
    }
}

#[test]
fn two_feeds_of_one_signal_are_the_same_bit_for_bit() {
    for limiting in [Limiting::Saturate, Limiting::Limiter] {
        let setup = Setup {
            limiting,
            ..Setup::mono()
        };
        let mut rig = listening(setup);
        let other = rig.reader();
        let (mut stream, mut loud) = (rig.stream(), rig.stream());
        let mut ticks = |rig: &mut Rig, count: u64| {
            for _ in 0..count {
                let seed = rig.mixer.next_tick();
                say(&mut stream, seed, 1);
                say(&mut loud, seed + 1000, 1);
                rig.tick();
            }
            stream.lease()
        };
        let lease = ticks(&mut rig, 1);
        for signal in SIGNALS {
            let first = rig.hear(signal(lease));
            ticks(&mut rig, 3);
            let (second, third) = (rig.hear(signal(lease)), rig.open(other, signal(lease)));
            ticks(&mut rig, 3);
            // The others go on without it.
            rig.close(first);
            ticks(&mut rig, 3);
            rig.close(second);
            rig.close(third);
            ticks(&mut rig, 1);
            let [first, second, third] = [first, second, third].map(|feed| rig.line(feed));
            assert!(first.closed && second.closed && third.closed);
            assert!(second.heard == third.heard && second.from == third.from);
            let both = first.heard.len() - 3 * BLOCK;
            assert!(first.heard[3 * BLOCK..] == second.heard[..both]);
            assert_eq!(second.heard.len(), both + 3 * BLOCK);
        }
    }
}

#[test]
fn a_ninth_feed_of_one_signal_is_closed_at_once() {
    let mut rig = listening(Setup::mono());
    let mut stream = rig.stream();
    for signal in SIGNALS {
        let reader = rig.reader();
        let feeds: Vec<_> = (0..9)
            .map(|_| rig.open(reader, signal(stream.lease())))
            .collect();
        say(&mut stream, 1, 1);
        rig.tick();
        let (ninth, others) = feeds.split_last().unwrap();
        assert_eq!(
            (rig.line(*ninth).frames, rig.line(*ninth).closed),
            (0, true)
        );
        for &feed in others {
            assert_eq!((rig.line(feed).frames, rig.line(feed).closed), (1, false));
            rig.close(feed);
        }
        // The ninth keeps nothing open.
        let silent = rig.readers[reader].silent;
        rig.ticks(2);
        let mix = &rig.readers[reader].mix;
        assert!(mix.iter().all(|run| run.closed && run.heard.len() == BLOCK));
        assert!(rig.readers[reader].silent > silent);
    }
}

/// Rings of 4 KiB that only the test reads.
fn rings() -> (Pool, Consumer) {
    let builder = Pool::builder().slots(3).ring_bytes(4096);
    builder.build().unwrap()
}

/// Opens a feed without a reader, so that only its own ring has it.
fn open(rig: &mut Rig, signal: Signal, pool: &Pool) -> LeaseId {
    let producer = pool.acquire().unwrap();
    let line = producer.lease();
    let feed = stream_feed(signal, ReaderId(77), (producer, pool), &rig.settings);
    rig.mixer.apply(Command::OpenFeed(feed));
    line
}

/// The oldest frame: its place in the mix, and its samples.
fn take(consumer: &mut Consumer, line: LeaseId) -> Option<(u64, Vec<i16>)> {
    let message = consumer.get(line).unwrap()?;
    let frame = Frame::parse(&message).unwrap();
    let samples = frame.samples().to_vec();
    let taken = (frame.header().first, samples);
    message.ack();
    Some(taken)
}

#[test]
fn a_full_ring_loses_its_own_frames_and_the_mix_none() {
    let mut rig = Setup::mono().rig();
    let mut stream = rig.stream();
    let (pool, mut consumer) = rings();
    let line = open(&mut rig, Signal::Alone(stream.lease()), &pool);
    let mut said = Vec::new();
    for tick in 0..30 {
        said.extend(say(&mut stream, tick, 1));
        rig.tick();
    }
    assert!(rig.output == said);
    let stats = consumer.lease_stats(line).unwrap();
    // The first is shorter by the look-ahead.
    assert_eq!((stats.published.messages, stats.dropped.messages), (12, 18));
    consumer.get_batch(line, 12).unwrap().ack();
    rig.tick();
    let (at, _) = take(&mut consumer, line).unwrap();
    assert_eq!(at, 30 * N - 40);
}

#[test]
fn an_offline_feed_begins_with_the_next_tick() {
    for (signal, expected) in SIGNALS.into_iter().zip([[100, 20], [20, 100]]) {
        let mut rig = Setup::mono().rig();
        let (mut first, mut second) = (rig.stream(), rig.stream());
        let (pool, mut consumer) = rings();
        first.say(&[100; 3 * BLOCK]);
        second.say(&[20; BLOCK]);
        rig.try_tick().unwrap();
        // The second is waited for.
        assert_eq!(rig.try_tick(), Err(second.lease()));
        let lines = [&first, &second].map(|sender| open(&mut rig, signal(sender.lease()), &pool));
        second.say(&[20; 2 * BLOCK]);
        rig.try_tick().unwrap();
        for (line, expected) in lines.into_iter().zip(expected) {
            let frame = take(&mut consumer, line);
            assert_eq!(frame, Some((N, vec![expected; BLOCK - 40])));
        }
    }
}

#[test]
fn a_feed_opened_after_the_last_tick_gets_no_flush() {
    let mut rig = Setup::mono().limited().rig();
    let mut stream = rig.stream();
    say(&mut stream, 1, 1);
    let (pool, mut consumer) = rings();
    let in_time = open(&mut rig, Signal::Alone(stream.lease()), &pool);
    rig.tick();
    let late = open(&mut rig, Signal::MixMinus(stream.lease()), &pool);
    rig.flush();
    rig.mixer.close_feeds();
    for (line, frames) in [(in_time, 2), (late, 0)] {
        assert_eq!(consumer.get_batch(line, 9).unwrap().len(), frames);
        assert!(consumer.is_closed(line).unwrap());
    }
}
