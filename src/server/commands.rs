//! Commands on their way to the mixer: admissions and taps, and what those say who steer the mix.

use std::sync::mpsc::Receiver;

use crate::mixer::{Command, Mixer};

/// Commands of those who steer that are taken between two ticks. The others wait for the next.
const STEERED_MAX: usize = 256;

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
    pub(super) fn new(admissions: Receiver<Command>, steering: Receiver<Command>) -> Self {
        Self {
            admissions,
            steering,
            taken: Vec::with_capacity(STEERED_MAX),
        }
    }

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
    use std::sync::{Arc, mpsc};

    use super::*;
    use crate::{
        audio::Format,
        ledger::Account,
        mixer::{Limiting, NewInput, Settings},
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
        let (admit, admissions) = mpsc::sync_channel(1);
        let (steer, steering) = mpsc::sync_channel(1024);
        let mut commands = Commands::new(admissions, steering);

        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let new = NewInput::new(lease, Arc::new(Account::new("a")));
        let strip = new.strip();
        let steered = 2 * STEERED_MAX + 1;
        for number in 0..steered {
            steer
                .try_send(Command::SetMuted(lease, number == steered - 1))
                .unwrap();
        }
        admit.try_send(Command::Admit(new)).unwrap();
        for left in [1 + STEERED_MAX, 1, 0] {
            commands.apply(&mut mixer);
            assert_eq!(mixer.streams(), 1);
            assert_eq!(strip.read().muted, left == 0);
        }
    }
}
