//! A soak: 64 producers that come and go for a set time, messages of random sizes with
//! a checksum in each, stalls on both sides.
//!
//! At the end each count is exact, by lease and over the pool's lifetime: offered = published +
//! dropped, and published = got. And the process holds no more descriptors than it did once warm, and
//! no more memory but what an allocator keeps.
//!
//! Five seconds among the other tests, and as long as you like alone:
//! `MIXPOOL_SOAK_SECONDS=3600 cargo test --release --package mixpool-queue --test soak -- --nocapture`.

mod support;

use std::{
    collections::HashMap,
    env, fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mixpool_queue::{AcquireError, Consumer, Drained, LeaseId, Pool, PoolStats, Producer, Tally};
use support::{PAGE, Random, pool, tally};

const PRODUCERS: u64 = 64;
/// Some short: a producer may find every slot taken.
const SLOTS: usize = PRODUCERS as usize - 4;
const RING_BYTES: usize = 4 * PAGE;
/// Bytes of a message before its noise: checksum, number.
const HEADER: usize = 12;
/// Beyond what any lease takes to end; a ring that lost its wake never does.
const PATIENCE: Duration = Duration::from_secs(60);
/// The allowed growth of resident memory once all is warm: an allocator's odds and ends. A long run leases
/// so often that a few bytes lost with each would exceed it. A sanitizer's own bookkeeping
/// knows no bound.
const GROWTH_MAX_BYTES: u64 = if cfg!(sanitized) { u64::MAX } else { 1 << 20 };

/// A producer's own counts of its lease when it leaves.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    published: Tally,
    dropped: Tally,
}

/// State shared by the threads beside the pool.
#[derive(Default)]
struct Desk {
    stop: AtomicBool,
    gone: AtomicU64,
    refused: AtomicU64,
    /// By leases that closed, until the consumer compares.
    told: Mutex<HashMap<LeaseId, Told>>,
}

fn write(message: &mut [u8], number: u64, random: &mut Random) {
    for chunk in message[HEADER..].chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_ne_bytes()[..chunk.len()]);
    }
    message[4..HEADER].copy_from_slice(&number.to_ne_bytes());
    let checksum = crc32fast::hash(&message[4..]);
    message[..4].copy_from_slice(&checksum.to_ne_bytes());
}

/// The number of a message that is whole.
fn read(message: &[u8]) -> u64 {
    let checksum = u32::from_ne_bytes(message[..4].try_into().unwrap());
    assert_eq!(checksum, crc32fast::hash(&message[4..]), "damaged");
    u64::from_ne_bytes(message[4..HEADER].try_into().unwrap())
}

/// Mostly small, some large, a few that fill the ring.
fn size(message_max: usize, random: &mut Random) -> usize {
    let max = match random.below(100) {
        0 => message_max,
        1..20 => 2000,
        _ => 200,
    };
    HEADER + random.below(max - HEADER + 1)
}

/// Offers a message by one of the ways there are; returns whether it went in.
fn offer(producer: &mut Producer, number: u64, len: usize, random: &mut Random) -> bool {
    let way = random.below(8);
    if way > 1 {
        let published = producer.publish_with(len, |bytes| write(bytes, number, random));
        return published.is_ok();
    }
    if way == 1 {
        // Given up half written, and asked for again.
        let _ = producer.reserve(len).map(|mut bytes| bytes.fill(0xee));
    }
    let more = len + random.below(64);
    let asked = if producer.has_room(more) { more } else { len };
    let published = producer.reserve(asked).map(|mut reservation| {
        reservation.truncate(len);
        write(&mut reservation, number, random);
        reservation.commit();
    });
    if published.is_err() {
        producer.count_drop(len);
    }
    published.is_ok()
}

/// All messages of one lease.
fn publish_some(producer: &mut Producer, random: &mut Random) -> Told {
    let mut told = Told::default();
    for number in 0..random.below(300) as u64 {
        let len = size(producer.message_max(), random);
        let count = if offer(producer, number, len, random) {
            &mut told.published
        } else {
            &mut told.dropped
        };
        *count += tally(1, len as u64);
        if random.below(100) == 0 {
            thread::sleep(Duration::from_micros(random.below(3000) as u64));
        }
    }
    told
}

/// A producer that comes and goes until asked to stop.
fn come_and_go(pool: &Pool, desk: &Desk, seed: u64) {
    let mut random = Random::seeded(seed);
    while !desk.stop.load(Ordering::Relaxed) {
        match pool.acquire() {
            Ok(mut producer) => {
                let told = publish_some(&mut producer, &mut random);
                desk.told.lock().unwrap().insert(producer.lease(), told);
            }
            Err(refusal) => {
                assert_eq!(refusal, AcquireError::Exhausted { slots: SLOTS });
                desk.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(500));
            }
        }
    }
    desk.gone.fetch_add(1, Ordering::Relaxed);
}

/// The consumer's counts of one lease.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    got: Tally,
    /// Messages reported as dropped.
    lost: u64,
}

impl Heard {
    fn hear(&mut self, message: &[u8], dropped_before: Option<u32>) {
        let number = read(message);
        let next = self.got.messages + self.lost;
        assert!(number >= next, "{number} came again or late");
        let lost = number - next;
        if let Some(told) = dropped_before {
            assert_eq!(lost, u64::from(told), "before {number}");
        }
        self.lost += lost;
        self.got += tally(1, message.len() as u64);
    }
}

