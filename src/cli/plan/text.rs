//! The plan as it is printed: tables, and sentences that say what to change.

use std::{fmt, time::Duration};

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use mixpool::engine::plan::{LimitReport, PlanReport};

/// A plan, to be printed.
pub struct Text<'a>(pub &'a PlanReport);

/// So much of what is limited, with its unit.
fn amount(limit: &LimitReport, amount: u64) -> String {
    if limit.name.ends_with("_bytes") {
        human(amount)
    } else {
        amount.to_string()
    }
}

impl Text<'_> {
    fn figures(&self) -> Table {
        let mut table = table(["figure", "value", "exact"]);
        let mut row = |name: &str, value: String, exact: String| {
            table.add_row([name.to_owned(), value, exact]);
        };
        let mut bytes = |name, bytes: u64| row(name, human(bytes), format!("{bytes} bytes"));
        bytes("ring", self.0.ring_bytes as u64);
        bytes("resident, once full", self.0.resident_bytes);
        bytes("virtual: each ring twice", self.0.virtual_bytes);
        bytes("metadata", self.0.metadata_bytes);
        bytes("page tables", self.0.page_table_bytes);
        row("VMAs", self.0.vmas.to_string(), String::new());
        row("descriptors", self.0.descriptors.to_string(), String::new());
        row(
            "buffered",
            format!("{:.2} s", self.0.buffered_seconds),
            format!("{} frames", self.0.frames_per_ring),
        );
        let mut cost = |name, ns: Option<u64>| {
            row(
                name,
                ns.map_or("-".into(), |ns| format!("{:.1?}", Duration::from_nanos(ns))),
                ns.map_or(String::new(), |ns| format!("{ns} ns")),
            );
        };
        cost("start-up", self.0.startup_ns);
        cost("start-up with prefault", self.0.prefault_startup_ns);
        align_right(&mut table, [1, 2]);
        table
    }

    fn limits(&self) -> Table {
        let mut table = table(["limit", "set by", "needed", "found", "ok"]);
        for limit in &self.0.limits {
            table.add_row([
                limit.name.to_owned(),
                limit.set_by.to_owned(),
                amount(limit, limit.needed),
                limit
                    .found
                    .map_or("no limit".into(), |found| amount(limit, found)),
                if limit.ok { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        align_right(&mut table, [2, 3]);
        table
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} streams of {} Hz, {} channel{}, {:?} a frame: each has a ring of {}.\n",
            self.0.streams,
            self.0.rate_hz,
            self.0.channels,
            if self.0.channels == 1 { "" } else { "s" },
            Duration::from_nanos(self.0.ptime_ns),
            human(self.0.ring_bytes as u64),
        )?;
        writeln!(f, "{}\n", self.figures())?;
        writeln!(f, "{}\n", self.limits())?;
        for note in &self.0.notes {
            writeln!(f, "{note}")?;
        }
        if self.0.fits {
            return writeln!(f, "It fits this host.");
        }
        writeln!(f, "It does not fit this host:")?;
        for limit in self.0.limits.iter().filter(|limit| !limit.ok) {
            let short = amount(limit, limit.needed - limit.found.unwrap_or(limit.needed));
            let LimitReport {
                name,
                set_by,
                remedy,
                ..
            } = limit;
            writeln!(f, "- {name}: {set_by} is {short} too low; {remedy}")?;
        }
        Ok(())
    }
}

fn human(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.set_header(header);
    table
}

fn align_right<const COLUMNS: usize>(table: &mut Table, columns: [usize; COLUMNS]) {
    for at in columns {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
