//! What does one tick cost, of cold rings that another thread has just filled?
//!
//! Each round, a filling thread publishes one 20 ms frame of 8 kHz mono to every ring and writes the
//! same bytes into a flat buffer; then this thread mixes a tick and reads the buffer, both timed. The
//! flat read is the limit: one core reading what another one just wrote. Also beside it: adding the
//! same samples from the buffer, warm by then.
//!
//! `cargo bench --bench mix_tick` prints median, 99th percentile and maximum per frame, and the ratio
//! of medians to the flat read. Timings are for people to read; nothing is asserted of them. That the
//! mix is right is: a wrong sum ends the bench.

use std::{
    hint::black_box,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use mixpool::{
    audio::{Format, Gain, sum},
    ingest::{Source, SourceError, Stream},
    ledger::Account,
    mixer::{Command, Limiting, Mixer, Settings},
    queue::{Consumer, Pool},
};

const RING_BYTES: usize = 1 << 20;
const BLOCK: usize = 160;
const ROUNDS: usize = 500;
const WARM_UP: usize = 50;

/// One sample value over and over: cheap to make, so that the filling thread is quick.
struct Constant(i16);

impl Source for Constant {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        out.fill(self.0);
        Ok(out.len())
    }

    fn length(&self) -> Option<u64> {
        None
    }
}

fn main() {
    println!(
        "{:>7} {:>22} {:>9} {:>9} {:>9} {:>9}",
        "streams", "ns per frame", "median", "p99", "max", "x flat"
    );
    for streams in [100, 1000, 10_000] {
        run(streams);
    }
}

fn run(streams: usize) {
    let format = Format::new(8000, 1).expect("a usual format");
    // The largest run would take 10 GiB of rings; what a tick touches does not depend on their size
    // beyond a page.
    let ring_bytes = if streams > 1000 {
        RING_BYTES / 16
    } else {
        RING_BYTES
    };
    let (pool, consumer) = Pool::builder()
        .slots(streams)
        .ring_bytes(ring_bytes)
        .build()
        .expect("a pool for the bench");
    let mut mixer = mixer(consumer, format);
    let accounts: Vec<_> = (0..streams)
        .map(|index| Arc::new(Account::new(index.to_string())))
        .collect();
    let mut feeds: Vec<_> = accounts
        .iter()
        .map(|account| {
            let producer = pool.acquire().expect("a ring for each stream");
            let lease = producer.lease();
            mixer.apply(Command::Admit {
                lease,
                account: Arc::clone(account),
                gain: Gain::UNITY,
            });
            (
                Stream::new(producer, Arc::clone(account), format, BLOCK),
                Constant(1),
            )
        })
        .collect();

    let flat = Arc::new(Mutex::new(vec![0_i16; streams * BLOCK]));
    let (turn, stop) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    let filler = {
        let (flat, turn, stop) = (Arc::clone(&flat), Arc::clone(&turn), Arc::clone(&stop));
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for (stream, source) in &mut feeds {
                    stream.offer(source).expect("a constant never fails");
                }
                flat.lock().expect("no panic while locked").fill(1);
                turn.wait(); // filled
                turn.wait(); // read
            }
        })
    };

    let mut tick = Vec::with_capacity(ROUNDS);
    let (mut read, mut add) = (tick.clone(), tick.clone());
    for round in 0..WARM_UP + ROUNDS {
        turn.wait();
        mixer.collect();
        let begun = Instant::now();
        let block = mixer.tick();
        let ticked = begun.elapsed();
        let whole = i16::try_from(streams).expect("fits: each stream adds one");
        assert!(
            block.samples.iter().all(|&sample| sample == whole),
            "a wrong sum"
        );
        let flat = flat.lock().expect("no panic while locked");
        let begun = Instant::now();
        // As wide as the compiler likes: the limit is the memory, not the arithmetic.
        let total = flat.iter().fold(0_i32, |total, &sample| {
            total.wrapping_add(i32::from(sample))
        });
        let flat_read = begun.elapsed();
        assert_eq!(
            black_box(total),
            i32::try_from(streams * BLOCK).expect("fits")
        );
        let mut sums = [0_i32; BLOCK];
        let begun = Instant::now();
        flat.chunks_exact(BLOCK)
            .for_each(|frame| sum::add(&mut sums, frame));
        let flat_add = begun.elapsed();
        assert_eq!(black_box(sums)[0], i32::from(whole));
        drop(flat);
        stop.store(round + 1 == WARM_UP + ROUNDS, Ordering::Relaxed);
        turn.wait();
        if round >= WARM_UP {
            let per_frame = |time: std::time::Duration| time.as_nanos() as f64 / streams as f64;
            tick.push(per_frame(ticked));
            read.push(per_frame(flat_read));
            add.push(per_frame(flat_add));
        }
    }
    filler.join().expect("the filling thread ends");

    let limit = median(&mut read);
    for (what, times) in [
        ("tick", &mut tick),
        ("flat read (cold)", &mut read),
        ("flat add (warm)", &mut add),
    ] {
        let middle = median(times);
        println!(
            "{streams:>7} {what:>22} {middle:>9.1} {:>9.1} {:>9.1} {:>9.2}",
            times[times.len() * 99 / 100],
            times[times.len() - 1],
            middle / limit
        );
    }
}

fn mixer(consumer: Consumer, format: Format) -> Mixer {
    let settings = Settings {
        format,
        block_samples: BLOCK,
        limiting: Limiting::Saturate,
        playout_delay_ticks: 0,
    };
    Mixer::new(settings, consumer)
}

/// Sorts, and gives the middle.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
