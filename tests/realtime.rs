//! A whole tick of a thousand streams neither allocates nor frees, takes no lock that another thread holds, and
//! enters the kernel nowhere but for the one eventfd write of a wake.
//!
//! `.ci/sanitize realtime` builds and runs this under the sanitizer that ends the process at the first
//! such call within a function marked `nonblocking`. The mixer's tick is marked in the sources, and so
//! checked wherever it runs. The queue's own calls have such tests in its crate. A test that expects an end, or
//! lets a call pass, runs itself again in a process of its own.
#![cfg(rtsan)]
#![feature(sanitize)]

#[allow(dead_code, reason = "other programs need the rest of it")]
#[path = "support/network.rs"]
mod network;
#[allow(
    dead_code,
    unused_imports,
    reason = "other programs need the rest of it"
)]
#[path = "support/rig/mod.rs"]
mod rig;
#[path = "../crates/queue/tests/support/sanitizer.rs"]
mod sanitizer;

use std::{process::Command, sync::Mutex, thread, time::Duration};

use mixpool::{
    audio::{Codec, Gain},
    engine::{Clock, Engine, RecordingRequest, Settings},
    ledger::{Entry, GapKind},
    mixer::{Command as Order, Feed, Limiting, Room, RoomId, Signal},
    wire::rtp::Packet,
};
use network::Network;
use rig::{BLOCK, Setup, noise};
use sanitizer::{assert_ends_at, in_child, in_real_time};

#[test]
fn a_tick_of_a_thousand_streams_never_enters_the_kernel() {
    const STREAMS: usize = 1000;
    let mut rig = Setup::mono().limited().slots(STREAMS).ring(1 << 14).rig();
    rig.listen();
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|at| match at % 3 {
            0 => rig.stream_at(Gain::from_db(-6.0).unwrap()),
            1 => rig.participant(Gain::UNITY).0,
            _ => rig.stream(),
        })
        .collect();
    for stream in streams.iter().step_by(7) {
        rig.mixer.apply(Order::SetMuted(stream.lease(), true));
    }
    let signals: Vec<_> = (0..8).map(|seed| noise(seed, BLOCK, 9000)).collect();
    for tick in 0..100 {
        for (at, stream) in streams.iter_mut().enumerate() {
            let samples = &signals[(at + tick) % signals.len()];
            match (at + tick) % 50 {
                // Trouble of every kind that a tick has to do with: a frame that does not come, one
                // that comes twice, one too late, a damaged one, one off the grid, and one of half the length.
                0 => stream.skip(1),
                1 => _ = stream.say(samples) && stream.repeat(samples),
                2 => _ = stream.place(0, samples),
                3 => {
                    let next = stream.next();
                    stream.place_damaged(next, samples);
                    stream.skip(1);
                }
                4 => _ = stream.place(1, samples) && stream.say(&samples[..BLOCK / 2]),
                _ => _ = stream.say(samples),
            }
        }
        // Some end, within the tick too.
        for _ in 0..4 * usize::from(tick > 50) {
            streams.pop().unwrap().close();
        }
        rig.mixer.collect();
        let block = in_real_time(|| rig.mixer.tick(0).samples.len());
        assert!(
            block == BLOCK || tick == 0,
            "the limiter's delay is taken back once"
        );
        rig.send_feeds();
        rig.check_ledger();
    }
    assert_eq!(rig.mixer.ticks(), 100);
    // Gaps went on their way until their queue was full, and beyond.
    assert!(rig.gaps.accounts.queue.refused(GapKind::Muted) > 0);
    // The remaining ones, talking or muted, heard different things.
    let same: Vec<_> = (0..STREAMS / 3).map(|feed| rig.line(feed).same).collect();
    assert!(same.contains(&100), "the mix: {same:?}");
    assert!(same.iter().any(|&same| same < 20), "of their own: {same:?}");
}

