//! One stream on its way into its ring: frames in order, numbered, counted.

use std::sync::Arc;

use crate::{
    audio::{Format, FrameKind, FrameMut, frame::frame_bytes},
    ledger::{Account, StreamState},
    queue::{LeaseId, Producer},
};

/// The ingest side of one stream: a ring to publish to and the account to count in. Dropping it
/// closes the ring, and the mixer ends the stream when it has played its ring.
#[derive(Debug)]
pub struct Stream {
    producer: Producer,
    account: Arc<Account>,
    channels: u64,
    /// The next frame's first sample, and its number among all that were offered.
    media_time: u64,
    sequence: u32,
    /// Where a frame goes that the ring refused.
    refused: Box<[i16]>,
}

/// The outcome of one offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is in the ring.
    Published,
    /// The ring was full: dropped, and counted.
    Dropped,
    /// There was none: the source has ended.
    Ended,
}

impl Stream {
    /// A stream of frames of at most `frame_samples` per channel. Allocates.
    pub fn new(
        producer: Producer,
        account: Arc<Account>,
        format: Format,
        frame_samples: usize,
    ) -> Self {
        let samples = frame_samples * usize::from(format.channels());
        Self {
            producer,
            account,
            channels: u64::from(format.channels()),
            media_time: 0,
            sequence: 0,
            refused: vec![0; samples].into(),
        }
    }

    /// The stream's ring.
    pub fn lease(&self) -> LeaseId {
        self.producer.lease()
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        self.account.id()
    }

    /// Whether it is ended by command: its source drops it then, which closes the ring. Costs a load.
    pub fn is_ending(&self) -> bool {
        self.account.state() == StreamState::Ending
    }

    /// Whether the next frame fits the ring now. If it does, [`offer`](Self::offer) publishes it.
    pub fn has_room(&mut self) -> bool {
        self.producer.has_room(frame_bytes(self.refused.len()))
    }

    /// Whether anything that was published still waits in the ring.
    pub fn is_filled(&self) -> bool {
        self.producer.stats().filled_bytes > 0
    }

    /// Offers the next frame, which `read` writes: in place and published, or, if the ring is full, read
    /// all the same, dropped and counted. `read` returns how many samples it wrote; 0 at the end. Never
    /// waits for room. Allocates nothing; enters the kernel only as `read` does, or to wake the mixer.
    ///
    /// # Errors
    /// The errors of `read`; the stream is as before the call.
    ///
    /// # Panics
    /// Never: a reservation is aligned and as long as its frame.
    pub fn offer<E>(
        &mut self,
        read: impl FnOnce(&mut [i16]) -> Result<usize, E>,
    ) -> Result<Offered, E> {
        let Self {
            producer,
            account,
            refused,
            ..
        } = self;
        let (samples, offered) =
            if let Ok(mut reservation) = producer.reserve(frame_bytes(refused.len())) {
                let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
                let samples = read(frame.samples_mut())?;
                if samples == 0 {
                    return Ok(Offered::Ended);
                }
                reservation.truncate(frame_bytes(samples));
                let frame = FrameMut::new(&mut reservation).expect(ALIGNED);
                frame.seal(self.media_time, self.sequence);
                account.offer(samples as u64);
                reservation.commit();
                account.settle();
                (samples, Offered::Published)
            } else {
                let samples = read(refused)?;
                if samples == 0 {
                    return Ok(Offered::Ended);
                }
                account.offer(samples as u64);
                producer.count_drop(frame_bytes(samples));
                account.settle_dropped(samples as u64);
                (samples, Offered::Dropped)
            };
        self.media_time += samples as u64 / self.channels;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(offered)
    }

    /// Publishes interleaved samples that belong at `at`, an index per channel: for a stream on the
    /// mix's own clock ([`MixClock`](crate::audio::MixClock)). Drops them, counted, if the ring is full.
    /// Samples of the sender are offered; concealment is in no term of the equation. Never waits or
    /// allocates; enters the kernel only to wake the mixer.
    ///
    /// # Panics
    /// Never: a reservation is aligned and as long as its frame.
    pub fn place(&mut self, at: u64, kind: FrameKind, samples: &[i16]) -> Offered {
        let Self {
            producer, account, ..
        } = self;
        let (bytes, count) = (frame_bytes(samples.len()), samples.len() as u64);
        let offered = if let Ok(mut reservation) = producer.reserve(bytes) {
            let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
            frame.samples_mut().copy_from_slice(samples);
            frame.seal_as(kind, at, self.sequence);
            match kind {
                FrameKind::Audio => account.offer(count),
                FrameKind::Concealment => account.fill(count),
            }
            reservation.commit();
            account.settle();
            Offered::Published
        } else {
            producer.count_drop(bytes);
            if kind == FrameKind::Audio {
                account.offer(count);
                account.settle_dropped(count);
            }
            Offered::Dropped
        };
        self.sequence = self.sequence.wrapping_add(1);
        offered
    }

