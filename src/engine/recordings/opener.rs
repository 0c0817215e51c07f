//! The thread that opens the files of rules' recordings: each waits in its ring meanwhile.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use super::{
    RecordError, Recordings,
    kept::{File, Kept, Recorded},
    rules::{Begun, Mix, Rule},
};
use crate::{
    config::RecordWhen,
    engine::{Handle, OpenRoom},
    mixer::Command,
    output::{Destination, RecordingError, RecordingFacts, RecordingFiles, named},
};

/// A room that is recorded while it has streams may be empty for so long.
const EMPTY_FOR: Duration = Duration::from_secs(10);

/// How often rules are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Names that are tried for a file: the second is `NAME~2.wav`.
const NAMES_MAX: usize = 9;

/// From try to try of a command that the mixer is too busy for.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A recording whose file is to be opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) begun: Begun,
    pub(super) recorded: Recorded,
}

/// The way to the thread. To send takes no lock, and never waits.
#[derive(Debug)]
pub(super) struct Queue {
    /// None is the end.
    sender: Sender<Option<Opening>>,
    thread: Mutex<Thread>,
    /// Recordings that wait for their files.
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    /// Recordings that did not begin, of all rules.
    refused: AtomicU64,
}

#[derive(Debug)]
enum Thread {
    NotStarted(Receiver<Option<Opening>>),
    Runs(JoinHandle<()>),
    Ended,
}

/// The place of one that waits.
#[derive(Debug)]
pub(super) struct Reserved(Arc<AtomicUsize>);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// For so many that wait.
    pub(super) fn new(waiting_max: usize) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            sender,
            thread: Mutex::new(Thread::NotStarted(receiver)),
            waiting: Arc::default(),
            waiting_max,
            refused: AtomicU64::new(0),
        }
    }

    pub(super) fn reserve(&self) -> Option<Reserved> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let reserved = Reserved(Arc::clone(&self.waiting));
        (before < self.waiting_max).then_some(reserved)
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, opening: Opening) {
        // Of a server that is ending, nothing begins.
        let _ = self.sender.send(Some(opening));
    }

    /// Starts the thread, unless it runs.
    pub(super) fn start(&self, handle: &Handle) -> io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        *thread = match std::mem::replace(&mut *thread, Thread::Ended) {
            Thread::NotStarted(receiver) => {
                let handle = handle.clone();
                let named = thread::Builder::new().name("recording-open".to_owned());
                Thread::Runs(named.spawn(move || run(&handle, &receiver))?)
            }
            other => other,
        };
        Ok(())
    }

    /// Ends the thread once it has opened the files of all that wait.
    pub(super) fn end(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Thread::Runs(thread) = std::mem::replace(&mut *thread, Thread::Ended) {
            let _ = self.sender.send(None);
            thread.join().expect("the thread that opens files panicked");
        }
    }
}

fn run(handle: &Handle, openings: &Receiver<Option<Opening>>) {
    let recordings = &handle.shared().recordings;
    let mut looked_at = Instant::now();
    let mut refused = 0;
    let mut to_stop = Vec::new();
    loop {
        match openings.recv_timeout(LOOK_PERIOD) {
            Ok(Some(opening)) => recordings.open_ruled(handle, opening),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(None) | Err(RecvTimeoutError::Disconnected) => return,
        }
        if looked_at.elapsed() >= LOOK_PERIOD {
            looked_at = Instant::now();
            let now_refused = recordings.queue.refused();
            if now_refused > refused {
                tracing::error!(
                    "{} recordings of rooms' rules were refused, {now_refused} in all: stop others, or raise \
                     --recordings-max",
                    now_refused - refused
                );
            }
            refused = now_refused;
            for room in &handle.rooms() {
                if let Some(rule) = room.rule() {
                    recordings.look(handle, room, rule, &mut to_stop);
                }
            }
            // A mixer that is busy is asked again.
            to_stop.retain(|&id| {
                matches!(
                    recordings.stop(id, handle.commands()),
                    Err(RecordError::Busy(_))
                )
            });
        }
    }
}

/// Has `open` open a new file of this name, or of one that follows it where that is taken.
fn open_new<T>(
    path: &Path,
    open: impl Fn(PathBuf) -> Result<T, RecordingError>,
) -> Result<(PathBuf, T), RecordingError> {
    let mut number = 1;
    loop {
        let path = numbered(path, number);
        match open(path.clone()) {
            Err(RecordingError::Exists { .. }) if number < NAMES_MAX => number += 1,
            opened => return Ok((path, opened?)),
        }
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("~{number}"));
    let mut name = PathBuf::from(name);
    if let Some(extension) = path.extension() {
        name.as_mut_os_string().push(".");
        name.as_mut_os_string().push(extension);
    }
    path.with_file_name(name)
}

