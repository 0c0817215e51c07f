//! Stream sockets of both kinds: those that listen, and those of peers.

use std::{
    fs, io,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::os::during;

/// The kernel's buffer towards a peer that listens: what it holds is what a peer that reads again hears
/// first, so it is kept to about a second of telephony.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// A socket that takes connections.
#[derive(Debug)]
pub(super) enum ListenSocket {
    Tcp(TcpListener),
    /// The file lives as long as the listener.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "kept to be dropped")] SocketFile,
    ),
}

/// The path of a Unix socket; removed when dropped, if it is still ours.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl ListenSocket {
    pub(super) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true).map_err(during("fcntl"))?;
        Ok(Self::Tcp(listener))
    }

    /// Makes the socket's file. One that is left over from a program that is gone is replaced; any other
    /// file, and a socket with a listener, is not.
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        let bound = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                fs::remove_file(path).map_err(during("removing the socket that is left over"))?;
                UnixListener::bind(path)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let why = if is_socket(path) {
                    "a program listens on it; choose another path, or end that program"
                } else {
                    "there is a file that is no socket; choose another path"
                };
                Err(io::Error::new(error.kind(), why))
            }
            bound => bound,
        };
        let listener = bound?;
        listener.set_nonblocking(true).map_err(during("fcntl"))?;
        let file = SocketFile {
            identity: identity(path).map_err(during("stat"))?,
            path: path.to_owned(),
        };
        Ok(Self::Unix(listener, file))
    }

    /// The next connection that waits, which never blocks, and its address; a Unix socket's peer has none.
    pub(super) fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Tcp(stream), Some(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }

    /// Where it listens, if that is an address.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Whether the path is a socket without a listener.
fn is_stale(path: &Path) -> bool {
    is_socket(path)
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A peer's socket. It never blocks.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// For a peer that listens: what is sent goes out at once, and little of it waits in the kernel.
    pub(super) fn prepare_to_send(&self) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            stream.set_nodelay(true)?;
        }
        setsockopt(self, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
        Ok(())
    }

    /// Nothing more will be sent.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(bytes),
            Self::Unix(stream) => stream.read(bytes),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An address for counting: an IPv4 address in IPv6 form is what it is.
pub(super) fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_file_comes_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mix.sock");
        let listen_socket = ListenSocket::unix(&path).unwrap();
        assert!(path.exists());
        // With a listener: neither taken over nor removed.
        let refused = ListenSocket::unix(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        drop(listen_socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_file_that_is_left_over_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mix.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _acceptor = ListenSocket::unix(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn another_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(ListenSocket::unix(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        // Nor is one removed that took the socket's place.
        let path = dir.path().join("mix.sock");
        let listen_socket = ListenSocket::unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        drop(listen_socket);
        assert!(path.exists());
    }

    #[test]
    fn what_is_sent_goes_out_at_once_and_little_of_it_waits() {
        let listen_socket = ListenSocket::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let _peer = TcpStream::connect(listen_socket.local_addr().unwrap()).unwrap();
        let (socket, _) = loop {
            match listen_socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => break accepted.unwrap(),
            }
        };
        socket.prepare_to_send().unwrap();
        let Socket::Tcp(stream) = &socket else {
            panic!("a TCP connection")
        };
        assert!(stream.nodelay().unwrap());
        // The kernel doubles it, for its own.
        let buffer = nix::sys::socket::getsockopt(&socket, sockopt::SndBuf).unwrap();
        assert_eq!(buffer, 2 * SEND_BUFFER_BYTES);
    }
}
