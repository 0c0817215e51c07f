//! News of the cluster: to the log, to other threads, and to the sidecars of recordings.

use std::{collections::HashMap, sync::Arc};

use super::{Cluster, OTHERS_MAX};
use crate::{
    audio::GapReason,
    cluster::{Alignment, ClusterRoom, Event},
    mixer::RoomId,
    os::now_ns,
};

impl Cluster {
    /// Tells what has happened.
    pub(super) fn tell(&mut self) {
        while let Some(event) = self.node.next_event() {
            log(&event, &self.open);
            self.note_gap(&event);
            self.face.note(event);
        }
    }

    /// Has recordings say where they lack a node, or differ from it.
    fn note_gap(&mut self, event: &Event) {
        match event {
            Event::Missing {
                room,
                node,
                first_tick,
                ticks,
            } => (self.own.gap)(
                *room,
                node,
                GapReason::Node,
                *first_tick..first_tick + ticks,
            ),
            Event::Differs { room, node, block } => {
                if let Some(tick) = self.tick_of(*block)
                    && self.differs.len() < OTHERS_MAX
                {
                    self.differs.insert((*room, Arc::clone(node)), tick);
                }
            }
            Event::Same { room, node, block } => {
                if let Some(to) = self.tick_of(*block) {
                    self.note_differing(*room, node, to);
                }
            }
            Event::NodeGone { node } => self.end_differing(|other| other == node),
            Event::Alignment { alignment, .. } => {
                self.end_differing(|_| true);
                let is_alone = matches!(alignment, Alignment::Alone(_));
                if *alignment == Alignment::Aligned && self.was_alone {
                    (self.own.renumbered)();
                }
                self.was_alone = is_alone || (self.was_alone && *alignment != Alignment::Aligned);
            }
            _ => {}
        }
    }

    fn tick_of(&self, block: u64) -> Option<u64> {
        self.node.tick_of(block)?.try_into().ok()
    }

    /// A node is compared with no more.
    pub(super) fn end_differing(&mut self, ends: impl Fn(&Arc<str>) -> bool) {
        let ended: Vec<_> = self
            .differs
            .keys()
            .filter(|(_, node)| ends(node))
            .cloned()
            .collect();
        let finished = self
            .clock
            .next_tick(now_ns())
            .saturating_sub(self.lead_ticks);
        for (room, node) in ended {
            self.note_differing(room, &node, finished);
        }
    }

    fn note_differing(&mut self, room: RoomId, node: &Arc<str>, to: u64) {
        if let Some(from) = self.differs.remove(&(room, Arc::clone(node))) {
            (self.own.gap)(room, node, GapReason::Differs, from..to);
        }
    }
}

fn log(event: &Event, rooms: &HashMap<RoomId, Arc<ClusterRoom>>) {
    let name = |room: &RoomId| rooms.get(room).map_or("a closed room", |room| &room.name);
    match event {
        Event::Alignment { alignment, .. } => match alignment {
            Alignment::Alone(off) => tracing::warn!("this node is alone: {off}"),
            Alignment::Aligned => tracing::info!("this node has joined the cluster"),
            Alignment::Idle | Alignment::Listening => {}
        },
        Event::NodeUp { node, block, .. } => {
            tracing::info!("node {node} is taken in from block {block} on");
        }
        Event::NodeDown {
            node,
            rooms,
            streams,
            last_block,
        } => {
            let rooms: Vec<_> = rooms.iter().map(name).collect();
            tracing::warn!(
                "node {node} is down: its last block was {last_block}; {streams} streams of {} are missing",
                rooms.join(", ")
            );
        }
        Event::NodeGone { node } => tracing::info!("node {node} has left"),
        Event::NodeOff { node, ahead_ns } => tracing::warn!(
            "node {node} is refused: its clock is off by {:.1} ms",
            *ahead_ns as f64 / 1e6
        ),
        Event::Differs { room, node, block } => {
            tracing::warn!(
                "room {} differs from node {node} since block {block}",
                name(room)
            );
        }
        Event::Same { room, node, block } => {
            tracing::info!(
                "room {} is the same as on node {node} since block {block}",
                name(room)
            );
        }
        Event::Missing { .. } => {}
    }
}