impl Recordings {
    /// Opens the file of a recording that has begun, and keeps it. One that is refused ends.
    fn open_ruled(&self, handle: &Handle, opening: Opening) {
        let Opening {
            mut begun,
            recorded,
        } = opening;
        let room = Arc::clone(&recorded.room);
        let (commands, is_mix) = (handle.commands(), recorded.stream.is_none());
        let Some(rule) = room.rule() else { return };
        let mut path = begun.template.clone();
        if let Some(template) = path.to_str() {
            let id = recorded.stream_id();
            path = named(template, SystemTime::now(), room.name(), id).into();
        }
        let mut inner = self.lock();
        inner.tend(commands);
        if self.check_limit(&inner).is_err() {
            drop(inner);
            rule.refuse();
            set_mix(rule, is_mix, Mix::Off);
            while !handle.is_done() && commands.steer(Command::CloseFeed(begun.feed)).is_err() {
                thread::sleep(BUSY_PAUSE);
            }
            return;
        }
        let Some(recorder) = begun.recorder.take() else {
            return;
        };
        let (file, facts) = (File::At(path.clone()), recorded.facts());
        let id = inner
            .keep(file, recorded, self.begun_ns, begun.feed, recorder)
            .id;
        inner.kept.last_mut().expect("it was kept just now").by_rule = true;
        drop(inner);
        set_mix(rule, is_mix, Mix::On(id));
        let opened = open_new(&path, |path| {
            RecordingFiles::open(
                Destination::Path { overwrite: false },
                path,
                RecordingFacts::new(self.mixing.format, facts.clone()),
                self.segments,
                self.origin(),
            )
        });
        let mut inner = self.lock();
        // None but the oldest that ended are forgotten.
        let Some(kept) = inner.kept.iter_mut().find(|kept| kept.id == id) else {
            return;
        };
        match opened {
            Ok((path, files)) => {
                kept.file = File::At(path);
                kept.gaps = Some(self.gaps.of_late_file(kept.recorded.gaps_of(), &files));
                kept.recorder.write_to(files);
            }
            Err(error) => {
                tracing::error!("a recording of the room {}: {error}", room.name());
                kept.recorder.give_up_waiting();
                drop(inner);
                rule.refuse();
            }
        }
    }

    /// Looks at a room's rule; adds recordings that are to end.
    fn look(&self, handle: &Handle, room: &Arc<OpenRoom>, rule: &Rule, to_stop: &mut Vec<u64>) {
        // The rule is never locked while the recordings are.
        let mix = rule.lock().mix;
        if let Mix::On(id) = mix
            && self.is_finished(id)
        {
            set_mix(rule, true, Mix::Off);
            return;
        }
        let mut state = rule.lock();
        match (rule.when, state.mix) {
            (RecordWhen::Command, _) if !state.on => {
                drop(state);
                to_stop.extend(self.ruled(room));
            }
            (RecordWhen::Occupied, Mix::On(id)) => {
                if !handle.streams_in(room).is_empty() {
                    state.empty_since = None;
                } else if state.empty_since.get_or_insert_with(Instant::now).elapsed() >= EMPTY_FOR
                {
                    state.mix = Mix::Off;
                    to_stop.push(id);
                }
            }
            _ => {}
        }
    }

    /// The running recordings of a room's rule.
    pub(super) fn ruled(&self, room: &Arc<OpenRoom>) -> Vec<u64> {
        let inner = self.lock();
        let is_ruled = |kept: &&Kept| kept.by_rule && kept.runs_in(room);
        inner
            .kept
            .iter()
            .filter(is_ruled)
            .map(|kept| kept.id)
            .collect()
    }

    fn is_finished(&self, id: u64) -> bool {
        let inner = self.lock();
        let kept = inner.kept.iter().find(|kept| kept.id == id);
        kept.is_none_or(|kept| kept.recorder.is_finished())
    }
}

fn set_mix(rule: &Rule, is_mix: bool, mix: Mix) {
    if is_mix {
        rule.lock().mix = mix;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let path = Path::new("/r/a.b.wav");
        let taken = |max: usize| {
            let tried = std::cell::Cell::new(0);
            open_new(path, |path| {
                tried.set(tried.get() + 1);
                let exists = Err(RecordingError::Exists { path });
                if tried.get() > max { Ok(()) } else { exists }
            })
        };
        let name = |max| taken(max).unwrap().0;
        assert_eq!(name(0), path);
        assert_eq!(name(1), Path::new("/r/a.b~2.wav"));
        assert_eq!(name(NAMES_MAX - 1), Path::new("/r/a.b~9.wav"));
        assert!(taken(NAMES_MAX).is_err());
    }

    #[test]
    fn recordings_that_wait_for_a_file_are_limited() {
        let queue = Queue::new(2);
        let [first, second] = [queue.reserve(), queue.reserve()];
        assert!(first.is_some() && second.is_some() && queue.reserve().is_none());
        drop(first);
        let third = queue.reserve();
        assert!(third.is_some() && queue.reserve().is_none());
    }
}
