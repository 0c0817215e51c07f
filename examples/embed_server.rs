//! A whole server inside an application: a config in, a running server out, steered by its handle.
//!
//! ```sh
//! cargo run --example embed_server              # into a temporary file
//! cargo run --example embed_server mix.wav
//! ```

use std::{env, error::Error, net::SocketAddr, path::PathBuf, time::Duration};

use mixpool::{
    config::{Config, Http, RtpAddress},
    engine::{Change, Joining, SourceSpec},
    server::Server,
    source::Waveform,
};

fn main() -> Result<(), Box<dyn Error>> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    // The same tables and keys as in a file for --config; the rest are the defaults.
    let mut config = Config::default();
    config.synthetic.synthetic = 3;
    config.net.rtp = vec![RtpAddress::from(local)];
    config.control.http = Some(Http::At(local));
    config.output.record = Some(path());
    config.output.overwrite = true;
    config.run.duration = Some(Duration::from_secs(1));

    let server = Server::start(config)?;
    let handle = server.handle();
    for listener in handle.listeners() {
        println!("listening on {}", listener.name());
    }
    // One more stream; another is muted.
    let tone = SourceSpec::Synthetic {
        waveform: Waveform::Sine,
        level_dbfs: -20.0,
        frequency_hz: Some(1000.0),
        seed: 1,
        duration: None,
    };
    handle.start_source(&tone, "tone", Joining::default())?;
    let first = handle.stream("synthetic-0001").ok_or("it has ended")?;
    let mute = Change {
        muted: Some(true),
        ..Change::default()
    };
    handle.set(&first, mute)?;

    // Until the duration is mixed. `server.handle().stop()` ends it earlier.
    handle.wait(Duration::from_secs(60));
    let report = server.finish();
    assert_eq!(report.ledger_imbalances, 0, "a sample is missing");
    for stream in &report.streams {
        let ledger = &stream.ledger;
        println!(
            "{}: offered {}, mixed {}, muted {}, dropped {}",
            stream.id,
            ledger.offered,
            ledger.mixed,
            ledger.muted,
            ledger.dropped()
        );
    }
    Ok(())
}

fn path() -> PathBuf {
    let given = env::args_os().nth(1).map(PathBuf::from);
    given.unwrap_or_else(|| env::temp_dir().join("embed_server.wav"))
}
