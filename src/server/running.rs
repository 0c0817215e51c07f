//! A server that runs, and its end.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use super::{
    Reloader, StartError, check, http,
    network::{Bound, Network},
};
use crate::{
    control::{Control, ControlSettings},
    engine::{self, Handle, Report},
};

/// A server that runs. It owns the threads; [`finish`](Self::finish) ends them.
pub struct Running {
    engine: engine::Running,
    network: Network,
    control: Option<Control>,
    reloader: Arc<Reloader>,
}

impl Running {
    pub(super) fn new(engine: engine::Running, reloader: Arc<Reloader>) -> Self {
        Self {
            engine,
            network: Network::default(),
            control: None,
            reloader,
        }
    }

    /// Starts the threads beside the engine's, and opens the recording. On an error, what has started is in here.
    pub(super) fn start_threads(
        &mut self,
        bound: Bound,
        http: Option<TcpListener>,
    ) -> Result<(), StartError> {
        let handle = self.engine.handle();
        for sdp in handle.sdp() {
            tracing::info!("sending the mix by RTP; receivers need this SDP:\n{sdp}");
        }
        for refused in self.engine.realtime_refused() {
            tracing::warn!("{refused}; the server runs on without");
        }
        let handoff = bound.handoff();
        let takes_connections = bound.takes_connections();
        self.network.start(bound, &handle)?;
        if let Some(listener) = http {
            let settings = ControlSettings {
                tokens: self.reloader.tokens().cloned(),
                config: Some(Arc::<Reloader>::clone(&self.reloader)),
                handoff,
                ..http::settings(&self.reloader.config().control)
            };
            let control =
                Control::start(listener, settings, handle).map_err(StartError::Control)?;
            tracing::info!("dashboard and API at http://{}/", control.local_addr());
            self.control = Some(control);
        }
        if takes_connections {
            check::descriptors()?;
        }
        Ok(self.engine.open_recording()?)
    }

    /// For threads that watch and steer it.
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Reads the config again when asked. It may be kept by any thread.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// The address of the control plane, if it has one.
    pub fn http(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(Control::local_addr)
    }

    /// Ends the mixer at its next tick, then the listeners, then the recordings, and last the control plane: its
    /// listeners hear the mix to its end. Waits for all threads.
    ///
    /// # Panics
    /// If a thread did: a bug.
    pub fn finish(self) -> Report {
        let Self {
            engine,
            network,
            control,
            ..
        } = self;
        let report = engine.finish_with(|| network.join());
        if let Some(control) = control {
            control.join();
        }
        report
    }
}
