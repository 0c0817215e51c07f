//! Session descriptions (SDP, RFC 8866), as far as one stream of audio by RTP needs them: written, and an offer read with
//! its answer (RFC 3264).
//!
//! An offer is read for its first section of audio by RTP: the address, the payload types, the direction. Sections of other
//! media are answered with port 0, which refuses them. ICE, keys and bandwidths are not read.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;

use super::payload::{AudioPayload, Payload, PayloadMap};
use crate::audio::Codec;

#[cfg(test)]
mod tests;

/// Longest description that is read.
pub const SDP_BYTES_MAX: usize = 16 << 10;
/// Most sections of media.
const MEDIA_MAX: usize = 16;
/// Most formats of a section.
const FORMATS_MAX: usize = 128;
/// The protocols of an `m=` line for audio that is not encrypted, with early feedback or without.
const PROTOCOLS: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];

/// Who sends, as the side has it that writes the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both sides.
    SendRecv,
    /// This side alone.
    SendOnly,
    /// The other side alone.
    RecvOnly,
    /// Neither side, for now.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [
        Self::SendRecv,
        Self::SendOnly,
        Self::RecvOnly,
        Self::Inactive,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction of a side that sends, and that receives.
    fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the side that wrote it receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Whether the side that wrote it sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

/// Why a description is no offer that can be answered. The line counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Longer than any description needs.
    #[error("a description has at most {SDP_BYTES_MAX} bytes, and this has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It does not begin as a description does.
    #[error("a description begins with v=0")]
    Version,
    /// A line that cannot be read.
    #[error("line {line}: {}", why)]
    Line {
        /// Which.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no audio by RTP in it that is not refused.
    #[error("there is no m=audio with a port and RTP/AVP: encrypted audio is not taken")]
    NoAudio,
    /// Its audio has no address of one host.
    #[error("its audio has no c= line with the address of one host")]
    NoAddress,
    /// None of its codecs is known.
    #[error("none of its codecs is decoded here; {} are", super::payload::names())]
    NoCodec,
}

/// One section of media.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Media {
    kind: String,
    port: u16,
    protocol: String,
    formats: Vec<String>,
    address: Option<IpAddr>,
    /// Names of the types, as `a=rtpmap` has them.
    maps: Vec<(u8, String)>,
    direction: Option<Direction>,
    mux: bool,
}

/// An offer of one stream of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The address at which the offering side receives, and from which it sends.
    pub address: SocketAddr,
    /// The types that are known here, in the order of the offer: at least one of audio.
    pub payloads: Vec<(u8, Payload)>,
    /// Who sends, as the offering side has it.
    pub direction: Direction,
    /// RTCP comes to the port of the packets.
    pub mux: bool,
    media: Vec<Media>,
    audio: usize,
}

impl FromStr for Offer {
    type Err = SdpError;

    /// Reads an offer. Lines end with CRLF or LF; unknown ones are passed over. Allocates no more than the text is long.
    fn from_str(text: &str) -> Result<Self, SdpError> {
        if text.len() > SDP_BYTES_MAX {
            return Err(SdpError::TooLong { bytes: text.len() });
        }
        let mut lines = (1..).zip(text.lines());
        if lines
            .next()
            .is_none_or(|(_, first)| first.trim_end() != "v=0")
        {
            return Err(SdpError::Version);
        }
        let (mut address, mut direction) = (None, None);
        let mut media: Vec<Media> = Vec::new();
        for (line, content) in lines {
            let content = content.trim_end();
            if content.is_empty() {
                continue;
            }
            let wrong = |why| SdpError::Line { line, why };
            let Some((kind, value)) = content.split_once('=').filter(|(kind, _)| kind.len() == 1)
            else {
                return Err(wrong("it is not written as X=VALUE"));
            };
            if kind == "m" {
                if media.len() == MEDIA_MAX {
                    return Err(wrong("it is the 17th section of media, and 16 are read"));
                }
                let section = section(value);
                media
                    .push(section.ok_or_else(|| {
                        wrong("a section is written as m=audio 4000 RTP/AVP 0 8")
                    })?);
                continue;
            }
            match (kind, media.last_mut()) {
                ("c", section) => {
                    let found = connection(value).map_err(wrong)?;
                    *section.map_or(&mut address, |section| &mut section.address) = found;
                }
                ("a", section) => {
                    attribute(value, section, &mut direction).map_err(wrong)?;
                }
                _ => {}
            }
        }
        Self::of(media, address, direction)
    }
}

