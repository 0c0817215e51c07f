//! The effect of each command, between two ticks.

use super::{
    Command, Feed, FeedId, MixRing, Mixer, NewInput, ReaderId, RoomId, Signal,
    fader::ramp_instants,
    feed::Makes,
    feeds::Closed,
    input::{Input, OURS},
    removed,
    room::Fade,
    room_line::RoomLine,
};
use crate::queue::LeaseId;

impl Mixer {
    /// Takes a command, effective at the next tick. A command for a stream that ended, or is ended by
    /// command, does nothing; a feed of it is closed then.
    ///
    /// # Panics
    /// If an admitted stream's lease is not of this pool, or was released: a bug of the caller.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Admit(new) => self.admit(new),
            Command::OpenReader(id, mut ring) => {
                let index = self.first_sample();
                ring.retain(|room| self.rooms.find(room).is_some());
                ring.rooms().for_each(|room| self.rooms.hear(room));
                let refused = self.readers.open(id, ring, index);
                if let Some(ring) = &refused {
                    ring.rooms().for_each(|room| self.rooms.forget(room));
                }
                self.removals.send_all(refused.map(removed::Part::Ring));
            }
            Command::CloseReader(id) => {
                let index = self.first_sample();
                if let Some(ring) = self.readers.get_mut(id) {
                    ring.close_at(index);
                }
            }
            Command::OpenRoom(room) => {
                let refused = self.rooms.open(room);
                self.removals.send_all(refused.map(removed::Part::Room));
            }
            Command::SetRoomGain(id, gain) => self.rooms.set(id, |room| room.set_gain(gain)),
            Command::SetLimiting(id, limiting) => {
                self.rooms.set(id, |room| room.set_limiting(limiting));
            }
            Command::SetTalking(id, rule) => self.rooms.set(id, |room| room.set_talking(rule)),
            Command::CloseRoom(id) => self.rooms.close(id, self.first_sample()),
            Command::Move {
                stream,
                to,
                fade,
                track,
            } => {
                self.move_stream(stream, to, fade);
                if let Some(track) = track {
                    self.open_feed(track);
                }
            }
            Command::OpenFeed(feed) => self.open_feed(feed),
            Command::CloseFeed(id) => self.close_feed(id),
            Command::SetGain(lease, gain) => {
                if let Some(input) = self.commanded(lease) {
                    input.set_gain(gain);
                }
            }
            Command::SetMuted(lease, muted) => {
                if let Some(input) = self.commanded(lease) {
                    input.set_muted(muted);
                }
            }
            Command::SetSolo(lease, solo) => {
                if self.commanded(lease).is_some() {
                    self.inputs.set_solo(lease, solo, &mut self.rooms);
                }
            }
            Command::End(lease) => self.end_by_command(lease),
        }
    }

    fn admit(&mut self, new: NewInput) {
        let lease = new.lease;
        let ring = self.consumer.lease_stats(lease).expect(OURS);
        self.horizon = self.settings.horizon(ring.capacity_bytes);
        let room = self.rooms.slot_or_main(new.room);
        self.rooms.join(room);
        let input = Input::new(&new, room, self.settings.format, self.levels_ticks);
        input.note_room(self.first_sample(), self.rooms.get(room).id);
        self.inputs.wait(input);
        for feed in new.feeds.into_iter().flatten() {
            self.open_feed(feed);
        }
        // Its first frame may have come before this command did.
        self.consumer.keep_ready(lease).expect(OURS);
    }

    fn open_feed(&mut self, feed: Feed) {
        let Feed {
            signal,
            reader,
            makes,
        } = feed;
        match (signal, makes) {
            (Signal::Room(room), Makes::RoomLine(line)) => self.open_room_line(reader, room, line),
            (Signal::Room(room), _) => self.hear(reader, room),
            (
                Signal::MixMinus(stream) | Signal::Alone(stream) | Signal::Track { stream, .. },
                makes,
            ) => self.open_made(stream, signal, reader, makes),
        }
    }

    /// Opens a feed of a stream, or closes it, if there is none of this lease, or if it is not in the track's room.
    fn open_made(&mut self, lease: LeaseId, signal: Signal, reader: ReaderId, makes: Makes) {
        let index = self.first_sample();
        let slot = lease.slot();
        let mut room = self.commanded(lease).map(|input| input.room);
        if let Signal::Track { room: of, .. } = signal {
            room = room.filter(|&slot| slot == of.slot && self.rooms.is_open(of));
        }
        let left = match (makes, room) {
            (Makes::Room, _) => None,
            (Makes::RoomLine(line), _) => Some(line.closed()),
            (Makes::MixMinus(mix_minus), Some(room)) => {
                let (is_open, left) = self.feeds.open_mix_minus(
                    slot,
                    (room, self.rooms.get(room).is_shared()),
                    mix_minus,
                    index,
                );
                if left.is_none() {
                    self.rooms.join(room);
                }
                if is_open {
                    self.hear(reader, self.rooms.get(room).id);
                }
                left
            }
            (Makes::Delayed(new), Some(_)) => self.feeds.open_delayed(slot, signal, new, index),
            (Makes::MixMinus(mix_minus), None) => Some(mix_minus.closed()),
            (Makes::Delayed(delayed), None) => Some(delayed.closed()),
        };
        self.removals.send_all(left.map(removed::Part::Feed));
        self.note_feeds(lease);
    }

    /// Opens a room's feed with a ring of its own, or closes it, if the room is not open or the reader has no place for it.
    fn open_room_line(&mut self, reader: ReaderId, room: RoomId, line: Box<RoomLine>) {
        let index = self.first_sample();
        let is_open = self.rooms.is_open(room);
        let refused = match self.readers.get_mut(reader).and_then(MixRing::room_lines) {
            Some(lines) if is_open => lines.open(line, index),
            _ => Some(line),
        };
        if refused.is_none() {
            self.rooms.hear(room);
        }
        let closed = refused.map(RoomLine::closed);
        self.removals.send_all(closed.map(removed::Part::Feed));
    }

    /// One more feed of this reader needs the room, if that is there.
    fn hear(&mut self, reader: ReaderId, room: RoomId) {
        let index = self.first_sample();
        if self.rooms.find(room).is_some()
            && let Some(ring) = self.readers.get_mut(reader)
            && ring.hear(room, index)
        {
            self.rooms.hear(room);
        }
    }

    /// One less does.
    fn leave(&mut self, reader: ReaderId, room: RoomId) {
        let index = self.first_sample();
        if let Some(ring) = self.readers.get_mut(reader) {
            ring.leave(room, index);
        }
    }

    fn close_feed(&mut self, id: FeedId) {
        let lease = match id.signal {
            Signal::Room(room) => return self.close_room_feed(id, room),
            Signal::MixMinus(stream) | Signal::Alone(stream) | Signal::Track { stream, .. } => {
                stream
            }
        };
        let Some(room) = self.inputs.get_mut(lease).map(|input| input.room) else {
            return;
        };
        let waiting = self.rooms.main().bus.waiting(self.first_sample());
        let closed = self.feeds.close(lease.slot(), id, &waiting);
        if closed.is_some()
            && let Signal::MixMinus(_) = id.signal
        {
            self.leave(id.reader, self.rooms.get(room).id);
        }
        if let Some(Closed::MixMinus(_)) = closed {
            self.rooms.leave(room);
        }
        self.removals.send_all(closed.map(removed::Part::Feed));
        self.note_feeds(lease);
    }

    fn close_room_feed(&mut self, id: FeedId, room: RoomId) {
        let Some(lease) = id.lease else {
            return self.leave(id.reader, room);
        };
        let index = self.first_sample();
        if let Some(lines) = self
            .readers
            .get_mut(id.reader)
            .and_then(MixRing::room_lines)
        {
            lines.end(lease, index);
        }
    }

    fn move_stream(&mut self, lease: LeaseId, to: RoomId, fade: bool) {
        let (slot, instants) = (lease.slot(), ramp_instants(self.settings.format));
        let index = self.first_sample();
        if let Some(input) = self.inputs.get_mut(lease) {
            input.note_move(index);
        }
        if !self.rooms.is_open(to) {
            return;
        }
        let Some(input) = self.commanded(lease).filter(|input| input.room != to.slot) else {
            return;
        };
        let from = input.room;
        let was_solo = input.set_solo(false);
        let way_out = input.move_to(to.slot, fade.then_some(instants));
        input.note_room(index, to);
        input.fades = way_out.is_some();
        if was_solo {
            self.rooms.solo(from, false);
        }
        self.rooms.join(to.slot);
        self.rooms
            .fade(slot, way_out.map(|ramp| Fade { from, ramp }));
        self.rooms.leave(from);
        let waiting = self.rooms.main().bus.waiting(index);
        let closed = self.feeds.leave(slot, way_out.is_some(), &waiting);
        let closed = closed.into_iter().flatten();
        self.removals.send_all(closed.map(removed::Part::Feed));
        self.note_feeds(lease);
        let before = self.rooms.get(from).id;
        let is_shared = self.rooms.get(to.slot).is_shared();
        if self
            .feeds
            .move_mix_minus(slot, (to.slot, is_shared), &waiting)
        {
            self.rooms.join(to.slot);
            self.rooms.leave(from);
        }
        for place in 0.. {
            let Some(reader) = self.feeds.reader_of_mix_minus(slot, place) else {
                break;
            };
            self.leave(reader, before);
            self.hear(reader, to);
        }
    }

    /// The stream of this lease, if it takes commands.
    fn commanded(&mut self, lease: LeaseId) -> Option<&mut Input> {
        let input = self.inputs.get_mut(lease)?;
        (!input.is_ended_by_command).then_some(input)
    }

    fn note_feeds(&mut self, lease: LeaseId) {
        let has_feeds = self.feeds.has(lease.slot());
        if let Some(input) = self.inputs.get_mut(lease) {
            input.has_feeds = has_feeds;
        }
    }

    /// Ends a stream by command: its audio goes to silence as if it were muted. One that waits is visited by each
    /// tick from now on, like those that play, until its producer closes.
    fn end_by_command(&mut self, lease: LeaseId) {
        self.inputs.set_solo(lease, false, &mut self.rooms);
        if let Some(input) = self.inputs.get_mut(lease) {
            input.end_by_command();
        }
        if let Some(input) = self.inputs.take_waiting(lease) {
            self.inputs.play(input);
        }
    }

    /// The slot's stream has ended in the room of this slot: closes its feeds.
    pub(super) fn end_feeds(&mut self, slot: usize, room: u32) {
        for place in 0.. {
            let Some(reader) = self.feeds.reader_of_mix_minus(slot, place) else {
                break;
            };
            // Its mix-minus keeps the room.
            self.leave(reader, self.rooms.get(room).id);
        }
        let waiting = self.rooms.main().bus.waiting(self.first_sample());
        let closed = self.feeds.end(slot, &waiting);
        if closed[0].is_some() {
            self.rooms.leave(room);
        }
        let closed = closed.into_iter().flatten();
        self.removals.send_all(closed.map(removed::Part::Feed));
    }
}
