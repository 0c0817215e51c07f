use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use GapReason::{Late, Lost, Muted};

fn span(stream: u8, why: GapReason, from: u64, to: u64) -> Span<u8> {
    Span {
        stream,
        why,
        from,
        to,
    }
}

fn listed(gaps: &Gaps<u8>) -> Vec<Span<u8>> {
    let spans = gaps.spans();
    let spans = spans.map(|gap| span(*gap.stream, gap.why, gap.from, gap.to));
    let mut spans: Vec<_> = spans.collect();
    assert_eq!(spans.len(), gaps.count);
    spans.sort_unstable();
    spans
}

#[test]
fn spans_that_touch_are_one_gap() {
    let mut gaps = Gaps::new(10);
    for (from, to) in [(20, 30), (0, 10), (10, 20), (5, 25), (31, 40)] {
        gaps.add(span(1, Lost, from, to));
    }
    assert_eq!(listed(&gaps), [span(1, Lost, 0, 30), span(1, Lost, 31, 40)]);
}

#[test]
fn spans_of_other_streams_or_reasons_stay_apart() {
    let mut gaps = Gaps::new(10);
    let spans = [
        span(1, Lost, 0, 10),
        span(1, Late, 10, 20),
        span(2, Lost, 10, 20),
    ];
    for gap in spans {
        gaps.add(gap);
    }
    assert_eq!(listed(&gaps), spans);
}

#[test]
fn what_came_late_is_lost_no_more() {
    let mut gaps = Gaps::new(10);
    gaps.add(span(1, Lost, 0, 30));
    assert_eq!(gaps.add(span(1, Late, 10, 20)), 10);
    assert_eq!(
        listed(&gaps),
        [
            span(1, Lost, 0, 10),
            span(1, Lost, 20, 30),
            span(1, Late, 10, 20)
        ]
    );
}

#[test]
fn a_weaker_reason_holds_where_no_stronger_one_is() {
    let mut gaps = Gaps::new(10);
    gaps.add(span(1, Lost, 10, 20));
    gaps.add(span(2, Lost, 0, 5));
    assert_eq!(gaps.add(span(1, Muted, 0, 30)), 20);
    assert_eq!(
        listed(&gaps)[..3],
        [
            span(1, Lost, 10, 20),
            span(1, Muted, 0, 10),
            span(1, Muted, 20, 30)
        ]
    );
}

#[test]
fn a_gap_that_is_split_keeps_the_bound() {
    let mut gaps = Gaps::new(1);
    gaps.add(span(1, Muted, 0, 30));
    gaps.add(span(1, Lost, 10, 20));
    assert_eq!(listed(&gaps), [span(1, Muted, 0, 10)]);
    let beyond: Vec<_> = gaps.beyond().collect();
    assert_eq!(beyond, [(None, Lost, 10), (Some(&1), Muted, 10)]);
}

#[test]
fn what_comes_late_leaves_the_sum_of_the_lost() {
    let mut gaps = Gaps::new(1);
    gaps.add(span(1, Lost, 0, 10));
    gaps.add(span(1, Lost, 20, 50));
    gaps.add(span(1, Late, 5, 10));
    gaps.add(span(1, Late, 20, 30));
    assert_eq!(listed(&gaps), [span(1, Lost, 0, 5)]);
    let beyond: Vec<_> = gaps.beyond().collect();
    assert_eq!(beyond, [(None, Late, 15), (Some(&1), Lost, 20)]);
    gaps.add(span(1, Late, 30, 50));
    assert_eq!(gaps.beyond().collect::<Vec<_>>(), [(None, Late, 35)]);
}

#[test]
fn samples_without_a_place_are_summed() {
    let mut gaps = Gaps::<u8>::new(10);
    gaps.add_sum(None, Lost, 5);
    gaps.add_sum(None, Lost, 6);
    gaps.add_sum(Some(1), Late, 3);
    gaps.add_sum(Some(1), Lost, 0);
    let beyond: Vec<_> = gaps.beyond().collect();
    assert_eq!(beyond, [(None, Lost, 11), (Some(&1), Late, 3)]);
}

#[test]
fn an_empty_span_changes_nothing() {
    let mut gaps = Gaps::new(1);
    assert_eq!(gaps.add(span(1, Lost, 5, 5)), 0);
    assert_eq!(gaps.add(span(1, Lost, 6, 5)), 0);
    assert_eq!((listed(&gaps), gaps.revision()), (vec![], 0));
}

#[test]
fn a_full_list_still_grows_where_a_span_touches() {
    let mut gaps = Gaps::new(1);
    gaps.add(span(1, Lost, 0, 10));
    gaps.add(span(1, Lost, 20, 30));
    gaps.add(span(1, Lost, 10, 15));
    assert_eq!(listed(&gaps), [span(1, Lost, 0, 15)]);
    assert_eq!(gaps.beyond().collect::<Vec<_>>(), [(Some(&1), Lost, 10)]);
}

#[test]
fn sums_beyond_the_list_are_bounded_too() {
    let mut gaps = Gaps::new(2);
    for stream in 0..100 {
        gaps.add(span(stream, Lost, 0, 10));
    }
    let beyond: Vec<_> = gaps.beyond().collect();
    assert_eq!(
        beyond,
        [
            (None, Lost, 960),
            (Some(&2), Lost, 10),
            (Some(&3), Lost, 10)
        ]
    );
}

