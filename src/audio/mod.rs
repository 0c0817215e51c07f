//! Samples and arithmetic: frames, their sum, and its reduction to 16 bits.
//!
//! Every function here is pure or owns its state: slices in, slices out. Nothing that runs per tick
//! allocates, and no value of a sample or byte makes anything panic; a panic means that the caller
//! broke a documented length or shape. Results do not depend on how a stream is cut into blocks.
//!
//! This layer reads no time, knows no thread, socket or file, and imports no other layer.
//!
//! - [`clock`]: the grid of ticks, and the samples that each mixes
//! - [`codec`]: samples as bytes: G.711, 16-bit PCM, G.722, Opus
//! - [`format`](mod@format): rate and channel count, and the block lengths they allow
//! - [`frame`]: the bytes of one frame as a queue message carries them
//! - [`gap`]: the spans of a recording that are not the sender's audio
//! - [`gain`], [`sum`]: the mixer's arithmetic
//! - [`limiter`]: a sum becomes 16 bits without clipping
//! - [`meter`]: peak and level
//! - [`resample`]: any rate and channel count becomes a bus's format
//! - [`spec`]: how samples that come in are written
//! - [`talking`]: whether a stream talks

pub mod clock;
pub mod codec;
pub mod format;
pub mod frame;
pub mod gain;
pub mod gap;
pub mod limiter;
#[cfg(test)]
pub(crate) mod measure;
pub mod meter;
pub mod resample;
pub mod spec;
pub mod sum;
pub mod talking;

pub use clock::{Grid, MixClock};
pub use codec::{Codec, Decoder, Encoder, Encoding};
pub use format::{Format, FormatError};
pub use frame::{Frame, FrameError, FrameHeader, FrameMut};
pub use gain::{Gain, GainError, Ramp};
pub use gap::{GapReason, Gaps, Span};
pub use limiter::{Limited, Limiter};
pub use resample::{ConvertError, Converter};
pub use spec::SampleSpec;
pub use talking::TalkingRule;
