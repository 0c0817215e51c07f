//! Frames for a stream whose source is the test.

use mixpool::ingest::{Source, SourceError, Stream};

/// A source without end.
struct Endless;

impl Source for Endless {
    fn read(&mut self, out: &mut [i16]) -> Result<usize, SourceError> {
        out.fill(1_000);
        Ok(out.len())
    }

    fn length(&self) -> Option<u64> {
        None
    }
}

/// Frames in a row, at once.
pub fn offer(stream: &mut Stream, frames: usize) {
    for _ in 0..frames {
        stream.offer(&mut Endless).unwrap();
    }
}
