//! What happens on connections: bytes that came, and the mix that goes back.

use std::{
    io::{self, Read},
    sync::Arc,
};

use nix::sys::epoll::EpollFlags;

use super::{Tail, Worker, peer::Peer};
use crate::{
    net::conn::{
        guests::Rejection,
        host::{Host, Over},
    },
    os::now_ns,
    output::participants::egress::{Coming, Egress},
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
            let _ = peer.outbox.flush(&mut peer.socket);
        }
        if events.intersects(!EpollFlags::EPOLLOUT) {
            self.read(key);
        } else if let Err(over) = watch(peer, &self.epoll) {
            self.gone.push((key, over));
        }
    }

    /// Reads what came on a connection.
    pub(super) fn read(&mut self, key: u64) {
        let Self {
            common,
            peers,
            tails,
            egress,
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
        let host = common.host(&account, now_ns);
        let mut read = 0;
        for _ in 0..READS_MAX {
            let wanted = peer.appetite().min(buffer.len());
            if wanted == 0 || read >= buffer.len() {
                break;
            }
            let count = match peer.socket.read(&mut buffer[..wanted]) {
                Ok(0) => {
                    peer.note_closed(&host);
                    gone.push((key, Over::HungUp));
                    return;
                }
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => continue,
                    _ => {
                        peer.note(&format!("connection lost: {error}"), &host);
                        gone.push((key, Over::HungUp));
                        return;
                    }
                },
            };
            read += count;
            peer.touch(now_ns);
            if let Err(over) = take(peer, &buffer[..count], &host, egress.as_mut(), tails) {
                gone.push((key, over));
                return;
            }
        }
        if let Err(over) = watch(peer, epoll) {
            gone.push((key, over));
        }
    }

    /// Sends the frames of the mix that have come back.
    pub(super) fn send_outputs(&mut self) {
        let Self {
            peers,
            egress,
            epoll,
            gone,
            ..
        } = self;
        let Some(egress) = egress else { return };
        egress.drain(|key, coming, mix| {
            let Some(peer) = peers.get_mut(&key) else {
                return;
            };
            let (at, samples) = match coming {
                Coming::Frame(at, samples) => (at, samples),
                Coming::Lost(frames) => {
                    (0..frames).for_each(|_| peer.count_output(true));
                    return;
                }
            };
            if let Some(sent) = peer.hear(at, samples, mix) {
                peer.count_output(!sent);
            }
            if let Err(over) = watch(peer, epoll) {
                gone.push((key, over));
            }
        });
    }
}

/// A connection takes what came. A voice that is complete plays on without it; one that shows who it is
/// gets its ring of the way back.
pub(super) fn take(
    peer: &mut Peer,
    bytes: &[u8],
    host: &Host<'_>,
    egress: Option<&mut Egress>,
    tails: &mut Vec<Tail>,
) -> Result<(), Over> {
    let known = peer.output().is_some();
    let voice = peer.receive(bytes, host)?;
    tails.extend(voice.map(|voice| Tail {
        voice,
        _share: None,
    }));
    if let (false, Some(lease), Some(egress)) = (known, peer.output(), egress) {
        egress.own(lease, peer.key);
    }
    Ok(())
}

/// Has the epoll watch for what is wanted now.
pub(super) fn watch(peer: &mut Peer, epoll: &nix::sys::epoll::Epoll) -> Result<(), Over> {
    peer.watch(epoll).map_err(|error| {
        Over::Refused(Rejection::Failed {
            what: "watching a connection",
            why: error.to_string(),
        })
    })
}
