//! A room's mix by RTP (RFC 3550, RFC 3551): each block as a packet, or packets of 20 ms where the codec has
//! state, with the sources that were heard in it, and a report every five seconds.
//!
//! The mixer sends each block into a ring; a thread of the sender's own encodes and sends. Blocks that the
//! ring or the network refuses are counted, and cost their own time alone: nothing here ends a mix. Nothing
//! is received: neither receivers' reports nor other datagrams to its ports.

pub(crate) mod packets;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use serde::{Serialize, Serializer};

use self::packets::{Chance, Packets};
use super::{
    feed_reader::{FeedReader, FeedRings, Piece},
    worker::{self, PANICKED, Work},
};
use crate::{
    audio::{Codec, Format},
    ledger::{Term, Value, add_fields, table},
    mixer::{MixRing, RoomId},
    queue::BuildError,
    wire::{
        id::is_id,
        payload::{AudioPayload, Payload, PayloadMap, names},
        rtcp::ntp_time,
        sdp,
    },
};

/// Time that the ring between mixer and socket holds, at least. Older audio is of no use to a
/// listener.
const BUFFERED: Duration = Duration::from_secs(1);

/// Time between reports; the minimum of RFC 3550, section 6.2.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The type of a payload without a static one: the first dynamic type of RFC 3551.
const DYNAMIC_TYPE: u8 = 96;

/// Where a mix goes, and as what; read from `ADDR[,CODEC][,room=NAME]`: `127.0.0.1:5004,pcma,room=a`. PCMU and `main` are
/// the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpTarget {
    /// The address for packets. Reports go to the port above.
    pub address: SocketAddr,
    /// How samples are written. Rate and channels are the mix's, as far as the codec has them.
    pub codec: Codec,
    /// The room, which is open when the server starts. Once it is closed, the goodbye is sent.
    pub room: String,
}

/// The room of a target that names none.
const MAIN: &str = "main";

/// Why a target cannot be read, or cannot be sent to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RtpOutError {
    /// It is not written as one.
    #[error(
        "'{}' is no RTP target: write ADDR:PORT[,CODEC][,room=NAME], as 127.0.0.1:5004,pcmu; the codecs are {}",
        text.escape_debug(),
        names().to_lowercase()
    )]
    Target {
        /// The text as written.
        text: String,
    },
    /// There is no port for the reports, or none at all.
    #[error("cannot send RTP to port {port}: choose 1 to 65534, reports take the port above")]
    Port {
        /// The port.
        port: u16,
    },
    /// No socket, or no way to the address.
    #[error(
        "cannot open a socket that sends RTP to {address}; check the address, the host's routes and the limit of \
         descriptors (ulimit -n)"
    )]
    Socket {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The ring to the sending thread cannot be made.
    #[error("cannot make the RTP sender's buffer")]
    Buffer(#[from] BuildError),
    /// The sending thread cannot be started.
    #[error("cannot start the RTP sender's thread")]
    Thread(#[source] io::Error),
}

impl FromStr for RtpTarget {
    type Err = RtpOutError;

    fn from_str(text: &str) -> Result<Self, RtpOutError> {
        let unreadable = || RtpOutError::Target {
            text: text.to_owned(),
        };
        let mut parts = text.split(',').map(str::trim);
        let address = parts.next().unwrap_or_default();
        let address: SocketAddr = address.parse().map_err(|_| unreadable())?;
        let (mut codec, mut room) = (None, None);
        for part in parts {
            let is_second = match part.strip_prefix("room=") {
                Some(name) if is_id(name) => room.replace(name.to_owned()).is_some(),
                Some(_) => true,
                None => codec
                    .replace(Codec::named(part).ok_or_else(unreadable)?)
                    .is_some(),
            };
            if is_second {
                return Err(unreadable());
            }
        }
        match address.port() {
            port @ (0 | u16::MAX) => Err(RtpOutError::Port { port }),
            _ => Ok(Self {
                address,
                codec: codec.unwrap_or(Codec::Pcmu),
                room: room.unwrap_or_else(|| MAIN.to_owned()),
            }),
        }
    }
}

impl fmt::Display for RtpTarget {
    /// In the form that is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.address, self.codec.name().to_lowercase())?;
        if self.room != MAIN {
            write!(f, ",room={}", self.room)?;
        }
        Ok(())
    }
}

/// The figures of a mix sent by RTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpSent {
    /// Packets sent.
    pub packets: u64,
    /// Bytes of samples in them.
    pub payload_bytes: u64,
    /// Packets that the host could not send.
    pub unsent_packets: u64,
    /// How often the kernel reported that no receiver listens there.
    pub refusals: u64,
    /// Reports sent, the goodbye too.
    pub reports: u64,
    /// Interleaved samples that came to no packet, since the thread was too slow for them.
    pub lost_samples: u64,
}

