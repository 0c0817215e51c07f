//! Commands on their way to the mixer: admissions and taps, and what those say who steer the mix.
//!
//! Those who send take a mutex, each way its own; the mixer takes none and never waits, whatever becomes of
//! a sender half-way. A channel of many senders would have it spin until one that was interrupted goes on,
//! and in real time it never would: it waits for the mixer's processor.

use std::{
    iter,
    sync::{Mutex, PoisonError},
};

use rtrb::{Consumer, PushError, RingBuffer};

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
    let (admissions_in, admissions) = RingBuffer::new(slots + TAPS_MAX);
    let (steering_in, steering) = RingBuffer::new(STEERING_MAX);
    let sender = Sender {
        admissions: Way(Mutex::new(admissions_in)),
        steering: Way(Mutex::new(steering_in)),
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
    admissions: Way,
    /// Commands of people and programs that steer the mix. On a way of their own: however many they
    /// are, they take no admission's place.
    steering: Way,
}

/// One way to the mixer.
#[derive(Debug)]
struct Way(Mutex<rtrb::Producer<Command>>);

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
        let sent = self.admissions.send(command);
        debug_assert!(sent.is_ok(), "{room}");
    }

    /// Steers the mix, unless the mixer has too much to do already.
    pub(super) fn steer(&self, command: Command) -> Result<(), Busy> {
        self.steering.send(command)
    }
}

impl Way {
    fn send(&self, command: Command) -> Result<(), Busy> {
        let mut way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if way.is_abandoned() {
            return Ok(());
        }
        way.push(command).map_err(|PushError::Full(_)| Busy)
    }
}

/// The mixer's end.
#[derive(Debug)]
pub(super) struct Commands {
    /// No more than there are slots and taps.
    admissions: Consumer<Command>,
    steering: Consumer<Command>,
    /// Those taken. Room for all, so it never grows.
    taken: Vec<Command>,
}

impl Commands {
    /// Gives the mixer what has come. Bounded and wait-free; a [tap](Command::Tap) allocates.
    pub(super) fn apply(&mut self, mixer: &mut Mixer) {
        let Self {
            admissions,
            steering,
            taken,
        } = self;
        // Taken before the admissions are: who steers a stream knows it as one that was sent here.
        taken.extend(iter::from_fn(|| steering.pop().ok()).take(STEERED_MAX));
        let admissions = iter::from_fn(|| admissions.pop().ok());
        for command in admissions.chain(taken.drain(..)) {
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
