//! What the server's threads share: the pool, the accounts, the way to the mixer.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    Admitted, Clock, Settings, Status, Stop, commands::Sender, mixer_stats::MixerStats,
    recordings::Recordings, register::Register,
};
use crate::{
    audio::{Gain, MixClock},
    ledger::{Account, Listener},
    mixer::{self, NewInput, Timing},
    net::{Admission, Busy, Refused, StreamRequest, Tuner, lease},
    output::RtpProgress,
    queue::{Pool, Producer},
    source::Intake,
    stream::Stream,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) register: Register,
    pub(super) mixer_stats: Arc<MixerStats>,
    pub(super) recordings: Recordings,
    /// In the order of the settings.
    pub(super) rtp_out: Vec<RtpProgress>,
    pub(super) stop: Stop,
    pub(super) settings: Settings,
    pub(super) mixing: mixer::Settings,
    /// Known once the mixer thread runs, and if it follows a clock.
    pub(super) clock: OnceLock<MixClock>,
    /// Time to build the pool and open the sinks, once the mixer thread runs.
    pub(super) startup: OnceLock<Duration>,
    pub(super) begun: Instant,
    pub(super) begun_at: SystemTime,
    /// Of all that is listened on.
    listeners: Mutex<Vec<Arc<Listener>>>,
    /// The same, to be changed.
    tuners: Mutex<Vec<Tuner>>,
    pub(super) commands: Sender,
    /// The way to the threads that feed streams, once they are known.
    pub(super) intake: OnceLock<Intake>,
    /// Of streams that ask for none of their own. Locked when one is admitted.
    gain: Mutex<Gain>,
}

impl Shared {
    pub(super) fn new(
        pool: Pool,
        stop: Stop,
        commands: Sender,
        recordings: Recordings,
        settings: Settings,
        mixing: mixer::Settings,
    ) -> Self {
        let gain = Mutex::new(settings.gain);
        Self {
            pool,
            register: Register::default(),
            mixer_stats: Arc::new(MixerStats::new(settings.ptime)),
            recordings,
            rtp_out: Vec::new(),
            stop,
            settings,
            mixing,
            clock: OnceLock::new(),
            startup: OnceLock::new(),
            begun: Instant::now(),
            begun_at: SystemTime::now(),
            listeners: Mutex::default(),
            tuners: Mutex::default(),
            intake: OnceLock::new(),
            commands,
            gain,
        }
    }

    /// Not with the pool's figures: they would hold its mutex, and the mixer may want to return a ring.
    pub(super) fn status(&self) -> Status {
        self.mixer_stats.status(self.register.lock().total())
    }

    pub(super) fn listeners(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tuners(&self) -> MutexGuard<'_, Vec<Tuner>> {
        self.tuners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases a ring for a stream whose frames play when they come, opens its account, and tells the
    /// mixer.
    pub(super) fn open(&self, id: &str, from: &str, gain: Gain) -> Result<Stream, Refused> {
        let (stream, _) = self.open_known(id, from, gain)?;
        Ok(stream)
    }

    /// The same, with what the server knows of the stream.
    pub(super) fn open_known(
        &self,
        id: &str,
        from: &str,
        gain: Gain,
    ) -> Result<(Stream, Arc<Admitted>), Refused> {
        let from = from.to_owned();
        self.introduce(id.to_owned(), from, Account::new, |new| new.gain(gain))
    }

    /// Of streams that ask for none of their own.
    pub(super) fn gain(&self) -> Gain {
        *self.gain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of streams that begin from now on.
    pub(super) fn set_gain(&self, gain: Gain) {
        *self.gain.lock().unwrap_or_else(PoisonError::into_inner) = gain;
    }

    /// From tick to tick.
    pub(super) fn period(&self) -> Duration {
        match self.settings.clock {
            Clock::Live { speed, .. } => self.settings.ptime.div_f64(speed),
            Clock::Offline => self.settings.ptime,
        }
    }

    fn introduce(
        &self,
        id: String,
        from: String,
        account: impl FnOnce(String) -> Account,
        as_what: impl FnOnce(NewInput) -> NewInput,
    ) -> Result<(Stream, Arc<Admitted>), Refused> {
        let mixer::Settings {
            format,
            block_samples,
            ..
        } = self.mixing;
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
        let stream = Stream::new(producer, Arc::clone(&account), format, block_samples);
        let at = self.begun.elapsed();
        let admitted =
            register.add(|number| Admitted::new(account, channel_strip, lease, from, at, number));
        room.admit(new);
        Ok((stream, admitted))
    }
}

impl Admission for Shared {
    fn admit(&self, request: StreamRequest) -> Result<Stream, Refused> {
        let StreamRequest {
            id,
            label,
            from,
            gain,
            source,
            output,
        } = request;
        let gain = gain.unwrap_or_else(|| self.gain());
        let account = Account::with_network;
        let (stream, _) = self.introduce(id, from, account, |new| {
            let new = new.gain(gain).timing(Timing::Clock).source(source);
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

    fn is_running(&self, id: &str) -> bool {
        self.register.lock().is_running(id)
    }

    fn tap(&self, output: Producer) -> Result<(), Busy> {
        self.commands.tap(output)
    }
}