#[test]
fn a_tick_of_ramps_ends_and_feeds_never_enters_the_kernel() {
    const STREAMS: usize = 200;
    let mut rig = Setup::stereo().limited().slots(STREAMS).ring(1 << 15).rig();
    rig.listen();
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|at| match at % 3 {
            0 => rig.participant(Gain::UNITY).0,
            1 => rig.stream(),
            _ => rig.channel_strip().0,
        })
        .collect();
    let (mut feeds, mut closed) = (Vec::new(), 0);
    let signals: Vec<_> = (0..8).map(|seed| noise(seed, 2 * BLOCK, 9000)).collect();
    for tick in 0..100_usize {
        for (at, stream) in streams.iter_mut().enumerate() {
            // Frames before the end by command; the ring of some was full.
            let times = if at == tick && tick < 3 { 40 } else { 1 };
            for _ in 0..times {
                stream.say(&signals[(at + tick) % signals.len()]);
            }
        }
        for (at, stream) in streams.iter().enumerate() {
            let lease = stream.lease();
            let on = tick % 2 == 0;
            match (at * 7 + tick * 3) % 40 {
                0 => rig.mixer.apply(Order::SetMuted(lease, on)),
                1 => {
                    let gain = Gain::from_linear((tick % 5) as f32 / 2.0).unwrap();
                    rig.mixer.apply(Order::SetGain(lease, gain));
                }
                2 if at < 20 => rig.mixer.apply(Order::SetSolo(lease, on)),
                3 if feeds.len() < STREAMS => feeds.push(rig.hear(Signal::Alone(lease))),
                4 if feeds.len() < STREAMS => feeds.push(rig.hear(Signal::MixMinus(lease))),
                5 if tick > 10 && closed < feeds.len() => {
                    rig.close(feeds[closed]);
                    closed += 1;
                }
                6 if at == tick || at > 190 => rig.mixer.apply(Order::End(lease)),
                _ => {}
            }
        }
        if tick > 60 {
            streams.truncate(streams.len() - 2);
        }
        rig.mixer.collect();
        in_real_time(|| rig.mixer.tick(0).samples.len());
        rig.send_feeds();
        rig.check_ledger();
    }
    let total = |figure: fn(&Entry) -> u64| -> u64 {
        let entries = rig.accounts.iter().map(|account| account.read());
        entries.map(|entry| figure(&entry)).sum()
    };
    assert!(total(|entry| entry.muted) > 0 && total(|entry| entry.discarded) > 0);
    let heard = feeds
        .iter()
        .map(|&feed| rig.line(feed).frames)
        .sum::<usize>();
    assert!(heard > 1000, "{heard} frames of feeds");
}

#[test]
fn feeds_never_wait_and_enter_the_kernel_only_to_wake() {
    let allowed = ["write"];
    let test = "feeds_never_wait_and_enter_the_kernel_only_to_wake";
    if let Some(output) = in_child(test, &allowed) {
        return assert!(output.status.success(), "{output:?}");
    }
    let mut rig = Setup::mono().limited().rig();
    rig.listen();
    let mut participants: Vec<_> = (0..8).map(|_| rig.participant(Gain::UNITY)).collect();
    for (sender, _) in &participants {
        rig.hear(Signal::Alone(sender.lease()));
        rig.hear(Signal::MixMinus(sender.lease()));
    }
    for tick in 0..100_u64 {
        for (at, (sender, _)) in participants.iter_mut().enumerate() {
            if (tick / 10 + at as u64).is_multiple_of(3) {
                sender.say(&noise(tick, BLOCK, i16::MAX));
            } else {
                sender.skip(1);
            }
        }
        rig.mixer.collect();
        rig.mixer.tick(0);
        in_real_time(|| rig.mixer.send_feeds());
        // The last frames stay, and what comes then is refused.
        if tick < 50 {
            rig.take();
        }
    }
    assert!(
        participants
            .iter()
            .all(|(_, line)| rig.line(*line).frames == 50)
    );
}

#[test]
fn what_closes_or_ends_between_ticks_is_freed_elsewhere() {
    const STREAMS: usize = 60;
    let allowed = ["write"];
    let test = "what_closes_or_ends_between_ticks_is_freed_elsewhere";
    if let Some(output) = in_child(test, &allowed) {
        return assert!(output.status.success(), "{output:?}");
    }
    let mut rig = Setup::mono().limited().slots(STREAMS).rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|_| rig.participant(Gain::UNITY).0)
        .collect();
    let mut feeds = Vec::new();
    let mut freed = 0;
    for tick in 0..100 {
        for stream in &mut streams {
            stream.say(&noise(tick, BLOCK, 9000));
        }
        // Others come, to a reader of their own, and of one signal often two.
        let reader = rig.reader();
        for at in [tick as usize, tick as usize + 1] {
            let lease = streams[at % streams.len()].lease();
            feeds.push(rig.open(reader, Signal::Alone(lease)));
            feeds.push(rig.open(reader, Signal::MixMinus(lease)));
        }
        feeds.push(rig.open_room_ring(reader, RoomId::MAIN));
        // Some are closed, and with the reader's last message its ring.
        let mut orders = Vec::new();
        if tick >= 10 {
            orders.extend(feeds.drain(..5).map(|feed| rig.close_command(feed)));
            let id = rig.readers[reader - 10].id;
            orders.push(Order::CloseReader(id));
        }
        if tick >= 50 {
            streams.pop().unwrap().close();
        }
        for order in orders.drain(..) {
            assert!(rig.mixer.takes_commands());
            in_real_time(|| rig.mixer.apply(order));
        }
        in_real_time(|| rig.mixer.collect());
        in_real_time(|| rig.mixer.tick(0).samples.len());
        in_real_time(|| rig.mixer.send_feeds());
        rig.take();
        rig.check_ledger();
        freed += removed.free(drop);
    }
    // At least each feed that was opened by a command or closed, the rings of the readers, and what ended of the streams.
    assert!(freed > 5 * 90 + 90 + 49 * 2, "{freed}");
}

