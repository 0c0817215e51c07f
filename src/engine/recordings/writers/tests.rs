//! The choice of the thread that writes a recording.

use super::*;
use crate::{
    audio::Format,
    engine::commands::{self, Commands},
    mixer::{Feed, Limiting, Mixer, RoomId, Settings},
    queue::Pool,
};

use Length::{OfRooms, OfStreams};

struct Rig {
    writers: Writers,
    sender: Sender,
    _mixer: (Pool, Mixer, Commands),
}

impl Rig {
    fn new(threads: usize) -> Self {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let settings = settings();
        let mut mixer = Mixer::new(settings, consumer);
        let (sender, commands) = commands::channel(&mut mixer, 1, 0);
        let rings = WriterRings {
            format: settings.format,
            block_samples: 160,
            recordings: 2,
            buffered: ROOM_BUFFERED,
        };
        let limits = WriterLimits {
            rings,
            threads,
            is_waited_for: false,
        };
        Self {
            writers: Writers::new(limits),
            sender,
            _mixer: (pool, mixer, commands),
        }
    }

    fn get(&mut self, place: Place, length: Length) -> ReaderId {
        let got = self.writers.get(place, length, &self.sender);
        got.unwrap().1
    }

    fn on(&mut self, device: u64, length: Length) -> ReaderId {
        self.get(Place::Device(device), length)
    }
}

/// A recording of it whose feed is not opened yet.
fn hold(thread: &Thread) -> impl Sized + use<> {
    let recorded = thread
        .writer
        .record(|ring| Feed::room_ring(RoomId::MAIN, thread.reader, ring, &settings()));
    recorded.unwrap()
}

fn settings() -> Settings {
    Settings {
        first_block: 0,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 160,
        limiting: Limiting::Saturate,
        rooms_max: 1,
        lead_ticks: 0,
    }
}

#[test]
fn each_file_system_has_a_thread_for_rooms_and_one_for_streams() {
    let mut rig = Rig::new(8);
    let [one, two] = [1, 2].map(|device| rig.on(device, OfRooms));
    let streams = rig.on(1, OfStreams);
    assert!(one != two && one != streams && two != streams);
    assert_eq!([1, 2].map(|device| rig.on(device, OfRooms)), [one, two]);
    assert_eq!(rig.on(1, OfStreams), streams);
    assert_eq!(rig.writers.threads.len(), 3);
}

#[test]
fn beyond_their_number_threads_are_shared() {
    let mut rig = Rig::new(3);
    let [one, two] = [1, 2].map(|device| rig.on(device, OfStreams));
    assert_eq!(rig.on(3, OfStreams), one, "as one is kept for rooms");
    // The first has a recording, so the other has less to do.
    let _held = hold(&rig.writers.threads[0]);
    assert_eq!(rig.on(3, OfStreams), two);
    let rooms = rig.on(1, OfRooms);
    assert_eq!(rig.on(2, OfRooms), rooms);
    assert_eq!(rig.writers.threads.len(), 3);
}

#[test]
fn a_stream_shares_the_only_thread_with_rooms() {
    let mut rig = Rig::new(1);
    // Whichever comes first.
    let streams = rig.on(1, OfStreams);
    assert_eq!(rig.on(2, OfRooms), streams);
    assert_eq!(rig.writers.threads[0].length, OfRooms);
}

#[test]
fn a_pipe_has_a_thread_of_its_own_while_it_is_written() {
    let mut rig = Rig::new(1);
    let pipes = [(); 2].map(|()| rig.get(Place::Stream, OfRooms));
    assert_ne!(pipes[0], pipes[1]);
    let held = hold(&rig.writers.pipes[1]);
    rig.writers.tend(&rig.sender);
    assert_eq!(rig.writers.pipes.len(), 1);
    assert_eq!(rig.writers.pipes[0].reader, pipes[1]);
    drop(held);
}
