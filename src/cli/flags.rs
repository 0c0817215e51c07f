//! The flags that are keys of the config: for each its heading and its help, in one table.
//!
//! A flag's name is its key with dashes. Its value is read as the file's would be, its default is the config's.
//! Only the flags that are given are kept, as a [`Layer`] over the file.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use mixpool::{
    config::{Config, Layer, PlayoutDelay, Sound, units::DELAY_MAX},
    source::Waveform,
};
use serde_json::Value;

use super::units;

/// Bytes of a ring of `replay`. It waits for room, so rings need hold no minute; small ones stay in the
/// processor's caches.
const REPLAY_RING_BYTES: usize = 1 << 16;

/// A flag: its name, its value, its help, and its place beyond `serve --help`.
struct Flag(&'static str, &'static str, &'static str, u8);

/// In `serve --help` alone.
const RARE: u8 = 0;
/// All flags are of `serve`.
const SERVE: u8 = 1;
/// In `serve -h`, too.
const USUAL: u8 = 2;
const REPLAY: u8 = 4;
const BENCH: u8 = 8;
const PLAN: u8 = 16;
const ALL: u8 = USUAL | REPLAY | BENCH | PLAN;

/// The flags under their headings. Keys that few servers need are in the file alone.
///
/// A help stands beside its flag in 80 columns if no flag under the heading has more than 24 characters with
/// its value, or no help with its default has more than what is left.
#[rustfmt::skip]
const FLAGS: &[(&str, &[Flag])] = &[
    ("Run", &[
        Flag("duration", "TIME", "Length of the mix [default: until Ctrl-C]", USUAL),
        Flag("ingest-threads", "N", "Threads that feed streams made here", REPLAY | BENCH),
        Flag("verbose", "BOOL", "Show how late and how long ticks are", RARE),
        Flag("realtime", "BOOL", "Run the mixer under SCHED_FIFO, and lock memory", RARE),
        Flag("realtime-priority", "N", "Its priority, 1 to 99", RARE),
        Flag("mixer-cpu", "CPU", "Bind the mixer thread to this CPU", RARE),
    ]),
    ("Synthetic streams", &[
        Flag("synthetic", "N", "Streams to make up", USUAL),
        Flag("synthetic-rooms", "N", "Rooms that they are spread over", RARE),
        Flag("synthetic-room", "NAME", "The room that all of them are in", RARE),
        Flag("synthetic-first", "N", "The number of the first of them", RARE),
        Flag("waveform", "KIND", "sine, sweep, white, pink, speech, silence, impulse, or mixed",
            USUAL | BENCH),
        Flag("seed", "N", "The same seed makes the same samples", RARE),
        Flag("level", "DB", "Level of each in dBFS [default: a mix near -20]", RARE),
        Flag("rate-skew-ppm", "PPM", "Largest error of each one's clock", RARE),
        Flag("jitter", "TIME", "Largest delay of each frame", RARE),
    ]),
    ("Network; address flags are repeatable, and a port alone is on 127.0.0.1", &[
        Flag("rtp", "ADDR[,OPTIONS]", "Take RTP; options as 111=opus/48000/2, room=NAME, return=on, interface=eth0",
            USUAL),
        Flag("rtp-threads", "N", "Threads for each --rtp address", RARE),
        Flag("audiosocket", "ADDR", "Take Asterisk's AudioSocket, and send the mix back; options as ADDR,rate=16000,room=NAME",
            USUAL),
        Flag("tcp", "ADDR", "Take raw samples (s16le, rate of the mix) or WAV; an option as ADDR,room=NAME", USUAL),
        Flag("unix", "PATH", "The same on a Unix socket", USUAL),
        Flag("tcp-drop", "BOOL", "Read both as fast as they send: for live senders", RARE),
        Flag("rtp-out", "ADDR[,CODEC]", "Send the mix by RTP; with ,room=NAME a room's", USUAL),
    ]),
    ("Playout", &[
        Flag("playout-delay", "TIME", "From arrival to playout", USUAL | REPLAY),
        Flag("playout-delay-min", "TIME", "The shortest adaptive delay", RARE),
        Flag("playout-delay-max", "TIME", "The longest adaptive delay", RARE),
        Flag("latency-cap", "TIME", "Discard audio that waits longer", RARE),
        Flag("concealment", "on|off", "Conceal lost audio", RARE),
    ]),
    ("Limits of network senders", &[
        Flag("allow", "CIDR", "Take streams from this network only; repeatable", USUAL),
        Flag("streams-per-source", "N", "Most streams of an address [default: all]", RARE),
        Flag("connections-max", "N", "Most connections at once", RARE),
        Flag("idle-timeout", "TIME", "End a stream silent for so long", RARE),
    ]),
    ("Mix", &[
        Flag("rate", "HZ", "Samples per second", ALL),
        Flag("channels", "1|2", "Channels", ALL),
        Flag("ptime", "TIME", "Length of a frame and of a tick", ALL),
        Flag("limiter", "on|off", "Limit peaks; off clips them", USUAL | REPLAY),
        Flag("gain", "DB", "Gain of each stream, at most 24", USUAL | REPLAY),
        Flag("rooms-max", "N", "Most rooms at once, each a mix", RARE),
        Flag("room", "NAME[,OPTIONS]", "Open this room at the start; options as gain=-6, limiter=off, record=FILE; repeatable", RARE),
        Flag("rooms", "listed|auto", "Refuse a stream with a room that is not open, or open it", RARE),
    ]),
    ("Pool", &[
        Flag("streams-max", "N", "Rings: the most streams at once", USUAL | REPLAY),
        Flag("ring-size", "SIZE", "Size of a ring: a power of two", ALL),
        Flag("prefault", "BOOL", "Make all ring memory present before the first tick", REPLAY),
        Flag("huge-pages", "BOOL", "The same in huge pages: a faster start", REPLAY | PLAN),
    ]),
    ("Control plane", &[
        Flag("http", "ADDR|off", "Dashboard and API [default: 8080 or next free]", USUAL),
        Flag("token-file", "FILE", "File of the token that requests need then", USUAL),
        Flag("read-token-file", "FILE", "File of a token for looking and listening", RARE),
        Flag("http-host", "NAME", "Name of this server, as in a URL; repeatable", RARE),
    ]),
    #[cfg(feature = "cluster")]
    ("Cluster", &[
        Flag("cluster", "nats://HOST:4222", "Mix rooms with other nodes by these NATS servers, with commas between them", USUAL),
        Flag("cluster-name", "NAME", "The name of the cluster", RARE),
        Flag("node", "NAME", "The name of this node [default: the host's]", USUAL),
        Flag("cluster-creds", "FILE", "Credentials for NATS", RARE),
        Flag("cluster-ca", "FILE", "Certificates of NATS [default: the host's]", RARE),
        Flag("cluster-cert", "FILE", "Certificate of this node, if NATS asks for one", RARE),
        Flag("cluster-key", "FILE", "Private key of that certificate", RARE),
        Flag("cluster-lead", "TIME", "Delay of the rooms of the cluster, always", RARE),
        Flag("cluster-clock", "synchronised|trust", "Trust a clock that is not synchronised", RARE),
        Flag("cluster-rooms-max", "N", "Most rooms of the cluster at once", RARE),
    ]),
    ("Results", &[
        Flag("record", "FILE.wav", "Record the mix; {utc} is the start, - stdout", USUAL | REPLAY),
        Flag("record-streams", "DIR", "Record each stream of main, after gain, in a file", RARE),
        Flag("overwrite", "BOOL", "Overwrite the file of --record", USUAL | REPLAY),
        Flag("recordings", "DIR", "Folder of files that the API records and plays", USUAL),
        Flag("recordings-max", "N", "Most recordings at once", RARE),
        Flag("recorder-threads", "N", "Most threads that write recordings", RARE),
        Flag("segment", "TIME|SIZE", "Begin another file after 10min, say, or 1GB", USUAL | REPLAY),
        Flag("segments-max", "N", "Most files of a recording; the oldest is removed", REPLAY),
        Flag("report", "FILE.json", "Write the report to this file at the end", USUAL | REPLAY),
        Flag("json", "BOOL", "Print the report as JSON", USUAL | REPLAY),
    ]),
];

pub type ServeFlags = Flags<SERVE>;
pub type ReplayFlags = Flags<REPLAY>;
pub type BenchFlags = Flags<BENCH>;
pub type PlanFlags = Flags<PLAN>;

/// The flags of a command that are given.
#[derive(Debug, Clone, Default)]
pub struct Flags<const COMMAND: u8> {
    /// Over the file.
    pub given: Layer,
}

impl<const COMMAND: u8> Flags<COMMAND> {
    /// The defaults of the command.
    pub fn defaults() -> Config {
        let mut config = Config::default();
        match COMMAND {
            REPLAY => {
                config.pool.ring_size = REPLAY_RING_BYTES;
                let delay = config.playout.playout_delay.of_first_frame();
                config.playout.playout_delay = PlayoutDelay::Fixed(delay);
                // It bounds network streams alone.
                config.playout.latency_cap = DELAY_MAX;
            }
            BENCH => config.synthetic.waveform = Sound::Only(Waveform::Silence),
            _ => {}
        }
        config
    }

    /// The defaults, and the flags over them.
    pub fn config(&self) -> Config {
        Self::defaults().with(&self.given)
    }

    fn each() -> impl Iterator<Item = (&'static str, &'static Flag)> {
        FLAGS
            .iter()
            .flat_map(|(heading, flags)| flags.iter().map(|flag| (*heading, flag)))
            .filter(|(_, flag)| COMMAND == SERVE || flag.3 & COMMAND != 0)
    }
}

/// Leaves the usual flags alone in the help of `serve`, in one list.
pub fn show_usual(serve: Command) -> Command {
    let is_rare = |name: &str| {
        let mut flags = ServeFlags::each();
        flags.any(|(_, flag)| flag.0 == name && flag.3 & USUAL == 0)
    };
    serve.after_help("--help shows all flags.").mut_args(|arg| {
        let hidden = is_rare(arg.get_id().as_str());
        arg.hide(hidden).help_heading(None)
    })
}

impl<const COMMAND: u8> Args for Flags<COMMAND> {
    fn augment_args(command: Command) -> Command {
        let defaults = Self::defaults().values();
        Self::each().fold(command, |command, (heading, flag)| {
            let default = &defaults[&key(flag.0)];
            command.arg(flag.arg(default).help_heading(heading))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const COMMAND: u8> FromArgMatches for Flags<COMMAND> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let defaults = Self::defaults().values();
        for (_, Flag(name, ..)) in Self::each() {
            let Some(given) = matches.get_many::<String>(name) else {
                continue;
            };
            let mut given: Vec<_> = given.map(|text| Value::from(text.as_str())).collect();
            let key = key(name);
            let value = match &defaults[&key] {
                Value::Array(_) => given.into(),
                _ => given.pop().unwrap_or_default(),
            };
            let read = self.given.set(&key, value);
            read.map_err(|reason| {
                clap::Error::raw(clap::error::ErrorKind::ValueValidation, reason)
            })?;
        }
        Ok(())
    }
}

/// The key of a flag.
fn key(name: &str) -> String {
    name.replace('-', "_")
}

impl Flag {
    fn arg(&self, default: &Value) -> Arg {
        let &Self(name, takes, help, _) = self;
        let read = move |text: &str| {
            Layer::default().set(&key(name), text.into())?;
            Ok::<_, String>(text.to_owned())
        };
        let mut text = help.to_owned();
        if let Some(default) = shown(takes, default) {
            let _ = write!(text, " [default: {default}]");
        }
        let arg = Arg::new(name)
            .long(name)
            .value_name(takes)
            .value_parser(read)
            .help(text);
        let arg = match takes {
            "DB" | "PPM" => arg.allow_hyphen_values(true),
            "DIR" => arg.value_hint(ValueHint::DirPath),
            "FILE" | "FILE.wav" | "FILE.json" | "PATH" => arg.value_hint(ValueHint::FilePath),
            _ => arg,
        };
        match default {
            Value::Bool(_) => arg
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            Value::Array(_) => arg.action(ArgAction::Append),
            _ => arg,
        }
        .short((name == "verbose").then_some('v'))
    }
}

/// A default as a person writes it.
fn shown(takes: &str, default: &Value) -> Option<String> {
    match default {
        Value::Number(bytes) if takes == "SIZE" => bytes
            .as_u64()
            .map(|bytes| units::show_bytes(bytes).replace(".0", "")),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}
