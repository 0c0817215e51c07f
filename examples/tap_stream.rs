//! A tap on one stream of a running server, as a speech recogniser has it: its samples before gain and mute, each with its
//! place in the mix, and beside it the level of the room.
//!
//! ```sh
//! cargo run --example tap_stream
//! ```

use std::{error::Error, time::Duration};

use mixpool::{
    audio::meter,
    config::{Config, Http},
    mixer::{Feed, RoomId},
    output::{Delivery, FeedReader, FeedRings},
    server::Server,
};

/// The name by which the reader delivers the tap.
const TAP: u64 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.synthetic.synthetic = 3;
    config.control.http = Some(Http::Off);
    config.run.duration = Some(Duration::from_secs(2));
    let server = Server::start(config)?;
    let handle = server.handle();
    let stream = handle.stream("synthetic-0002").ok_or("it has ended")?;

    let mixing = handle.mixing();
    let (mut reader, ring) = FeedReader::new(FeedRings {
        format: mixing.format,
        block_samples: mixing.block_samples,
        rooms: mixing.rooms_max,
        rooms_heard: 1,
        feeds: 1,
        // A recogniser may think for so long; beyond that it gets silence of the same length, marked as lost.
        buffered: Duration::from_secs(5),
        prefault: false,
    })?;
    let id = handle.open_reader(ring)?;
    let pool = reader.pool().ok_or("it has rings for feeds")?.clone();
    let producer = pool.acquire()?;
    reader.own(producer.lease(), TAP);
    handle.open_feed(Feed::alone(stream.lease(), id, (producer, &pool), mixing))?;
    handle.open_feed(Feed::room(RoomId::MAIN, id))?;

    let (mut heard, mut room_peak) = (0, 0);
    while !reader.is_closed() {
        reader.wait()?;
        reader.drain(|delivery| match delivery {
            Delivery::Room(_, piece) => room_peak = meter::peak(piece.samples),
            Delivery::Feed(TAP, piece) => {
                let lost = if piece.is_lost { ", lost" } else { "" };
                println!(
                    "{:>6}: {} samples{lost}, peak {}; the room {room_peak}",
                    piece.first,
                    piece.samples.len(),
                    meter::peak(piece.samples)
                );
                heard += piece.samples.len();
            }
            _ => {}
        });
    }
    let report = server.finish();
    println!("heard {heard} samples of {} blocks", report.ticks);
    Ok(())
}
