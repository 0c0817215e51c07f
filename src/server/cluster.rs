//! The thread of the cluster: its settings from the config, and its figures from the engine.

use std::{io, sync::Arc};

use rand::random;

use crate::{
    cluster::{
        Figures, Own, PresentStream, PresentStreams, Settings, Start, Target, Thread, Totals,
    },
    config::{ClusterClock, Config},
    engine::{Admitted, Handle},
    mixer::PartRings,
    wire::part::{Shape, cluster_id},
};

/// The longest message before a server has said what it takes: the default of NATS.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// Starts the thread of a server that is a node.
pub(super) fn start(config: &Config, rings: PartRings, handle: &Handle) -> io::Result<Thread> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let face = handle.cluster().ok_or_else(|| invalid("no cluster"))?;
    let clock = handle.clock().ok_or_else(|| invalid("no clock"))?;
    let membership = face.membership().clone();
    let mixing = *handle.mixing();
    let too_large = |_| invalid("blocks of a cluster are too long");
    let shape = Shape {
        cluster: cluster_id(&membership.cluster),
        format: mixing.format,
        block_samples: mixing.block_samples.try_into().map_err(too_large)?,
        lead_ticks: mixing.lead_ticks.try_into().map_err(too_large)?,
    };
    let (figures, streams) = (handle.clone(), handle.clone());
    let (gaps, cut) = (handle.clone(), handle.clone());
    Thread::start(Start {
        node: Settings {
            name: membership.node.clone(),
            shape,
            clock,
            rooms_max: membership.rooms_max,
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            seed: random(),
        },
        target: Target {
            servers: config.cluster.cluster.clone(),
            cluster: membership.cluster,
            node: membership.node,
            creds: config.cluster.cluster_creds.clone(),
            ca: config.cluster.cluster_ca.clone(),
            certificate: (config.cluster.cluster_cert.clone())
                .zip(config.cluster.cluster_key.clone()),
        },
        trusts_clocks: config.cluster.cluster_clock == ClusterClock::Trust,
        rings,
        face: face.clone(),
        own: Own {
            figures: Box::new(move || read_figures(&figures)),
            streams: Box::new(move || PresentStreams {
                streams: streams.running().iter().map(present).collect(),
                more: 0,
            }),
            renumbered: Box::new(move || cut.cut_recordings_of_cluster()),
            gap: Box::new(move |room, node, why, ticks| {
                gaps.note_node_gap(room, node, why, ticks);
            }),
        },
    })
}

fn read_figures(handle: &Handle) -> Figures {
    let ledger = handle.status().ledger;
    let mut figures = Figures {
        ledger: Totals {
            offered: ledger.offered,
            mixed: ledger.mixed,
            muted: ledger.muted,
            dropped_full: ledger.dropped_full,
            dropped_late: ledger.dropped_late,
            discarded: ledger.discarded,
            in_ring: ledger.in_ring,
        },
        ..Figures::default()
    };
    for stream in handle.running() {
        *figures.streams.entry(stream.room().id()).or_default() += 1;
    }
    figures
}

fn present(stream: &Arc<Admitted>) -> PresentStream {
    let entry = stream.account().read();
    PresentStream {
        id: stream.id().to_owned(),
        label: stream.label().map(|label| label.as_ref().to_owned()),
        room: stream.room().name().to_owned(),
        state: stream.account().state(),
        offered: entry.offered,
        mixed: entry.mixed,
        dropped: entry.dropped(),
    }
}
