//! The listeners that the flags ask for.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use mixpool::{
    ingest::{
        Listening, MixClock,
        conn::{ConnListener, ConnSettings, Guests, Listen},
        playout::PlayoutSettings,
        rtp::{self, RtpListener, RtpSettings},
    },
    server::Running,
};

use crate::cli::network::Network;

/// What the kernel keeps of packets for a thread that is busy: 1000 streams of 20 ms for half a second,
/// by the kernel's count, which is some 800 bytes for a small packet.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;

/// Starts all listeners; from then on streams are admitted. Gives where the control plane, if there is one,
/// hands over what comes to it: `http` is its address.
pub(super) fn listen(
    network: &Network,
    playout: PlayoutSettings,
    streams_max: usize,
    clock: MixClock,
    http: Option<SocketAddr>,
    running: &mut Running,
) -> Result<Option<Guests>> {
    let limits = network.limits(streams_max);
    for rtp in &network.rtp {
        let settings = RtpSettings {
            address: rtp.address,
            threads: usize::from(network.rtp_threads),
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            streams: rtp::Settings {
                limits: limits.clone(),
                playout,
                payloads: rtp.payloads.clone(),
                gain: None,
                cname: format!("mixpool@{}", rtp.address.ip()),
            },
        };
        let listener = RtpListener::start(settings, clock, &running.admission())
            .with_context(|| format!("cannot take --rtp {}", rtp.address))?;
        keep(running, Box::new(listener));
    }
    let drop = network.tcp_drop;
    let audiosocket = network.audiosocket.iter().map(|peer| Listen::AudioSocket {
        address: peer.address,
        plain_hz: peer.rate_hz,
    });
    let tcp = network
        .tcp
        .iter()
        .map(|&address| Listen::Tcp { address, drop });
    let unix = network.unix.iter().map(|path| Listen::Unix {
        path: path.clone(),
        drop,
    });
    let listens: Vec<_> = audiosocket.chain(tcp).chain(unix).collect();
    let guests = http.map(|address| format!("http {address}"));
    if listens.is_empty() && guests.is_none() {
        return Ok(None);
    }
    let settings = ConnSettings {
        listens,
        limits,
        playout,
        gain: None,
        guests,
    };
    let listener = ConnListener::start(settings, clock, &running.admission())?;
    let guests = listener.guests();
    keep(running, Box::new(listener));
    Ok(guests)
}

fn keep(running: &mut Running, listener: Box<dyn Listening>) {
    for account in listener.accounts() {
        tracing::info!("listening on {}", account.name());
    }
    running.keep(listener);
}
