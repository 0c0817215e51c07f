//! The one config of a server: plain data, with each default in one place.
//!
//! A [`Config`] is the defaults with layers over them: first the file, then the flags. A [`Layer`] holds the
//! keys that one of them has. Keys are unique over all tables, so a key may stand in its table or at the top of
//! the file, and the same word with dashes is the flag.
//!
//! Every value of a layer was read when it came in: [`Config::with`] cannot fail. Which values go together is
//! checked by [`Config::check`]. Nothing here opens a file or asks the host.

mod addresses;
mod cluster;
mod conflict;
mod defaults;
mod file;
mod leaf;
mod mix;
mod output;
mod rooms;
pub mod units;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    addresses::{AudioSocketAddress, Http, RtpAddress, TcpAddress, UnixAddress},
    cluster::{Cluster, ClusterClock},
    file::{ConfigError, Place},
    leaf::{PlayoutDelay, Sound},
    mix::Mix,
    output::Output,
    rooms::{RecordWhen, RoomConfig, RoomPolicy},
};
use crate::{
    net::{self, Tuning},
    playout::{Delay, PlayoutSettings},
    source::synthetic,
};

/// Threads that a key may ask for. More than a few bring nothing.
const THREADS_MAX: u64 = 1024;
/// Most of what is counted: no pool has more streams.
const COUNT_MAX: u64 = 1 << 20;
/// No Linux has more CPUs.
const CPU_MAX: u64 = 8191;

/// A server's config. Each field of its tables is a key of the file; `mixpool serve --help` and
/// `docs/serve.toml` describe them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a table, named by what it holds")]
pub struct Config {
    pub run: Run,
    pub realtime: Realtime,
    pub synthetic: Synthetic,
    pub net: Net,
    pub playout: Playout,
    pub limits: Limits,
    pub mix: Mix,
    pub pool: Pool,
    pub control: Control,
    pub output: Output,
    pub cluster: Cluster,
}

/// The run: how long, how it is fed and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// In the time of the mix; none for until it is stopped.
    #[serde(with = "leaf::some_run_time")]
    pub duration: Option<Duration>,
    /// Threads that feed synthetic streams and files.
    #[serde(deserialize_with = "leaf::whole::<1, THREADS_MAX, _, _>")]
    pub ingest_threads: usize,
    /// Whether the status line has the ticks' times.
    #[serde(with = "leaf::truth")]
    pub verbose: bool,
}

/// The mixer thread's requests to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Realtime {
    /// Whether it asks for `SCHED_FIFO` and locked memory.
    #[serde(with = "leaf::truth")]
    pub realtime: bool,
    /// Its priority then: 1 to 99.
    #[serde(deserialize_with = "leaf::whole::<1, 99, _, _>")]
    pub realtime_priority: u8,
    /// The one CPU it runs on.
    #[serde(deserialize_with = "leaf::some_whole::<0, CPU_MAX, _, _>")]
    pub mixer_cpu: Option<usize>,
}

/// Streams that are made up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// How many.
    #[serde(deserialize_with = "leaf::whole::<0, COUNT_MAX, _, _>")]
    pub synthetic: usize,
    /// Rooms over which they are spread, `main` among them.
    #[serde(deserialize_with = "leaf::whole::<1, ROOMS_MAX, _, _>")]
    pub synthetic_rooms: usize,
    /// The room that all are in, which is open from the start; none for `main` and those of `synthetic_rooms`.
    #[serde(with = "leaf::some_room")]
    pub synthetic_room: Option<String>,
    /// The number of the first: it names streams, and makes their samples with the seed.
    #[serde(deserialize_with = "leaf::whole::<1, COUNT_MAX, _, _>")]
    pub synthetic_first: usize,
    /// Their sound.
    #[serde(with = "leaf::sound")]
    pub waveform: Sound,
    /// The same seed makes the same samples.
    #[serde(deserialize_with = "leaf::whole::<0, { u64::MAX }, _, _>")]
    pub seed: u64,
    /// Level of each in dB of full scale; none for a mix near -20.
    #[serde(with = "leaf::some_level")]
    pub level: Option<f64>,
    /// Largest error of each one's clock, in parts per million.
    #[serde(with = "leaf::ppm")]
    pub rate_skew_ppm: f64,
    /// Largest delay of a frame.
    #[serde(with = "leaf::delay")]
    pub jitter: Duration,
}

