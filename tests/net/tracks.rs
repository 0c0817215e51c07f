//! Tracks of streams with loss, drift and restarts, which move and change their gain: they add up to their rooms.
//! `MIXPOOL_TRACKS_SECONDS` says for how much virtual time, five minutes if it does not; `.ci/long` has an hour.

use std::{array, env};

use mixpool::{
    audio::Gain,
    mixer::{Command, RoomId, Signal},
};

use crate::{
    emulator::{Arrival, Dice, MS, Path, Rig, Sender, Setup},
    rig::cut,
};

/// Long packets, so that an hour has fewer of them: 60 ms.
const PACKET: u64 = 480;
/// After so long something changes.
const PART_MS: u64 = 12_000;
/// Clocks are apart by less: what was sent so long ago has come, or never will.
const APART_MS: u64 = 3000;

const STREAMS: usize = 3;

fn rooms() -> [RoomId; 2] {
    [RoomId::MAIN, RoomId::new(1, 0)]
}

/// The tracks of each room so far, added and cut once, are its mix. They are forgotten then.
fn check(rig: &mut Rig, tracks: &[(usize, usize)]) {
    for (room, id) in rooms().into_iter().enumerate() {
        let reader = &rig.mix.readers[0];
        let [run] = reader.runs(id) else {
            panic!("a pause");
        };
        let from = run.from.unwrap();
        let mut sums = vec![0; run.heard.len()];
        for &(_, track) in tracks.iter().filter(|(of, _)| *of == room) {
            let line = rig.mix.line(track);
            if line.heard.is_empty() {
                continue;
            }
            let at = (line.from.unwrap() - from) as usize;
            for (sum, &sample) in sums[at..].iter_mut().zip(&line.heard) {
                *sum += i64::from(sample);
            }
        }
        let sums: Vec<_> = sums.into_iter().map(cut).collect();
        let at = sums
            .iter()
            .zip(&run.heard)
            .position(|(one, other)| one != other);
        assert_eq!(at, None, "{id:?}, from {from} on");
    }
    rig.mix.readers[0].forget();
}

#[test]
fn tracks_with_loss_drift_and_restarts_add_up_to_their_rooms() {
    let seconds = env::var("MIXPOOL_TRACKS_SECONDS");
    let seconds: u64 = seconds.map_or(300, |text| text.parse().unwrap());
    let mut senders: [_; STREAMS] = array::from_fn(|number| {
        Sender::new(number as u64)
            .from(&format!("192.0.2.{}:4000", 1 + number))
            .lengths(&[PACKET])
            .skewed([200.0, -200.0, 50.0][number])
    });
    let mut paths: [_; STREAMS] = array::from_fn(|number| {
        Path::clear(number as u64)
            .losing_rows(0.01, 0.5)
            .doubling(0.01)
            .jitter(30 * MS)
    });
    let mut rig = Setup::adaptive(60, 200).rig();
    rig.mix.listen();
    rig.mix.open_room(rooms()[1]);
    rig.mix.hear(Signal::Room(rooms()[1]));
    rig.tracks = Some(Vec::new());
    let mut dice = Dice::new(7);
    // The room of each stream, and all tracks that there were, each with its room.
    let (mut places, mut tracks) = ([0; STREAMS], Vec::new());
    let mut coming: Vec<Arrival> = Vec::new();
    for part in 0..seconds * 1000 / PART_MS {
        let ends_ms = (part + 1) * PART_MS;
        let carried = senders.iter_mut().zip(&mut paths).map(|(sender, path)| {
            if part > 0 && dice.hits(0.1) {
                sender.restart(700);
            }
            path.carry(&sender.talk_until(ends_ms).sent())
        });
        coming.extend(carried.flatten());
        coming.sort_by_key(|arrival| arrival.at_ns);
        let until_ns = ends_ms.saturating_sub(APART_MS) * MS;
        let come = coming.partition_point(|arrival| arrival.at_ns < until_ns);
        rig.run(&coming.drain(..come).collect::<Vec<_>>());
        if part == 0 {
            let first = rig.tracks.iter().flatten();
            tracks.extend(first.map(|&(_, track)| (0, track)));
        }
        check(&mut rig, &tracks);
        let streams = rig.tracks.as_ref().unwrap();
        assert_eq!(streams.len(), STREAMS);
        let who = part as usize % STREAMS;
        let stream = streams[who].0;
        if dice.hits(0.5) {
            places[who] = 1 - places[who];
            let track = rig
                .mix
                .move_tracked(stream, rooms()[places[who]], dice.hits(0.7));
            tracks.push((places[who], track));
        }
        let gain = Gain::from_linear(dice.up_to(1000) as f32 / 1000.0).unwrap();
        rig.mix.mixer.apply(Command::SetGain(stream, gain));
        let muted = dice.hits(0.2);
        rig.mix.mixer.apply(Command::SetMuted(stream, muted));
    }
    for stream in 0..STREAMS {
        let (entry, network) = rig.account(stream);
        let sent = seconds * 8000;
        assert!(entry.mixed > sent / 3, "{entry:?}");
        assert!(
            network.totals.lost > 0 && network.totals.late == 0,
            "{network:?}"
        );
    }
}
