//! A stream as the server knows it, from its admission to the last report.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};

use super::OpenRoom;
use crate::{
    ledger::{Account, SourceKind, StreamState},
    mixer::{ChannelStrip, Levels},
    queue::LeaseId,
    wire::label::Label,
};

/// Whether a switch of a stream was turned on since it was last cleared. It may have been turned off again.
///
/// A channel strip says what the mixer did, which is up to a tick behind what it was asked. This is never behind: it is
/// noted once the command is on its way, and taken before the one that clears, so a switch that is on, with its
/// caller answered, is noted.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicBool);

impl Asked {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// A stream that was admitted.
#[derive(Debug)]
pub struct Admitted {
    account: Arc<Account>,
    channel_strip: Arc<ChannelStrip>,
    pub(super) lease: LeaseId,
    room: Mutex<Arc<OpenRoom>>,
    /// Moves that were asked for, modulo 65536.
    pub(super) moves: AtomicU16,
    pub(super) was_muted: Asked,
    pub(super) was_solo: Asked,
    kind: SourceKind,
    from: String,
    at: Duration,
    number: u64,
}

impl Admitted {
    /// A stream that was admitted so long after the start, as the `number`th.
    pub(super) fn new(
        account: Arc<Account>,
        channel_strip: Arc<ChannelStrip>,
        lease: LeaseId,
        room: Arc<OpenRoom>,
        (kind, from): (SourceKind, String),
        at: Duration,
        number: u64,
    ) -> Self {
        Self {
            account,
            channel_strip,
            lease,
            room: Mutex::new(room),
            moves: AtomicU16::new(0),
            was_muted: Asked::default(),
            was_solo: Asked::default(),
            kind,
            from,
            at,
            number,
        }
    }

    /// Its name. No other stream that runs has it.
    pub fn id(&self) -> &str {
        self.account.id()
    }

    /// Its ring in the mixer's pool: for a [`Feed`](crate::mixer::Feed) of it.
    pub fn lease(&self) -> LeaseId {
        self.lease
    }

    /// The label for people, if it has one.
    pub fn label(&self) -> Option<Arc<str>> {
        self.account.label().get()
    }

    /// Has people call it so; with none, as its sender says next.
    pub fn set_label(&self, label: Option<Label>) {
        self.account.label().command(label.map(Into::into));
    }

    /// The kind of its source.
    pub fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Where it comes from, for people: `synthetic`, `file a.wav`, `rtp 192.0.2.1:4000`.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// When it was admitted, since the start of the server.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// How many streams were admitted before it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The place of its ring in the pool, which the next stream may have once this one ended.
    pub fn slot(&self) -> usize {
        self.lease.slot()
    }

    /// Its account.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Its level and its gain, as the mixer last wrote them.
    pub fn levels(&self) -> Levels {
        self.channel_strip.read()
    }

    /// Whether it talks, and the index in the mix, per channel, of the first sample of the block with which that began or
    /// ended. Wait-free.
    pub fn talking(&self) -> (bool, u64) {
        self.channel_strip.talking()
    }

    /// Moves that the mixer took, modulo 65536, and the index at which the last one took effect.
    pub(super) fn moved(&self) -> (u16, u64) {
        self.channel_strip.moved()
    }

    /// The room that it is in, or on its way to. Takes a mutex for the time of a copy.
    pub fn room(&self) -> Arc<OpenRoom> {
        Arc::clone(&self.lock_room())
    }

    /// Returns the room that it was in before.
    pub(super) fn set_room(&self, room: &Arc<OpenRoom>) -> Arc<OpenRoom> {
        std::mem::replace(&mut self.lock_room(), Arc::clone(room))
    }

    fn lock_room(&self) -> MutexGuard<'_, Arc<OpenRoom>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it has come.
    pub fn state(&self) -> StreamState {
        self.account.state()
    }

    /// Whether it has ended, or was ended by command.
    pub fn is_ending(&self) -> bool {
        matches!(self.state(), StreamState::Ending | StreamState::Ended)
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.state() != StreamState::Ended
    }

    #[cfg(test)]
    pub(super) fn for_test(account: Arc<Account>, number: u64) -> Self {
        static LEASE: std::sync::OnceLock<LeaseId> = std::sync::OnceLock::new();
        let lease = LEASE.get_or_init(|| {
            let pool = crate::queue::Pool::builder().slots(1).ring_bytes(4096);
            pool.build().unwrap().0.acquire().unwrap().lease()
        });
        Self::new(
            account,
            Arc::default(),
            *lease,
            Arc::new(OpenRoom::for_test()),
            (SourceKind::Library, String::new()),
            Duration::ZERO,
            number,
        )
    }
}
