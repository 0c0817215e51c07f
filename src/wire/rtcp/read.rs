//! Compounds apart: see [`rtcp`](super).

use std::{ops::RangeInclusive, slice};

use thiserror::Error;

use super::{
    CNAME, GOODBYE, NAME, RECEIVER_REPORT, Report, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo,
    VERSION,
};

/// Length of the header that all packets begin with.
const HEADER_BYTES: usize = 4;
/// Types that a datagram may begin with: all that RFC 3550, 4585 and 3611 define.
const FIRST: RangeInclusive<u8> = SENDER_REPORT..=207;
/// Length of one receiver's report on one stream.
const REPORT_BYTES: usize = 24;

/// Whether a datagram is RTCP where RTP and RTCP share a port (RFC 5761, section 4): its second byte is
/// 192 to 223.
///
/// Says nothing of the rest. The same byte in an RTP packet is a set marker with payload type 64 to 95, so
/// these types stand for no audio.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [_, 192..=223, ..])
}

/// A whole datagram of RTCP packets. Iterate over it for the packets of the known kinds, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    /// Checked whole.
    bytes: &'a [u8],
}

/// The packets of a [`Compound`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

/// One RTCP packet of a kind known here.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// SR: a sender's figures of its stream, and its reception reports.
    SenderReport(SenderInfo, Reports<'a>),
    /// RR: a receiver's own number, and its reception reports.
    ReceiverReport(u32, Reports<'a>),
    /// SDES: names of the sources.
    Sdes(Sdes<'a>),
    /// BYE: sources leave.
    Bye(Bye<'a>),
}

/// The reports of one packet: an iterator of up to 31 [`Report`]s.
#[derive(Clone, Debug)]
pub struct Reports<'a> {
    blocks: &'a [[u8; REPORT_BYTES]],
}

/// Descriptions of sources: an iterator of up to 31 [`Chunk`]s.
#[derive(Clone, Debug)]
pub struct Sdes<'a> {
    /// Whole chunks, `left` of them and perhaps padding.
    rest: &'a [u8],
    left: u8,
}

/// The description of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The stream described.
    pub ssrc: u32,
    /// The first CNAME that stands there: should be UTF-8, may be anything.
    pub cname: Option<&'a [u8]>,
    /// The first NAME, which is for people: should be UTF-8, may be anything.
    pub name: Option<&'a [u8]>,
}

/// The sources that leave.
#[derive(Clone, Copy, Debug)]
pub struct Bye<'a> {
    ssrcs: &'a [[u8; 4]],
    /// Why they leave, if they say so: should be UTF-8, may be anything.
    pub reason: Option<&'a [u8]>,
}

/// Why a datagram is no RTCP compound. No part of such a datagram is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// Nothing there, or less than a header where one begins.
    #[error("an RTCP packet has at least {HEADER_BYTES} bytes, {bytes} are left")]
    TooShort {
        /// Bytes left of the datagram.
        bytes: usize,
    },
    /// Another protocol, or an RTP of the past.
    #[error("the RTCP version is {version}, not {VERSION}")]
    Version {
        /// The version found: 0, 1 or 3.
        version: u8,
    },
    /// It begins with a packet of a type that is none of RTCP's.
    #[error("an RTCP datagram begins with a packet of type 200 to 207, not {packet_type}")]
    First {
        /// The type of the first packet.
        packet_type: u8,
    },
    /// A packet claims more bytes than the datagram has left.
    #[error("an RTCP packet claims {claimed} bytes of {bytes} that are left")]
    Length {
        /// The length that its header claims.
        claimed: usize,
        /// Bytes left of the datagram.
        bytes: usize,
    },
    /// Padding in another packet than the last, of no length, of half a word, or longer than the packet.
    #[error("an RTCP packet of type {packet_type} is padded where or as it cannot be")]
    Padding {
        /// The packet's type.
        packet_type: u8,
    },
    /// The packet is shorter than its counts and texts claim.
    #[error("an RTCP packet of type {packet_type} is shorter than what it claims to hold")]
    Content {
        /// The packet's type.
        packet_type: u8,
    },
}

