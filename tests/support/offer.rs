//! Frames for a stream fed by the test.

use std::convert::Infallible;

use mixpool::stream::Stream;

/// Frames in a row, at once.
pub fn offer(stream: &mut Stream, frames: usize) {
    for _ in 0..frames {
        let read = |out: &mut [i16]| {
            out.fill(1_000);
            Ok::<_, Infallible>(out.len())
        };
        stream.offer(read).unwrap();
    }
}
