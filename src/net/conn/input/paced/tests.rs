use super::{
    super::super::tests::{BLOCK, CLOCK_NS, PERIOD_NS, Rig, le_bytes, ramp},
    *,
};
use crate::{
    audio::Encoding,
    ledger::SourceKind,
    net::{Admission, StreamRequest},
};

fn paced(rig: &Rig) -> PacedInput {
    paced_at(rig, 8_000, 1)
}

/// Samples of so many a second and channels.
fn paced_at(rig: &Rig, rate_hz: u32, channels: u16) -> PacedInput {
    let request = StreamRequest::new("file", SourceKind::Tcp, "test");
    let stream = rig.admit(request).unwrap();
    let spec = SampleSpec::new(rate_hz, channels, Encoding::S16Le).unwrap();
    PacedInput::new(stream.delayed(2), spec, rig.clock).unwrap()
}

#[test]
fn samples_follow_each_other_and_begin_a_delay_after_they_came() {
    let rig = Rig::new(1 << 16, 1);
    let mut paced = paced(&rig);
    let samples = ramp(1_000);
    // In the middle of a period: the next tick is the fourth.
    let now = CLOCK_NS + 3 * PERIOD_NS + 1;
    for (piece, at) in samples
        .chunks(300)
        .zip([now, now + 1, now + PERIOD_NS, now + 2 * PERIOD_NS])
    {
        paced.push(&le_bytes(piece), at);
    }
    paced.end(now);
    assert_eq!(rig.played(), [((4 + 2) * BLOCK as u64, samples)]);
    assert_eq!(rig.entry().concealed, 0);
}

#[test]
fn a_paced_input_that_ran_dry_resumes_after_the_delay() {
    let rig = Rig::new(1 << 16, 1);
    let mut paced = paced(&rig);
    paced.push(&le_bytes(&ramp(BLOCK + 60)), CLOCK_NS);
    assert!(paced.is_playing(CLOCK_NS));
    // It was to go on in block 4: what there is of it plays.
    paced.place(CLOCK_NS + 4 * PERIOD_NS - 1);
    assert!(paced.is_done());
    let now = CLOCK_NS + 7 * PERIOD_NS;
    assert!(!paced.is_playing(now));
    let (first, resumed) = (3 * BLOCK as u64, 10 * BLOCK as u64);
    assert_eq!(rig.played(), [(first, ramp(BLOCK + 60))]);
    paced.push(&le_bytes(&ramp(10)), now);
    paced.end(now);
    assert_eq!(rig.played(), [(resumed, ramp(10))]);
    assert_eq!(rig.entry().segments, 1);
}

#[test]
fn samples_that_come_just_in_time_leave_no_gap() {
    let rig = Rig::new(1 << 16, 1);
    let mut paced = paced(&rig);
    paced.push(&le_bytes(&ramp(BLOCK)), CLOCK_NS);
    // The block after theirs is due at tick 4.
    paced.push(&le_bytes(&ramp(BLOCK)), CLOCK_NS + 4 * PERIOD_NS - 1);
    assert_eq!(rig.played().len(), 1);
    assert_eq!(rig.entry().concealed, 0);
}

#[test]
fn a_mixer_that_stood_still_is_no_gap_of_the_sender() {
    let rig = Rig::new(4096, 1);
    let mut paced = paced(&rig);
    let samples = ramp(40 * BLOCK);
    paced.push(&le_bytes(&samples), CLOCK_NS);
    assert_eq!(paced.read_budget(), 0);
    // The clock runs far past what is in the ring before anything is taken out of it.
    let now = CLOCK_NS + 1_000 * PERIOD_NS;
    let mut played = Vec::new();
    while !paced.is_done() {
        played.extend(rig.take(1));
        paced.place(now);
    }
    played.extend(rig.played());
    let all: Vec<_> = played.iter().flat_map(|(_, run)| run).copied().collect();
    assert_eq!(all, samples);
    let starts: Vec<_> = played.iter().map(|(at, _)| *at).collect();
    assert!(starts.is_sorted() && starts[0] == 3 * BLOCK as u64);
    let entry = rig.entry();
    assert_eq!((entry.concealed, entry.dropped_full), (0, 0));
}

#[test]
fn the_end_flushes_a_conversion() {
    let rig = Rig::new(1 << 16, 1);
    let mut paced = paced_at(&rig, 48_000, 2);
    paced.push(&le_bytes(&vec![100; 2 * 4_801]), CLOCK_NS);
    paced.end(CLOCK_NS);
    assert!(paced.is_done());
    // Halves up: 800.17 samples are 800.
    assert_eq!(rig.played()[0].1.len(), 800);
    assert_eq!(rig.entry().offered, 800);
}

#[test]
fn what_is_abandoned_is_accounted_for() {
    let rig = Rig::new(4096, 1);
    let mut paced = paced(&rig);
    paced.push(&le_bytes(&ramp(40 * BLOCK)), CLOCK_NS);
    let waits = paced.pending.len() as u64;
    assert!(waits > 0);
    paced.abandon();
    assert!(paced.is_done());
    let entry = rig.entry();
    assert_eq!((entry.offered, entry.discarded), (40 * BLOCK as u64, waits));
    assert_eq!(rig.network().discarded_ended, waits);
}
