//! Finds the recordings that the gaps of streams belong to.
//!
//! Accounts say where samples are missing, and the mixer says which room a stream is in, all in one [queue](GapQueue). Its
//! events are taken whenever a stream is admitted or a recording begins or ends, and ten times a second by a thread of its
//! own while there may be recordings. Each becomes the spans that it counts, which wait until the mix has passed them: only then
//! it is known which room the stream was in. They go to the recordings of that room, and to those of the stream alone.
//!
//! The latest are kept for recordings with files that are opened after they began.

mod stream;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use self::stream::{Found, Stream, reason};
use super::mixer_stats::MixerStats;
use crate::{
    audio::GapReason,
    ledger::{Account, GapKind, GapQueue},
    mixer::{RoomId, Settings},
    output::{RecordingFiles, RecordingGaps},
};

/// How often the thread takes the events.
const PERIOD: Duration = Duration::from_millis(100);

/// How far behind the mix gaps are complete: a packet that comes later than this is no longer taken as late.
const LATEST: Duration = Duration::from_secs(1);

/// A file that takes longer to be opened lacks the gaps from before.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// Moves of streams that may be on their way, beside the entrance of each stream.
const MOVES_MAX: usize = 1024;

/// Events that a stream may have on their way, on average: those of a stream that is muted or loses every second packet in
/// three periods of the thread, with blocks of 20 ms.
const EVENTS_PER_STREAM: usize = 16;

/// Events in any case.
const EVENTS_MIN: usize = 1024;

/// Spans that wait until the mix has passed them: beyond, a stream's producer places blocks where no mix comes soon.
const WAITING_MAX: usize = 1 << 16;

/// Spans that are kept for recordings that begin after they were found.
const KEPT_MAX: usize = 4096;

/// The audio that a recording has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapsOf {
    /// A room's mix.
    Room(RoomId),
    /// The stream of this number, before gain and mute.
    Stream(u64),
    /// The stream of this number after gain and mute, while it is in this room.
    Track(u64, RoomId),
}

/// The gaps of all streams of a server, on their way to its recordings.
#[derive(Debug)]
pub(super) struct GapCollector {
    queue: Arc<GapQueue>,
    mixing: Settings,
    /// How far the mix is, once it began.
    mixer_stats: OnceLock<Arc<MixerStats>>,
    state: Mutex<State>,
    /// Signalled at the end.
    on_end: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By their numbers. Those that ended are among them for a while.
    streams: HashMap<u64, Stream>,
    /// Streams after which the next addition looks for those that ended.
    sweep_at: usize,
    rooms: HashMap<RoomId, Vec<Recording>>,
    /// Recordings of single streams, by the number of the stream.
    alone: HashMap<u64, Vec<Recording>>,
    next_id: u64,
    /// Spans that the mix has not passed.
    waiting: Vec<Found>,
    kept: VecDeque<Found>,
    /// Samples that the queue had refused at the last look, by kind.
    refused: [u64; GapKind::ALL.len()],
    thread: Option<JoinHandle<()>>,
    has_ended: bool,
}

#[derive(Debug)]
struct Recording {
    id: u64,
    of: GapsOf,
    /// The first sample that it may have.
    from: u64,
    gaps: RecordingGaps,
}

/// A recording that gets its gaps until this is dropped.
#[derive(Debug)]
pub(super) struct Registered {
    collector: Arc<GapCollector>,
    of: GapsOf,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.collector.take();
        let State { rooms, alone, .. } = &mut *state;
        let keeps = |recordings: &mut Vec<Recording>| {
            for done in recordings.extract_if(.., |recording| recording.id == self.id) {
                done.gaps.set_complete_to(u64::MAX);
            }
            !recordings.is_empty()
        };
        match self.of {
            GapsOf::Room(_) => rooms.retain(|_, recordings| keeps(recordings)),
            _ => alone.retain(|_, recordings| keeps(recordings)),
        }
    }
}

impl GapCollector {
    /// The collector of a server that has at most so many streams at once. Allocates 40 bytes for each, and once it
    /// [listens](Self::listen) 640 bytes.
    pub(super) fn new(streams_max: usize, mixing: Settings) -> Arc<Self> {
        let events = EVENTS_MIN.max(EVENTS_PER_STREAM * streams_max);
        Arc::new(Self {
            queue: Arc::new(GapQueue::new(events, streams_max + MOVES_MAX)),
            mixing,
            mixer_stats: OnceLock::new(),
            state: Mutex::default(),
            on_end: Condvar::new(),
        })
    }