/// Where senders are taken from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Net {
    /// RTP, each with its RTCP.
    #[serde(with = "leaf::rtp")]
    pub rtp: Vec<RtpAddress>,
    /// Threads that share each RTP address.
    #[serde(deserialize_with = "leaf::whole::<1, 64, _, _>")]
    pub rtp_threads: usize,
    /// Asterisk's AudioSocket.
    #[serde(with = "leaf::audiosocket")]
    pub audiosocket: Vec<AudioSocketAddress>,
    /// Raw samples or WAV over TCP.
    #[serde(with = "leaf::tcp")]
    pub tcp: Vec<TcpAddress>,
    /// The same over Unix sockets.
    #[serde(with = "leaf::unix")]
    pub unix: Vec<UnixAddress>,
    /// Whether these are read as fast as they send.
    #[serde(with = "leaf::truth")]
    pub tcp_drop: bool,
}

/// How network streams are played. All of it may change while a server runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Playout {
    /// From arrival to playout.
    #[serde(with = "leaf::playout_delay")]
    pub playout_delay: PlayoutDelay,
    /// The shortest adaptive delay.
    #[serde(with = "leaf::delay")]
    pub playout_delay_min: Duration,
    /// The longest adaptive delay.
    #[serde(with = "leaf::delay")]
    pub playout_delay_max: Duration,
    /// Audio that waits longer is discarded.
    #[serde(with = "leaf::delay")]
    pub latency_cap: Duration,
    /// Whether lost audio is replaced by the audio before it.
    #[serde(with = "leaf::switch")]
    pub concealment: bool,
}

/// Bounds of network senders. All of it may change while a server runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Networks that may send; all, if there are none.
    #[serde(with = "leaf::networks")]
    pub allow: Vec<IpNet>,
    /// Most streams from one address; none for as many as the pool has.
    #[serde(deserialize_with = "leaf::some_whole::<1, { u32::MAX as u64 }, _, _>")]
    pub streams_per_source: Option<usize>,
    /// Most connections at once.
    #[serde(deserialize_with = "leaf::whole::<1, COUNT_MAX, _, _>")]
    pub connections_max: usize,
    /// A stream that is silent for so long ends.
    #[serde(with = "leaf::run_time")]
    pub idle_timeout: Duration,
    /// A connection without a valid message for so long is closed.
    #[serde(with = "leaf::run_time")]
    pub first_message_timeout: Duration,
}

/// Rooms that a server may be asked for.
pub const ROOMS_MAX: u64 = 4096;

/// The pool of rings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Rings: the most streams at once.
    #[serde(with = "leaf::rings")]
    pub streams_max: usize,
    /// Bytes of each: a power of two.
    #[serde(with = "leaf::size")]
    pub ring_size: usize,
    /// Whether all of their memory is present before the first tick.
    #[serde(with = "leaf::truth")]
    pub prefault: bool,
    /// Whether it is in huge pages.
    #[serde(with = "leaf::truth")]
    pub huge_pages: bool,
}

/// The control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Its address; none for 127.0.0.1:8080, or the next free port.
    #[serde(with = "leaf::some_http")]
    pub http: Option<Http>,
    /// File of the token for everything.
    #[serde(with = "leaf::some_path")]
    pub token_file: Option<PathBuf>,
    /// File of the token for looking and listening.
    #[serde(with = "leaf::some_path")]
    pub read_token_file: Option<PathBuf>,
    /// Names of this server, beside its address and localhost.
    #[serde(with = "leaf::host_names")]
    pub http_host: Vec<String>,
    /// Most connections at once.
    #[serde(deserialize_with = "leaf::whole::<1, COUNT_MAX, _, _>")]
    pub http_connections_max: usize,
    /// Most requests a second from one address.
    #[serde(deserialize_with = "leaf::whole::<1, { u32::MAX as u64 }, _, _>")]
    pub http_requests_per_second: u32,
    /// Most rooms opened by the API in a second, from all addresses.
    #[serde(deserialize_with = "leaf::whole::<1, { u32::MAX as u64 }, _, _>")]
    pub http_rooms_per_second: u32,
    /// Most listeners at once.
    #[serde(deserialize_with = "leaf::whole::<0, COUNT_MAX, _, _>")]
    pub listeners_max: usize,
    /// Most streams with time series of their own.
    #[serde(deserialize_with = "leaf::whole::<0, COUNT_MAX, _, _>")]
    pub metrics_streams_max: usize,
    /// Most rooms with time series of their own.
    #[serde(deserialize_with = "leaf::whole::<0, COUNT_MAX, _, _>")]
    pub metrics_rooms_max: usize,
}

