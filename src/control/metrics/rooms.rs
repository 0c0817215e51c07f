//! The families of rooms: how many there are, and of each as long as it has series of its own.

use std::{collections::HashMap, sync::Arc};

use super::{
    Scrape,
    page::{Page, RATIO, SAMPLES},
};
use crate::{
    audio::meter::FULL_SCALE,
    engine::{MAIN_ROOM, OpenRoom},
    mixer::RoomId,
};

/// The figures of the streams that are in a room.
#[derive(Debug, Clone, Copy, Default)]
struct Inside {
    streams: u64,
    talking: u64,
    dropped: u64,
}

/// `main` has series, and then the first by their names.
pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let mut rooms: Vec<&OpenRoom> = scrape.snapshot.rooms.iter().map(Arc::as_ref).collect();
    rooms.sort_by_key(|room| room.name() != MAIN_ROOM);
    let max = scrape.state.settings.metrics_rooms_max;
    let (with, without) = rooms.split_at(rooms.len().min(max));
    let mut inside: HashMap<RoomId, Inside> = HashMap::new();
    for figures in &scrape.snapshot.streams {
        let inside = inside.entry(figures.admitted.room().id()).or_default();
        inside.streams += 1;
        inside.talking += u64::from(figures.levels.talking);
        inside.dropped += figures.ledger.dropped();
    }
    let inside = |room: &OpenRoom| inside.get(&room.id()).copied().unwrap_or_default();
    families! { page:
        gauge "rooms" None "Rooms that are open, main among them" => rooms.len();
        gauge "rooms_max" None "Rooms that may be open at once, main among them"
            => scrape.state.handle.settings().rooms_max;
        counter "rooms_refused" None "Rooms that were not opened, as all were in use"
            => scrape.state.handle.rooms_refused();
        gauge "rooms_without_series" None "Rooms that have no series of their own here" => without.len();
        gauges "room_streams" None "Streams that are in the room"
            => with.iter().map(|room| ([label(room)], inside(room).streams));
        gauges "room_talking_streams" None "Streams in it that talk, before gain and mute"
            => with.iter().map(|room| ([label(room)], inside(room).talking));
        counters "room_mixed" SAMPLES "Samples of its streams that were heard in the room"
            => with.iter().map(|room| ([label(room)], room.strip().mixed()));
        gauges "room_peak" RATIO "Largest magnitude of its last block, of full scale"
            => with.iter().map(|room| ([label(room)], f64::from(room.strip().peak()) / f64::from(FULL_SCALE)));
        counters "room_clipped" SAMPLES "Samples of the room's mix that saturation cut"
            => with.iter().map(|room| ([label(room)], room.strip().clipped()));
        counters "room_limited" SAMPLES "Samples of the room's mix that the limiter turned down"
            => with.iter().map(|room| ([label(room)], room.strip().limited()));
        gauges "room_dropped" SAMPLES "Samples that were dropped of the streams that are in it now"
            => with.iter().map(|room| ([label(room)], inside(room).dropped));
    }
}

fn label(room: &OpenRoom) -> (&'static str, &str) {
    ("room", room.name())
}
