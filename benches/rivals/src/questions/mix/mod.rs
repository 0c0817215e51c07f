//! The cost of one tick, of cold rings that another thread has just filled.
//!
//! Before each timed pass the other core fills what that pass will read. So each pass, the limit
//! too, is one core reading what the other has just written, once. The order of the passes is another
//! one in every round.

mod feed;
mod pass;

use std::sync::Arc;

use anyhow::ensure;
use mixpool::{
    audio::{Format, Gain, Grid, frame::frame_bytes},
    ledger::Account,
    mixer::{Command, Limiting, Mixer, NewInput, Settings},
    queue::{AcquireError, Consumer, Pool},
    stream::Stream,
};

use self::{
    feed::{Cuttings, Feed, expected},
    pass::{GROUP, How, Pass},
};
use crate::{
    measure::{Run, Times, order, time},
    report::{Answer, Bar, Rows, Unit},
    turns,
};

pub const ASKS: &str = "What does one 20 ms tick of 8 kHz streams cost, per frame, of rings that the other \
core has just filled? The limit: reading the same bytes, as freshly written, laid out in a row.";

/// Samples of a frame.
const BLOCK: usize = 160;
/// A frame's bytes in a ring; the flat passes have as many bytes a frame.
const RECORD_BYTES: usize = 8 + frame_bytes(BLOCK);
/// Not unity, and rounds three samples of four.
const GAIN: f32 = 0.75;

const LIMIT: &str = "flat read";
const LOOP: &str = "loop";
const TICK: &str = "mixer tick, gain";

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("frame", Unit::Nanoseconds);
    for (streams, rounds) in [(100, 2000), (1000, 1000), (10_000, 200)] {
        let rows = measure(run, streams, run.count(rounds, 3))?;
        answer.case(&case(streams), LIMIT, RECORD_BYTES, &rows);
    }
    let middle = case(1000);
    let of_limit = 1.0 / answer.times_limit(&middle, LOOP);
    let costs = [100, 1000, 10_000].map(|streams| answer.median(&case(streams), LOOP));
    let [least, most] = [f64::min, f64::max].map(|pick| costs.into_iter().reduce(pick).unwrap());
    let tick = answer.times_limit(&middle, TICK);
    let of_loop = answer.median(&middle, TICK) / answer.median(&middle, LOOP);
    answer.bars = vec![
        Bar::at_least(
            format!("1000 streams: rate of `{LOOP}` / rate of `{LIMIT}`"),
            of_limit,
            0.7,
        ),
        Bar::at_most(
            format!("`{LOOP}`: dearest / cheapest count of streams"),
            most / least,
            1.5,
        ),
        Bar::at_most(format!("1000 streams: `{TICK}` / `{LIMIT}`"), tick, 2.0),
        Bar::at_most(format!("1000 streams: `{TICK}` / `{LOOP}`"), of_loop, 2.0),
    ];
    answer.note(format!(
        "A frame has {BLOCK} samples and takes {RECORD_BYTES} bytes of a ring; the flat passes have as many bytes \
a frame. Rings of 1 MiB, of 64 KiB for 10000 streams, prefaulted."
    ));
    answer.note(format!(
        "`{LOOP}`: prefetch in groups of {GROUP}, get, parse, add, ack; it keeps no account and checks nothing. \
`loop, read only`: the same bytes as the limit, read as the limit reads them, but where the records lie. \
`mixer tick`: all that a tick does: its place, checksum, account, saturation."
    ));
    Ok(answer)
}

fn case(streams: usize) -> String {
    format!("{streams} streams")
}

/// One row of the table.
struct Contender {
    name: &'static str,
    /// Which of the memories it reads.
    memory: usize,
    how: How,
}

