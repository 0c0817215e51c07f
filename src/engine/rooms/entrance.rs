//! The way of a stream into its room, which stays open meanwhile.

use std::{
    sync::{Arc, MutexGuard},
    time::Duration,
};

use super::{
    super::commands::{Places, Sender},
    Inner, MAIN_ROOM, OpenRoom, RoomSettings, Rooms,
};
use crate::{config::RoomPolicy, mixer::Room, net::NotAdmitted, wire::id::is_id};

/// The way of a stream into a room, which is not closed before this is dropped.
pub(in crate::engine) struct Entrance<'a> {
    room: Arc<OpenRoom>,
    /// The mixer's part, if the stream opens the room.
    opens: Option<Room>,
    /// Locked, unless it is `main`, which is never closed.
    inner: Option<MutexGuard<'a, Inner>>,
    at: Duration,
}

impl Entrance<'_> {
    /// The room, which is opened first if it was not. Called once it is certain that the stream is admitted.
    pub(in crate::engine) fn enter(&mut self, place: &mut Places<'_>) -> &Arc<OpenRoom> {
        if let (Some(room), Some(inner)) = (self.opens.take(), &mut self.inner) {
            place.open_room(room);
            inner.add(&self.room, self.at);
            inner.by_streams.insert(self.room.name.clone(), None);
        }
        &self.room
    }
}

impl Rooms {
    /// The way of a stream into the room that it names.
    pub(in crate::engine) fn entrance(
        &self,
        name: Option<&str>,
        at: Duration,
        commands: &Sender,
    ) -> Result<Entrance<'_>, NotAdmitted> {
        let Some(name) = name.filter(|name| *name != MAIN_ROOM) else {
            return Ok(Entrance {
                room: Arc::clone(&self.main),
                opens: None,
                inner: None,
                at,
            });
        };
        let owned = || name.to_owned();
        if !is_id(name) {
            return Err(NotAdmitted::RoomName { room: owned() });
        }
        let inner = self.lock(commands);
        let (room, opens) = match (inner.open.get(name), self.policy) {
            (Some(room), _) => (Arc::clone(room), None),
            (None, RoomPolicy::Listed) => {
                return Err(NotAdmitted::UnknownRoom { room: owned() });
            }
            (None, RoomPolicy::Auto) => {
                let made = self.make(&inner, name, RoomSettings::default());
                let max = self.mixing.rooms_max;
                let (room, opens) = made.map_err(|_| NotAdmitted::RoomsMax { max })?;
                (room, Some(opens))
            }
        };
        Ok(Entrance {
            room,
            opens,
            inner: Some(inner),
            at,
        })
    }
}
