//! `GET /api/v1/live`: what the page shows, ten times a second, as server-sent events.
//!
//! A viewer first gets `hello`: the server, the stream in each slot, the rooms, all columns, and the waveform of the
//! last seconds. Then comes an `update` a snapshot: what it changes, and columns in the order of the slots and of the
//! rooms' places. Each update is encoded once and shared by all viewers, and not at all if there are none. A viewer that
//! cannot follow loses the updates that it missed, and gets another `hello`; it skips updates with a number not above
//! that of the last message.
//!
//! `message` has the format. It is the page's own and changes with it; others read the API.

mod message;
mod rooms;

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::State as Shared,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};

use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    message::{Columns, Hello, Update},
    rooms::Rooms,
};
use super::{
    events::{Event, Events},
    problem::Problem,
    sampler::Snapshot,
    state::State,
};
use crate::{
    audio::meter::Extremes,
    engine::{Handle, StreamFigures},
};

/// Events that a message has at most, the latest. Those of talking are a column.
const EVENTS_MAX: usize = 60;

/// Updates that wait for a viewer. One that is further behind skips them.
const WAITING_MAX: usize = 8;

/// Updates from one with all columns to the next.
const COLUMNS_EVERY: u32 = 10;

/// Pieces of the waveform that a new viewer gets: ten seconds of them.
const WAVE_MAX: usize = 1000;

/// The feed of all viewers.
#[derive(Debug)]
pub(super) struct Feed {
    updates: broadcast::Sender<Bytes>,
    /// Distinguishes this run of the server from the next one at the same address.
    instance: String,
    handle: Handle,
    events: Arc<Events>,
    told: Mutex<Told>,
}

/// The state of the viewers.
#[derive(Debug, Default)]
struct Told {
    roster: Roster,
    rooms: Rooms,
    /// The waveform, and the number of its first piece.
    wave: VecDeque<Extremes>,
    wave_at: u64,
    /// The snapshot that all this is of; none before the first.
    snapshot: Option<Arc<Snapshot>>,
    columns: Columns,
    room_columns: Columns,
    /// Updates since the last with columns.
    since_columns: u32,
    /// Number of the last update.
    number: u64,
    /// Id of the last event.
    event_id: u64,
}

/// By slot: the stream that is there.
type Roster = Vec<Option<Seat>>;

/// A stream in its slot, as viewers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seat {
    number: u64,
    label: Option<Arc<str>>,
    /// The place of its room.
    room: usize,
}

impl Seat {
    fn of(figures: &StreamFigures) -> Self {
        Self {
            number: figures.admitted.number(),
            label: figures.label.clone(),
            room: figures.admitted.room().id().slot(),
        }
    }
}

impl Feed {
    /// The feed of a server, from its first snapshot on.
    pub(super) fn new(handle: Handle, events: Arc<Events>, first: &Arc<Snapshot>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let feed = Self {
            updates: broadcast::Sender::new(WAITING_MAX),
            instance: format!("{:x}", since_epoch.map_or(0, |since| since.as_nanos())),
            handle,
            events,
            told: Mutex::default(),
        };
        feed.tell(first);
        feed
    }

    /// Sends each snapshot to come.
    pub(super) async fn run(self: Arc<Self>, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        while snapshots.changed().await.is_ok() {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            self.tell(&snapshot);
        }
    }

    fn tell(&self, snapshot: &Arc<Snapshot>) {
        let mut told = self.told();
        let slots = self.handle.settings().streams_max;
        let roster = roster(slots, &snapshot.streams);
        let rooms = rooms::places(&snapshot.rooms);
        told.keep_wave(snapshot);
        told.number += 1;
        let events = self.events_since(told.event_id);
        let columns = (told.since_columns == 0).then(|| {
            let now = Columns::of(slots, &snapshot.streams);
            let changed = now.since(&told.columns);
            told.columns = now;
            changed
        });
        let room_columns = (told.since_columns == 0).then(|| {
            let now = rooms::columns(&rooms, &roster, &snapshot.streams);
            let changed = now.since(&told.room_columns);
            told.room_columns = now;
            changed
        });
        told.since_columns = (told.since_columns + 1) % COLUMNS_EVERY;
        if self.updates.receiver_count() > 0 {
            let update = Update {
                number: told.number,
                snapshot,
                ring_bytes: self.handle.settings().ring_bytes as u64,
                block_samples: self.handle.block_samples(),
                samples_now: self.samples_now(),
                before: &told.roster,
                roster: &roster,
                rooms_before: &told.rooms,
                rooms: &rooms,
                columns: columns.as_ref(),
                room_columns: room_columns.as_ref(),
                events: &events,
            };
            // The viewers may have left meanwhile.
            let _ = self.updates.send(update.encode());
        }
        told.event_id = events.last().map_or(told.event_id, |event| event.id);
        told.roster = roster;
        told.rooms = rooms;
        told.snapshot = Some(Arc::clone(snapshot));
    }

