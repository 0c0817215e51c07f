//! Mixes two WAV files into a third, and shows where every sample went.
//!
//! ```sh
//! cargo run --example mix_two_wavs                      # two fixtures into a temporary file
//! cargo run --example mix_two_wavs a.wav b.wav out.wav
//! ```
//!
//! One thread does it all, to show the layers. `mixpool::server` has one for each side of the pool.

use std::{
    env,
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use mixpool::{
    audio::{Format, Gain, Grid},
    ledger::Account,
    mixer::{Command, Feed, Limiting, Mixer, NewInput, ReaderId, RoomId, Settings},
    output::{Destination, RecordingFacts, RecordingFiles, SegmentLimits, Writer, WriterRings},
    queue::Pool,
    source::{Source, WavSource},
    stream::{Offered, Stream},
    wire::sidecar::Recorded,
};

// A block and a frame: 20 ms at 8 kHz.
const BLOCK: usize = 160;

fn main() -> Result<(), Box<dyn Error>> {
    let [inputs @ .., output] = &paths()?;
    // The bus: sources convert to it before they publish.
    let format = Format::new(8000, 1)?;
    // One ring per stream; the mixer consumes them all.
    let (pool, consumer) = Pool::builder().slots(inputs.len()).build()?;
    let settings = Settings {
        first_block: 0,
        format,
        block_samples: BLOCK,
        limiting: Limiting::Limiter,
        rooms_max: 1,
        lead_ticks: 0,
    };
    let mut mixer = Mixer::new(settings, consumer);
    // A thread writes recordings, and gets each block by a ring. There is no clock: the mixer waits while that is full.
    let (writer, ring) = Writer::start(WriterRings {
        format,
        block_samples: BLOCK,
        recordings: 1,
        buffered: Duration::from_secs(30),
    })?;
    let reader = ReaderId(0);
    mixer.apply(Command::OpenReader(reader, Box::new(ring.waited_for())));
    let (mut recorder, feed) =
        writer.record(|ring| Feed::room_ring(RoomId::MAIN, reader, ring, &settings))?;
    let room = "main".to_owned();
    recorder.write_to(RecordingFiles::open(
        Destination::Path { overwrite: true },
        output.clone(),
        RecordingFacts::new(format, Recorded::Room { room }),
        SegmentLimits::default(),
        SystemTime::now(),
    )?);
    mixer.apply(Command::OpenFeed(feed.waited_for()));

    let (mut accounts, mut feeds) = (Vec::new(), Vec::new());
    for path in inputs {
        let producer = pool.acquire()?;
        let account = Arc::new(Account::new(path.to_string_lossy()));
        // -6 dB each, so that two loud files leave the limiter next to nothing to do.
        let gain = Gain::from_linear(0.5)?;
        let new = NewInput::new(producer.lease(), Arc::clone(&account)).gain(gain);
        mixer.apply(Command::Admit(new));
        accounts.push(Arc::clone(&account));
        let stream = Stream::new(producer, account, Grid::new(format, BLOCK));
        feeds.push(Some((stream, WavSource::open(path, format)?)));
    }

    while mixer.streams() > 0 {
        for feed in &mut feeds {
            if let Some((stream, source)) = feed
                && stream.has_room()
                && stream.offer(|out| source.read(out))? == Offered::Ended
            {
                // To drop the stream closes its ring; that is how the mixer learns of the end.
                *feed = None;
            }
        }
        // Begins streams with a first frame; returns the rings of those that ended to the pool.
        mixer.collect();
        // No clock: a tick runs when every stream has its part. A live mixer calls `tick` on time.
        if mixer.first_unready().is_none() && !mixer.is_any_feed_full() {
            mixer.tick(mixer.next_tick());
            mixer.send_feeds();
        }
    }
    // The limiter looks ahead; the samples that it still holds are the last of the mix.
    mixer.flush();
    mixer.send_feeds();
    mixer.close_feeds();
    let recorded = recorder.wait().expect("nobody else waited");

    for account in &accounts {
        let ledger = account.read();
        assert_eq!(ledger.offered, ledger.accounted(), "a sample is missing");
        let (id, dropped) = (account.id(), ledger.dropped());
        println!(
            "{id}: offered {}, mixed {}, dropped {dropped}",
            ledger.offered, ledger.mixed
        );
    }
    println!("{}: {} samples", output.display(), recorded.samples);
    recorded.error.map_or(Ok(()), |error| Err(error.into()))
}

fn paths() -> Result<[PathBuf; 3], Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).map(PathBuf::from).collect();
    if arguments.is_empty() {
        let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
        return Ok([
            testdata.join("speech-count-8000-mono-s16.wav"),
            testdata.join("tone-1000-48000-stereo-s16.wav"),
            env::temp_dir().join("mix_two_wavs.wav"),
        ]);
    }
    <[PathBuf; 3]>::try_from(arguments)
        .map_err(|_| "usage: mix_two_wavs IN.wav IN.wav OUT.wav".into())
}
