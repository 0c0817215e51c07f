//! Addresses as people write them, with their options.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::{Control, rooms::room_name};
use crate::{
    audio::format::{RATE_HZ_MAX, RATE_HZ_MIN},
    output::RtpTarget,
    wire::payload::PayloadMap,
};

/// An address to take RTP on, and the meaning of its payload types.
#[derive(Debug, Clone, PartialEq)]
pub struct RtpAddress {
    /// Where packets come to.
    pub address: SocketAddr,
    /// Where a multicast group is joined.
    pub interface: Option<String>,
    /// The room of its streams: `main` if none is given.
    pub room: Option<String>,
    /// Whether each sender gets its room's mix without itself back.
    pub returns: bool,
    /// The payload types.
    pub payloads: PayloadMap,
}

/// An address to take AudioSocket on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioSocketAddress {
    /// Where connections come to.
    pub address: SocketAddr,
    /// The rate of samples that peers send as 8 kHz, if it is another.
    pub rate_hz: Option<u32>,
    /// The room of its streams: `main` if none is given.
    pub room: Option<String>,
}

/// An address to take raw samples on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpAddress {
    /// Where connections come to.
    pub address: SocketAddr,
    /// The room of streams that name none: `main` if none is given.
    pub room: Option<String>,
}

/// A Unix socket to take raw samples on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    /// Its file.
    pub path: PathBuf,
    /// The room of streams that name none: `main` if none is given.
    pub room: Option<String>,
}

/// Where the control plane listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl From<SocketAddr> for RtpAddress {
    /// With the payload types of the standard (RFC 3551).
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            interface: None,
            room: None,
            returns: false,
            payloads: PayloadMap::default(),
        }
    }
}

impl From<SocketAddr> for TcpAddress {
    fn from(address: SocketAddr) -> Self {
        let room = None;
        Self { address, room }
    }
}

impl TcpAddress {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (first, room) = with_room(text, "--tcp")?;
        let address = address(first)?;
        Ok(Self { address, room })
    }
}

impl fmt::Display for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        write_room(self.room.as_deref(), f)
    }
}

impl UnixAddress {
    /// A path may have commas: only `,room=` ends it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (path, room) = match text.rsplit_once(",room=") {
            Some((path, room)) => (path, Some(room_name(room)?)),
            None => (text, None),
        };
        if path.is_empty() {
            return Err("a path has at least one character".to_owned());
        }
        let path = PathBuf::from(path);
        Ok(Self { path, room })
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.to_string_lossy())?;
        write_room(self.room.as_deref(), f)
    }
}

/// An address, and the room behind it if there is one.
fn with_room<'a>(text: &'a str, flag: &str) -> Result<(&'a str, Option<String>), String> {
    let Some((first, option)) = text.split_once(',') else {
        return Ok((text, None));
    };
    let Some(room) = option.strip_prefix("room=") else {
        return Err(format!(
            "`{option}` is no option of {flag}; write 127.0.0.1:9000,room=sales"
        ));
    };
    Ok((first, Some(room_name(room)?)))
}

fn write_room(room: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    room.map_or(Ok(()), |room| write!(f, ",room={room}"))
}

impl RtpAddress {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = address(parts.next().unwrap_or_default())?;
        if address.port() == u16::MAX {
            return Err(
                "RTCP needs the next port, and there is none after 65535; choose a port below it"
                    .to_owned(),
            );
        }
        let mut payloads = PayloadMap::default();
        let (mut interface, mut room, mut returns) = (None, None, false);
        for entry in parts {
            match entry.split_once('=') {
                Some(("room", name)) => room = Some(room_name(name)?),
                Some(("return", "on")) if address.ip().is_multicast() => {
                    return Err(format!(
                        "`{entry}` sends the mix back to where packets come from, and {} is a multicast group, which many \
                         send to; leave it out, or listen on an address of this host",
                        address.ip()
                    ));
                }
                Some(("return", "on")) => returns = true,
                Some(("return", "off")) => returns = false,
                Some(("return", _)) => {
                    return Err(format!("`{entry}` is neither return=on nor return=off"));
                }
                Some(("interface", _)) if !address.ip().is_multicast() => {
                    return Err(format!(
                        "`{entry}` says where a multicast group is joined, and {} is none; leave it out, \
                         or write a group, as 239.69.1.1:5004",
                        address.ip()
                    ));
                }
                Some(("interface", "")) => {
                    return Err("`interface=` lacks a name; write interface=eth0".to_owned());
                }
                Some(("interface", name)) => interface = Some(name.to_owned()),
                _ => {
                    payloads.define(entry).map_err(|error| error.to_string())?;
                }
            }
        }
        Ok(Self {
            address,
            interface,
            room,
            returns,
            payloads,
        })
    }
}

