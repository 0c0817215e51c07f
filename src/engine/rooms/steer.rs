//! Changes of an open room: its gain and limiting, its streams' switches, and its end with streams in it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{MAIN_ROOM, OpenRoom, RoomError, Rooms};
use crate::{
    audio::{Gain, TalkingRule},
    config::RoomConfig,
    engine::{Admitted, Busy, Handle, Switch, commands::Sender, recordings::Arrival},
    ledger::StreamState,
    mixer::{self, Command, Limiting, Room, RoomId},
};

/// A room's own settings in the mix. One that is left out stays, or begins as the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RoomSettings {
    /// The gain of its sum, and of its mix-minuses, before the limiter; unity at first.
    pub gain: Option<Gain>,
    /// How sums beyond 16 bits become samples; as in the server's settings at first.
    pub limiting: Option<Limiting>,
    /// From which level on its streams talk, in dB of full scale; as in the server's settings at first.
    pub talking_threshold_dbfs: Option<f32>,
    /// How much quiet ends it; as in the server's settings at first.
    pub talking_hold: Option<Duration>,
    /// Whether it is a room of the cluster, for its whole life.
    pub cluster: bool,
}

impl From<&RoomConfig> for RoomSettings {
    fn from(room: &RoomConfig) -> Self {
        let limiting = |limiter| {
            if limiter {
                Limiting::Limiter
            } else {
                Limiting::Saturate
            }
        };
        Self {
            // The config took no other.
            gain: room.gain_db.and_then(|db| Gain::from_db(db as f32).ok()),
            limiting: room.limiter.map(limiting),
            talking_threshold_dbfs: room.talking_threshold.map(|db| db as f32),
            talking_hold: room.talking_hold,
            cluster: room.cluster,
        }
    }
}

impl RoomSettings {
    /// All that the nodes of a cluster must agree on, the same text for the same settings.
    pub(super) fn canonical(self, mixing: &mixer::Settings) -> String {
        let limiter = match self.limiting.unwrap_or(mixing.limiting) {
            Limiting::Limiter => "on",
            Limiting::Saturate => "off",
        };
        format!(
            "gain={} limiter={limiter} lead_ticks={}",
            self.gain.unwrap_or_default().linear(),
            mixing.lead_ticks
        )
    }

    pub(super) fn of(self, room: Room) -> Room {
        let room = match self.gain {
            Some(gain) => room.gain(gain),
            None => room,
        };
        match self.limiting {
            Some(limiting) => room.limiting(limiting),
            None => room,
        }
    }

    /// This rule with what is set here.
    pub(super) fn talking(self, rule: TalkingRule) -> TalkingRule {
        TalkingRule {
            threshold_dbfs: self.talking_threshold_dbfs.unwrap_or(rule.threshold_dbfs),
            hold: self.talking_hold.unwrap_or(rule.hold),
        }
    }
}

impl OpenRoom {
    /// To be called with the rooms locked.
    fn set_talking(&self, rule: TalkingRule, commands: &Sender) -> Result<(), Busy> {
        let mut talking = self.lock_talking();
        if *talking != rule {
            commands.steer(Command::SetTalking(self.id, rule))?;
            *talking = rule;
        }
        Ok(())
    }
}

/// The fate of the streams of a room that closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave<'a> {
    /// They end.
    End,
    /// They move to the room of this name, with a cross-fade.
    MoveTo(&'a str),
}

/// A move of a stream that was asked for: its number among those of the stream, modulo 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move(u16);

/// When a move took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedAt {
    /// Not yet: at one of the next ticks.
    Waiting,
    /// With this sample of the mix, per channel: the first that counts in the new room.
    Sample(u64),
    /// Another move followed it, and the mixer has the index of that one.
    Followed,
}

impl Admitted {
    /// Sends a move to the mixer. To be called with the rooms locked, so that moves are numbered as they are sent.
    pub(super) fn move_to(
        self: &Arc<Self>,
        room: &Arc<OpenRoom>,
        fade: bool,
        commands: &Sender,
    ) -> Result<Move, Busy> {
        let (arrival, mix, track) = Arrival::new(room, self.lease);
        let moved = Command::Move {
            stream: self.lease,
            to: room.id,
            fade,
            track,
        };
        match mix {
            Some(mix) => commands.steer_both(Command::OpenFeed(mix), moved)?,
            None => commands.steer(moved)?,
        }
        self.set_room(room);
        arrival.complete(self);
        let before = self.moves.fetch_add(1, Ordering::Relaxed);
        Ok(Move(before.wrapping_add(1)))
    }

    /// When a move of this stream took effect. Never says so of a stream that ended first. Wait-free.
    pub fn moved_at(&self, asked: Move) -> MovedAt {
        let (taken, index) = self.moved();
        match taken.wrapping_sub(asked.0) as i16 {
            ..0 => MovedAt::Waiting,
            0 => MovedAt::Sample(index),
            1.. => MovedAt::Followed,
        }
    }
}

