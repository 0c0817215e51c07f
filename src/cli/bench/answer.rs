//! What the steps come to: how many streams, with which margin, and what bounds them.

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{report::StepReport, search::Search, setup::Setup, table::percent};
use crate::cli::{table::grouped, units::show_ns};

/// What else runs on a machine is worth a word if it takes this part of the cores.
const NOTABLE: f64 = 0.1;

/// What is used to this part of what it has is at its limit.
const BUSY: f64 = 0.85;

/// The answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The most that held. Null if none did.
    pub(super) streams: Option<usize>,
    /// The least count that did not. Null if all did.
    pub(super) fails_at_streams: Option<usize>,
    pub(super) bound: Bound,
    /// The host's limit, where that is the bound.
    pub(super) limit: Option<String>,
    /// All of it in a sentence or three.
    pub(super) text: String,
}

/// What stands in the way of more streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    /// The mixer's one thread.
    Mixer,
    /// All cores, by whatever ran on them.
    Cores,
    /// The ingest threads.
    Ingest,
    /// A limit of the host: memory, addresses, mappings, ...
    HostLimit,
    /// `--streams-limit`.
    StreamsLimit,
    /// Neither threads nor cores were at their limit: something else held them up.
    Unknown,
    /// The bench ended before a step failed: `--quick`.
    Time,
    /// The same, by a signal.
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
    /// `limit` is the host's that the search ran into, if it did.
    pub(super) fn new(
        setup: &Setup,
        cores: usize,
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
        // Without a step it is the host that refused them.
        let failed = of(search.failed());
        let bound = match (search.failed(), failed) {
            (Some(_), Some(failed)) => bound_of(setup, cores, failed),
            (Some(_), None) => Bound::HostLimit,
            (None, _) => match end {
                End::TimeUp => Bound::Time,
                End::Interrupted => Bound::Interrupt,
                End::Found if limit.is_some() => Bound::HostLimit,
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
        sentences.push(explanation(setup, cores, bound, failed, limit.as_deref()));
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

/// What was at its limit when a step failed.
fn bound_of(setup: &Setup, cores: usize, failed: &StepReport) -> Bound {
    let [mixer, ingest, others] = used(failed);
    // First what no machine of more cores would better.
    if mixer >= BUSY {
        Bound::Mixer
    } else if mixer + ingest + others >= BUSY * cores as f64 {
        Bound::Cores
    } else if ingest >= BUSY * setup.ingest_threads as f64 {
        Bound::Ingest
    } else {
        Bound::Unknown
    }
}

/// Of one core: mixer, ingest, and all else.
fn used(step: &StepReport) -> [f64; 3] {
    [
        step.mixer_cpu_percent,
        step.ingest_cpu_percent,
        step.others_cpu_percent.unwrap_or(0.0),
    ]
    .map(|percent| percent / 100.0)
}

/// How much was left when a step held.
fn margin(setup: &Setup, held: &StepReport) -> String {
    format!(
        "{} streams: the mixer used {} of a core, ingest {}; the longest tick took {} of {}.",
        grouped(held.streams as u64),
        percent(held.mixer_cpu_percent),
        percent(held.ingest_cpu_percent),
        show_ns(held.tick_time.max_ns),
        show_ns(setup.ptime.as_nanos() as u64),
    )
}

/// What bounds them, and by how much.
fn explanation(
    setup: &Setup,
    cores: usize,
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
            let busy_with_others = used[2] > NOTABLE * cores as f64;
            let again = if busy_with_others {
                " Stop what else runs, and run it again."
            } else {
                ""
            };
            format!(
                "The cores bound them: of {cores}, each 100 %, the mixer used {mixer} there, ingest \
                 {ingest}, all else {others}.{again}"
            )
        }
        Bound::Ingest => format!(
            "Ingest bounds them: its threads, {} of them, used {ingest} of a core there; more \
             --ingest-threads may bring more.",
            setup.ingest_threads
        ),
        Bound::Unknown => format!(
            "Neither mixer ({mixer} of a core), ingest ({ingest}) nor cores were at their limit \
             there: something else held them up. Compare the bare timer, and run it again."
        ),
        Bound::HostLimit => format!("More do not fit this host: {}.", limit.unwrap_or("a limit")),
        Bound::StreamsLimit => "More were not tried: --streams-limit.".to_owned(),
        Bound::Time => "The time of --quick was up before a step failed.".to_owned(),
        Bound::Interrupt => "It was interrupted before a step failed.".to_owned(),
    }
}
