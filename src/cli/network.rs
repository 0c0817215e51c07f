//! Where `serve` listens, and what it allows strangers: flags alone, checked as they are read.

mod addresses;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use clap::{ArgAction, Args};
use ipnet::IpNet;
use mixpool::{
    audio::format::{RATE_HZ_MAX, RATE_HZ_MIN},
    net::Limits,
    output::RtpTarget,
    playout::{Delay, PlayoutSettings},
    wire::payload::PayloadMap,
};

use super::{WrongUsage, common::Switch, units};

/// Flags of the sources that come over a network.
#[derive(Debug, Args)]
pub struct Network {
    /// Take RTP here, and RTCP here or on the next port; may be given several times. A payload type
    /// that RTP leaves open is named with it: 127.0.0.1:5004,96=L16/16000/1. A multicast group is joined,
    /// on an interface that may be named: 239.69.1.1:5004,interface=eth0,96=L16/48000/2
    #[arg(long, value_name = "ADDR[,interface=NAME][,TYPE=FORMAT]", value_parser = rtp_address, help_heading = NETWORK)]
    pub rtp: Vec<RtpAddress>,

    /// Threads that share each --rtp address
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = units::count(1..=64_u16),
          help_heading = NETWORK)]
    pub rtp_threads: u16,

    /// Take Asterisk's AudioSocket here, and give each peer the mix without itself; older Asterisks send
    /// other rates as 8 kHz: 127.0.0.1:9092,rate=16000
    #[arg(long, value_name = "ADDR[,rate=HZ]", value_parser = audiosocket_address,
          help_heading = NETWORK)]
    pub audiosocket: Vec<AudioSocketAddress>,

    /// Take raw samples (s16le at the rate of the mix) or WAV here, a stream per connection
    #[arg(long, value_name = "ADDR", value_parser = address, help_heading = NETWORK)]
    pub tcp: Vec<SocketAddr>,

    /// The same on a Unix socket
    #[arg(long, value_name = "PATH", help_heading = NETWORK)]
    pub unix: Vec<PathBuf>,

    /// Read --tcp and --unix as fast as they send, and drop what lies beyond the latency cap: for live
    /// senders. Otherwise a sender waits until its samples have played
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_value_t = false, default_missing_value = "true", hide_default_value = true,
          hide_possible_values = true, help_heading = NETWORK)]
    pub tcp_drop: bool,

    /// Send the mix by RTP, with RTCP on the next port; may be given several times. The codec is pcmu,
    /// pcma or l16, at the rate of the mix; the log has the SDP
    #[arg(long, value_name = "ADDR[,CODEC]", value_parser = rtp_target, help_heading = NETWORK)]
    pub rtp_out: Vec<RtpTarget>,

    /// Shortest delay that an adaptive --playout-delay goes down to; a tick and 29ms in any case
    #[arg(long, default_value = "20ms", value_parser = units::delay, value_name = "DURATION",
          help_heading = PLAYOUT)]
    pub playout_delay_min: Duration,

    /// Longest delay that it goes up to
    #[arg(long, default_value = "500ms", value_parser = units::delay, value_name = "DURATION",
          help_heading = PLAYOUT)]
    pub playout_delay_max: Duration,

    /// Discard what waits longer than this, oldest first
    #[arg(long, default_value = "1s", value_parser = units::delay, value_name = "DURATION",
          help_heading = PLAYOUT)]
    pub latency_cap: Duration,

    /// Replace lost audio by what came before it, fading: on; or by silence: off
    #[arg(long, default_value = "on", value_name = "on|off", hide_possible_values = true,
          help_heading = PLAYOUT)]
    pub concealment: Switch,

    /// Take streams from this network only; may be given several times
    #[arg(long, value_name = "CIDR", value_parser = network, help_heading = LIMITS)]
    pub allow: Vec<IpNet>,

    /// Most streams from one source address [default: no limit but --streams-max]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS, value_parser = units::count(1..=u32::MAX))]
    pub streams_per_source: Option<u32>,

    /// Most connections at once
    #[arg(long, default_value_t = 1000, value_name = "COUNT", help_heading = LIMITS,
          value_parser = units::count(1..=1_u32 << 20))]
    pub connections_max: u32,

    /// End a stream that sends nothing for so long
    #[arg(long, default_value = "30s", value_parser = units::run_time, value_name = "DURATION",
          help_heading = LIMITS)]
    pub idle_timeout: Duration,

    /// Close a connection that sends nothing valid for so long
    #[arg(long, default_value = "5s", value_parser = units::run_time, value_name = "DURATION",
          help_heading = LIMITS)]
    pub first_message_timeout: Duration,
}

const NETWORK: &str = "Network sources";
const PLAYOUT: &str = "Playout of network sources";
const LIMITS: &str = "Limits of network sources";

