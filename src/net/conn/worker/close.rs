//! The ends of connections: the last message to the peer, and input that still plays.
//!
//! A connection that is ended here is not closed at once: the kernel answers what its peer still sends by a
//! reset, and the reason may be lost (RFC 9112, 9.6). So our side is shut down, and what comes is read and
//! discarded for a while that is bounded in time and in bytes.

use std::{
    io::{self, ErrorKind, Read},
    sync::Arc,
    time::Duration,
};

use nix::sys::epoll::EpollFlags;

use super::{
    Draining, Worker,
    peer::{Ended, Peer},
};
use crate::{
    net::conn::{
        LINGER, LINGER_BYTES_MAX,
        context::EndReason,
        handoff::Rejection,
        socket::{Socket, canonical},
    },
    os::{
        now_ns,
        poll::{Events, Poll, Watch},
    },
    output::participants::send_buffer::SendBuffer,
};

/// Peers that may linger after their close, at once: they take no place of new
/// connections. Beyond it the connection is closed over them.
const LINGERING_MAX: usize = 1024;
/// How long all peers have to close at the end of the thread.
const LINGER_AT_END: Duration = Duration::from_millis(250);

/// A closed connection with a peer that may not know yet.
pub(super) struct Lingering {
    socket: Socket,
    /// Nothing while its time runs out: it would still be reported once it fails.
    watch: Watch,
    /// Bytes that go out before our side is shut down.
    send_buffer: SendBuffer,
    /// Whether the peer has shut down its side.
    ended: bool,
    read_bytes: usize,
    until_ns: u64,
}

impl Worker {
    /// Closes the connections that are over. Earlier input still plays, unless the stream was ended by command.
    pub(super) fn close_gone(&mut self) {
        while let Some((key, reason)) = self.gone.pop() {
            self.close(key, &reason);
        }
    }

    pub(super) fn close(&mut self, key: u64, reason: &EndReason) {
        // It may be over for two reasons at once.
        let Some(mut peer) = self.peers.remove(&key) else {
            return;
        };
        let account = Arc::clone(&peer.account);
        let now_ns = now_ns();
        self.log_refusal(&peer, reason, now_ns);
        let context = self.common.context(&account, now_ns);
        peer.send_close(reason);
        let Ended {
            input,
            share,
            lingering,
        } = peer.end(reason, &context);
        if let Some(mut input) = input {
            if matches!(reason, EndReason::EndedByCommand) {
                input.abandon();
            } else if !input.is_done() {
                self.draining.push(Draining {
                    input,
                    _share: share,
                });
            }
        }
        if let Some((socket, send_buffer, watch)) = lingering
            && self.lingering.len() < LINGERING_MAX
        {
            let mut lingering = Lingering {
                socket,
                watch,
                send_buffer,
                ended: false,
                read_bytes: 0,
                until_ns: now_ns + LINGER.as_nanos() as u64,
            };
            if lingering.begin(&self.poll).is_ok() {
                self.lingering.insert(key, lingering);
            }
        }
    }

    /// Logs that a connection is refused, and why, as often as strangers may have it logged.
    fn log_refusal(&mut self, peer: &Peer, reason: &EndReason, now_ns: u64) {
        let why = match reason {
            // The others are noted as events of their streams.
            EndReason::HungUp
            | EndReason::EndedByCommand
            | EndReason::Refused(Rejection::Idle { .. } | Rejection::Stopping) => return,
            EndReason::Refused(why) => why.to_string(),
            EndReason::Malformed(_, why) => why.clone(),
        };
        if !peer.protocol.logs_refusal() {
            return;
        }
        if let Some(skipped) = self.refusals.take(now_ns) {
            let address = peer.address.map(canonical).map(tracing::field::display);
            tracing::warn!(
                listener = peer.account.name(),
                address,
                skipped,
                why,
                "connection refused"
            );
        }
    }

    /// An event on a lingering connection: its input is skipped.
    pub(super) fn pass_over(&mut self, key: u64) {
        let Some(lingering) = self.lingering.get_mut(&key) else {
            return;
        };
        if lingering.pass_over(&mut self.buffer, &self.poll).is_err() {
            self.lingering.remove(&key);
        }
    }

    /// Lets those go that had time to.
    pub(super) fn close_expired(&mut self, now_ns: u64) {
        self.lingering
            .retain(|_, lingering| lingering.until_ns > now_ns);
    }

