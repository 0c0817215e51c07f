//! A bare receiver of UDP: the system calls of a server's RTP threads, with its socket options, its batches and its
//! rest between them, and nothing done with what came. It is what receiving costs before any work.
//!
//! Run it with `cargo run --release --example rtp_receive -- --listen 127.0.0.1:5004 --seconds 60`.

use std::{
    array, error::Error, io::IoSliceMut, net::SocketAddr, os::fd::AsRawFd, os::fd::OwnedFd, thread,
    time::Duration, time::Instant,
};

use clap::Parser;
use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, MultiHeaders, SockFlag, SockType,
            SockaddrStorage, bind, recvmmsg, setsockopt, socket, sockopt,
        },
        time::TimeSpec,
    },
};

/// Datagrams taken with one system call, and the room for each, which is no power of two: all would share few lines
/// of the caches.
const BATCH: usize = 64;
const DATAGRAM_MAX: usize = (1 << 16) + 5 * 64;
/// Batches that are taken before a rest, and how long that is.
const BATCHES_MAX: usize = 32;
const REST: Duration = Duration::from_millis(1);

#[derive(Parser)]
struct Receive {
    /// Where packets come to.
    #[arg(long)]
    listen: SocketAddr,
    /// Threads that receive, each with a socket of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The kernel's buffer for each socket, in bytes.
    #[arg(long, default_value_t = 32 << 20)]
    buffer: usize,
}

fn bound(receive: &Receive) -> nix::Result<OwnedFd> {
    let family = match receive.listen {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReusePort, &true)?;
    setsockopt(&fd, sockopt::RxqOvfl, &1)?;
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
    if setsockopt(&fd, sockopt::RcvBufForce, &receive.buffer).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &receive.buffer)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(receive.listen))?;
    Ok(fd)
}

/// Receives until `end`. Returns how many packets came, and how many the kernel dropped before the last of them.
fn run(socket: &OwnedFd, end: Instant) -> nix::Result<(u64, u32)> {
    let mut headers: MultiHeaders<SockaddrStorage> =
        MultiHeaders::preallocate(BATCH, Some(cmsg_space!(TimeSpec, u32)));
    let mut bytes = vec![0; BATCH * DATAGRAM_MAX];
    let (mut received, mut dropped) = (0, 0);
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let mut waits = [PollFd::new(
            std::os::fd::AsFd::as_fd(socket),
            PollFlags::POLLIN,
        )];
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut waits, left) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        for _ in 0..BATCHES_MAX {
            let mut parts = bytes.chunks_exact_mut(DATAGRAM_MAX);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                array::from_fn(|_| [IoSliceMut::new(parts.next().expect("a batch has memory"))]);
            let fd = socket.as_raw_fd();
            let batch = match recvmmsg(fd, &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None)
            {
                Ok(batch) => batch,
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(errno) => return Err(errno),
            };
            let mut count = 0;
            for message in batch {
                count += 1;
                for control in message.cmsgs().into_iter().flatten() {
                    if let ControlMessageOwned::RxqOvfl(so_far) = control {
                        dropped = so_far;
                    }
                }
            }
            received += count as u64;
            if count < BATCH {
                break;
            }
        }
        thread::sleep(REST);
    }
    Ok((received, dropped))
}

fn main() -> Result<(), Box<dyn Error>> {
    let receive = Receive::parse();
    let sockets: Vec<_> = (0..receive.threads)
        .map(|_| bound(&receive))
        .collect::<Result<_, _>>()?;
    let end = Instant::now() + Duration::from_secs(receive.seconds);
    let threads = sockets.into_iter().enumerate().map(|(index, socket)| {
        thread::Builder::new()
            .name(format!("bare-{index}"))
            .spawn(move || run(&socket, end))
    });
    let threads = threads.collect::<Result<Vec<_>, _>>()?;
    let (mut received, mut dropped) = (0, 0);
    for thread in threads {
        let (came, lost) = thread.join().expect("a thread panicked")?;
        received += came;
        dropped += u64::from(lost);
    }
    println!("{received} packets received, {dropped} dropped by the kernel");
    Ok(())
}
