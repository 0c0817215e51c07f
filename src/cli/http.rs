//! Where `serve` can be watched and steered: flags alone.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result};
use clap::Args;
use mixpool::control::ControlSettings;

use super::network;

/// Where the control plane listens if nothing is said, or at the next port that is free.
const PORT: u16 = 8080;

/// Ports that are tried.
const PORTS: u16 = 1000;

#[derive(Debug, Args)]
#[command(next_help_heading = "Control plane")]
pub struct Http {
    /// Address of the dashboard and the API, a port alone being on 127.0.0.1, or off [default:
    /// 127.0.0.1:8080, or the next free port]
    #[arg(long, value_parser = place, value_name = "ADDR|off")]
    http: Option<Place>,

    /// Most listeners at once, to the mix and to single streams
    #[arg(long, default_value_t = ControlSettings::default().listeners_max, value_name = "COUNT")]
    listeners_max: usize,
    /// Streams that have series of their own in /metrics, the earliest admitted; the others are in the
    /// totals
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    metrics_streams_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Off,
    At(SocketAddr),
}

fn place(text: &str) -> Result<Place> {
    match text {
        "off" => Ok(Place::Off),
        text => network::address(text).map(Place::At),
    }
}

impl Http {
    /// The listener, if any is wanted. A port that was asked for and is taken is an error.
    pub fn bind(&self) -> Result<Option<TcpListener>> {
        match self.http {
            Some(Place::Off) => Ok(None),
            Some(Place::At(address)) => TcpListener::bind(address)
                .with_context(|| {
                    format!("cannot take --http {address}: choose another port, or off")
                })
                .map(Some),
            None => (PORT..PORT + PORTS)
                .find_map(
                    |port| match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
                        bound => Some(bound),
                    },
                )
                .unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .context("cannot take a port for the control plane: name one by --http, or off")
                .map(Some),
        }
    }

    /// What the control plane is made for.
    pub fn settings(&self) -> ControlSettings {
        ControlSettings {
            listeners_max: self.listeners_max,
            metrics_streams_max: self.metrics_streams_max as usize,
            ..ControlSettings::default()
        }
    }
}
