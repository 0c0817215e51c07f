//! Tracks that are opened by the command which brings a stream into a room.

use super::*;

impl Rig {
    /// A participant that is admitted into this room with its track, unless `signal` has another room; the numbers of its
    /// mix-minus and of its track. The rig listens.
    pub fn tracked_in(&mut self, room: RoomId, of: RoomId) -> (TestStream, usize, usize) {
        let sender = self.unadmitted();
        let stream = sender.lease();
        let (track, number) = self.made_track(stream, of);
        let line = self.admit_with_return(sender.input().room(room).track(track));
        (sender, line, number)
    }

    /// Moves a stream with a track of the new room; that one's number.
    pub fn move_tracked(&mut self, stream: LeaseId, to: RoomId, fade: bool) -> usize {
        let (track, number) = self.made_track(stream, to);
        self.apply_move(stream, to, fade, Some(track));
        number
    }

    /// A track, to be opened, and its number.
    pub fn made_track(&mut self, stream: LeaseId, room: RoomId) -> (Feed, usize) {
        let (track, line) = self.feed(0, Signal::Track { stream, room });
        let id = track.id();
        (track, self.note(0, line, Some(id)))
    }

    pub(super) fn apply_move(
        &mut self,
        stream: LeaseId,
        to: RoomId,
        fade: bool,
        track: Option<Feed>,
    ) {
        self.mixer.apply(Command::Move {
            stream,
            to,
            fade,
            track,
        });
    }
}
