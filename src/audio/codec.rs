//! How samples are written as bytes. One codec a file.

mod pcm;

pub use pcm::Encoding;