/// `audio 4000 RTP/AVP 0 8 101`, without a count of ports.
fn section(value: &str) -> Option<Media> {
    let mut parts = value.split_ascii_whitespace();
    let kind = parts.next()?;
    let port = parts.next()?.split('/').next()?.parse().ok()?;
    let protocol = parts.next()?;
    let formats: Vec<_> = parts.map(str::to_owned).collect();
    let is_some = (1..=FORMATS_MAX).contains(&formats.len());
    is_some.then(|| Media {
        kind: kind.to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats,
        address: None,
        maps: Vec::new(),
        direction: None,
        mux: false,
    })
}

/// `IN IP4 192.0.2.1`; none for 0.0.0.0, as on hold, and for a group.
fn connection(value: &str) -> Result<Option<IpAddr>, &'static str> {
    let mut parts = value.split_ascii_whitespace();
    let (network, family, address) = (parts.next(), parts.next(), parts.next());
    let ("IN", "IP4" | "IP6", Some(address)) =
        (network.unwrap_or(""), family.unwrap_or(""), address)
    else {
        return Err("an address is written as c=IN IP4 192.0.2.1");
    };
    let Ok(ip) = address.split('/').next().unwrap_or("").parse::<IpAddr>() else {
        return Err("its address is no number: names of hosts are not looked up");
    };
    let ip = ip.to_canonical();
    Ok((!ip.is_unspecified() && !ip.is_multicast()).then_some(ip))
}

/// The attributes that are read, of a section or of the session.
fn attribute(
    value: &str,
    section: Option<&mut Media>,
    session: &mut Option<Direction>,
) -> Result<(), &'static str> {
    let (name, argument) = value.split_once(':').unwrap_or((value, ""));
    if let Some(direction) = Direction::ALL.into_iter().find(|way| way.name() == value) {
        match section {
            Some(section) => section.direction = Some(direction),
            None => *session = Some(direction),
        }
        return Ok(());
    }
    let Some(section) = section else {
        return Ok(());
    };
    match name {
        "rtpmap" => {
            let map = argument.split_once(' ').and_then(|(number, codec)| {
                let number = number.parse().ok().filter(|&number: &u8| number < 128)?;
                Some((number, codec.trim().to_owned()))
            });
            let map = map.ok_or("a type is written as a=rtpmap:96 L16/16000")?;
            if section.maps.len() < FORMATS_MAX {
                section.maps.push(map);
            }
        }
        "rtcp-mux" => section.mux = true,
        _ => {}
    }
    Ok(())
}

impl Media {
    /// Whether it is audio that can be taken.
    fn is_taken(&self) -> bool {
        self.kind == "audio" && self.port > 0 && PROTOCOLS.contains(&self.protocol.as_str())
    }

    /// The types that are known here, in their order.
    fn payloads(&self) -> Vec<(u8, Payload)> {
        let usual = PayloadMap::default();
        let mut known: Vec<(u8, Payload)> = Vec::new();
        for number in self.formats.iter().filter_map(|format| format.parse().ok()) {
            if number > 127 || known.iter().any(|&(other, _)| other == number) {
                continue;
            }
            let named = self.maps.iter().find(|(mapped, _)| *mapped == number);
            let payload = match named {
                Some((_, name)) => {
                    let mut map = PayloadMap::default();
                    let defined = map.define(&format!("{number}={name}"));
                    defined.map_or(Payload::Unsupported, |_| map.get(number))
                }
                // Beside the static types, those alone that are named have a meaning.
                None if number < 96 => usual.get(number),
                None => Payload::Unsupported,
            };
            if payload != Payload::Unsupported {
                known.push((number, payload));
            }
        }
        known
    }
}

