//! The rooms that open and close, and the streams that begin and end, lose audio or stall, as lines of the log.

use std::time::Duration;

use mixpool::engine::{Admitted, Handle, HealthChange, RoomChange, RoomEvent};

use crate::cli::units::show_stream;

/// Lines of a look about streams that began, as many about those that ended, and about changes of health.
/// Strangers may begin streams, and must not fill a disk by that: the others of a look are one line.
const LINES_MAX: usize = 20;

/// The streams that the log has named.
#[derive(Debug)]
pub(super) struct StreamLog {
    started: u64,
    ended: u64,
    /// The latest change of a stream's health.
    health: u64,
    /// The latest event of a room.
    rooms: u64,
}

impl StreamLog {
    /// Streams of the start are known: so many.
    pub(super) fn new(known: usize) -> Self {
        Self {
            started: known as u64,
            ended: 0,
            health: 0,
            rooms: 0,
        }
    }

    /// Logs what happened since the last look.
    pub(super) fn look(&mut self, handle: &Handle) {
        self.look_at_rooms(handle);
        // In this order: a stream that is counted is among those that run, or among those that ended.
        let started = handle.streams_count();
        let running = handle.running();
        let ended = handle.ended_count();
        let news = usize::try_from(ended - self.ended).unwrap_or(usize::MAX);
        let mut gone = handle.ended(news);
        gone.reverse();
        let fresh = |stream: &&_| (self.started..started).contains(&Admitted::number(stream));
        let mut begun: Vec<_> = gone
            .iter()
            .chain(&running)
            .map(|stream| &**stream)
            .collect();
        begun.retain(fresh);
        begun.sort_by_key(|stream| stream.number());
        begun.dedup_by_key(|stream| stream.number());
        for stream in begun.iter().take(LINES_MAX) {
            tracing::info!(stream = %name(stream), "started, {}", stream.from());
        }
        rest((started - self.started) as usize, "started");
        for stream in gone.iter().take(LINES_MAX) {
            let lasted = handle.uptime().saturating_sub(stream.at());
            tracing::info!(stream = %name(stream), "ended, {}", summary(stream, lasted));
        }
        rest(news, "ended");
        (self.started, self.ended) = (started, ended);
        self.look_at_health(handle);
    }

    fn look_at_rooms(&mut self, handle: &Handle) {
        let events = handle.room_events(self.rooms);
        let is_line = |event: &&RoomEvent| !matches!(event.change, RoomChange::Entered { .. });
        for event in events.iter().filter(is_line).take(LINES_MAX) {
            let room = event.room.name();
            match event.change {
                RoomChange::Opened => tracing::info!(room, "room opened"),
                RoomChange::Closed => tracing::info!(room, "room closed"),
                RoomChange::Entered { .. } => {}
            }
        }
        let more = events.iter().filter(is_line).skip(LINES_MAX).count();
        if more > 0 {
            tracing::info!("{more} more rooms: opened or closed, in the last second");
        }
        self.rooms = events.last().map_or(self.rooms, |event| event.number);
    }

    fn look_at_health(&mut self, handle: &Handle) {
        let events = handle.health_events(self.health);
        for event in events.iter().take(LINES_MAX) {
            let (stream, detail) = (name(&event.stream), &event.detail);
            match event.change {
                HealthChange::Losing => tracing::warn!(%stream, "loses audio: {detail}"),
                HealthChange::Recovered => tracing::info!(%stream, "recovered: {detail}"),
                HealthChange::Stalled => tracing::warn!(%stream, "stalled: {detail}"),
                HealthChange::Resumed => tracing::info!(%stream, "resumed: {detail}"),
            }
        }
        rest(events.len(), "lose audio, stall or recover");
        self.health = events.last().map_or(self.health, |event| event.number);
    }
}

fn rest(all: usize, what: &str) {
    let more = all.saturating_sub(LINES_MAX);
    if more > 0 {
        tracing::info!(
            "{more} more streams: {what}, in the last second; GET /api/v1/streams?state=all has them"
        );
    }
}

fn name(stream: &Admitted) -> String {
    show_stream(stream.id(), stream.label().as_deref())
}

/// Where it came from, how long it was there, and what of it was not heard.
fn summary(stream: &Admitted, lasted: Duration) -> String {
    let ledger = stream.account().read();
    let lost = stream
        .account()
        .network()
        .map(|network| network.totals().lost);
    let lost = lost.map_or(String::new(), |lost| format!("{lost} packets lost, "));
    format!(
        "{}, after {} s: {lost}{} of {} samples dropped, {} concealed",
        stream.from(),
        lasted.as_secs(),
        ledger.dropped(),
        ledger.offered,
        ledger.concealed
    )
}
