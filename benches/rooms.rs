//! The price of rooms: a tick of 1000 streams in one room, and of as many in 50 and in 500, in turn.
//!
//! Every stream has a block in every tick. The sums are checked first: each room counts what its streams sent. `cargo
//! bench --bench rooms` prints the median tick of each, and its ratio to that of one room; then what a room costs that
//! limits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use mixpool::{
    audio::{Format, FrameHeader, FrameMut, frame::frame_bytes},
    ledger::Account,
    mixer::{Command, Limiting, Mixer, NewInput, Room, RoomId, RoomStrip, Settings},
    queue::{Pool, Producer},
};

const STREAMS: usize = 1000;
const BLOCK: usize = 160;
const TICKS: usize = 1500;
const RING_BYTES: usize = 1 << 16;

/// Streams spread evenly over rooms.
struct Contender {
    rooms: usize,
    mixer: Mixer,
    producers: Vec<Producer>,
    strips: Vec<Arc<RoomStrip>>,
    times: Vec<Duration>,
}

impl Contender {
    fn new(rooms: usize) -> Self {
        let (pool, consumer) = Pool::builder()
            .slots(STREAMS)
            .ring_bytes(RING_BYTES)
            .prefault(true)
            .polled(true)
            .build()
            .expect("a pool of 64 MiB");
        let settings = Settings {
            first_block: 0,
            format: Format::new(8000, 1).expect("a usual format"),
            block_samples: BLOCK,
            limiting: Limiting::Limiter,
            rooms_max: rooms + 1,
            lead_ticks: 0,
        };
        let mut mixer = Mixer::new(settings, consumer);
        // `main` is in each tick, too.
        let ids: Vec<_> = (1..=rooms as u32)
            .map(|slot| RoomId::new(slot, 0))
            .collect();
        let mut strips = Vec::new();
        for &id in &ids {
            let room = Room::new(id, &settings);
            strips.push(room.strip());
            mixer.apply(Command::OpenRoom(Box::new(room)));
        }
        let producers = (0..STREAMS)
            .map(|number| {
                let producer = pool.acquire().expect("a free ring");
                let account = Arc::new(Account::new(number.to_string()));
                let new = NewInput::new(producer.lease(), account).room(ids[number % rooms]);
                mixer.apply(Command::Admit(new));
                producer
            })
            .collect();
        Self {
            rooms,
            mixer,
            producers,
            strips,
            times: Vec::with_capacity(TICKS),
        }
    }

    fn tick(&mut self, noise: &[[i16; BLOCK]]) {
        let tick = self.mixer.next_tick();
        for (number, producer) in self.producers.iter_mut().enumerate() {
            let mut reservation = producer
                .reserve(frame_bytes(BLOCK))
                .expect("the tick before took the block");
            let mut frame = FrameMut::new(&mut reservation).expect("a message of a frame's length");
            let samples = &noise[(number + tick as usize) % noise.len()];
            frame.samples_mut().copy_from_slice(samples);
            frame.seal(FrameHeader::new(tick * BLOCK as u64, BLOCK));
            reservation.commit();
        }
        self.mixer.collect();
        let begun = Instant::now();
        self.mixer.tick(tick);
        self.mixer.send_feeds();
        self.times.push(begun.elapsed());
    }

    fn check(&self) {
        let ticks = self.mixer.ticks();
        let each = ticks * (BLOCK * STREAMS / self.rooms) as u64;
        for strip in &self.strips {
            assert_eq!(strip.mixed(), each, "{} rooms", self.rooms);
        }
    }

    /// The median since the last call, in microseconds.
    fn median_us(&mut self) -> f64 {
        self.times.sort_unstable();
        let median = self.times[self.times.len() / 2];
        self.times.clear();
        median.as_secs_f64() * 1e6
    }
}

fn main() {
    let mut contenders = [1, 50, 500].map(Contender::new);
    // No sum leaves 16 bits; then all do.
    let mut medians_us = Vec::new();
    for (what, loudest) in [("limiters idle", 30), ("each room limits", 20_000)] {
        let mut random = SmallRng::seed_from_u64(7);
        let mut sample = || random.random_range(-loudest..=loudest);
        let noise: Vec<_> = (0..61).map(|_| std::array::from_fn(|_| sample())).collect();
        for _ in 0..TICKS {
            for contender in &mut contenders {
                contender.tick(&noise);
            }
        }
        println!("{STREAMS} streams, {what}:");
        let mut one_us = None;
        for contender in &mut contenders {
            contender.check();
            let us = contender.median_us();
            let ratio = us / *one_us.get_or_insert(us);
            println!(
                "{:>4} rooms {us:>7.1} us a tick, {ratio:.2} of one room",
                contender.rooms
            );
            medians_us.push((contender.rooms, us));
        }
    }
    let (idle, limiting) = medians_us.split_at(contenders.len());
    for (&(rooms, idle_us), &(_, us)) in idle.iter().zip(limiting) {
        let each = (us - idle_us) / rooms as f64;
        println!("a room that limits, of {rooms}: {each:.2} us more a tick");
    }
}
