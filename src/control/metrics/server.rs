//! The families of the server as a whole. Their counters include streams that ended, so they never go back.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use super::{
    Scrape,
    page::{Labels, Page},
};
use crate::{
    ledger::{Entry, ListenerEntry, Malformed, NetworkTotals, Refusal},
    queue::PoolPlan,
    server::{Handle, Settings, Status},
};

pub(super) fn write(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let (handle, status) = (&scrape.handle, &scrape.snapshot.status);
    run(page, scrape)?;
    ticks(page, status)?;
    pool(page, handle.settings(), status)?;
    mix(page, status)?;
    ledger(page, &status.ledger)?;
    checks(page, status)?;
    network(page, &status.network)?;
    listened(page, &scrape.listeners)
}

fn run(page: &mut Page<'_>, scrape: &Scrape) -> fmt::Result {
    let Scrape {
        handle, snapshot, ..
    } = scrape;
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
    )?;
    let since_1970 = handle.begun_at().duration_since(SystemTime::UNIX_EPOCH);
    page.gauge(
        "start_time",
        SECONDS,
        "When the server began, since 1970",
        since_1970.unwrap_or_default().as_secs_f64(),
    )?;
    page.gauge(
        "uptime",
        SECONDS,
        "Since the server began",
        snapshot.at.as_secs_f64(),
    )
}

fn ticks(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    page.counter("ticks", None, "Ticks run", status.ticks)?;
    page.counter(
        "late_ticks",
        None,
        "Ticks that began after the next was due",
        status.late_ticks,
    )?;
    page.histogram(
        "tick_lateness",
        "How long after its time each tick began",
        &status.tick_lateness_counts,
    )?;
    page.histogram(
        "tick_time",
        "How long each tick took",
        &status.tick_time_counts,
    )
}

fn pool(page: &mut Page<'_>, settings: &Settings, status: &Status) -> fmt::Result {
    page.gauge(
        "tick_period",
        SECONDS,
        "Length of a block and of a frame: the time that a tick may take",
        settings.ptime.as_secs_f64(),
    )?;
    page.gauge(
        "slots",
        None,
        "Rings of the pool: the most streams at once",
        settings.streams_max,
    )?;
    page.gauge("ring", BYTES, "Size of each ring", settings.ring_bytes)?;
    let memory = PoolPlan::new(settings.streams_max, settings.ring_bytes)
        .map(|plan| plan.resident_bytes + plan.metadata_bytes);
    page.gauges(
        "pool_memory",
        BYTES,
        "Memory of the pool once every ring has been full",
        memory.map(|bytes| ([], bytes)),
    )?;
    page.gauge(
        "ring_high_water",
        BYTES,
        "Most space ever in use in any one ring",
        status.ledger.ring_high_water_bytes,
    )?;
    page.gauge(
        "streams",
        None,
        "Streams that play or wait for their first frame",
        status.streams,
    )?;
    page.counter(
        "admitted_streams",
        None,
        "Streams there were, those that run included",
        status.admitted_streams,
    )
}

fn mix(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    page.gauge(
        "mix_peak",
        RATIO,
        "Largest magnitude of the mix in the last second or two, of full scale",
        10_f64.powf(f64::from(status.peak_dbfs) / 20.0),
    )?;
    page.counter(
        "clipped",
        SAMPLES,
        "Samples of the mix that saturation cut",
        status.clipped_samples,
    )?;
    page.counter(
        "limited",
        SAMPLES,
        "Samples of the mix that the limiter turned down",
        status.limited_samples,
    )
}

/// The terms of the equation, and what is counted beside it.
fn ledger(page: &mut Page<'_>, ledger: &Entry) -> fmt::Result {
    page.counter(
        "offered",
        SAMPLES,
        "Samples that sources tried to publish",
        ledger.offered,
    )?;
    page.counter("mixed", SAMPLES, "Samples that were mixed", ledger.mixed)?;
    page.counter(
        "muted",
        SAMPLES,
        "Samples consumed in time and silenced by command",
        ledger.muted,
    )?;
    page.counters(
        "dropped",
        SAMPLES,
        "Samples dropped: the ring was full, they came after their playout, or they were discarded on purpose",
        dropped(ledger).map(|(reason, samples)| ([("reason", reason)], samples)),
    )?;
    page.gauge(
        "in_ring",
        SAMPLES,
        "Samples that wait in rings",
        ledger.in_ring,
    )?;
    page.counter(
        "concealed",
        SAMPLES,
        "Samples put where some were missing",
        ledger.concealed,
    )?;
    page.counter(
        "sequence_gap",
        FRAMES,
        "Frames whose sequence numbers never came",
        ledger.sequence_gaps,
    )?;
    page.counter(
        "damaged",
        FRAMES,
        "Frames whose samples were not those that were sent into the ring: bugs",
        ledger.checksum_errors,
    )?;
    page.counter(
        "duplicate",
        FRAMES,
        "Frames that came twice",
        ledger.duplicate_frames,
    )?;
    page.counter(
        "segments",
        None,
        "Beginnings of playout, one for each stream and one more for each restart of its clock",
        ledger.segments,
    )
}

