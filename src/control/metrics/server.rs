//! The families of the server as a whole. Their counters include streams that ended, so they never go back.

use std::{
    iter,
    time::{Duration, SystemTime},
};

use super::{
    Scrape,
    page::{BYTES, MESSAGES, Page, RATIO, RECORDINGS, SAMPLES, SECONDS, STREAMS},
};
use crate::{engine::RecordingTotals, ledger::Entry, queue::PoolPlan};

pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let (state, snapshot) = (&scrape.state, &scrape.snapshot);
    let (handle, status, stats) = (&state.handle, &snapshot.status, &snapshot.pool);
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
    let period = handle
        .clock()
        .map(|clock| Duration::from_nanos(clock.period_ns));
    let memory = PoolPlan::new(settings.streams_max, settings.ring_bytes)
        .map(|plan| plan.resident_bytes + plan.metadata_bytes);
    let rings_filled = snapshot
        .streams
        .iter()
        .map(|figures| figures.levels.ring_filled_bytes);
    families! { page:
        gauge "start_time" SECONDS "When the server began, since 1970"
            => since_1970.unwrap_or_default().as_secs_f64();
        gauge "uptime" SECONDS "Since the server began" => snapshot.at.as_secs_f64();
        counter "ticks" None "Ticks run" => status.ticks;
        counter "late_ticks" None "Ticks that began after the next was due" => status.late_ticks;
        gauges "tick_period" SECONDS "From tick to tick: the time that one may take"
            => period.map(|period| ([], period.as_secs_f64()));
        gauge "slots" None "Rings of the pool: the most streams at once" => settings.streams_max;
        gauge "ring" BYTES "Size of each ring" => settings.ring_bytes;
        gauges "pool_memory" BYTES "Memory of the pool once every ring has been full"
            => memory.map(|bytes| ([], bytes));
        gauge "rings_filled" BYTES "Space in use in all rings together" => rings_filled.sum::<u64>();
        gauge "streams" None "Streams that play or wait for their first frame" => status.streams;
        gauge "leases" None "Rings that are leased" => stats.leases;
        gauge "leases_high_water" None "Most rings ever leased at once" => stats.leases_high_water;
        counter "refused_leases" None "Streams that found no free ring" => stats.refused_leases;
        counter "published" MESSAGES "Messages that went into rings" => stats.published.messages;
        counter "dropped" MESSAGES "Messages that a full ring refused" => stats.dropped.messages;
        counter "wakes" None "Writes to the pool's eventfd: the system calls that waking the mixer cost"
            => stats.wakes;
        counter "admitted" STREAMS "Streams there were, those that run included" => status.admitted_streams;
        gauge "mix_peak" RATIO "Largest magnitude of the mix in the last second or two, of full scale"
            => 10_f64.powf(f64::from(status.peak_dbfs) / 20.0);
        counter "clipped" SAMPLES "Samples of the mix that saturation cut" => status.clipped_samples;
        counter "limited" SAMPLES "Samples of the mix that the limiter turned down" => status.limited_samples;
        counter "ledger_checks" None "Checks that a stream's samples add up" => status.ledger_checks;
        counter "ledger_imbalances" None "Checks at which they did not: bugs" => status.ledger_imbalances;
    }
    let (lateness, time) = (&status.tick_lateness_counts, &status.tick_time_counts);
    page.histogram(
        "tick_lateness",
        "How long after its time each tick began",
        lateness,
    );
    page.histogram("tick_time", "How long each tick took", time);
    let totals = iter::once(([], &status.ledger));
    page.terms("", &Entry::TERMS, |metric| metric.of_server, &totals);
    recordings(page, &handle.recording_totals());
}

fn recordings(page: &mut Page, totals: &RecordingTotals) {
    families! { page:
        gauge "recordings" None "Recordings that run" => totals.running;
        counter "started" RECORDINGS "Recordings that began" => totals.started;
        counter "failed" RECORDINGS
            "Recordings that ended early: the disk, the size of a file, or another program that changed it"
            => totals.failed;
        counter "refused" RECORDINGS
            "Recordings of rooms' rules that did not begin: all places were taken, or the file could not be made"
            => totals.refused;
        counter "recorded" SAMPLES "Samples in recordings, the silence for lost ones included" => totals.samples;
        counter "recording_lost" SAMPLES "Samples of the mix that disks were too slow for, or failed to take"
            => totals.lost_samples;
    }
}
