//! The rooms in the feed: which there are, by the mixer's places for them, and their figures as columns in that order.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    Seat,
    message::{Columns, gain_db, level_byte},
};
use crate::{
    engine::{OpenRoom, StreamFigures},
    ledger::Value,
    mixer::{Limiting, RoomId},
};

/// By place: the room that is there. As long as the last open room needs, so that few rooms make short columns.
pub(super) type Rooms = Vec<Option<Arc<OpenRoom>>>;

/// Place and name.
pub(super) type Opened<'a> = (usize, &'a str);

pub(super) fn places(open: &[Arc<OpenRoom>]) -> Rooms {
    let places = open.iter().map(|room| room.id().slot() + 1).max();
    let mut rooms = vec![None; places.unwrap_or_default()];
    for room in open {
        rooms[room.id().slot()] = Some(Arc::clone(room));
    }
    rooms
}

fn at(rooms: &Rooms, place: usize) -> Option<&OpenRoom> {
    rooms.get(place)?.as_deref()
}

fn id(rooms: &Rooms, place: usize) -> Option<RoomId> {
    at(rooms, place).map(OpenRoom::id)
}

/// Rooms that are there now, and were not.
pub(super) fn opened<'a>(before: &Rooms, now: &'a Rooms) -> Vec<Opened<'a>> {
    (0..now.len())
        .filter(|&place| id(now, place) != id(before, place))
        .filter_map(|place| Some((place, at(now, place)?.name())))
        .collect()
}

/// Places of which the room has closed.
pub(super) fn closed(before: &Rooms, now: &Rooms) -> Vec<usize> {
    (0..before.len())
        .filter(|&place| at(before, place).is_some() && id(before, place) != id(now, place))
        .collect()
}

/// The levels of the last blocks, a byte each.
pub(super) fn levels(rooms: &Rooms) -> String {
    let level = |room: &Option<Arc<OpenRoom>>| {
        room.as_ref()
            .map_or(0, |room| level_byte(room.strip().peak()))
    };
    BASE64.encode(rooms.iter().map(level).collect::<Vec<u8>>())
}

/// Columns that change slowly, by name; null where there is no room.
pub(super) fn columns(
    rooms: &Rooms,
    roster: &[Option<Seat>],
    streams: &[Arc<StreamFigures>],
) -> Columns {
    // Samples that their streams lack, as those were dropped.
    let mut dropped = vec![0; rooms.len()];
    for figures in streams {
        let seat = roster.get(figures.admitted.slot()).and_then(Option::as_ref);
        if let Some(dropped) = seat.and_then(|seat| dropped.get_mut(seat.room)) {
            *dropped += figures.ledger.dropped();
        }
    }
    let column = |of: &dyn Fn(&OpenRoom) -> Value| {
        let value = |room: &Option<Arc<OpenRoom>>| room.as_deref().map_or(Value::Absent, of);
        rooms.iter().map(value).collect()
    };
    Columns::new([
        (
            "dropped_samples",
            column(&|room| Value::Whole(dropped[room.id().slot()])),
        ),
        ("gain_db", column(&|room| gain_db(room.strip().gain()))),
        (
            "limiter",
            column(&|room| {
                let limits = room.strip().limiting() == Limiting::Limiter;
                Value::Whole(limits.into())
            }),
        ),
    ])
}
