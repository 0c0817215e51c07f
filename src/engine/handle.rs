//! A running server for threads that watch and steer it: commands in, figures out.
//!
//! Nothing here touches audio. A command takes effect at the mixer's next tick; figures are read from
//! atomics.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{
    Admitted, Busy, Clock, Settings, Status, Stop, admitted::Asked, commands::Sender,
    health::HealthWatch, mixer_stats::MixerStats, recordings::Recordings, streams::Streams,
    talking::TalkingWatch,
};
use crate::{
    audio::{Gain, GapReason, MixClock},
    cluster::Face,
    ledger::{Listener, StreamState},
    mixer::{self, Command, Feed, FeedId, MixRing, ReaderId, RoomId},
    net::{Admission, ExpectedSenders, Tuning},
    output::{RtpProgress, RtpSent, RtpTarget},
    queue::{LeaseId, PoolStats},
    source::Intake,
};

/// A running server. Clones are of the same one, and cheap. It may outlive the server: then commands
/// do nothing, and figures stand still.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

/// All that a handle reaches. It is whole before there is a handle.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) mixer_stats: Arc<MixerStats>,
    pub(super) recordings: Recordings,
    /// In the order of the settings.
    pub(super) rtp_out: Vec<RtpProgress>,
    pub(super) sdp: Vec<String>,
    pub(super) stop: Stop,
    pub(super) settings: Settings,
    /// None if the ticks follow the streams.
    pub(super) clock: Option<MixClock>,
    /// Time to build the pool and to open the outputs.
    pub(super) startup: Duration,
    /// The way to the feeder threads, if they take further streams.
    pub(super) intake: Option<Intake>,
    /// The accounts of the listeners.
    pub(super) listeners: Vec<Arc<Listener>>,
    /// Their settings.
    pub(super) tuning: watch::Sender<Tuning>,
    pub(super) health: Mutex<HealthWatch>,
    pub(super) talking: Mutex<TalkingWatch>,
    /// If the server is a node of a cluster.
    pub(super) cluster: Option<Face>,
}

impl Shared {
    /// Without the pool's figures: they would hold its mutex while the mixer may have a ring to return.
    pub(super) fn status(&self) -> Status {
        self.mixer_stats
            .status(&self.streams.register.lock().total())
    }

