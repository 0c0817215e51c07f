//! The rings in which the mix comes back, read on the thread that serves the connections.
//!
//! Each listener has a ring with its frames; a frame without samples means the block of the whole mix,
//! which comes once, through the tap. The mixer sends the tap's first, so when a frame is there, the block
//! that it means is, too.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use super::return_encoder::Mix;
use crate::{
    audio::{Format, Frame, MixClock, frame::frame_bytes},
    os::during,
    queue::{Consumer, Drained, LeaseId, Pool, PoolPlan, Producer},
};

/// Frames for which a ring has room, at least: as many as this thread may be late by.
const RING_FRAMES: u64 = 16;
/// Messages taken from a ring at a time.
const BATCH: usize = 64;

/// Bytes of the ring in which the mix comes back to one connection, with such blocks; what no ring can
/// have, if they are too long for one.
pub(crate) fn output_ring_bytes(format: Format, block_samples: usize) -> usize {
    let block = block_samples * usize::from(format.channels());
    PoolPlan::ring_bytes_for(RING_FRAMES, frame_bytes(block)).unwrap_or(usize::MAX)
}

#[derive(Debug)]
pub(crate) struct ReturnRings {
    pool: Pool,
    consumer: Consumer,
    tap: LeaseId,
    pub(crate) mix: Mix,
    /// The owner of each ring, by slot.
    owners: Box<[Option<Owner>]>,
    frames: Vec<Taken>,
    samples: Vec<i16>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    lease: LeaseId,
    key: u64,
    /// Frames that a full ring refused, as far as reported.
    dropped: u64,
}

/// A frame that was taken from a ring: where it begins, and where its samples lie.
#[derive(Debug, Clone, Copy)]
struct Taken {
    at: u64,
    from: usize,
    to: usize,
}

/// One arrival for one listener.
#[derive(Debug)]
pub(crate) enum Returned<'a> {
    /// A frame: where it begins, and its samples, or none.
    Frame(u64, &'a [i16]),
    /// So many frames were lost, as this thread was late.
    Lost(u64),
}

/// Readable when there is something to take.
impl AsFd for ReturnRings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.consumer.as_fd()
    }
}

