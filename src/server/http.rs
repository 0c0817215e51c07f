//! The control plane of a config: its address, its tokens, its limits.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::StartError;
use crate::{
    config::{self, Config, Http},
    control::{ControlSettings, Tokens},
    os::raise_descriptors,
};

/// Where the control plane listens if no address is configured, or at the next port that is free.
const PORT: u16 = 8080;

/// Ports that are tried.
const PORTS: u16 = 1000;

/// Descriptors for all else: two for each of 1000 senders over the network, a pair of sockets for each body;
/// and files, sockets, eventfds.
const OTHER_DESCRIPTORS: u64 = 2500;

/// The listener, if any is wanted. A configured port that is taken is an error. A port of its own choice is none
/// that the config names elsewhere.
pub(super) fn bind(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let bind =
        |address| TcpListener::bind(address).map_err(|source| StartError::Http { address, source });
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match config.control.http {
        Some(Http::Off) => Ok(None),
        Some(Http::At(address)) => bind(address).map(Some),
        None => (PORT..PORT + PORTS)
            .map(local)
            .filter(|&address| !config.claims_tcp(address))
            .map(bind)
            .find(|bound| !bound.as_ref().is_err_and(StartError::is_taken))
            .unwrap_or_else(|| bind(local(0)))
            .map(Some),
    }
}

/// The tokens, if there are any. An address that other machines reach needs one.
///
/// # Errors
/// A sentence with the flags: no token where one is needed, or a file without one.
pub(super) fn tokens(control: &config::Control) -> Result<Option<Tokens>, String> {
    if let (Some(address), None) = (control.address(), &control.token_file)
        && !address.ip().to_canonical().is_loopback()
    {
        return Err(format!(
            "--http {address} can be reached from other machines, and then a token is needed: write \
             one into a file of your own (`openssl rand -hex 32`) and name it by --token-file, or take \
             an address of 127.0.0.0/8"
        ));
    }
    control
        .token_file
        .as_deref()
        .map(|file| Tokens::read(file, control.read_token_file.as_deref()))
        .transpose()
        .map_err(|error| error.to_string())
}

/// The settings of the control plane, without tokens, config and handoff. Raises the limit of descriptors.
pub(super) fn settings(control: &config::Control) -> ControlSettings {
    ControlSettings::from(&config::Control {
        http_connections_max: connections_max(control.http_connections_max),
        ..control.clone()
    })
}

/// As many connections as are wanted, or as this process may have descriptors for beside its other ones. The
/// soft limit is raised as far as the hard one lets.
fn connections_max(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_add(OTHER_DESCRIPTORS);
    let Ok(limit) = raise_descriptors(needed) else {
        return wanted;
    };
    let room = limit.saturating_sub(OTHER_DESCRIPTORS).max(limit / 4);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}
