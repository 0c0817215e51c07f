//! The state that the writing thread of a recording publishes, and the requests to it.

use std::{
    error::Error as _,
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{RecordingError, RecordingPhase, RecordingProgress};
use crate::wire::sidecar::{EndKind, MARKS_MAX, Mark};

/// The progress that the writing thread publishes, and what it is asked for. Each lock is held for the time of a copy.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: Mutex<RecordingProgress>,
    is_over: AtomicBool,
    asked: Mutex<Asked>,
    is_asked: AtomicBool,
    is_cut: AtomicBool,
}

/// From this index of the mix on a recording is paused, or is not.
pub(super) type Pause = (u64, bool);

/// The requests to the writing thread.
#[derive(Debug, Default)]
struct Asked {
    /// In their order.
    pauses: Vec<Pause>,
    /// Not yet taken.
    marks: Vec<Mark>,
    marked: usize,
    end: Option<EndKind>,
}

impl Progress {
    pub(super) fn get(&self) -> MutexGuard<'_, RecordingProgress> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the outcome is there, or comes at once.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn end(&self, is_done: bool) {
        if is_done {
            self.get().phase = RecordingPhase::Done;
        }
        self.is_over.store(true, Ordering::Release);
    }

    /// Has it fail for this reason; returns that as a text.
    pub(super) fn fail(&self, error: &RecordingError) -> String {
        let text = text_of(error);
        let mut progress = self.get();
        progress.error = Some(text.clone());
        progress.phase = RecordingPhase::Failed;
        text
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has silence written from this index on, or no more.
    pub(super) fn pause(&self, index: u64, on: bool) {
        self.asked().pauses.push((index, on));
        self.is_asked.store(true, Ordering::Release);
    }

    /// Adds a named point; false if there are as many as a sidecar takes.
    pub(super) fn mark(&self, mark: Mark) -> bool {
        let mut asked = self.asked();
        let has_room = asked.marked < MARKS_MAX;
        if has_room {
            asked.marked += 1;
            asked.marks.push(mark);
            self.is_asked.store(true, Ordering::Release);
        }
        has_room
    }

    /// Has the next samples begin another file.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }

    /// Whether that was asked for since the last call. Costs a load if it was not.
    pub(super) fn take_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed) && self.is_cut.swap(false, Ordering::AcqRel)
    }

    /// How it is to end, if not by itself. The first is it.
    pub(super) fn end_as(&self, how: EndKind) {
        self.asked().end.get_or_insert(how);
    }

    /// How it ended.
    pub(super) fn how(&self) -> EndKind {
        self.asked().end.unwrap_or(EndKind::Stopped)
    }

    /// The pauses and marks since the last call. Costs a load if there are none.
    pub(super) fn take_asked(&self) -> Option<(Vec<Pause>, Vec<Mark>)> {
        if !self.is_asked.load(Ordering::Relaxed) || !self.is_asked.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut asked = self.asked();
        Some((mem::take(&mut asked.pauses), mem::take(&mut asked.marks)))
    }
}

/// An error and its cause.
pub(super) fn text_of(error: &RecordingError) -> String {
    let cause = error.source();
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
