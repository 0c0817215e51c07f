//! RTP data packets (RFC 3550, section 5.1): the fixed header, and where the payload lies.
//!
//! A packet that parses has passed the checks of appendix A.1 that need no state: its version, and that
//! contributing sources, extension and padding lie within it. The extension is skipped.
//! [`PayloadMap`](super::payload::PayloadMap) maps the payload type, and
//! [`is_rtcp`](super::rtcp::is_rtcp), asked before, separates RTCP from RTP.

// The crate rtp-types checks all that this does, but has one error for every wrong length, so that malformed
// packets could not be counted by kind. So it is the second opinion in the tests.

use thiserror::Error;

#[cfg(test)]
mod tests;

/// The version in every packet's first two bits.
const VERSION: u8 = 2;
/// Length of the fixed header.
const HEADER_BYTES: usize = 12;
/// Most contributing sources that a packet can name.
pub const CSRCS_MAX: usize = 15;

/// One RTP data packet: its payload, and the fields of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// With audio: the first packet after a silence (RFC 3551, section 4.1).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// One more with each packet; wraps.
    pub sequence: u16,
    /// The time of the payload's first sample, in the payload's clock; wraps.
    pub timestamp: u32,
    /// The sender's stream.
    pub ssrc: u32,
    /// Without padding; may be empty.
    pub payload: &'a [u8],
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RtpError {
    /// Shorter than the fixed header.
    #[error("an RTP packet has at least {HEADER_BYTES} bytes, this one {bytes}")]
    TooShort {
        /// The length of what was given.
        bytes: usize,
    },
    /// Another protocol, or an RTP of the past.
    #[error("the RTP version is {version}, not {VERSION}")]
    Version {
        /// The version found: 0, 1 or 3.
        version: u8,
    },
    /// The list of contributing sources runs past the end.
    #[error("{csrcs} contributing sources do not fit an RTP packet of {bytes} bytes")]
    Csrcs {
        /// The count that the header claims.
        csrcs: u8,
        /// The length of what was given.
        bytes: usize,
    },
    /// The header extension runs past the end.
    #[error("the header extension runs past the end of an RTP packet of {bytes} bytes")]
    Extension {
        /// The length of what was given.
        bytes: usize,
    },
    /// The last byte claims more padding than there is payload, or none.
    #[error("the padding of an RTP packet is {padding} bytes, of {available} that it could have")]
    Padding {
        /// The padding that the last byte claims.
        padding: u8,
        /// Bytes behind the header, the sources and the extension.
        available: usize,
    },
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// [`RtpError`], in the order of its kinds: the first that applies.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let bytes = datagram.len();
        let Some((&[flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3], rest)) =
            datagram.split_first_chunk::<HEADER_BYTES>()
        else {
            return Err(RtpError::TooShort { bytes });
        };
        let version = flags >> 6;
        if version != VERSION {
            return Err(RtpError::Version { version });
        }
        let csrcs = flags & 0x0f;
        let Some((_, mut payload)) = rest.split_at_checked(4 * usize::from(csrcs)) else {
            return Err(RtpError::Csrcs { csrcs, bytes });
        };
        if flags & 0x10 != 0 {
            payload = after_extension(payload).ok_or(RtpError::Extension { bytes })?;
        }
        if flags & 0x20 != 0 {
            payload = before_padding(payload)?;
        }
        Ok(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }

    /// Appends this packet to `out`, with the sources that contributed to it.
    ///
    /// Names the first [`CSRCS_MAX`] of `csrcs`, as RFC 3550 has it where there are more. Writes neither
    /// extension nor padding. Allocates only where `out` lacks the room: 12 bytes, 4 for each source, and
    /// the payload.
    ///
    /// # Panics
    /// If the payload type is above 127.
    pub fn write(&self, csrcs: &[u32], out: &mut Vec<u8>) {
        assert!(
            self.payload_type < 0x80,
            "an RTP payload type is 0 to 127, not {}",
            self.payload_type
        );
        let csrcs = &csrcs[..csrcs.len().min(CSRCS_MAX)];
        out.push(VERSION << 6 | csrcs.len() as u8);
        out.push(u8::from(self.marker) << 7 | self.payload_type);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        for csrc in csrcs {
            out.extend_from_slice(&csrc.to_be_bytes());
        }
        out.extend_from_slice(self.payload);
    }
}

/// The bytes after the extension: 16 bits of the profile's own, and a count of 32-bit words behind them.
fn after_extension(rest: &[u8]) -> Option<&[u8]> {
    let (&[_, _, w0, w1], rest) = rest.split_first_chunk()?;
    rest.get(4 * usize::from(u16::from_be_bytes([w0, w1]))..)
}

/// The bytes before the padding; its last byte counts itself in.
fn before_padding(payload: &[u8]) -> Result<&[u8], RtpError> {
    let available = payload.len();
    let padding = payload.last().copied().unwrap_or(0);
    match available.checked_sub(usize::from(padding)) {
        Some(end) if padding > 0 => Ok(&payload[..end]),
        _ => Err(RtpError::Padding { padding, available }),
    }
}