/// Hears some of what waits in a ring, by one of the ways there are.
fn serve(
    consumer: &mut Consumer,
    lease: LeaseId,
    heard: &mut Heard,
    random: &mut Random,
) -> Drained {
    let max = 1 + random.below(64);
    match random.below(4) {
        0 => {
            for _ in 0..max {
                let Some(message) = consumer.get(lease).unwrap() else {
                    break;
                };
                heard.hear(&message, Some(message.dropped_before()));
                message.ack();
            }
        }
        1 => {
            let batch = consumer.get_batch(lease, max).unwrap();
            batch.iter().for_each(|message| heard.hear(message, None));
            batch.ack();
        }
        _ => {}
    }
    let drained = consumer.drain(lease, max, |message| heard.hear(message, None));
    drained.unwrap()
}

/// A lease ended: its producer's, the consumer's and the pool's counts are the same.
fn compare(consumer: &mut Consumer, lease: LeaseId, heard: Heard, desk: &Desk) -> Told {
    let told = desk.told.lock().unwrap().remove(&lease);
    let told = told.expect("a producer tells before it closes");
    let stats = consumer.lease_stats(lease).unwrap();
    assert_eq!(
        (stats.published, stats.dropped),
        (told.published, told.dropped)
    );
    assert_eq!((heard.got, stats.got), (told.published, told.published));
    // The rest was dropped after the last message.
    assert!(heard.lost <= told.dropped.messages);
    assert_eq!(stats.filled_bytes, 0);
    told
}

/// Descriptors and resident bytes of this process.
fn held() -> (usize, u64) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    (descriptors, pages * PAGE as u64)
}

/// The consumer's findings.
struct Found {
    /// Over all leases.
    told: Told,
    leases: u64,
    /// Once warm, and just before the end.
    held: [(usize, u64); 2],
}

/// Consumes for `time`, asks the producers to stop, and goes on until the last has gone.
fn consume(pool: &Pool, consumer: &mut Consumer, desk: &Desk, time: Duration) -> Found {
    let began = Instant::now();
    let mut random = Random::seeded(0);
    let mut heard: HashMap<LeaseId, Heard> = HashMap::new();
    let mut found = Found {
        told: Told::default(),
        leases: 0,
        held: [(0, 0); 2],
    };
    let mut warm = None;
    while desk.gone.load(Ordering::Relaxed) < PRODUCERS || pool.stats().leases > 0 {
        consumer.wait(Some(Duration::from_millis(100))).unwrap();
        while let Some(lease) = consumer.next_ready() {
            let one = heard.entry(lease).or_default();
            if serve(consumer, lease, one, &mut random) == Drained::Closed {
                let told = compare(consumer, lease, *one, desk);
                consumer.release(lease).unwrap();
                heard.remove(&lease);
                found.told.published += told.published;
                found.told.dropped += told.dropped;
                found.leases += 1;
            }
        }
        if random.below(50) == 0 {
            thread::sleep(Duration::from_micros(random.below(5000) as u64));
        }
        let since = began.elapsed();
        if warm.is_none() && since > time / 3 {
            warm = Some(held());
        }
        if !desk.stop.load(Ordering::Relaxed) && since > time {
            found.held = [warm.unwrap_or_else(held), held()];
            desk.stop.store(true, Ordering::Relaxed);
        }
        assert!(since < time + PATIENCE, "not ended: {heard:?}");
    }
    assert!(heard.is_empty());
    found
}

fn assert_exact(stats: &PoolStats, found: &Found, desk: &Desk) {
    assert_eq!(
        (stats.published, stats.dropped),
        (found.told.published, found.told.dropped)
    );
    assert_eq!(stats.got, stats.published);
    assert_eq!(stats.leases, 0);
    assert_eq!(
        (stats.acquired_leases, stats.released_leases),
        (found.leases, found.leases)
    );
    assert_eq!(stats.refused_leases, desk.refused.load(Ordering::Relaxed));
    assert!(desk.told.lock().unwrap().is_empty());
}

#[test]
fn producers_come_and_go_and_every_message_is_accounted_for() {
    let seconds = env::var("MIXPOOL_SOAK_SECONDS").map_or(5, |text| {
        text.parse()
            .expect("MIXPOOL_SOAK_SECONDS is a whole number of seconds")
    });
    let (pool, mut consumer) = pool(SLOTS, RING_BYTES);
    let desk = Desk::default();
    let found = thread::scope(|scope| {
        for seed in 1..=PRODUCERS {
            let (pool, desk) = (&pool, &desk);
            scope.spawn(move || come_and_go(pool, desk, seed));
        }
        consume(&pool, &mut consumer, &desk, Duration::from_secs(seconds))
    });

    let stats = pool.stats();
    let [
        (descriptors, resident),
        (descriptors_at_end, resident_at_end),
    ] = found.held;
    println!(
        "{seconds} s: {} leases, {} refused; {} messages of {} bytes published, {} dropped; {} wakes; \
         {descriptors_at_end} descriptors, {} KiB resident, {} KiB when warm",
        found.leases,
        stats.refused_leases,
        stats.published.messages,
        stats.published.bytes,
        stats.dropped.messages,
        stats.wakes,
        resident_at_end >> 10,
        resident >> 10,
    );
    assert_exact(&stats, &found, &desk);
    assert!(stats.dropped.messages > 0, "nothing was ever full");
    assert_eq!(descriptors_at_end, descriptors);
    let grown = resident_at_end.saturating_sub(resident);
    assert!(grown <= GROWTH_MAX_BYTES, "grown by {grown} bytes");
}
