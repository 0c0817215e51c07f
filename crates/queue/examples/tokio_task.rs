//! The pool in an async task: tokio watches the consumer's descriptor, and the task runs a pass for each wake.
//!
//! Run it with `cargo run --package mixpool-queue --example tokio_task`.

use std::{error::Error, thread, time::Duration};

use mixpool_queue::{Drained, Pool, Producer};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Builder,
};

const PRODUCERS: u64 = 3;
const MESSAGES: u32 = 200;

/// Messages of one ring before the next has its turn, so that no ring starves the others.
const BATCH: usize = 32;

fn publish_for_a_while(mut producer: Producer) {
    for number in 0..MESSAGES {
        let _ = producer.publish(&number.to_ne_bytes());
        thread::sleep(Duration::from_micros(300));
    }
}

/// Reads until every lease was released; returns how many messages came.
async fn read_all(mut pool: AsyncFd<mixpool_queue::Consumer>) -> Result<u64, Box<dyn Error>> {
    let (mut messages, mut released) = (0, 0);
    while released < PRODUCERS {
        let mut ready = pool.readable_mut().await?;
        let consumer = ready.get_inner_mut();
        while let Some(lease) = consumer.next_ready() {
            if consumer.drain(lease, BATCH, |_message| messages += 1)? == Drained::Closed {
                consumer.release(lease)?;
                released += 1;
            }
        }
        // The pass ended with `None`, so the descriptor becomes readable again at the next message. If it already
        // has, tokio knows that this readiness is another, and keeps it.
        ready.clear_ready();
    }
    Ok(messages)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (pool, consumer) = Pool::builder().slots(3).ring_bytes(1 << 16).build()?;
    let mut threads = Vec::new();
    for _ in 0..PRODUCERS {
        let producer = pool.acquire()?;
        threads.push(thread::spawn(move || publish_for_a_while(producer)));
    }
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let messages = runtime.block_on(async {
        // SAFETY: the consumer's descriptor is the same one for as long as the pool lives, and it alone closes it.
        let pool = unsafe { AsyncFd::register_with_interest(consumer, Interest::READABLE) };
        read_all(pool.map_err(|refused| refused.into_parts().1)?).await
    })?;
    for thread in threads {
        thread.join().expect("a publisher does not panic");
    }
    let stats = pool.stats();
    println!(
        "{messages} messages for {} wakes; {} dropped",
        stats.wakes, stats.dropped.messages
    );
    assert_eq!(
        messages + stats.dropped.messages,
        PRODUCERS * u64::from(MESSAGES)
    );
    Ok(())
}
