//! The plan as it is printed: JSON keys, tables, and sentences that say what to change.

use std::{fmt, time::Duration};

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, TableComponent, presets};
use mixpool::queue::{Host, HugePages, LimitCheck, PoolPlan};
use serde::Serialize;

use super::{Request, cost::Cost};

/// What the default ring is meant to hold.
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub struct Report {
    streams: usize,
    rate_hz: u32,
    channels: u16,
    ptime_ns: u64,
    block_samples: usize,
    frame_bytes: usize,
    frames_per_ring: u64,
    ring_bytes: usize,
    buffered_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    metadata_bytes: u64,
    page_table_bytes: u64,
    vmas: u64,
    descriptors: u64,
    startup_ns: Option<u64>,
    prefault_startup_ns: Option<u64>,
    lock: bool,
    huge_pages: Huge,
    pub fits: bool,
    limits: Vec<Limit>,
    notes: Vec<String>,
}

/// A wish, and whether this host grants it: no limit.
#[derive(Debug, Serialize)]
struct Huge {
    asked: bool,
    /// `null`: the host offers none.
    page_bytes: Option<usize>,
    remedy: Option<&'static str>,
}

impl Huge {
    fn new(asked: bool, found: HugePages) -> Self {
        Self {
            asked,
            page_bytes: found.page_bytes(),
            remedy: found.remedy(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Limit {
    name: &'static str,
    set_by: &'static str,
    needed: u64,
    /// `null`: no limit.
    found: Option<u64>,
    ok: bool,
    remedy: &'static str,
}

impl From<LimitCheck> for Limit {
    fn from(check: LimitCheck) -> Self {
        Self {
            name: check.name,
            set_by: check.set_by,
            needed: check.needed,
            found: check.found,
            ok: check.ok,
            remedy: check.remedy,
        }
    }
}

impl Limit {
    /// So much of what is limited, with its unit.
    fn amount(&self, amount: u64) -> String {
        if self.name.ends_with("_bytes") {
            human(amount)
        } else {
            amount.to_string()
        }
    }
}

impl Report {
    pub fn new(request: &Request, host: &Host, cost: Cost) -> Self {
        let Request { plan, audio, .. } = request;
        let checks = plan.check(host, request.lock);
        let mut notes = audio_notes(request);
        notes.extend(host_notes(request, host));
        notes.push(cost.basis);
        Self {
            streams: plan.slots,
            rate_hz: audio.format.rate_hz(),
            channels: audio.format.channels(),
            ptime_ns: audio.ptime.as_nanos() as u64,
            block_samples: audio.block_samples,
            frame_bytes: audio.frame_bytes(),
            frames_per_ring: plan.messages_per_ring(audio.frame_bytes()),
            ring_bytes: plan.ring_bytes,
            buffered_seconds: audio.buffered(plan).as_secs_f64(),
            resident_bytes: plan.resident_bytes,
            virtual_bytes: plan.virtual_bytes,
            metadata_bytes: plan.metadata_bytes,
            page_table_bytes: plan.page_table_bytes,
            vmas: plan.vmas,
            descriptors: plan.descriptors,
            startup_ns: cost.startup_ns,
            prefault_startup_ns: cost.prefault_startup_ns,
            lock: request.lock,
            huge_pages: Huge::new(request.huge_pages, host.huge_pages),
            fits: checks.iter().all(|check| check.ok),
            limits: checks.into_iter().map(Limit::from).collect(),
            notes,
        }
    }

    fn figures(&self) -> Table {
        let mut table = table(["figure", "value", "exact"]);
        let mut row = |name: &str, value: String, exact: String| {
            table.add_row([name.to_owned(), value, exact]);
        };
        let mut bytes = |name, bytes: u64| row(name, human(bytes), format!("{bytes} bytes"));
        bytes("ring", self.ring_bytes as u64);
        bytes("resident, once full", self.resident_bytes);
        bytes("virtual: each ring twice", self.virtual_bytes);
        bytes("metadata", self.metadata_bytes);
        bytes("page tables", self.page_table_bytes);
        row("VMAs", self.vmas.to_string(), String::new());
        row("descriptors", self.descriptors.to_string(), String::new());
        row(
            "buffered",
            format!("{:.2} s", self.buffered_seconds),
            format!("{} frames", self.frames_per_ring),
        );
        let mut cost = |name, ns: Option<u64>| {
            row(
                name,
                ns.map_or("-".into(), |ns| format!("{:.1?}", Duration::from_nanos(ns))),
                ns.map_or(String::new(), |ns| format!("{ns} ns")),
            );
        };
        cost("start-up", self.startup_ns);
        cost("start-up with prefault", self.prefault_startup_ns);
        align_right(&mut table, [1, 2]);
        table
    }

    fn limits(&self) -> Table {
        let mut table = table(["limit", "set by", "needed", "found", "ok"]);
        for limit in &self.limits {
            table.add_row([
                limit.name.to_owned(),
                limit.set_by.to_owned(),
                limit.amount(limit.needed),
                limit
                    .found
                    .map_or("no limit".into(), |found| limit.amount(found)),
                if limit.ok { "yes" } else { "NO" }.to_owned(),
            ]);
        }
        align_right(&mut table, [2, 3]);
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} streams of {} Hz, {} channel{}, {:?} a frame: each has a ring of {}.\n",
            self.streams,
            self.rate_hz,
            self.channels,
            if self.channels == 1 { "" } else { "s" },
            Duration::from_nanos(self.ptime_ns),
            human(self.ring_bytes as u64),
        )?;
        writeln!(f, "{}\n", self.figures())?;
        writeln!(f, "{}\n", self.limits())?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        if self.fits {
            return writeln!(f, "It fits this host.");
        }
        writeln!(f, "It does not fit this host:")?;
        for limit in self.limits.iter().filter(|limit| !limit.ok) {
            let short = limit.amount(limit.needed - limit.found.unwrap_or(limit.needed));
            let Limit {
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

/// What a ring holds, where that needs a word.
fn audio_notes(request: &Request) -> Vec<String> {
    let Request { plan, audio, .. } = request;
    let ring = human(plan.ring_bytes as u64);
    if let Some(asked) = request.chosen_for {
        let asked = humantime::format_duration(asked);
        return vec![format!("{ring} is the smallest ring that holds {asked}.")];
    }
    if audio.buffered(plan) >= MINUTE {
        return Vec::new();
    }
    let note = match audio.ring_bytes_for(MINUTE) {
        Ok(bytes) => format!(
            "A ring of {ring} holds less than a minute; one of {} holds it (--for 1min).",
            human(bytes as u64)
        ),
        Err(_) => format!("A ring of {ring} holds less than a minute, and so does any other."),
    };
    vec![note]
}

/// What this host would take, where the plan is not all there is to say.
fn host_notes(request: &Request, host: &Host) -> Vec<String> {
    let fits = |slots, lock| {
        PoolPlan::new(slots, request.plan.ring_bytes)
            .is_ok_and(|plan| plan.check(host, lock).iter().all(|check| check.ok))
    };
    let slots = request.plan.slots;
    let mut notes = Vec::new();
    if !fits(slots, request.lock) {
        // Every need grows with the streams, so the plans that fit come first.
        let (mut most, mut too_many) = (0, slots);
        while too_many - most > 1 {
            let middle = most + (too_many - most) / 2;
            if fits(middle, request.lock) {
                most = middle;
            } else {
                too_many = middle;
            }
        }
        notes.push(format!(
            "With this ring size, at most {most} streams fit this host as it is."
        ));
    } else if !fits(slots, true) {
        notes.push(format!(
            "Locking the rings (--lock) would take {} of RLIMIT_MEMLOCK, which has {}.",
            human(request.plan.virtual_bytes),
            human(host.locked_bytes.unwrap_or(0)),
        ));
    }
    if request.huge_pages {
        let found = host.huge_pages;
        notes.push(match (found.page_bytes(), found.remedy()) {
            (Some(bytes), _) => format!("Huge pages of {} are {found}.", human(bytes as u64)),
            (_, remedy) => format!(
                "Huge pages are {found}, so the rings would have small ones: {}.",
                remedy.unwrap_or_default()
            ),
        });
    }
    notes
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
