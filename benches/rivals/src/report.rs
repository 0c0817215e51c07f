//! The answer to one question: rows, each beside the limit it is divided by, and the bars.

use std::{env, fmt};

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    measure::{Spread, Times},
    questions::Question,
};

/// The unit of a table. Figures are kept in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "us")]
    Microseconds,
    #[serde(rename = "ms")]
    Milliseconds,
}

impl Unit {
    fn of(self, nanoseconds: f64) -> String {
        let (name, size) = match self {
            Self::Nanoseconds => ("ns", 1.0),
            Self::Microseconds => ("us", 1e3),
            Self::Milliseconds => ("ms", 1e6),
        };
        format!("{:.1} {name}", nanoseconds / size)
    }
}

/// The contenders of one case, with their times.
pub type Rows = Vec<(String, Times)>;

/// One contender in one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub case: String,
    pub contender: String,
    /// Payload bytes of one operation; 0 where the operation moves none.
    pub bytes: u64,
    pub rounds: usize,
    pub median_ns: f64,
    pub p99_ns: f64,
    pub max_ns: f64,
    /// The median divided by that of the case's limit, which itself has 1.
    pub times_limit: Option<f64>,
    /// The rate of the median.
    pub bytes_per_second: Option<f64>,
}

/// A figure that the project has set itself, and whether this run reached it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    pub what: String,
    pub found: f64,
    pub wanted: f64,
    /// Whether `found` must be at least `wanted`; else at most.
    pub at_least: bool,
    pub met: bool,
}

impl Bar {
    pub fn at_most(what: impl Into<String>, found: f64, wanted: f64) -> Self {
        let what = what.into();
        Self {
            what,
            found,
            wanted,
            at_least: false,
            met: found <= wanted,
        }
    }

    pub fn at_least(what: impl Into<String>, found: f64, wanted: f64) -> Self {
        let what = what.into();
        Self {
            what,
            found,
            wanted,
            at_least: true,
            met: found >= wanted,
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub question: String,
    pub asks: String,
    /// The measured operation.
    pub per: String,
    pub unit: Unit,
    pub command: String,
    pub machine: Option<Machine>,
    pub rows: Vec<Row>,
    pub bars: Vec<Bar>,
    pub notes: Vec<String>,
}

impl Answer {
    pub fn per(per: &str, unit: Unit) -> Self {
        Self {
            question: String::new(),
            asks: String::new(),
            per: per.to_owned(),
            unit,
            command: String::new(),
            machine: None,
            rows: Vec::new(),
            bars: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Says which question this answers, and what repeats it.
    pub fn name_it(&mut self, question: &Question, machine: &Machine) {
        question.name.clone_into(&mut self.question);
        question.asks.clone_into(&mut self.asks);
        let arguments: Vec<String> = env::args().skip(1).collect();
        self.command = format!(
            "cargo run --release --manifest-path benches/rivals/Cargo.toml -- {}",
            arguments.join(" ")
        );
        self.machine = Some(machine.clone());
    }

    /// Adds the rows of one case; an operation moves so many bytes. The limit is one of them, by
    /// its name, or there is none.
    pub fn case(&mut self, case: &str, limit: &str, bytes: usize, rows: &Rows) {
        let limit = rows.iter().find(|(contender, _)| contender == limit);
        let limit = limit.map(|(_, times)| times.spread().median);
        for (contender, times) in rows {
            let Spread { median, p99, max } = times.spread();
            self.rows.push(Row {
                case: case.to_owned(),
                contender: contender.clone(),
                bytes: bytes as u64,
                rounds: times.len(),
                median_ns: median,
                p99_ns: p99,
                max_ns: max,
                times_limit: limit.map(|limit| median / limit),
                bytes_per_second: (bytes > 0).then(|| bytes as f64 / median * 1e9),
            });
        }
    }

    /// The median of one contender in one case, in nanoseconds.
    ///
    /// # Panics
    /// If there is no such row: a slip of the question's code.
    pub fn median(&self, case: &str, contender: &str) -> f64 {
        self.find(case, contender).median_ns
    }

    /// The same, divided by the limit.
    pub fn times_limit(&self, case: &str, contender: &str) -> f64 {
        self.find(case, contender)
            .times_limit
            .expect("the case has a limit")
    }

    fn find(&self, case: &str, contender: &str) -> &Row {
        self.rows
            .iter()
            .find(|row| row.case == case && row.contender == contender)
            .unwrap_or_else(|| panic!("no row {contender:?} in case {case:?}"))
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The rows, as Markdown that reads well in a terminal too.
    pub fn rows_table(&self) -> Table {
        let median = format!("median per {}", self.per);
        let mut header = vec!["case", "contender", &median, "p99", "max", "x limit"];
        let moves_bytes = self.rows.iter().any(|row| row.bytes > 0);
        header.extend(moves_bytes.then_some("MB/s"));
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(header);
        for row in &self.rows {
            let of_limit = row.times_limit.map(|times| format!("{times:.2}"));
            let rate = row
                .bytes_per_second
                .map(|rate| format!("{:.0}", rate / 1e6));
            let mut cells = vec![
                row.case.clone(),
                row.contender.clone(),
                self.unit.of(row.median_ns),
                self.unit.of(row.p99_ns),
                self.unit.of(row.max_ns),
                of_limit.unwrap_or_default(),
            ];
            cells.extend(moves_bytes.then_some(rate.unwrap_or_default()));
            table.add_row(cells);
        }
        align_right(&mut table, 2);
        table
    }

    /// The bars, likewise.
    pub fn bars_table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["bar", "found", "wanted", "met"]);
        for bar in &self.bars {
            table.add_row([
                bar.what.clone(),
                format!("{:.2}", bar.found),
                format!(
                    "at {} {:.2}",
                    if bar.at_least { "least" } else { "most" },
                    bar.wanted
                ),
                if bar.met { "yes" } else { "no" }.to_owned(),
            ]);
        }
        align_right(&mut table, 1);
        table
    }
}

fn align_right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.question, self.asks)?;
        writeln!(f, "{}", self.rows_table())?;
        if !self.bars.is_empty() {
            writeln!(f, "{}", self.bars_table())?;
        }
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "- {note}"))
    }
}
