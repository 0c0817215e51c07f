//! The listeners of a config: bound first, started once there is a mix clock.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use super::StartError;
use crate::{
    config::Config,
    engine::Handle,
    ledger::Listener,
    net::{
        RtpEntrance, Tuning,
        conn::{ConnListener, ConnSettings, ConnSockets, Handoff, Listen},
        rtp::{self, RtpListener, RtpSettings, RtpSockets},
    },
};

/// The kernel's buffer of packets for a thread that is busy: 1000 streams of 20 ms for half a second, by the
/// kernel's count, which is some 800 bytes for a small packet.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;

/// Sockets that are bound, before any thread reads them.
pub(super) struct Bound {
    rtp: Vec<RtpSockets>,
    /// None if there is neither an address for connections nor a control plane to hand any over.
    connections: Option<ConnSockets>,
}

impl Bound {
    /// Binds all addresses. `http` is the control plane's, which hands over what comes to it.
    pub(super) fn bind(config: &Config, http: Option<&TcpListener>) -> Result<Self, StartError> {
        let Tuning { limits, playout } = config.tuning().map_err(StartError::Config)?;
        let network = &config.net;
        let rtp = network.rtp.iter().map(|rtp| {
            RtpSockets::bind(RtpSettings {
                address: rtp.address,
                interface: rtp.interface.clone(),
                threads: network.rtp_threads,
                receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
                streams: rtp::Settings {
                    limits: limits.clone(),
                    playout,
                    payloads: rtp.payloads.clone(),
                    gain: None,
                    room: rtp.room.clone(),
                    returns_max: if rtp.returns {
                        config.pool.streams_max
                    } else {
                        0
                    },
                    cname: format!("mixpool@{}", rtp.address.ip()),
                },
            })
        });
        let rtp = rtp.collect::<Result<_, _>>().map_err(StartError::Listen)?;
        let handoff = http.map(TcpListener::local_addr).transpose();
        let handoff = handoff.map_err(StartError::Listen)?;
        let listens = listens(config);
        let connections = if listens.is_empty() && handoff.is_none() {
            None
        } else {
            let settings = ConnSettings {
                listens,
                limits,
                playout,
                gain: None,
                handoff: handoff.map(|address| format!("http {address}")),
            };
            Some(ConnSockets::bind(settings).map_err(StartError::Listen)?)
        };
        Ok(Self { rtp, connections })
    }

    /// The accounts of all listeners.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let rtp = self.rtp.iter().map(RtpSockets::account);
        rtp.chain(self.connections.iter().flat_map(ConnSockets::accounts))
    }

    /// Where announced senders of RTP are taken.
    fn rtp_entrances(&self) -> Vec<RtpEntrance> {
        self.rtp.iter().map(RtpSockets::entrance).collect()
    }

    /// Where announced calls are taken.
    fn audiosocket_entrances(&self) -> Vec<SocketAddr> {
        let listens = self.connections.iter().flat_map(ConnSockets::listens);
        let addresses = listens.filter_map(|listen| match listen {
            Listen::AudioSocket { address, .. } => Some(*address),
            Listen::Tcp { .. } | Listen::Unix { .. } => None,
        });
        addresses.collect()
    }

    /// Whether connections are taken, each of which is a descriptor.
    pub(super) fn takes_connections(&self) -> bool {
        self.connections.is_some()
    }

    /// Where the control plane hands over its sockets, if there is one.
    pub(super) fn handoff(&self) -> Option<Handoff> {
        self.connections.as_ref().and_then(ConnSockets::handoff)
    }
}

/// The addresses of connections.
fn listens(config: &Config) -> Vec<Listen> {
    let network = &config.net;
    let drop = network.tcp_drop;
    let audiosocket = network.audiosocket.iter().map(|peer| Listen::AudioSocket {
        address: peer.address,
        plain_hz: peer.rate_hz,
        room: peer.room.clone(),
    });
    let tcp = network.tcp.iter().map(|tcp| Listen::Tcp {
        address: tcp.address,
        drop,
        room: tcp.room.clone(),
    });
    let unix = network.unix.iter().map(|unix| Listen::Unix {
        path: unix.path.clone(),
        drop,
        room: unix.room.clone(),
    });
    audiosocket.chain(tcp).chain(unix).collect()
}

/// The threads of the listeners.
#[derive(Debug, Default)]
pub(super) struct Network {
    rtp: Vec<RtpListener>,
    connections: Option<ConnListener>,
}

impl Network {
    /// Starts the threads: from then on streams are admitted. On an error, those that have started are in here.
    pub(super) fn start(&mut self, bound: Bound, handle: &Handle) -> Result<(), StartError> {
        let clock = handle.clock().expect("a server's mix follows a clock");
        let (admission, tuning) = (handle.admission(), handle.tuning());
        handle
            .expected()
            .set_entrances(bound.rtp_entrances(), bound.audiosocket_entrances());
        for account in bound.accounts() {
            tracing::info!("listening on {}", account.name());
        }
        for sockets in bound.rtp {
            let listener = sockets.start(clock, &admission, Some(&tuning));
            self.rtp.push(listener.map_err(StartError::Listen)?);
        }
        if let Some(sockets) = bound.connections {
            let listener = sockets.start(clock, &admission, Some(&tuning));
            self.connections = Some(listener.map_err(StartError::Listen)?);
        }
        Ok(())
    }

    /// Stops the threads and waits for them. All streams that they took have ended then.
    pub(super) fn join(self) {
        self.rtp.into_iter().for_each(RtpListener::join);
        self.connections.into_iter().for_each(ConnListener::join);
    }
}
