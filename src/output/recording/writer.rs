//! A thread that writes many recordings, and one beside it that has the disk take those which ended.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::AtomicU64,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    Recorded, Recorder, RecordingError, RecordingFiles, Waiting, progress::Progress,
    segment::Ended, writing::Writing,
};
use crate::{
    audio::Format,
    mixer::{Feed, MixRing, RoomId, Signal},
    output::{
        feed_reader::{Delivery, FeedReader, FeedRings},
        worker::PANICKED,
    },
    queue::{BuildError, LeaseId, Pool, Producer},
    wire::sidecar::EndKind,
};

/// A mixer that waits for its readers wakes none of them: a recording that begins is seen within this time.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// A file that ended waits for its last gaps: they are asked for this often.
const GAPS_PERIOD: Duration = Duration::from_millis(50);

/// The rings of a writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterRings {
    /// Rate and channels of the mix.
    pub format: Format,
    /// Samples per channel of a block.
    pub block_samples: usize,
    /// Recordings at once, as far as the host has room for their rings.
    pub recordings: usize,
    /// Time that each holds, at least.
    pub buffered: Duration,
}

impl WriterRings {
    fn feeds(&self) -> FeedRings {
        FeedRings {
            format: self.format,
            block_samples: self.block_samples,
            rooms: 0,
            rooms_heard: 0,
            feeds: self.recordings,
            buffered: self.buffered,
            prefault: false,
        }
    }

    /// Bytes of one of them.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.feeds().feed_ring_bytes()
    }
}

/// A thread that writes recordings, as others see it.
///
/// ```text
/// let (writer, ring) = Writer::start(rings)?;
/// let id = ...;                         // of the reader to which `ring` goes by a command
/// let (mut recorder, feed) = writer.record(|ring| Feed::room_ring(room, id, ring, &settings))?;
/// recorder.write_to(RecordingFiles::open(destination, path, facts, limits, origin)?);
/// ...                                   // `feed` is opened and closed by commands
/// let recorded = recorder.wait();
/// ```
#[derive(Debug)]
pub struct Writer {
    pool: Pool,
    format: Format,
    begins: SyncSender<Begin>,
    thread: JoinHandle<()>,
}

/// A recording that begins: its ring has an owner from now on.
struct Begin {
    lease: LeaseId,
    refused: Arc<AtomicU64>,
    writing: Writing,
    ends_by_itself: EndKind,
    outcome: SyncSender<Recorded>,
}

/// A recording without its file yet.
#[derive(Debug)]
pub(super) struct Beginning {
    lease: LeaseId,
    refused: Arc<AtomicU64>,
    format: Format,
    progress: Arc<Progress>,
    ends_by_itself: EndKind,
    outcome: SyncSender<Recorded>,
    begins: SyncSender<Begin>,
}

impl Beginning {
    /// Begins it with these files, or has it fail.
    pub(super) fn begin(self, files: Option<RecordingFiles>) {
        let begin = Begin {
            lease: self.lease,
            refused: self.refused,
            writing: Writing::new(files, self.format, self.progress),
            ends_by_itself: self.ends_by_itself,
            outcome: self.outcome,
        };
        // There is room for one of each ring. The thread ends after it has taken all.
        let _ = self.begins.send(begin);
    }
}