    pub(super) fn health(&self) -> MutexGuard<'_, HealthWatch> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn talking(&self) -> MutexGuard<'_, TalkingWatch> {
        self.talking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From tick to tick.
    pub(super) fn period(&self) -> Duration {
        match self.settings.clock {
            Clock::Live { speed, .. } => self.settings.ptime.div_f64(speed),
            Clock::Offline => self.settings.ptime,
        }
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    pub(super) fn commands(&self) -> &Sender {
        &self.0.streams.commands
    }

    /// The server's settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Samples per channel of a frame and of a block.
    pub fn block_samples(&self) -> usize {
        self.0.streams.mixing.block_samples
    }

    /// The clock that the mix follows; none if it follows its streams.
    pub fn clock(&self) -> Option<MixClock> {
        self.0.clock
    }

    /// When the server began, as calendars have it.
    pub fn begun_at(&self) -> SystemTime {
        self.0.streams.begun_at
    }

    /// Since the server began.
    pub fn uptime(&self) -> Duration {
        self.0.streams.uptime()
    }

    /// Ticks run so far. Costs one load.
    pub fn ticks(&self) -> u64 {
        self.0.mixer_stats.ticks()
    }

    /// Ends the engine at its next tick; its clones may be kept by any thread.
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// Whether the mixer has come to its end: all its ticks run, all streams ended, or stopped.
    pub fn is_done(&self) -> bool {
        self.0.mixer_stats.is_done()
    }

    /// Waits until the mixer has come to its end, but no longer than `timeout`.
    pub fn wait(&self, timeout: Duration) {
        self.0.mixer_stats.wait_done(timeout);
    }

    /// Admits streams while the mixer runs, for sources that find theirs at run time.
    pub fn admission(&self) -> Arc<dyn Admission> {
        Arc::<Streams>::clone(&self.0.streams)
    }

    /// The senders that were announced.
    pub fn expected(&self) -> &ExpectedSenders {
        &self.0.streams.expected
    }

    /// How the server is. Looks at the account of every stream that runs.
    pub fn status(&self) -> Status {
        self.commands().free_removed();
        self.0.status()
    }

    /// The gain of streams that bring none of their own, from now on. Those that run keep theirs.
    pub fn set_default_gain(&self, gain: Gain) {
        self.0.streams.set_gain(gain);
    }

    /// The playout delay of synthetic streams and files that begin from now on. Those that run keep theirs.
    pub fn set_playout_delay(&self, delay: Duration) {
        let ticks = mixer::Settings::ticks(delay, self.0.settings.ptime);
        self.0.streams.set_playout_delay_ticks(ticks);
    }

    /// Changes how listeners take streams and play them: their threads follow at their next tick.
    pub fn tune(&self, tuning: Tuning) {
        self.0.tuning.send_replace(tuning);
    }

    /// The settings that listeners follow.
    pub fn tuning(&self) -> watch::Receiver<Tuning> {
        self.0.tuning.subscribe()
    }

    /// The streams that run, in the order of their admission. Takes a mutex, and allocates.
    pub fn running(&self) -> Vec<Arc<Admitted>> {
        self.0.streams.register.lock().running().to_vec()
    }

    /// The streams that ended, the latest first, but no more than so many. Takes a mutex, and
    /// allocates.
    pub fn ended(&self, max: usize) -> Vec<Arc<Admitted>> {
        let mut register = self.0.streams.register.lock();
        register.ended().rev().take(max).cloned().collect()
    }

    /// Streams that ended, kept or not. Takes a mutex.
    pub fn ended_count(&self) -> u64 {
        self.0.streams.register.lock().ended_count()
    }

    /// The latest stream of this name, if it runs or is still kept.
    pub fn stream(&self, id: &str) -> Option<Arc<Admitted>> {
        self.0.streams.register.lock().find(id)
    }

    /// The accounts of the listeners: input that became no stream.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.0.listeners
    }

    /// The session description (SDP, RFC 8866) that receivers of the mix by RTP need, for each target.
    pub fn sdp(&self) -> &[String] {
        &self.0.sdp
    }

    /// The progress of each RTP target so far.
    pub fn rtp_out(&self) -> impl Iterator<Item = (&RtpTarget, RtpSent)> {
        let progress = self.0.rtp_out.iter().map(RtpProgress::read);
        self.0.settings.rtp_out.iter().zip(progress)
    }

    /// Streams there were.
    pub fn streams_count(&self) -> u64 {
        self.0.streams.register.lock().count()
    }

    /// The pool's figures. Takes the pool's mutex and looks at every ring: not for every tick.
    pub fn pool_stats(&self) -> PoolStats {
        self.0.streams.pool.stats()
    }

    /// The cluster, if the server is a node of one.
    pub fn cluster(&self) -> Option<&Face> {
        self.0.cluster.as_ref()
    }

    /// Has recordings of rooms of the cluster go on in other files: blocks have other numbers from here on. Takes a mutex.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(dead_code, reason = "used by the thread of the cluster")
    )]
    pub(crate) fn cut_recordings_of_cluster(&self) {
        self.0.recordings.cut_of_cluster();
    }

    /// Ticks of a room of the cluster that lack a node, or differ from it: for the sidecars of its recordings. Takes a mutex.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(dead_code, reason = "used by the thread of the cluster")
    )]
    pub(crate) fn note_node_gap(
        &self,
        room: RoomId,
        node: &str,
        why: GapReason,
        ticks: Range<u64>,
    ) {
        let block = self.block_samples() as u64;
        let span = ticks.start * block..ticks.end * block;
        self.0.streams.gaps.add_of_node(room, node, why, span);
    }

    /// The settings of the mixer.
    pub fn mixing(&self) -> &mixer::Settings {
        &self.0.streams.mixing
    }

    /// Sends the mixer its end of a reader's rings: from the next tick on the reader gets a message each tick.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn open_reader(&self, ring: MixRing) -> Result<ReaderId, Busy> {
        self.commands().open_reader(ring)
    }

    /// Ends the rooms that a reader hears with the samples before the next tick; then its ring is closed. Its other feeds
    /// are [closed](Self::close_feed) before.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn close_reader(&self, reader: ReaderId) -> Result<(), Busy> {
        self.commands().close_reader(reader)
    }

    /// Opens a feed, from the next tick on. If its stream has ended it is closed.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn open_feed(&self, feed: Feed) -> Result<(), Busy> {
        self.commands().steer(Command::OpenFeed(feed))
    }

    /// Closes it before the next tick.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn close_feed(&self, id: FeedId) -> Result<(), Busy> {
        self.commands().steer(Command::CloseFeed(id))
    }

    /// Changes a stream in the mix, from the next tick on. Nothing comes of it if the stream has ended.
    ///
    /// # Errors
    /// [`Busy`]; then some of the change may be done.
    pub fn set(&self, stream: &Admitted, change: Change) -> Result<(), Busy> {
        let lease = stream.lease;
        let commands = &self.0.streams.commands;
        if let Some(gain) = change.gain {
            commands.steer(Command::SetGain(lease, gain))?;
        }
        for switch in Switch::ALL {
            if let Some(on) = switch.of(&change) {
                commands.steer(switch.command(lease, on))?;
                if on {
                    switch.asked(stream).note();
                }
            }
        }
        Ok(())
    }

    /// Turns a switch off for all streams that run, one command for each that may have it on.
    ///
    /// # Errors
    /// [`Busy`]; then some are done, and another call goes on with the others.
    pub fn clear(&self, switch: Switch) -> Result<(), Busy> {
        self.clear_of(&self.running(), switch)
    }

    pub(super) fn clear_of(&self, streams: &[Arc<Admitted>], switch: Switch) -> Result<(), Busy> {
        for stream in streams {
            let asked = switch.asked(stream);
            if asked.take() {
                let command = switch.command(stream.lease, false);
                self.0
                    .streams
                    .commands
                    .steer(command)
                    .inspect_err(|Busy| asked.note())?;
            }
        }
        Ok(())
    }

    /// Ends a stream: it goes to silence within 20 ms, the rest of what it has in its ring is discarded, and
    /// its source is notified.
    ///
    /// # Errors
    /// [`Busy`]; then nothing is done.
    pub fn end(&self, stream: &Admitted) -> Result<(), Busy> {
        self.0.streams.commands.steer(Command::End(stream.lease))?;
        stream.account().advance(StreamState::Ending);
        Ok(())
    }
}

/// A switch of a stream in the mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Consumed without being heard.
    Mute,
    /// Heard, while streams that are not solo are silent.
    Solo,
}

impl Switch {
    const ALL: [Self; 2] = [Self::Mute, Self::Solo];

    fn of(self, change: &Change) -> Option<bool> {
        match self {
            Self::Mute => change.muted,
            Self::Solo => change.solo,
        }
    }

    fn command(self, lease: LeaseId, on: bool) -> Command {
        match self {
            Self::Mute => Command::SetMuted(lease, on),
            Self::Solo => Command::SetSolo(lease, on),
        }
    }

    fn asked(self, stream: &Admitted) -> &Asked {
        match self {
            Self::Mute => &stream.was_muted,
            Self::Solo => &stream.was_solo,
        }
    }
}

/// Changes to a stream in the mix.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Change {
    /// Its gain.
    pub gain: Option<Gain>,
    /// Whether it is consumed without being heard.
    pub muted: Option<bool>,
    /// Whether it is solo: then those that are not are not heard.
    pub solo: Option<bool>,
}
