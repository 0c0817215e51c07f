//! The queue between two threads: one publishes readings without ever waiting, the other sleeps
//! until there are some. The ring is small and the reader comes late, so that the ring fills: what
//! is dropped is counted, and the reader sees where it is missing.
//!
//! Run it with `cargo run --package mixpool-queue --example two_threads`.

use std::{error::Error, thread, time::Duration};

use mixpool_queue::{Pool, Producer};

const READINGS: u32 = 1_000;

fn measure(mut producer: Producer) {
    for number in 0..READINGS {
        // A message has any size. A full ring refuses at once, and counts it: the thread that
        // measures is never held up by the thread that reads.
        let text = format!("reading {number}");
        let _ = producer.publish(text.as_bytes());
        thread::sleep(Duration::from_micros(20));
    }
    // The producer is dropped here: that closes the ring and wakes the consumer a last time.
}

fn main() -> Result<(), Box<dyn Error>> {
    // All memory is made now: one ring of 4 KiB, which is some hundred and fifty readings.
    let (pool, mut consumer) = Pool::builder().slots(1).ring_bytes(4096).build()?;
    let producer = pool.acquire()?;
    let lease = producer.lease();
    let measuring = thread::spawn(move || measure(producer));

    // Late to work.
    thread::sleep(Duration::from_millis(30));

    let mut heard = 0;
    while !consumer.is_finished(lease)? {
        // Sleeps in epoll until a ring has something; then asks which, until there is none.
        consumer.wait(None)?;
        while let Some(lease) = consumer.next_ready() {
            while let Some(message) = consumer.get(lease)? {
                // In place: the slice is the ring's own memory until the ack returns it.
                if message.dropped_before() > 0 {
                    let text = String::from_utf8_lossy(&message);
                    println!("{} dropped just before {text:?}", message.dropped_before());
                }
                heard += 1;
                message.ack();
            }
            // Empty now: ask to be woken by its next message. If one came in between, arm says no,
            // and the ring is kept for the next pass. `Consumer::drain` does both by itself.
            if !consumer.arm(lease)? {
                consumer.keep_ready(lease)?;
            }
        }
    }
    measuring.join().expect("the measuring thread is well");

    let stats = consumer.lease_stats(lease)?;
    consumer.release(lease)?;
    println!(
        "offered {}, dropped {}, heard {heard}; at most {} of {} bytes were in use",
        stats.offered().messages,
        stats.dropped.messages,
        stats.high_water_bytes,
        stats.capacity_bytes,
    );
    println!("system calls for waking: {}", pool.stats().wakes);
    Ok(())
}