#[test]
fn rooms_never_wait_while_they_open_change_and_close() {
    const ROOMS: u32 = 8;
    const STREAMS: usize = 40;
    let allowed = ["write"];
    let test = "rooms_never_wait_while_they_open_change_and_close";
    if let Some(output) = in_child(test, &allowed) {
        return assert!(output.status.success(), "{output:?}");
    }
    let setup = Setup::mono().limited().slots(STREAMS);
    let mut rig = setup.rooms(ROOMS as usize).rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    let mut streams: Vec<_> = (0..STREAMS)
        .map(|at| match at % 2 {
            0 => rig.participant(Gain::UNITY).0,
            _ => rig.stream(),
        })
        .collect();
    let mut freed = 0;
    for tick in 0..100_u32 {
        for (at, stream) in (0..).zip(&mut streams) {
            stream.say(&noise(at, BLOCK, 9000));
        }
        // Each room is opened, changed and closed in turn; streams move in and out meanwhile.
        let slot = 1 + tick % (ROOMS - 1);
        let room = RoomId::new(slot, tick / (ROOMS - 1));
        let before = tick.checked_sub(3);
        let before = before.map(|tick| RoomId::new(1 + tick % (ROOMS - 1), tick / (ROOMS - 1)));
        let gain = Gain::from_linear((tick % 5) as f32 / 2.0).unwrap();
        let mut orders = vec![
            Order::OpenRoom(Box::new(Room::new(room, &rig.settings))),
            Order::OpenFeed(Feed::room(room, rig.readers[0].id)),
            // The room's close ends it.
            Order::OpenFeed(rig.room_ring(0, room)),
            Order::SetRoomGain(room, Gain::SILENCE),
            Order::SetRoomGain(RoomId::MAIN, gain),
            Order::SetLimiting(RoomId::MAIN, limiting(tick % 2 == 0)),
        ];
        if let Some(before) = before {
            let feed = Feed::room(before, rig.readers[0].id);
            orders.push(Order::SetRoomGain(before, gain));
            orders.push(Order::SetLimiting(before, limiting(tick % 3 == 0)));
            orders.push(Order::CloseFeed(feed.id()));
            orders.push(Order::CloseRoom(before));
        }
        for (at, stream) in streams.iter().enumerate() {
            let number = at + tick as usize;
            orders.push(Order::Move {
                stream: stream.lease(),
                to: [room, RoomId::MAIN][usize::from(number.is_multiple_of(3))],
                fade: number.is_multiple_of(2),
                track: None,
            });
        }
        for order in orders.drain(..) {
            assert!(rig.mixer.takes_commands());
            in_real_time(|| rig.mixer.apply(order));
        }
        in_real_time(|| rig.mixer.collect());
        in_real_time(|| rig.mixer.tick(0).samples.len());
        in_real_time(|| rig.mixer.send_feeds());
        rig.take();
        rig.check_ledger();
        freed += removed.free(drop);
    }
    assert!(freed > 2 * 80, "{freed} rooms and rings");
    let mixed = rig.accounts.iter().map(|account| account.read().mixed);
    assert_eq!(rig.mixer.mixed_in_rooms(), mixed.sum::<u64>());
}

fn limiting(is_on: bool) -> Limiting {
    if is_on {
        Limiting::Limiter
    } else {
        Limiting::Saturate
    }
}