impl<'a> Compound<'a> {
    /// Reads one datagram.
    ///
    /// Stricter than RFC 3550 nowhere, and laxer in two things: a compound of a single packet may be padded,
    /// and it may begin without a report (RFC 5506), as phones send a goodbye alone.
    ///
    /// # Errors
    /// [`RtcpError`] for the first packet that is not as it must be.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtcpError> {
        let mut rest = datagram;
        loop {
            let (packet, after) = split_packet(rest)?;
            let first = rest.len() == datagram.len();
            if first && !FIRST.contains(&packet.kind) {
                return Err(RtcpError::First {
                    packet_type: packet.kind,
                });
            }
            let content = packet.content(after.is_empty())?;
            if is_known(packet.kind) && Packet::read(packet.kind, packet.count, content).is_none() {
                return Err(RtcpError::Content {
                    packet_type: packet.kind,
                });
            }
            if after.is_empty() {
                return Ok(Self { bytes: datagram });
            }
            rest = after;
        }
    }

    /// The packets of the known kinds, in their order.
    pub fn packets(&self) -> Packets<'a> {
        Packets { rest: self.bytes }
    }
}

impl<'a> IntoIterator for Compound<'a> {
    type Item = Packet<'a>;
    type IntoIter = Packets<'a>;

    fn into_iter(self) -> Packets<'a> {
        self.packets()
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        // None of these can fail: the whole datagram has been read once.
        while let Ok((packet, after)) = split_packet(self.rest) {
            self.rest = after;
            let content = packet.content(after.is_empty()).ok()?;
            if is_known(packet.kind) {
                return Packet::read(packet.kind, packet.count, content);
            }
        }
        None
    }
}

/// One packet by its header alone.
struct Raw<'a> {
    padded: bool,
    /// Reports, chunks or sources, as its kind has it: 0 to 31.
    count: u8,
    kind: u8,
    /// Behind the header.
    body: &'a [u8],
}

/// Takes one packet of any kind off.
fn split_packet(rest: &[u8]) -> Result<(Raw<'_>, &[u8]), RtcpError> {
    let bytes = rest.len();
    let Some((&[flags, kind, w0, w1], behind)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Err(RtcpError::TooShort { bytes });
    };
    let version = flags >> 6;
    if version != VERSION {
        return Err(RtcpError::Version { version });
    }
    // In words of 32 bits, without the header.
    let length = 4 * usize::from(u16::from_be_bytes([w0, w1]));
    let Some((body, after)) = behind.split_at_checked(length) else {
        let claimed = HEADER_BYTES + length;
        return Err(RtcpError::Length { claimed, bytes });
    };
    let packet = Raw {
        padded: flags & 0x20 != 0,
        count: flags & 0x1f,
        kind,
        body,
    };
    Ok((packet, after))
}

impl<'a> Raw<'a> {
    /// The body without its padding, which the last packet alone may have.
    fn content(&self, last: bool) -> Result<&'a [u8], RtcpError> {
        if !self.padded {
            return Ok(self.body);
        }
        let padding = usize::from(self.body.last().copied().unwrap_or(0));
        match self.body.len().checked_sub(padding) {
            Some(end) if last && padding > 0 && padding.is_multiple_of(4) => Ok(&self.body[..end]),
            _ => Err(RtcpError::Padding {
                packet_type: self.kind,
            }),
        }
    }
}

fn is_known(kind: u8) -> bool {
    matches!(
        kind,
        SENDER_REPORT | RECEIVER_REPORT | SOURCE_DESCRIPTION | GOODBYE
    )
}

