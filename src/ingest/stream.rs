//! One stream on its way into its ring: frames in order, numbered, counted.

use std::sync::Arc;

use super::source::{Source, SourceError};
use crate::{
    audio::{Format, FrameMut, frame::frame_bytes},
    ledger::Account,
    queue::{LeaseId, Producer},
};

/// The ingest side of one stream: a ring to publish to and the account to count in. Dropping it
/// closes the ring, and the mixer ends the stream when it has played what is there.
#[derive(Debug)]
pub struct Stream {
    producer: Producer,
    account: Arc<Account>,
    channels: u64,
    /// Of the next frame: its first sample, and its number among all that were offered.
    media_time: u64,
    sequence: u32,
    /// Where a frame goes that the ring refused.
    refused: Box<[i16]>,
}

/// What became of one frame.
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

    /// Whether the next frame fits the ring now. If it does, [`offer`](Self::offer) publishes it.
    pub fn has_room(&mut self) -> bool {
        self.producer.has_room(frame_bytes(self.refused.len()))
    }

    /// Offers the next frame of the source: read in place and published, or, if the ring is full,
    /// read all the same, dropped and counted. Never waits for room. Allocates nothing; enters the
    /// kernel only as the source does, or to wake the mixer.
    ///
    /// # Errors
    /// Why the source failed; it has ended then.
    pub fn offer(&mut self, source: &mut (impl Source + ?Sized)) -> Result<Offered, SourceError> {
        let Self {
            producer,
            account,
            refused,
            ..
        } = self;
        let (samples, offered) = match producer.reserve(frame_bytes(refused.len())) {
            Ok(mut reservation) => {
                let mut frame = FrameMut::new(&mut reservation).expect(ALIGNED);
                let samples = source.read(frame.samples_mut())?;
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
            }
            Err(_) => {
                let samples = source.read(refused)?;
                if samples == 0 {
                    return Ok(Offered::Ended);
                }
                account.offer(samples as u64);
                producer.count_drop(frame_bytes(samples));
                account.settle_dropped(samples as u64);
                (samples, Offered::Dropped)
            }
        };
        self.media_time += samples as u64 / self.channels;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(offered)
    }
}

const ALIGNED: &str = "a message starts at a multiple of 8 and is as long as its frame";
