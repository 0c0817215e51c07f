//! Audio in: one kind of source per file, each behind the [`Source`] trait.
//!
//! A source gives samples at the bus format and nothing else: no clock, no queue, no thread of its
//! own, so whoever reads it decides the pace.

mod admission;
pub mod clock;
pub mod conn;
mod dismissal;
mod feed;
mod limited;
mod limits;
mod listening;
mod log_rate;
mod looped;
mod os_error;
pub mod playout;
mod quota;
pub mod rtp;
mod schedule;
pub mod source;
mod stream;
pub mod synthetic;
mod tuning;
pub mod wav;

#[cfg(test)]
mod measure;

pub use admission::{Admission, Busy, Newcomer, NotAdmitted, Refused, lease};
pub use clock::MixClock;
pub use dismissal::Dismissal;
pub use feed::{Feed, FeedError, FeedErrors, Feeders, FeedersEnded, Intake};
pub use limited::Limited;
pub use limits::Limits;
pub use listening::Listening;
pub use log_rate::LogRate;
pub use looped::Looped;
pub(crate) use os_error::{during, remedy};
pub use playout::{Arrived, Delay, Playout, PlayoutSettings};
pub use schedule::{Imperfection, Schedule};
pub use source::{Source, SourceError};
pub use stream::{Offered, Stream};
pub use synthetic::{Synthetic, UnknownWaveform, Waveform};
pub use tuning::{Tuned, Tuner, Tuning};
pub use wav::WavSource;
