//! A server with its control plane in this process, and what a scraper gets of it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use mixpool::{
    control::{Control, ControlSettings},
    engine::{Clock, Engine, Handle, Running, Settings},
};

use super::exposition::{self, Exposition};
use crate::patience::{PATIENCE, wait_for};

/// A server that mixes so many times as fast as time goes.
pub fn settings(streams_max: usize, speed: f64) -> Settings {
    Settings {
        streams_max,
        ring_bytes: 1 << 14,
        clock: Clock::Live {
            speed,
            playout_delay: Duration::ZERO,
            ticks: None,
        },
        ..Settings::default()
    }
}

/// A server and its control plane.
pub struct Place {
    pub running: Running,
    pub handle: Handle,
    pub address: SocketAddr,
    control: Control,
}

impl Place {
    /// With series for so many streams.
    pub fn start(engine: Engine, metrics_streams_max: usize) -> Self {
        let settings = ControlSettings {
            metrics_streams_max,
            ..ControlSettings::default()
        };
        Self::with(engine, settings)
    }

    pub fn with(engine: Engine, settings: ControlSettings) -> Self {
        let running = engine.start().unwrap();
        let handle = running.handle();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = Control::start(listener, settings, handle.clone()).unwrap();
        Self {
            running,
            handle,
            address: control.local_addr(),
            control,
        }
    }

    /// Head and body of what is at this path.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    pub fn scrape(&self) -> Exposition {
        exposition::read(&self.get("/metrics").1)
    }

    /// The first scrape of which it holds: a snapshot is up to 100 ms old.
    pub fn scrape_until(&self, holds: impl Fn(&Exposition) -> bool) -> Exposition {
        wait_for("a scrape of which it holds", || {
            Some(self.scrape()).filter(&holds)
        })
    }

    pub fn end(self) {
        self.running.finish();
        self.control.join();
    }
}