impl Writer {
    /// Starts the thread, and the one that syncs. It ends once the mixer has closed its end of the rings, which is
    /// returned, and nothing more can begin. Allocates, and enters the kernel.
    ///
    /// # Errors
    /// [`RecordingError::Buffer`] and [`RecordingError::Thread`].
    ///
    /// # Panics
    /// Never: it asks for rings.
    pub fn start(mut rings: WriterRings) -> Result<(Self, MixRing), RecordingError> {
        let (reader, mix_ring) = loop {
            match FeedReader::new(rings.feeds()) {
                // A host that lacks the room for all may have it for some.
                Err(BuildError::Limit(_)) if rings.recordings > 1 => rings.recordings /= 2,
                made => break made?,
            }
        };
        let pool = reader.pool().expect("it is to have rings").clone();
        let slots = pool.slots();
        let (begins, beginning) = mpsc::sync_channel(slots);
        let (ended, to_sync) = mpsc::sync_channel(slots);
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(run).map_err(RecordingError::Thread)
        };
        spawn("recording-sync", Box::new(move || sync(&to_sync)))?;
        let thread = Thread {
            reader,
            beginning,
            recordings: HashMap::with_capacity(slots),
            begun: 0,
            ended,
        };
        let writer = Self {
            pool,
            format: rings.format,
            begins,
            thread: spawn("recording", Box::new(move || thread.run()))?,
        };
        Ok((writer, mix_ring))
    }

    /// Recordings that it writes, or is about to.
    pub(crate) fn recordings(&self) -> usize {
        self.pool.stats().leases
    }

    /// A recording, in one of its rings, of the feed that `make` makes of that; this is to be opened then. It begins with
    /// its file. Allocates.
    ///
    /// # Errors
    /// [`RecordingError::NoRing`].
    pub fn record(
        &self,
        make: impl FnOnce((Producer, &Pool)) -> Feed,
    ) -> Result<(Recorder, Feed), RecordingError> {
        let rings = self.pool.slots();
        let taken = self.pool.acquire();
        let producer = taken.map_err(|_| RecordingError::NoRing { rings })?;
        let refused = Arc::<AtomicU64>::default();
        let lease = producer.lease();
        let progress = Arc::<Progress>::default();
        let (outcome, awaited) = mpsc::sync_channel(1);
        let feed = make((producer, &self.pool)).noting_refused(Arc::clone(&refused));
        let ends_by_itself = match feed.signal() {
            // It is never closed: the server ends.
            Signal::Room(RoomId::MAIN) => EndKind::Stopped,
            Signal::Room(_) => EndKind::RoomClosed,
            Signal::MixMinus(_) | Signal::Alone(_) | Signal::Track { .. } => EndKind::StreamEnded,
        };
        let recorder = Recorder {
            beginning: Some(Beginning {
                lease,
                refused,
                format: self.format,
                progress: Arc::clone(&progress),
                ends_by_itself,
                outcome,
                begins: self.begins.clone(),
            }),
            outcome: Some(Waiting(awaited)),
            progress,
        };
        Ok((recorder, feed))
    }

    /// Waits until the mixer has closed its end and all recordings are over. None may begin meanwhile.
    ///
    /// # Panics
    /// If the thread did: a bug.
    pub fn finish(self) {
        drop(self.begins);
        self.thread.join().expect(PANICKED);
    }
}

/// The thread's own.
struct Thread {
    reader: FeedReader,
    beginning: Receiver<Begin>,
    /// In the order in which they began. Not by the slots of their rings: one that ended before its file was there has
    /// given its ring to another.
    recordings: HashMap<u64, Recording>,
    begun: u64,
    ended: SyncSender<Ended>,
}

/// One recording, and the way of its outcome.
struct Recording {
    writing: Writing,
    ends_by_itself: EndKind,
    outcome: SyncSender<Recorded>,
}

impl Thread {
    fn run(mut self) {
        while !self.reader.is_closed() {
            if self.reader.wait_for(LOOK_PERIOD).is_err() {
                // It would be a bug.
                thread::sleep(LOOK_PERIOD);
            }
            while let Ok(begin) = self.beginning.try_recv() {
                self.begin(begin);
            }
            self.write();
        }
        // The files of some may be opened only now.
        while let Ok(begin) = self.beginning.recv() {
            self.begin(begin);
            self.write();
        }
    }

    fn begin(&mut self, begin: Begin) {
        let Begin {
            lease,
            refused,
            writing,
            ends_by_itself,
            outcome,
        } = begin;
        let recording = Recording {
            writing,
            ends_by_itself,
            outcome,
        };
        self.begun += 1;
        self.recordings.insert(self.begun, recording);
        self.reader.own_noting(lease, self.begun, refused);
    }

    fn write(&mut self) {
        let Self {
            reader,
            recordings,
            ended,
            ..
        } = self;
        reader.drain(|delivery| match delivery {
            Delivery::Feed(number, piece) => {
                if let Some(recording) = recordings.get_mut(&number) {
                    recording.writing.take(&piece);
                    hand_on(recording.writing.take_ended(), ended);
                }
            }
            Delivery::Ended(number) => {
                if let Some(recording) = recordings.remove(&number) {
                    let Recording {
                        writing,
                        ends_by_itself,
                        outcome,
                    } = recording;
                    hand_on(writing.finish(ends_by_itself, outcome), ended);
                }
            }
            Delivery::Room(..) | Delivery::RoomEnded(_) => {}
        });
    }
}

/// Has files synced that ended.
fn hand_on(files: impl IntoIterator<Item = Ended>, to_sync: &SyncSender<Ended>) {
    for file in files {
        if file.is_synced() {
            file.end();
        } else {
            // As many wait at most as there are rings, unless the disk has stalled for long.
            let _ = to_sync.send(file);
        }
    }
}

/// Syncs each file once all of its gaps are known.
fn sync(ended: &Receiver<Ended>) {
    let mut waiting: Vec<Ended> = Vec::new();
    loop {
        let received = if waiting.is_empty() {
            ended.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            ended.recv_timeout(GAPS_PERIOD)
        };
        let is_over = matches!(received, Err(RecvTimeoutError::Disconnected));
        waiting.extend(received);
        for file in waiting.extract_if(.., |file| is_over || file.is_complete()) {
            file.end();
        }
        if is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
