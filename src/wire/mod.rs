//! Bytes of the network and the typed values in them: RTP, RTCP and what payload types mean; AudioSocket;
//! and how a sender of bare samples says what they are.
//!
//! Pure: slices in, values that borrow them out. Any bytes are taken or refused with a reason; none
//! panics, and nothing is allocated by a length that the bytes claim, but for the frame of a WebSocket, up
//! to 64 KiB. A message that is not refused was
//! checked as a whole, so reading on cannot fail.
//!
//! This layer has no socket, clock or state, and imports `audio` alone.
//!
//! - [`audiosocket`]: the messages of Asterisk's AudioSocket
//! - [`content_type`]: what the body of a request says of itself
//! - [`hello`]: the line with which a sender of bare samples may begin
//! - [`id`]: what a stream may be called
//! - [`label`]: what people may call a stream
//! - [`linear`]: how jambonz and Vonage introduce bare samples over a WebSocket
//! - [`media`]: the text messages of Asterisk's `chan_websocket`
//! - [`payload`]: what an RTP payload type stands for
//! - [`rtcp`]: reports, names and goodbyes beside the audio
//! - [`rtp`]: packets of audio
//! - [`twilio`]: the messages of Twilio's Media Streams
//! - [`wav`]: the header of a WAV that is streamed
//! - [`websocket`]: frames and messages of a WebSocket

pub mod audiosocket;
pub mod content_type;
pub mod hello;
pub mod id;
pub mod label;
pub mod linear;
pub mod media;
pub mod payload;
pub mod rtcp;
pub mod rtp;
pub mod twilio;
pub mod wav;
pub mod websocket;
