//! The families of the server as a whole. Their counters include streams that ended, so they never go back.

use std::{
    iter,
    time::{Duration, SystemTime},
};

use super::{
    Scrape,
    page::{BYTES, MESSAGES, Page, RATIO, RECORDINGS, SAMPLES, SECONDS, STREAMS},
};
use crate::{
    control::sampler::Snapshot,
    engine::{Handle, RecordingTotals, Settings, Status},
    ledger::Entry,
    queue::PoolPlan,
};

pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let (handle, status) = (&scrape.state.handle, &scrape.snapshot.status);
    run(page, scrape);
    ticks(page, handle, status);
    pool(page, handle.settings(), &scrape.snapshot);
    mix(page, status);
    page.terms(
        "",
        &Entry::TERMS,
        |metric| metric.of_server,
        &iter::once((None, &status.ledger)),
    );
    checks(page, status);
    recordings(page, &handle.recording_totals());
}

fn run(page: &mut Page, scrape: &Scrape) {
    let Scrape { state, snapshot } = scrape;
    let handle = &state.handle;
    let settings = handle.settings();
    let rate_hz = settings.format.rate_hz().to_string();
    let channels = settings.format.channels().to_string();
    page.infos(
        "build",
        "The program, and the format of its mix",
        [[
            ("version", env!("CARGO_PKG_VERSION")),
            ("rate_hz", &rate_hz),
            ("channels", &channels),
        ]],
    );
    let since_1970 = handle.begun_at().duration_since(SystemTime::UNIX_EPOCH);
    page.gauge(
        "start_time",
        SECONDS,
        "When the server began, since 1970",
        since_1970.unwrap_or_default().as_secs_f64(),
    );
    page.gauge(
        "uptime",
        SECONDS,
        "Since the server began",
        snapshot.at.as_secs_f64(),
    );
}

fn ticks(page: &mut Page, handle: &Handle, status: &Status) {
    page.counter("ticks", None, "Ticks run", status.ticks);
    page.counter(
        "late_ticks",
        None,
        "Ticks that began after the next was due",
        status.late_ticks,
    );
    page.histogram(
        "tick_lateness",
        "How long after its time each tick began",
        &status.tick_lateness_counts,
    );
    page.gauges(
        "tick_period",
        SECONDS,
        "From tick to tick: the time that one may take",
        handle
            .clock()
            .map(|clock| ([], Duration::from_nanos(clock.period_ns).as_secs_f64())),
    );
    page.histogram(
        "tick_time",
        "How long each tick took",
        &status.tick_time_counts,
    );
}

fn pool(page: &mut Page, settings: &Settings, snapshot: &Snapshot) {
    let status = &snapshot.status;
    page.gauge(
        "slots",
        None,
        "Rings of the pool: the most streams at once",
        settings.streams_max,
    );
    page.gauge("ring", BYTES, "Size of each ring", settings.ring_bytes);
    let memory = PoolPlan::new(settings.streams_max, settings.ring_bytes)
        .map(|plan| plan.resident_bytes + plan.metadata_bytes);
    page.gauges(
        "pool_memory",
        BYTES,
        "Memory of the pool once every ring has been full",
        memory.map(|bytes| ([], bytes)),
    );
    page.gauge(
        "rings_filled",
        BYTES,
        "Space in use in all rings together",
        snapshot
            .streams
            .iter()
            .map(|figures| figures.levels.ring_filled_bytes)
            .sum::<u64>(),
    );
    page.gauge(
        "streams",
        None,
        "Streams that play or wait for their first frame",
        status.streams,
    );
    let stats = &snapshot.pool;
    page.gauge("leases", None, "Rings that are leased", stats.leases);
    page.gauge(
        "leases_high_water",
        None,
        "Most rings ever leased at once",
        stats.leases_high_water,
    );
    page.counter(
        "refused_leases",
        None,
        "Streams that found no free ring",
        stats.refused_leases,
    );
    for (name, help, messages) in [
        (
            "published",
            "Messages that went into rings",
            stats.published.messages,
        ),
        (
            "dropped",
            "Messages that a full ring refused",
            stats.dropped.messages,
        ),
    ] {
        page.counter(name, MESSAGES, help, messages);
    }
    page.counter(
        "wakes",
        None,
        "Writes to the pool's eventfd: the system calls that waking the mixer cost",
        stats.wakes,
    );
    page.counter(
        "admitted",
        STREAMS,
        "Streams there were, those that run included",
        status.admitted_streams,
    );
}

fn mix(page: &mut Page, status: &Status) {
    page.gauge(
        "mix_peak",
        RATIO,
        "Largest magnitude of the mix in the last second or two, of full scale",
        10_f64.powf(f64::from(status.peak_dbfs) / 20.0),
    );
    page.counter(
        "clipped",
        SAMPLES,
        "Samples of the mix that saturation cut",
        status.clipped_samples,
    );
    page.counter(
        "limited",
        SAMPLES,
        "Samples of the mix that the limiter turned down",
        status.limited_samples,
    );
}

fn checks(page: &mut Page, status: &Status) {
    page.counter(
        "ledger_checks",
        None,
        "Checks that a stream's samples add up",
        status.ledger_checks,
    );
    page.counter(
        "ledger_imbalances",
        None,
        "Checks at which they did not: bugs",
        status.ledger_imbalances,
    );
}

fn recordings(page: &mut Page, totals: &RecordingTotals) {
    page.gauge("recordings", None, "Recordings that run", totals.running);
    page.counter(
        "started",
        RECORDINGS,
        "Recordings that began",
        totals.started,
    );
    page.counter(
        "failed",
        RECORDINGS,
        "Recordings that ended early: the disk, the size of a file, or another program that changed it",
        totals.failed,
    );
    page.counter(
        "recorded",
        SAMPLES,
        "Samples in recordings, the silence for lost ones included",
        totals.samples,
    );
    page.counter(
        "recording_lost",
        SAMPLES,
        "Samples of the mix that disks were too slow for, or failed to take",
        totals.lost_samples,
    );
}
