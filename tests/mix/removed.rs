//! What the mixer removes, it hands over to be freed elsewhere; while there is no room for more, it keeps it.

use std::sync::{Arc, atomic::AtomicU64};

use mixpool::{
    ledger::StreamState,
    mixer::{Command, MixRing, READERS_MAX, ReaderId, RoomId, Signal},
    queue::{LeaseId, Pool},
};

use crate::rig::{BLOCK, Rig, Setup, TestStream, noise, stream_feed};

#[test]
fn all_that_ends_or_closes_arrives_there() {
    let mut rig = Setup::mono().rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    let reader = rig.reader();
    let mut stream = rig.stream();
    let lease = stream.lease();
    stream.say(&noise(1, BLOCK, 900));
    rig.tick();
    assert_eq!(removed.free(drop), 0);
    for signal in [Signal::Alone, Signal::MixMinus] {
        let first = rig.open(reader, signal(lease));
        assert_eq!(removed.free(drop), 0);
        let second = rig.hear(signal(lease));
        assert_eq!(removed.free(drop), 1, "what is there already");
        rig.tick();
        rig.close(first);
        assert_eq!(removed.free(drop), 1);
        rig.close(second);
        assert_eq!(removed.free(drop), 1);
        rig.close(second);
        assert_eq!(removed.free(drop), 0, "it was closed already");
    }
    let room = rig.open(reader, Signal::Room(RoomId::MAIN));
    rig.tick();
    rig.close(room);
    rig.tick();
    assert_eq!(removed.free(drop), 0, "a room's feed is nothing to free");
    rig.mixer
        .apply(Command::CloseReader(rig.readers[reader].id));
    assert_eq!(removed.free(drop), 0, "its head is still to be sent");
    rig.tick();
    assert_eq!(removed.free(drop), 1);
    for signal in [Signal::Alone, Signal::MixMinus] {
        rig.hear(signal(lease));
    }
    let account = stream.close();
    let held = Arc::strong_count(&account);
    rig.ticks(2);
    assert_eq!(account.state(), StreamState::Ended);
    assert_eq!(Arc::strong_count(&account), held, "until it is freed");
    assert_eq!(removed.free(drop), 3);
    assert_eq!(Arc::strong_count(&account), held - 1);
    rig.hear(Signal::Alone(lease));
    assert_eq!(removed.free(drop), 1, "there is no such stream");
}

#[test]
fn without_another_end_the_mixer_frees_between_ticks() {
    let mut rig = Setup::mono().rig();
    let account = rig.stream().close();
    let held = Arc::strong_count(&account);
    rig.tick();
    assert!(rig.mixer.takes_commands());
    assert_eq!(Arc::strong_count(&account), held - 1);
}

/// Opens feeds of a stream that is over until there is no room for what comes back; how many.
fn fill(rig: &mut Rig, over: LeaseId) -> usize {
    let builder = Pool::builder().slots(4000).ring_bytes(4096);
    let (pool, _consumer) = builder.build().unwrap();
    let mut count = 0;
    while rig.mixer.takes_commands() {
        let ring = (pool.acquire().unwrap(), &pool);
        let feed = stream_feed(Signal::Alone(over), ReaderId(77), ring, &rig.settings);
        rig.mixer.apply(Command::OpenFeed(feed));
        count += 1;
    }
    count
}

#[test]
fn while_there_is_no_room_ended_streams_are_kept() {
    let mut rig = Setup::mono().rig();
    let mut removed = rig.mixer.removed();
    rig.listen();
    let mut streams = [rig.stream(), rig.stream()];
    let lease = streams[0].lease();
    let alone = streams
        .each_ref()
        .map(|stream| rig.hear(Signal::Alone(stream.lease())));
    let minus = streams
        .each_ref()
        .map(|stream| rig.hear(Signal::MixMinus(stream.lease())));
    let gone = rig.stream();
    let over = gone.lease();
    drop(gone);
    rig.ticks(2);
    assert_eq!(removed.free(drop), 1);

    let filled = fill(&mut rig, over);
    for (seed, stream) in (0..).zip(&mut streams) {
        stream.say_all(&noise(seed, BLOCK, 900));
    }
    let accounts = streams.map(TestStream::close);
    rig.ticks(5);
    assert!(!rig.mixer.takes_commands());
    assert_eq!((rig.mixer.playing(), rig.mixer.streams()), (0, 0));
    let leases = rig.pool.stats().leases;
    assert_eq!(leases, 2, "their slots are theirs");
    for account in &accounts {
        assert_ne!(account.state(), StreamState::Ended);
        assert_eq!(account.read().mixed, BLOCK as u64);
    }
    // Their feeds go on, with silence.
    for feed in alone.into_iter().chain(minus) {
        assert_eq!((rig.line(feed).frames, rig.line(feed).closed), (7, false));
    }

    assert_eq!(removed.free(drop), filled);
    assert!(rig.mixer.takes_commands());
    // The next look at what has ended takes them.
    assert_eq!(rig.pool.stats().leases, 2);
    rig.tick();
    assert_eq!((removed.free(drop), rig.pool.stats().leases), (6, 0));
    assert!(
        accounts
            .iter()
            .all(|account| account.state() == StreamState::Ended)
    );
    for (seed, feed) in (0..).zip(alone) {
        let line = rig.line(feed);
        assert!(line.closed);
        // Each sample between the commands, and no more.
        assert_eq!((line.from, line.heard.len()), (Some(0), 7 * BLOCK));
        assert!(line.heard[2 * BLOCK..3 * BLOCK] == noise(seed, BLOCK, 900));
        let rest = [&line.heard[..2 * BLOCK], &line.heard[3 * BLOCK..]].concat();
        assert!(rest.iter().all(|&sample| sample == 0));
    }
    assert!(minus.iter().all(|&feed| rig.line(feed).closed));
    let late = rig.hear(Signal::Alone(lease));
    rig.tick();
    assert!(rig.line(late).closed && rig.mix_heard().len() == 9 * BLOCK - 40);
}

#[test]
fn readers_that_close_together_all_arrive() {
    let mut rig = Setup::mono().rig();
    let mut removed = rig.mixer.removed();
    let gone = rig.stream();
    let over = gone.lease();
    drop(gone);
    rig.tick();
    assert_eq!(removed.free(drop), 1);
    let (pool, _consumer) = Pool::builder().slots(300).ring_bytes(4096).build().unwrap();
    let ring = || {
        let ring = MixRing::new(&pool, 1, Arc::new(AtomicU64::new(0)));
        Box::new(ring.unwrap())
    };
    for number in 0..READERS_MAX as u64 {
        rig.mixer
            .apply(Command::OpenReader(ReaderId(number), ring()));
    }
    assert_eq!(removed.free(drop), 0);
    rig.mixer.apply(Command::OpenReader(ReaderId(999), ring()));
    assert_eq!(removed.free(drop), 1, "one too many");
    for number in 0..READERS_MAX as u64 {
        rig.mixer.apply(Command::CloseReader(ReaderId(number)));
    }
    // However few places the last command left.
    let filled = fill(&mut rig, over);
    rig.tick();
    assert_eq!(removed.free(drop), filled + READERS_MAX);
}
