//! Input and output of connections: received bytes, and the mix that goes back.

use std::{
    io::{self, Read},
    sync::Arc,
};

use nix::sys::epoll::EpollFlags;

use super::{Draining, Worker, peer::Peer};
use crate::{
    net::conn::{
        context::{Context, EndReason},
        handoff::Rejection,
    },
    os::now_ns,
    output::participants::return_rings::{ReturnRings, Returned},
};

/// Reads of one connection before the others have their turn.
const READS_MAX: usize = 64;

impl Worker {
    /// Something happened on a connection.
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
        } else if let Err(reason) = watch(peer, &self.epoll) {
            self.gone.push((key, reason));
        }
    }

    /// Reads what came on a connection.
    pub(super) fn read(&mut self, key: u64) {
        let Self {
            common,
            peers,
            draining,
            return_rings,
            epoll,
            buffer,
            gone,
            ..
        } = self;
        let Some(peer) = peers.get_mut(&key) else {
            return;
        };
        let account = Arc::clone(&peer.account);
        let now_ns = now_ns();
        let context = common.context(&account, now_ns);
        let mut read = 0;
        for _ in 0..READS_MAX {
            let wanted = peer.read_budget().min(buffer.len());
            if wanted == 0 || read >= buffer.len() {
                break;
            }
            let count = match peer.socket.read(&mut buffer[..wanted]) {
                Ok(0) => {
                    peer.note_closed(&context);
                    gone.push((key, EndReason::HungUp));
                    return;
                }
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => continue,
                    _ => {
                        peer.note(&format!("connection lost: {error}"), &context);
                        gone.push((key, EndReason::HungUp));
                        return;
                    }
                },
            };
            read += count;
            peer.touch(now_ns);
            if let Err(reason) = take(
                peer,
                &buffer[..count],
                &context,
                return_rings.as_mut(),
                draining,
            ) {
                gone.push((key, reason));
                return;
            }
        }
        if let Err(reason) = watch(peer, epoll) {
            gone.push((key, reason));
        }
    }

    /// Sends the frames of the mix that have come back.
    pub(super) fn send_outputs(&mut self) {
        let Self {
            peers,
            return_rings,
            epoll,
            gone,
            ..
        } = self;
        let Some(return_rings) = return_rings else {
            return;
        };
        return_rings.drain(|key, returned, mix| {
            let Some(peer) = peers.get_mut(&key) else {
                return;
            };
            let (at, samples) = match returned {
                Returned::Frame(at, samples) => (at, samples),
                Returned::Lost(frames) => {
                    (0..frames).for_each(|_| peer.count_output(true));
                    return;
                }
            };
            if let Some(sent) = peer.encode(at, samples, mix) {
                peer.count_output(!sent);
            }
            if let Err(reason) = watch(peer, epoll) {
                gone.push((key, reason));
            }
        });
    }
}

/// A connection takes received bytes. A stream input that is complete plays on without it; an identified one
/// gets its ring of the way back.
pub(super) fn take(
    peer: &mut Peer,
    bytes: &[u8],
    context: &Context<'_>,
    return_rings: Option<&mut ReturnRings>,
    draining: &mut Vec<Draining>,
) -> Result<(), EndReason> {
    let known = peer.output().is_some();
    let input = peer.receive(bytes, context)?;
    draining.extend(input.map(|input| Draining {
        input,
        _share: None,
    }));
    if let (false, Some(lease), Some(return_rings)) = (known, peer.output(), return_rings) {
        return_rings.own(lease, peer.key);
    }
    Ok(())
}

/// Has the epoll watch for what is wanted now.
pub(super) fn watch(peer: &mut Peer, epoll: &nix::sys::epoll::Epoll) -> Result<(), EndReason> {
    peer.watch(epoll).map_err(|error| {
        EndReason::Refused(Rejection::Failed {
            what: "watching a connection",
            why: error.to_string(),
        })
    })
}