#[test]
fn a_new_reason_is_read_as_other() {
    let reason: GapReason = serde_json::from_str("\"eaten\"").unwrap();
    assert_eq!(reason, GapReason::Other);
}

#[test]
fn a_reason_has_one_name() {
    for why in [Lost, GapReason::DroppedFull, Muted, GapReason::Other] {
        let written = serde_json::to_string(&why).unwrap();
        assert_eq!(written, format!("\"{}\"", why.name()));
    }
}

/// Streams 0 to 2, three reasons, and spans within 200 samples.
fn any_span() -> impl Strategy<Value = Span<u8>> {
    let why = prop::sample::select(vec![Lost, Late, Muted]);
    (0_u8..3, why, 0_u64..200, 0_u64..30)
        .prop_map(|(stream, why, from, count)| span(stream, why, from, from + count))
}

/// Every sample by itself.
type Samples = BTreeMap<(u8, GapReason), BTreeSet<u64>>;

/// Each sample under the strongest of its reasons.
fn samples_of(spans: &[Span<u8>]) -> Samples {
    let mut reasons = BTreeMap::new();
    let place = |why| GapReason::BY_STRENGTH.iter().position(|&it| it == why);
    for gap in spans {
        for at in gap.from..gap.to {
            let why = reasons.entry((gap.stream, at)).or_insert(gap.why);
            if place(gap.why) < place(*why) {
                *why = gap.why;
            }
        }
    }
    let mut samples = Samples::new();
    for ((stream, at), why) in reasons {
        samples.entry((stream, why)).or_default().insert(at);
    }
    samples
}

/// Runs of samples, each as long as it can be.
fn runs_of(samples: &Samples) -> Vec<Span<u8>> {
    let mut runs: Vec<Span<u8>> = Vec::new();
    for (&(stream, why), set) in samples {
        for &at in set {
            match runs.last_mut() {
                Some(run) if (run.stream, run.why, run.to) == (stream, why, at) => run.to += 1,
                _ => runs.push(span(stream, why, at, at + 1)),
            }
        }
    }
    runs
}

proptest! {
    #[test]
    fn gaps_are_the_runs_of_samples_in_any_order(
        spans in prop::collection::vec(any_span(), 0..60),
    ) {
        let mut gaps = Gaps::new(1000);
        for (at, gap) in spans.iter().enumerate() {
            let of = |spans| {
                let samples = samples_of(spans).remove(&(gap.stream, gap.why));
                samples.map_or(0, |set| set.len())
            };
            let new = of(&spans[..=at]) - of(&spans[..at]);
            prop_assert_eq!(gaps.add(*gap), new as u64);
        }
        prop_assert_eq!(listed(&gaps), runs_of(&samples_of(&spans)));
    }

    #[test]
    fn lengths_add_up_whatever_the_bound(
        spans in prop::collection::vec(any_span(), 0..60),
        max in 0_usize..10,
    ) {
        let mut gaps = Gaps::new(max);
        let mut added: Vec<Span<u8>> = Vec::new();
        let mut at = 0;
        for gap in &spans {
            // No overlap, as beyond the list that cannot be seen.
            let moved = span(gap.stream, gap.why, gap.from + at, gap.to + at);
            at += 31 * (gap.from % 2);
            let overlaps = |other: &Span<u8>| {
                other.stream == moved.stream && other.from < moved.to && moved.from < other.to
            };
            if !added.iter().any(overlaps) {
                if moved.why == Late {
                    gaps.add(Span { why: Lost, ..moved });
                }
                gaps.add(moved);
                added.push(moved);
            }
        }
        prop_assert!(gaps.spans().count() <= max);
        prop_assert!(gaps.beyond().count() <= max + 3);
        let mut by_reason = BTreeMap::new();
        for gap in gaps.spans() {
            *by_reason.entry(gap.why).or_insert(0) += gap.to - gap.from;
        }
        for (_, why, samples) in gaps.beyond() {
            *by_reason.entry(why).or_insert(0) += samples;
        }
        for why in [Lost, Late, Muted] {
            let of_reason = added.iter().filter(|gap| gap.why == why);
            let expected: u64 = of_reason.map(|gap| gap.to - gap.from).sum();
            let found = by_reason.get(&why).copied().unwrap_or(0);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_cut_gap_is_in_both_parts(
        spans in prop::collection::vec(any_span(), 0..60),
        at in 0_u64..250,
    ) {
        let mut gaps = Gaps::new(1000);
        for gap in &spans {
            gaps.add(*gap);
        }
        let rest = gaps.cut(at);
        let samples = samples_of(&spans);
        let part = |is_in: &dyn Fn(u64) -> bool| {
            let mut part = samples.clone();
            for set in part.values_mut() {
                set.retain(|&at| is_in(at));
            }
            runs_of(&part)
        };
        prop_assert_eq!(listed(&gaps), part(&|sample| sample < at));
        prop_assert_eq!(listed(&rest), part(&|sample| sample >= at));
    }
}