impl Offer {
    fn of(
        media: Vec<Media>,
        address: Option<IpAddr>,
        direction: Option<Direction>,
    ) -> Result<Self, SdpError> {
        let audio = media.iter().position(Media::is_taken);
        let audio = audio.ok_or(SdpError::NoAudio)?;
        let section = &media[audio];
        let ip = section.address.or(address).ok_or(SdpError::NoAddress)?;
        let payloads = section.payloads();
        let is_audio = |(_, payload): &(u8, Payload)| matches!(payload, Payload::Audio(_));
        if !payloads.iter().any(is_audio) {
            return Err(SdpError::NoCodec);
        }
        Ok(Self {
            address: SocketAddr::new(ip, section.port),
            payloads,
            direction: section
                .direction
                .or(direction)
                .unwrap_or(Direction::SendRecv),
            mux: section.mux,
            media,
            audio,
        })
    }

    /// These types, with those of the offer in their place.
    pub fn payloads_over(&self, mut payloads: PayloadMap) -> PayloadMap {
        for &(number, payload) in &self.payloads {
            payloads.set(number, payload);
        }
        payloads
    }

    /// The answer of a side that receives at `local`, and sends from there if `sends`.
    pub fn answer(&self, local: SocketAddr, session: u32, sends: bool) -> String {
        let sends = sends && self.direction.receives();
        let direction = Direction::new(sends, self.direction.sends());
        let mut text = head(local.ip(), session);
        for (at, section) in self.media.iter().enumerate() {
            if at == self.audio {
                let protocol = &section.protocol;
                audio(&mut text, local.port(), protocol, &self.payloads, direction);
                if self.mux {
                    text.push_str("a=rtcp-mux\r\n");
                }
            } else {
                let Media {
                    kind,
                    protocol,
                    formats,
                    ..
                } = section;
                let formats = formats.join(" ");
                let _ = write!(text, "m={kind} 0 {protocol} {formats}\r\n");
            }
        }
        text
    }
}

/// The description of a side that takes these types at `local`, and sends from there if `sends`.
pub fn describe(
    local: SocketAddr,
    session: u32,
    payloads: &[(u8, Payload)],
    sends: bool,
) -> String {
    let mut text = head(local.ip(), session);
    let direction = Direction::new(sends, true);
    audio(&mut text, local.port(), PROTOCOLS[0], payloads, direction);
    text
}

/// The lines of the session.
fn head(ip: IpAddr, session: u32) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {session} 0 IN {family} {ip}\r\ns=mixpool\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
    )
}

fn audio(
    text: &mut String,
    port: u16,
    protocol: &str,
    payloads: &[(u8, Payload)],
    direction: Direction,
) {
    let _ = write!(text, "m=audio {port} {protocol}");
    for (number, _) in payloads {
        let _ = write!(text, " {number}");
    }
    text.push_str("\r\n");
    for &(number, payload) in payloads {
        let _ = match payload {
            Payload::Audio(audio) => write!(text, "a=rtpmap:{number} {audio}\r\n"),
            Payload::ComfortNoise => write!(text, "a=rtpmap:{number} CN/8000\r\n"),
            Payload::TelephoneEvent => write!(
                text,
                "a=rtpmap:{number} telephone-event/8000\r\na=fmtp:{number} 0-15\r\n"
            ),
            Payload::Unsupported => Ok(()),
        };
    }
    let _ = write!(text, "a={}\r\n", direction.name());
}

/// The description of a stream that is sent, for its receivers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) payload: AudioPayload,
    pub(crate) payload_type: u8,
    pub(crate) stereo: bool,
    pub(crate) session: u32,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            to,
            payload,
            payload_type,
            stereo,
            session,
        } = self;
        f.write_str(&head(to.ip(), *session))?;
        let port = to.port();
        write!(
            f,
            "m=audio {port} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {payload}\r\n"
        )?;
        // Its channels in SDP are two in any case (RFC 7587, section 7).
        match payload.codec {
            Codec::Opus if *stereo => write!(f, "a=fmtp:{payload_type} sprop-stereo=1\r\n"),
            _ => Ok(()),
        }
    }
}
