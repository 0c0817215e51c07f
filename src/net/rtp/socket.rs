//! The UDP sockets of a listener: bound together, and read in batches.

use std::{
    array, io,
    io::IoSliceMut,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockType,
        SockaddrStorage, bind, getsockopt, recvmmsg, recvmsg, setsockopt, socket, sockopt,
    },
};

use super::group;
use crate::os::during;

/// Datagrams taken with one system call.
pub(super) const BATCH: usize = 64;

/// The longest datagram: none is cut off. Memory that no datagram reaches is never touched.
const DATAGRAM_MAX: usize = 1 << 16;

/// Ports tried, if the kernel chooses one with its next in use.
const ATTEMPTS: usize = 64;

/// A listener's sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    /// One for each thread, on the same port: the kernel deals senders out to them.
    pub packets: Vec<UdpSocket>,
    /// On the next port.
    pub reports: UdpSocket,
    /// Bytes of each one's buffer, as the kernel counts them.
    pub buffer_bytes: usize,
}

impl Sockets {
    /// Binds as many sockets as there are threads, and the one of the next port. If the port is 0 the
    /// kernel chooses two that are free and next to each other. A group is joined on `interface`, or where the
    /// kernel's routes lead to.
    ///
    /// # Errors
    /// The kernel's reason, with the address.
    pub(crate) fn bind(
        address: SocketAddr,
        interface: Option<&str>,
        threads: usize,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        let address = group::scoped(address, interface)?;
        let mut attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
        loop {
            attempts -= 1;
            match Self::try_bind(address, interface, threads, buffer_bytes) {
                Err(error) if attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
    }

    fn try_bind(
        address: SocketAddr,
        interface: Option<&str>,
        threads: usize,
        buffer_bytes: usize,
    ) -> io::Result<Self> {
        let shared = threads > 1;
        let first = bound(address, shared, buffer_bytes)?;
        let address = first.local_addr().map_err(during("getsockname"))?;
        let Some(next) = address.port().checked_add(1) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "RTCP needs the next port, and there is none; choose a lower one",
            ));
        };
        let buffer_bytes_granted =
            getsockopt(&first, sockopt::RcvBuf).map_err(during("getsockopt SO_RCVBUF"))?;
        let mut packets = vec![first];
        for _ in 1..threads {
            packets.push(bound(address, shared, buffer_bytes)?);
        }
        let mut next_address = address;
        next_address.set_port(next);
        let reports = bound(next_address, false, buffer_bytes)
            .map_err(during(format!("its RTCP at port {next}")))?;
        if address.ip().is_multicast() {
            for socket in packets.iter().chain([&reports]) {
                group::join(socket, address.ip(), interface)?;
            }
        }
        Ok(Self {
            packets,
            reports,
            buffer_bytes: buffer_bytes_granted,
        })
    }
}

/// One socket. Only a port that several threads read may be shared: otherwise a second server would take
/// half of the streams unseen.
fn bound(address: SocketAddr, shared: bool, buffer_bytes: usize) -> io::Result<UdpSocket> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd: OwnedFd = socket(family, SockType::Datagram, flags, None).map_err(during("socket"))?;
    if address.ip().is_multicast() {
        // Each socket of the host that has joined a group gets all of it.
        setsockopt(&fd, sockopt::ReuseAddr, &true).map_err(during("setsockopt SO_REUSEADDR"))?;
    }
    if shared {
        setsockopt(&fd, sockopt::ReusePort, &true).map_err(during("setsockopt SO_REUSEPORT"))?;
    }
    setsockopt(&fd, sockopt::RxqOvfl, &1).map_err(during("setsockopt SO_RXQ_OVFL"))?;
    // Beyond the host's limit if the process may do so, else up to it.
    if setsockopt(&fd, sockopt::RcvBufForce, &buffer_bytes).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &buffer_bytes).map_err(during("setsockopt SO_RCVBUF"))?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).map_err(during("bind"))?;
    Ok(UdpSocket::from(fd))
}

