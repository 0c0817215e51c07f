//! A server that runs, and its end.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

#[cfg(feature = "cluster")]
use super::cluster;
use super::{
    Reloader, StartError, check, http,
    network::{Bound, Network},
};
use crate::{
    control::{Control, ControlSettings},
    engine::{self, Handle, Report},
    mixer::PartRings,
};

/// A server that runs. It owns the threads; [`finish`](Self::finish) ends them.
pub struct Running {
    engine: engine::Running,
    network: Network,
    control: Option<Control>,
    reloader: Arc<Reloader>,
    #[cfg(feature = "cluster")]
    cluster: Option<crate::cluster::Thread>,
}

impl Running {
    pub(super) fn new(engine: engine::Running, reloader: Arc<Reloader>) -> Self {
        Self {
            engine,
            network: Network::default(),
            control: None,
            reloader,
            #[cfg(feature = "cluster")]
            cluster: None,
        }
    }

    /// Starts the threads beside the engine's, and opens the recording. On an error, what has started is in here.
    pub(super) fn start_threads(
        &mut self,
        bound: Bound,
        http: Option<TcpListener>,
        part_rings: Option<PartRings>,
    ) -> Result<(), StartError> {
        let handle = self.engine.handle();
        self.start_cluster(part_rings, &handle)?;
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

    #[cfg(feature = "cluster")]
    fn start_cluster(
        &mut self,
        part_rings: Option<PartRings>,
        handle: &Handle,
    ) -> Result<(), StartError> {
        if let Some(rings) = part_rings {
            let started = cluster::start(&self.reloader.config(), rings, handle);
            self.cluster = Some(started.map_err(StartError::Cluster)?);
        }
        Ok(())
    }

    /// A server that was built without clusters has none: its config says so.
    #[cfg(not(feature = "cluster"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with clusters"
    )]
    fn start_cluster(
        &mut self,
        _part_rings: Option<PartRings>,
        _handle: &Handle,
    ) -> Result<(), StartError> {
        Ok(())
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
            #[cfg(feature = "cluster")]
            cluster,
            ..
        } = self;
        // Other nodes are to know that its parts end.
        #[cfg(feature = "cluster")]
        if let Some(cluster) = cluster {
            cluster.join();
        }
        let report = engine.finish_with(|| network.join());
        if let Some(control) = control {
            control.join();
        }
        report
    }
}
