//! Rooms that a config lists: they open all or none.

use std::{sync::atomic::Ordering, time::Duration};

use super::{RoomError, Rooms, check_name};
use crate::{
    config::RoomConfig,
    engine::{Handle, commands::Sender},
};

impl Rooms {
    /// Opens those of these rooms that are not open, all or none. From now on none of them closes for being empty.
    pub(in crate::engine) fn open_listed(
        &self,
        listed: &[RoomConfig],
        at: Duration,
        commands: &Sender,
    ) -> Result<(), RoomError> {
        listed.iter().try_for_each(|room| check_name(&room.name))?;
        let mut inner = self.lock(commands);
        let is_new = |room: &&RoomConfig| !inner.open.contains_key(&room.name);
        let new: Vec<_> = listed.iter().filter(is_new).collect();
        if new.len() > inner.free.len() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let max = self.mixing.rooms_max;
            return Err(RoomError::TooMany { max });
        }
        self.check_shared(&new)?;
        let mut places = commands.places(new.len())?;
        for room in new {
            let (opened, room) = self.make(&inner, &room.name, room.into())?;
            places.open_room(room);
            inner.add(&opened, at);
        }
        for room in listed {
            inner.by_streams.remove(&room.name);
        }
        Ok(())
    }

    /// Whether those of these rooms that are of the cluster can all open.
    fn check_shared(&self, new: &[&RoomConfig]) -> Result<(), RoomError> {
        let mut shared = new.iter().filter(|room| room.cluster);
        let Some(directory) = &self.directory else {
            return shared.next().map_or(Ok(()), |room| {
                let name = room.name.clone();
                Err(RoomError::NoCluster { name })
            });
        };
        let max = directory.rooms_max();
        if directory.rooms().len() + shared.count() > max {
            return Err(RoomError::TooManyInCluster { max });
        }
        Ok(())
    }
}

impl Handle {
    /// Opens those of these rooms that are not open yet, all or none. Takes a mutex, and allocates.
    ///
    /// # Errors
    /// [`RoomError`]: a name, too few places left in the mixer or the cluster, or a mixer that is busy.
    pub fn open_listed_rooms(&self, listed: &[RoomConfig]) -> Result<(), RoomError> {
        let rooms = &self.shared().streams.rooms;
        rooms.open_listed(listed, self.uptime(), self.commands())
    }
}