    /// The end: notifies each peer, and discards all that has not been placed.
    pub(super) fn hang_up(mut self) {
        self.stop.clear();
        // A socket that waits is a connection like the others: dropped unread it would be reset, without a reason.
        self.close_handoff();
        let reason = EndReason::Refused(Rejection::Stopping);
        let keys: Vec<_> = self.peers.keys().copied().collect();
        for key in keys {
            self.close(key, &reason);
        }
        for ended in &mut self.draining {
            ended.input.abandon();
        }
        self.wait_for_lingering();
    }

    fn wait_for_lingering(&mut self) {
        let until_ns = now_ns() + LINGER_AT_END.as_nanos() as u64;
        let mut events = Events::new();
        while !self.lingering.is_empty() && now_ns() < until_ns {
            self.poll.wait(until_ns, &mut events);
            for (key, _) in events.iter() {
                self.pass_over(key);
            }
        }
    }
}

impl Lingering {
    /// Shuts our side down, unless something has to go out before, and watches for the rest.
    fn begin(&mut self, poll: &Poll) -> io::Result<()> {
        if !self.send_buffer.is_waiting() {
            self.socket.shut_down()?;
        }
        self.set_watch(poll)
    }

    /// Whether more of it is read.
    fn reads(&self) -> bool {
        !self.ended && self.read_bytes < LINGER_BYTES_MAX
    }

    fn set_watch(&mut self, poll: &Poll) -> io::Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, self.reads());
        flags.set(EpollFlags::EPOLLOUT, self.send_buffer.is_waiting());
        self.watch.set(flags, &self.socket, poll)
    }

    /// Sends bytes that wait, and reads and discards received ones.
    ///
    /// # Errors
    /// The peer is gone, or has heard all and said all.
    fn pass_over(&mut self, buffer: &mut [u8], poll: &Poll) -> io::Result<()> {
        if self.send_buffer.is_waiting() {
            self.send_buffer.flush(&mut self.socket)?;
            if !self.send_buffer.is_waiting() {
                self.socket.shut_down()?;
            }
        }
        if self.reads() {
            match self.socket.read(buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.read_bytes += count,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        if self.ended && !self.send_buffer.is_waiting() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.set_watch(poll)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::{
        super::{HandoffEnd, Worker},
        *,
    };
    use crate::{
        ledger::{Listener, SourceKind},
        net::conn::{
            handoff::{Handoff, WebAsk, WebProtocol},
            tests::Rig,
        },
        os::poll::Bell,
        wire::websocket::{self, CloseCode},
    };

    fn ask(peer: std::net::SocketAddr) -> WebAsk {
        WebAsk {
            label: None,
            protocol: WebProtocol::Detect,
            id: None,
            rate_hz: Some(8_000),
            channels: None,
            gain: None,
            room: None,
            muted: false,
            listen: None,
            pour: false,
            peer,
        }
    }

    #[test]
    fn a_socket_handed_over_at_the_end_gets_the_reason() {
        let rig = Rig::new(1 << 16, 1);
        let (settings, clock) = (rig.settings.clone(), rig.clock);
        let (sender, receiver) = mpsc::sync_channel(2);
        let handoff = Handoff::new(sender, Bell::new().unwrap());
        let acceptor = HandoffEnd {
            account: Arc::new(Listener::new(SourceKind::Http, "http")),
            receiver,
            handoff: handoff.clone(),
        };
        let worker = Worker::new(
            settings,
            clock,
            Arc::new(rig),
            None,
            Vec::new(),
            Some(acceptor),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || {
            let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, address) = listener.accept().unwrap();
            (peer, stream, address)
        };
        let (mut peer, stream, address) = connect();
        // Not read by the time of the end: closed over it, the kernel would reset the connection.
        std::io::Write::write_all(&mut peer, &[0x82, 0]).unwrap();
        // The thread sees the stop first.
        worker.stop().ring();
        handoff.web(stream, Vec::new(), ask(address)).unwrap();
        worker.run();
        let (mut said, mut expected) = (Vec::new(), Vec::new());
        peer.read_to_end(&mut said).unwrap();
        let why = Rejection::Stopping.to_string();
        websocket::close(CloseCode::Away, &why, &mut expected);
        assert_eq!(said, expected);
        let (_peer, stream, address) = connect();
        assert!(handoff.web(stream, Vec::new(), ask(address)).is_err());
    }
}
