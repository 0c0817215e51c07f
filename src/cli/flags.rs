//! The flags that are keys of the config: for each its heading and its help, in one table.
//!
//! A flag's name is its key with dashes. Its value is read as the file's would be, its default is the config's.
//! Only the flags that are given are kept, as a [`Layer`] over the file.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use mixpool::config::{Config, Layer, PlayoutDelay};
use serde_json::Value;

use super::units;

/// Bytes of a ring of `replay`. It waits for room, so rings need hold no minute; small ones stay in the
/// processor's caches.
const REPLAY_RING_BYTES: usize = 1 << 16;

/// A flag: its name, its value, its help; whether `replay` has it; whether `-h` shows it.
struct Flag(&'static str, &'static str, &'static str, Uses);

#[derive(Clone, Copy, PartialEq)]
enum Uses {
    /// Of `serve`, shown by `--help`.
    Rare,
    /// Of `serve`, shown by `-h`, too.
    Usual,
    /// Of `serve` and `replay`, shown by `--help`.
    Both,
    /// Of `serve` and `replay`, shown by `-h`, too.
    BothUsual,
}
use Uses::{Both, BothUsual, Rare, Usual};

/// The flags under their headings. Keys that few servers need are in the file alone.
const FLAGS: &[(&str, &[Flag])] = &[
    (
        "Run",
        &[
            Flag(
                "duration",
                "DURATION",
                "How much to mix [default: until Ctrl-C or SIGTERM]",
                Usual,
            ),
            Flag(
                "ingest-threads",
                "COUNT",
                "Threads that feed synthetic streams and files",
                Both,
            ),
            Flag(
                "verbose",
                "BOOL",
                "Show how late and how long ticks are",
                Rare,
            ),
            Flag(
                "realtime",
                "BOOL",
                "Run the mixer under SCHED_FIFO, and lock memory",
                Rare,
            ),
            Flag("realtime-priority", "1..99", "Its priority", Rare),
            Flag(
                "mixer-cpu",
                "CPU",
                "Bind the mixer thread to this CPU",
                Rare,
            ),
        ],
    ),
    (
        "Synthetic streams",
        &[
            Flag(
                "synthetic",
                "COUNT",
                "Streams to make up, at most --streams-max",
                Usual,
            ),
            Flag(
                "waveform",
                "KIND",
                "sine, sweep, white, pink, speech, silence, impulse, or mixed for all in turn",
                Usual,
            ),
            Flag(
                "seed",
                "NUMBER",
                "The same seed makes the same samples",
                Rare,
            ),
            Flag(
                "level",
                "DB",
                "Level of each, in dBFS [default: for a mix near -20]",
                Rare,
            ),
            Flag(
                "rate-skew-ppm",
                "PPM",
                "Largest error of each one's clock",
                Rare,
            ),
            Flag("jitter", "DURATION", "Largest delay of each frame", Rare),
        ],
    ),
    (
        "Network; each address flag may be given several times, a port alone is on 127.0.0.1",
        &[
            Flag(
                "rtp",
                "ADDR[,OPTIONS]",
                "Take RTP; options as 96=L16/16000/1, and interface=eth0 for a multicast group",
                Usual,
            ),
            Flag(
                "rtp-threads",
                "COUNT",
                "Threads that share each --rtp address",
                Rare,
            ),
            Flag(
                "audiosocket",
                "ADDR[,rate=HZ]",
                "Take Asterisk's AudioSocket, and send the mix back",
                Usual,
            ),
            Flag(
                "tcp",
                "ADDR",
                "Take raw samples (s16le, rate of the mix) or WAV",
                Usual,
            ),
            Flag("unix", "PATH", "The same on a Unix socket", Usual),
            Flag(
                "tcp-drop",
                "BOOL",
                "Read both as fast as they send: for live senders",
                Rare,
            ),
            Flag(
                "rtp-out",
                "ADDR[,CODEC]",
                "Send the mix by RTP: pcmu, pcma or l16",
                Usual,
            ),
        ],
    ),
    (
        "Playout of network streams",
        &[
            Flag(
                "playout-delay",
                "DURATION",
                "From arrival to playout, or adaptive: as the jitter asks",
                Usual,
            ),
            Flag(
                "playout-delay-min",
                "DURATION",
                "The shortest adaptive delay",
                Rare,
            ),
            Flag(
                "playout-delay-max",
                "DURATION",
                "The longest adaptive delay",
                Rare,
            ),
            Flag(
                "latency-cap",
                "DURATION",
                "Discard audio that waits longer",
                Rare,
            ),
            Flag(
                "concealment",
                "on|off",
                "Replace lost audio by the audio before it",
                Rare,
            ),
        ],
    ),
    (
        "Limits of network senders",
        &[
            Flag(
                "allow",
                "CIDR",
                "Take streams from this network only; repeatable",
                Usual,
            ),
            Flag(
                "streams-per-source",
                "COUNT",
                "Most streams of an address [default: all]",
                Rare,
            ),
            Flag("connections-max", "COUNT", "Most connections at once", Rare),
            Flag(
                "idle-timeout",
                "DURATION",
                "End a stream that is silent for so long",
                Rare,
            ),
        ],
    ),
    (
        "Mix",
        &[
            Flag("rate", "HZ", "Samples per second", BothUsual),
            Flag("channels", "1|2", "Channels", BothUsual),
            Flag(
                "ptime",
                "DURATION",
                "Length of a frame and of a tick",
                BothUsual,
            ),
            Flag(
                "limiter",
                "on|off",
                "Limit peaks, with look-ahead; off clips them",
                BothUsual,
            ),
            Flag("gain", "DB", "Gain of each stream, at most 24", BothUsual),
        ],
    ),
    (
        "Pool",
        &[
            Flag(
                "streams-max",
                "COUNT",
                "Rings: the most streams at once",
                BothUsual,
            ),
            Flag(
                "ring-size",
                "SIZE",
                "Bytes of each ring: a power of two",
                BothUsual,
            ),
            Flag(
                "prefault",
                "BOOL",
                "Make all ring memory present before the first tick",
                Both,
            ),
            Flag(
                "huge-pages",
                "BOOL",
                "The same in huge pages: a faster start",
                Both,
            ),
        ],
    ),
    (
        "Control plane",
        &[
            Flag(
                "http",
                "ADDR|off",
                "Dashboard and API [default: 8080, or the next free port]",
                Usual,
            ),
            Flag(
                "token-file",
                "FILE",
                "File of the token that requests need then",
                Usual,
            ),
            Flag(
                "read-token-file",
                "FILE",
                "File of a token for looking and listening",
                Rare,
            ),
            Flag(
                "http-host",
                "NAME",
                "Name of this server, as in a URL; repeatable",
                Rare,
            ),
        ],
    ),
    (
        "Results",
        &[
            Flag(
                "record",
                "FILE.wav",
                "Record the mix; {utc} is the start, - stdout",
                BothUsual,
            ),
            Flag(
                "overwrite",
                "BOOL",
                "Overwrite the file of --record",
                BothUsual,
            ),
            Flag(
                "recordings",
                "DIR",
                "Folder of what the API records and plays",
                Usual,
            ),
            Flag(
                "report",
                "FILE.json",
                "Write the report to this file at the end",
                BothUsual,
            ),
            Flag("json", "BOOL", "Print the report as JSON", BothUsual),
        ],
    ),
];

/// The flags of `serve`.
pub type ServeFlags = Flags<true>;
/// The flags of `replay`.
pub type ReplayFlags = Flags<false>;

/// The flags that are given, of `serve` or of `replay`.
#[derive(Debug, Clone, Default)]
pub struct Flags<const SERVE: bool> {
    /// Over the file.
    pub given: Layer,
}

impl<const SERVE: bool> Flags<SERVE> {
    /// The defaults of the command.
    pub fn defaults() -> Config {
        let mut config = Config::default();
        if !SERVE {
            config.pool.ring_size = REPLAY_RING_BYTES;
            config.playout.playout_delay =
                PlayoutDelay::Fixed(config.playout.playout_delay.of_first_frame());
        }
        config
    }

    fn each() -> impl Iterator<Item = (&'static str, &'static Flag)> {
        FLAGS
            .iter()
            .flat_map(|(heading, flags)| flags.iter().map(|flag| (*heading, flag)))
            .filter(|(_, flag)| SERVE || matches!(flag.3, Both | BothUsual))
    }
}

/// Leaves the usual flags alone in the help of `serve`, in one list.
pub fn show_usual(serve: Command) -> Command {
    let is_rare = |name: &str| {
        let mut flags = ServeFlags::each();
        flags.any(|(_, flag)| flag.0 == name && matches!(flag.3, Rare | Both))
    };
    serve.after_help("--help shows all flags.").mut_args(|arg| {
        let hidden = is_rare(arg.get_id().as_str());
        arg.hide(hidden).help_heading(None)
    })
}

impl<const SERVE: bool> Args for Flags<SERVE> {
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

impl<const SERVE: bool> FromArgMatches for Flags<SERVE> {
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
