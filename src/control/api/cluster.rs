//! `/api/v1/cluster`: the nodes of the cluster, their rooms, streams and clocks, and the accounts between them.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State as Shared};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    cluster::{
        Alignment, ClusterRoom, Face, LeadUsed, Link, LinkReport, PeerReport, PeerState, Presence,
        PresentRoom, PresentStream, PresentStreams, Refusal, Refusals, Report, RoomReport,
        Standing, Totals, View,
    },
    control::{problem::Problem, state::State},
};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(cluster))
        .routes(routes!(cluster_streams))
}

/// The cluster as this node sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cluster)]
struct ClusterBody {
    /// The name of the cluster.
    cluster: String,
    /// The name of this node.
    node: String,
    /// Time from the tick of a block to its mix in rooms of the cluster.
    lead_ms: f64,
    nats: NatsBody,
    clock: ClockBody,
    /// The nodes that are present, or were of late, this one among them.
    nodes: Vec<NodeBody>,
    /// The rooms of the cluster that are open here.
    rooms: Vec<RoomBody>,
    /// All samples of all streams on all nodes that are present, by the ledger of each, interleaved.
    ledger: Totals,
    /// Samples in `ledger.offered` that are in no other term: on their way at the moment in which a node read its ledger.
    in_flight: i64,
    sent: SentBody,
    /// Messages of nodes that have no place, by reason.
    refused: BTreeMap<&'static str, u64>,
}

/// The connection to NATS.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterNats)]
struct NatsBody {
    connected: bool,
    /// The server, while connected.
    server: Option<String>,
    /// Why the last attempt failed.
    error: Option<String>,
}

/// The clock of this node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterClock)]
struct ClockBody {
    /// Whether the host keeps it right, as the kernel says.
    synchronised: bool,
    /// Whether ticks have numbers of blocks: `idle` and `listening` before, `aligned`, or `alone`.
    alignment: &'static str,
    /// Why this node is alone.
    reason: Option<String>,
    /// How far UTC is ahead of the numbers of blocks.
    ahead_ms: Option<f64>,
    /// The block of the last tick.
    block: Option<u64>,
    /// Nodes that are not joined, as this clock or theirs is not synchronised.
    unsynchronised: Vec<String>,
    /// Messages of theirs, none of which was taken.
    unsynchronised_messages: u64,
}

/// A node.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterNodeState)]
struct NodeBody {
    name: String,
    /// `self`, `present`, `up`, `down`, `off` (its clock) or `gone`.
    state: &'static str,
    /// Its incarnation, in hexadecimal.
    incarnation: String,
    /// Whether its host keeps its clock right.
    synchronised: Option<bool>,
    /// Its streams that have not ended.
    streams: Option<usize>,
    /// Its rooms of the cluster.
    rooms: Vec<PresentRoom>,
    /// Its own ledger.
    ledger: Option<Totals>,
    /// How much earlier than here its blocks come, or later if negative, the way included.
    ahead_ms: Option<f64>,
    /// How much of the lead half of its messages used; null before the first.
    lead_used_p50_ms: Option<f64>,
    /// The same of 99 in 100.
    lead_used_p99_ms: Option<f64>,
    /// Messages that came.
    messages: u64,
    /// Their bytes.
    bytes: u64,
    /// The block of its last message.
    last_block: Option<u64>,
    /// Messages and parts that were refused, by reason.
    refused: BTreeMap<&'static str, u64>,
}

/// A room of the cluster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterRoom)]
struct RoomBody {
    name: String,
    /// Its settings, the same on all nodes.
    settings: String,
    /// `agreed`, `asked`, `away` (the store does not answer) or `differs` (it has other settings there).
    standing: &'static str,
    /// Whether another node is in it.
    shared: bool,
    /// The nodes of which its last block was made.
    made_of: Vec<String>,
    /// The first block since which all are the same on all nodes in it.
    same_since: Option<u64>,
    /// Blocks that differed from that of another node.
    differing_blocks: u64,
    /// The other nodes that are in it, or were.
    links: Vec<LinkBody>,
}

/// The account of another node's samples in a room: `claimed = delivered + late + lost + refused`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterLink)]
struct LinkBody {
    node: String,
    /// Whether its parts are expected.
    joined: bool,
    /// Its streams in the room.
    streams: u32,
    /// Those of them that are solo.
    solos: u16,
    /// Samples that it has mixed, as it says.
    claimed: u64,
    /// Samples in parts that were in time.
    delivered: u64,
    /// Samples in parts that came too late.
    late: u64,
    /// Samples in parts that never came.
    lost: u64,
    /// Samples in parts that came and were not taken.
    refused: u64,
    /// Whether the equation holds.
    closed: bool,
    /// The block from which on it is unknown what it mixed, if its parts do not come.
    unknown_since: Option<u64>,
    /// The first block since which all are the same as on it.
    same_since: Option<u64>,
}

