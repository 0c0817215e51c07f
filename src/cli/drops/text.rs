//! The figures of runs as tables, sentences and a picture.

use std::{fmt::Write as _, time::Duration};

use super::report::{Edge, Figures, Knee, RunReport, SeriesReport};
use crate::cli::{
    findings::Findings,
    plot::{Axis, COLOURS, Line, Panel, Picture, Style},
    table::{Column, grouped, percent, table},
    units::{show_bytes, show_duration, show_ns},
};

/// A drop rate that exceeds its prediction by more is explained.
const NOTABLE: f64 = 0.03;

/// A producer's number, or `total`, and its figures.
type Row = (String, Figures);

const PRODUCERS: [Column<Row>; 10] = [
    Column::text("producer", 0, |(name, _)| name.clone()),
    Column::figure("offered", 0, |(_, of)| of.offered_messages.to_string()),
    Column::figure("published", 5, |(_, of)| of.published_messages.to_string()),
    Column::figure("dropped", 0, |(_, of)| of.dropped_messages.to_string()),
    Column::figure("received", 0, |(_, of)| of.received_messages.to_string()),
    Column::figure("drop_rate", 0, |(_, of)| percent(of.drop_rate)),
    Column::figure("gaps", 3, |(_, of)| of.sequence_gap_messages.to_string()),
    Column::figure("tail", 4, |(_, of)| of.tail_drop_messages.to_string()),
    Column::figure("crc_errors", 1, |(_, of)| of.checksum_errors.to_string()),
    Column::figure("straddled", 2, |(_, of)| of.straddled_messages.to_string()),
];

const RUNS: [Column<RunReport>; 9] = [
    Column::figure("delay", 0, |run| show(run.consumer_delay_ns)),
    Column::figure("ring", 0, |run| show_bytes(run.ring_bytes as u64)),
    Column::figure("offered", 1, |run| run.totals.offered_messages.to_string()),
    Column::figure("received", 2, |run| {
        run.totals.received_messages.to_string()
    }),
    Column::figure("dropped", 0, |run| run.totals.dropped_messages.to_string()),
    Column::figure("drop_rate", 0, |run| percent(run.totals.drop_rate)),
    Column::figure("predicted", 0, |run| percent(run.predicted_drop_rate)),
    Column::figure("straddled", 4, |run| run.straddled_messages.to_string()),
    Column::figure("messages/s", 3, |run| {
        format!("{:.0}", run.received_messages_per_second)
    }),
];

impl Findings for RunReport {
    fn text(&self) -> String {
        let producers = self.producers.iter();
        let mut rows: Vec<Row> = producers
            .map(|one| (one.producer.to_string(), one.figures))
            .collect();
        rows.push(("total".to_owned(), self.totals));
        format!(
            "{}\nA consumer delay of {} and rings of {}: {} of {} messages dropped, {} \
             (arithmetic: {}); {} received per second.\n{}",
            table(&PRODUCERS, &rows),
            show(self.consumer_delay_ns),
            show_bytes(self.ring_bytes as u64),
            grouped(self.totals.dropped_messages),
            grouped(self.totals.offered_messages),
            percent(self.totals.drop_rate),
            percent(self.predicted_drop_rate),
            grouped(self.received_messages_per_second as u64),
            verdict(std::slice::from_ref(self)),
        )
    }

    fn picture(&self) -> Picture {
        picture(std::slice::from_ref(self))
    }
}

impl Findings for SeriesReport {
    fn text(&self) -> String {
        let mut text = format!("{}\n", table(&RUNS, &self.runs));
        for knee in &self.knees {
            let _ = writeln!(text, "{}", sentence(knee));
        }
        text + &verdict(&self.runs)
    }

    fn picture(&self) -> Picture {
        picture(&self.runs)
    }
}

/// Where the knee lies, by measurement and by arithmetic.
fn sentence(knee: &Knee) -> String {
    let begin = |edge: Edge| match (edge.holds_at_delay_ns, edge.drops_at_delay_ns) {
        (Some(holds), Some(drops)) => format!("between {} and {}", show(holds), show(drops)),
        (Some(holds), None) => format!("beyond {}", show(holds)),
        (None, Some(drops)) => format!("below {}", show(drops)),
        (None, None) => "nowhere".to_owned(),
    };
    let endless = knee.endless_delay_ns.map_or_else(String::new, |delay| {
        format!("; beyond {} in a run without end", show_ns(delay))
    });
    format!(
        "With rings of {} drops begin at a consumer delay {} (arithmetic: {}{endless}).",
        show_bytes(knee.ring_bytes as u64),
        begin(knee.measured),
        begin(knee.predicted),
    )
}

