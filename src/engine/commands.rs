//! The queues of commands to the mixer: admissions and taps, and commands that steer the mix.
//!
//! Senders take a mutex, each queue its own; the mixer takes none and never waits, even if
//! a sender stops half-way. A channel of many senders would have it spin until one that was interrupted goes on,
//! and in real time it never would: it waits for the mixer's processor.

use std::{
    iter,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rtrb::{Consumer, PushError, RingBuffer};

pub use crate::net::Busy;
use crate::{
    mixer::{Command, Mixer, NewInput},
    queue::Producer,
};

/// Taps of threads that may be on their way to the mixer at once, beside a stream for each slot.
const TAPS_MAX: usize = 1024;

/// Steering commands that may wait at once.
const STEERING_MAX: usize = 1024;

/// Steering commands that are taken between two ticks. The others wait for the next.
const STEERED_MAX: usize = 256;

/// The queues to a mixer of so many slots.
pub(super) fn channel(slots: usize) -> (Sender, Commands) {
    let (admissions_in, admissions) = RingBuffer::new(slots + TAPS_MAX);
    let (steering_in, steering) = RingBuffer::new(STEERING_MAX);
    let sender = Sender {
        admissions: CommandQueue(Mutex::new(admissions_in)),
        steering: CommandQueue(Mutex::new(steering_in)),
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
    admissions: CommandQueue,
    /// Commands of people and programs that steer the mix. On a queue of their own: however many they
    /// are, they take no admission's place.
    steering: CommandQueue,
}

/// One queue to the mixer.
#[derive(Debug)]
struct CommandQueue(Mutex<rtrb::Producer<Command>>);

/// Room for the admission of one stream, which no other command takes meanwhile.
pub(super) struct Room<'a>(MutexGuard<'a, rtrb::Producer<Command>>);

impl Room<'_> {
    /// Admits a stream with a slot leased since.
    pub(super) fn admit(mut self, new: NewInput) {
        // Only a mixer that is gone has no room, and then nothing comes of it.
        let _ = self.0.push(Command::Admit(new));
    }
}

impl Sender {
    /// Room for an admission. Ask for it before a slot is leased: a slot without its command would never come
    /// back.
    ///
    /// A slot is leased again only when the mixer has returned it, and it has taken the admission before;
    /// so there is room unless there are more taps than [`TAPS_MAX`].
    pub(super) fn room(&self) -> Result<Room<'_>, Busy> {
        let queue = self.admissions.lock();
        if queue.is_full() && !queue.is_abandoned() {
            return Err(Busy);
        }
        Ok(Room(queue))
    }

    /// Adds a tap of a thread.
    pub(super) fn tap(&self, output: Producer) -> Result<(), Busy> {
        self.admissions.send(Command::Tap(output))
    }

    /// Steers the mix, unless the mixer has too much to do already.
    pub(super) fn steer(&self, command: Command) -> Result<(), Busy> {
        self.steering.send(command)
    }
}

impl CommandQueue {
    fn lock(&self) -> MutexGuard<'_, rtrb::Producer<Command>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, command: Command) -> Result<(), Busy> {
        let mut queue = self.lock();
        if queue.is_abandoned() {
            return Ok(());
        }
        queue.push(command).map_err(|PushError::Full(_)| Busy)
    }
}

/// The mixer's end.
#[derive(Debug)]
pub(super) struct Commands {
    /// No more than there are slots and taps.
    admissions: Consumer<Command>,
    steering: Consumer<Command>,
    /// The commands taken. It has room for all, so it never grows.
    taken: Vec<Command>,
}

impl Commands {
    /// Applies all waiting commands to the mixer. Bounded and wait-free; a [tap](Command::Tap) allocates.
    pub(super) fn apply(&mut self, mixer: &mut Mixer) {
        let Self {
            admissions,
            steering,
            taken,
        } = self;
        // Taken before the admissions are: a steered stream is known to have been sent here.
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
    fn a_command_that_finds_no_room_is_an_error_to_its_caller() {
        let taps = TAPS_MAX + 1;
        let (pool, _consumer) = Pool::builder()
            .slots(taps + 2)
            .ring_bytes(4096)
            .build()
            .unwrap();
        let (sender, commands) = channel(1);
        for _ in 0..taps {
            assert_eq!(sender.tap(pool.acquire().unwrap()), Ok(()));
        }
        assert_eq!(sender.tap(pool.acquire().unwrap()), Err(Busy));
        assert!(sender.room().is_err(), "and no slot is leased in vain");
        // A mixer that is gone takes what comes.
        drop(commands);
        assert!(sender.room().is_ok());
        assert_eq!(sender.tap(pool.acquire().unwrap()), Ok(()));
    }

    #[test]
    fn a_flood_of_commands_is_batched_and_delays_no_admission() {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let settings = Settings {
            first_block: 0,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
            limiting: Limiting::Saturate,
        };
        let mut mixer = Mixer::new(settings, consumer);
        let (sender, mut commands) = channel(1);

        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let new = NewInput::new(lease, Arc::new(Account::new("a")));
        let channel_strip = new.channel_strip();
        let steered = 2 * STEERED_MAX + 1;
        for number in 0..steered {
            let last = number == steered - 1;
            sender.steer(Command::SetMuted(lease, last)).unwrap();
        }
        sender.room().unwrap().admit(new);
        for left in [1 + STEERED_MAX, 1, 0] {
            commands.apply(&mut mixer);
            assert_eq!(mixer.streams(), 1);
            assert_eq!(channel_strip.read().muted, left == 0);
        }
    }
}
