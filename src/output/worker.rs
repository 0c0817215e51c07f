//! A thread that works on one room's mix, so that a slow output costs the mixer nothing.

use std::{
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use super::feed_reader::{Delivery, FeedReader, Piece};

/// A wait that fails would be a bug; the thread then polls at this pace.
const PAUSE: Duration = Duration::from_millis(1);

/// An output's thread ends with its outcome.
pub(super) const PANICKED: &str = "an output's thread panicked";

pub(super) trait Work: Send + 'static {
    /// Its result at the end.
    type Outcome: Send + 'static;

    /// The next samples of the room.
    fn take(&mut self, piece: &Piece<'_>);

    /// No more will come.
    fn finish(self) -> Self::Outcome;
}

/// Starts a thread that works until the mixer closes the reader.
pub(super) fn start<W: Work>(
    name: &str,
    mut reader: FeedReader,
    mut work: W,
) -> io::Result<JoinHandle<W::Outcome>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !reader.is_closed() {
            if reader.wait().is_err() {
                thread::sleep(PAUSE);
            }
            reader.drain(|delivery| {
                if let Delivery::Room(_, piece) = delivery {
                    work.take(&piece);
                }
            });
        }
        work.finish()
    })
}
