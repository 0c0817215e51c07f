//! Readiness and life of the server, for systemd (`Type=notify`): datagrams to `$NOTIFY_SOCKET`.

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use anyhow::{Context as _, Result};

/// The service manager; none if the server was not started by one.
pub struct Manager {
    socket: Option<UnixDatagram>,
    ticks: u64,
}

impl Manager {
    /// # Errors
    /// The socket that the environment names cannot be reached.
    pub fn from_environment() -> Result<Self> {
        let socket = env::var_os("NOTIFY_SOCKET").map(|name| {
            connect(&name).with_context(|| format!("cannot reach NOTIFY_SOCKET {}", name.display()))
        });
        Ok(Self {
            socket: socket.transpose()?,
            ticks: 0,
        })
    }

    /// The last step of the start is done.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// Feeds the watchdog if the mixer has run a tick since the last call.
    pub fn watch(&mut self, ticks: u64) {
        if ticks > self.ticks {
            self.ticks = ticks;
            self.send("WATCHDOG=1");
        }
    }

    /// The mix has ended; the recording and the report are to be finished.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A manager that does not read misses the message: the mix goes on.
    fn send(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!("cannot send {state} to NOTIFY_SOCKET: {error}");
        }
    }
}

/// A path, or behind an `@` a name without a file.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
