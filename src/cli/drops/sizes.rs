//! Message sizes: the range they are drawn from, and the ring space they take.

use std::fmt;

use anyhow::{Result, bail};

use crate::cli::units;

/// What a message carries before its payload: see [`message`](super::message).
pub(super) const MESSAGE_BYTES_MIN: usize = super::message::HEADER_BYTES;

/// Bytes of a record before its message.
const RECORD_HEADER_BYTES: u64 = 8;

/// Ring space of a message: a header of 8 bytes, the message, padding to 8.
pub(super) const fn record_bytes(message_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + message_bytes.next_multiple_of(8)
}

/// Sizes of messages, in bytes, each as likely as the others: `64..1024` (both included) or `320`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageSizes {
    pub(super) min: usize,
    pub(super) max: usize,
}

impl MessageSizes {
    /// The size that a uniformly random number stands for. Without a division: it is drawn for each
    /// message, the dropped ones included.
    pub(super) fn pick(self, random: u64) -> usize {
        let choices = (self.max - self.min) as u128 + 1;
        self.min + ((u128::from(random) * choices) >> 64) as usize
    }
}

impl fmt::Display for MessageSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}..{}", self.min, self.max)
        }
    }
}

/// `64..1024`, `64..1KiB`, `320`.
pub(super) fn parse(text: &str) -> Result<MessageSizes> {
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (units::bytes(min.trim())?, units::bytes(max.trim())?),
        None => (units::bytes(text)?, units::bytes(text)?),
    };
    if min > max {
        bail!("the smallest message, {min} bytes, exceeds the largest, {max}; write 64..1024");
    }
    if min < MESSAGE_BYTES_MIN {
        bail!(
            "a message of {min} bytes has no room for its number and checksum; \
             {MESSAGE_BYTES_MIN} bytes is the least"
        );
    }
    Ok(MessageSizes { min, max })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_or_a_range_of_sizes_is_read() {
        assert_eq!(
            parse("64..1KiB").unwrap(),
            MessageSizes { min: 64, max: 1024 }
        );
        assert_eq!(parse("320").unwrap(), MessageSizes { min: 320, max: 320 });
    }

    #[test]
    fn a_range_that_no_message_fits_is_refused() {
        for text in [
            "", "..", "64..", "..64", "0", "15", "8..64", "100..99", "64..x", "1..2..3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_is_a_header_the_message_and_padding_to_8() {
        assert_eq!([0, 1, 8, 9].map(record_bytes), [8, 16, 16, 24]);
    }

    proptest! {
        #[test]
        fn a_range_is_read_exactly_if_and_only_if_its_ends_are_in_order(
            min in MESSAGE_BYTES_MIN..1 << 33,
            max in MESSAGE_BYTES_MIN..1 << 33,
        ) {
            match parse(&format!("{min}..{max}")) {
                Ok(sizes) => prop_assert_eq!(sizes, MessageSizes { min, max }),
                Err(_) => prop_assert!(min > max),
            }
        }

        #[test]
        fn what_is_shown_is_read_back(min in MESSAGE_BYTES_MIN..5000_usize, more in 0_usize..5000) {
            let sizes = MessageSizes { min, max: min + more };
            prop_assert_eq!(parse(&sizes.to_string()).unwrap(), sizes);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.KMi xe-]{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_size_picked_lies_in_the_range(min in 16_usize..1 << 33, more in 0_usize..1 << 33, random: u64) {
            let sizes = MessageSizes { min, max: min + more };
            prop_assert!((min..=sizes.max).contains(&sizes.pick(random)));
            prop_assert_eq!(sizes.pick(0), min);
            prop_assert_eq!(sizes.pick(u64::MAX), sizes.max);
        }
    }
}