impl fmt::Display for RtpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(interface) = &self.interface {
            write!(f, ",interface={interface}")?;
        }
        write_room(self.room.as_deref(), f)?;
        if self.returns {
            f.write_str(",return=on")?;
        }
        write!(f, "{}", self.payloads)
    }
}

impl AudioSocketAddress {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let address = address(parts.next().unwrap_or_default())?;
        let (mut rate_hz, mut room) = (None, None);
        for option in parts {
            if let Some(name) = option.strip_prefix("room=") {
                room = Some(room_name(name)?);
                continue;
            }
            let rate = option
                .strip_prefix("rate=")
                .and_then(|rate| rate.parse().ok())
                .filter(|rate| (RATE_HZ_MIN..=RATE_HZ_MAX).contains(rate));
            if rate.is_none() {
                return Err(format!(
                    "`{option}` is no option of an AudioSocket; write 127.0.0.1:9092,rate=16000, with a rate \
                     from {RATE_HZ_MIN} to {RATE_HZ_MAX}, or 127.0.0.1:9092,room=sales"
                ));
            }
            rate_hz = rate;
        }
        Ok(Self {
            address,
            rate_hz,
            room,
        })
    }
}

impl fmt::Display for AudioSocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(rate_hz) = self.rate_hz {
            write!(f, ",rate={rate_hz}")?;
        }
        write_room(self.room.as_deref(), f)
    }
}

impl Http {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => address(text)
                .map(Self::At)
                .map_err(|reason| format!("{reason}; off for none")),
        }
    }
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Control {
    /// The address that the config has, if any.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.http {
            Some(Http::At(address)) => Some(address),
            Some(Http::Off) | None => None,
        }
    }
}

pub(super) fn rtp_target(text: &str) -> Result<RtpTarget, String> {
    let (first, codec) = text.split_once(',').unwrap_or((text, "pcmu"));
    let target = format!("{},{codec}", address(first)?);
    target
        .parse::<RtpTarget>()
        .map_err(|error| error.to_string())
}

/// `127.0.0.1:5004`, `[::1]:5004`; a port alone is on loopback, which no other machine reaches.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    text.parse().map_err(|_| {
        format!(
            "`{text}` is no address; write 127.0.0.1:5004, 0.0.0.0:5004 for all networks, or a port"
        )
    })
}

/// `10.0.0.0/8`, or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{text}` is no network; write 10.0.0.0/8 or 192.0.2.7"))
}

