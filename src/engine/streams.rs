//! Admission: a ring, an account, and a command to the mixer for each stream.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::{
    Admitted, commands::Sender, gaps::GapCollector, recordings::Arrival, register::Register,
    rooms::Rooms,
};
use crate::{
    audio::{Gain, Grid},
    ledger::Account,
    mixer::{self, MixRing, NewInput, ReaderId},
    net::{Admission, Busy, ExpectedSenders, Refused, StreamRequest, lease},
    os::now_ns,
    queue::Pool,
    stream::{PlacingThread, PlacingThreads, Stream},
};

/// The rings, the accounts and the way to the mixer: all that a stream needs to begin, before the first tick and
/// after it.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) pool: Pool,
    pub(super) register: Register,
    pub(super) rooms: Rooms,
    pub(super) commands: Sender,
    pub(super) gaps: Arc<GapCollector>,
    /// Those that were announced.
    pub(super) expected: ExpectedSenders,
    pub(super) mixing: mixer::Settings,
    pub(super) grid: Grid,
    /// The threads that place their blocks.
    pub(super) placing: PlacingThreads,
    /// On the monotonic clock.
    pub(super) begun_ns: u64,
    pub(super) begun_at: SystemTime,
    /// Gain of streams without one of their own. Locked when one is admitted.
    gain: Mutex<Gain>,
    /// Playout delay of streams from sources here.
    playout_delay_ticks: AtomicU64,
}

impl Streams {
    pub(super) fn new(
        pool: Pool,
        commands: Sender,
        rooms: Rooms,
        mixing: mixer::Settings,
        gain: Gain,
        playout_delay_ticks: u64,
        begun_ns: u64,
    ) -> Self {
        Self {
            gaps: GapCollector::new(pool.slots(), mixing),
            pool,
            register: Register::default(),
            expected: ExpectedSenders::default(),
            rooms,
            commands,
            placing: PlacingThreads::default(),
            grid: Grid::new(mixing.format, mixing.block_samples).from_block(mixing.first_block),
            mixing,
            begun_ns,
            begun_at: SystemTime::now(),
            gain: Mutex::new(gain),
            playout_delay_ticks: AtomicU64::new(playout_delay_ticks),
        }
    }

    /// Admits a stream that is fed here. What it offers plays after the playout delay.
    pub(super) fn open(&self, request: StreamRequest) -> Result<(Stream, Arc<Admitted>), Refused> {
        let delay = self.playout_delay_ticks.load(Ordering::Relaxed);
        let (stream, admitted) = self.introduce(request, Account::new)?;
        Ok((stream.delayed(delay), admitted))
    }

    /// Since the server began.
    pub(super) fn uptime(&self) -> Duration {
        Duration::from_nanos(now_ns().saturating_sub(self.begun_ns))
    }

    /// Gain of streams that bring none.
    pub(super) fn gain(&self) -> Gain {
        *self.gain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gain of streams that begin from now on.
    pub(super) fn set_gain(&self, gain: Gain) {
        *self.gain.lock().unwrap_or_else(PoisonError::into_inner) = gain;
    }

    /// Sets the playout delay of streams that begin from now on.
    pub(super) fn set_playout_delay_ticks(&self, ticks: u64) {
        self.playout_delay_ticks.store(ticks, Ordering::Relaxed);
    }

    /// Closes the rooms that streams opened and that have been empty for long. Looks at all streams, once a second at
    /// most.
    pub(super) fn close_empty_rooms(&self, now: Duration) {
        self.rooms.close_empty(now, &self.commands, || {
            let mut register = self.register.lock();
            let running = register.running().iter();
            running.map(|stream| stream.room().id()).collect()
        });
    }

    /// Leases a ring, opens an account, and sends the stream to the mixer.
    fn introduce(
        &self,
        request: StreamRequest,
        account: impl FnOnce(String) -> Account,
    ) -> Result<(Stream, Arc<Admitted>), Refused> {
        let StreamRequest {
            id,
            label,
            kind,
            from,
            gain,
            source,
            room,
            muted,
            mix_minus,
        } = request;
        // Locks in this order: the rooms, the queue to the mixer, the register. The room stays until its stream is in it.
        let now = self.uptime();
        if room.is_some() {
            self.close_empty_rooms(now);
        }
        let entrance = self.rooms.entrance(room.as_deref(), now, &self.commands);
        let places = entrance.and_then(|entrance| Ok((entrance, self.commands.place()?)));
        let (mut entrance, mut place) = match places {
            Ok(places) => places,
            Err(source) => return Err(Refused { id, source }),
        };
        let producer = lease(&self.pool, &id)?;
        let room = entrance.enter(&mut place);
        let lease = producer.lease();
        let gain = gain.unwrap_or_else(|| self.gain());
        let mut register = self.register.lock();
        // Under one lock with the addition, or two would take the same name; and a command for a
        // stream that was found comes to the mixer after it.
        let account = account(register.free_id(id));
        let account = self.gaps.admit(account, register.count());
        if let Some(label) = label {
            account.label().say(label.into());
        }
        let mut new = NewInput::new(lease, Arc::clone(&account))
            .gain(gain)
            .muted(muted)
            .room(room.id())
            .source(source);
        if let Some((reader, producer, pool)) = mix_minus {
            new = new.mix_minus(reader, (producer, &pool), &self.mixing);
        }
        let (arrival, mix, track) = Arrival::new(room, lease);
        if let Some(mix) = mix {
            place.open_feed(mix);
        }
        if let Some(track) = track {
            new = new.track(track);
        }
        let channel_strip = new.channel_strip();
        let stream = Stream::new(producer, Arc::clone(&account), self.grid.clone());
        let (from, at) = ((kind, from), self.uptime());
        let room = Arc::clone(room);
        let admitted = register
            .add(|number| Admitted::new(account, channel_strip, lease, room, from, at, number));
        if muted {
            admitted.was_muted.note();
        }
        place.admit(new);
        arrival.complete(&admitted);
        Ok((stream, admitted))
    }
}

impl Admission for Streams {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let account = |id| Account::with_network(id, self.begun_ns);
        Ok(self.introduce(request, account)?.0)
    }

    fn placing_thread(&self) -> PlacingThread {
        self.placing.add()
    }

    fn is_running(&self, id: &str) -> bool {
        self.register.lock().is_running(id)
    }

    fn open_reader(&self, ring: MixRing) -> Result<ReaderId, Busy> {
        self.commands.open_reader(ring)
    }

    fn expected(&self) -> Option<&ExpectedSenders> {
        Some(&self.expected)
    }

    fn rooms_max(&self) -> usize {
        self.mixing.rooms_max
    }
}
