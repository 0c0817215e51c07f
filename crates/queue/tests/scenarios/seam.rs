//! The seam, where a ring's memory ends and begins again: a message that crosses it is written and
//! read as one slice, and what was written through one of the two views is there in the other.
//!
//! One byte at two addresses is what no model covers, so this is tried on the real mapping, from
//! every start at every length that crosses. Run it in release too (`cargo test --release --package mixpool-queue
//! --test scenarios seam::`): there the compiler has most to say about what it takes for unaliased memory.

use crate::support::{PAGE, Random, pool, ring_space};
use mixpool_queue::{Consumer, LeaseId, Pool, Producer};

/// Bytes of a record before its payload.
const HEADER: usize = 8;

/// A ring of one page with a known start of its next record.
struct Ring {
    _pool: Pool,
    consumer: Consumer,
    producer: Producer,
    lease: LeaseId,
    start: usize,
}

impl Ring {
    fn new() -> Self {
        let (pool, consumer) = pool(1, PAGE);
        let producer = pool.acquire().unwrap();
        Self {
            lease: producer.lease(),
            _pool: pool,
            consumer,
            producer,
            start: 0,
        }
    }

    /// Publishes what `fill` makes of the space that was there, and acks it once `check` has seen it
    /// at the consumer.
    fn cross(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), check: impl FnOnce(&[u8])) {
        self.producer.publish_with(len, fill).unwrap();
        let message = self.consumer.get(self.lease).unwrap().unwrap();
        assert_eq!(message.len(), len);
        check(&message);
        message.ack();
        self.start = (self.start + ring_space(len) as usize) % PAGE;
    }

    /// Moves the start of the next record here, by one message of zeros.
    fn go_to(&mut self, start: usize) {
        if self.start != start {
            let way = (start + PAGE - self.start) % PAGE;
            self.cross(way - HEADER, |bytes| bytes.fill(0), |_| ());
        }
    }

    /// The bytes in the space of a message of `len` bytes, through the view where it would start.
    fn peek(&mut self, len: usize) -> Vec<u8> {
        self.producer.reserve(len).unwrap().to_vec()
    }
}

fn noise(seed: u64) -> Vec<u8> {
    let mut random = Random::seeded(seed);
    (0..2 * PAGE).map(|_| random.next() as u8).collect()
}

#[test]
fn a_message_of_any_start_and_length_crosses_the_seam_whole() {
    let mut ring = Ring::new();
    let noise = noise(1);
    let message_max = ring.producer.message_max();
    assert_eq!(message_max, PAGE - HEADER);
    let mut crossed = 0;
    for start in (0..PAGE).step_by(8) {
        // The shortest has one byte behind the seam. From the last start, all that has any.
        for len in PAGE - start - HEADER + 1..=message_max {
            ring.go_to(start);
            // Another window each time, so that no message is like the one before it.
            let content = &noise[crossed % PAGE..][..len];
            let fill = |bytes: &mut [u8]| bytes.copy_from_slice(content);
            ring.cross(len, fill, |message| {
                assert!(message == content, "{len} bytes from {start}");
            });
            crossed += 1;
        }
    }
    assert_eq!(crossed, (8..PAGE).step_by(8).sum::<usize>());
}

#[test]
fn both_views_show_the_same_bytes_from_every_start() {
    let mut ring = Ring::new();
    let (noise, message_max) = (noise(2), PAGE - HEADER);
    for start in (8..PAGE).step_by(8) {
        // Through the second view: what lies behind the seam, up to where the message began.
        ring.go_to(start);
        let len = message_max;
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&noise[..len]);
        ring.cross(len, fill, |_| ());
        assert_eq!(ring.start, start);
        // Through the first view: a record at the ring's beginning. Its header, and what went before
        // to get here, lie over the rest.
        ring.go_to(0);
        let behind = PAGE - start - HEADER..len;
        let seen = ring.peek(message_max);
        assert_eq!(
            seen[..start - HEADER],
            noise[behind][HEADER..],
            "from {start}"
        );

        // And the other way: written at the beginning, read by a record that starts before the seam.
        let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&noise[start..][..start - HEADER]);
        ring.cross(start - HEADER, fill, |_| ());
        assert_eq!(ring.start, start);
        let seen = ring.peek(message_max);
        let behind = &seen[PAGE - start - HEADER..];
        assert_eq!(
            behind[HEADER..],
            noise[start..][..start - HEADER],
            "before {start}"
        );
        assert_eq!(behind[..HEADER], u64::to_ne_bytes(start as u64 - 8));
    }
}