fn show(delay_ns: u64) -> String {
    show_duration(Duration::from_nanos(delay_ns))
}

fn verdict(runs: &[RunReport]) -> String {
    let sum = |part: fn(&RunReport) -> u64| grouped(runs.iter().map(part).sum());
    let faults: usize = runs.iter().map(|run| run.faults.len()).sum();
    let accounted = if faults == 0 {
        "every drop is accounted for".to_owned()
    } else {
        format!("{faults} FAULTS, see the errors")
    };
    let exceeds = |run: &RunReport| run.totals.drop_rate - run.predicted_drop_rate > NOTABLE;
    let hint = if runs.iter().any(exceeds) {
        "\nWhere more was dropped than predicted, messages came in bursts or the consumer was held \
         up, as on a busy machine: arithmetic knows only even flows. Larger rings absorb it."
    } else {
        ""
    };
    format!(
        "{} messages checked, {} wrong checksums, {} read across the ring's end; {accounted}.{hint}",
        sum(|run| run.received_messages),
        sum(|run| run.totals.checksum_errors),
        sum(|run| run.straddled_messages),
    )
}

/// Drop rate over consumer delay, measured and predicted, for each ring size.
fn picture(runs: &[RunReport]) -> Picture {
    let place = places(runs);
    let mut lines = Vec::new();
    for (at, series) in runs
        .chunk_by(|one, next| one.ring_bytes == next.ring_bytes)
        .enumerate()
    {
        let ring = show_bytes(series[0].ring_bytes as u64);
        let mut line = |name: &str, style, rate: fn(&RunReport) -> f64| {
            let point = |run: &RunReport| (place(run.consumer_delay_ns), 100.0 * rate(run));
            let (name, colour) = (format!("{ring}, {name}"), COLOURS[at % COLOURS.len()]);
            lines.push(Line::new(&name, colour, style, series.iter().map(point)));
        };
        line("measured", Style::Marked, |run| run.totals.drop_rate);
        line("predicted", Style::Dashed, |run| run.predicted_drop_rate);
    }
    let ticks = [0, 20, 40, 60, 80, 100].map(|tick| (f64::from(tick), format!("{tick}%")));
    Picture {
        title: "Messages dropped under a slow consumer".to_owned(),
        about: about(runs),
        panels: vec![Panel {
            x: delays(runs, &place),
            y: Axis {
                title: "Messages dropped (% of offered)".to_owned(),
                low: -2.0,
                high: 102.0,
                ticks: ticks.into(),
            },
            lines,
        }],
    }
}

/// Places on a logarithmic axis, in decades. Zero stands half a decade before the shortest delay.
fn places(runs: &[RunReport]) -> impl Fn(u64) -> f64 {
    let delays = runs.iter().map(|run| run.consumer_delay_ns);
    let shortest = delays.filter(|delay| *delay > 0).min().unwrap_or(1000);
    move |delay| match delay {
        0 => (shortest as f64).log10() - 0.5,
        _ => (delay as f64).log10(),
    }
}

fn delays(runs: &[RunReport], place: impl Fn(u64) -> f64) -> Axis {
    let mut delays: Vec<_> = runs.iter().map(|run| run.consumer_delay_ns).collect();
    delays.sort_unstable();
    delays.dedup();
    let ticks = delays.iter().map(|delay| (place(*delay), show(*delay)));
    Axis {
        title: "Consumer delay per message (logarithmic)".to_owned(),
        // Room for whole points at the ends.
        low: delays.first().map_or(0.0, |delay| place(*delay)) - 0.1,
        high: delays.last().map_or(0.0, |delay| place(*delay)) + 0.1,
        ticks: ticks.collect(),
    }
}

/// The settings that all runs share.
fn about(runs: &[RunReport]) -> String {
    let [run, ..] = runs else {
        return String::new();
    };
    let rate = run.rate_messages_per_second.map_or_else(
        || "unpaced".to_owned(),
        |rate| format!("{rate} messages/s each"),
    );
    format!(
        "producers: {}, {rate}; messages of {} to {} bytes",
        run.producers.len(),
        run.message_min_bytes,
        run.message_max_bytes,
    )
}
