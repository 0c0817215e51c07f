//! One ring: the right to touch each byte, read by a consumer that polls, in a pool without fences, so
//! that nothing but the positions orders what they must.

use loom::thread;

use super::{
    Barrier, Consumer, LeaseId, Pool, Producer, model, number, pool_with, publish, publish_numbers,
    take,
};

/// In a pool without fences.
fn leased() -> (Pool, Consumer, Producer) {
    super::leased(Barrier::ArmingSide)
}

/// A full ring of two messages, and a thread that publishes a third if it finds room: that needs the
/// space of the first, across the seam of the ring.
fn two_waiting_and_a_third() -> (Consumer, LeaseId, thread::JoinHandle<bool>) {
    let (_pool, consumer, mut producer) = leased();
    let lease = producer.lease();
    publish_numbers(&mut producer, 2);
    let publisher = thread::spawn(move || publish(&mut producer, 3));
    (consumer, lease, publisher)
}

#[test]
fn a_message_is_seen_whole_or_not_at_all() {
    model(|| {
        let (_pool, mut consumer, mut producer) = leased();
        let lease = producer.lease();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 2));
        let early = [take(&mut consumer, lease), take(&mut consumer, lease)];
        let expected = match early {
            [None, None] => vec![1, 2],
            [None, Some(1)] | [Some(1), None] => vec![2],
            [Some(1), Some(2)] => vec![],
            other => panic!("{other:?}"),
        };
        assert_eq!(publisher.join().unwrap(), 0);
        let late: Vec<_> = std::iter::from_fn(|| take(&mut consumer, lease)).collect();
        assert_eq!(late, expected);
    });
}

#[test]
fn a_messages_space_is_reused_only_after_its_ack() {
    model(|| {
        let (mut consumer, lease, publisher) = two_waiting_and_a_third();
        assert_eq!(take(&mut consumer, lease), Some(1));
        assert_eq!(take(&mut consumer, lease), Some(2));
        let published = publisher.join().unwrap();
        assert_eq!(take(&mut consumer, lease), published.then_some(3));
        assert!(consumer.is_finished(lease).unwrap());
    });
}

#[test]
fn a_batchs_space_is_reused_only_after_its_ack() {
    model(|| {
        let (mut consumer, lease, publisher) = two_waiting_and_a_third();
        // Given back unread, it comes again.
        assert_eq!(consumer.get_batch(lease, 1).unwrap().len(), 1);
        let batch = consumer.get_batch(lease, 2).unwrap();
        let numbers: Vec<_> = batch.iter().map(number).collect();
        assert_eq!(numbers, [1, 2]);
        batch.ack();
        let published = publisher.join().unwrap();
        assert_eq!(take(&mut consumer, lease), published.then_some(3));
    });
}

#[test]
fn a_batch_that_meets_commits_is_a_whole_number_of_messages() {
    model(|| {
        let (_pool, mut consumer, mut producer) = leased();
        let lease = producer.lease();
        let publisher = thread::spawn(move || publish_numbers(&mut producer, 2));
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let batch = consumer.get_batch(lease, 2).unwrap();
            numbers.extend(batch.iter().map(number));
            batch.ack();
        }
        assert_eq!(publisher.join().unwrap(), 0);
        numbers.extend(take(&mut consumer, lease));
        numbers.extend(take(&mut consumer, lease));
        assert_eq!(numbers, [1, 2]);
    });
}

#[test]
fn an_abandoned_or_truncated_reservation_keeps_waiting_bytes() {
    model(|| {
        let (_pool, mut consumer, mut producer) = leased();
        let lease = producer.lease();
        publish_numbers(&mut producer, 1);
        let publisher = thread::spawn(move || {
            // 24 bytes with its header: more than is free beside the first message.
            let abandoned = producer.reserve(16).map(|mut bytes| bytes.fill(0xff));
            let truncated = producer.reserve(16).map(|mut bytes| {
                bytes.truncate(8);
                bytes.copy_from_slice(&2_u64.to_ne_bytes());
                bytes.commit();
            });
            (abandoned.is_ok(), truncated.is_ok())
        });
        assert_eq!(take(&mut consumer, lease), Some(1));
        let early = take(&mut consumer, lease);
        let (abandoned, truncated) = publisher.join().unwrap();
        assert!(truncated || !abandoned, "room that was found stays");
        let second = early.or_else(|| take(&mut consumer, lease));
        assert_eq!(second, truncated.then_some(2));
        assert!(consumer.is_finished(lease).unwrap());
    });
}

#[test]
fn losses_are_told_in_the_next_message_and_counted() {
    model(|| {
        let (pool, mut consumer, mut producer) = leased();
        let lease = producer.lease();
        publish_numbers(&mut producer, 2);
        let publisher = thread::spawn(move || {
            let dropped = [3, 4].map(|number| !publish(&mut producer, number));
            dropped.into_iter().filter(|&dropped| dropped).count() as u64
        });
        let mut told = 0;
        let mut last = 0;
        let mut hear = |consumer: &mut Consumer| {
            let waiting = consumer.waiting(lease).unwrap().messages;
            assert!(waiting <= 2, "two fill the ring: {waiting}");
            if let Some(message) = consumer.get(lease).unwrap() {
                let lost = u64::from(message.dropped_before());
                assert_eq!(number(&message), last + lost + 1);
                (last, told) = (number(&message), told + lost);
                message.ack();
            }
        };
        (0..2).for_each(|_| hear(&mut consumer));
        let dropped = publisher.join().unwrap();
        (0..2).for_each(|_| hear(&mut consumer));
        assert_eq!(
            told + (4 - last),
            dropped,
            "told, or after the last message"
        );
        let stats = pool.lease_stats(lease).unwrap();
        assert_eq!(stats.dropped.messages, dropped);
        assert_eq!(stats.published.messages + dropped, 4);
        assert_eq!(stats.got, stats.published);
    });
}

#[test]
fn a_ring_closed_and_empty_stays_so_with_final_counts() {
    model(|| {
        let (pool, mut consumer, mut producer) = leased();
        let lease = producer.lease();
        let publisher = thread::spawn(move || {
            publish_numbers(&mut producer, 1);
            producer.count_drop(8);
        });
        let early = take(&mut consumer, lease);
        if !consumer.is_finished(lease).unwrap() {
            publisher.join().unwrap();
            let late = take(&mut consumer, lease);
            assert_eq!(early.or(late), Some(1));
            assert!(consumer.is_finished(lease).unwrap());
            return;
        }
        // Finished by the ring's word alone: no thread was joined.
        assert_eq!(early, Some(1), "a message was still to come");
        consumer.release(lease).unwrap();
        let stats = pool.stats();
        let counts = [stats.published, stats.dropped, stats.got].map(|count| count.messages);
        assert_eq!(counts, [1, 1, 1]);
        publisher.join().unwrap();
    });
}

#[test]
fn a_producer_outlives_its_consumer() {
    model(|| {
        let (pool, consumer) = pool_with(2, Barrier::ArmingSide);
        let mut producer = pool.acquire().unwrap();
        let again = pool.clone();
        let publisher = thread::spawn(move || {
            let _late = again.acquire(); // refused or not: the consumer is going
            publish_numbers(&mut producer, 3)
        });
        drop(consumer);
        assert_eq!(publisher.join().unwrap(), 1);
        assert!(pool.acquire().is_err());
    });
}
