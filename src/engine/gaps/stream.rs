//! A stream as the collector of gaps knows it.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use crate::{
    audio::GapReason,
    ledger::{Account, GapEvent, GapKind, GapPlaces, StreamState},
    mixer::RoomId,
};

/// Rooms that a stream was in and that are remembered, the latest.
const ROOMS_MAX: usize = 64;

/// A span of samples that are not the sender's.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The stream's number.
    pub(super) stream: u64,
    pub(super) why: GapReason,
    pub(super) span: Range<u64>,
}

/// The room of an event, as the mixer put it there.
fn room_of(event: &GapEvent) -> RoomId {
    RoomId::new((event.samples >> 32) as u32, event.samples as u32)
}

/// The reason of a gap; none for events that are none.
pub(super) fn reason(kind: GapKind) -> Option<GapReason> {
    Some(match kind {
        GapKind::Lost => GapReason::Lost,
        GapKind::Late => GapReason::Late,
        GapKind::DroppedFull => GapReason::DroppedFull,
        GapKind::Underrun => GapReason::Underrun,
        GapKind::Discarded => GapReason::Discarded,
        GapKind::Muted => GapReason::Muted,
        GapKind::Filled | GapKind::Entered => return None,
    })
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: Arc<str>,
    account: Arc<Account>,
    places: GapPlaces,
    /// The rooms that it was in, each from an index on, the latest last. The first holds for all before, too: a stream
    /// is in a room before its first block.
    rooms: VecDeque<(u64, RoomId)>,
}

impl Stream {
    pub(super) fn new(account: &Arc<Account>) -> Self {
        Self {
            id: account.id().into(),
            account: Arc::clone(account),
            places: GapPlaces::default(),
            rooms: VecDeque::new(),
        }
    }

    /// Whether it says no more.
    pub(super) fn has_ended(&self) -> bool {
        self.account.state() == StreamState::Ended
    }

    /// Takes an event of the stream; the spans that it counts are added to `found`.
    pub(super) fn take(&mut self, event: &GapEvent, found: &mut Vec<Found>) {
        if event.kind == GapKind::Entered {
            if self.rooms.len() == ROOMS_MAX {
                self.rooms.pop_front();
            }
            self.rooms.push_back((event.from, room_of(event)));
        }
        let mut spans = Vec::new();
        self.places.find(event, &mut spans);
        if let Some(why) = reason(event.kind) {
            let stream = event.stream;
            found.extend(spans.into_iter().map(|span| Found { stream, why, span }));
        }
    }

    /// The parts of a span, each with the room that the stream was in.
    pub(super) fn rooms_in(&self, span: Range<u64>) -> impl Iterator<Item = (RoomId, Range<u64>)> {
        let from = (0..self.rooms.len()).map(|at| if at == 0 { 0 } else { self.rooms[at].0 });
        let to = self.rooms.iter().skip(1).map(|&(from, _)| from);
        let to = to.chain([u64::MAX]);
        let parts = from.zip(to).zip(&self.rooms);
        let parts = parts
            .map(move |((from, to), &(_, room))| (room, from.max(span.start)..to.min(span.end)));
        parts.filter(|(_, part)| !part.is_empty())
    }
}
