//! The notes of a plan, in sentences.

use bytesize::ByteSize;

use super::{BesideReport, MINUTE, PlanRequest};
use crate::queue::{Host, PoolPlan};

/// The audio that a ring holds, where that needs a word.
pub(super) fn of_audio(request: &PlanRequest) -> Vec<String> {
    let PlanRequest { plan, audio, .. } = request;
    let ring = human(plan.ring_bytes as u64);
    if let Some(asked) = request.chosen_for {
        let asked = humantime::format_duration(asked);
        return vec![format!("{ring} is the smallest ring that holds {asked}.")];
    }
    if audio.buffered(plan) >= MINUTE {
        return Vec::new();
    }
    let note = match audio.ring_bytes_for(MINUTE) {
        Some(bytes) => format!(
            "A ring of {ring} holds less than a minute; one of {} holds it (--for 1min).",
            human(bytes as u64)
        ),
        None => format!("A ring of {ring} holds less than a minute, and so does any other."),
    };
    vec![note]
}

/// The needs of this host, where the plan is not all.
pub(super) fn of_host(request: &PlanRequest, host: &Host) -> Vec<String> {
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

/// The memory taken beside the pool.
pub(super) fn of_beside(beside: &[BesideReport]) -> String {
    let each = beside
        .iter()
        .map(|BesideReport { what, each_bytes }| format!("{what}, {}", human(*each_bytes)));
    let each: Vec<_> = each.collect();
    format!(
        "Beside the pool each of these takes memory: {}.",
        each.join("; ")
    )
}

/// How tools of the host count the rings.
pub(super) const OF_RSS: &str = "`ps` and `top` show twice the memory that rings take: each ring is \
    mapped twice, and RSS counts both mappings. PSS counts a page once: see Pss in /proc/PID/smaps_rollup.";

fn human(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
