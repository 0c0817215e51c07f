//! The queues of commands to the mixer: admissions, readers and rooms, and commands that steer the mix; and the way back of
//! all that the mixer removes, which is freed here.
//!
//! Senders take a mutex, each queue its own; the mixer takes none and never waits, even if
//! a sender stops half-way. A channel of many senders would have it spin until one that was interrupted goes on,
//! and in real time it never would: it waits for the mixer's processor.

use std::{
    collections::VecDeque,
    iter,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rtrb::{Consumer, PushError, RingBuffer};

use crate::mixer::{
    Command, Feed, MixRing, Mixer, NewInput, READERS_MAX, ReaderId, Removed, Room, RoomId,
};
pub use crate::net::Busy;

/// Commands about readers that may be on their way to the mixer at once, beside a stream for each slot: to open and to
/// close each.
const READER_COMMANDS_MAX: usize = 2 * READERS_MAX;

/// Commands about rooms that may be on their way at once.
const ROOM_COMMANDS_MAX: usize = 1024;

/// Steering commands that may wait at once.
const STEERING_MAX: usize = 1024;

/// Steering commands that are taken between two ticks. The others wait for the next.
const STEERED_MAX: usize = 256;

/// The queues to this mixer, which has so many slots, and so many rooms to be opened before its first tick.
pub(super) fn channel(mixer: &mut Mixer, slots: usize, rooms: usize) -> (Sender, Commands) {
    let (admissions_in, admissions) =
        RingBuffer::new(slots + READER_COMMANDS_MAX + ROOM_COMMANDS_MAX + rooms);
    let (steering_in, steering) = RingBuffer::new(STEERING_MAX);
    let sender = Sender {
        admissions: CommandQueue(Mutex::new(admissions_in)),
        steering: CommandQueue(Mutex::new(steering_in)),
        removed: Mutex::new(mixer.removed()),
        closed_rooms: Mutex::default(),
        readers: AtomicU64::new(0),
    };
    let commands = Commands {
        admissions,
        steering,
        taken: VecDeque::with_capacity(STEERED_MAX),
    };
    (sender, commands)
}

/// The server's end. If the mixer is gone, nothing comes of what is sent.
#[derive(Debug)]
pub(super) struct Sender {
    /// Admissions, and readers that come and go.
    admissions: CommandQueue,
    /// Commands of people and programs that steer the mix. On a queue of their own: however many they
    /// are, they take no admission's place.
    steering: CommandQueue,
    removed: Mutex<Removed>,
    /// Rooms that the mixer has closed, until they are asked for.
    closed_rooms: Mutex<Vec<RoomId>>,
    /// Readers there were.
    readers: AtomicU64,
}

/// One queue to the mixer.
#[derive(Debug)]
struct CommandQueue(Mutex<rtrb::Producer<Command>>);

/// Commands that the admission of one stream takes: its own, those of the room that it opens and of the recording of its
/// mix.
const ADMISSION_COMMANDS: usize = 3;

/// Places in the queue of admissions, which no other command takes meanwhile.
pub(super) struct Places<'a>(MutexGuard<'a, rtrb::Producer<Command>>);

impl Places<'_> {
    /// Opens a room, before streams that are admitted to it. Takes one place.
    pub(super) fn open_room(&mut self, room: Room) {
        let _ = self.0.push(Command::OpenRoom(Box::new(room)));
    }

    /// Opens a feed, before streams that are admitted to its room. Takes one place.
    pub(super) fn open_feed(&mut self, feed: Feed) {
        let _ = self.0.push(Command::OpenFeed(feed));
    }

    /// Admits a stream with a slot leased since.
    pub(super) fn admit(mut self, new: NewInput) {
        // Only a mixer that is gone has no room, and then nothing comes of it.
        let _ = self.0.push(Command::Admit(new));
    }
}