impl Network {
    /// Whether anything is listened on.
    pub fn listens(&self) -> bool {
        !self.rtp.is_empty() || self.takes_connections()
    }

    /// Whether connections are taken, each of which is a descriptor.
    pub fn takes_connections(&self) -> bool {
        !(self.audiosocket.is_empty() && self.tcp.is_empty() && self.unix.is_empty())
    }

    /// What strangers are allowed, of a pool with so many rings.
    pub fn limits(&self, streams_max: usize) -> Limits {
        Limits {
            // Where the pool ends first, its slots are the limit that is reached, named and counted.
            streams_per_source: self
                .streams_per_source
                .map(|streams| streams as usize)
                .filter(|&streams| streams < streams_max)
                .unwrap_or(usize::MAX),
            connections_max: self.connections_max as usize,
            first_message_timeout: self.first_message_timeout,
            idle_timeout: self.idle_timeout,
            allowed: self.allow.clone(),
        }
    }

    /// How streams are played, with this delay.
    ///
    /// # Errors
    /// Wrong usage: figures that cannot go together.
    pub fn playout(&self, delay: PlayoutDelay) -> Result<PlayoutSettings> {
        let (floor, ceiling) = (self.playout_delay_min, self.playout_delay_max);
        let (longest, delay) = match delay {
            PlayoutDelay::Fixed(fixed) => (fixed, Delay::Fixed(fixed)),
            PlayoutDelay::Adaptive if floor > ceiling => {
                return Err(usage("--playout-delay-min is above --playout-delay-max"));
            }
            PlayoutDelay::Adaptive => (ceiling, Delay::Adaptive { floor, ceiling }),
        };
        if longest > self.latency_cap {
            return Err(usage(
                "--latency-cap is below the playout delay, so nothing would be played; raise it",
            ));
        }
        Ok(PlayoutSettings {
            delay,
            latency_cap: self.latency_cap,
            conceal: self.concealment == Switch::On,
        })
    }
}

fn usage(what: &str) -> anyhow::Error {
    WrongUsage(what.to_owned()).into()
}

/// How long after its arrival audio is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutDelay {
    /// As long as each stream's jitter asks for. Streams that are made up here have none to adapt to.
    Adaptive,
    Fixed(Duration),
}

impl PlayoutDelay {
    /// For streams whose first frame says when they play.
    pub fn of_first_frame(self) -> Duration {
        match self {
            Self::Adaptive => Duration::from_millis(100),
            Self::Fixed(delay) => delay,
        }
    }
}

/// `adaptive`, or a duration of at most an hour.
pub fn playout_delay(text: &str) -> Result<PlayoutDelay> {
    if text == "adaptive" {
        return Ok(PlayoutDelay::Adaptive);
    }
    let delay = units::delay(text).map_err(|reason| anyhow!("{reason}; or write adaptive"))?;
    Ok(PlayoutDelay::Fixed(delay))
}

/// An address to take RTP on, and what its payload types mean.
#[derive(Debug, Clone, PartialEq)]
pub struct RtpAddress {
    pub address: SocketAddr,
    /// Where a multicast group is joined.
    pub interface: Option<String>,
    pub payloads: PayloadMap,
}

/// An address to take AudioSocket on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioSocketAddress {
    pub address: SocketAddr,
    /// The rate of what peers send as 8 kHz, if it is another.
    pub rate_hz: Option<u32>,
}

fn rtp_address(text: &str) -> Result<RtpAddress> {
    let mut parts = text.split(',');
    let address = address(parts.next().unwrap_or_default())?;
    if address.port() == u16::MAX {
        bail!("RTCP needs the next port, and there is none after 65535; choose a port below it");
    }
    let mut payloads = PayloadMap::default();
    let mut interface = None;
    for entry in parts {
        match entry.split_once('=') {
            Some(("interface", _)) if !address.ip().is_multicast() => bail!(
                "`{entry}` says where a multicast group is joined, and {} is none; leave it out, or write \
                 a group, as 239.69.1.1:5004",
                address.ip()
            ),
            Some(("interface", "")) => bail!("`interface=` lacks a name; write interface=eth0"),
            Some(("interface", name)) => interface = Some(name.to_owned()),
            _ => {
                payloads.define(entry)?;
            }
        }
    }
    Ok(RtpAddress {
        address,
        interface,
        payloads,
    })
}

fn rtp_target(text: &str) -> Result<RtpTarget> {
    let (first, codec) = text.split_once(',').unwrap_or((text, "pcmu"));
    Ok(format!("{},{codec}", address(first)?).parse()?)
}

