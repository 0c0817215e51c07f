//! Packets on their way out of a socket, many to a system call; and what the network says of those that it refused.

use std::{
    array,
    io::{self, IoSlice},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc::{sock_extended_err, sockaddr_in6},
    sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmsg, sendmmsg,
        setsockopt, sockopt,
    },
};

use super::socket::{BATCH, address, named_for};

/// Room for the longest packet: a payload of 1400 bytes, a header, and what an Opus frame may have beyond.
const STRIDE: usize = 1536;

/// Refusals that are read in one go.
const REFUSALS_MAX: usize = 256;

/// A packet was not sent, or its host refused it.
pub(super) struct Unsent {
    pub to: SocketAddr,
    /// By the far host, where no program receives; otherwise the kernel here had no room.
    pub is_refused: bool,
    pub why: io::Error,
}

/// Packets that wait for their system call.
pub(super) struct Outbox {
    headers: MultiHeaders<SockaddrStorage>,
    bytes: Box<[u8]>,
    lengths: [usize; BATCH],
    addresses: [Option<SockaddrStorage>; BATCH],
    to: [Option<SocketAddr>; BATCH],
    count: usize,
    /// The socket is one of IPv6.
    is_v6: bool,
}

impl Outbox {
    /// Allocates all that it ever needs.
    pub(crate) fn new(socket: &UdpSocket) -> Self {
        Self {
            is_v6: socket.local_addr().is_ok_and(|local| local.is_ipv6()),
            headers: MultiHeaders::preallocate(BATCH, None),
            bytes: vec![0; BATCH * STRIDE].into(),
            lengths: [0; BATCH],
            addresses: [None; BATCH],
            to: [None; BATCH],
            count: 0,
        }
    }

    /// Puts a packet behind those that wait; a full box is sent first. One that is longer than any of ours is left out.
    pub(crate) fn push(
        &mut self,
        socket: &UdpSocket,
        to: SocketAddr,
        packet: &[u8],
        unsent: &mut impl FnMut(Unsent),
    ) {
        if self.count == BATCH {
            self.flush(socket, unsent);
        }
        let at = self.count;
        let Some(room) = self.bytes[at * STRIDE..][..STRIDE].get_mut(..packet.len()) else {
            debug_assert!(false, "a packet of {} bytes", packet.len());
            return;
        };
        room.copy_from_slice(packet);
        self.lengths[at] = packet.len();
        self.addresses[at] = Some(named_for(self.is_v6, to).into());
        self.to[at] = Some(to);
        self.count += 1;
    }

    /// Sends all that waits, and never waits itself: what the kernel has no room for is passed to `unsent`.
    pub(crate) fn flush(&mut self, socket: &UdpSocket, unsent: &mut impl FnMut(Unsent)) {
        // How many were sent, and the place of one that is tried again.
        let (mut begin, mut again) = (0, None);
        while begin < self.count {
            let slices: [[IoSlice<'_>; 1]; BATCH] = array::from_fn(|at| {
                let length = self.lengths.get(begin + at).copied().unwrap_or(0);
                let from = ((begin + at) * STRIDE).min(self.bytes.len() - length);
                [IoSlice::new(&self.bytes[from..][..length])]
            });
            let addresses = &self.addresses[begin..self.count];
            let headers = &mut self.headers;
            let flags = MsgFlags::MSG_DONTWAIT;
            match sendmmsg(
                socket.as_raw_fd(),
                headers,
                slices.iter().take(addresses.len()),
                addresses,
                [],
                flags,
            ) {
                Ok(sent) => begin += sent.count().max(1),
                Err(Errno::EINTR) => {}
                // If it is of a packet that was sent before, this one was not looked at.
                Err(errno) if is_of_earlier(errno) && again != Some(begin) => again = Some(begin),
                Err(errno) => {
                    if let Some(to) = self.to[begin] {
                        unsent(Unsent {
                            to,
                            is_refused: false,
                            why: errno.into(),
                        });
                    }
                    begin += 1;
                }
            }
        }
        self.count = 0;
    }
}

/// Whether an error of this kind may tell of a packet that was sent before.
pub(super) fn is_of_earlier(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENOPROTOOPT
            | Errno::EPROTO
            | Errno::EMSGSIZE
    )
}

/// The kernel's buffer of packets that go out: all packets of a tick leave at once, and an interface takes a while for them.
const SEND_BUFFER_BYTES: usize = 4 << 20;

/// Has the kernel hold as many packets that go out as it grants.
pub(super) fn enlarge_send_buffer(socket: &UdpSocket) {
    // Beyond the host's limit if the process may do so, else up to it: what has no room is counted.
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER_BYTES);
    }
}

/// Has the kernel keep what hosts and routers say of packets of this socket that they refused.
///
/// # Errors
/// The kernel's reason.
pub(super) fn keep_refusals(socket: &UdpSocket) -> io::Result<()> {
    let v6 = socket.local_addr()?.is_ipv6();
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    // A socket of both families has those of IPv4, too.
    match setsockopt(socket, sockopt::Ipv4RecvErr, &true) {
        Err(errno) if !v6 => Err(errno.into()),
        _ => Ok(()),
    }
}

/// Passes the refusals that the kernel has kept to `unsent`, within bounds. Never waits.
pub(super) fn take_refusals(socket: &UdpSocket, unsent: &mut impl FnMut(Unsent)) {
    let mut control = cmsg_space!(sock_extended_err, sockaddr_in6);
    for _ in 0..REFUSALS_MAX {
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let received =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut control), flags);
        let Ok(message) = received else {
            return;
        };
        let Some(to) = message.address.as_ref().and_then(address) else {
            continue;
        };
        let refused = message.cmsgs().into_iter().flatten();
        for control in refused {
            if let ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) = control
            {
                unsent(Unsent {
                    to,
                    is_refused: true,
                    why: Errno::from_raw(error.ee_errno as i32).into(),
                });
            }
        }
    }
}
