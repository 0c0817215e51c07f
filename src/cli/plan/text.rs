//! The plan as it is printed: tables, and sentences that say what to change.

use std::{fmt::Write as _, time::Duration};

use bytesize::ByteSize;
use mixpool::engine::plan::{LimitReport, PlanReport};

use crate::cli::{
    table::{Column, table},
    units::counted,
};

/// So much of what is limited, with its unit.
fn amount(limit: &LimitReport, amount: u64) -> String {
    if limit.name.ends_with("_bytes") {
        human(amount)
    } else {
        amount.to_string()
    }
}

/// A figure of the plan: its name, its value as people read it, and exactly.
type Figure = (&'static str, String, String);

const FIGURES: [Column<Figure>; 3] = [
    Column::text("figure", 0, |(name, ..)| (*name).to_owned()),
    Column::figure("value", 0, |(_, value, _)| value.clone()),
    Column::figure("exact", 1, |(.., exact)| exact.clone()),
];

const LIMITS: [Column<LimitReport>; 5] = [
    Column::text("limit", 0, |limit| limit.name.to_owned()),
    Column::text("set by", 1, |limit| limit.set_by.to_owned()),
    Column::figure("needed", 0, |limit| amount(limit, limit.needed)),
    Column::figure("found", 0, |limit| {
        let found = limit.found.map(|found| amount(limit, found));
        found.unwrap_or_else(|| "no limit".to_owned())
    }),
    Column::text("ok", 0, |limit| {
        if limit.ok { "yes" } else { "NO" }.to_owned()
    }),
];

fn figures(plan: &PlanReport) -> Vec<Figure> {
    let bytes = |name, bytes: u64| (name, human(bytes), format!("{bytes} bytes"));
    let cost = |name, ns: Option<u64>| {
        (
            name,
            ns.map_or("-".into(), |ns| format!("{:.1?}", Duration::from_nanos(ns))),
            ns.map_or(String::new(), |ns| format!("{ns} ns")),
        )
    };
    vec![
        bytes("ring", plan.ring_bytes as u64),
        bytes("resident, once full", plan.resident_bytes),
        bytes("virtual: each ring twice", plan.virtual_bytes),
        bytes("metadata", plan.metadata_bytes),
        bytes("page tables", plan.page_table_bytes),
        ("VMAs", plan.vmas.to_string(), String::new()),
        ("descriptors", plan.descriptors.to_string(), String::new()),
        (
            "buffered",
            format!("{:.2} s", plan.buffered_seconds),
            format!("{} frames", plan.frames_per_ring),
        ),
        cost("start-up", plan.startup_ns),
        cost("start-up with prefault", plan.prefault_startup_ns),
        cost("tick, all streams playing", plan.tick_ns),
    ]
}

/// The plan as it is printed.
pub fn text(plan: &PlanReport) -> String {
    let mut text = format!(
        "{} streams of {} Hz, {}, {:?} a frame, in {}: each has a ring of {}.\n\n{}\n{}\n",
        plan.streams,
        plan.rate_hz,
        counted(plan.channels.into(), "channel"),
        Duration::from_nanos(plan.ptime_ns),
        counted(plan.rooms as u64, "room"),
        human(plan.ring_bytes as u64),
        table(&FIGURES, &figures(plan)),
        table(&LIMITS, &plan.limits),
    );
    for note in &plan.notes {
        let _ = writeln!(text, "{note}");
    }
    if plan.fits {
        return text + "It fits this host.";
    }
    text += "It does not fit this host:";
    for limit in plan.limits.iter().filter(|limit| !limit.ok) {
        let short = amount(limit, limit.needed - limit.found.unwrap_or(limit.needed));
        let LimitReport {
            name,
            set_by,
            remedy,
            ..
        } = limit;
        let _ = write!(text, "\n- {name}: {set_by} is {short} too low; {remedy}");
    }
    text
}

fn human(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
