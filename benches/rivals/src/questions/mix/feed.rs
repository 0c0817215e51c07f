//! The other core's side: what it fills before each pass, and what that adds up to.

use std::sync::Arc;

use mixpool::{
    audio::{FrameHeader, FrameMut, Gain},
    queue::Producer,
    source::{Source, SourceError},
    stream::Stream,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{BLOCK, RECORD_BYTES};

/// Samples that frames are cut from.
const NOISE: usize = 1024;
/// Quiet enough that the sum of any count of streams here fits 16 bits.
const PEAK: i16 = 20;

/// One stream's frames, each cut from the same noise at another place.
#[derive(Clone)]
pub struct Cuttings {
    noise: Arc<[i16]>,
    at: usize,
}

impl Cuttings {
    /// Those of `streams` streams.
    pub fn all(streams: usize) -> Vec<Self> {
        let mut random = SmallRng::seed_from_u64(1);
        let noise: Arc<[i16]> = (0..NOISE)
            .map(|_| random.random_range(-PEAK..=PEAK))
            .collect();
        let cut = |stream| Self {
            noise: Arc::clone(&noise),
            at: stream * 31 % (NOISE - BLOCK),
        };
        (0..streams).map(cut).collect()
    }

    fn next(&mut self) -> &[i16] {
        let from = self.at;
        self.at = (self.at + 57) % (NOISE - BLOCK);
        &self.noise[from..from + BLOCK]
    }
}

impl Source for Cuttings {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        out.copy_from_slice(self.next());
        Ok(out.len())
    }

    fn length(&self) -> Option<u64> {
        None
    }
}

/// The sum of the next frames of all streams, by plain arithmetic.
pub fn expected(cuttings: &mut [Cuttings], gain: Gain) -> [i32; BLOCK] {
    let mut sums = [0; BLOCK];
    for cutting in cuttings {
        for (sum, &sample) in sums.iter_mut().zip(cutting.next()) {
            *sum += gain.apply(sample);
        }
    }
    sums
}

/// The target of the other core.
pub enum Feed {
    /// A ring per stream: a frame into each.
    Rings(Vec<(Stream, Cuttings)>),
    /// One ring: all frames in one message, each with as many bytes as its record would have.
    Flat(Producer, Vec<Cuttings>),
}

impl Feed {
    /// Writes the next frame of every stream.
    pub fn fill(&mut self) {
        match self {
            Self::Rings(streams) => {
                for (stream, source) in streams {
                    stream
                        .offer(|out| source.read(out))
                        .expect("noise never fails");
                }
            }
            Self::Flat(producer, cuttings) => {
                let mut message = producer
                    .reserve(cuttings.len() * RECORD_BYTES)
                    .expect("the message before was acked");
                for (record, cutting) in message.chunks_exact_mut(RECORD_BYTES).zip(cuttings) {
                    let mut frame = FrameMut::new(&mut record[8..]).expect("aligned and even");
                    frame.samples_mut().copy_from_slice(cutting.next());
                    frame.seal(FrameHeader::new(0, BLOCK));
                }
                message.commit();
            }
        }
    }
}
