//! Rooms of the cluster: on other nodes, too.

use std::sync::Arc;

use super::{OpenRoom, RoomError, RoomSettings, Rooms};
use crate::cluster::ClusterRoom;

impl OpenRoom {
    /// The room as the cluster has it; none if it is of this node alone.
    pub fn cluster(&self) -> Option<&Arc<ClusterRoom>> {
        self.cluster.as_ref()
    }
}

impl Rooms {
    /// Makes a room that opens one of the cluster.
    pub(super) fn share(
        &self,
        room: &OpenRoom,
        start: RoomSettings,
    ) -> Result<Arc<ClusterRoom>, RoomError> {
        let name = room.name.clone();
        let Some(directory) = &self.directory else {
            return Err(RoomError::NoCluster { name });
        };
        let settings = start.canonical(&self.mixing);
        let strip = Arc::clone(&room.strip);
        let shared = directory.open(&name, room.id, settings, strip);
        let max = directory.rooms_max();
        shared.ok_or(RoomError::TooManyInCluster { max })
    }
}
