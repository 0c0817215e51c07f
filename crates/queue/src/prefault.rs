//! Every page of a pool made present at its construction, in both views, so that no later access faults.
//!
//! Most of the time goes into zeroing memory, so every processor that the process may use zeroes a share.
//! Then each page must enter the page tables twice. A write fault enters one page, a read fault of a
//! page that is there already enters its neighbours too: so the first view is written, the second read.
//!
//! Huge pages come to a file by way of a mapping that shows it as it lies there, which the doubled views
//! of rings smaller than a huge page do not. So the file is filled first, through one plain view in the
//! place of the rings' own.
//!
//! The pages are the kernel's to write: a lack of memory is an error here, and no signal.

use std::{
    fs::File,
    num::NonZeroUsize,
    panic,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::{
    error::BuildError,
    range::{Advice, Range},
};

/// What a thread takes at a time: enough that two threads seldom meet in one page table.
const SHARE_BYTES: usize = 2 << 20;

/// Most threads at once. A bound for large machines, where a start should not take every processor.
const THREADS_MAX: usize = 8;

/// What makes a page of a view present once it is in the file. The entry that a read makes is good for
/// writing: all of the mapping is shared, and the kernel has nothing to learn from a first write. But for
/// that, processors other than x86's may have to fault to note that the page was written.
const SHOW: Advice = if cfg!(target_arch = "x86_64") {
    Advice::PopulateRead
} else {
    Advice::PopulateWrite
};

const DOING: &str = "prefaulting rings";

/// Gives the file its pages, huge ones where the kernel has them. Leaves a plain view of it at the start of
/// the range.
pub(super) fn fill(
    range: &mut Range,
    file: &File,
    file_bytes: usize,
    huge_bytes: usize,
) -> Result<(), BuildError> {
    range.map(0, file_bytes, file, 0)?;
    let range = &*range;
    range.advise(0, file_bytes, Advice::Huge, "asking for huge pages")?;
    in_parallel(file_bytes, huge_bytes, |offset, bytes| {
        range.advise(offset, bytes, Advice::PopulateWrite, DOING)
    })
}

/// Makes every page of both views present. `filled`: the file has its pages.
pub(super) fn views(range: &Range, ring_bytes: usize, filled: bool) -> Result<(), BuildError> {
    let write = if filled { SHOW } else { Advice::PopulateWrite };
    let piece = ring_bytes.min(SHARE_BYTES);
    in_parallel(range.bytes() / 2, piece, |offset, bytes| {
        // Before the first view of a ring lie the second views of all rings before it.
        let first_view = offset + offset / ring_bytes * ring_bytes;
        range.advise(first_view, bytes, write, DOING)?;
        range.advise(first_view + ring_bytes, bytes, SHOW, DOING)
    })
}

/// Does `work` on every piece of so many bytes, given as offset and size, on some threads at once. Both
/// the piece and the share are powers of two. The first error ends it.
fn in_parallel(
    bytes: usize,
    piece: usize,
    work: impl Fn(usize, usize) -> Result<(), BuildError> + Sync,
) -> Result<(), BuildError> {
    let share = piece.max(SHARE_BYTES);
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let from = next.fetch_add(share, Ordering::Relaxed);
            if from >= bytes {
                return Ok(());
            }
            let to = bytes.min(from + share);
            let done = (from..to)
                .step_by(piece)
                .try_for_each(|offset| work(offset, piece.min(to - offset)));
            if done.is_err() {
                next.store(bytes, Ordering::Relaxed);
                return done;
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let helpers = processors
        .min(THREADS_MAX)
        .min(bytes / share)
        .saturating_sub(1);
    thread::scope(|scope| {
        // A thread that the host refuses leaves its share to the others.
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        let own = run();
        helpers.into_iter().fold(own, |result, helper| {
            let done = helper
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic));
            result.and(done)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    fn pieces(bytes: usize, piece: usize) -> Vec<(usize, usize)> {
        let seen = Mutex::new(Vec::new());
        in_parallel(bytes, piece, |offset, bytes| {
            seen.lock().unwrap().push((offset, bytes));
            Ok(())
        })
        .unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        seen
    }

    #[test]
    fn every_byte_is_in_one_piece() {
        for (bytes, piece) in [
            (4096, 4096),
            (SHARE_BYTES, 4096),
            (3 * SHARE_BYTES + 4096, 4096),
            (20 * SHARE_BYTES, SHARE_BYTES),
            (5 * SHARE_BYTES + 4096, 2 * SHARE_BYTES),
            (4096, SHARE_BYTES),
        ] {
            let mut end = 0;
            for (offset, size) in pieces(bytes, piece) {
                assert_eq!(offset, end, "{bytes} bytes in pieces of {piece}");
                assert!((1..=piece).contains(&size));
                end = offset + size;
            }
            assert_eq!(end, bytes);
        }
    }

    #[test]
    fn the_first_error_is_told_and_ends_the_work() {
        let shares = 1000;
        let done = AtomicUsize::new(0);
        let result = in_parallel(shares * SHARE_BYTES, SHARE_BYTES, |_, _| {
            done.fetch_add(1, Ordering::Relaxed);
            Err(BuildError::Os {
                call: "madvise",
                doing: "testing".into(),
                source: io::ErrorKind::OutOfMemory.into(),
            })
        });
        assert!(matches!(result, Err(BuildError::Os { .. })), "{result:?}");
        assert!(done.into_inner() <= THREADS_MAX);
    }
}
