//! The socket of an HTTP connection, which lingers when it is shut down.
//!
//! An answer may go out before the request has come to its end: a refusal, above all. The kernel answers what
//! still comes to a closed socket by a reset, and the answer may be lost (RFC 9112, 9.6). So what comes after our
//! side was shut down is read and discarded, for a while that is bounded in time and in bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::net::conn::{LINGER, LINGER_BYTES_MAX};

/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 10;

/// A connection. Its shutdown ends once the other end has closed, or may linger no longer.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    /// The end of its time, once our side is shut down.
    until: Option<Pin<Box<Sleep>>>,
    read_bytes: usize,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            until: None,
            read_bytes: 0,
        }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            until,
            read_bytes,
        } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let until = until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut buffer = [0; READ_BYTES];
        while *read_bytes < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut buffer);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *read_bytes += buffer.filled().len(),
                // It has closed, or is gone.
                _ => return Poll::Ready(Ok(())),
            }
        }
        // The other end is left to wait, until its time is over.
        Poll::Pending
    }
}