/// Memory to read datagrams into.
pub(super) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    bytes: Box<[u8]>,
    control: Vec<u8>,
    /// The kernel has something to say beside the datagrams: how many it dropped.
    dropped: bool,
    /// The kernel refuses to take several with one call.
    single: bool,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            bytes: vec![0; BATCH * DATAGRAM_MAX].into(),
            control: cmsg_space!(u32),
            dropped: false,
            single: false,
        }
    }

    /// Passes waiting datagrams to `take`, up to [`BATCH`], and returns how many. Never waits, never
    /// allocates; one system call, or one for each where the kernel refuses `recvmmsg`.
    ///
    /// # Errors
    /// The kernel's reason, with the call. Nothing waiting is none. After the first error of `recvmmsg` the
    /// datagrams are taken by `recvmsg`.
    ///
    /// # Panics
    /// Never: there is memory for a whole batch.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[u8], SocketAddr),
    ) -> io::Result<usize> {
        if !self.single {
            return self.receive_many(socket, take);
        }
        let mut count = 0;
        while count < BATCH {
            let mut slice = [IoSliceMut::new(&mut self.bytes[..DATAGRAM_MAX])];
            let flags = MsgFlags::MSG_DONTWAIT;
            match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slice, None, flags) {
                Ok(message) => {
                    count += 1;
                    self.dropped |= message.flags.contains(MsgFlags::MSG_CTRUNC);
                    if let Some(from) = message.address.as_ref().and_then(address) {
                        take(message.iovs().next().unwrap_or(&[]), from);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                // The error is still there at the next call: the datagrams before it go first.
                Err(_) if count > 0 => break,
                Err(errno) => return Err(during("recvmsg")(errno)),
            }
        }
        Ok(count)
    }

    fn receive_many(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[u8], SocketAddr),
    ) -> io::Result<usize> {
        let mut parts = self.bytes.chunks_exact_mut(DATAGRAM_MAX);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            array::from_fn(|_| [IoSliceMut::new(parts.next().expect("a batch has memory"))]);
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let received = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(errno) => {
                self.single = true;
                return Err(during("recvmmsg, and recvmsg is used from now on")(errno));
            }
        };
        let mut count = 0;
        for message in received {
            count += 1;
            // There is no room for control messages in a batch, so this is how they tell of themselves.
            // (The kernel shortens the room in each header to what it used, and it is not set back.)
            self.dropped |= message.flags.contains(MsgFlags::MSG_CTRUNC);
            let from = message.address.as_ref().and_then(address);
            if let Some(from) = from {
                take(message.iovs().next().unwrap_or(&[]), from);
            }
        }
        Ok(count)
    }

    /// Takes one datagram, and what the kernel says of those that it dropped before it: their count
    /// since the socket was made, wrapping. None if there were none, or no datagram waits. One system
    /// call, and none if no datagram since reported any.
    pub(crate) fn receive_drops(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[u8], SocketAddr),
    ) -> Option<u32> {
        if !self.dropped {
            return None;
        }
        let mut slice = [IoSliceMut::new(&mut self.bytes[..DATAGRAM_MAX])];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut slice,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )
        .ok()?;
        if let Some(from) = message.address.as_ref().and_then(address) {
            take(message.iovs().next().unwrap_or(&[]), from);
        }
        message.cmsgs().ok()?.find_map(|control| match control {
            ControlMessageOwned::RxqOvfl(dropped) => Some(dropped),
            _ => None,
        })
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|&v4| SocketAddr::from(v4));
    v4.or_else(|| storage.as_sockaddr_in6().map(|&v6| SocketAddr::from(v6)))
}

