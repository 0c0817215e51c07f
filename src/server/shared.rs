//! What the server's threads share: the pool, the accounts, the way to the mixer.

use std::sync::{
    Arc,
    mpsc::{SyncSender, TrySendError},
};

use super::{Settings, Status, Stop, register::Register, vitals::Vitals};
use crate::{
    audio::Gain,
    ingest::{Admission, Newcomer, Refused, Stream, lease},
    ledger::Account,
    mixer::{self, Command, NewInput, Timing},
    queue::{Pool, Producer},
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) register: Register,
    pub(super) vitals: Arc<Vitals>,
    pub(super) stop: Stop,
    commands: SyncSender<Command>,
    mixing: mixer::Settings,
    /// Of streams that ask for none of their own.
    gain: Gain,
}

impl Shared {
    pub(super) fn new(
        pool: Pool,
        stop: Stop,
        commands: SyncSender<Command>,
        settings: &Settings,
        mixing: mixer::Settings,
    ) -> Self {
        Self {
            pool,
            register: Register::new(settings.streams_max),
            vitals: Arc::default(),
            stop,
            commands,
            mixing,
            gain: settings.gain,
        }
    }

    /// Not with the pool's figures: they would hold its mutex, and the mixer may want to return a ring.
    pub(super) fn status(&self) -> Status {
        self.vitals.status(self.register.lock().total())
    }

    /// Leases a ring for a stream whose frames play when they come, opens its account, and tells the
    /// mixer.
    pub(super) fn open(&self, id: &str, gain: Gain) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, id)?;
        Ok(self.introduce(producer, Account::new(id), |new| new.gain(gain)))
    }

    fn introduce(
        &self,
        producer: Producer,
        account: Account,
        as_what: impl FnOnce(NewInput) -> NewInput,
    ) -> Stream {
        let account = Arc::new(account);
        self.register.add(Arc::clone(&account));
        let new = as_what(NewInput::new(producer.lease(), Arc::clone(&account)));
        // Room for as many as there are slots, and a slot is leased anew only when the mixer has given
        // it back. The mixer may be gone already: then nobody will hear the stream, and that is all.
        let sent = self.commands.try_send(Command::Admit(new));
        debug_assert!(
            !matches!(sent, Err(TrySendError::Full(_))),
            "room for an admission per slot"
        );
        Stream::new(
            producer,
            account,
            self.mixing.format,
            self.mixing.block_samples,
        )
    }
}

impl Admission for Shared {
    fn admit(&self, newcomer: Newcomer) -> Result<Stream, Refused> {
        let producer = lease(&self.pool, &newcomer.id)?;
        let account = Account::with_network(newcomer.id);
        let gain = newcomer.gain.unwrap_or(self.gain);
        Ok(self.introduce(producer, account, |new| {
            let new = new.gain(gain).timing(Timing::Clock).source(newcomer.source);
            match newcomer.output {
                Some(output) => new.output(output, &self.mixing),
                None => new,
            }
        }))
    }

    fn tap(&self, output: Producer) {
        // A thread has one, and there is room for more than a machine has threads. If the mixer is gone
        // the ring is closed, as at the end.
        let sent = self.commands.try_send(Command::Tap(output));
        debug_assert!(!matches!(sent, Err(TrySendError::Full(_))), "room for taps");
    }
}
