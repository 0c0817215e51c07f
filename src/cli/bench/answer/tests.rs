use super::*;
use crate::cli::bench::setup::tests::setup;

const CORES: usize = 4;

fn step(streams: usize, holds: bool, [mixer, ingest, others]: [f64; 3]) -> StepReport {
    StepReport {
        streams,
        holds,
        failures: if holds {
            Vec::new()
        } else {
            vec!["3 late ticks".to_owned()]
        },
        mixer_cpu_percent: mixer,
        ingest_cpu_percent: ingest,
        others_cpu_percent: Some(others),
        ..StepReport::default()
    }
}

/// Of a search up to 4000 streams that ran these steps.
fn answer(steps: &[StepReport], limit: Option<&str>, end: End) -> Answer {
    let mut search = Search::new(1000, 4000);
    for step in steps {
        search.note(step.streams, step.holds);
    }
    let setup = setup("").unwrap();
    Answer::new(&setup, CORES, &search, steps, limit.map(str::to_owned), end)
}

#[test]
fn what_was_at_its_limit_when_a_step_failed_is_the_bound() {
    for (used, bound) in [
        ([90.0, 150.0, 0.0], Bound::Mixer),
        ([90.0, 150.0, 160.0], Bound::Mixer),
        ([60.0, 180.0, 110.0], Bound::Cores),
        ([60.0, 180.0, 0.0], Bound::Ingest),
        ([60.0, 60.0, 60.0], Bound::Unknown),
    ] {
        let held = step(1000, true, [50.0, 50.0, 0.0]);
        let found = answer(&[held, step(1100, false, used)], Some("memory"), End::Found);
        assert_eq!(found.bound, bound, "{used:?}");
        assert_eq!(
            (found.streams, found.fails_at_streams),
            (Some(1000), Some(1100))
        );
        assert_eq!(found.limit, None);
        assert!(
            found.text.contains("1 100 had 3 late ticks."),
            "{}",
            found.text
        );
    }
}

#[test]
fn the_second_run_of_a_count_is_the_one_that_is_told() {
    let mut again = step(1000, true, [30.0, 20.0, 0.0]);
    again.attempt = 2;
    let found = answer(
        &[
            step(1000, false, [70.0; 3]),
            again,
            step(2000, false, [90.0; 3]),
        ],
        None,
        End::Found,
    );
    assert!(
        found
            .text
            .starts_with("1 000 streams: the mixer used 30% of a core, ingest 20%"),
        "{}",
        found.text
    );
}

#[test]
fn without_a_failure_the_bound_is_what_ended_the_search() {
    let all = [step(4000, true, [50.0; 3])];
    for (steps, limit, end, bound, words) in [
        (
            &all[..],
            None,
            End::Found,
            Bound::StreamsLimit,
            "--streams-limit",
        ),
        (&all, Some("vmas"), End::Found, Bound::HostLimit, "vmas"),
        (&all, Some("vmas"), End::TimeUp, Bound::Time, "--quick"),
        (
            &all,
            None,
            End::Interrupted,
            Bound::Interrupt,
            "interrupted",
        ),
        (&[], None, End::Interrupted, Bound::Interrupt, "No step"),
    ] {
        let found = answer(steps, limit, end);
        assert_eq!(found.bound, bound);
        assert_eq!(found.fails_at_streams, None);
        assert!(found.text.contains(words), "{}", found.text);
        assert_eq!(found.limit.is_some(), bound == Bound::HostLimit);
    }
}

#[test]
fn a_count_that_the_host_refuses_bounds_those_below() {
    let mut search = Search::new(1000, 4000);
    search.note(1000, true);
    search.note(1050, false);
    let steps = [step(1000, true, [50.0; 3])];
    let limit = Some("vmas: 1051 needed".to_owned());
    let setup = setup("").unwrap();
    let found = Answer::new(&setup, CORES, &search, &steps, limit.clone(), End::Found);
    assert_eq!((found.bound, found.limit), (Bound::HostLimit, limit));
}

#[test]
fn where_none_hold_the_least_that_failed_is_told() {
    let found = answer(&[step(1, false, [1.0; 3])], None, End::Found);
    assert_eq!((found.streams, found.fails_at_streams), (None, Some(1)));
    assert!(
        found
            .text
            .starts_with("Fewer than 1 streams. 1 had 3 late ticks.")
    );
}
