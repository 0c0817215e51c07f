//! The ends of rooms, rings without an owner, and wake-ups.

use super::*;
use crate::mixer::Room;

/// As when its stream is refused.
#[test]
fn a_ring_that_has_no_owner_is_released_once_it_is_closed() {
    let mut rig = Rig::new();
    let mut reader = ReaderThread::of_room(&mut rig, 2);
    let pool = reader.reader.pool().unwrap().clone();
    let mut producer = pool.acquire().unwrap();
    let closed = pool.acquire().unwrap();
    producer.publish(&[1; 8]).unwrap();
    drop(closed);
    rig.tick();
    reader.drain();
    assert_eq!(pool.stats().leases, 1);
    drop(producer);
    rig.tick();
    reader.drain();
    assert_eq!(pool.stats().leases, 0);
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