impl Playout {
    /// For the receivers of network streams.
    ///
    /// # Errors
    /// A sentence with the flags of values that do not go together.
    pub fn settings(&self) -> Result<PlayoutSettings, String> {
        let (floor, ceiling) = (self.playout_delay_min, self.playout_delay_max);
        let (longest, delay) = match self.playout_delay {
            PlayoutDelay::Fixed(fixed) => (fixed, Delay::Fixed(fixed)),
            PlayoutDelay::Adaptive if floor > ceiling => {
                return Err("--playout-delay-min is above --playout-delay-max".to_owned());
            }
            PlayoutDelay::Adaptive => (ceiling, Delay::Adaptive { floor, ceiling }),
        };
        if longest > self.latency_cap {
            return Err(
                "--latency-cap is below the playout delay, so nothing would be played; raise it"
                    .to_owned(),
            );
        }
        Ok(PlayoutSettings {
            delay,
            latency_cap: self.latency_cap,
            conceal: self.concealment,
        })
    }
}

impl Net {
    /// Whether any address is listened on.
    pub fn listens(&self) -> bool {
        !(self.rtp.is_empty()
            && self.audiosocket.is_empty()
            && self.tcp.is_empty()
            && self.unix.is_empty())
    }
}

impl Config {
    /// Whether the values go together, on any host.
    ///
    /// # Errors
    /// A sentence with the flags that conflict.
    pub fn check(&self) -> Result<(), String> {
        self.playout.settings()?;
        let (synthetic, streams_max) = (self.synthetic.synthetic, self.pool.streams_max);
        if synthetic > streams_max {
            return Err(format!(
                "--synthetic {synthetic} exceeds --streams-max {streams_max}: ask for at most {streams_max} \
                 streams, or raise --streams-max"
            ));
        }
        let (rooms, rooms_max) = (self.synthetic.synthetic_rooms, self.mix.rooms_max);
        if rooms > rooms_max {
            return Err(format!(
                "--synthetic-rooms {rooms} exceeds --rooms-max {rooms_max}: ask for at most {rooms_max} rooms, or \
                 raise --rooms-max"
            ));
        }
        if let Some(room) = &self.synthetic.synthetic_room
            && room != "main"
            && self.mix.room.iter().all(|listed| listed.name != *room)
        {
            return Err(format!(
                "--synthetic-room {room}: there is no such room; list it with --room {room}"
            ));
        }
        if self.control.token_file.is_none() && self.control.read_token_file.is_some() {
            return Err("--read-token-file needs --token-file: name both".to_owned());
        }
        let rooms = self.listed_rooms();
        rooms::check(&rooms, self.mix.rooms_max)?;
        rooms::check_targets(&rooms, &self.output.rtp_out)?;
        rooms::check_records(&rooms, &self.output)?;
        self.cluster.check(&self.mix)?;
        self.conflict().map_or(Ok(()), Err)
    }

    /// The settings that receivers of network streams obey from now on.
    ///
    /// # Errors
    /// The errors of [`Playout::settings`].
    pub fn tuning(&self) -> Result<Tuning, String> {
        let Limits { allow, .. } = &self.limits;
        let per_source = self.limits.streams_per_source;
        Ok(Tuning {
            limits: net::Limits {
                // Where the pool ends first, its slots are the limit that is reached, named and counted.
                streams_per_source: per_source
                    .filter(|&streams| streams < self.pool.streams_max)
                    .unwrap_or(usize::MAX),
                connections_max: self.limits.connections_max,
                first_message_timeout: self.limits.first_message_timeout,
                idle_timeout: self.limits.idle_timeout,
                allowed: allow.clone(),
            },
            playout: self.playout.settings()?,
        })
    }

