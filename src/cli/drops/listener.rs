//! What the consumer finds out about one producer's ring from its messages alone.

use super::{message, sizes::record_bytes};

/// Checks each message of one lease, and counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listener {
    /// Whose messages these must be.
    producer: u32,
    ring_bytes: u64,
    /// Ring space of the messages so far. A dropped message takes none and a fresh pool starts at
    /// 0, so this is where the next record starts.
    position: u64,
    /// The sequence that comes next if nothing is dropped: one more than the last that came.
    pub(super) sequence_next: u64,
    pub(super) received_messages: u64,
    pub(super) received_bytes: u64,
    /// The checksum is wrong.
    pub(super) checksum_errors: u64,
    /// Another producer's, or not after its predecessor.
    pub(super) misplaced_messages: u64,
    /// Missing between two that came, or before the first.
    pub(super) gap_messages: u64,
    /// Messages whose header told another count of drops than the sequence.
    pub(super) misannounced_gaps: u64,
    /// Passed the end of the ring, and were read in one piece.
    pub(super) straddled_messages: u64,
}

impl Listener {
    pub(super) fn new(producer: u32, ring_bytes: usize) -> Self {
        Self {
            producer,
            ring_bytes: ring_bytes as u64,
            ..Self::default()
        }
    }

    pub(super) fn producer(&self) -> u32 {
        self.producer
    }

    /// Takes note of the next message and of the drops that its header announces.
    pub(super) fn hear(&mut self, message: &[u8], dropped_before: u32) {
        self.received_messages += 1;
        self.received_bytes += message.len() as u64;
        let straddles = self.advance(message.len() as u64);
        // What a wrong message says of itself is worth nothing.
        let Some(mark) = message::check(message) else {
            self.checksum_errors += 1;
            return;
        };
        if mark.producer != self.producer || mark.sequence < self.sequence_next {
            self.misplaced_messages += 1;
            return;
        }
        self.straddled_messages += u64::from(straddles);
        let gap = mark.sequence - self.sequence_next;
        self.gap_messages += gap;
        // The header's count stays at its largest beyond.
        let announced = u32::try_from(gap).unwrap_or(u32::MAX);
        self.misannounced_gaps += u64::from(announced != dropped_before);
        self.sequence_next = mark.sequence + 1;
    }

    /// Moves on by one record; whether its message had bytes on both sides of the ring's end. (A
    /// header never has: records start at multiples of 8.)
    fn advance(&mut self, message_bytes: u64) -> bool {
        let header_bytes = record_bytes(0);
        let start = (self.position + header_bytes) % self.ring_bytes;
        self.position += record_bytes(message_bytes);
        start + message_bytes > self.ring_bytes
    }

    /// Ring space of the messages that came, headers and padding included.
    pub(super) fn ring_space_bytes(&self) -> u64 {
        self.position
    }

    /// Dropped after the last message that came, of `offered` in all.
    pub(super) fn tail_drop_messages(&self, offered: u64) -> u64 {
        offered.saturating_sub(self.sequence_next)
    }
}

#[cfg(test)]
mod tests {
    use mixpool::queue::Pool;

    use super::*;
    use crate::cli::drops::message::PayloadBlock;

    fn message(producer: u32, sequence: u64) -> Vec<u8> {
        let mut message = vec![0; 40];
        PayloadBlock::new(1).write(&mut message, producer, sequence, 0);
        message
    }

    #[test]
    fn gaps_before_between_and_after_messages_are_counted() {
        let mut listener = Listener::new(3, 4096);
        listener.hear(&message(3, 2), 2);
        listener.hear(&message(3, 3), 0);
        listener.hear(&message(3, 10), 6);
        assert_eq!((listener.gap_messages, listener.misannounced_gaps), (8, 0));
        assert_eq!(listener.tail_drop_messages(15), 4);
    }

    #[test]
    fn each_kind_of_wrong_message_is_reported() {
        let mut listener = Listener::new(3, 4096);
        let mut wrong = message(3, 0);
        wrong[20] ^= 1;
        listener.hear(&wrong, 0);
        assert_eq!(listener.checksum_errors, 1);
        listener.hear(&message(4, 0), 0);
        listener.hear(&message(3, 0), 0);
        listener.hear(&message(3, 0), 0);
        assert_eq!(listener.misplaced_messages, 2);
        listener.hear(&message(3, 5), 3);
        assert_eq!(listener.misannounced_gaps, 1);
        assert_eq!(listener.received_messages, 5);
    }

    #[test]
    fn where_a_message_lies_is_where_the_ring_put_it() {
        let (pool, mut consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let mut producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let mut listener = Listener::new(0, 4096);
        let mut base = None;
        for sequence in 0..500 {
            let mut bytes = vec![0; 16 + sequence as usize * 7 % 1000];
            PayloadBlock::new(1).write(&mut bytes, 0, sequence, sequence);
            producer.publish(&bytes).unwrap();

            let message = consumer.get(lease).unwrap().unwrap();
            let address = message.as_ptr().addr();
            // The first message follows the header at the ring's start.
            let offset = address - *base.get_or_insert(address - 8);
            assert_eq!(offset as u64, (listener.position + 8) % 4096);
            let before = listener.straddled_messages;
            listener.hear(&message, 0);
            let passes_the_end = offset + message.len() > 4096;
            assert_eq!(listener.straddled_messages > before, passes_the_end);
            message.ack();
        }
        assert!(listener.straddled_messages > 50);
    }
}