/// All with as many streams; each round is a pass of each contender, in some order.
fn measure(run: &Run, streams: usize, rounds: usize) -> anyhow::Result<Rows> {
    let gain = Gain::from_linear(GAIN)?;
    let row = |name, memory, how| Contender { name, memory, how };
    let contenders = [
        row(LIMIT, 0, How::ReadOnly),
        row("flat sum", 0, How::Plain),
        row("loop, read only", 1, How::ReadOnly),
        row(LOOP, 1, How::Plain),
        row("loop, gain", 1, How::Gained(gain)),
        row("loop, CRC", 1, How::Checked),
        row("loop, no prefetch", 1, How::WithoutPrefetch),
        row("mixer tick", 2, How::Plain),
        row(TICK, 3, How::Gained(gain)),
    ];
    let (mut feeds, mut passes): (Vec<Feed>, Vec<Pass>) = [
        flat(streams)?,
        rings(run, streams)?,
        mixer(run, streams, Gain::UNITY)?,
        mixer(run, streams, gain)?,
    ]
    .into_iter()
    .unzip();
    let mut mirrors = vec![Cuttings::all(streams); passes.len()];
    let mut times = vec![Times::default(); contenders.len()];

    let warm_up = run.count(20, 1);
    turns::with(
        run,
        move |memory| feeds[memory as usize].fill(),
        |fill| -> anyhow::Result<()> {
            for round in 0..warm_up + rounds {
                for index in order(contenders.len(), round) {
                    let Contender { name, memory, how } = contenders[index];
                    let pass = &mut passes[memory];
                    fill(memory as u64);
                    if let Pass::Mixer(mixer) = pass {
                        mixer.collect();
                    }
                    let (took, found) = time(|| pass.run(how));
                    if round >= warm_up {
                        times[index].note(took, streams);
                    }
                    let gain = match how {
                        How::Gained(gain) => gain,
                        _ => Gain::UNITY,
                    };
                    // A pass that only read left the frames there.
                    let found = found.or_else(|| pass.run(How::Plain));
                    let sums = expected(&mut mirrors[memory], gain);
                    ensure!(found == Some(sums), "{name}: a wrong sum");
                }
            }
            Ok(())
        },
    )??;
    let rows = contenders.iter().zip(times);
    Ok(rows
        .map(|(row, times)| (row.name.to_owned(), times))
        .collect())
}

/// A pool of one ring that holds all frames of a round as one message: the memory of rings, laid out
/// in a row.
fn flat(streams: usize) -> anyhow::Result<(Feed, Pass)> {
    let (pool, consumer) = Pool::builder()
        .slots(1)
        .ring_bytes((4 * streams * RECORD_BYTES).next_power_of_two())
        .prefault(true)
        .build()?;
    let producer = pool.acquire()?;
    let pass = Pass::Flat(consumer, producer.lease());
    Ok((Feed::Flat(producer, Cuttings::all(streams)), pass))
}

/// Streams, each in a ring of its own, and where its frames come from.
type Streams = Vec<(Stream, Cuttings)>;

/// A pool with a stream in each ring, and those streams' accounts.
fn pool(run: &Run, streams: usize) -> anyhow::Result<(Streams, Vec<Arc<Account>>, Consumer)> {
    let ring_bytes = if streams > 1000 { 64 << 10 } else { 1 << 20 };
    let (pool, consumer) = Pool::builder()
        .slots(streams)
        .ring_bytes(ring_bytes)
        .prefault(!run.quick)
        .polled(true)
        .build()?;
    let accounts: Vec<_> = (0..streams)
        .map(|index| Arc::new(Account::new(index.to_string())))
        .collect();
    let grid = Grid::new(Format::new(8000, 1)?, BLOCK);
    let feeds = accounts.iter().zip(Cuttings::all(streams));
    let feeds: Result<_, AcquireError> = feeds
        .map(|(account, cuttings)| {
            let stream = Stream::new(pool.acquire()?, Arc::clone(account), grid.clone());
            Ok((stream, cuttings))
        })
        .collect();
    Ok((feeds?, accounts, consumer))
}

/// Rings for the bare loop.
fn rings(run: &Run, streams: usize) -> anyhow::Result<(Feed, Pass)> {
    let (feeds, _, consumer) = pool(run, streams)?;
    let leases = feeds.iter().map(|(stream, _)| stream.lease()).collect();
    Ok((Feed::Rings(feeds), Pass::Rings(consumer, leases)))
}

/// Rings for the mixer, each stream with this gain.
fn mixer(run: &Run, streams: usize, gain: Gain) -> anyhow::Result<(Feed, Pass)> {
    let (feeds, accounts, consumer) = pool(run, streams)?;
    let settings = Settings {
        first_block: 0,
        format: Format::new(8000, 1)?,
        block_samples: BLOCK,
        limiting: Limiting::Saturate,
        rooms_max: 1,
        lead_ticks: 0,
    };
    let mut mixer = Mixer::new(settings, consumer);
    for ((stream, _), account) in feeds.iter().zip(accounts) {
        mixer.apply(Command::Admit(
            NewInput::new(stream.lease(), account).gain(gain),
        ));
    }
    Ok((Feed::Rings(feeds), Pass::Mixer(Box::new(mixer))))
}