    /// The mix begins: it is as far as these say.
    pub(super) fn follow(&self, mixer_stats: Arc<MixerStats>) {
        // An engine begins once.
        let _ = self.mixer_stats.set(mixer_stats);
    }

    /// Has the account of the `number`th stream say its gaps here. To be called before the mixer has the stream.
    pub(super) fn admit(&self, account: Account, number: u64) -> Arc<Account> {
        let account = Arc::new(account.with_gaps(Arc::clone(&self.queue), number));
        let mut state = self.take();
        if state.streams.len() >= state.sweep_at {
            self.sweep(&mut state);
        }
        state.streams.insert(number, Stream::new(&account));
        account
    }

    /// Has a recording get its gaps that begins with the next tick, until the value that this returns is dropped.
    pub(super) fn of_file(self: &Arc<Self>, of: GapsOf, files: &RecordingFiles) -> Registered {
        self.register(of, self.index(), files.gaps().clone())
    }

    /// The same of a recording that began before its file was opened.
    pub(super) fn of_late_file(self: &Arc<Self>, of: GapsOf, files: &RecordingFiles) -> Registered {
        let from = self.index().saturating_sub(self.samples(OPENED_WITHIN));
        self.register(of, from, files.gaps().clone())
    }

    /// Adds a span of a room of the cluster that lacks a node, or differs from it, to the recordings of the room. Takes a
    /// mutex; may allocate.
    #[cfg_attr(
        not(feature = "cluster"),
        allow(dead_code, reason = "used by the thread of the cluster")
    )]
    pub(super) fn add_of_node(&self, room: RoomId, node: &str, why: GapReason, span: Range<u64>) {
        // No stream has such an id.
        let name: Arc<str> = format!("node {node}").into();
        let state = self.lock();
        for recording in state.rooms.get(&room).into_iter().flatten() {
            let from = span.start.max(recording.from);
            if from < span.end {
                recording.gaps.add(Some(&name), why, from, span.end);
            }
        }
    }

    fn samples(&self, time: Duration) -> u64 {
        self.mixing.format.samples_in(time)
    }

    /// The index of the mix that it is at.
    fn index(&self) -> u64 {
        let ticks = self.mixer_stats.get().map_or(0, |stats| stats.ticks());
        (self.mixing.first_block + ticks) * self.mixing.block_samples as u64
    }

    /// Takes what was said so far: to be called where streams are moved, so that entrances into rooms always have room.
    pub(super) fn poll(&self) {
        drop(self.take());
    }

    /// From now on events of gaps are taken, also while nothing is recorded: the first samples of a recording that begins
    /// later are known then. Starts the thread. Without it, which is logged, gaps are taken as streams and recordings begin
    /// and end. Returns whether it runs.
    pub(super) fn listen(self: &Arc<Self>) -> bool {
        self.queue.listen();
        let mut state = self.lock();
        if state.thread.is_none() && !state.has_ended {
            let collector = Arc::downgrade(self);
            let thread = thread::Builder::new().name("recording-gaps".to_owned());
            match thread.spawn(move || run(&collector)) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => {
                    tracing::error!(
                        "cannot start a thread: {error}; the gaps of recordings may be missing in sidecars"
                    );
                }
            }
        }
        state.thread.is_some()
    }

    /// Has a recording get its gaps from this index of the mix on, until the value that this returns is dropped. No lock
    /// on the gaps may be held then.
    fn register(self: &Arc<Self>, of: GapsOf, from: u64, gaps: RecordingGaps) -> Registered {
        if self.listen() {
            gaps.set_complete_to(from);
        }
        let mut state = self.take();
        let id = state.next_id;
        state.next_id += 1;
        let recording = Recording { id, of, from, gaps };
        for found in &state.kept {
            if let Some(stream) = state.streams.get(&found.stream) {
                recording.find(stream, found);
            }
        }
        match of {
            GapsOf::Room(room) => state.rooms.entry(room).or_default().push(recording),
            GapsOf::Stream(number) | GapsOf::Track(number, _) => {
                state.alone.entry(number).or_default().push(recording);
            }
        }
        drop(state);
        let collector = Arc::clone(self);
        Registered { collector, of, id }
    }

    /// Takes all events, once no thread has more, and ends the thread. Recordings have all their gaps then.
    pub(super) fn end(&self) {
        let thread = {
            let mut state = self.lock();
            state.has_ended = true;
            state.thread.take()
        };
        self.on_end.notify_all();
        if let Some(thread) = thread {
            thread.join().expect("the thread of gaps panicked");
        }
        let mut state = self.take();
        state.deliver_until(u64::MAX);
        for recording in state.recordings() {
            recording.gaps.set_complete_to(u64::MAX);
        }
    }

    /// One round of the thread. Whether another one follows.
    fn turn(&self) -> bool {
        let complete_to = self.index().saturating_sub(self.samples(LATEST));
        let state = self.take();
        for recording in state.recordings() {
            recording.gaps.set_complete_to(complete_to);
        }
        if state.has_ended {
            return false;
        }
        let waited = self.on_end.wait_timeout(state, PERIOD);
        !waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// Locks, with all events taken, and the spans delivered that the mix has passed.
    fn take(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        // Before the events: all moves up to it are among them.
        let index = self.index();
        state.take(&self.queue);
        state.deliver_until(index);
        state
    }

    /// Forgets the streams that ended, with all their events taken.
    fn sweep(&self, state: &mut State) {
        let ended = state.streams.iter().filter(|(_, it)| it.has_ended());
        let ended: HashSet<_> = ended.map(|(number, _)| *number).collect();
        state.take(&self.queue);
        state.deliver_those(|found| ended.contains(&found.stream));
        state.streams.retain(|number, _| !ended.contains(number));
        state.sweep_at = (2 * state.streams.len()).max(64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes events until the end, or until no other thread has the collector.
fn run(collector: &Weak<GapCollector>) {
    while let Some(collector) = collector.upgrade()
        && collector.turn()
    {}
}

impl State {
    /// Takes all events.
    fn take(&mut self, queue: &GapQueue) {
        while let Some(event) = queue.pop() {
            if let Some(stream) = self.streams.get_mut(&event.stream) {
                stream.take(&event, &mut self.waiting);
            }
        }
        for kind in GapKind::ALL {
            let refused = queue.refused(kind);
            let new = refused - std::mem::replace(&mut self.refused[kind as usize], refused);
            if let Some(why) = reason(kind).filter(|_| new > 0) {
                // Each may have them.
                for recording in self.recordings() {
                    recording.gaps.add_sum(why, new);
                }
            }
        }
    }

    /// Adds the spans before this index to the recordings that have them, and keeps them; all, if too many wait.
    fn deliver_until(&mut self, index: u64) {
        let are_all = self.waiting.len() > WAITING_MAX;
        self.deliver_those(|found| are_all || found.span.end <= index);
    }

    fn deliver_those(&mut self, is_ready: impl Fn(&Found) -> bool) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for found in waiting.extract_if(.., |found| is_ready(found)) {
            self.deliver(&found);
            if self.kept.len() == KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(found);
        }
        self.waiting = waiting;
    }

    /// Adds a span to the recordings that have it.
    fn deliver(&self, found: &Found) {
        let Some(stream) = self.streams.get(&found.stream) else {
            return;
        };
        for recording in self.alone.get(&found.stream).into_iter().flatten() {
            recording.find(stream, found);
        }
        if self.rooms.is_empty() {
            return;
        }
        for (room, part) in stream.rooms_in(found.span.clone()) {
            for recording in self.rooms.get(&room).into_iter().flatten() {
                recording.add(stream, found.why, &part);
            }
        }
    }

    fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.rooms.values().chain(self.alone.values()).flatten()
    }
}

impl Recording {
    /// Adds the parts of a span that are in it.
    fn find(&self, stream: &Stream, found: &Found) {
        match self.of {
            GapsOf::Stream(number) | GapsOf::Track(number, _) if number != found.stream => {}
            // It is taken before it is muted.
            GapsOf::Stream(_) if found.why == GapReason::Muted => {}
            GapsOf::Stream(_) => self.add(stream, found.why, &found.span),
            GapsOf::Room(room) | GapsOf::Track(_, room) => {
                let parts = stream.rooms_in(found.span.clone());
                for (_, part) in parts.filter(|(other, _)| *other == room) {
                    self.add(stream, found.why, &part);
                }
            }
        }
    }

    fn add(&self, stream: &Stream, why: GapReason, span: &Range<u64>) {
        let from = span.start.max(self.from);
        if from < span.end {
            self.gaps.add(Some(&stream.id), why, from, span.end);
        }
    }
}

#[cfg(test)]
mod tests;
