//! Commands on their way to the mixer: admissions and taps, and what those say who steer the mix.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::{
    mixer::{Command, Mixer, NewInput},
    queue::Producer,
};

/// Taps of threads that may be on their way to the mixer at once, beside a stream for each slot.
const TAPS_MAX: usize = 1024;

/// Commands of those who steer the mix that may wait at once.
const STEERING_MAX: usize = 1024;

/// Commands of those who steer that are taken between two ticks. The others wait for the next.
const STEERED_MAX: usize = 256;

/// The way to a mixer of so many slots.
pub(super) fn channel(slots: usize) -> (Sender, Commands) {
    let (admissions_in, admissions) = sync_channel(slots + TAPS_MAX);
    let (steering_in, steering) = sync_channel(STEERING_MAX);
    let sender = Sender {
        admissions: admissions_in,
        steering: steering_in,
    };
    let commands = Commands {
        admissions,
        steering,
        taken: Vec::with_capacity(STEERED_MAX),
    };
    (sender, commands)
}

/// The server's end. If the mixer is gone, nothing comes of what is sent.
#[derive(Debug)]
pub(super) struct Sender {
    /// Admissions and taps.
    admissions: SyncSender<Command>,
    /// Commands of people and programs that steer the mix. On a way of their own: however many they
    /// are, they take no admission's place.
    steering: SyncSender<Command>,
}

/// The mixer has as many commands waiting as it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mixer has as many commands waiting as it keeps; try again in a moment")]
pub struct Busy;

impl Sender {
    /// Admits a stream, whose slot was just leased.
    pub(super) fn admit(&self, new: NewInput) {
        // A slot is leased anew only when the mixer has given it back, and has taken the admission
        // before.
        self.send_in_room(Command::Admit(new), "room for an admission per slot");
    }

    /// Adds a tap of a thread.
    pub(super) fn tap(&self, output: Producer) {
        // A thread has one, and there is room for more than a machine has threads.
        self.send_in_room(Command::Tap(output), "room for taps");
    }

    fn send_in_room(&self, command: Command, room: &str) {
        let sent = self.admissions.try_send(command);
        debug_assert!(!matches!(sent, Err(TrySendError::Full(_))), "{room}");
    }

    /// Steers the mix, unless the mixer has too much to do already.
    pub(super) fn steer(&self, command: Command) -> Result<(), Busy> {
        match self.steering.try_send(command) {
            Err(TrySendError::Full(_)) => Err(Busy),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

/// The mixer's end.
#[derive(Debug)]
pub(super) struct Commands {
    /// No more than there are slots and taps.
    admissions: Receiver<Command>,
    steering: Receiver<Command>,
    /// Those taken. Room for all, so it never grows.
    taken: Vec<Command>,
}

impl Commands {
    /// Gives the mixer what has come. Bounded, allocates nothing.
    pub(super) fn apply(&mut self, mixer: &mut Mixer) {
        let Self {
            admissions,
            steering,
            taken,
        } = self;
        // Taken before the admissions are: who steers a stream knows it as one that was sent here.
        taken.extend(steering.try_iter().take(STEERED_MAX));
        for command in admissions.try_iter().chain(taken.drain(..)) {
            mixer.apply(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        audio::Format,
        ledger::Account,
        mixer::{Limiting, Settings},
        queue::Pool,
    };

    #[test]
    fn who_steers_a_flood_is_served_in_turns_and_holds_up_no_admission() {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let settings = Settings {
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
            limiting: Limiting::Saturate,
            playout_delay_ticks: 0,
        };
        let mut mixer = Mixer::new(settings, consumer);
        let (sender, mut commands) = channel(1);

        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let new = NewInput::new(lease, Arc::new(Account::new("a")));
        let strip = new.strip();
        let steered = 2 * STEERED_MAX + 1;
        for number in 0..steered {
            let last = number == steered - 1;
            sender.steer(Command::SetMuted(lease, last)).unwrap();
        }
        sender.admit(new);
        for left in [1 + STEERED_MAX, 1, 0] {
            commands.apply(&mut mixer);
            assert_eq!(mixer.streams(), 1);
            assert_eq!(strip.read().muted, left == 0);
        }
    }
}