/// Why samples were dropped, in the ledger's words.
pub(super) fn dropped(ledger: &Entry) -> [(&'static str, u64); 3] {
    [
        ("full", ledger.dropped_full),
        ("late", ledger.dropped_late),
        ("discarded", ledger.discarded),
    ]
}

fn checks(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    page.counter(
        "ledger_checks",
        None,
        "Checks that a stream's samples add up",
        status.ledger_checks,
    )?;
    page.counter(
        "ledger_imbalances",
        None,
        "Checks at which they did not: bugs",
        status.ledger_imbalances,
    )
}

fn network(page: &mut Page<'_>, network: &NetworkTotals) -> fmt::Result {
    for (name, help, packets) in [
        ("received", "Packets of streams that came", network.received),
        (
            "expected",
            "Packets that the senders' numbers say there were",
            network.expected,
        ),
        ("duplicate", "Packets that came twice", network.duplicate),
        (
            "reordered",
            "Packets that came after one that was sent later",
            network.reordered,
        ),
        (
            "late",
            "Packets that came after their playout",
            network.late,
        ),
        (
            "malformed",
            "Packets of streams that were not what they claimed to be",
            network.malformed,
        ),
        (
            "unsupported",
            "Packets of a payload type that is not decoded here",
            network.unsupported,
        ),
        (
            "comfort_noise",
            "Packets that say that the sender is silent",
            network.comfort_noise,
        ),
        (
            "telephone_event",
            "Packets that say that a key was pressed",
            network.telephone_event,
        ),
    ] {
        page.counter(name, PACKETS, help, packets)?;
    }
    page.gauge(
        "lost",
        PACKETS,
        "Packets expected and not received, of all streams there were; less if they come after all, or twice",
        network.lost,
    )?;
    page.counter(
        "returned",
        FRAMES,
        "Frames of the mix that went back to peers",
        network.output_frames,
    )?;
    page.counter(
        "returned_dropped",
        FRAMES,
        "Frames of the mix that peers did not take in time",
        network.output_dropped_frames,
    )
}

/// What came to a listener and became no stream.
#[derive(Debug)]
pub(super) struct ListenerFigures {
    name: String,
    entry: ListenerEntry,
}

/// All listeners, by name: two of one name would be the same series twice.
pub(super) fn listeners(handle: &Handle) -> Vec<ListenerFigures> {
    let mut by_name: BTreeMap<String, ListenerEntry> = BTreeMap::new();
    for listener in handle.listeners() {
        by_name
            .entry(listener.name().to_owned())
            .or_default()
            .add(&listener.read());
    }
    by_name
        .into_iter()
        .map(|(name, entry)| ListenerFigures { name, entry })
        .collect()
}

fn listened(page: &mut Page<'_>, listeners: &[ListenerFigures]) -> fmt::Result {
    fn labels<'l>(listener: &'l ListenerFigures, reason: &'static str) -> Labels<'l, 2> {
        [("listener", &listener.name), ("reason", reason)]
    }
    let by_name = |figure: fn(&ListenerEntry) -> u64| {
        listeners
            .iter()
            .map(move |listener| ([("listener", &*listener.name)], figure(&listener.entry)))
    };
    page.counters(
        "listener_refusals",
        None,
        "Streams, connections and datagrams that were refused",
        listeners.iter().flat_map(|listener| {
            let refused = Refusal::ALL.into_iter().zip(listener.entry.refused);
            refused.map(|(why, times)| (labels(listener, why.name()), times))
        }),
    )?;
    page.counters(
        "listener_malformed",
        None,
        "Input that was not what it claimed to be",
        listeners.iter().flat_map(|listener| {
            let malformed = Malformed::ALL.into_iter().zip(listener.entry.malformed);
            malformed.map(|(how, times)| (labels(listener, how.name()), times))
        }),
    )?;
    page.counters(
        "listener_kernel_dropped",
        Some("datagrams"),
        "Datagrams for which the kernel had no room",
        by_name(|entry| entry.kernel_drops),
    )?;
    page.counters(
        "listener_timed_out",
        Some("streams"),
        "Streams that were idle for too long",
        by_name(|entry| entry.timed_out),
    )
}

pub(super) const SAMPLES: Option<&str> = Some("samples");
pub(super) const FRAMES: Option<&str> = Some("frames");
pub(super) const PACKETS: Option<&str> = Some("packets");
pub(super) const BYTES: Option<&str> = Some("bytes");
pub(super) const SECONDS: Option<&str> = Some("seconds");
pub(super) const RATIO: Option<&str> = Some("ratio");