impl RtpSent {
    /// The figures of one target.
    pub const TERMS: [Term<Self>; 6] = table! { RtpSent:
        "sent_packets" Packets "Packets of the mix that were sent"
            |sent| Value::Whole(sent.packets), counter("rtp_out_sent");
        "payload_bytes" Bytes "Bytes of samples in them"
            |sent| Value::Whole(sent.payload_bytes);
        "unsent_packets" Packets "Packets of the mix that the host could not send"
            |sent| Value::Whole(sent.unsent_packets), counter("rtp_out_unsent");
        "refusals" Count "How often the kernel reported that no receiver listens there"
            |sent| Value::Whole(sent.refusals), counter("rtp_out_refusals");
        "reports" Count "RTCP reports sent, the goodbye too"
            |sent| Value::Whole(sent.reports);
        "lost_samples" Samples "Samples of the mix that the sending thread was too slow for"
            |sent| Value::Whole(sent.lost_samples), counter("rtp_out_lost");
    };

    /// Adds the figures of another.
    pub fn add(&mut self, other: &Self) {
        add_fields! { self += other:
            packets payload_bytes unsent_packets refusals reports lost_samples
        }
    }
}

impl Serialize for RtpSent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Term::serialize(&Self::TERMS, self, serializer)
    }
}

/// The figures so far of a mix sent by RTP. Clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct RtpProgress(Arc<Mutex<RtpSent>>);

impl RtpProgress {
    /// The figures as they stand. Locks for the time of a copy, as the sending thread does for each message.
    pub fn read(&self) -> RtpSent {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, sent: RtpSent) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sent;
    }
}

/// A mix that goes out by RTP.
#[derive(Debug)]
pub struct RtpOut {
    thread: JoinHandle<RtpSent>,
    progress: RtpProgress,
    sdp: String,
}

impl RtpOut {
    /// Opens the sockets and starts the thread, for this room. Blocks are at most `block_samples` long, per channel. The ring is the
    /// mixer's: it sends from its command on.
    ///
    /// The source number, its name, the first sequence number and the first timestamp are random
    /// (RFC 3550, sections 5.1 and 8; RFC 7022, section 4.2).
    ///
    /// # Errors
    /// [`RtpOutError`], before anything is sent.
    pub fn start(
        target: &RtpTarget,
        room: RoomId,
        format: Format,
        block_samples: usize,
    ) -> Result<(Self, MixRing), RtpOutError> {
        let &RtpTarget { address, codec, .. } = target;
        let port = address.port();
        let port_above = port.checked_add(1).filter(|_| port > 0);
        let reports_to =
            SocketAddr::new(address.ip(), port_above.ok_or(RtpOutError::Port { port })?);
        let socket = |to| {
            connected(to).map_err(|source| RtpOutError::Socket {
                address: to,
                source,
            })
        };
        let (media, control) = (socket(address)?, socket(reports_to)?);

        let clock = codec.only().unwrap_or(format);
        let payload = AudioPayload { codec, clock };
        let payload_type = payload_type(payload);
        let packets = Packets::new(payload, payload_type, format, block_samples, Chance::draw());
        let sdp = sdp::Sent {
            to: address,
            payload,
            payload_type,
            stereo: format.channels() == 2,
            session: packets.ssrc(),
        }
        .to_string();
        let progress = RtpProgress::default();
        let sending = Sending {
            progress: progress.clone(),
            packets,
            media,
            control,
            next_report: Instant::now(),
            sent: RtpSent::default(),
        };
        let rings = FeedRings::of_one_room(room, format, block_samples, BUFFERED);
        let (reader, ring) = FeedReader::new(rings)?;
        let thread = worker::start("rtp-out", reader, sending).map_err(RtpOutError::Thread)?;
        let rtp_out = Self {
            thread,
            progress,
            sdp,
        };
        Ok((rtp_out, ring.with_room(room)))
    }

