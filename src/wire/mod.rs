//! Bytes of the network and the typed values in them: RTP, RTCP and what payload types mean; AudioSocket;
//! and how a sender of bare samples says what they are.
//!
//! Pure: slices in, values that borrow them out. Any bytes are taken or refused with a reason; none
//! panics, and nothing is allocated by a length that the bytes claim. What is not refused has been
//! checked as a whole, so reading on cannot fail.
//!
//! This layer has no socket, clock or state, and imports `audio` alone.
//!
//! - [`audiosocket`]: the messages of Asterisk's AudioSocket
//! - [`hello`]: the line with which a sender of bare samples may begin
//! - [`payload`]: what an RTP payload type stands for
//! - [`rtcp`]: reports, names and goodbyes beside the audio
//! - [`rtp`]: packets of audio
//! - [`wav`]: the header of a WAV that is streamed

pub mod audiosocket;
pub mod hello;
pub mod payload;
pub mod rtcp;
pub mod rtp;
pub mod wav;