#[test]
fn packets_never_wait_and_enter_the_kernel_only_to_wake() {
    const STREAMS: u32 = 100;
    let allowed = ["write"];
    let test = "packets_never_wait_and_enter_the_kernel_only_to_wake";
    if let Some(output) = in_child(test, &allowed) {
        return assert!(output.status.success(), "{output:?}");
    }
    let mut network = Network::new(STREAMS as usize);
    let mut opus = Vec::new();
    let signal = noise(7, BLOCK, 9000);
    Codec::Opus
        .encoder(network.clock.format)
        .encode(&signal, &mut opus);
    // A payload of 20 ms, and the time stamps of that, for each kind of decoder: without state, with it, converted.
    let (short, long, longest) = ([7; BLOCK], [7; 2 * BLOCK], [7; 4 * BLOCK]);
    let kinds: [(u8, &[u8], u32); 6] = [
        (96, &long, 160),
        (0, &short, 160),
        (8, &short, 160),
        (9, &short, 160),
        (97, &longest, 320),
        (111, &opus, 960),
    ];
    let packet = |ssrc: u32, number: u64, silent| {
        let (payload_type, payload, step) = kinds[ssrc as usize % kinds.len()];
        let mut bytes = Vec::new();
        Packet {
            marker: false,
            payload_type: if silent { 13 } else { payload_type },
            sequence: number as u16,
            timestamp: number as u32 * step,
            ssrc,
            payload: if silent { &[40] } else { payload },
        }
        .write(&[], &mut bytes);
        bytes
    };
    // Some reports are sent before it matters, and their memory is there then.
    let warm = 800;
    for number in 0..2 * warm {
        let now = network.now_ns();
        for ssrc in 0..STREAMS {
            // The network loses, repeats and reorders some, and some senders are silent for a while.
            let (number, times, silent) = match (number * 13 + u64::from(ssrc)) % 50 {
                _ if number < 2 => (number, 1, false),
                0 => (number, 0, false),
                1 => (number, 2, false),
                2 => (number - 1, 1, false),
                3 => (number, 1, true),
                _ => (number, 1, false),
            };
            let from = ([192, 0, 2, 1], 4000 + 2 * ssrc as u16).into();
            let bytes = packet(ssrc, number, silent);
            for _ in 0..times {
                let mut take = || network.receiver.datagram(&bytes, from, now);
                if number > warm {
                    in_real_time(take)
                } else {
                    take()
                }
            }
        }
        let tick = network.tick;
        let mut serve = || network.receiver.before_tick(tick, now, &mut |_| {});
        if number > warm {
            in_real_time(serve)
        } else {
            serve()
        }
        network.mix();
    }
    assert_eq!(network.receiver.streams(), STREAMS as usize);
    assert!(
        network
            .rig
            .accounts
            .iter()
            .all(|account| account.read().mixed > 200_000)
    );
}

#[test]
fn a_server_and_a_replay_tick_without_waiting() {
    let server = ["serve", "--synthetic", "500", "--duration", "2s"];
    let files = [
        "speech-count-8000-mono-s16.wav",
        "tone-1000-48000-stereo-s16.wav",
    ]
    .map(|name| format!("testdata/{name}"));
    let replay = ["replay", "--speed", "max", &files[0], &files[1]];
    for arguments in [&server[..], &replay] {
        let output = Command::new(env!("CARGO_BIN_EXE_mixpool"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn recordings_begin_and_end_without_the_mixer_thread_waiting() {
    // The mixer thread's taking and returning of one is marked in the sources.
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        streams_max: 1,
        ring_bytes: 1 << 16,
        clock: Clock::Live {
            speed: 20.0,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        record: Some(directory.path().join("mix.wav")),
        recordings: Some(directory.path().to_owned()),
        ..Settings::default()
    };
    let running = Engine::new(settings).unwrap().start().unwrap();
    let handle = running.handle();
    for round in 0..20 {
        let ids: Vec<_> = (0..7)
            .map(|number| {
                handle.start_recording(RecordingRequest::of_room(
                    &format!("{round}-{number}.wav"),
                    "main",
                ))
            })
            .map(|started| started.unwrap().id)
            .collect();
        let begun = running.handle().ticks();
        while running.handle().ticks() < begun + 5 {
            thread::yield_now();
        }
        for id in ids {
            handle.stop_recording(id).unwrap();
        }
        while handle.recording_totals().running > 1 {
            thread::yield_now();
        }
    }
    let report = running.finish();
    assert!(report.is_sound());
    assert_eq!(report.recordings.len(), 141);
}

#[test]
fn a_lock_that_somebody_holds_is_ended() {
    assert_ends_at("syscall", "a_lock_that_somebody_holds_is_ended", || {
        let lock = Mutex::new(());
        let held = lock.lock().unwrap();
        thread::scope(|scope| {
            // It would wait for good.
            scope.spawn(|| in_real_time(|| drop(lock.lock())));
        });
        drop(held);
    });
}

#[test]
fn a_tick_that_allocates_is_ended_wherever_it_runs() {
    assert_ends_at(
        "malloc",
        "a_tick_that_allocates_is_ended_wherever_it_runs",
        || {
            let mut rig = Setup::mono().rig();
            let mut stream = rig.stream();
            stream.say(&noise(1, BLOCK, 9000));
            rig.tick();
            // A release of the mixer's own lease: the tick's panic allocates.
            let lease = stream.lease();
            drop(stream.close());
            rig.mixer.consumer_mut().release(lease).unwrap();
            rig.mixer.tick(0);
        },
    );
}