impl ReturnRings {
    /// Rings for so many listeners at once, and the tap's producer, which is the mixer's.
    pub(crate) fn new(listeners: usize, clock: &MixClock) -> io::Result<(Self, Producer)> {
        let ring_bytes = output_ring_bytes(clock.format, clock.block_samples);
        let (pool, consumer) = Pool::builder()
            .slots(listeners + 1)
            .ring_bytes(ring_bytes)
            .build()
            .map_err(io::Error::other)
            .map_err(during("the rings of the way back"))?;
        let producer = pool.acquire().map_err(io::Error::other)?;
        let return_rings = Self {
            owners: vec![None; pool.slots()].into(),
            pool,
            consumer,
            tap: producer.lease(),
            mix: Mix::new(clock.format),
            frames: Vec::new(),
            samples: Vec::new(),
        };
        Ok((return_rings, producer))
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The ring of this lease is the listener's.
    pub(crate) fn own(&mut self, lease: LeaseId, key: u64) {
        self.owners[lease.slot()] = Some(Owner {
            lease,
            key,
            dropped: 0,
        });
    }

    /// Takes all that has come, and hands it to `deliver` with the key of the listener.
    pub(crate) fn drain(&mut self, mut deliver: impl FnMut(u64, Returned<'_>, &mut Mix)) {
        while let Some(lease) = self.consumer.next_ready() {
            let drained = self.take(lease);
            if lease == self.tap {
                self.push_mix();
            } else {
                self.deliver(lease, &mut deliver);
            }
            if drained == Some(Drained::Closed) {
                self.owners[lease.slot()] = None;
                // It was closed and drained just now, and only this thread releases.
                let _ = self.consumer.release(lease);
            }
        }
    }

    /// Takes a batch of frames from a ring. None if the lease is over.
    fn take(&mut self, lease: LeaseId) -> Option<Drained> {
        let Self {
            consumer,
            frames,
            samples,
            ..
        } = self;
        frames.clear();
        samples.clear();
        let drained = consumer.drain(lease, BATCH, |message| {
            if let Ok(frame) = Frame::parse(message) {
                let from = samples.len();
                samples.extend(frame.samples());
                frames.push(Taken {
                    at: frame.header().first,
                    from,
                    to: samples.len(),
                });
            }
        });
        drained.ok()
    }

    fn push_mix(&mut self) {
        for Taken { at, from, to } in &self.frames {
            self.mix.push(*at, &self.samples[*from..*to]);
        }
    }

    fn deliver(&mut self, lease: LeaseId, deliver: &mut impl FnMut(u64, Returned<'_>, &mut Mix)) {
        let Some(owner) = self.owners[lease.slot()].filter(|owner| owner.lease == lease) else {
            return;
        };
        // The blocks that the frames mean are in the tap's ring, if they are not known yet.
        let (frames, samples) = (
            std::mem::take(&mut self.frames),
            std::mem::take(&mut self.samples),
        );
        while self.take(self.tap).is_some() && !self.frames.is_empty() {
            self.push_mix();
        }
        (self.frames, self.samples) = (frames, samples);
        if let Ok(stats) = self.consumer.lease_stats(lease) {
            let dropped = stats.dropped.messages;
            if dropped > owner.dropped {
                deliver(
                    owner.key,
                    Returned::Lost(dropped - owner.dropped),
                    &mut self.mix,
                );
                self.owners[lease.slot()] = Some(Owner { dropped, ..owner });
            }
        }
        for Taken { at, from, to } in &self.frames {
            let frame = Returned::Frame(*at, &self.samples[*from..*to]);
            deliver(owner.key, frame, &mut self.mix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::{Encoding, Format, FrameHeader, FrameMut},
        output::participants::return_encoder::{Form, ReturnEncoder, ReturnFormat},
    };

    fn publish(producer: &mut Producer, at: u64, samples: &[i16]) {
        let mut reservation = producer.reserve(frame_bytes(samples.len())).unwrap();
        let mut frame = FrameMut::new(&mut reservation).unwrap();
        frame.samples_mut().copy_from_slice(samples);
        frame.seal(FrameHeader::new(at, 0));
        reservation.commit();
    }

    fn return_rings() -> (ReturnRings, Producer) {
        let clock = MixClock {
            first_block: 0,
            first_ns: 0,
            period_ns: 20_000_000,
            format: Format::new(8_000, 1).unwrap(),
            block_samples: 160,
        };
        ReturnRings::new(3, &clock).unwrap()
    }

    /// The mixer goes on during a pass: it sends a block of the mix, to a ring that this pass has
    /// seen already, and a frame that means it, to a ring that it has not.
    #[test]
    fn a_frame_never_comes_before_the_block_that_it_means() {
        let (mut return_rings, mut tap) = return_rings();
        let mut outputs = [(); 2].map(|()| return_rings.pool().acquire().unwrap());
        for (output, key) in outputs.iter().zip(0..) {
            return_rings.own(output.lease(), key);
        }
        let return_format = ReturnFormat {
            rate_hz: 8_000,
            form: Form::Binary(Encoding::S16Le),
        };
        let mut encoders = [(); 2].map(|()| ReturnEncoder::new(return_format));
        publish(&mut tap, 0, &[1; 160]);
        for output in &mut outputs {
            publish(output, 0, &[]);
        }
        let mut played = Vec::new();
        let mut deliver = |key: u64, returned: Returned<'_>, mix: &mut Mix| {
            let Returned::Frame(at, samples) = returned else {
                panic!("nothing was lost")
            };
            let message = encoders[key as usize].encode(at, samples, mix).unwrap();
            played.push((key, at, message.is_some()));
            if played.len() == 1 {
                publish(&mut tap, 160, &[2; 160]);
                for output in &mut outputs {
                    publish(output, 160, &[]);
                }
            }
        };
        // Frames that come behind a pass are of the next.
        return_rings.drain(&mut deliver);
        return_rings.drain(&mut deliver);
        played.sort_unstable();
        let all = [(0, 0, true), (0, 160, true), (1, 0, true), (1, 160, true)];
        assert_eq!(played, all);
    }

    #[test]
    fn lost_frames_are_reported_once_and_closed_rings_released() {
        let (mut return_rings, _tap) = return_rings();
        let mut output = return_rings.pool().acquire().unwrap();
        return_rings.own(output.lease(), 7);
        let mut lost = 0;
        while output.has_room(frame_bytes(160)) {
            publish(&mut output, 0, &[1; 160]);
        }
        (0..5).for_each(|_| output.count_drop(frame_bytes(160)));
        drop(output);
        for _ in 0..2 {
            return_rings.drain(|key, returned, _| {
                assert_eq!(key, 7);
                if let Returned::Lost(frames) = returned {
                    lost += frames;
                }
            });
        }
        assert_eq!(lost, 5);
        assert_eq!(return_rings.pool().stats().leases, 1);
    }
}
