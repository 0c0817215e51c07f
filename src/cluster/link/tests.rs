use proptest::prelude::*;

use super::{
    Refusal::{Mixed, MixedBefore, Streams},
    *,
};

/// Interleaved samples of a block.
const BLOCK: usize = 160;

fn part(mixed_before: u64, mixed: u32) -> Figures {
    Figures {
        room: 1,
        mixed_before,
        mixed,
        streams: 3,
        solos: 0,
        finished_crc: 0,
        finished_nodes: 0,
    }
}

impl Link {
    fn take(&mut self, number: u64, part: &Figures, fate: Fate) -> Result<(), Refusal> {
        self.judge(number, part, BLOCK)?;
        self.account(number, part, fate);
        assert!(self.terms.is_closed(), "{:?}", self.terms);
        Ok(())
    }

    fn deliver(&mut self, number: u64, mixed_before: u64) -> Result<(), Refusal> {
        self.take(number, &part(mixed_before, 100), Fate::Delivered)
    }
}

fn terms(claimed: u64, delivered: u64, late: u64, lost: u64, refused: u64) -> LinkTerms {
    LinkTerms {
        claimed,
        delivered,
        late,
        lost,
        refused,
    }
}

#[test]
fn claims_begin_with_the_first_part() {
    let mut link = Link::default();
    link.deliver(9, 5_000).unwrap();
    link.deliver(10, 5_100).unwrap();
    assert_eq!(link.terms, terms(200, 200, 0, 0, 0));
}

#[test]
fn a_gap_in_the_claims_is_lost() {
    let mut link = Link::default();
    link.deliver(9, 0).unwrap();
    link.deliver(12, 250).unwrap();
    assert_eq!(link.terms, terms(350, 200, 0, 150, 0));
}

#[test]
fn a_lost_part_that_comes_after_all_is_late() {
    let mut link = Link::default();
    link.deliver(9, 0).unwrap();
    link.deliver(12, 300).unwrap();
    link.take(11, &part(200, 100), Fate::Late).unwrap();
    assert_eq!(link.terms, terms(400, 200, 100, 100, 0));
    // A late one may be the newest, too.
    link.take(14, &part(500, 100), Fate::Late).unwrap();
    link.take(13, &part(400, 100), Fate::Refused).unwrap();
    assert_eq!(link.terms, terms(600, 200, 200, 100, 100));
}

#[test]
fn a_part_counts_once() {
    let mut link = Link::default();
    link.deliver(9, 0).unwrap();
    link.deliver(11, 200).unwrap();
    for number in [9, 11] {
        let again = link.take(number, &part(0, 0), Fate::Late);
        assert_eq!(again, Err(Refusal::Duplicate));
    }
    link.take(10, &part(100, 100), Fate::Late).unwrap();
    let again = link.take(10, &part(100, 100), Fate::Late);
    assert_eq!(again, Err(Refusal::Duplicate));
    link.deliver(11 + SEEN_BLOCKS, 300).unwrap();
    let old = link.take(11, &part(200, 100), Fate::Late);
    assert_eq!(old, Err(Refusal::Old));
}

#[test]
fn claims_that_cannot_be_true_are_refused() {
    let mut link = Link::default();
    let streams = |streams, solos| Figures {
        streams,
        solos,
        ..part(0, 0)
    };
    let many = STREAMS_MAX as u32 + 1;
    let judged = [
        streams(many, 0),
        streams(1, 2),
        part(0, 481),
        part(u64::MAX, 1),
    ]
    .map(|part| link.take(9, &part, Fate::Delivered));
    let refused = [Streams, Streams, Mixed, MixedBefore].map(Err);
    assert_eq!(judged, refused);
    link.deliver(9, 500).unwrap();
    // It goes back; it skips samples between two blocks without a third; more than all streams have in one.
    for (number, mixed_before) in [(10, 599), (10, 601), (11, 601 + 65_535 * 160)] {
        let judged = link.deliver(number, mixed_before);
        assert_eq!(judged, Err(MixedBefore));
    }
    // More than was lost.
    link.deliver(11, 650).unwrap();
    let late = link.take(10, &part(600, 51), Fate::Late);
    assert_eq!(late, Err(MixedBefore));
    assert_eq!(link.terms, terms(250, 200, 0, 50, 0));
}

#[test]
fn a_room_that_was_opened_again_is_taken_in_after_5_parts() {
    let mut link = Link::default();
    link.deliver(9, 5_000).unwrap();
    for number in 10..14 {
        let refused = link.deliver(number, (number - 10) * 100);
        assert_eq!(refused, Err(MixedBefore));
    }
    link.deliver(14, 400).unwrap();
    link.deliver(15, 500).unwrap();
    assert_eq!(link.terms, terms(300, 300, 0, 0, 0));
}

#[test]
fn samples_that_the_mixer_missed_are_late() {
    let missed = terms(10, 6, 1, 1, 2).with_missed(4);
    assert_eq!(missed, terms(10, 2, 5, 1, 2));
    assert!(missed.is_closed());
}

proptest! {
    #[test]
    fn any_claims_leave_the_equation_closed(
        parts in prop::collection::vec((0u64..300, 0u64..20_000, 0u32..600, 0usize..3), 0..100),
    ) {
        let mut link = Link::default();
        for (number, mixed_before, mixed, fate) in parts {
            let fate = [Fate::Delivered, Fate::Late, Fate::Refused][fate];
            let _ = link.take(number, &part(mixed_before, mixed), fate);
        }
    }

    #[test]
    fn terms_are_those_of_the_parts_in_any_order(
        mixed in prop::collection::vec(0u32..=480, 2..60),
        keys in prop::collection::vec((any::<u32>(), 0usize..4), 60),
    ) {
        let mut order: Vec<usize> = (1..mixed.len()).collect();
        order.sort_by_key(|&number| keys[number].0);
        let before = |number: usize| mixed[..number].iter().map(|&n| u64::from(n)).sum();
        let mut link = Link::default();
        link.take(0, &part(0, mixed[0]), Fate::Delivered).unwrap();
        let (mut expected, mut newest) = ([u64::from(mixed[0]), 0, 0], 0);
        for number in order {
            let Some(fate) = [Fate::Delivered, Fate::Late, Fate::Refused].get(keys[number].1) else {
                continue;
            };
            link.take(number as u64, &part(before(number), mixed[number]), *fate).unwrap();
            expected[keys[number].1] += u64::from(mixed[number]);
            newest = newest.max(number);
        }
        let [delivered, late, refused] = expected;
        let claimed: u64 = before(newest + 1);
        let lost = claimed - expected.iter().sum::<u64>();
        prop_assert_eq!(link.terms, terms(claimed, delivered, late, lost, refused));
    }
}
