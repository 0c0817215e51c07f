//! Sends messages to a peer: whole ones, or none of them.
//!
//! A message is written at once, by one call. If the kernel takes a part of it, the rest is kept, and goes
//! out when there is room; until then further messages are refused, not queued. So a peer that does not
//! read loses its own messages, each as a whole, and holds nothing up.

use std::io::{self, Write};

/// The way back to one peer. Holds less than one message, and at the end the last one.
#[derive(Debug, Default)]
pub(crate) struct SendBuffer {
    rest: Vec<u8>,
}

impl SendBuffer {
    /// Whether a part of a message still has to go out.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Writes a message, and says whether it is on its way.
    ///
    /// # Errors
    /// The kernel's: the peer is gone.
    pub(crate) fn send(&mut self, message: &[u8], to: &mut impl Write) -> io::Result<bool> {
        self.flush(to)?;
        if self.is_waiting() {
            return Ok(false);
        }
        let written = write(message, to)?;
        if written == 0 {
            return Ok(false);
        }
        self.rest.extend(&message[written..]);
        Ok(true)
    }

    /// Puts the last message behind the bytes that wait, and writes as much as there is room for.
    ///
    /// # Errors
    /// The kernel's: the peer is gone.
    pub(crate) fn finish(&mut self, message: &[u8], to: &mut impl Write) -> io::Result<()> {
        self.rest.extend(message);
        self.flush(to)
    }

    /// Writes the rest of a message, as far as there is room.
    ///
    /// # Errors
    /// The kernel's: the peer is gone.
    pub(crate) fn flush(&mut self, to: &mut impl Write) -> io::Result<()> {
        if self.is_waiting() {
            let written = write(&self.rest, to)?;
            self.rest.drain(..written);
        }
        Ok(())
    }
}

/// How many bytes the kernel took: none if it has no room now.
fn write(bytes: &[u8], to: &mut impl Write) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer with so many bytes of room in its kernel.
    #[derive(Default)]
    struct Peer {
        room: usize,
        got: Vec<u8>,
        writes: usize,
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= taken;
            self.got.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_message_goes_out_in_one_write() {
        let (mut send_buffer, mut peer) = (SendBuffer::default(), Peer::default());
        peer.room = 100;
        assert!(send_buffer.send(b"message", &mut peer).unwrap());
        assert_eq!((&peer.got[..], peer.writes), (&b"message"[..], 1));
    }

    #[test]
    fn a_peer_that_does_not_read_gets_whole_messages_or_none() {
        for room in 0..40 {
            let (mut send_buffer, mut peer) = (SendBuffer::default(), Peer::default());
            peer.room = room;
            let mut expected = Vec::new();
            for number in 0..30_u8 {
                let message = [number; 7];
                if send_buffer.send(&message, &mut peer).unwrap() {
                    expected.extend(message);
                }
                assert!(send_buffer.rest.len() < message.len());
                peer.room += usize::from(number % 4);
            }
            peer.room += 7;
            send_buffer.flush(&mut peer).unwrap();
            assert!(!send_buffer.is_waiting());
            assert_eq!(peer.got, expected);
        }
    }

    #[test]
    fn the_last_message_waits_behind_a_half_sent_one() {
        let (mut send_buffer, mut peer) = (SendBuffer::default(), Peer::default());
        peer.room = 3;
        assert!(send_buffer.send(b"message", &mut peer).unwrap());
        send_buffer.finish(b"the end", &mut peer).unwrap();
        assert!(send_buffer.is_waiting());
        peer.room = 100;
        send_buffer.flush(&mut peer).unwrap();
        assert!(!send_buffer.is_waiting());
        assert_eq!(peer.got, b"messagethe end");
    }
}
