//! RTCP (RFC 3550, section 6): sender and receiver reports, source descriptions, goodbyes.
//!
//! One datagram is a [`Compound`] of packets. A compound that parses has passed the checks of appendix
//! A.2, and every packet of a kind known here is whole: its counts, items and texts lie within it. Packets
//! of other kinds are checked for their length and skipped.
//!
//! Source descriptions: CNAME and NAME are read, CNAME is written. Profile-specific extensions of reports are
//! skipped. This module does not decide when reports are due.

// The crate rtcp-types was tried. Its 0.3 refuses a padded description, and one with a second source
// below 2^24, takes the cumulative loss for unsigned, and allocates for each item that it reads. So it
// is the second opinion in the tests.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{Bye, Chunk, Compound, Packet, Packets, Reports, RtcpError, Sdes, is_rtcp};
pub use write::{write_bye, write_receiver_report, write_sender_report};

const VERSION: u8 = 2;
/// Packet types.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
/// The item of a source description that is its canonical name.
const CNAME: u8 = 1;
const NAME: u8 = 2;

/// A sender's figures of its stream (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The sender's stream.
    pub ssrc: u32,
    /// When the report was sent: seconds since 1900 and their binary fraction, 32 bits each.
    pub ntp: u64,
    /// The same instant in the clock of the stream's timestamps.
    pub timestamp: u32,
    /// Packets sent since the stream began; wraps.
    pub packets: u32,
    /// Bytes of payload sent since the stream began; wraps.
    pub bytes: u32,
}

impl SenderInfo {
    /// The middle 32 bits of [`ntp`](Self::ntp), as [`Report::last_sender_report`] returns them.
    pub fn ntp_middle(&self) -> u32 {
        (self.ntp >> 16) as u32
    }
}

/// A receiver's figures of one stream that it receives (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The reported stream.
    pub ssrc: u32,
    /// Packets lost since the last report, in 256ths of those expected.
    pub fraction_lost: u8,
    /// Packets expected less packets received since the stream began; duplicates make it negative.
    /// 24 bits on the wire: saturates at -8,388,608 and 8,388,607.
    pub lost: i32,
    /// The highest sequence number received, with the count of its wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the stream's timestamps.
    pub jitter: u32,
    /// The [`ntp_middle`](SenderInfo::ntp_middle) of the stream's last sender report; 0 if none came.
    pub last_sender_report: u32,
    /// How long ago that report came, in 65536ths of a second; 0 if none came.
    pub since_last_sender_report: u32,
}
