//! Admission: a ring, an account, and a command to the mixer for each stream.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use super::{Admitted, commands::Sender, register::Register};
use crate::{
    audio::{Gain, Grid},
    ledger::{Account, SourceKind},
    mixer::{self, NewInput},
    net::{Admission, Busy, Refused, StreamRequest, lease},
    os::now_ns,
    queue::{Pool, Producer},
    stream::{PlacingThread, PlacingThreads, Stream},
};

/// The rings, the accounts and the way to the mixer: all that a stream needs to begin, before the first tick and
/// after it.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) pool: Pool,
    pub(super) register: Register,
    pub(super) commands: Sender,
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
        mixing: mixer::Settings,
        gain: Gain,
        playout_delay_ticks: u64,
        begun_ns: u64,
    ) -> Self {
        Self {
            pool,
            register: Register::default(),
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

    /// Leases a ring, opens an account, and sends the stream to the mixer. What it offers plays after the playout delay.
    pub(super) fn open(
        &self,
        id: &str,
        (kind, from): (SourceKind, &str),
        gain: Gain,
    ) -> Result<(Stream, Arc<Admitted>), Refused> {
        let from = (kind, from.to_owned());
        let delay = self.playout_delay_ticks.load(Ordering::Relaxed);
        let (stream, admitted) =
            self.introduce(id.to_owned(), from, Account::new, |new| new.gain(gain))?;
        Ok((stream.delayed(delay), admitted))
    }

    /// [`open`](Self::open) with an account of its packets, for a stream that its source places.
    pub(super) fn open_sender(
        &self,
        id: &str,
        (kind, from): (SourceKind, &str),
        gain: Gain,
    ) -> Result<Stream, Refused> {
        let account = |id| Account::with_network(id, self.begun_ns);
        let from = (kind, from.to_owned());
        let (stream, _) = self.introduce(id.to_owned(), from, account, |new| new.gain(gain))?;
        Ok(stream)
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

    fn introduce(
        &self,
        id: String,
        from: (SourceKind, String),
        account: impl FnOnce(String) -> Account,
        as_what: impl FnOnce(NewInput) -> NewInput,
    ) -> Result<(Stream, Arc<Admitted>), Refused> {
        let room = match self.commands.room() {
            Ok(room) => room,
            Err(busy) => {
                let source = busy.into();
                return Err(Refused { id, source });
            }
        };
        let producer = lease(&self.pool, &id)?;
        let lease = producer.lease();
        let mut register = self.register.lock();
        // Under one lock with the addition, or two would take the same name; and a command for a
        // stream that was found comes to the mixer after it.
        let account = Arc::new(account(register.free_id(id)));
        let new = as_what(NewInput::new(lease, Arc::clone(&account)));
        let channel_strip = new.channel_strip();
        let stream = Stream::new(producer, Arc::clone(&account), self.grid.clone());
        let at = self.uptime();
        let admitted =
            register.add(|number| Admitted::new(account, channel_strip, lease, from, at, number));
        room.admit(new);
        Ok((stream, admitted))
    }
}

impl Admission for Streams {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let StreamRequest {
            id,
            label,
            kind,
            from,
            gain,
            source,
            output,
        } = request;
        let gain = gain.unwrap_or_else(|| self.gain());
        let account = |id| Account::with_network(id, self.begun_ns);
        let (stream, _) = self.introduce(id, (kind, from), account, |new| {
            let new = new.gain(gain).source(source);
            match output {
                Some(output) => new.output(output, &self.mixing),
                None => new,
            }
        })?;
        if let Some(label) = label {
            stream.account().label().say(label.into());
        }
        Ok(stream)
    }

    fn placing_thread(&self) -> PlacingThread {
        self.placing.add()
    }

    fn is_running(&self, id: &str) -> bool {
        self.register.lock().is_running(id)
    }

    fn tap(&self, output: Producer) -> Result<(), Busy> {
        self.commands.tap(output)
    }
}