    /// The latest of those after this id.
    fn events_since(&self, id: u64) -> Vec<Arc<Event>> {
        self.events.beside_talking(id + 1..=u64::MAX, EVENTS_MAX)
    }

    /// Samples of a stream between two snapshots, about.
    fn samples_now(&self) -> u64 {
        let format = self.handle.settings().format;
        u64::from(format.rate_hz()) * u64::from(format.channels()) / 10
    }

    /// A viewer: what it knows of at the beginning, and the updates that follow upon just that.
    fn join(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        // Under the lock: no update is lost between the two, and none is in both.
        let told = self.told();
        let updates = self.updates.subscribe();
        (self.hello(&told), updates)
    }

    /// All that viewers know.
    fn hello(&self, told: &Told) -> Bytes {
        let streams = told
            .snapshot
            .as_ref()
            .map_or(&[][..], |snapshot| &snapshot.streams);
        Hello {
            number: told.number,
            instance: &self.instance,
            settings: self.handle.settings(),
            block_samples: self.handle.block_samples(),
            uptime: self.handle.uptime(),
            roster: &told.roster,
            rooms: &told.rooms,
            streams,
            columns: &told.columns,
            room_columns: &told.room_columns,
            events: &self.events_until(told.event_id),
            wave: &told.wave,
            wave_at: told.wave_at,
        }
        .encode()
    }

    /// Events that viewers know, the latest of them.
    fn events_until(&self, id: u64) -> Vec<Arc<Event>> {
        self.events.beside_talking(0..=id, EVENTS_MAX)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Adds what the snapshot has of the waveform.
    fn keep_wave(&mut self, snapshot: &Snapshot) {
        let mix = &snapshot.mix;
        if mix.pieces_before != self.wave_at + self.wave.len() as u64 {
            // A snapshot was missed: what would follow the gap stands alone.
            self.wave.clear();
            self.wave_at = mix.pieces_before;
        }
        self.wave.extend(&mix.pieces);
        let over = self.wave.len().saturating_sub(WAVE_MAX);
        self.wave.drain(..over);
        self.wave_at += over as u64;
    }
}

/// The stream in each slot. If two have one slot, as the first has not quite ended, the later counts.
fn roster(slots: usize, streams: &[Arc<StreamFigures>]) -> Roster {
    let mut roster = vec![None; slots];
    for figures in streams {
        if let Some(place) = roster.get_mut(figures.admitted.slot()) {
            *place = Some(Seat::of(figures));
        }
    }
    roster
}

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(live))
}

/// The page's feed: server-sent events for as long as the server runs. Its format changes with the page.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "server",
    responses((status = 200, description = "An answer without an end", body = String,
               content_type = "text/event-stream"))
)]
async fn live(Shared(state): Shared<Arc<State>>) -> Result<Response, Problem> {
    let permit = state.endless()?;
    let head = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    // The permit goes when the last event has gone.
    let events = events(Arc::clone(&state.live)).map(move |event| {
        let _ = &permit;
        event
    });
    Ok((head, Body::from_stream(events)).into_response())
}

fn events(feed: Arc<Feed>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (hello, updates) = feed.join();
    let updates = BroadcastStream::new(updates).map(move |update| match update {
        Ok(update) => update,
        // Updates of before that may still follow; by their numbers they are known as such.
        Err(BroadcastStreamRecvError::Lagged(_)) => feed.hello(&feed.told()),
    });
    tokio_stream::once(hello).chain(updates).map(Ok)
}

#[cfg(test)]
mod tests;