fn audiosocket_address(text: &str) -> Result<AudioSocketAddress> {
    let Some((first, option)) = text.split_once(',') else {
        return Ok(AudioSocketAddress {
            address: address(text)?,
            rate_hz: None,
        });
    };
    let rate = option
        .strip_prefix("rate=")
        .and_then(|rate| rate.parse().ok())
        .filter(|rate| (RATE_HZ_MIN..=RATE_HZ_MAX).contains(rate));
    let Some(rate) = rate else {
        bail!("`{option}` says nothing of an AudioSocket; write 127.0.0.1:9092,rate=16000");
    };
    Ok(AudioSocketAddress {
        address: address(first)?,
        rate_hz: Some(rate),
    })
}

/// `127.0.0.1:5004`, `[::1]:5004`; a port alone is on loopback, which nobody else reaches.
pub fn address(text: &str) -> Result<SocketAddr> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    text.parse().map_err(|_| {
        anyhow!(
            "`{text}` is no address; write 127.0.0.1:5004, 0.0.0.0:5004 for all networks, or a port"
        )
    })
}

/// `10.0.0.0/8`, or a single address.
fn network(text: &str) -> Result<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| anyhow!("`{text}` is no network; write 10.0.0.0/8 or 192.0.2.7"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for text in ["5004", ":5004", "127.0.0.1:5004"] {
            assert_eq!(address(text).unwrap().to_string(), "127.0.0.1:5004");
        }
        assert_eq!(address("0.0.0.0:0").unwrap().to_string(), "0.0.0.0:0");
        assert_eq!(address("[::1]:5004").unwrap().to_string(), "[::1]:5004");
        // An address without a port is no port.
        assert!(address("::1").is_err() && address("::").is_err());
        for text in ["", "localhost:5004", "127.0.0.1", "70000"] {
            let error = address(text).unwrap_err().to_string();
            assert!(error.contains("0.0.0.0:5004"), "{error}");
        }
    }

    #[test]
    fn a_group_may_say_on_which_interface_it_is_joined() {
        let group = rtp_address("239.69.1.1:5004,interface=eth0,96=L16/48000/2").unwrap();
        assert_eq!(group.interface.as_deref(), Some("eth0"));
        assert_eq!(group.address.to_string(), "239.69.1.1:5004");
        let group = rtp_address("[ff15::69]:5004,interface=lo").unwrap();
        assert_eq!(group.interface.as_deref(), Some("lo"));
        for text in ["127.0.0.1:5004,interface=lo", "239.69.1.1:5004,interface="] {
            let error = rtp_address(text).unwrap_err().to_string();
            assert!(error.contains("interface="), "{error}");
        }
    }

    #[test]
    fn an_address_says_what_its_payload_types_mean() {
        let rtp = rtp_address("5004,96=L16/16000/1,10=L16/8000/1").unwrap();
        let mut payloads = PayloadMap::default();
        payloads.define("96=L16/16000/1").unwrap();
        payloads.define("10=L16/8000/1").unwrap();
        assert_eq!(rtp.payloads, payloads);
        assert!(rtp_address("5004,96=OPUS/48000").is_err());
        assert!(rtp_address("5004,x").is_err());
    }

    #[test]
    fn a_target_has_a_codec() {
        let target = rtp_target("6004").unwrap();
        assert_eq!(target, "127.0.0.1:6004,pcmu".parse().unwrap());
        let target = rtp_target("192.0.2.1:6004,l16").unwrap();
        assert_eq!(target, "192.0.2.1:6004,l16".parse().unwrap());
        assert!(rtp_target("6004,opus").is_err() && rtp_target("x").is_err());
    }

    #[test]
    fn an_audiosocket_may_have_a_rate_of_its_own() {
        assert_eq!(audiosocket_address("9092").unwrap().rate_hz, None);
        let wide = audiosocket_address("127.0.0.1:9092,rate=16000").unwrap();
        assert_eq!(wide.rate_hz, Some(16_000));
        for text in [
            "9092,rate=fast",
            "9092,16000",
            "9092,rate=1",
            "x,rate=16000",
        ] {
            assert!(audiosocket_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_has_no_limit_that_the_slots_reach_first() {
        #[derive(Debug, clap::Parser)]
        struct Flags {
            #[command(flatten)]
            network: Network,
        }
        let limit = |flags: &[&str]| {
            let flags = <Flags as clap::Parser>::parse_from([&["serve"], flags].concat());
            flags.network.limits(10).streams_per_source
        };
        assert_eq!(limit(&[]), usize::MAX);
        assert_eq!(limit(&["--streams-per-source=10"]), usize::MAX);
        assert_eq!(limit(&["--streams-per-source=9"]), 9);
    }

    #[test]
    fn a_network_is_one_address_or_many() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_delay_is_adaptive_or_a_time() {
        assert_eq!(playout_delay("adaptive").unwrap(), PlayoutDelay::Adaptive);
        let fixed = Duration::from_millis(60);
        assert_eq!(playout_delay("60ms").unwrap(), PlayoutDelay::Fixed(fixed));
        let error = playout_delay("soon").unwrap_err().to_string();
        assert!(error.contains("adaptive"), "{error}");
    }
}
