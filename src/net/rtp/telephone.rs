//! Keys that are pressed: each once, however many packets tell of it (RFC 4733).
//!
//! A press is reported by packets with the timestamp of its beginning, every 20 to 50 ms while it lasts,
//! and its end three times over. A press that lasts longer than its 16 bits of duration goes on under
//! another timestamp.

/// Follows one sender's presses.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    last: Option<Press>,
}

#[derive(Debug, Clone, Copy)]
struct Press {
    event: u8,
    timestamp: u32,
    duration: u16,
    ended: bool,
}

impl Presses {
    /// A packet of telephone events. Returns the event if this packet is the first to report it. Bytes
    /// that are no event report none.
    pub(crate) fn take(&mut self, timestamp: u32, payload: &[u8]) -> Option<u8> {
        let (&[event, flags, d0, d1], _) = payload.split_first_chunk()?;
        let duration = u16::from_be_bytes([d0, d1]);
        let ended = flags & 0x80 != 0;
        let now = Press {
            event,
            timestamp,
            duration,
            ended,
        };
        let Some(last) = &mut self.last else {
            self.last = Some(now);
            return Some(event);
        };
        if timestamp == last.timestamp {
            last.duration = last.duration.max(duration);
            last.ended |= ended;
            return None;
        }
        let ahead = timestamp.wrapping_sub(last.timestamp);
        if ahead as i32 <= 0 {
            // An earlier press, late.
            return None;
        }
        let goes_on = !last.ended && event == last.event && ahead == u32::from(last.duration);
        *last = now;
        (!goes_on).then_some(event)
    }
}

/// How an event is written in reports: `dtmf 5`, or `telephone-event 16` if it is no key.
pub(crate) fn name(event: u8) -> String {
    const KEYS: &[u8; 16] = b"0123456789*#ABCD";
    match KEYS.get(usize::from(event)) {
        Some(&key) => format!("dtmf {}", char::from(key)),
        None => format!("telephone-event {event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: u8, ended: bool, duration: u16) -> [u8; 4] {
        let [d0, d1] = duration.to_be_bytes();
        [event, 0x0a | u8::from(ended) << 7, d0, d1]
    }

    #[test]
    fn a_press_is_told_once_by_whichever_packet_comes_first() {
        let mut presses = Presses::default();
        let mut told = Vec::new();
        // The first packets of the second press are lost.
        for (timestamp, ended, duration) in [
            (1000, false, 160),
            (1000, false, 320),
            (1000, true, 480),
            (1000, true, 480),
            (1000, true, 480),
            (2000, true, 480),
            (2000, true, 480),
            // Reordered: of the first press.
            (1000, true, 480),
        ] {
            told.extend(presses.take(timestamp, &event(5, ended, duration)));
        }
        assert_eq!(told, [5, 5]);
    }

    #[test]
    fn the_same_key_twice_is_two_presses_and_a_long_press_is_one() {
        let mut presses = Presses::default();
        assert_eq!(presses.take(0, &event(1, false, 65_535)), Some(1));
        assert_eq!(presses.take(65_535, &event(1, false, 160)), None);
        assert_eq!(presses.take(65_535, &event(1, true, 320)), None);
        assert_eq!(presses.take(65_855, &event(1, false, 160)), Some(1));
        // Another key at once.
        assert_eq!(presses.take(66_015, &event(2, false, 160)), Some(2));
    }

    #[test]
    fn presses_go_on_over_the_wrap_of_the_timestamp() {
        let mut presses = Presses::default();
        assert_eq!(presses.take(u32::MAX - 10, &event(1, true, 160)), Some(1));
        assert_eq!(presses.take(500, &event(1, true, 160)), Some(1));
        assert_eq!(presses.take(u32::MAX - 10, &event(1, true, 160)), None);
    }

    #[test]
    fn bytes_that_are_no_event_tell_of_none() {
        let mut presses = Presses::default();
        for payload in [&b""[..], &[1], &[1, 2, 3]] {
            assert_eq!(presses.take(0, payload), None);
        }
        assert_eq!(presses.take(0, &[11, 0x80, 0, 0, 9, 9]), Some(11));
    }

    #[test]
    fn keys_have_the_names_that_are_on_them() {
        let names: Vec<_> = [0, 9, 10, 11, 12, 15, 16].map(name).into();
        let expected = [
            "dtmf 0",
            "dtmf 9",
            "dtmf *",
            "dtmf #",
            "dtmf A",
            "dtmf D",
            "telephone-event 16",
        ];
        assert_eq!(names, expected);
    }
}
