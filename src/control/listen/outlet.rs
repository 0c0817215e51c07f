//! What listeners hear: an output that they share, and the bells that wake those of them with a whole chunk.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::{WAV_CHUNK, WS_CHUNK};
use crate::{
    engine::{Admitted, OpenRoom},
    mixer::FeedId,
    output::live::{Grid, Live},
};

/// The output of a listener.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// A room's mix.
    Room(Arc<OpenRoom>),
    /// A stream alone.
    Alone(Arc<Admitted>),
    /// The mix of a stream's room without it.
    MixMinus(Arc<Admitted>),
}

impl Output {
    /// As the API names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Room(_) => "mix",
            Self::Alone(_) => "alone",
            Self::MixMinus(_) => "mix_minus",
        }
    }

    pub(super) fn stream(&self) -> Option<&Admitted> {
        match self {
            Self::Room(_) => None,
            Self::Alone(stream) | Self::MixMinus(stream) => Some(stream),
        }
    }

    /// Its room; that of the stream, as it is now.
    pub(super) fn room(&self) -> Arc<OpenRoom> {
        match self {
            Self::Room(room) => Arc::clone(room),
            Self::Alone(stream) | Self::MixMinus(stream) => stream.room(),
        }
    }

    /// Whether it is a room that was closed.
    pub(super) fn is_closed_room(&self) -> bool {
        matches!(self, Self::Room(room) if room.is_closed())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Room(one), Self::Room(other)) => one.id() == other.id(),
            (Self::Alone(one), Self::Alone(other))
            | (Self::MixMinus(one), Self::MixMinus(other)) => one.number() == other.number(),
            _ => false,
        }
    }
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protocol {
    Http,
    Websocket,
}

impl Protocol {
    const ALL: [Self; 2] = [Self::Http, Self::Websocket];

    pub(super) fn chunk(self) -> Duration {
        match self {
            Self::Http => WAV_CHUNK,
            Self::Websocket => WS_CHUNK,
        }
    }
}

/// An output that is heard.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) output: Output,
    /// The mixer's feed of it, unless it is closed. `main` comes without one.
    pub(super) feed: Option<FeedId>,
    pub(super) listeners: usize,
    /// Its end when the bells were rung last.
    pub(super) rung_at: u64,
    /// By protocol, a grid of each phase, and a bell for its chunks.
    pub(super) bells: [Vec<(Grid, watch::Sender<()>)>; Protocol::ALL.len()],
}

impl Outlet {
    pub(super) fn new(output: Output, feed: Option<FeedId>, live: &Live) -> Self {
        let bells = Protocol::ALL.map(|protocol| {
            let phases = live.grid(protocol.chunk(), 0).phases() as u64;
            (0..phases)
                .map(|phase| (live.grid(protocol.chunk(), phase), watch::Sender::new(())))
                .collect()
        });
        Self {
            output,
            feed,
            listeners: 0,
            rung_at: 0,
            bells,
        }
    }

    /// Wakes the listeners with a whole chunk.
    pub(super) fn ring(&mut self, end: u64, ended: bool) {
        for (grid, bell) in self.bells.iter().flatten() {
            if ended || grid.before(end, end) > self.rung_at {
                bell.send_replace(());
            }
        }
        self.rung_at = end;
    }
}