impl<'a> Packet<'a> {
    /// None if the content is shorter than it claims, or the kind is unknown.
    fn read(kind: u8, count: u8, content: &'a [u8]) -> Option<Self> {
        match kind {
            SENDER_REPORT => {
                let (sender, rest) = content.split_first_chunk::<24>()?;
                let words = words(sender);
                let sender = SenderInfo {
                    ssrc: words[0],
                    ntp: u64::from(words[1]) << 32 | u64::from(words[2]),
                    timestamp: words[3],
                    packets: words[4],
                    bytes: words[5],
                };
                Some(Self::SenderReport(sender, Reports::read(count, rest)?))
            }
            RECEIVER_REPORT => {
                let (ssrc, rest) = content.split_first_chunk()?;
                let reports = Reports::read(count, rest)?;
                Some(Self::ReceiverReport(u32::from_be_bytes(*ssrc), reports))
            }
            SOURCE_DESCRIPTION => Sdes::read(count, content).map(Self::Sdes),
            GOODBYE => Bye::read(count, content).map(Self::Bye),
            _ => None,
        }
    }
}

impl<'a> Reports<'a> {
    /// Behind the reports a profile may have put more.
    fn read(count: u8, rest: &'a [u8]) -> Option<Self> {
        let blocks = rest.as_chunks().0.get(..usize::from(count))?;
        Some(Self { blocks })
    }
}

impl Iterator for Reports<'_> {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        let (block, blocks) = self.blocks.split_first()?;
        self.blocks = blocks;
        let words = words(block);
        Some(Report {
            ssrc: words[0],
            fraction_lost: block[4],
            // The lower 24 bits, with the sign of their uppermost.
            lost: (words[1] << 8) as i32 >> 8,
            highest_sequence: words[2],
            jitter: words[3],
            last_sender_report: words[4],
            since_last_sender_report: words[5],
        })
    }
}

impl<'a> Sdes<'a> {
    fn read(count: u8, content: &'a [u8]) -> Option<Self> {
        let sdes = Self {
            rest: content,
            left: count,
        };
        // Each chunk that is counted must be there.
        (sdes.clone().count() == usize::from(count)).then_some(sdes)
    }
}

impl<'a> Iterator for Sdes<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (ssrc, items) = self.rest.split_first_chunk()?;
        let mut chunk = Chunk {
            ssrc: u32::from_be_bytes(*ssrc),
            cname: None,
            name: None,
        };
        let mut at = 0;
        // A zero ends the items, and more of them fill the chunk's last word. Where the content ends with an
        // item, so does the chunk: the code in appendix A.5 takes that, too.
        while items.get(at).is_some_and(|&kind| kind != 0) {
            let length = usize::from(*items.get(at + 1)?);
            let text = items.get(at + 2..at + 2 + length)?;
            match items[at] {
                CNAME => chunk.cname = chunk.cname.or(Some(text)),
                NAME => chunk.name = chunk.name.or(Some(text)),
                _ => {}
            }
            at += 2 + length;
        }
        self.rest = items.get((at + 1).next_multiple_of(4)..).unwrap_or(&[]);
        Some(chunk)
    }
}

impl<'a> Bye<'a> {
    fn read(count: u8, content: &'a [u8]) -> Option<Self> {
        let (ssrcs, text) = content.split_at_checked(4 * usize::from(count))?;
        let reason = match text.split_first() {
            None => None,
            Some((&length, text)) => Some(text.get(..usize::from(length))?),
        };
        Some(Self {
            ssrcs: ssrcs.as_chunks().0,
            reason: reason.filter(|reason| !reason.is_empty()),
        })
    }

    /// The sources that leave: 0 to 31.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        let ssrcs: slice::Iter<'a, _> = self.ssrcs.iter();
        ssrcs.map(|bytes| u32::from_be_bytes(*bytes))
    }
}

/// The big-endian words of a block of fixed length.
fn words(block: &[u8; 24]) -> [u32; 6] {
    std::array::from_fn(|at| {
        let word = &block.as_chunks().0[at];
        u32::from_be_bytes(*word)
    })
}
