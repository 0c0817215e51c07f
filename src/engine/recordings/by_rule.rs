//! Recordings of rooms by their config: from their opening on, and by rules that commands may steer.

use std::{path::Path, sync::Arc};

use super::{
    Recordings,
    kept::{File, Recorded},
    rules::{Coming, Rule, RuleState, Way},
    state::RecordError,
    writers::Length,
};
use crate::{
    config::{RecordWhen, RoomConfig},
    engine::{Busy, Handle, OpenRoom, commands::Sender},
    mixer::Command,
    output::{Place, RecordingError, RecordingFile, segment_path},
};

impl Recordings {
    /// Gives a room the rule of its config, if that has one and the room has none. Starts threads that write; looks at the
    /// folders.
    pub(super) fn rule(
        &self,
        config: &RoomConfig,
        room: impl FnOnce() -> Result<Arc<OpenRoom>, RecordError>,
        commands: &Sender,
    ) -> Result<(), RecordError> {
        let when = config.record_when;
        // A mix that is recorded from the room's opening on needs none.
        let mix = config
            .record
            .as_deref()
            .filter(|_| when != RecordWhen::Always);
        let streams = config.record_streams.as_deref();
        if mix.is_none() && streams.is_none() {
            return Ok(());
        }
        let mut inner = self.lock();
        let is_waited_for = inner.writers.limits().is_waited_for;
        let mut way = |path: Option<&Path>, length| -> Result<Option<Way>, RecordError> {
            let Some(path) = path else { return Ok(None) };
            let first = segment_path(path, 1);
            RecordingFile::check(&first, false)?;
            let (writer, reader) = inner.writers.get(Place::of(&first)?, length, commands)?;
            Ok(Some(Way {
                template: path.to_owned(),
                writer: Arc::clone(writer),
                reader,
            }))
        };
        let ways = (way(mix, Length::OfRooms)?, way(streams, Length::OfStreams)?);
        let queue = Arc::clone(&self.queue);
        let room = room()?;
        room.set_rule(Rule::new(when, ways, self.mixing, is_waited_for, queue));
        inner.rooms_with_rules.push(room);
        Ok(())
    }

    /// Starts the thread that opens the files of rules' recordings, if there are rules.
    pub(in crate::engine) fn start_opener(&self, handle: &Handle) -> Result<(), RecordingError> {
        if self.lock().rooms_with_rules.is_empty() {
            return Ok(());
        }
        self.queue.start(handle).map_err(RecordingError::Thread)
    }

    /// Ends that thread, with the files open of all that has begun: may wait for a disk.
    pub(in crate::engine) fn end_opener(&self) {
        self.queue.end();
    }
}

impl Handle {
    /// Whether the files of these rooms' recordings could be made, as far as can be known without touching them.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(crate) fn check_records(&self, rooms: &[RoomConfig]) -> Result<(), RecordError> {
        let recordings = &self.shared().recordings;
        for path in rooms.iter().filter_map(RoomConfig::recorded_always) {
            RecordingFile::check(&segment_path(path, 1), recordings.overwrite)?;
        }
        Ok(())
    }

    /// Records these rooms, which are open, as their config says. A failure is logged: the others are recorded.
    pub(crate) fn record_listed(&self, rooms: &[RoomConfig]) {
        let recordings = &self.shared().recordings;
        for room in rooms {
            let ruled = recordings.rule(room, || Ok(self.room(&room.name)?), self.commands());
            let ruled = ruled.and_then(|()| self.begin_rule(&room.name));
            if let Err(error) = ruled {
                tracing::error!(
                    "the streams of the room {} are not recorded: {error}",
                    room.name
                );
            }
            let Some(path) = room.recorded_always() else {
                continue;
            };
            let file = File::At(path.to_owned());
            let begun = self.room(&room.name).map_err(RecordError::from);
            let begun = begun.and_then(|found| {
                recordings.begin(file, Recorded::of_room(found), self.commands())
            });
            if let Err(error) = begun {
                tracing::error!("the room {} is not recorded: {error}", room.name);
            }
        }
    }

    /// Has the rule of an open room record the streams that are there, and those that come.
    pub(super) fn begin_rule(&self, name: &str) -> Result<(), RecordError> {
        let recordings = &self.shared().recordings;
        recordings.start_opener(self)?;
        let room = self.room(name)?;
        let Some(mut coming) = Coming::new(&room) else {
            return Ok(());
        };
        let streams = self.streams_in(&room);
        let is_occupied = coming.is_by_command() || !streams.is_empty();
        if let Some((feed, begun)) = is_occupied.then(|| coming.mix()).flatten() {
            self.commands().steer(Command::OpenFeed(feed))?;
            coming.sent(begun, None);
        }
        for stream in streams {
            let Some((feed, begun)) = coming.track(stream.lease) else {
                continue;
            };
            match self.commands().steer(Command::OpenFeed(feed)) {
                Ok(()) => coming.sent(begun, Some(&stream)),
                Err(Busy) => coming.refuse(),
            }
        }
        Ok(())
    }

    /// Begins what the config has recorded of a room [by command](RecordWhen::Command): its mix and its streams, those that
    /// come among them. If that runs, nothing happens. Takes mutexes, and allocates.
    ///
    /// # Errors
    /// [`RecordError`]: no room of this name, its config has nothing recorded by command, or a mixer that is too busy for
    /// the mix; streams that it is too busy for are refused and counted.
    pub fn record_room(&self, name: &str) -> Result<RuleState, RecordError> {
        let room = self.room(name)?;
        let rule = by_command(&room)?;
        let was_on = std::mem::replace(&mut rule.lock().on, true);
        if !was_on {
            self.begin_rule(name)?;
        }
        Ok(rule.read())
    }

    /// Ends it at the next tick, and the recordings that it has begun. Takes mutexes, and allocates.
    ///
    /// # Errors
    /// As [`record_room`](Self::record_room); of a mixer that is busy it is asked again each second.
    pub fn stop_recording_room(&self, name: &str) -> Result<RuleState, RecordError> {
        let room = self.room(name)?;
        let rule = by_command(&room)?;
        rule.lock().stop();
        let recordings = &self.shared().recordings;
        for id in recordings.ruled(&room) {
            recordings.stop(id, self.commands())?;
        }
        Ok(rule.read())
    }
}

fn by_command(room: &OpenRoom) -> Result<&Rule, RecordError> {
    let name = || room.name().to_owned();
    let rule = room
        .rule()
        .ok_or_else(|| RecordError::NoRule { room: name() })?;
    if rule.when != RecordWhen::Command {
        return Err(RecordError::NotByCommand { room: name() });
    }
    Ok(rule)
}
