//! The sound files of `testdata`, replayed into rooms.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mixpool::source::{Source as _, WavSource};

use super::*;
use crate::rig::reference;

/// Streams: more than rooms, and more than files, so that a room has several and a file is in several.
const STREAMS: usize = 120;
/// Blocks of each: more than most files have.
const BLOCKS: usize = 60;

/// The beginning of each file, in order of their names, at the rate of the mix.
fn files(rig: &Rig) -> Vec<Vec<i16>> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let entries = fs::read_dir(testdata).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "wav"));
    paths.sort();
    assert!(paths.len() >= 12);
    let file = |path: &PathBuf| {
        let mut source = WavSource::open(path, rig.format).unwrap();
        let mut samples = vec![0; BLOCKS * BLOCK];
        let count = source.read(&mut samples).unwrap();
        samples.truncate(count);
        samples
    };
    paths.iter().map(file).collect()
}

/// The rooms' samples, of streams that are spread over them, each with a file of its own.
fn replay(setup: Setup, streams: &[(u32, &[i16])], rooms: u32) -> Vec<Vec<i16>> {
    let mut rig = rig_of(setup, rooms);
    let mut senders: Vec<_> = streams
        .iter()
        .map(|(room, _)| rig.stream_in(first(*room)))
        .collect();
    for block in 0..BLOCKS {
        for (sender, (_, samples)) in senders.iter_mut().zip(streams) {
            let rest = samples.get(block * BLOCK..).unwrap_or_default();
            sender.say_all(&rest[..rest.len().min(BLOCK)]);
        }
        rig.tick();
    }
    assert_eq!(rig.mixer.mixed_in_rooms(), mixed(&rig));
    let said: usize = streams.iter().map(|(_, samples)| samples.len()).sum();
    assert_eq!(mixed(&rig), said as u64, "every sample was heard in a room");
    rig.flush();
    (0..rooms).map(|room| heard(&rig, first(room))).collect()
}

/// Each room has the samples of a replay of its files alone.
fn rooms_are_apart(setup: Setup, rooms: u32) {
    let setup = setup.slots(STREAMS);
    let files = files(&setup.rig());
    let files = files.iter().cycle().take(STREAMS);
    let streams: Vec<(u32, &[i16])> = files
        .enumerate()
        .map(|(index, file)| (index as u32 % rooms, &**file))
        .collect();
    for (room, heard) in (0..).zip(replay(setup, &streams, rooms)) {
        let alone: Vec<_> = streams.iter().filter(|(of, _)| *of == room).collect();
        let alone: Vec<(u32, &[i16])> = alone.iter().map(|(_, file)| (0, *file)).collect();
        assert_eq!(heard, replay(setup, &alone, 1)[0], "room {room} of {rooms}");
        if setup.limiting == Limiting::Saturate {
            let alone: Vec<_> = alone.iter().map(|(_, file)| file.to_vec()).collect();
            assert_eq!(heard, reference(&alone, BLOCKS * BLOCK), "room {room}");
        }
    }
}

#[test]
fn a_replay_into_one_room_is_its_files_sum() {
    rooms_are_apart(Setup::mono(), 1);
}

#[test]
fn a_replay_into_two_rooms_is_two_replays() {
    rooms_are_apart(Setup::mono(), 2);
    rooms_are_apart(Setup::mono().limited(), 2);
}

#[test]
fn a_replay_into_fifty_rooms_is_fifty_replays() {
    rooms_are_apart(Setup::mono(), 50);
    rooms_are_apart(Setup::mono().limited(), 50);
}
