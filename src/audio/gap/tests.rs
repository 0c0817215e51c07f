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
    spans
        .map(|gap| span(*gap.stream, gap.why, gap.from, gap.to))
        .collect()
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

fn samples_of(spans: &[Span<u8>]) -> Samples {
    let mut samples = Samples::new();
    for gap in spans.iter().filter(|gap| gap.from < gap.to) {
        let set = samples.entry((gap.stream, gap.why)).or_default();
        set.extend(gap.from..gap.to);
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
        let mut reference = Samples::new();
        for gap in &spans {
            let before: usize = reference.values().map(BTreeSet::len).sum();
            for (key, set) in samples_of(&[*gap]) {
                reference.entry(key).or_default().extend(set);
            }
            let after: usize = reference.values().map(BTreeSet::len).sum();
            prop_assert_eq!(gaps.add(*gap), (after - before) as u64);
        }
        prop_assert_eq!(listed(&gaps), runs_of(&reference));
    }

    #[test]
    fn lengths_add_up_whatever_the_bound(
        spans in prop::collection::vec(any_span(), 0..60),
        max in 0_usize..10,
    ) {
        let mut gaps = Gaps::new(max);
        let mut added = BTreeMap::new();
        let mut at = 0;
        for gap in &spans {
            // No overlap, as beyond the list that cannot be seen.
            let moved = span(gap.stream, gap.why, gap.from + at, gap.to + at);
            at += 31 * (gap.from % 2);
            if let Some(overlaps) = added.get(&(gap.stream, gap.why))
                && samples_of(&[moved]).values().any(|set| !set.is_disjoint(overlaps))
            {
                continue;
            }
            gaps.add(moved);
            let samples: &mut BTreeSet<u64> = added.entry((gap.stream, gap.why)).or_default();
            samples.extend(moved.from..moved.to);
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
            let expected: usize = added
                .iter()
                .filter(|((_, reason), _)| *reason == why)
                .map(|(_, set)| set.len())
                .sum();
            let found = by_reason.get(&why).copied().unwrap_or(0);
            prop_assert_eq!(found, expected as u64);
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
