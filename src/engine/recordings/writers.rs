//! The threads that write recordings: for each file system one, and rooms apart from streams, since rings of one thread
//! are of one length. Beyond the threads that there may be, they are shared. A pipe, a FIFO or a device has a thread of
//! its own, as its reader may be slow.

use std::sync::Arc;

use super::RecordError;
use crate::{
    engine::commands::Sender,
    mixer::ReaderId,
    output::{Place, ROOM_BUFFERED, STREAM_BUFFERED, Writer, WriterRings},
};

/// Most recordings to pipes, FIFOs and devices at once.
pub(super) const PIPES_MAX: usize = 64;

/// The length of a thread's rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    OfRooms,
    OfStreams,
}

/// The limits of a server's recordings.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterLimits {
    /// The rings of a room's recording: as many as there may be recordings.
    pub(super) rings: WriterRings,
    /// Threads, but those of pipes: at least 1.
    pub(super) threads: usize,
    /// Whether the mixer waits for the disk.
    pub(super) is_waited_for: bool,
}

/// All threads that write.
#[derive(Debug)]
pub(super) struct Writers {
    limits: WriterLimits,
    threads: Vec<Thread>,
    pipes: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    device: u64,
    length: Length,
    /// Held by rules, too, until they are closed.
    writer: Arc<Writer>,
    reader: ReaderId,
}

impl Writers {
    pub(super) fn new(limits: WriterLimits) -> Self {
        Self {
            limits,
            threads: Vec::new(),
            pipes: Vec::new(),
        }
    }

    pub(super) fn limits(&self) -> &WriterLimits {
        &self.limits
    }

    /// The thread for a file in this place, and its number in the mixer. Starts it if need be: allocates, and enters the
    /// kernel.
    pub(super) fn get(
        &mut self,
        place: Place,
        length: Length,
        commands: &Sender,
    ) -> Result<(&Arc<Writer>, ReaderId), RecordError> {
        let thread = match place {
            Place::Stream => {
                if self.pipes.len() >= PIPES_MAX {
                    return Err(RecordError::TooManyPipes);
                }
                let started = self.start(0, length, 1, commands)?;
                self.pipes.push(started);
                self.pipes.last()
            }
            Place::Device(device) => {
                let found = self.find(device, length);
                if found.is_none() {
                    let is_last = self.threads.len() >= self.most(length);
                    let length = if is_last { Length::OfRooms } else { length };
                    let rings = self.limits.rings.recordings;
                    let started = self.start(device, length, rings, commands)?;
                    self.threads.push(started);
                }
                self.threads.get(found.unwrap_or(self.threads.len() - 1))
            }
        };
        let thread = thread.expect("it was found or started just now");
        Ok((&thread.writer, thread.reader))
    }

    /// The thread to be used; none if another is to be started.
    fn find(&self, device: u64, length: Length) -> Option<usize> {
        let is_it = |thread: &Thread| thread.device == device && thread.length == length;
        if let Some(index) = self.threads.iter().position(is_it) {
            return Some(index);
        }
        if self.threads.len() < self.most(length) {
            return None;
        }
        let of = |length| {
            let threads = self.threads.iter().enumerate();
            let threads = threads.filter(move |(_, thread)| thread.length == length);
            threads.min_by_key(|(_, thread)| thread.writer.recordings())
        };
        let found = of(length).or_else(|| of(Length::OfRooms));
        found.map(|(index, _)| index)
    }

    /// Threads after which no other is started for rings of this length. A stream may be in a ring of a room's length, but
    /// not the other way round: the last thread is for rooms.
    fn most(&self, length: Length) -> usize {
        match length {
            Length::OfRooms => self.limits.threads,
            Length::OfStreams => self.limits.threads - 1,
        }
    }

    fn start(
        &self,
        device: u64,
        length: Length,
        recordings: usize,
        commands: &Sender,
    ) -> Result<Thread, RecordError> {
        let rings = WriterRings {
            recordings,
            buffered: match length {
                Length::OfRooms => ROOM_BUFFERED,
                Length::OfStreams => STREAM_BUFFERED,
            },
            ..self.limits.rings
        };
        let (writer, mut ring) = Writer::start(rings)?;
        if self.limits.is_waited_for {
            ring = ring.waited_for();
        }
        Ok(Thread {
            device,
            length,
            writer: Arc::new(writer),
            reader: commands.open_reader(ring)?,
        })
    }

    /// Ends the threads of pipes that are written no more.
    pub(super) fn tend(&mut self, commands: &Sender) {
        self.pipes.retain(|thread| {
            let is_over = thread.writer.recordings() == 0;
            !is_over || commands.close_reader(thread.reader).is_err()
        });
    }

    /// Takes all of them, to be [finished](Writer::finish). No rule has one any more.
    pub(super) fn take(&mut self) -> Vec<Writer> {
        let threads = self.threads.drain(..).chain(self.pipes.drain(..));
        let alone = |thread: Thread| Arc::into_inner(thread.writer);
        threads
            .map(|thread| alone(thread).expect("rules are closed"))
            .collect()
    }
}

#[cfg(test)]
mod tests;
