//! The UDP sockets of a listener: bound together, and read in batches.

use std::{
    array, io,
    io::IoSliceMut,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockFlag,
            SockType, SockaddrStorage, bind, getsockopt, recvmmsg, recvmsg, setsockopt, socket,
            sockopt,
        },
        time::TimeSpec,
    },
};

use super::{group, outbox::is_of_earlier};
use crate::os::{during, now_ns, realtime_ns};

/// Datagrams taken with one system call.
pub(super) const BATCH: usize = 64;

/// The longest datagram: none is cut off. Memory that no datagram reaches is never touched.
const DATAGRAM_MAX: usize = 1 << 16;

/// Memory from one datagram to the next. At a power of two the first lines of all datagrams would share one set of
/// the processor's caches.
const STRIDE: usize = DATAGRAM_MAX + 5 * 64;

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
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true)
        .map_err(during("setsockopt SO_TIMESTAMPNS"))?;
    // Beyond the host's limit if the process may do so, else up to it.
    if setsockopt(&fd, sockopt::RcvBufForce, &buffer_bytes).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &buffer_bytes).map_err(during("setsockopt SO_RCVBUF"))?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).map_err(during("bind"))?;
    Ok(UdpSocket::from(fd))
}

/// A stamp that is older than this is of a clock that was set.
const STAMP_AGE_NS_MAX: u64 = 60_000_000_000;

/// Both clocks at one moment, which turn the kernel's stamps into times of the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    monotonic_ns: u64,
    realtime_ns: u64,
}

impl Clocks {
    fn now() -> Self {
        Self {
            monotonic_ns: now_ns(),
            realtime_ns: realtime_ns(),
        }
    }

    /// When a datagram with this stamp came; now if its stamp cannot be true.
    fn arrival_ns(self, stamp_ns: Option<u64>) -> u64 {
        let age_ns = stamp_ns.and_then(|stamp_ns| self.realtime_ns.checked_sub(stamp_ns));
        let age_ns = age_ns.filter(|&age_ns| age_ns <= STAMP_AGE_NS_MAX);
        self.monotonic_ns.saturating_sub(age_ns.unwrap_or(0))
    }
}

/// A datagram that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    pub bytes: &'a [u8],
    pub from: SocketAddr,
    /// When it arrived, on the monotonic clock.
    pub at_ns: u64,
}

impl Datagram<'_> {
    const NONE: Self = Self {
        bytes: &[],
        from: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        at_ns: 0,
    };
}

/// Memory to read datagrams of one socket into.
pub(super) struct Batch {
    headers: MultiHeaders<SockaddrStorage>,
    bytes: Box<[u8]>,
    control: Vec<u8>,
    /// Datagrams that the kernel had dropped before the last one, since the socket was made; wraps.
    dropped: u32,
    /// The kernel refuses to take several with one call.
    single: bool,
}

/// Room for the control messages of one datagram.
fn control() -> Vec<u8> {
    cmsg_space!(TimeSpec, u32)
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, Some(control())),
            bytes: vec![0; BATCH * STRIDE].into(),
            control: control(),
            dropped: 0,
            single: false,
        }
    }

    /// For a socket on which little comes: each datagram by a call of its own.
    pub(crate) fn singly() -> Self {
        Self {
            single: true,
            ..Self::new()
        }
    }

    /// Datagrams that the kernel had dropped before the last one that was taken, since the socket was made; wraps.
    pub(crate) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Passes waiting datagrams to `take`, up to [`BATCH`], and returns how many. Never waits; one system call, or one
    /// for each where the kernel refuses `recvmmsg`: then `take` is called for each. Allocates only around the first
    /// datagram that the kernel drops.
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
        take: impl FnMut(&[Datagram<'_>]),
    ) -> io::Result<usize> {
        if self.single {
            return self.receive_singly(socket, take);
        }
        self.receive_many(socket, take)
    }

    /// The same with a system call for each datagram.
    fn receive_singly(
        &mut self,
        socket: &UdpSocket,
        mut take: impl FnMut(&[Datagram<'_>]),
    ) -> io::Result<usize> {
        let mut count = 0;
        while count < BATCH {
            let mut slice = [IoSliceMut::new(&mut self.bytes[..DATAGRAM_MAX])];
            let control = Some(&mut self.control[..]);
            let flags = MsgFlags::MSG_DONTWAIT;
            match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slice, control, flags) {
                Ok(message) => {
                    count += 1;
                    let said = said(&message);
                    self.dropped = said.dropped.unwrap_or(self.dropped);
                    let at_ns = Clocks::now().arrival_ns(said.stamp_ns);
                    if let Some(from) = message.address.as_ref().and_then(address) {
                        let bytes = message.iovs().next().unwrap_or(&[]);
                        take(&[Datagram { bytes, from, at_ns }]);
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(errno) if is_of_earlier(errno) => break,
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
        mut take: impl FnMut(&[Datagram<'_>]),
    ) -> io::Result<usize> {
        let mut parts = self.bytes.chunks_exact_mut(STRIDE);
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
            // Nothing was taken, and the next call has no such error.
            Err(errno) if is_of_earlier(errno) => return Ok(0),
            Err(errno) => {
                self.single = true;
                return Err(during("recvmmsg, and recvmsg is used from now on")(errno));
            }
        };
        let clocks = Clocks::now();
        let (mut count, mut cut) = (0, false);
        let (mut datagrams, mut known) = ([Datagram::NONE; BATCH], 0);
        for message in received {
            count += 1;
            let said = said(&message);
            cut |= said.cut;
            self.dropped = said.dropped.unwrap_or(self.dropped);
            let from = message.address.as_ref().and_then(address);
            if let Some(from) = from {
                let at_ns = clocks.arrival_ns(said.stamp_ns);
                let bytes = message.iovs().next().unwrap_or(&[]);
                datagrams[known] = Datagram { bytes, from, at_ns };
                known += 1;
            }
        }
        take(&datagrams[..known]);
        if cut {
            // The kernel shortens the room in each header to what it used, and it is not set back: the count of
            // dropped ones, which is said from the first of them on, then finds none.
            self.headers = MultiHeaders::preallocate(BATCH, Some(control()));
        }
        Ok(count)
    }
}

/// The control messages of a datagram.
#[derive(Debug, Default)]
struct Said {
    stamp_ns: Option<u64>,
    dropped: Option<u32>,
    /// There was no room for all of them.
    cut: bool,
}

fn said(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Said {
    let Ok(controls) = message.cmsgs() else {
        return Said {
            cut: true,
            ..Said::default()
        };
    };
    controls.fold(Said::default(), |said, control| match control {
        ControlMessageOwned::ScmTimestampns(stamp) => Said {
            stamp_ns: u64::try_from(Duration::from(stamp).as_nanos()).ok(),
            ..said
        },
        ControlMessageOwned::RxqOvfl(dropped) => Said {
            dropped: Some(dropped),
            ..said
        },
        _ => said,
    })
}

pub(super) fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|&v4| SocketAddr::from(v4));
    v4.or_else(|| storage.as_sockaddr_in6().map(|&v6| SocketAddr::from(v6)))
}

/// Sends a datagram, if there is room: a report is not worth waiting for.
pub(super) fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    let is_v6 = socket.local_addr().is_ok_and(|local| local.is_ipv6());
    let _ = socket.send_to(bytes, named_for(is_v6, to));
}

/// An address as a socket of IPv6 or IPv4 names it: one of both families has IPv4 addresses in IPv6 form.
pub(super) fn named_for(is_v6: bool, to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(v4) if is_v6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        _ => to,
    }
}

#[cfg(test)]
pub(super) mod tests;
