//! The store of the cluster: who is present, which rooms the nodes agree on, and the streams of all.

use std::sync::Arc;

use async_nats::jetstream::kv::{Entry, Operation};

use super::{Cluster, OTHERS_MAX, Other, ROOM_RENEWED_NS};
use crate::{
    cluster::{Presence, PresentRoom, Report, Standing, directory::room_of, presence},
    os::now_ns,
};

impl Cluster {
    pub(super) fn take_presence(&mut self, entry: &Entry) {
        let now = now_ns();
        if entry.operation != Operation::Put {
            if self.others.remove(&entry.key).is_some() {
                self.node.gone(&entry.key);
            }
            return;
        }
        let Some(presence) = Presence::read(&entry.key, &entry.value) else {
            return;
        };
        if presence.node == self.name {
            return;
        }
        let is_host = presence.boot_id == self.host.boot_id;
        let are_right = self.is_synchronised && presence.is_synchronised;
        let may_join = is_host || are_right || self.trusts_clocks;
        if may_join {
            self.node
                .presence(&presence.node, &presence.room_keys(), now);
        } else {
            self.node.gone(&presence.node);
        }
        let before = self.others.remove(&entry.key);
        if before.as_ref().is_none_or(|before| before.may_join) && !may_join {
            tracing::warn!(
                "node {} is not joined: {} clock is not synchronised; run an NTP client there, or trust clocks with \
                 --cluster-clock trust",
                presence.node,
                if self.is_synchronised {
                    "its"
                } else {
                    "this host's"
                }
            );
        }
        if self.others.len() < OTHERS_MAX {
            let streams = before.map(|before| before.streams).unwrap_or_default();
            self.others.insert(
                entry.key.clone(),
                Other {
                    presence,
                    seen_ns: now,
                    may_join,
                    streams,
                },
            );
        }
    }

    pub(super) fn take_room(&mut self, entry: &Entry) {
        let Some(name) = room_of(&entry.key) else {
            return;
        };
        if self.renewed.len() < OTHERS_MAX || self.renewed.contains_key(&name) {
            self.renewed.insert(name, now_ns());
        }
    }

    pub(super) fn take_streams(&mut self, entry: Entry) {
        if let Some(other) = self.others.get_mut(&entry.key) {
            other.streams = entry.value;
        }
    }

    /// Nodes that do not renew their presence are not present.
    pub(super) fn forget_absent(&mut self, now: u64) {
        let lives = presence::LIVES.as_nanos() as u64;
        let is_absent = |other: &Other| now > other.seen_ns + lives;
        while let Some(name) = self
            .others
            .iter()
            .find_map(|(name, other)| is_absent(other).then(|| name.clone()))
        {
            self.others.remove(&name);
            self.node.gone(&name);
        }
    }

    /// Takes in what the engine has opened and closed.
    pub(super) fn look_at_rooms(&mut self) {
        let rooms = self.face.directory().rooms();
        let node = &mut self.node;
        self.open.retain(|id, _| {
            let is_open = rooms.iter().any(|room| room.room == *id);
            if !is_open {
                node.close_room(*id);
            }
            is_open
        });
        for room in rooms {
            if self.open.contains_key(&room.room) {
                continue;
            }
            if !node.open_room(room.key, room.room, Arc::clone(&room.strip)) {
                tracing::error!(
                    "room {} is of this node alone: there is one like it",
                    room.name
                );
            }
            match &self.session {
                Some(session) => session.agree(Arc::clone(&room)),
                None => room.stand(Standing::Away),
            }
            self.open.insert(room.room, room);
        }
        // The others are to know at once.
        self.renew();
    }

    /// Renews the rooms in the store that no other node has renewed, and asks again about those that differ.
    pub(super) fn renew_rooms(&mut self, now: u64) {
        let Some(session) = &self.session else {
            return;
        };
        self.renewed
            .retain(|_, renewed| now < *renewed + 4 * ROOM_RENEWED_NS);
        for room in self.open.values() {
            let renewed = self.renewed.get(&room.name);
            match room.standing() {
                Standing::Agreed => {
                    if renewed.is_none_or(|renewed| now > renewed + ROOM_RENEWED_NS) {
                        session.renew_room(room);
                    }
                }
                _ => session.agree(Arc::clone(room)),
            }
        }
    }

    pub(super) fn presence(&self, report: &Report) -> Presence {
        let figures = (self.own.figures)();
        let mut rooms: Vec<_> = self.open.values().collect();
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        let rooms = rooms.into_iter().map(|room| PresentRoom {
            name: room.name.clone(),
            key: format!("{:016x}", room.key),
            settings: room.settings.clone(),
            streams: figures.streams.get(&room.room).copied().unwrap_or(0),
        });
        Presence {
            boot_id: self.host.boot_id.clone(),
            is_synchronised: self.is_synchronised,
            alignment: report.alignment.name().to_owned(),
            block: report.block,
            rooms: rooms.collect(),
            streams: figures.streams.values().sum(),
            ledger: figures.ledger,
            ..presence::present(&self.name, self.node.incarnation())
        }
    }

    pub(super) fn renew(&self) {
        if let Some(session) = &self.session {
            let report = self.node.report(now_ns());
            session.renew(&self.name, self.presence(&report).write());
        }
    }

    pub(super) fn show_streams(&self) {
        if let Some(session) = &self.session {
            let most = session.payload_bytes_max() / 2;
            session.show_streams(&self.name, (self.own.streams)().write(most));
        }
    }
}