impl Rooms {
    pub(in crate::engine) fn set(
        &self,
        name: &str,
        change: RoomSettings,
        commands: &Sender,
    ) -> Result<Arc<OpenRoom>, RoomError> {
        // Locked until it is sent: two changes come to the mixer one after the other.
        let inner = self.lock(commands);
        let room = inner.find(name)?;
        if room.cluster().is_some() && (change.gain.is_some() || change.limiting.is_some()) {
            let name = name.to_owned();
            return Err(RoomError::Fixed { name });
        }
        if let Some(gain) = change.gain {
            commands.steer(Command::SetRoomGain(room.id, gain))?;
        }
        if let Some(limiting) = change.limiting {
            commands.steer(Command::SetLimiting(room.id, limiting))?;
        }
        room.set_talking(change.talking(room.talking()), commands)?;
        Ok(Arc::clone(room))
    }

    /// Sets the rule of rooms that open from now on without one of their own; of `main`, as far as it has that of before.
    pub(in crate::engine) fn set_default_talking(
        &self,
        rule: TalkingRule,
        commands: &Sender,
    ) -> Result<(), Busy> {
        let mut inner = self.lock(commands);
        let (before, mut of_main) = (inner.talking, self.main.talking());
        if of_main.threshold_dbfs.to_bits() == before.threshold_dbfs.to_bits() {
            of_main.threshold_dbfs = rule.threshold_dbfs;
        }
        if of_main.hold == before.hold {
            of_main.hold = rule.hold;
        }
        self.main.set_talking(of_main, commands)?;
        inner.talking = rule;
        Ok(())
    }

    /// `streams` lists those in a room. Those that moved are added to `moved`.
    pub(super) fn close_occupied(
        &self,
        name: &str,
        leave: Leave<'_>,
        at: Duration,
        commands: &Sender,
        streams: impl FnOnce(RoomId) -> Vec<Arc<Admitted>>,
        moved: &mut Vec<(Arc<Admitted>, Move)>,
    ) -> Result<(), RoomError> {
        if name == MAIN_ROOM {
            return Err(RoomError::Main);
        }
        let mut inner = self.lock(commands);
        let room = inner.find(name)?.id;
        let to = match leave {
            Leave::End => None,
            Leave::MoveTo(to) if to == name => {
                let name = name.to_owned();
                return Err(RoomError::ToItself { name });
            }
            Leave::MoveTo(to) => Some(Arc::clone(inner.find(to)?)),
        };
        for stream in streams(room) {
            // One that is ending keeps the mixer's room until it has gone.
            if stream.is_ending() {
                continue;
            }
            if let Some(to) = &to {
                let asked = stream.move_to(to, true, commands)?;
                inner.log.moved(at, &stream, to, asked);
                moved.push((stream, asked));
            } else {
                commands.steer(Command::End(stream.lease))?;
                stream.account().advance(StreamState::Ending);
            }
        }
        Ok(inner.close(name, at, commands)?)
    }
}

impl Handle {
    /// Changes a room's own settings, from the next tick on, gain and limiting over 20 ms; those of `main`, too. Takes a
    /// mutex.
    ///
    /// # Errors
    /// [`RoomError`]: no room of this name, or a mixer that is busy; then some of the change may be done.
    pub fn set_room(&self, name: &str, change: RoomSettings) -> Result<Arc<OpenRoom>, RoomError> {
        let rooms = &self.shared().streams.rooms;
        rooms.set(name, change, self.commands())
    }

    /// When the streams of rooms talk that open from now on without a rule of their own, and those of `main`, as far as it
    /// has what was set so before. Takes a mutex.
    ///
    /// # Errors
    /// [`Busy`]; then nothing is done.
    pub fn set_default_talking(&self, rule: TalkingRule) -> Result<(), Busy> {
        let rooms = &self.shared().streams.rooms;
        rooms.set_default_talking(rule, self.commands())
    }

    /// Turns a switch off for all streams of a room, one command for each that may have it on. Takes mutexes, and
    /// allocates.
    ///
    /// # Errors
    /// [`Busy`]; then some are done, and another call goes on with the others.
    pub fn clear_in(&self, room: &OpenRoom, switch: Switch) -> Result<(), Busy> {
        self.clear_of(&self.streams_in(room), switch)
    }

    /// Closes a room that may have streams: these end, or move to another room. Its place is free once the last has
    /// gone. Its listeners hear silence from then on, until they leave. Those that moved are added to `moved`, each with
    /// its move. Takes mutexes, and allocates.
    ///
    /// # Errors
    /// [`RoomError`]: `main`, no room of this name or to move to, a move to where they are; or a mixer that is busy: then
    /// some have left it and it is open, and another call goes on with the others.
    pub fn close_occupied_room(
        &self,
        name: &str,
        leave: Leave<'_>,
        moved: &mut Vec<(Arc<Admitted>, Move)>,
    ) -> Result<(), RoomError> {
        self.shared().streams.gaps.poll();
        let rooms = &self.shared().streams.rooms;
        let streams = |room| self.streams_of(room);
        rooms.close_occupied(name, leave, self.uptime(), self.commands(), streams, moved)
    }

    /// The streams that are in a room and have not ended, in the order of their admission. Takes mutexes, and allocates.
    pub fn streams_in(&self, room: &OpenRoom) -> Vec<Arc<Admitted>> {
        self.streams_of(room.id)
    }

    fn streams_of(&self, room: RoomId) -> Vec<Arc<Admitted>> {
        let mut streams = self.running();
        streams.retain(|stream| stream.room().id == room);
        streams
    }
}
