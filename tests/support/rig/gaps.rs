//! The gaps of a rig's streams, as a recording's collector finds them, beside their accounts.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use mixpool::{
    audio::{GapReason, Gaps, Span},
    ledger::{Account, GapEvent, GapKind, GapPlaces, GapQueue},
};

/// Events that a tick may push: more than any test does.
const EVENTS: usize = 1 << 14;

/// Makes accounts that say their gaps, numbered in order.
#[derive(Clone)]
pub struct Accounts {
    pub queue: Arc<GapQueue>,
    made: Arc<AtomicU64>,
}

impl Accounts {
    pub fn add(&self, account: Account) -> Arc<Account> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Arc::new(account.with_gaps(Arc::clone(&self.queue), number))
    }
}

/// The gaps of all streams, by the order in which their accounts were made.
pub struct StreamGaps {
    pub accounts: Accounts,
    places: Vec<GapPlaces>,
    gaps: Gaps<u64>,
    /// Whether they are compared with the accounts: not where two blocks are placed at one index.
    pub is_checked: bool,
    /// The rooms that each was in, and from which index on.
    pub rooms: Vec<Vec<(u64, u64)>>,
}

impl StreamGaps {
    pub fn new() -> Self {
        let queue = Arc::new(GapQueue::new(EVENTS, EVENTS));
        queue.listen();
        Self {
            accounts: Accounts {
                queue,
                made: Arc::default(),
            },
            places: Vec::new(),
            gaps: Gaps::new(usize::MAX),
            is_checked: true,
            rooms: Vec::new(),
        }
    }

    /// Takes the events of now.
    pub fn take(&mut self) {
        let mut found: Vec<Range<u64>> = Vec::new();
        while let Some(event) = self.accounts.queue.pop() {
            let stream = event.stream as usize;
            if self.places.len() <= stream {
                self.places.resize(stream + 1, GapPlaces::default());
                self.rooms.resize(stream + 1, Vec::new());
            }
            if event.kind == GapKind::Entered {
                self.rooms[stream].push((event.from, event.samples));
            }
            self.places[stream].find(&event, &mut found);
            for span in found.drain(..) {
                self.gaps.add(Span {
                    stream: event.stream,
                    why: reason(event),
                    from: span.start,
                    to: span.end,
                });
            }
        }
        let refused = GapKind::ALL.map(|kind| self.accounts.queue.refused(kind));
        assert_eq!(refused, [0; GapKind::ALL.len()], "the queue was full");
    }

    /// The gaps of a stream.
    pub fn of(&self, stream: usize) -> impl Iterator<Item = Span<u64>> {
        let gaps = self.gaps.spans().map(|gap| Span {
            stream: *gap.stream,
            why: gap.why,
            from: gap.from,
            to: gap.to,
        });
        gaps.filter(move |gap| gap.stream == stream as u64)
    }

    /// The length of a stream's gaps for this reason, per channel.
    pub fn length(&self, stream: usize, why: GapReason) -> u64 {
        let gaps = self.of(stream).filter(|gap| gap.why == why);
        gaps.map(|gap| gap.to - gap.from).sum()
    }

    /// Compares the gaps of a stream with what its account counts.
    pub fn check(&self, stream: usize, account: &Account, channels: u16) {
        let of = |why| self.length(stream, why) * u64::from(channels);
        let entry = account.read();
        let id = account.id();
        assert_eq!(of(GapReason::Muted), entry.muted, "{id}: muted");
        assert_eq!(of(GapReason::DroppedFull), entry.dropped_full, "{id}: full");
        assert_eq!(of(GapReason::Underrun), entry.underrun, "{id}: underrun");
        let concealed = [
            GapReason::Lost,
            GapReason::Late,
            GapReason::DroppedFull,
            GapReason::Underrun,
            GapReason::Discarded,
        ];
        let concealed: u64 = concealed.into_iter().map(of).sum();
        let by_ingest = account
            .network()
            .map_or(0, |it| it.figures().discarded_ended);
        let ended = entry.discarded_ended - by_ingest;
        let left_out = ended + entry.discarded_overload;
        assert_eq!(concealed, entry.concealed + left_out, "{id}: {entry:?}");
    }
}

fn reason(event: GapEvent) -> GapReason {
    match event.kind {
        GapKind::Late => GapReason::Late,
        GapKind::DroppedFull => GapReason::DroppedFull,
        GapKind::Underrun => GapReason::Underrun,
        GapKind::Discarded => GapReason::Discarded,
        GapKind::Muted => GapReason::Muted,
        _ => GapReason::Lost,
    }
}