    /// The stream's description for a receiver, as SDP (RFC 8866).
    pub fn sdp(&self) -> &str {
        &self.sdp
    }

    pub(crate) fn progress(&self) -> RtpProgress {
        self.progress.clone()
    }

    /// Waits until the mixer has closed the ring, all is sent, and goodbye is said.
    ///
    /// # Panics
    /// If the sending thread did: a bug.
    pub fn finish(self) -> RtpSent {
        self.thread.join().expect(PANICKED)
    }
}

fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket)
}

/// The static type that stands for this payload, or a dynamic one.
fn payload_type(payload: AudioPayload) -> u8 {
    let map = PayloadMap::default();
    (0..DYNAMIC_TYPE)
        .find(|&number| map.get(number) == Payload::Audio(payload))
        .unwrap_or(DYNAMIC_TYPE)
}

/// The sockets, as their thread holds them.
struct Sending {
    packets: Packets,
    media: UdpSocket,
    control: UdpSocket,
    next_report: Instant,
    sent: RtpSent,
    progress: RtpProgress,
}

impl Work for Sending {
    type Outcome = RtpSent;

    fn take(&mut self, piece: &Piece<'_>) {
        let Self {
            packets,
            media,
            sent,
            ..
        } = self;
        if piece.is_lost {
            // The next block's time stamp shows the gap.
            sent.lost_samples += piece.samples.len() as u64;
        } else {
            packets.block(
                piece.first,
                piece.contributors,
                piece.samples,
                |packet, payload_bytes| deliver(media, packet, payload_bytes, sent),
            );
        }
        let now = Instant::now();
        if packets.has_begun() && now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            self.report(false);
        }
        self.progress.set(self.sent);
    }

    fn finish(mut self) -> RtpSent {
        let Self {
            packets,
            media,
            sent,
            ..
        } = &mut self;
        packets.finish(|packet, payload_bytes| deliver(media, packet, payload_bytes, sent));
        if self.packets.has_begun() {
            self.report(true);
        }
        self.progress.set(self.sent);
        self.sent
    }
}

impl Sending {
    fn report(&mut self, goodbye: bool) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ntp = ntp_time(now.unwrap_or_default());
        let report = self.packets.report(ntp, &[], goodbye);
        // Many receivers take no reports, and refuse them: that is no trouble of the stream's.
        let sent = self
            .control
            .send(report)
            .or_else(|_| self.control.send(report));
        self.sent.reports += u64::from(sent.is_ok());
    }
}

/// Sends a packet and counts it; returns whether it left.
fn deliver(socket: &UdpSocket, packet: &[u8], payload_bytes: usize, sent: &mut RtpSent) -> bool {
    let is_sent = send(socket, packet, sent);
    if is_sent {
        sent.packets += 1;
        sent.payload_bytes += payload_bytes as u64;
    } else {
        sent.unsent_packets += 1;
    }
    is_sent
}

/// Sends a packet; returns whether it left. The first failure is logged at once.
fn send(socket: &UdpSocket, packet: &[u8], sent: &mut RtpSent) -> bool {
    // A missing receiver refuses a packet, and the kernel reports it at the next, which it does not send.
    for _ in 0..2 {
        let Err(error) = socket.send(packet) else {
            return true;
        };
        if sent.refusals + sent.unsent_packets == 0 {
            tracing::warn!("RTP: {error}; the mix goes on, and what cannot be sent is counted");
        }
        if error.kind() != io::ErrorKind::ConnectionRefused {
            return false;
        }
        sent.refusals += 1;
    }
    false
}

#[cfg(test)]
mod tests;
