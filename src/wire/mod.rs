//! Bytes of the network and the typed values in them: RTP, RTCP and payload types, AudioSocket, WAV, WebSockets, parts,
//! and the introductions of senders of bare samples.
//!
//! Pure: slices in, values that borrow them out. Any bytes are taken or refused with a reason; none
//! panics, and nothing is allocated by a length that the bytes claim, but for the frame of a WebSocket, up
//! to 64 KiB. A message that is not refused was checked as a whole, so reading on cannot fail.
//!
//! This layer has no socket, clock or state, and imports `audio` alone.
//!
//! - [`audiosocket`]: the messages of Asterisk's AudioSocket
//! - [`flac`]: a recording as FLAC, frame by frame
//! - [`part`]: the partial sums that nodes of a cluster exchange
//! - [`payload`]: the meanings of RTP payload types
//! - [`rtcp`]: reports, names and goodbyes beside the audio
//! - [`rtp`]: packets of audio
//! - [`sdp`]: the offers of SIP switches, and answers to them
//! - [`sidecar`]: the JSON beside a recording
//! - [`wav`]: the header of a WAV that is streamed
//! - [`websocket`]: frames and messages of a WebSocket
//!
//! The other modules are how senders introduce themselves to this server, over TCP, HTTP and WebSockets.

pub mod audiosocket;
pub mod flac;
pub mod part;
pub mod payload;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod sidecar;
pub mod wav;
pub mod websocket;

// Public for the fuzz targets.
#[doc(hidden)]
pub mod content_type;
#[doc(hidden)]
pub mod hello;
#[doc(hidden)]
pub mod id;
#[doc(hidden)]
pub mod label;
#[doc(hidden)]
pub mod linear;
#[doc(hidden)]
pub mod media;
#[doc(hidden)]
pub mod twilio;
