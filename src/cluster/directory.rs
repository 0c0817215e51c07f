//! The rooms of the cluster that are open on this node, between the engine, which opens and closes them, and the thread
//! that exchanges their sums.
//!
//! Takes a mutex in every call: none of them is made in a tick.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    mixer::{RoomId, RoomStrip},
    wire::part::room_id,
};

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The name of the cluster.
    pub cluster: String,
    /// The name of the node.
    pub node: String,
    /// Ticks by which rooms of the cluster are behind: at least 1.
    pub lead_ticks: u64,
    /// Rooms of the cluster at once.
    pub rooms_max: usize,
}

/// Whether the nodes agree on the settings of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The store of the cluster has not answered yet.
    Asked,
    /// The store is away: the room is of this node alone until it answers.
    Away,
    /// The room has these settings on all nodes.
    Agreed,
    /// The room has other settings on the nodes that opened it before: it stays of this node alone.
    Differs {
        /// The settings of the others.
        theirs: String,
    },
}

/// A room of the cluster that is open here.
#[derive(Debug)]
pub struct ClusterRoom {
    /// Its name, the same on all nodes.
    pub name: String,
    /// How this node's mixer names it.
    pub room: RoomId,
    /// Its settings as canonical text.
    pub settings: String,
    /// Its name in [parts](crate::wire::part): of name and settings.
    pub key: u64,
    /// Its figures in the mix of this node.
    pub strip: Arc<RoomStrip>,
    standing: watch::Sender<Standing>,
}

impl ClusterRoom {
    /// Whether the nodes agree on it.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// To wait until they do.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }
}

/// All of them. Clones share it.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rooms_max: usize,
    rooms: Mutex<BTreeMap<String, Arc<ClusterRoom>>>,
    version: watch::Sender<u64>,
}

impl Directory {
    /// For so many rooms at once.
    pub fn new(rooms_max: usize) -> Self {
        Self(Arc::new(Shared {
            rooms_max,
            rooms: Mutex::default(),
            version: watch::Sender::new(0),
        }))
    }

    /// Rooms at once.
    pub fn rooms_max(&self) -> usize {
        self.0.rooms_max
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ClusterRoom>>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a room that is about to open; none if there are as many as there may be.
    pub fn open(
        &self,
        name: &str,
        room: RoomId,
        settings: String,
        strip: Arc<RoomStrip>,
    ) -> Option<Arc<ClusterRoom>> {
        let mut rooms = self.lock();
        if rooms.len() >= self.0.rooms_max {
            return None;
        }
        let opened = Arc::new(ClusterRoom {
            name: name.to_owned(),
            room,
            key: room_id(name, &settings),
            settings,
            strip,
            standing: watch::Sender::new(Standing::Asked),
        });
        rooms.insert(name.to_owned(), Arc::clone(&opened));
        drop(rooms);
        self.changed();
        Some(opened)
    }

    /// The room of this name is closed here.
    pub fn close(&self, name: &str) {
        if self.lock().remove(name).is_some() {
            self.changed();
        }
    }

    /// Those that are open, by their names.
    pub fn rooms(&self) -> Vec<Arc<ClusterRoom>> {
        self.lock().values().cloned().collect()
    }

    /// To wait for rooms that open or close.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn changed(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }
}

/// A room's name as a key of the store, which takes fewer characters.
pub(super) fn store_key(name: &str) -> String {
    let mut key = String::with_capacity(2 * name.len());
    for byte in name.bytes() {
        // Writing to a string never fails.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The room of a key.
pub(super) fn room_of(key: &str) -> Option<String> {
    if !key.len().is_multiple_of(2) {
        return None;
    }
    let bytes = key.as_bytes().chunks(2).map(|digits| {
        let digits = str::from_utf8(digits).ok()?;
        u8::from_str_radix(digits, 16).ok()
    });
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Directory, name: &str, settings: &str) -> Option<Arc<ClusterRoom>> {
        directory.open(name, RoomId::new(1, 0), settings.to_owned(), Arc::default())
    }

    #[test]
    fn rooms_are_as_many_as_there_may_be() {
        let directory = Directory::new(2);
        let mut watch = directory.watch();
        assert!(open(&directory, "a", "").is_some() && open(&directory, "b", "").is_some());
        assert!(open(&directory, "c", "").is_none());
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        directory.close("c");
        assert!(!watch.has_changed().unwrap());
        directory.close("a");
        assert!(watch.has_changed().unwrap() && open(&directory, "c", "").is_some());
        let names: Vec<_> = directory
            .rooms()
            .iter()
            .map(|room| room.name.clone())
            .collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn every_name_of_a_room_has_a_key_of_its_own() {
        for name in ["a", "a/b?*>.", "~!", ""] {
            let key = store_key(name);
            assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(room_of(&key).as_deref(), Some(name));
        }
        for wrong in ["6", "zz", "ff"] {
            assert_eq!(room_of(wrong), None);
        }
    }

    #[test]
    fn a_key_is_of_the_name_and_the_settings() {
        let directory = Directory::new(4);
        let keys = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]
            .map(|(name, settings)| open(&directory, name, settings).unwrap().key);
        assert_eq!(keys[0], keys[3]);
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    }
}