    /// The rooms that are open from the start: those listed, those of synthetic streams, and `main` if its streams are
    /// recorded.
    pub fn listed_rooms(&self) -> Vec<RoomConfig> {
        let mut rooms = self.mix.room.clone();
        if let Some(folder) = &self.output.record_streams {
            if rooms.iter().all(|room| room.name != "main") {
                rooms.push(RoomConfig::named("main"));
            }
            let main = rooms.iter_mut().find(|room| room.name == "main");
            if let Some(main) = main {
                main.record_streams
                    .get_or_insert_with(|| rooms::streams_in(folder));
            }
        }
        let count = self.synthetic.synthetic_rooms;
        for name in (0..count).filter_map(|index| synthetic::nth_room(index, count)) {
            if rooms.iter().all(|room| room.name != name) {
                rooms.push(RoomConfig::named(name));
            }
        }
        rooms
    }

    /// Takes from another config all that may change while a server runs. This list is the only one.
    pub fn take_live(&mut self, from: &Self) {
        self.playout = from.playout.clone();
        self.limits = from.limits.clone();
        self.mix.gain = from.mix.gain;
        self.mix.talking_threshold = from.mix.talking_threshold;
        self.mix.talking_hold = from.mix.talking_hold;
        let added = self.rooms_added(from);
        self.mix.room.extend(added);
        self.run.verbose = from.run.verbose;
    }

    /// The rooms that another config lists and this one does not.
    pub fn rooms_added(&self, from: &Self) -> Vec<RoomConfig> {
        let is_added = |room: &&RoomConfig| self.mix.room.iter().all(|open| open.name != room.name);
        from.mix.room.iter().filter(is_added).cloned().collect()
    }

    /// Every key with its value, as JSON: null where there is none.
    ///
    /// # Panics
    /// Never: each value is plain data.
    pub fn values(&self) -> Map<String, Value> {
        let tables = self.tables().into_iter();
        tables.flat_map(|(_, table)| table).collect()
    }

    fn tables(&self) -> BTreeMap<String, Map<String, Value>> {
        serde_json::to_value(self)
            .and_then(serde_json::from_value)
            .expect("a config is tables of plain data")
    }

    /// This config with a layer over it.
    ///
    /// # Panics
    /// Never: each value of a layer was read before, by the same code.
    #[must_use]
    pub fn with(&self, layer: &Layer) -> Self {
        let mut tables = self.tables();
        for table in tables.values_mut() {
            table.retain(|_, value| !value.is_null());
        }
        for (key, value) in &layer.0 {
            let table = tables
                .get_mut(&table_of(key).expect("a layer has keys that there are"))
                .expect("a key is in a table that there is");
            table.insert(key.clone(), value.clone());
        }
        read(tables).expect("each value of a layer was read before")
    }
}

/// The table of a key.
fn table_of(key: &str) -> Option<String> {
    let tables = Config::default().tables().into_iter();
    let mut holding = tables.filter(|(_, keys)| keys.contains_key(key));
    holding.next().map(|(table, _)| table)
}

fn read(tables: BTreeMap<String, Map<String, Value>>) -> Result<Config, serde_json::Error> {
    let tables = tables
        .into_iter()
        .map(|(name, table)| (name, Value::Object(table)));
    serde_json::from_value(tables.collect())
}

/// The keys that a file or a command line has, and their values, each of which was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layer(BTreeMap<String, Value>);

impl Layer {
    /// Adds a key.
    ///
    /// # Errors
    /// The values that the key takes; or that there is no such key.
    pub fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        let Some(table) = table_of(key) else {
            return Err(format!("there is no key `{key}`"));
        };
        let alone = Map::from_iter([(key.to_owned(), value.clone())]);
        read(BTreeMap::from([(table, alone)])).map_err(|error| error.to_string())?;
        self.0.insert(key.to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