impl Sender {
    /// The places for an admission, with the room that it may open. Ask for it before a slot is leased: a slot without its command would never come
    /// back.
    ///
    /// A slot is leased again only when the mixer has returned it, and it has taken the admission before;
    /// so there is room unless more commands of readers and rooms wait than
    /// [`READER_COMMANDS_MAX`] and [`ROOM_COMMANDS_MAX`].
    pub(super) fn place(&self) -> Result<Places<'_>, Busy> {
        self.places(ADMISSION_COMMANDS)
    }

    /// Places for so many commands.
    pub(super) fn places(&self, count: usize) -> Result<Places<'_>, Busy> {
        self.free_removed();
        let queue = self.admissions.lock();
        if queue.slots() < count && !queue.is_abandoned() {
            return Err(Busy);
        }
        Ok(Places(queue))
    }

    /// Sends the mixer its end of a reader's rings.
    pub(super) fn open_reader(&self, ring: MixRing) -> Result<ReaderId, Busy> {
        let reader = ReaderId(self.readers.fetch_add(1, Ordering::Relaxed));
        self.admissions
            .send(Command::OpenReader(reader, Box::new(ring)))?;
        Ok(reader)
    }

    /// Opens a feed, after the readers and rooms that were sent before.
    pub(super) fn open_feed(&self, feed: Feed) -> Result<(), Busy> {
        self.admissions.send(Command::OpenFeed(feed))
    }

    /// Closes it.
    pub(super) fn close_reader(&self, reader: ReaderId) -> Result<(), Busy> {
        self.admissions.send(Command::CloseReader(reader))
    }

    /// Frees what the mixer has removed, unless another thread does so now. To be called again and again.
    pub(super) fn free_removed(&self) {
        if let Ok(mut removed) = self.removed.try_lock() {
            removed.free(|room| self.closed_rooms().push(room));
        }
    }

    fn closed_rooms(&self) -> MutexGuard<'_, Vec<RoomId>> {
        self.closed_rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The rooms that the mixer has closed since the last call: their places are free.
    pub(super) fn take_closed_rooms(&self) -> Vec<RoomId> {
        self.free_removed();
        std::mem::take(&mut *self.closed_rooms())
    }

    /// Closes one, once the last stream and the last reader have left it.
    pub(super) fn close_room(&self, room: RoomId) -> Result<(), Busy> {
        self.admissions.send(Command::CloseRoom(room))
    }

    /// Steers the mix, unless the mixer has too much to do already.
    pub(super) fn steer(&self, command: Command) -> Result<(), Busy> {
        self.free_removed();
        self.steering.send(command)
    }
}

impl Sender {
    /// Steers the mix by two commands, in this order, or by none.
    pub(super) fn steer_both(&self, first: Command, second: Command) -> Result<(), Busy> {
        self.free_removed();
        let mut queue = self.steering.lock();
        if queue.slots() < 2 && !queue.is_abandoned() {
            return Err(Busy);
        }
        // Only a mixer that is gone has no room, and then nothing comes of it.
        let _ = queue.push(first);
        let _ = queue.push(second);
        Ok(())
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
    /// No more than there are slots, and commands of readers and rooms.
    admissions: Consumer<Command>,
    steering: Consumer<Command>,
    /// The commands taken. It has room for all, so it never grows.
    taken: VecDeque<Command>,
}

impl Commands {
    /// Applies the waiting commands to the mixer, while that takes them. Bounded and wait-free; neither allocates nor
    /// frees.
    pub(super) fn apply(&mut self, mixer: &mut Mixer) {
        let Self {
            admissions,
            steering,
            taken,
        } = self;
        // Taken before the admissions are: a steered stream is known to have been sent here.
        let room = STEERED_MAX - taken.len();
        taken.extend(iter::from_fn(|| steering.pop().ok()).take(room));
        while mixer.takes_commands() {
            let Ok(command) = admissions.pop() else {
                break;
            };
            mixer.apply(command);
        }
        if admissions.is_empty() {
            while mixer.takes_commands()
                && let Some(command) = taken.pop_front()
            {
                mixer.apply(command);
            }
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

    fn mixer() -> (Pool, Mixer) {
        let (pool, consumer) = Pool::builder().slots(1).ring_bytes(4096).build().unwrap();
        let settings = Settings {
            first_block: 0,
            format: Format::new(8000, 1).unwrap(),
            block_samples: 160,
            limiting: Limiting::Saturate,
            rooms_max: 1,
            lead_ticks: 0,
        };
        (pool, Mixer::new(settings, consumer))
    }

    #[test]
    fn a_command_that_finds_no_room_is_an_error_to_its_caller() {
        let (_pool, mut mixer) = mixer();
        let (sender, commands) = channel(&mut mixer, 1, 0);
        for _ in 0..=READER_COMMANDS_MAX + ROOM_COMMANDS_MAX {
            assert_eq!(sender.close_reader(ReaderId(0)), Ok(()));
        }
        assert_eq!(sender.close_reader(ReaderId(0)), Err(Busy));
        assert!(sender.place().is_err(), "and no slot is leased in vain");
        // A mixer that is gone takes what comes.
        drop(commands);
        assert!(sender.place().is_ok());
        assert_eq!(sender.close_reader(ReaderId(0)), Ok(()));
    }

    #[test]
    fn a_flood_of_commands_is_batched_and_delays_no_admission() {
        let (pool, mut mixer) = mixer();
        let (sender, mut commands) = channel(&mut mixer, 1, 0);

        let producer = pool.acquire().unwrap();
        let lease = producer.lease();
        let new = NewInput::new(lease, Arc::new(Account::new("a")));
        let channel_strip = new.channel_strip();
        let steered = 2 * STEERED_MAX + 1;
        for number in 0..steered {
            let last = number == steered - 1;
            sender.steer(Command::SetMuted(lease, last)).unwrap();
        }
        sender.place().unwrap().admit(new);
        for left in [1 + STEERED_MAX, 1, 0] {
            commands.apply(&mut mixer);
            assert_eq!(mixer.streams(), 1);
            assert_eq!(channel_strip.read().muted, left == 0);
        }
    }
}
