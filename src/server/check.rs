//! `--check`: a start up to its first thread, given back.

use std::fs;

use nix::errno::Errno;

use super::{Server, StartError, http, network::Bound, synthetic, warn_of_silence};
use crate::{
    config::{Config, Net},
    engine::Engine,
    os::raise_descriptors,
};

/// Connections that a server which takes any has descriptors for, at least.
const CONNECTIONS_MIN: u64 = 16;

impl Server {
    /// Tries all that a start does before its first thread: builds the pool, finds the CPU, looks at the files of
    /// results, and binds each address by itself. Then it gives all of it back. No file is created.
    ///
    /// Returns the addresses that another process has: a server that is to be replaced has its own. Any other
    /// refusal is an error.
    ///
    /// # Errors
    /// [`StartError`], as [`run`](Self::run) would return it.
    pub fn check(self) -> Result<Vec<StartError>, StartError> {
        let Self {
            config,
            settings,
            stop,
            ..
        } = self;
        http::tokens(&config.control).map_err(StartError::Config)?;
        let mut engine = Engine::stopped_by(stop, settings)?;
        synthetic::open(&config, &mut engine)?;
        let mut taken = Vec::new();
        let http = http::bind(&config);
        warn_of_silence(&config, !matches!(http, Ok(None)));
        keep_taken(http, &mut taken)?;
        for net in each_alone(&config.net) {
            let alone = Config {
                net,
                ..config.clone()
            };
            keep_taken(Bound::bind(&alone, None), &mut taken)?;
        }
        Ok(taken)
    }
}

/// Keeps the error of an address that is taken, and returns any other.
fn keep_taken<T>(
    bound: Result<T, StartError>,
    taken: &mut Vec<StartError>,
) -> Result<(), StartError> {
    match bound {
        Err(error) if error.is_taken() => taken.push(error),
        bound => drop(bound?),
    }
    Ok(())
}

/// A table for each address of this one.
fn each_alone(net: &Net) -> impl Iterator<Item = Net> {
    let rtp = net.rtp.iter().map(|rtp| Net {
        rtp: vec![rtp.clone()],
        rtp_threads: net.rtp_threads,
        ..Net::default()
    });
    let audiosocket = net.audiosocket.iter().map(|address| Net {
        audiosocket: vec![address.clone()],
        ..Net::default()
    });
    let tcp = net.tcp.iter().map(|address| Net {
        tcp: vec![address.clone()],
        ..Net::default()
    });
    let unix = net.unix.iter().map(|address| Net {
        unix: vec![address.clone()],
        ..Net::default()
    });
    rtp.chain(audiosocket).chain(tcp).chain(unix)
}

/// Refuses to run on where no connection could be taken: each takes a descriptor. To be asked once all is open
/// that the server needs itself.
pub(super) fn descriptors() -> Result<(), StartError> {
    let limit = raise_descriptors(0).map_err(StartError::Listen)?;
    let open = match fs::read_dir("/proc/self/fd") {
        // One of them reads the list.
        Ok(open) => open.count() as u64 - 1,
        Err(error) if error.raw_os_error() == Some(Errno::EMFILE as i32) => limit,
        // A host that does not let them be counted is no reason to refuse.
        Err(_) => return Ok(()),
    };
    if limit < open + CONNECTIONS_MIN {
        return Err(StartError::Descriptors {
            limit,
            open,
            wanted: CONNECTIONS_MIN,
        });
    }
    Ok(())
}
