use std::time::Instant;

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

fn take_all(batch: &mut Batch, socket: &UdpSocket, wanted: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut taken = Vec::new();
    let begun = Instant::now();
    while taken.len() < wanted && begun.elapsed() < Duration::from_secs(60) {
        batch
            .receive(socket, |all| {
                taken.extend(all.iter().map(|one| (one.bytes.to_vec(), one.from)));
            })
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
    let (mut batch, mut taken) = (Batch::new(), 0);
    for _ in 0..3 {
        for _ in 0..100 {
            sender.send_to(&[0; 172], to).unwrap();
        }
        taken += take_all(&mut batch, socket, 1).len();
        while batch.receive(socket, |all| taken += all.len()).unwrap() > 0 {}
        // The next ones bring the count: the first finds no room for it, once.
        for _ in 0..2 {
            sender.send_to(&[0; 172], to).unwrap();
            taken += take_all(&mut batch, socket, 1).len();
        }
    }
    assert!(batch.dropped() > 0);
    assert_eq!(taken + batch.dropped() as usize, 306);
}

#[test]
fn a_datagram_came_when_the_kernel_took_it() {
    let sockets = Sockets::bind(LOOPBACK.parse().unwrap(), None, 1, 1 << 20).unwrap();
    let socket = &sockets.packets[0];
    let sender = UdpSocket::bind(LOOPBACK).unwrap();
    let mut batch = Batch::new();
    for single in [false, true] {
        batch.single = single;
        let mut is_stamped = || {
            let before = now_ns();
            sender
                .send_to(&[0; 12], socket.local_addr().unwrap())
                .unwrap();
            let after = now_ns();
            std::thread::sleep(Duration::from_millis(20));
            let mut came = Vec::new();
            batch
                .receive(socket, |all| came.extend(all.iter().map(|one| one.at_ns)))
                .unwrap();
            // The clocks are read one after the other.
            let sent = before - 1_000_000..=after + 1_000_000;
            came.iter().all(|at_ns| sent.contains(at_ns))
        };
        // The kernel begins to stamp a while after it was asked to.
        assert!((0..500).any(|_| is_stamped()), "{single}");
        // Each slot of a batch keeps its room.
        assert!((0..3).all(|_| is_stamped()), "{single}");
    }
}

#[test]
fn a_stamp_of_a_clock_that_was_set_means_now() {
    let clocks = Clocks {
        monotonic_ns: 100_000_000_000,
        realtime_ns: 900_000_000_000,
    };
    let stamps = [None, Some(0), Some(900_000_000_001), Some(898_000_000_000)];
    let arrivals = stamps.map(|stamp| clocks.arrival_ns(stamp));
    let now = 100_000_000_000;
    assert_eq!(arrivals, [now, now, now, now - 2_000_000_000]);
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
            let error = batch.receive(socket, |_| {}).unwrap_err().to_string();
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
    while batch
        .receive(socket, |all| taken.extend(all.iter().map(|one| one.from)))
        .unwrap()
        > 0
    {}
    taken
}

#[test]
fn the_last_port_is_refused_with_the_reason() {
    let error = Sockets::bind("127.0.0.1:65535".parse().unwrap(), None, 1, 1 << 16).unwrap_err();
    assert!(
        error.to_string().contains("RTCP needs the next port"),
        "{error}"
    );
}