/// Messages that this node has made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterSent)]
struct SentBody {
    messages: u64,
    bytes: u64,
    /// Messages that were not sent, as NATS was away.
    away: u64,
    /// Parts that were sent as silence, as their sums could overflow with those of others.
    too_loud: u64,
    /// Parts that did not fit the messages of a block.
    too_long: u64,
}

/// The streams of all nodes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterStreams)]
struct StreamsBody {
    nodes: Vec<NodeStreamsBody>,
}

/// The streams of another node, up to a second old.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClusterNodeStreams)]
struct NodeStreamsBody {
    node: String,
    streams: Vec<PresentStream>,
    /// Streams that are not listed.
    more: usize,
}

fn reason(alignment: Alignment) -> Option<String> {
    match alignment {
        Alignment::Alone(off) => Some(off.to_string()),
        _ => None,
    }
}

fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

fn counts(refusals: &Refusals) -> BTreeMap<&'static str, u64> {
    let all = Refusal::ALL.iter();
    all.map(|&why| (why.name(), refusals.of(why)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn used(lead_used: &LeadUsed, per_mille: u64) -> Option<f64> {
    (lead_used.count() > 0).then(|| ms(lead_used.quantile_ns(per_mille) as i64))
}

impl NodeBody {
    fn of(presence: Option<&Presence>, peer: Option<&PeerReport>, is_self: bool) -> Self {
        let state = match peer.map(|peer| peer.state) {
            _ if is_self => "self",
            Some(PeerState::Up) => "up",
            Some(PeerState::Down) => "down",
            Some(PeerState::Off) => "off",
            Some(PeerState::Gone) => "gone",
            Some(PeerState::Present) | None => "present",
        };
        let name = presence.map(|presence| presence.node.clone());
        let name = name.or_else(|| peer.map(|peer| peer.name.as_ref().to_owned()));
        let incarnation = presence.map(|presence| presence.incarnation.clone());
        Self {
            name: name.unwrap_or_default(),
            state,
            incarnation: incarnation
                .or_else(|| peer.map(|peer| format!("{:016x}", peer.incarnation)))
                .unwrap_or_default(),
            synchronised: presence.map(|presence| presence.is_synchronised),
            streams: presence.map(|presence| presence.streams),
            rooms: presence
                .map(|presence| presence.rooms.clone())
                .unwrap_or_default(),
            ledger: presence.map(|presence| presence.ledger),
            ahead_ms: peer.and_then(|peer| peer.ahead_ns).map(ms),
            lead_used_p50_ms: peer.and_then(|peer| used(&peer.lead_used, 500)),
            lead_used_p99_ms: peer.and_then(|peer| used(&peer.lead_used, 990)),
            messages: peer.map_or(0, |peer| peer.messages),
            bytes: peer.map_or(0, |peer| peer.bytes),
            last_block: peer.map(|peer| peer.last_block).filter(|&block| block > 0),
            refused: peer.map(|peer| counts(&peer.refused)).unwrap_or_default(),
        }
    }
}

/// The names of the nodes of [`RoomReport::made_of`].
fn made_of(nodes: u32, node: &str, peers: &[PeerReport]) -> Vec<String> {
    let own = (nodes & 1 > 0).then(|| node.to_owned());
    let others = peers.iter().filter(|peer| nodes & 2 << peer.place > 0);
    let others = others.map(|peer| peer.name.as_ref().to_owned());
    own.into_iter().chain(others).collect()
}

impl LinkBody {
    fn new(link: &LinkReport, peers: &[PeerReport]) -> Self {
        let node = peers.iter().find(|peer| peer.place == link.place);
        Self {
            node: node
                .map(|peer| peer.name.as_ref().to_owned())
                .unwrap_or_default(),
            joined: link.is_joined,
            streams: link.streams,
            solos: link.solos,
            claimed: link.terms.claimed,
            delivered: link.terms.delivered,
            late: link.terms.late,
            lost: link.terms.lost,
            refused: link.terms.refused,
            closed: link.terms.is_closed(),
            unknown_since: link.unknown_since,
            same_since: link.same_since,
        }
    }
}

impl RoomBody {
    fn new(room: &ClusterRoom, node: &str, report: Option<&Report>) -> Self {
        let of = |report: &&RoomReport| report.room == room.room;
        let found = report.and_then(|report| report.rooms.iter().find(of));
        let peers = report.map(|report| &*report.peers).unwrap_or_default();
        Self {
            name: room.name.clone(),
            settings: room.settings.clone(),
            standing: match room.standing() {
                Standing::Asked => "asked",
                Standing::Away => "away",
                Standing::Agreed => "agreed",
                Standing::Differs { .. } => "differs",
            },
            shared: found.is_some_and(|report| report.is_shared),
            made_of: made_of(found.map_or(0, |report| report.made_of), node, peers),
            same_since: found.and_then(|report| report.same_since),
            differing_blocks: found.map_or(0, |report| report.differing_blocks),
            links: found
                .map(|report| &*report.links)
                .unwrap_or_default()
                .iter()
                .map(|link| LinkBody::new(link, peers))
                .collect(),
        }
    }
}

impl ClusterBody {
    fn new(face: &Face, period_ms: f64) -> Self {
        let view = face.view();
        let ledger = view.ledger();
        let View {
            membership,
            link,
            is_synchronised,
            unsynchronised,
            unsynchronised_messages,
            unsent_messages,
            report,
            nodes,
            ..
        } = view;
        let report = report.as_ref();
        let peers = report.map(|report| &*report.peers).unwrap_or_default();
        let present = nodes.iter().map(|presence| {
            let peer = peers.iter().find(|peer| *peer.name == *presence.node);
            NodeBody::of(Some(presence), peer, presence.node == membership.node)
        });
        let absent = peers
            .iter()
            .filter(|peer| nodes.iter().all(|presence| *presence.node != *peer.name));
        let absent = absent.map(|peer| NodeBody::of(None, Some(peer), false));
        let (server, error) = match link {
            Link::Connected(server) => (Some(server), None),
            Link::Away(error) => (None, error),
        };
        Self {
            lead_ms: membership.lead_ticks as f64 * period_ms,
            cluster: membership.cluster,
            node: membership.node.clone(),
            nats: NatsBody {
                connected: server.is_some(),
                server,
                error,
            },
            clock: ClockBody {
                synchronised: is_synchronised,
                alignment: report.map_or("idle", |report| report.alignment.name()),
                reason: report.and_then(|report| reason(report.alignment)),
                ahead_ms: report.and_then(|report| report.utc_ahead_ns).map(ms),
                block: report.and_then(|report| report.block),
                unsynchronised,
                unsynchronised_messages,
            },
            rooms: face
                .directory()
                .rooms()
                .iter()
                .map(|room| RoomBody::new(room, &membership.node, report))
                .collect(),
            in_flight: ledger.in_flight(),
            ledger,
            sent: SentBody {
                messages: report.map_or(0, |report| report.sent_messages),
                bytes: report.map_or(0, |report| report.sent_bytes),
                away: unsent_messages,
                too_loud: report.map_or(0, |report| report.too_loud),
                too_long: report.map_or(0, |report| report.unsent),
            },
            refused: report
                .map(|report| counts(&report.refused))
                .unwrap_or_default(),
            nodes: present.chain(absent).collect(),
        }
    }
}

fn face(state: &State) -> Result<&Face, Problem> {
    state.handle.cluster().ok_or_else(|| {
        Problem::not_found("this server is no node of a cluster; start it with --cluster")
    })
}

/// The cluster as this node sees it, at most 0.1 s ago; what other nodes say of themselves is up to 0.4 s older.
#[utoipa::path(
    get, path = "/api/v1/cluster", tag = "cluster",
    responses(
        (status = 200, description = "The cluster", body = ClusterBody),
        (status = 404, description = "This server is no node",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn cluster(Shared(state): Shared<Arc<State>>) -> Result<Json<ClusterBody>, Problem> {
    let period = state.handle.settings().ptime.as_secs_f64() * 1e3;
    Ok(Json(ClusterBody::new(face(&state)?, period)))
}

/// The streams of the other nodes; those of this one are at `/api/v1/streams`.
#[utoipa::path(
    get, path = "/api/v1/cluster/streams", tag = "cluster",
    responses(
        (status = 200, description = "Their streams", body = StreamsBody),
        (status = 404, description = "This server is no node",
         body = Problem, content_type = "application/problem+json"),
    )
)]
async fn cluster_streams(Shared(state): Shared<Arc<State>>) -> Result<Json<StreamsBody>, Problem> {
    let view = face(&state)?.view();
    let nodes = view.streams.into_iter().map(|(node, bytes)| {
        // Nothing has come yet, or it is of another release.
        let read: PresentStreams = serde_json::from_slice(&bytes).unwrap_or_default();
        NodeStreamsBody {
            node,
            streams: read.streams,
            more: read.more,
        }
    });
    Ok(Json(StreamsBody {
        nodes: nodes.collect(),
    }))
}