/// A name alone: browsers send the port beside it.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
        // As it stands in a URL.
        return Ok(format!("[{address}]"));
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !text.is_empty() && text.bytes().all(of_name) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no name of a host; write mix.example.org, without https:// and without a port"
    ))
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
            let error = address(text).unwrap_err();
            assert!(error.contains("0.0.0.0:5004"), "{error}");
        }
    }

    #[test]
    fn a_group_may_say_on_which_interface_it_is_joined() {
        let group = RtpAddress::read("239.69.1.1:5004,interface=eth0,96=L16/48000/2").unwrap();
        assert_eq!(group.interface.as_deref(), Some("eth0"));
        assert_eq!(group.address.to_string(), "239.69.1.1:5004");
        let group = RtpAddress::read("[ff15::69]:5004,interface=lo").unwrap();
        assert_eq!(group.interface.as_deref(), Some("lo"));
        for text in ["127.0.0.1:5004,interface=lo", "239.69.1.1:5004,interface="] {
            let error = RtpAddress::read(text).unwrap_err();
            assert!(error.contains("interface="), "{error}");
        }
    }

    #[test]
    fn an_address_says_what_its_payload_types_mean() {
        let rtp = RtpAddress::read("5004,96=L16/16000/1,10=L16/8000/1").unwrap();
        let mut payloads = PayloadMap::default();
        payloads.define("96=L16/16000/1").unwrap();
        payloads.define("10=L16/8000/1").unwrap();
        assert_eq!(rtp.payloads, payloads);
        assert!(RtpAddress::read("5004,96=OPUS/48000").is_err());
        assert!(RtpAddress::read("5004,x").is_err());
    }

    #[test]
    fn an_address_may_send_the_mix_back() {
        let rtp = RtpAddress::read("5004,return=on,room=a,111=opus/48000/2").unwrap();
        assert!(rtp.returns);
        assert_eq!(RtpAddress::read(&rtp.to_string()), Ok(rtp));
        assert!(!RtpAddress::read("5004,return=off").unwrap().returns);
        for text in [
            "5004,return=yes",
            "5004,return=",
            "239.69.1.1:5004,return=on",
        ] {
            let error = RtpAddress::read(text).unwrap_err();
            assert!(error.contains("return="), "{error}");
        }
    }

    #[test]
    fn a_target_has_a_codec() {
        let target = rtp_target("6004").unwrap();
        assert_eq!(target, "127.0.0.1:6004,pcmu".parse().unwrap());
        let target = rtp_target("192.0.2.1:6004,l16").unwrap();
        assert_eq!(target, "192.0.2.1:6004,l16".parse().unwrap());
        assert!(rtp_target("6004,gsm").is_err() && rtp_target("x").is_err());
    }

    #[test]
    fn an_audiosocket_may_have_a_rate_of_its_own() {
        assert_eq!(AudioSocketAddress::read("9092").unwrap().rate_hz, None);
        let wide = AudioSocketAddress::read("127.0.0.1:9092,rate=16000").unwrap();
        assert_eq!(wide.rate_hz, Some(16_000));
        for text in [
            "9092,rate=fast",
            "9092,16000",
            "9092,rate=1",
            "x,rate=16000",
        ] {
            assert!(AudioSocketAddress::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_may_name_the_room_of_its_streams() {
        let rtp = RtpAddress::read("5004,room=a/b,96=L16/16000/1").unwrap();
        assert_eq!(rtp.room.as_deref(), Some("a/b"));
        assert_eq!(rtp.to_string(), "127.0.0.1:5004,room=a/b,96=L16/16000/1");
        let call = AudioSocketAddress::read("9092,room=a,rate=16000").unwrap();
        assert_eq!(call.to_string(), "127.0.0.1:9092,rate=16000,room=a");
        let tcp = TcpAddress::read("9000,room=a").unwrap();
        assert_eq!(tcp.to_string(), "127.0.0.1:9000,room=a");
        let unix = UnixAddress::read("a,b.sock,room=a").unwrap();
        assert_eq!(unix.path, PathBuf::from("a,b.sock"));
        assert_eq!(unix.to_string(), "a,b.sock,room=a");
        assert_eq!(UnixAddress::read("a,b.sock").unwrap().room, None);
        for name in ["", "..", "a b", "a\n"] {
            let text = format!("9092,room={name}");
            let refused = [
                RtpAddress::read(&text).unwrap_err(),
                AudioSocketAddress::read(&text).unwrap_err(),
                TcpAddress::read(&text).unwrap_err(),
                UnixAddress::read(&text).unwrap_err(),
            ];
            assert!(
                refused
                    .iter()
                    .all(|said| said.contains("no name of a room"))
            );
        }
        assert!(
            TcpAddress::read("9000,rate=1")
                .unwrap_err()
                .contains("--tcp")
        );
        assert!(UnixAddress::read(",room=a").is_err());
    }

    #[test]
    fn a_network_is_one_address_or_many() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_host_name_is_what_stands_in_a_url_without_scheme_and_port() {
        for name in ["mix.example.org", "mix_1", "203.0.113.5"] {
            assert_eq!(host_name(name).unwrap(), name);
        }
        assert_eq!(host_name("2001:db8::7").unwrap(), "[2001:db8::7]");
        for wrong in [
            "",
            "https://mix.example.org",
            "mix.example.org:8443",
            "mix example",
            "*",
        ] {
            let refused = host_name(wrong).unwrap_err();
            assert!(refused.contains("without https://"), "{refused}");
        }
    }
}
