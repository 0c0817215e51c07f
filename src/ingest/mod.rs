//! Audio in: one kind of source per file, each behind the [`Source`] trait.
//!
//! A source gives samples at the bus format and nothing else: no clock, no queue, no thread of its
//! own, so whoever reads it decides the pace.

pub mod source;
pub mod synthetic;
pub mod wav;

#[cfg(test)]
mod measure;

pub use source::{Source, SourceError};
pub use synthetic::{Synthetic, UnknownWaveform, Waveform};
pub use wav::WavSource;
