mod recorded;

use crate::{audio::Format, ledger::StreamState, mixer::Limiting, wire::sidecar::Gap};

use super::*;

const A: RoomId = RoomId::MAIN;

fn b() -> RoomId {
    RoomId::new(1, 7)
}

fn collector(streams: usize) -> Arc<GapCollector> {
    let mixing = Settings {
        first_block: 0,
        format: Format::new(8000, 1).unwrap(),
        block_samples: 160,
        limiting: Limiting::Saturate,
        rooms_max: 2,
        lead_ticks: 0,
    };
    let collector = GapCollector::new(streams, mixing);
    collector.queue.listen();
    collector
}

fn stream(collector: &GapCollector, number: u64) -> Arc<Account> {
    collector.admit(Account::new(format!("s{number}")), number)
}

/// The mix passes all that was said.
fn pass(collector: &GapCollector) {
    collector.take().deliver_until(u64::MAX);
}

/// The mixer's word, as it puts it.
fn enter(account: &Account, index: u64, room: RoomId) {
    let generation = if room == A { 0 } else { 7 };
    account.note_room(index, (room.slot() as u64) << 32 | generation);
}

fn say(account: &Account, kind: GapKind, from: u64, to: u64) {
    account.note_gap(kind, from, to, to - from);
}

/// The first segment's gaps: name, reason, from, to.
fn listed(gaps: &RecordingGaps) -> Vec<(String, GapReason, u64, u64)> {
    let first = gaps.take_first();
    let line = |gap: Gap| (gap.stream.unwrap(), gap.why, gap.from, gap.to);
    first.gaps.into_iter().map(line).collect()
}

fn of(name: &str, why: GapReason, from: u64, to: u64) -> (String, GapReason, u64, u64) {
    (name.to_owned(), why, from, to)
}

use GapReason::{Late, Lost, Muted};

#[test]
fn a_gap_is_in_the_recordings_of_the_rooms_at_its_index() {
    let collector = collector(4);
    let [in_a, in_b] = [RecordingGaps::default(), RecordingGaps::default()];
    let _a = collector.register(GapsOf::Room(A), 0, in_a.clone());
    let _b = collector.register(GapsOf::Room(b()), 0, in_b.clone());
    let (one, other) = (stream(&collector, 0), stream(&collector, 1));
    enter(&one, 0, A);
    enter(&other, 320, b());
    say(&one, GapKind::Lost, 100, 200);
    enter(&one, 1000, b());
    enter(&one, 2000, A);
    // They come late, over both moves; and before the first block of a stream.
    say(&one, GapKind::Lost, 900, 2100);
    say(&other, GapKind::Lost, 300, 400);
    pass(&collector);
    assert_eq!(
        listed(&in_a),
        [
            of("s0", Lost, 100, 200),
            of("s0", Lost, 900, 1000),
            of("s0", Lost, 2000, 2100)
        ]
    );
    assert_eq!(
        listed(&in_b),
        [of("s0", Lost, 1000, 2000), of("s1", Lost, 300, 400)]
    );
}

#[test]
fn a_gap_that_was_placed_ahead_is_in_the_room_of_its_tick() {
    let collector = collector(4);
    let [in_a, in_b] = [RecordingGaps::default(), RecordingGaps::default()];
    let _a = collector.register(GapsOf::Room(A), 0, in_a.clone());
    let _b = collector.register(GapsOf::Room(b()), 0, in_b.clone());
    let one = stream(&collector, 0);
    enter(&one, 0, A);
    say(&one, GapKind::DroppedFull, 1600, 1760);
    collector.take().deliver_until(1600);
    // The mixer takes a move when that tick is due.
    enter(&one, 1600, b());
    pass(&collector);
    assert_eq!(listed(&in_a), []);
    assert_eq!(
        listed(&in_b),
        [of("s0", GapReason::DroppedFull, 1600, 1760)]
    );
}

