//! The families of a node of a cluster, which no other server has.

use super::{
    Scrape,
    page::{BYTES, MESSAGES, Page, SAMPLES, SECONDS},
};
use crate::cluster::{Link, LinkReport, PeerReport, PeerState, Refusal, RoomReport};

const NS_PER_SECOND: f64 = 1e9;

/// Shares of a node's parts, as labels and in thousandths.
const QUANTILES: [(&str, u64); 2] = [("0.5", 500), ("0.99", 990)];

pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let Some(face) = scrape.state.handle.cluster() else {
        return;
    };
    let view = face.view();
    let rooms = face.directory().rooms();
    let (mut peers, mut reports) = (Vec::new(), Vec::new());
    if let Some(report) = &view.report {
        peers = report.peers.iter().collect();
        reports = report.rooms.iter().collect();
    }
    reports.truncate(scrape.state.settings.metrics_rooms_max);
    let name = |report: &RoomReport| {
        let found = rooms.iter().find(|room| room.room == report.room);
        found.map_or("", |room| &*room.name)
    };
    let node = |link: &LinkReport| {
        let found = peers.iter().find(|peer| peer.place == link.place);
        found.map_or("", |peer| &*peer.name)
    };
    let links = reports.iter().flat_map(|report| {
        let report: &RoomReport = report;
        report.links.iter().map(move |link| (report, link))
    });
    let terms = |link: &LinkReport| {
        let terms = link.terms;
        [
            ("claimed", terms.claimed),
            ("delivered", terms.delivered),
            ("late", terms.late),
            ("lost", terms.lost),
            ("refused", terms.refused),
        ]
    };
    let samples = links.flat_map(|(report, link)| {
        let (room, node) = (name(report), node(link));
        terms(link).map(|(term, count)| ([("room", room), ("node", node), ("term", term)], count))
    });
    let used = peers
        .iter()
        .filter(|peer| peer.lead_used.count() > 0)
        .flat_map(|peer| {
            QUANTILES.map(|(share, per_mille)| {
                let used_ns = peer.lead_used.quantile_ns(per_mille);
                let labels = [label(peer), ("quantile", share)];
                (labels, used_ns as f64 / NS_PER_SECOND)
            })
        });
    let refused = peers.iter().flat_map(|peer| {
        Refusal::ALL.map(|why| {
            let labels = [label(peer), ("reason", why.name())];
            (labels, peer.refused.of(why))
        })
    });
    let ahead = peers.iter().filter_map(|peer| {
        let ahead_ns = peer.ahead_ns?;
        Some(([label(peer)], ahead_ns as f64 / NS_PER_SECOND))
    });
    let all = view.ledger();
    let offered = std::iter::once(("offered", all.offered));
    let ledger = offered.chain(all.terms());
    let report = view.report.as_ref();
    families! { page:
        gauge "cluster_connected" None "Whether this node is connected to NATS"
            => u8::from(matches!(view.link, Link::Connected(_)));
        gauge "cluster_nodes" None "Nodes that are present, this one among them" => view.nodes.len();
        gauge "cluster_rooms" None "Rooms of the cluster that are open on this node" => rooms.len();
        counter "cluster_sent" MESSAGES "Messages of parts that were made to be sent"
            => report.map_or(0, |report| report.sent_messages);
        counter "cluster_sent" BYTES "Their bytes" => report.map_or(0, |report| report.sent_bytes);
        counter "cluster_unsent" MESSAGES "Messages that were not sent, as NATS was away" => view.unsent_messages;
        gauge "cluster_clock_ahead" SECONDS "How far UTC is ahead of the numbers of blocks"
            => report.and_then(|report| report.utc_ahead_ns).map_or(0.0, |ns| ns as f64 / NS_PER_SECOND);
        gauges "cluster_node_up" None "Whether parts of the node come"
            => peers.iter().map(|peer| ([label(peer)], u8::from(peer.state == PeerState::Up)));
        gauges "cluster_node_ahead" SECONDS "How much earlier than here the node's blocks come, the way included"
            => ahead;
        gauges "cluster_node_lead_used" SECONDS "How much of the lead this share of the node's parts did not exceed"
            => used;
        counters "cluster_node_refused" None "Messages and parts of the node that were refused, by reason"
            => refused;
        counters "cluster_link" SAMPLES "Samples that the node has mixed in the room, by their fate here"
            => samples;
        counters "cluster_room_differing_blocks" None "Blocks of the room that differed from that of another node"
            => reports.iter().map(|report| ([("room", name(report))], report.differing_blocks));
        gauges "cluster_ledger" SAMPLES "Samples of all nodes that are present, by the term of their ledgers"
            => ledger.map(|(term, count)| ([("term", term)], count));
        gauge "cluster_in_flight" SAMPLES "Samples offered that were in no other term as a node read its ledger"
            => all.in_flight();
    }
}

fn label(peer: &PeerReport) -> (&'static str, &str) {
    ("node", &peer.name)
}
