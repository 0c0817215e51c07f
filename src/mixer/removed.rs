//! The way of removed inputs, feeds, rings and rooms to a thread that frees them.

use rtrb::{Consumer, Producer, RingBuffer};

use super::{READERS_MAX, Room, RoomId, feeds::Closed, input::Input, readers::MixRing};

/// Parts beside those of streams: readers, and feeds that were closed.
const OTHERS_MAX: usize = 1024;

/// Most parts that a command removes, or the end of a stream, and all readers, which may end with one tick.
const PARTS_MAX: usize = 5 + READERS_MAX;

/// Something that is to be freed.
#[derive(Debug)]
#[expect(dead_code, reason = "held until it is freed")]
pub(super) enum Part {
    Input(Input),
    Feed(Closed),
    Ring(Box<MixRing>),
    Room(Box<Room>),
}

/// The end at which all that a mixer removes arrives.
#[derive(Debug)]
pub struct Removed(Consumer<Part>);

impl Removed {
    /// Frees what has arrived; returns how many parts. The rooms among them go to `closed`: their places are free. Wait-free
    /// but for the allocator.
    pub fn free(&mut self, mut closed: impl FnMut(RoomId)) -> usize {
        let parts = std::iter::from_fn(|| self.0.pop().ok());
        parts
            .inspect(|part| {
                if let Part::Room(room) = part {
                    closed(room.id);
                }
            })
            .count()
    }
}

/// The mixer's end. Without another end it frees in place.
#[derive(Debug, Default)]
pub(super) struct Removals(Option<Producer<Part>>);

impl Removals {
    /// Begins to send, with room for so many parts of streams. Allocates.
    pub(super) fn begin(&mut self, of_streams: usize) -> Removed {
        let (producer, consumer) = RingBuffer::new(of_streams + OTHERS_MAX);
        self.0 = Some(producer);
        Removed(consumer)
    }

    /// Whether all parts that a command or an end may remove have room.
    pub(super) fn has_room(&self) -> bool {
        let free = self.0.as_ref().map(Producer::slots);
        free.is_none_or(|free| free >= PARTS_MAX)
    }

    /// Sends parts for which there is room.
    pub(super) fn send_all(&mut self, parts: impl IntoIterator<Item = Part>) {
        for part in parts {
            if let Some(producer) = &mut self.0 {
                let sent = producer.push(part);
                debug_assert!(sent.is_ok(), "room was asked for");
            }
        }
    }
}
