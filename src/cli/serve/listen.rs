//! The listeners that the flags ask for.

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result, bail};
use mixpool::{
    audio::MixClock,
    config::Config,
    engine::Running,
    net::{
        Listening, Tuning,
        conn::{ConnListener, ConnSettings, Handoff, Listen},
        rtp::{self, RtpListener, RtpSettings},
    },
};
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
};

use crate::cli::WrongUsage;

/// What the kernel keeps of packets for a thread that is busy: 1000 streams of 20 ms for half a second,
/// by the kernel's count, which is some 800 bytes for a small packet.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;

/// Connections that a server which takes any has descriptors for, at least.
const CONNECTIONS_MIN: u64 = 16;

/// Descriptors that are enough for a thousand streams over connections, and for those that listen.
const DESCRIPTORS_ADVISED: u64 = 8192;

/// Starts all listeners; from then on streams are admitted. Returns the handoff of the control plane, if there is one:
/// hands over what comes to it: `http` is its address.
pub(super) fn listen(
    config: &Config,
    clock: MixClock,
    http: Option<SocketAddr>,
    running: &mut Running,
) -> Result<Option<Handoff>> {
    let Tuning { limits, playout } = config.tuning().map_err(WrongUsage)?;
    let network = &config.net;
    for rtp in &network.rtp {
        let settings = RtpSettings {
            address: rtp.address,
            interface: rtp.interface.clone(),
            threads: network.rtp_threads,
            receive_buffer_bytes: RECEIVE_BUFFER_BYTES,
            streams: rtp::Settings {
                limits: limits.clone(),
                playout,
                payloads: rtp.payloads.clone(),
                gain: None,
                cname: format!("mixpool@{}", rtp.address.ip()),
            },
        };
        let listener = RtpListener::start(settings, clock, &running.handle().admission())?;
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
    let handoff = http.map(|address| format!("http {address}"));
    if listens.is_empty() && handoff.is_none() {
        return Ok(None);
    }
    let settings = ConnSettings {
        listens,
        limits,
        playout,
        gain: None,
        handoff,
    };
    let listener = ConnListener::start(settings, clock, &running.handle().admission())?;
    let handoff = listener.handoff();
    keep(running, Box::new(listener));
    Ok(handoff)
}

/// Refuses to run on where no connection could be taken: each takes a descriptor. To be asked once all is
/// open that the server needs itself.
pub(super) fn check_descriptors() -> Result<()> {
    let (limit, _) =
        getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit RLIMIT_NOFILE failed")?;
    let open = match fs::read_dir("/proc/self/fd") {
        // One of them reads the list.
        Ok(open) => open.count() as u64 - 1,
        Err(error) if error.raw_os_error() == Some(Errno::EMFILE as i32) => limit,
        // A host that does not let them be counted is no reason to refuse.
        Err(_) => return Ok(()),
    };
    if limit < open + CONNECTIONS_MIN {
        bail!(
            "the limit of descriptors is {limit}, and {open} are open: no room for {CONNECTIONS_MIN} \
             connections; raise it with `ulimit -n {DESCRIPTORS_ADVISED}` (LimitNOFILE= \
             under systemd)"
        );
    }
    Ok(())
}

fn keep(running: &mut Running, listener: Box<dyn Listening>) {
    for account in listener.accounts() {
        tracing::info!("listening on {}", account.name());
    }
    running.keep(listener);
}
