//! Rooms with rings of their own.

use super::*;
use crate::rig::stream_feed;

const ROOM: RoomId = RoomId::MAIN;

/// A room beside `main`.
fn other() -> RoomId {
    RoomId::new(1, 0)
}

#[test]
fn a_closed_room_ends_its_rings_before_the_next_tick() {
    let mut rig = Setup::mono().rooms(2).rig();
    rig.listen();
    let strip = rig.open_room(other());
    let line = rig.open_room_ring(0, other());
    let mut sender = rig.stream_in(other());
    let mut said = Vec::new();
    for tick in 0..10 {
        let samples = noise(tick, BLOCK, 900);
        sender.say_all(&samples);
        said.extend(samples);
        rig.tick();
    }
    rig.mixer.apply(Command::CloseRoom(other()));
    sender.say_all(&[77; BLOCK]);
    rig.tick();
    let heard = rig.line(line);
    assert!(heard.closed && heard.heard == said);
    assert_eq!((heard.from, heard.frames), (Some(0), 11));
    // Another one is closed at once, while a stream still holds the room.
    let late = rig.open_room_ring(0, other());
    rig.tick();
    assert!(rig.line(late).closed && rig.line(late).heard.is_empty());
    sender.close();
    rig.ticks(2);
    assert_eq!(std::sync::Arc::strong_count(&strip), 1, "it is gone");
}

#[test]
fn a_ring_keeps_its_room_in_the_tick() {
    let mut rig = Setup::mono().rooms(2).rig();
    rig.listen();
    rig.open_room(other());
    rig.ticks(5);
    let line = rig.open_room_ring(0, other());
    rig.ticks(10);
    rig.close(line);
    rig.ticks(5);
    let heard = rig.line(line);
    assert_eq!(heard.from, Some(5 * N));
    assert!(heard.closed && heard.heard == vec![0; 10 * BLOCK]);
}

#[test]
fn the_end_of_the_mix_sends_the_last_samples_of_a_room() {
    for limited in [false, true] {
        let setup = Setup::stereo();
        let mut rig = if limited { setup.limited() } else { setup }.rig();
        rig.listen();
        let mut sender = rig.stream();
        let line = rig.open_room_ring(0, ROOM);
        for tick in 0..10 {
            sender.say_all(&noise(tick, 2 * BLOCK, 900));
            rig.tick();
        }
        rig.flush();
        assert!(rig.line(line).heard == rig.output);
        assert_eq!(rig.output.len(), 20 * BLOCK);
    }
}

#[test]
fn a_ring_without_a_place_at_its_reader_is_closed() {
    let mut rig = Setup::mono().rig();
    let (ring, _reader) = mix_ring(4096);
    let ring = Box::new(ring.with_room_rings(1));
    rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
    let builder = Pool::builder().slots(2).ring_bytes(4096);
    let (pool, mut consumer) = builder.build().unwrap();
    let open = |rig: &mut Rig, reader| {
        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let ring = (producer, &pool);
        let feed = Feed::room_ring(ROOM, ReaderId(reader), ring, &rig.settings);
        rig.mixer.apply(Command::OpenFeed(feed));
        lease
    };
    let first = open(&mut rig, 7);
    let second = open(&mut rig, 7);
    assert_eq!(consumer.is_finished(first), Ok(false));
    assert_eq!(consumer.is_finished(second), Ok(true));
    consumer.release(second).unwrap();
    let absent = open(&mut rig, 8);
    assert_eq!(consumer.is_finished(absent), Ok(true), "no such reader");
}

#[test]
fn a_ring_is_closed_at_once_and_freed_when_there_is_room() {
    let mut rig = Setup::mono().rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    let line = rig.open_room_ring(0, ROOM);
    rig.tick();
    rig.close(line);
    // Commands for a stream that is not there fill the way back.
    let over = rig.pool.acquire().unwrap().lease();
    let builder = Pool::builder().slots(4000).ring_bytes(4096);
    let (pool, _consumer) = builder.build().unwrap();
    let mut filled = 0;
    while rig.mixer.takes_commands() {
        let ring = (pool.acquire().unwrap(), &pool);
        let feed = stream_feed(Signal::Alone(over), ReaderId(77), ring, &rig.settings);
        rig.mixer.apply(Command::OpenFeed(feed));
        filled += 1;
    }
    rig.tick();
    assert!(rig.line(line).closed);
    assert_eq!(rig.line(line).heard, [0; BLOCK]);
    assert_eq!(removed.free(drop), filled);
    rig.tick();
    assert_eq!(removed.free(drop), 1);
}

#[test]
fn a_feed_that_is_waited_for_loses_nothing() {
    type Make = fn(LeaseId, (mixpool::queue::Producer, &Pool), &mixpool::mixer::Settings) -> Feed;
    let room: Make = |_, ring, settings| Feed::room_ring(ROOM, ReaderId(7), ring, settings);
    let alone: Make = |lease, ring, settings| Feed::alone(lease, ReaderId(7), ring, settings);
    for make in [room, alone] {
        let mut rig = Setup::mono().rig();
        let (ring, mut mix) = mix_ring(4096);
        let ring = Box::new(ring.with_room_rings(1));
        rig.mixer.apply(Command::OpenReader(ReaderId(7), ring));
        let builder = Pool::builder().slots(1).ring_bytes(4096);
        let (pool, mut consumer) = builder.build().unwrap();
        let mut sender = rig.stream();
        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let feed = make(sender.lease(), (producer, &pool), &rig.settings).waited_for();
        rig.mixer.apply(Command::OpenFeed(feed));
        let mut frames = 0;
        for tick in 0..100 {
            sender.place(tick * N, &[7; BLOCK]);
            while rig.mixer.is_any_feed_full() {
                let message = consumer.get(lease).unwrap().expect("a full ring has some");
                assert_eq!(message.dropped_before(), 0);
                message.ack();
                frames += 1;
            }
            rig.tick();
            mix.take();
        }
        while let Some(message) = consumer.get(lease).unwrap() {
            assert_eq!(message.dropped_before(), 0);
            message.ack();
            frames += 1;
        }
        assert_eq!(frames, 100);
    }
}
