//! The server's side of a WebSocket after its handshake: frames in, messages out (RFC 6455).
//!
//! Pure: [`Frames`] is fed the bytes that came, cut anywhere, and returns whole messages; answers
//! to pings and to a close are written into a buffer. Frames of clients must be masked, control
//! frames whole and short, text UTF-8. No extension is spoken, so reserved bits must be zero.
//!
//! A message may have [`MESSAGE_BYTES_MAX`] bytes, in one frame or in many; a longer one is refused by the
//! length that its header claims. For a frame that is not, so many bytes are taken of the memory, and no more:
//! [`OPENING_BYTES_MAX`] until the peer is identified.

use std::io::{self, ErrorKind, Read, Write};

use thiserror::Error;
use tungstenite::{
    Bytes, Utf8Bytes,
    error::{CapacityError, Error as FrameError},
    protocol::{
        CloseFrame, Role, WebSocket, WebSocketConfig,
        frame::{
            Frame, FrameHeader,
            coding::{Data, OpCode},
        },
    },
};

/// Longest message.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Longest message of a peer that has not identified itself.
pub const OPENING_BYTES_MAX: usize = 16 << 10;
/// Longest reason of a close: a control frame holds 125 bytes, and two are the code.
pub const REASON_BYTES_MAX: usize = 123;

/// Memory for frames that come, while none is longer.
const BUFFER_BYTES: usize = 4 << 10;

/// Why a connection is closed (RFC 6455, section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// All is said.
    Normal = 1000,
    /// The server ends.
    Away = 1001,
    /// Against the protocol of frames.
    Protocol = 1002,
    /// A kind of data that is not taken.
    Unsupported = 1003,
    /// Data that does not fit its kind.
    Invalid = 1007,
    /// Against a rule of this server.
    Policy = 1008,
    /// Too long.
    TooBig = 1009,
    /// Something here failed.
    Internal = 1011,
    /// No room now; perhaps later.
    TryAgain = 1013,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// Why no further message will come.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The peer closed, and was answered.
    #[error("closed by the peer")]
    Closed,
    /// A message that is too long.
    #[error("a message of {size} bytes, more than the {max} that are taken")]
    TooBig {
        /// Its length, as far as it is known.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Text that is no UTF-8.
    #[error("a text message that is no UTF-8")]
    Utf8,
    /// Against RFC 6455.
    #[error("not as RFC 6455 has it: {what}")]
    Protocol {
        /// In what way.
        what: String,
    },
}

/// One connection's frames. Takes some 4 KiB, and the length of a message while one comes.
#[derive(Debug)]
pub struct Frames {
    socket: WebSocket<Pipe>,
    /// Why there is no further message: once said, said always.
    end: Option<WebSocketError>,
}

/// Both directions, in memory.
#[derive(Debug, Default)]
struct Pipe {
    input: Vec<u8>,
    /// Bytes of the input that were read.
    read: usize,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let waiting = &self.input[self.read..];
        if waiting.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(bytes.len());
        bytes[..count].copy_from_slice(&waiting[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

impl Frames {
    /// A connection on which nothing came yet; messages may have [`OPENING_BYTES_MAX`] bytes until it
    /// [is known](Self::open).
    pub fn new() -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(OPENING_BYTES_MAX))
            .max_frame_size(Some(OPENING_BYTES_MAX));
        Self {
            socket: WebSocket::from_raw_socket(Pipe::default(), Role::Server, Some(config)),
            end: None,
        }
    }

    /// From now on messages may be as long as any.
    pub fn open(&mut self) {
        self.socket.set_config(|config| {
            config.max_message_size = Some(MESSAGE_BYTES_MAX);
            config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        });
    }

    /// Takes received bytes. [`next_message`](Self::next_message) then returns their messages. Bytes after an
    /// error is not kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.end.is_some() {
            return;
        }
        let pipe = self.socket.get_mut();
        pipe.input.drain(..pipe.read);
        pipe.read = 0;
        pipe.input.extend(bytes);
    }

    /// The next message that is whole; none if more bytes must come first.
    ///
    /// # Errors
    /// [`WebSocketError`], after which there is no message, but the same error again.
    pub fn next_message(&mut self) -> Result<Option<Message>, WebSocketError> {
        if let Some(end) = &self.end {
            return Err(end.clone());
        }
        loop {
            match self.socket.read() {
                Ok(tungstenite::Message::Text(text)) => return Ok(Some(Message::Text(text))),
                Ok(tungstenite::Message::Binary(bytes)) => {
                    return Ok(Some(Message::Binary(bytes)));
                }
                // Pings and a close are answered; the answer is in the pipe.
                Ok(_) => {}
                Err(FrameError::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => {
                    let end = refused(error);
                    self.end = Some(end.clone());
                    return Err(end);
                }
            }
        }
    }

    /// Takes the answers to pings and to a close: whole frames. Empty afterwards.
    pub fn take_replies(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.socket.get_mut().output);
    }
}

fn refused(error: FrameError) -> WebSocketError {
    match error {
        FrameError::ConnectionClosed | FrameError::AlreadyClosed => WebSocketError::Closed,
        FrameError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            WebSocketError::TooBig {
                size,
                max: max_size,
            }
        }
        FrameError::Utf8(_) => WebSocketError::Utf8,
        FrameError::Protocol(what) => WebSocketError::Protocol {
            what: what.to_string(),
        },
        other => WebSocketError::Protocol {
            what: other.to_string(),
        },
    }
}

/// Appends the header of a binary message of so many bytes, which follow it.
pub(crate) fn binary_header(payload_bytes: usize, out: &mut Vec<u8>) {
    header(Data::Binary, payload_bytes, out);
}

/// Appends the header of a text message of so many bytes, which follow it.
pub(crate) fn text_header(payload_bytes: usize, out: &mut Vec<u8>) {
    header(Data::Text, payload_bytes, out);
}

/// Appends a text message.
pub fn text(message: &str, out: &mut Vec<u8>) {
    text_header(message.len(), out);
    out.extend(message.as_bytes());
}

fn header(kind: Data, payload_bytes: usize, out: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode: OpCode::Data(kind),
        ..FrameHeader::default()
    };
    write(&header, payload_bytes, out);
}

fn write(header: &FrameHeader, payload_bytes: usize, out: &mut Vec<u8>) {
    let written = header.format(payload_bytes as u64, out);
    debug_assert!(written.is_ok(), "a vector takes all");
}

/// Appends a close with its reason, cut to [`REASON_BYTES_MAX`].
pub fn close(code: CloseCode, reason: &str, out: &mut Vec<u8>) {
    let frame = Frame::close(Some(CloseFrame {
        code: (code as u16).into(),
        reason: cut(reason).into(),
    }));
    write(frame.header(), frame.payload().len(), out);
    out.extend(frame.payload());
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests;
