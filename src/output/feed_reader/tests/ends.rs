//! The ends of rooms, rings without an owner, and wake-ups.

use super::*;
use crate::mixer::Room;

/// As when its stream is refused.
#[test]
fn a_ring_that_has_no_owner_is_released_once_it_is_closed() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 2);
    let pool = reader.reader.pool().unwrap().clone();
    drop(pool.acquire().unwrap());
    rig.tick();
    reader.drain();
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn frames_wait_until_their_ring_has_an_owner() {
    for is_closed in [false, true] {
        let mut rig = Rig::new();
        let mut reader = ReaderThread::of_room(&mut rig, 1);
        let pool = reader.reader.pool().unwrap().clone();
        let mut sender = rig.sender();
        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let ring = (producer, &pool);
        let feed = rig.open_feed(Feed::room_ring(
            RoomId::MAIN,
            reader.id,
            ring,
            &rig.settings,
        ));
        let mut say = |rig: &mut Rig, reader: &mut ReaderThread, ticks| {
            for tick in ticks {
                sender.say(tick, &block(tick));
                rig.tick();
                reader.drain();
            }
        };
        say(&mut rig, &mut reader, 0..10);
        if is_closed {
            rig.mixer.apply(Command::CloseFeed(feed));
            say(&mut rig, &mut reader, 10..11);
        }
        reader.feeds.push(Received::default());
        reader.reader.own(lease, 0);
        reader.drain();
        if !is_closed {
            assert_eq!(reader.feeds[0].end(), 10 * N - DELAY);
            rig.end();
            reader.drain_to_end();
        }
        reader.feeds[0].expect(0..10 * N, 0, sample);
        assert!(reader.feeds[0].ended);
        assert_eq!(pool.stats().leases, 0);
    }
}

#[test]
fn samples_that_a_ring_refused_last_are_filled_too() {
    for is_closed in [false, true] {
        let mut rig = Rig::new();
        let mut reader = ReaderThread::new(&mut rig, 2, |ring| ring);
        let pool = reader.reader.pool().unwrap().clone();
        let mut sender = rig.sender();
        let [room, alone] = [(); 2].map(|()| pool.acquire().unwrap());
        let refused = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        for (key, producer) in (0..).zip([&room, &alone]) {
            reader.feeds.push(Received::default());
            let refused = Arc::clone(&refused[key as usize]);
            reader.reader.own_noting(producer.lease(), key, refused);
        }
        let room = Feed::room_ring(RoomId::MAIN, reader.id, (room, &pool), &rig.settings);
        let alone = Feed::alone(sender.lease(), reader.id, (alone, &pool), &rig.settings);
        let feeds = [room, alone].into_iter().zip(refused);
        let feeds: Vec<_> = feeds
            .map(|(feed, refused)| rig.open_feed(feed.noting_refused(refused)))
            .collect();
        for tick in 0..100 {
            sender.say(tick, &block(tick));
            rig.tick();
        }
        if is_closed {
            for feed in feeds {
                rig.mixer.apply(Command::CloseFeed(feed));
            }
            rig.tick();
            reader.drain();
        } else {
            rig.end();
            reader.drain_to_end();
        }
        for received in &reader.feeds {
            assert!(received.lost > 0 && received.ended);
            received.expect(0..100 * N, received.lost, sample);
        }
    }
}

#[test]
fn a_feed_that_the_mixer_never_opened_ends_with_its_reader() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 1);
    let producer = reader.reader.pool().unwrap().acquire().unwrap();
    reader.reader.own(producer.lease(), 0);
    reader.feeds.push(Received::default());
    rig.tick();
    reader.drain();
    assert!(!reader.feeds[0].ended);
    rig.end();
    reader.drain_to_end();
    assert!(reader.feeds[0].ended);
}

#[test]
fn its_descriptor_is_readable_once_a_tick() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 1);
    let sender = rig.sender();
    reader.open(&mut rig, &sender, Feed::mix_minus);
    let is_readable = |reader: &ReaderThread| {
        let mut fds = [PollFd::new(reader.reader.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    };
    reader.drain();
    for _ in 0..5 {
        assert!(!is_readable(&reader));
        rig.tick();
        assert!(is_readable(&reader));
        reader.drain();
    }
    assert!(!is_readable(&reader));
    rig.end();
    assert!(is_readable(&reader));
}

#[test]
fn a_room_ends_with_the_last_feed_that_needs_it() {
    let mut rig = Rig::new();
    let room = RoomId::new(1, 0);
    let opened = Box::new(Room::new(room, &rig.settings));
    rig.mixer.apply(Command::OpenRoom(opened));
    let sender = rig.sender();
    rig.mixer.apply(Command::Move {
        stream: sender.lease(),
        to: room,
        fade: false,
        track: None,
    });
    let mut reader = ReaderThread::new(&mut rig, 1, |ring| ring);
    let heard = rig.open_feed(Feed::room(room, reader.id));
    let minus = reader.open(&mut rig, &sender, Feed::mix_minus);
    let mut ticks = |rig: &mut Rig, count| {
        let (mut samples, mut frames, mut ended) = (0, 0, 0);
        for _ in 0..count {
            rig.tick();
            reader.reader.drain(|delivery| match delivery {
                Delivery::Room(of, piece) => {
                    assert_eq!((of, ended), (room, 0));
                    samples += piece.samples.len();
                }
                Delivery::Feed(0, piece) => {
                    assert_eq!(piece.same, Some(room));
                    frames += 1;
                }
                Delivery::RoomEnded(of) => {
                    assert_eq!(of, room);
                    ended += 1;
                }
                delivery => assert!(matches!(delivery, Delivery::Ended(0))),
            });
        }
        (samples, frames, ended)
    };
    assert_eq!(ticks(&mut rig, 3), (3 * BLOCK - DELAY as usize, 3, 0));
    rig.mixer.apply(Command::CloseFeed(heard));
    assert_eq!(ticks(&mut rig, 3), (3 * BLOCK, 3, 0));
    rig.mixer.apply(Command::CloseFeed(minus));
    // The samples before the command end in the next block.
    assert_eq!(ticks(&mut rig, 3), (DELAY as usize, 0, 1));
    rig.open_feed(Feed::room(room, reader.id));
    assert_eq!(ticks(&mut rig, 3), (3 * BLOCK - DELAY as usize, 0, 0));
}
