//! Why a server is not started.

use std::{io, net::SocketAddr};

use crate::{engine::EngineError, net::Refused};

/// Descriptors that are enough for a thousand streams over connections, and for the listeners.
const DESCRIPTORS_ADVISED: u64 = 8192;

/// Why a server is not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value that cannot be, or values that do not go together. The text names the flags and the remedy.
    #[error("{0}")]
    Config(String),
    /// The engine's reason.
    #[error("cannot start the server")]
    Engine(#[source] EngineError),
    /// A synthetic stream has no ring.
    #[error("cannot start the server")]
    Refused(#[from] Refused),
    /// The address of the control plane.
    #[error("cannot take --http {address}: choose another port, or off")]
    Http {
        /// The address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The address or the thread of a listener. The text names it.
    #[error("{0}")]
    Listen(io::Error),
    /// The thread of the control plane.
    #[error("cannot start the control plane")]
    Control(#[source] io::Error),
    /// The thread of the cluster.
    #[error("cannot start the thread of the cluster")]
    Cluster(#[source] io::Error),
    /// Each connection takes a descriptor, and there are too few.
    #[error(
        "cannot start the server: the limit of descriptors is {limit}, and {open} are open: no room for {wanted} \
         connections; raise it with `ulimit -n {DESCRIPTORS_ADVISED}` (LimitNOFILE= under systemd)"
    )]
    Descriptors {
        /// The soft limit of this process.
        limit: u64,
        /// Open ones, with all that the server needs itself.
        open: u64,
        /// Connections that a server has descriptors for, at least.
        wanted: u64,
    },
}

impl StartError {
    /// Whether another socket has the address.
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Listen(source) | Self::Http { source, .. }
            if source.kind() == io::ErrorKind::AddrInUse)
    }
}

impl From<EngineError> for StartError {
    /// A CPU that this host lacks is a wrong value of the config; anything else is this host.
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::MixerCpu(error) => Self::Config(format!("--mixer-cpu: {error}")),
            error => Self::Engine(error),
        }
    }
}
