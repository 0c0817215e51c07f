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

use std::time::Duration;

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
/// A longer round trip is none: a minute, in 65536ths of a second.
const ROUND_TRIP_UNITS_MAX: u32 = 60 << 16;
/// The item of a source description that is its canonical name.
const CNAME: u8 = 1;
const NAME: u8 = 2;

/// A time since 1970 as NTP has it: seconds since 1900, in 32 bits, and their fraction in 32 more (RFC 3550, section 4).
pub fn ntp_time(since_1970: Duration) -> u64 {
    const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1970.as_secs() + SECONDS_1900_TO_1970) << 32 | fraction
}

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

impl Report {
    /// The time from our sender report to its return in this report, which came at this NTP time, less the time that it
    /// rested at the receiver (RFC 3550, section 6.4.1); none if there was no sender report, or the times cannot be.
    pub fn round_trip(&self, now_ntp: u64) -> Option<Duration> {
        if self.last_sender_report == 0 {
            return None;
        }
        let units = ((now_ntp >> 16) as u32)
            .wrapping_sub(self.last_sender_report)
            .wrapping_sub(self.since_last_sender_report);
        // A clock that counts a little faster over there makes it a little less than 0.
        let units = (units as i32).max(0) as u32;
        (units < ROUND_TRIP_UNITS_MAX)
            .then(|| Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16))
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
