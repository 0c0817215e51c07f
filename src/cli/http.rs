//! Where `serve` can be watched and steered: its listener, its tokens, its limits.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result, bail};
use mixpool::{
    config::{self, Config, Http},
    control::{ControlSettings, Tokens},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{WrongUsage, results::Named};

/// Where the control plane listens if no address is configured, or at the next port that is free.
const PORT: u16 = 8080;

/// Descriptors for all else: two for each of 1000 senders over the network, a pair of sockets for each body;
/// and files, sockets, eventfds.
const OTHER_DESCRIPTORS: u64 = 2500;

/// Ports that are tried.
const PORTS: u16 = 1000;

/// The listener, if any is wanted. A configured port that is taken is an error.
///
/// A port of its own choice is none that the config asks for elsewhere.
pub fn bind(config: &Config) -> Result<Option<TcpListener>> {
    match config.control.http {
        Some(Http::Off) => Ok(None),
        Some(Http::At(address)) => TcpListener::bind(address)
            .with_context(|| format!("cannot take --http {address}: choose another port, or off"))
            .map(Some),
        None => (PORT..PORT + PORTS)
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .filter(|&address| !config.claims_tcp(address))
            .find_map(|address| match TcpListener::bind(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
                bound => Some(bound),
            })
            .unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot take a port for the control plane: name one by --http, or off")
            .map(Some),
    }
}

/// The files of the tokens.
pub fn token_files(control: &config::Control) -> impl Iterator<Item = Named<'_>> {
    let files = [
        Named::given("--token-file", control.token_file.as_ref()),
        Named::given("--read-token-file", control.read_token_file.as_ref()),
    ];
    files.into_iter().flatten()
}

/// The tokens, if there are any. An address that other machines reach needs one.
///
/// # Errors
/// Wrong usage: no token where one is needed, or a file without one.
pub fn tokens(control: &config::Control) -> Result<Option<Tokens>> {
    if let (Some(address), None) = (control.address(), &control.token_file)
        && !address.ip().to_canonical().is_loopback()
    {
        bail!(WrongUsage(format!(
            "--http {address} can be reached from other machines, and then a token is needed: write \
             one into a file of your own (`openssl rand -hex 32`) and name it by --token-file, or take \
             an address of 127.0.0.0/8"
        )));
    }
    control
        .token_file
        .as_deref()
        .map(|file| Tokens::read(file, control.read_token_file.as_deref()))
        .transpose()
        .map_err(|error| WrongUsage(error.to_string()).into())
}

/// The settings of the control plane.
///
/// # Errors
/// Those of [`tokens`].
pub fn settings(control: &config::Control) -> Result<ControlSettings> {
    let tokens = tokens(control)?;
    let control = config::Control {
        http_connections_max: connections_max(control.http_connections_max),
        ..control.clone()
    };
    Ok(ControlSettings {
        tokens,
        ..ControlSettings::from(&control)
    })
}

/// As many connections as are wanted, or as this process may have descriptors for beside its other ones. The
/// soft limit is raised as far as the hard one lets.
fn connections_max(wanted: usize) -> usize {
    let needed = (wanted as u64).saturating_add(OTHER_DESCRIPTORS);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let raised = needed.min(hard).max(soft);
    let soft = match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        Ok(()) => raised,
        Err(_) => soft,
    };
    let room = soft.saturating_sub(OTHER_DESCRIPTORS).max(soft / 4);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX))
}