#[test]
fn a_stream_alone_has_its_gaps_and_is_muted_after_its_gain() {
    let collector = collector(4);
    let [before, after] = [RecordingGaps::default(), RecordingGaps::default()];
    let _before = collector.register(GapsOf::Stream(1), 0, before.clone());
    let _after = collector.register(GapsOf::Track(1, b()), 0, after.clone());
    let (one, other) = (stream(&collector, 1), stream(&collector, 2));
    enter(&one, 0, A);
    enter(&other, 0, b());
    enter(&one, 160, b());
    for account in [&one, &other] {
        say(account, GapKind::Lost, 100, 200);
        say(account, GapKind::Muted, 320, 480);
    }
    pass(&collector);
    assert_eq!(listed(&before), [of("s1", Lost, 100, 200)]);
    assert_eq!(
        listed(&after),
        [of("s1", Lost, 160, 200), of("s1", Muted, 320, 480)]
    );
}

#[test]
fn a_recording_has_what_was_found_before_it_began() {
    let collector = collector(4);
    let one = stream(&collector, 0);
    enter(&one, 0, A);
    say(&one, GapKind::Lost, 100, 200);
    say(&one, GapKind::Lost, 400, 500);
    pass(&collector);
    let gaps = RecordingGaps::default();
    let registered = collector.register(GapsOf::Room(A), 160, gaps.clone());
    say(&one, GapKind::Late, 450, 600);
    pass(&collector);
    drop(registered);
    say(&one, GapKind::Lost, 700, 800);
    pass(&collector);
    assert_eq!(
        listed(&gaps),
        [
            of("s0", Lost, 160, 200),
            of("s0", Lost, 400, 450),
            of("s0", Late, 450, 600)
        ]
    );
}

#[test]
fn what_a_full_queue_refused_is_summed() {
    let collector = collector(1);
    let gaps = RecordingGaps::default();
    let one = stream(&collector, 0);
    enter(&one, 0, A);
    // The thread takes nothing meanwhile.
    let locked = collector.take();
    for at in 0..EVENTS_MIN as u64 + 3 {
        say(&one, GapKind::Lost, 1000 + 20 * at, 1010 + 20 * at);
    }
    drop(locked);
    let _registered = collector.register(GapsOf::Room(A), 0, gaps.clone());
    let before = gaps.clone().take_first();
    // Refused before it began.
    assert!(
        before
            .beyond
            .iter()
            .all(|sum| sum.stream.as_deref() != Some("*"))
    );

    let gaps = RecordingGaps::default();
    let _registered = collector.register(GapsOf::Room(b()), 0, gaps.clone());
    let locked = collector.take();
    for _ in 0..EVENTS_MIN as u64 + 3 {
        say(&one, GapKind::Lost, 100, 110);
    }
    drop(locked);
    pass(&collector);
    let sums = gaps.take_first().beyond;
    let sums: Vec<_> = sums.iter().map(|sum| (sum.why, sum.samples)).collect();
    assert_eq!(sums, [(Lost, 30)]);
}

#[test]
fn streams_that_ended_are_forgotten_with_all_they_said() {
    let collector = collector(1);
    let gaps = RecordingGaps::default();
    let _registered = collector.register(GapsOf::Room(A), 0, gaps.clone());
    for number in 0..200 {
        let account = stream(&collector, number);
        enter(&account, 0, A);
        say(&account, GapKind::Lost, 10 * number, 10 * number + 5);
        account.advance(StreamState::Ended);
    }
    assert!(collector.lock().streams.len() <= 64);
    pass(&collector);
    assert_eq!(listed(&gaps).len(), 200);
}

#[test]
fn gaps_are_complete_at_the_end() {
    let collector = collector(1);
    let gaps = RecordingGaps::default();
    let registered = collector.register(GapsOf::Room(A), 0, gaps.clone());
    let account = stream(&collector, 0);
    enter(&account, 0, A);
    say(&account, GapKind::Lost, 10, 20);
    collector.end();
    assert_eq!(listed(&gaps), [of("s0", Lost, 10, 20)]);
    drop(registered);
    assert!(!collector.listen(), "no thread follows");
}