    /// The stream's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

const ALIGNED: &str = "a message starts at a multiple of 8 and is as long as its frame";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::Frame,
        queue::{Consumer, Pool},
    };

    /// Counts up; at its end it fails if `fails` is set.
    struct Ramp {
        next: i16,
        end: i16,
        fails: bool,
    }

    /// Why a [`Ramp`] fails.
    #[derive(Debug)]
    struct Failed;

    impl Ramp {
        fn read(&mut self, out: &mut [i16]) -> Result<usize, Failed> {
            let count = out.len().min((self.end - self.next) as usize);
            out.iter_mut()
                .zip(self.next..self.end)
                .for_each(|(out, sample)| *out = sample);
            self.next += count as i16;
            if count == 0 && self.fails {
                return Err(Failed);
            }
            Ok(count)
        }
    }

    fn stream(channels: u16) -> (Stream, Arc<Account>, Consumer) {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let account = Arc::new(Account::new("ramp"));
        let format = Format::new(8000, channels).unwrap();
        let stream = Stream::new(pool.acquire().unwrap(), Arc::clone(&account), format, 100);
        (stream, account, consumer)
    }

    /// Media time, sequence and samples of the oldest frame, which is acked.
    fn take(consumer: &mut Consumer, lease: LeaseId) -> (u64, u32, Vec<i16>) {
        let message = consumer.get(lease).unwrap().unwrap();
        let frame = Frame::parse(&message).unwrap();
        assert!(frame.checksum_ok());
        let taken = (
            frame.media_time(),
            frame.sequence(),
            frame.samples().to_vec(),
        );
        message.ack();
        taken
    }

    #[test]
    fn frames_are_contiguous_and_only_the_last_is_short() {
        for channels in [1, 2] {
            let (mut stream, account, mut consumer) = stream(channels);
            let len = 100 * channels as i16;
            let mut ramp = Ramp {
                next: 0,
                end: 2 * len + 50,
                fails: false,
            };
            let offered: Vec<_> = (0..5)
                .map(|_| stream.offer(|out| ramp.read(out)).unwrap())
                .collect();
            assert_eq!(offered[..3], [Offered::Published; 3]);
            assert_eq!(offered[3..], [Offered::Ended; 2]);
            let lease = stream.lease();
            assert_eq!(take(&mut consumer, lease), (0, 0, (0..len).collect()));
            assert_eq!(
                take(&mut consumer, lease),
                (100, 1, (len..2 * len).collect())
            );
            let last = (2 * len..2 * len + 50).collect();
            assert_eq!(take(&mut consumer, lease), (200, 2, last));
            assert_eq!(account.read().offered, 2 * len as u64 + 50);
        }
    }

    #[test]
    fn a_full_ring_drops_the_frame_but_keeps_its_time_and_number() {
        let (mut stream, account, mut consumer) = stream(1);
        let mut ramp = Ramp {
            next: 0,
            end: i16::MAX,
            fails: false,
        };
        let mut published = 0;
        while stream.has_room() {
            assert_eq!(
                stream.offer(|out| ramp.read(out)).unwrap(),
                Offered::Published
            );
            published += 1;
        }
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Dropped
        );
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Dropped
        );
        let lease = stream.lease();
        for _ in 0..published {
            take(&mut consumer, lease);
        }
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Published
        );
        let number = published + 2;
        let first = number as i16 * 100;
        let expected = (
            u64::from(number) * 100,
            number,
            (first..first + 100).collect(),
        );
        assert_eq!(take(&mut consumer, lease), expected);
        let entry = account.read();
        assert_eq!(
            (entry.offered, entry.dropped_full),
            (u64::from(number + 1) * 100, 200)
        );
    }

    #[test]
    fn a_source_that_fails_leaves_nothing_half_published() {
        let (mut stream, account, mut consumer) = stream(1);
        let mut ramp = Ramp {
            next: 0,
            end: 100,
            fails: true,
        };
        assert_eq!(
            stream.offer(|out| ramp.read(out)).unwrap(),
            Offered::Published
        );
        assert!(stream.offer(|out| ramp.read(out)).is_err());
        let lease = stream.lease();
        take(&mut consumer, lease);
        assert!(consumer.get(lease).unwrap().is_none());
        account.count(crate::ledger::Fate::Mixed, 100);
        assert_eq!(account.check(|| 0), Ok(crate::ledger::Checked::Holds));
    }
}
