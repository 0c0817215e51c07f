//! Input and output of connections: received bytes, and the mix that goes back.

use std::{
    io::{self, Read},
    sync::Arc,
};

use nix::sys::epoll::EpollFlags;

use super::{Worker, peer::Peer};
use crate::{
    net::conn::{
        context::{Context, EndReason},
        handoff::Rejection,
    },
    os::{now_ns, poll::Poll},
    output::{
        feed_reader::{Delivery, FeedReader, Piece},
        participants::return_encoder::Mixes,
    },
};

/// Reads of one connection before the others have their turn.
const READS_MAX: usize = 64;

impl Worker {
    pub(super) fn serve(&mut self, key: u64, events: EpollFlags) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return self.pass_over(key);
        };
        if events.contains(EpollFlags::EPOLLOUT) {
            // A peer that is gone is seen when it is read.
            let _ = peer.send_buffer.flush(&mut peer.socket);
        }
        if events.intersects(!EpollFlags::EPOLLOUT) {
            self.read(key);
        } else if let Err(reason) = watch(peer, &self.poll) {
            self.gone.push((key, reason));
        }
    }

    pub(super) fn read(&mut self, key: u64) {
        self.with_peer(key, read);
    }

    /// Begins a connection that was handed over, with the bytes already read of it.
    pub(super) fn begin(&mut self, key: u64, leftover: &[u8]) {
        self.with_peer(key, |served, _| {
            let Peer {
                protocol, caller, ..
            } = &mut *served.peer;
            protocol.begin(caller, served.context)?;
            served.own_ring(false);
            if leftover.is_empty() {
                return Ok(());
            }
            served.take(leftover)
        });
    }

    /// Lets a connection act, and watches for the events that it then wants. Notes one that is over.
    fn with_peer(
        &mut self,
        key: u64,
        act: impl FnOnce(&mut Served<'_>, &mut [u8]) -> Result<(), EndReason>,
    ) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        let account = Arc::clone(&peer.account);
        let mut served = Served {
            peer,
            context: &self.common.context(&account, now_ns()),
            reader: self.reader.as_mut(),
        };
        let acted = act(&mut served, &mut self.buffer);
        if let Err(reason) = acted.and_then(|()| watch(served.peer, &self.poll)) {
            self.gone.push((key, reason));
        }
    }

    /// Sends the mix-minuses that have come to their peers.
    pub(super) fn send_feeds(&mut self) {
        let Self {
            peers,
            reader: Some(reader),
            mixes,
            poll,
            gone,
            ..
        } = self
        else {
            return;
        };
        reader.drain(|delivery| match delivery {
            Delivery::Room(room, piece) => mixes.push(room, piece.first, piece.samples),
            Delivery::RoomEnded(room) => mixes.end(room),
            Delivery::Feed(key, piece) => {
                if let Some(peer) = peers.get_mut(&key)
                    && let Err(reason) = send(peer, &piece, mixes, poll)
                {
                    gone.push((key, reason));
                }
            }
            Delivery::Ended(_) => {}
        });
    }
}

/// Sends a piece of its mix-minus to a peer.
fn send(
    peer: &mut Peer,
    piece: &Piece<'_>,
    mixes: &mut Mixes,
    poll: &Poll,
) -> Result<(), EndReason> {
    if piece.is_lost || peer.caller.is_shed() {
        peer.caller.count_output(true);
        return Ok(());
    }
    if let Some(sent) = peer.encode(piece, mixes) {
        peer.caller.count_output(!sent);
    }
    watch(peer, poll)
}

/// A connection that is served, and the parts of its worker that it acts on.
struct Served<'a> {
    peer: &'a mut Peer,
    context: &'a Context<'a>,
    reader: Option<&'a mut FeedReader>,
}

impl Served<'_> {
    /// The connection takes received bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<(), EndReason> {
        let is_owned = self.peer.caller.mix_minus().is_some();
        self.peer.receive(bytes, self.context)?;
        self.own_ring(is_owned);
        Ok(())
    }

    /// The ring of the way back is this connection's, unless it has been.
    fn own_ring(&mut self, is_owned: bool) {
        if let (false, Some(lease), Some(reader)) =
            (is_owned, self.peer.caller.mix_minus(), &mut self.reader)
        {
            reader.own(lease, self.peer.key);
        }
    }
}

/// Reads into `buffer`, about as much as that holds.
fn read(served: &mut Served<'_>, buffer: &mut [u8]) -> Result<(), EndReason> {
    let mut read = 0;
    for _ in 0..READS_MAX {
        let wanted = (served.peer.protocol)
            .read_budget(&served.peer.caller)
            .min(buffer.len());
        if wanted == 0 || read >= buffer.len() {
            break;
        }
        match served.peer.socket.read(&mut buffer[..wanted]) {
            Ok(0) => {
                served.peer.note_closed(served.context);
                return Err(EndReason::HungUp);
            }
            Ok(count) => {
                read += count;
                served.peer.touch(served.context.now_ns);
                served.take(&buffer[..count])?;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => break,
                io::ErrorKind::Interrupted => {}
                _ => {
                    let what = format!("connection lost: {error}");
                    served.peer.caller.note(&what, served.context);
                    return Err(EndReason::HungUp);
                }
            },
        }
    }
    Ok(())
}

/// Watches for the events that are wanted now.
fn watch(peer: &mut Peer, poll: &Poll) -> Result<(), EndReason> {
    peer.watch(poll).map_err(|error| {
        EndReason::Refused(Rejection::Failed {
            what: "watching a connection",
            why: error.to_string(),
        })
    })
}
