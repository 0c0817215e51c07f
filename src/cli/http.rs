//! Where `serve` can be watched and steered: flags alone.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use mixpool::control::{ControlSettings, Tokens};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    WrongUsage,
    network::{self, Network},
    results::Named,
    units,
};

/// Where the control plane listens if nothing is said, or at the next port that is free.
const PORT: u16 = 8080;

/// Descriptors for all else: two for each of 1000 who send audio over the network, a pair of sockets where
/// a body brings it; and files, sockets, eventfds.
const OTHER_DESCRIPTORS: u64 = 2500;

/// Most of what is counted: no pool has more streams.
const COUNT_MAX: usize = 1 << 20;

/// Ports that are tried.
const PORTS: u16 = 1000;

#[derive(Debug, Args)]
#[command(next_help_heading = "Control plane")]
pub struct ControlPlane {
    /// Address of the dashboard and the API, a port alone being on 127.0.0.1, or off [default:
    /// 127.0.0.1:8080, or the next free port]
    #[arg(long, value_parser = place, value_name = "ADDR|off")]
    http: Option<Place>,

    /// File with a token as its first line, which then is needed for everything but the page's files and
    /// /healthz; without one nobody beyond this machine can be let in
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// File with a token that is for looking and listening alone
    #[arg(long, value_name = "FILE", requires = "token_file")]
    read_token_file: Option<PathBuf>,

    /// Name by which this server is reached, beside its address and localhost; may be given several times
    #[arg(long, value_parser = host_name, value_name = "NAME")]
    http_host: Vec<String>,

    /// Most connections at once
    #[arg(long, default_value_t = ControlSettings::default().connections_max, value_name = "COUNT",
          value_parser = units::count(1..=COUNT_MAX))]
    http_connections_max: usize,

    /// Most requests a second from one address; twice as many may come at once
    #[arg(long, default_value_t = ControlSettings::default().requests_per_second, value_name = "COUNT",
          value_parser = units::count(1..=u32::MAX))]
    http_requests_per_second: u32,

    /// Most listeners at once, to the mix and to single streams
    #[arg(long, default_value_t = ControlSettings::default().listeners_max, value_name = "COUNT",
          value_parser = units::count(0..=COUNT_MAX))]
    listeners_max: usize,

    /// Streams that have series of their own in /metrics, the earliest admitted; the others are in the
    /// totals
    #[arg(long, default_value_t = ControlSettings::default().metrics_streams_max, value_name = "COUNT",
          value_parser = units::count(0..=COUNT_MAX))]
    metrics_streams_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Off,
    At(SocketAddr),
}

fn place(text: &str) -> Result<Place> {
    match text {
        "off" => Ok(Place::Off),
        text => network::address(text).map(Place::At),
    }
}

/// A name alone: browsers say the port beside it, and who asks by a URL's scheme says it to the browser.
fn host_name(text: &str) -> Result<String> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        // As it stands in a URL.
        return Ok(format!("[{address}]"));
    }
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !text.is_empty() && text.bytes().all(of_name) {
        return Ok(text.to_owned());
    }
    bail!(
        "`{text}` is no name of a host; write mix.example.org, without https:// and without a port"
    )
}

impl ControlPlane {
    /// The listener, if any is wanted. A port that was asked for and is taken is an error.
    ///
    /// A port of its own choice is none that `network` asks for.
    pub fn bind(&self, network: &Network) -> Result<Option<TcpListener>> {
        match self.http {
            Some(Place::Off) => Ok(None),
            Some(Place::At(address)) => TcpListener::bind(address)
                .with_context(|| {
                    format!("cannot take --http {address}: choose another port, or off")
                })
                .map(Some),
            None => (PORT..PORT + PORTS)
                .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
                .filter(|&address| !network.claims_tcp(address))
                .find_map(|address| match TcpListener::bind(address) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
                    bound => Some(bound),
                })
                .unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .context("cannot take a port for the control plane: name one by --http, or off")
                .map(Some),
        }
    }

    /// The address that is asked for, if one is.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.http {
            Some(Place::At(address)) => Some(address),
            Some(Place::Off) | None => None,
        }
    }

    /// The files of the tokens.
    pub fn token_files(&self) -> impl Iterator<Item = Named<'_>> {
        let files = [
            Named::given("--token-file", self.token_file.as_ref()),
            Named::given("--read-token-file", self.read_token_file.as_ref()),
        ];
        files.into_iter().flatten()
    }

    /// The tokens, if there are any. Whoever reaches the control plane from another machine needs one.
    ///
    /// # Errors
    /// Wrong usage: no token where one is needed, or a file that has none.
    pub fn tokens(&self) -> Result<Option<Tokens>> {
        if let (Some(address), None) = (self.address(), &self.token_file)
            && !address.ip().to_canonical().is_loopback()
        {
            bail!(WrongUsage(format!(
                "--http {address} can be reached from other machines, and then a token is needed: write \
                 one into a file of your own (`openssl rand -hex 32`) and name it by --token-file, or take \
                 an address of 127.0.0.0/8"
            )));
        }
        self.token_file
            .as_deref()
            .map(|file| Tokens::read(file, self.read_token_file.as_deref()))
            .transpose()
            .map_err(|error| WrongUsage(error.to_string()).into())
    }

    /// What the control plane is made for.
    ///
    /// # Errors
    /// Those of [`tokens`](Self::tokens).
    pub fn settings(&self) -> Result<ControlSettings> {
        let tokens = self.tokens()?;
        let connections_max = self.connections_max();
        Ok(ControlSettings {
            connections_max,
            // Whatever one address takes, there is room for others.
            connections_per_address_max: (connections_max * 3 / 4).max(1),
            requests_per_second: self.http_requests_per_second,
            host_names: self.http_host.clone(),
            tokens,
            listeners_max: self.listeners_max,
            metrics_streams_max: self.metrics_streams_max,
            ..ControlSettings::default()
        })
    }

    /// As many connections as were asked for, or as this process may have descriptors for beside its
    /// other ones. The soft limit is raised as far as the hard one lets.
    fn connections_max(&self) -> usize {
        let wanted = self.http_connections_max;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_what_stands_in_a_url_without_scheme_and_port() {
        for name in ["mix.example.org", "mix_1", "203.0.113.5"] {
            assert_eq!(host_name(name).unwrap(), name);
        }
        assert_eq!(host_name("2001:db8::7").unwrap(), "[2001:db8::7]");
        for wrong in [
            "",
            "https://mix.example.org",
            "mix.example.org:8443",
            "mix example",
            "*",
        ] {
            let refused = host_name(wrong).unwrap_err().to_string();
            assert!(refused.contains("without https://"), "{refused}");
        }
    }
}
