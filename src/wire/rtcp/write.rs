//! Compounds together: see [`rtcp`](super).
//!
//! Each function appends to a buffer of the caller's, and allocates only where that lacks the room.

use super::{
    CNAME, GOODBYE, RECEIVER_REPORT, Report, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo, VERSION,
};

/// Most reports, descriptions or sources in one packet.
const COUNT_MAX: usize = 31;
/// Longest text.
const TEXT_BYTES_MAX: usize = 255;

/// Appends a sender's figures, its reception reports, and its name: SR, as many RR as the reports
/// above 31 need, and SDES.
///
/// 28 bytes, 24 a report, and about 12 more than the name.
///
/// # Panics
/// If the name has more than 255 bytes.
pub fn write_sender_report(
    sender: &SenderInfo,
    reports: &[Report],
    cname: &str,
    out: &mut Vec<u8>,
) {
    let (first, more) = reports.split_at(reports.len().min(COUNT_MAX));
    packet(SENDER_REPORT, first.len(), out, |out| {
        word(sender.ssrc, out);
        word((sender.ntp >> 32) as u32, out);
        word(sender.ntp as u32, out);
        word(sender.timestamp, out);
        word(sender.packets, out);
        word(sender.bytes, out);
        blocks(first, out);
    });
    receiver_reports(sender.ssrc, more, out);
    description(sender.ssrc, cname, out);
}

/// Appends what a receiver that sends nothing hears, and its name: RR, more of them above 31 reports, and
/// SDES.
///
/// 8 bytes, 24 a report, and about 12 more than the name.
///
/// # Panics
/// If the name has more than 255 bytes.
pub fn write_receiver_report(ssrc: u32, reports: &[Report], cname: &str, out: &mut Vec<u8>) {
    if reports.is_empty() {
        // A compound begins with a report, be it an empty one.
        packet(RECEIVER_REPORT, 0, out, |out| word(ssrc, out));
    }
    receiver_reports(ssrc, reports, out);
    description(ssrc, cname, out);
}

/// Appends that a source leaves: BYE. It goes into one datagram behind a report, never alone.
///
/// An empty `reason` is left out.
///
/// # Panics
/// If the reason has more than 255 bytes.
pub fn write_bye(ssrc: u32, reason: &str, out: &mut Vec<u8>) {
    packet(GOODBYE, 1, out, |out| {
        word(ssrc, out);
        if !reason.is_empty() {
            text(reason, out);
        }
    });
}

fn receiver_reports(ssrc: u32, reports: &[Report], out: &mut Vec<u8>) {
    for reports in reports.chunks(COUNT_MAX) {
        packet(RECEIVER_REPORT, reports.len(), out, |out| {
            word(ssrc, out);
            blocks(reports, out);
        });
    }
}

fn blocks(reports: &[Report], out: &mut Vec<u8>) {
    for report in reports {
        word(report.ssrc, out);
        let lost = report.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        word(u32::from(report.fraction_lost) << 24 | lost, out);
        word(report.highest_sequence, out);
        word(report.jitter, out);
        word(report.last_sender_report, out);
        word(report.since_last_sender_report, out);
    }
}

fn description(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    packet(SOURCE_DESCRIPTION, 1, out, |out| {
        word(ssrc, out);
        out.push(CNAME);
        text(cname, out);
        // The end of the items; more zeros fill the last word.
        out.push(0);
    });
}

/// One packet: its header, what `body` appends, and zeros up to a whole word.
fn packet(kind: u8, count: usize, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[VERSION << 6 | count as u8, kind, 0, 0]);
    body(out);
    let length = (out.len() - begin).next_multiple_of(4);
    out.resize(begin + length, 0);
    let words = (length / 4 - 1) as u16;
    out[begin + 2..begin + 4].copy_from_slice(&words.to_be_bytes());
}

fn word(word: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn text(text: &str, out: &mut Vec<u8>) {
    assert!(
        text.len() <= TEXT_BYTES_MAX,
        "a text in RTCP has up to {TEXT_BYTES_MAX} bytes, not {}",
        text.len()
    );
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}