/// Sends a datagram, if there is room: a report is not worth waiting for.
pub(super) fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    let to = match (socket.local_addr(), to) {
        // A socket of both families names IPv4 addresses in IPv6 form.
        (Ok(SocketAddr::V6(_)), SocketAddr::V4(v4)) => {
            SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
        }
        _ => to,
    };
    let _ = socket.send_to(bytes, to);
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    use super::*;

    #[cfg(target_arch = "x86_64")]
    const SYS_RECVMMSG: i64 = 299;
    #[cfg(not(target_arch = "x86_64"))]
    const SYS_RECVMMSG: i64 = 243;

    const LOOPBACK: &str = "127.0.0.1:0";

    /// A filter of this thread, and of those that it starts, answers `recvmmsg` with EPERM.
    pub(crate) fn refuse_recvmmsg() {
        let filter: BpfProgram = SeccompFilter::new(
            [(SYS_RECVMMSG, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(Errno::EPERM as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        )
        .unwrap()
        .try_into()
        .unwrap();
        seccompiler::apply_filter(&filter).unwrap();
    }

    fn take_all(
        batch: &mut Batch,
        socket: &UdpSocket,
        wanted: usize,
    ) -> Vec<(Vec<u8>, SocketAddr)> {
        let mut taken = Vec::new();
        let begun = Instant::now();
        while taken.len() < wanted && begun.elapsed() < Duration::from_secs(60) {
            batch
                .receive(socket, |bytes, from| taken.push((bytes.to_vec(), from)))
                .unwrap();
        }
        taken
    }

    #[test]
    fn datagrams_of_every_length_come_whole_and_in_order() {
        for address in [LOOPBACK, "[::1]:0"] {
            let Ok(sockets) = Sockets::bind(address.parse().unwrap(), None, 1, 1 << 20) else {
                // A host without IPv6.
                assert_ne!(address, LOOPBACK);
                continue;
            };
            let [socket] = &sockets.packets[..] else {
                panic!("one thread, one socket")
            };
            let sender = UdpSocket::bind(address).unwrap();
            let sent: Vec<Vec<u8>> = [0, 1, 172, 1472, 9000, 65_000]
                .into_iter()
                .cycle()
                .take(BATCH + 6)
                .enumerate()
                .map(|(index, length)| vec![index as u8; length])
                .collect();
            let mut batch = Batch::new();
            let mut taken = Vec::new();
            for datagrams in sent.chunks(6) {
                for datagram in datagrams {
                    sender
                        .send_to(datagram, socket.local_addr().unwrap())
                        .unwrap();
                }
                taken.extend(take_all(&mut batch, socket, datagrams.len()));
            }
            let (bytes, from): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            assert_eq!(bytes, sent);
            assert!(
                from.iter()
                    .all(|&from| from == sender.local_addr().unwrap())
            );
        }
    }

    #[test]
    fn what_the_kernel_drops_is_told() {
        let sockets = Sockets::bind(LOOPBACK.parse().unwrap(), None, 1, 1 << 20).unwrap();
        let socket = &sockets.packets[0];
        // The smallest buffer that the kernel allows.
        setsockopt(socket, sockopt::RcvBuf, &1).unwrap();
        let sender = UdpSocket::bind(LOOPBACK).unwrap();
        let to = socket.local_addr().unwrap();
        let (mut batch, mut taken, mut dropped) = (Batch::new(), 0, 0);
        assert_eq!(batch.receive_drops(socket, |_, _| {}), None);
        for _ in 0..2 {
            for _ in 0..100 {
                sender.send_to(&[0; 172], to).unwrap();
            }
            taken += take_all(&mut batch, socket, 1).len();
            while batch.receive(socket, |_, _| taken += 1).unwrap() > 0 {}
            // The next one brings the count.
            sender.send_to(&[0; 172], to).unwrap();
            let told = batch.receive_drops(socket, |_, _| taken += 1);
            dropped = told.or(dropped.into()).unwrap_or(0);
            while batch.receive(socket, |_, _| taken += 1).unwrap() > 0 {}
        }
        assert!(dropped > 0);
        assert_eq!(taken + dropped as usize, 202);
    }

    #[test]
    fn datagrams_come_one_by_one_where_recvmmsg_is_refused() {
        let sockets = Sockets::bind(LOOPBACK.parse().unwrap(), None, 1, 1 << 20).unwrap();
        let socket = &sockets.packets[0];
        let sender = UdpSocket::bind(LOOPBACK).unwrap();
        for byte in 0..100 {
            let to = socket.local_addr().unwrap();
            sender.send_to(&[byte; 10], to).unwrap();
        }
        let taken = std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                refuse_recvmmsg();
                let mut batch = Batch::new();
                let error = batch.receive(socket, |_, _| {}).unwrap_err().to_string();
                assert!(error.contains("recvmmsg"), "{error}");
                take_all(&mut batch, socket, 100)
            });
            taken.join().unwrap()
        });
        let sent: Vec<_> = (0..100).map(|byte| vec![byte; 10]).collect();
        let taken: Vec<_> = taken.into_iter().map(|(bytes, _)| bytes).collect();
        assert_eq!(taken, sent);
    }

    #[test]
    fn a_port_of_ones_own_is_not_shared_unseen() {
        let first = Sockets::bind(LOOPBACK.parse().unwrap(), None, 1, 1 << 16).unwrap();
        let address = first.packets[0].local_addr().unwrap();
        for threads in [1, 2] {
            let error = Sockets::bind(address, None, threads, 1 << 16).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().starts_with("bind: "), "{error}");
        }
        let next = first.reports.local_addr().unwrap();
        assert_eq!(next.port(), address.port() + 1);
    }

    #[test]
    fn a_port_whose_next_is_taken_says_that_rtcp_needs_it() {
        let (_taken, address) = (0..ATTEMPTS)
            .find_map(|_| {
                let free = UdpSocket::bind(LOOPBACK).unwrap();
                let mut address = free.local_addr().unwrap();
                let next = SocketAddr::new(address.ip(), address.port().checked_add(1)?);
                let taken = UdpSocket::bind(next).ok()?;
                address.set_port(next.port() - 1);
                Some((taken, address))
            })
            .unwrap();
        let error = Sockets::bind(address, None, 1, 1 << 16)
            .unwrap_err()
            .to_string();
        let said = format!("its RTCP at port {}: bind: ", address.port() + 1);
        assert!(error.starts_with(&said), "{error}");
    }

    #[test]
    fn threads_share_a_port_and_each_datagram_comes_once() {
        let sockets = Sockets::bind(LOOPBACK.parse().unwrap(), None, 3, 1 << 20).unwrap();
        let to = sockets.packets[0].local_addr().unwrap();
        let senders: Vec<_> = (0..50)
            .map(|_| UdpSocket::bind(LOOPBACK).unwrap())
            .collect();
        for sender in &senders {
            sender.send_to(b"one", to).unwrap();
            sender.send_to(b"two", to).unwrap();
        }
        let mut batch = Batch::new();
        let mut taken = Vec::new();
        for socket in &sockets.packets {
            let of_one = take_all_now(&mut batch, socket);
            // Both of a sender go to the same.
            assert_eq!(of_one.len() % 2, 0);
            taken.extend(of_one);
        }
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 50);
    }

    fn take_all_now(batch: &mut Batch, socket: &UdpSocket) -> Vec<SocketAddr> {
        let mut taken = Vec::new();
        while batch.receive(socket, |_, from| taken.push(from)).unwrap() > 0 {}
        taken
    }

    #[test]
    fn the_last_port_is_refused_with_the_reason() {
        let error =
            Sockets::bind("127.0.0.1:65535".parse().unwrap(), None, 1, 1 << 16).unwrap_err();
        assert!(
            error.to_string().contains("RTCP needs the next port"),
            "{error}"
        );
    }
}
