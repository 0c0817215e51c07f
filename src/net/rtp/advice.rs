//! Advice for the log: what to do about packets that are not read as they were meant.

use crate::{
    audio::Codec,
    wire::{
        payload::{AudioPayload, names, static_name},
        rtp::Packet,
    },
};

/// Longest payload that may be comfort noise: a level and ten coefficients (RFC 3389).
const COMFORT_NOISE_BYTES_MAX: usize = 11;

/// The highest event that a telephone has: digits, `*`, `#`, A to D, flash (RFC 4733).
const TELEPHONE_EVENT_MAX: u8 = 16;

/// Rates that senders have, in Hz.
const RATES_HZ: [u64; 10] = [
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000,
];

/// The remedy for packets of a type that stands for nothing here.
pub(super) fn undecoded(packet: &Packet<'_>) -> String {
    let number = packet.payload_type;
    // Types 64 to 95 cannot be named: they look like RTCP.
    let open = static_name(number).is_none() && !(64..=95).contains(&number);
    match packet.payload {
        [] => {
            "it is empty, as packets are that keep a path open: nothing needs to be done".to_owned()
        }
        [0..=TELEPHONE_EVENT_MAX, _, _, _] if open => format!(
            "it looks like a digit: name its type with --rtp ADDR,{number}=telephone-event/8000"
        ),
        [0..=127, ..] if open && packet.payload.len() <= COMFORT_NOISE_BYTES_MAX => {
            format!("it looks like comfort noise: name its type with --rtp ADDR,{number}=CN/8000")
        }
        _ if open => format!(
            "if it is one of {}, name its type with --rtp ADDR,{number}=L16/RATE/CHANNELS; \
             otherwise have the sender use one of these",
            names()
        ),
        _ => format!("have the sender use one of {}", names()),
    }
}

/// The format of packets of this many bytes with this step of time stamps, as `TYPE=FORMAT`, read as
/// `payload` so far. `rate_hz` is measured. Words stand for what is not known.
pub(super) fn format(
    payload_type: u8,
    payload: AudioPayload,
    bytes: usize,
    step: u32,
    rate_hz: u64,
) -> String {
    let rate = RATES_HZ
        .into_iter()
        .find(|&rate| rate.abs_diff(rate_hz) <= rate / 20)
        .map_or_else(|| "RATE".to_owned(), |rate| rate.to_string());
    let whole = step > 0 && bytes.is_multiple_of(step as usize);
    let format = match bytes / step.max(1) as usize {
        1 if whole && payload.codec == Codec::Pcma => format!("PCMA/{rate}/1"),
        1 if whole => format!("PCMU/{rate}/1"),
        2 if whole => format!("L16/{rate}/1"),
        4 if whole => format!("L16/{rate}/2"),
        _ => "NAME/RATE/CHANNELS".to_owned(),
    };
    format!("{payload_type}={format}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Format;

    fn advice(payload_type: u8, payload: &[u8]) -> String {
        undecoded(&Packet {
            marker: false,
            payload_type,
            sequence: 1,
            timestamp: 0,
            ssrc: 1,
            payload,
        })
    }

    #[test]
    fn advice_fits_the_packet() {
        for (payload_type, payload, flag) in [
            (100, &[5, 0x8a, 3, 32][..], "100=telephone-event/8000"),
            (97, &[40], "97=CN/8000"),
            (19, &[40, 1, 2], "19=CN/8000"),
            (98, &[200; 160], "98=L16/RATE/CHANNELS"),
            (98, &[200; 4], "98=L16/RATE/CHANNELS"),
        ] {
            let advice = advice(payload_type, payload);
            assert!(advice.contains(&format!("--rtp ADDR,{flag}")), "{advice}");
        }
        // Types that have a meaning of their own, or cannot be named.
        for (payload_type, payload) in [(18, &[5, 0, 0, 0][..]), (3, &[1; 33]), (70, &[40])] {
            let advice = advice(payload_type, payload);
            assert_eq!(
                advice,
                "have the sender use one of PCMU, PCMA, L16, G722, opus"
            );
        }
        assert!(advice(20, &[]).contains("nothing needs to be done"));
    }

    #[test]
    fn a_format_is_that_of_bytes_and_steps() {
        let l16 = |rate_hz, channels| AudioPayload {
            codec: Codec::L16,
            clock: Format::new(rate_hz, channels).unwrap(),
        };
        for (payload, bytes, step, rate_hz, format) in [
            (l16(44_100, 2), 320, 160, 8_020, "L16/8000/1"),
            (l16(48_000, 1), 192, 48, 47_500, "L16/48000/2"),
            (l16(8_000, 1), 160, 160, 8_000, "PCMU/8000/1"),
            (l16(44_100, 2), 320, 160, 5_000, "L16/RATE/1"),
            (l16(44_100, 2), 320, 0, 8_000, "NAME/RATE/CHANNELS"),
            (l16(44_100, 2), 33, 160, 8_000, "NAME/RATE/CHANNELS"),
        ] {
            let advised = super::format(10, payload, bytes, step, rate_hz);
            assert_eq!(advised, format!("10={format}"));
        }
    }
}
