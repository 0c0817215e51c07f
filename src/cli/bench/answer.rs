//! The answer: the number of streams, the margin, and the bound.

use serde::Serialize;

use super::{report::StepReport, search::Search, setup::Setup, text::percent};
use crate::cli::{table::grouped, units::show_ns};

/// Other programs are worth a word if they take this part of the cores.
const NOTABLE: f64 = 0.1;

/// A thread or the cores are at their limit if they are used to this part.
const BUSY: f64 = 0.85;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// Most streams that held. Null if none did.
    pub(super) streams: Option<usize>,
    /// Least streams that failed. Null if all held.
    pub(super) fails_at_streams: Option<usize>,
    pub(super) bound: Bound,
    /// The host's limit, where that is the bound.
    pub(super) limit: Option<String>,
    /// The answer in up to four sentences.
    pub(super) text: String,
}

/// The limit to more streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    /// The mixer's one thread.
    Mixer,
    /// All cores, by all that ran on them.
    Cores,
    /// The ingest threads.
    Ingest,
    /// A limit of the host on memory, addresses or mappings, say.
    HostLimit,
    /// `--streams-limit`.
    StreamsLimit,
    /// Neither threads nor cores were at their limit.
    Unknown,
    /// The bench ended before a step failed: `--quick`.
    Time,
    /// A signal ended the bench before a step failed.
    Interrupt,
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Found,
    TimeUp,
    Interrupted,
}

impl Answer {
    /// `limit` is the host's, if the search reached it.
    pub(super) fn new(
        setup: &Setup,
        search: &Search,
        steps: &[StepReport],
        limit: Option<String>,
        end: End,
    ) -> Self {
        let of = |streams: Option<usize>| {
            steps
                .iter()
                .rev()
                .find(|step| Some(step.streams) == streams)
        };
        let held = of(search.held());
        // Without a step the host refused the count.
        let failed = of(search.failed());
        let bound = match (search.failed(), failed) {
            (Some(_), Some(failed)) => bound_of(setup, failed),
            (Some(_), None) => Bound::HostLimit,
            (None, _) => match end {
                End::TimeUp => Bound::Time,
                End::Interrupted => Bound::Interrupt,
                End::Found => Bound::StreamsLimit,
            },
        };
        let limit = limit.filter(|_| bound == Bound::HostLimit);
        let mut sentences = vec![match (held, search.failed()) {
            (Some(held), _) => margin(setup, held),
            (None, Some(failed)) => format!("Fewer than {} streams.", grouped(failed as u64)),
            (None, None) => "No step was measured.".to_owned(),
        }];
        if let Some(failed) = failed {
            let failures = failed.failures.join(", ");
            sentences.push(format!(
                "{} had {failures}.",
                grouped(failed.streams as u64)
            ));
        }
        sentences.push(explanation(setup, bound, failed, limit.as_deref()));
        if end == End::TimeUp && search.failed().is_some() {
            sentences
                .push("The time of --quick was up before the gap was narrowed down.".to_owned());
        }
        Self {
            streams: search.held(),
            fails_at_streams: search.failed(),
            bound,
            limit,
            text: sentences.join(" "),
        }
    }
}

/// The resource at its limit when a step failed.
fn bound_of(setup: &Setup, failed: &StepReport) -> Bound {
    let [mixer, ingest, others] = used(failed);
    // The mixer first: more cores would not help it.
    if mixer >= BUSY {
        Bound::Mixer
    } else if mixer + ingest + others >= BUSY * setup.cores as f64 {
        Bound::Cores
    } else if ingest >= BUSY * setup.server.ingest_threads as f64 {
        Bound::Ingest
    } else {
        Bound::Unknown
    }
}

/// Mixer, ingest and all else, in cores.
fn used(step: &StepReport) -> [f64; 3] {
    [
        step.mixer_cpu_percent,
        step.ingest_cpu_percent,
        step.others_cpu_percent.unwrap_or(0.0),
    ]
    .map(|percent| percent / 100.0)
}

/// The margin of a step that held.
fn margin(setup: &Setup, held: &StepReport) -> String {
    format!(
        "{} streams: the mixer used {} of a core, ingest {}; the longest tick took {} of {}.",
        grouped(held.streams as u64),
        percent(held.mixer_cpu_percent),
        percent(held.ingest_cpu_percent),
        show_ns(held.tick_time.max_ns),
        show_ns(setup.server.ptime.as_nanos() as u64),
    )
}

/// The bound, and by how much.
fn explanation(
    setup: &Setup,
    bound: Bound,
    failed: Option<&StepReport>,
    limit: Option<&str>,
) -> String {
    let used = failed.map_or([0.0; 3], used);
    let [mixer, ingest, others] = used.map(|used| percent(100.0 * used));
    match bound {
        Bound::Mixer => {
            format!("The mixer bounds them: its one thread used {mixer} of a core there.")
        }
        Bound::Cores => {
            let busy_with_others = used[2] > NOTABLE * setup.cores as f64;
            let again = if busy_with_others {
                " Stop other programs, and run it again."
            } else {
                ""
            };
            format!(
                "The cores bound them: of {}, each 100 %, the mixer used {mixer} there, ingest \
                 {ingest}, all else {others}.{again}",
                setup.cores
            )
        }
        Bound::Ingest => format!(
            "Ingest bounds them: its threads, {} of them, used {ingest} of a core there; try more \
             --ingest-threads.",
            setup.server.ingest_threads
        ),
        Bound::Unknown => format!(
            "Neither mixer ({mixer} of a core), ingest ({ingest}) nor cores were at their limit \
             there: the machine was held up. Compare the bare timer, and run it again."
        ),
        Bound::HostLimit => format!("More do not fit this host: {}.", limit.unwrap_or("a limit")),
        Bound::StreamsLimit => "More were not tried: --streams-limit.".to_owned(),
        Bound::Time => "The time of --quick was up before a step failed.".to_owned(),
        Bound::Interrupt => "It was interrupted before a step failed.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::setup::tests::setup;

    fn four_cores() -> Setup {
        let mut setup = setup("").unwrap();
        setup.cores = 4;
        setup
    }

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

    /// The answer of a search up to 4000 streams that ran these steps.
    fn answer(steps: &[StepReport], limit: Option<&str>, end: End) -> Answer {
        let mut search = Search::new(1000, 4000);
        for step in steps {
            search.note(step.streams, step.holds);
        }
        let setup = four_cores();
        Answer::new(&setup, &search, steps, limit.map(str::to_owned), end)
    }

    #[test]
    fn the_resource_at_its_limit_in_a_failed_step_is_the_bound() {
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
    fn the_second_run_of_a_count_decides() {
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
    fn without_a_failure_the_end_of_the_search_is_the_bound() {
        let all = [step(4000, true, [50.0; 3])];
        for (steps, limit, end, bound, words) in [
            (
                &all[..],
                None,
                End::Found,
                Bound::StreamsLimit,
                "--streams-limit",
            ),
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
        let setup = four_cores();
        let found = Answer::new(&setup, &search, &steps, limit.clone(), End::Found);
        assert_eq!((found.bound, found.limit), (Bound::HostLimit, limit));
    }

    #[test]
    fn where_none_hold_the_least_that_failed_is_named() {
        let found = answer(&[step(1, false, [1.0; 3])], None, End::Found);
        assert_eq!((found.streams, found.fails_at_streams), (None, Some(1)));
        assert!(
            found
                .text
                .starts_with("Fewer than 1 streams. 1 had 3 late ticks.")
        );
    }
}
