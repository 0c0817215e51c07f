//! The families of single streams, for as many streams as have series of their own.

use std::{fmt::Display, sync::Arc};

use super::{
    Scrape,
    page::{BYTES, Labels, PACKETS, Page, RATIO, SAMPLES, SECONDS},
    server::dropped,
};
use crate::{audio::meter::FULL_SCALE, control::sampler::Figures};

/// The earliest admitted have series. So a stream that has them keeps them until it ends.
pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let streams = &scrape.snapshot.streams;
    let (with, without) =
        streams.split_at(streams.len().min(scrape.state.settings.metrics_streams_max));
    page.gauge(
        "streams_without_series",
        None,
        "Streams that run and have no series of their own here",
        without.len(),
    );
    page.infos(
        "stream",
        "Where a stream comes from, and what people call it",
        with.iter().map(|figures| {
            [
                ("stream", id(figures)),
                ("source", figures.admitted.from()),
                ("label", figures.label.as_deref().unwrap_or_default()),
            ]
        }),
    );
    ledger(page, with);
    levels(page, with);
    network(page, with);
}

fn id(figures: &Figures) -> &str {
    figures.admitted.id()
}

/// Each stream's line of a family.
fn lines<'a, V>(
    streams: &'a [Arc<Figures>],
    value: impl Fn(&Figures) -> Option<V> + 'a,
) -> impl Iterator<Item = (Labels<'a, 1>, V)> {
    streams.iter().filter_map(move |figures| {
        let value = value(figures)?;
        Some(([("stream", id(figures))], value))
    })
}

/// Each stream's lines of a family, one for each reason.
fn by_reason<'a, const N: usize>(
    streams: &'a [Arc<Figures>],
    values: impl Fn(&Figures) -> [(&'static str, u64); N] + 'a,
) -> impl Iterator<Item = (Labels<'a, 2>, u64)> {
    streams.iter().flat_map(move |figures| {
        let labels = |reason| [("stream", id(figures)), ("reason", reason)];
        values(figures).map(|(reason, samples)| (labels(reason), samples))
    })
}

fn ledger(page: &mut Page, streams: &[Arc<Figures>]) {
    for (name, help, term) in [
        (
            "stream_offered",
            "Samples that its source tried to publish",
            (|figures| figures.ledger.offered) as fn(&Figures) -> u64,
        ),
        ("stream_mixed", "Samples that were mixed", |figures| {
            figures.ledger.mixed
        }),
        (
            "stream_muted",
            "Samples consumed in time and silenced by command",
            |figures| figures.ledger.muted,
        ),
        (
            "stream_concealed",
            "Samples put where some were missing",
            |figures| figures.ledger.concealed,
        ),
    ] {
        counter(page, name, SAMPLES, help, streams, move |figures| {
            Some(term(figures))
        });
    }
    page.counters(
        "stream_dropped",
        SAMPLES,
        "Samples dropped: the ring was full, or they came after their playout",
        by_reason(streams, |figures| dropped(&figures.ledger)),
    );
    page.counters(
        "stream_discarded",
        SAMPLES,
        "Samples left out on purpose",
        by_reason(streams, |figures| figures.ledger.discards()),
    );
    gauge(
        page,
        "stream_lost",
        SAMPLES,
        "Samples of packets that never came; less if they come after all",
        streams,
        |figures| Some(figures.ledger.lost),
    );
    gauge(
        page,
        "stream_missing",
        RATIO,
        "Samples lost and dropped, of those offered and lost, since it began",
        streams,
        |figures| Some(figures.ledger.missing_rate()),
    );
    gauge(
        page,
        "stream_in_ring",
        SAMPLES,
        "Samples that wait in its ring",
        streams,
        |figures| Some(figures.ledger.in_ring),
    );
    gauge(
        page,
        "stream_ring_high_water",
        BYTES,
        "Most space ever in use in its ring",
        streams,
        |figures| Some(figures.ledger.ring_high_water_bytes),
    );
}

fn levels(page: &mut Page, streams: &[Arc<Figures>]) {
    gauge(
        page,
        "stream_ring_filled",
        BYTES,
        "Space in use in its ring",
        streams,
        |figures| Some(figures.levels.ring_filled_bytes),
    );
    gauge(
        page,
        "stream_peak",
        RATIO,
        "Largest magnitude in the last tenth of a second before gain and mute, of full scale",
        streams,
        |figures| Some(f64::from(figures.levels.peak) / f64::from(FULL_SCALE)),
    );
    gauge(
        page,
        "stream_gain",
        RATIO,
        "The gain that was commanded last",
        streams,
        |figures| Some(figures.levels.gain.linear()),
    );
    gauge(
        page,
        "stream_muted",
        None,
        "Whether it is muted by command: 1 or 0",
        streams,
        |figures| Some(u32::from(figures.levels.muted)),
    );
    gauge(
        page,
        "stream_solo",
        None,
        "Whether it is solo: 1 or 0",
        streams,
        |figures| Some(u32::from(figures.levels.solo)),
    );
}

/// Of streams that come over a network only.
fn network(page: &mut Page, streams: &[Arc<Figures>]) {
    counter(
        page,
        "stream_received",
        PACKETS,
        "Packets that came",
        streams,
        |figures| Some(figures.network?.received),
    );
    gauge(
        page,
        "stream_lost",
        PACKETS,
        "Packets expected and not received; less if they come after all",
        streams,
        |figures| Some(figures.network?.lost),
    );
    gauge(
        page,
        "stream_last_packet_age",
        SECONDS,
        "Time since its last packet, or since samples came on its connection",
        streams,
        |figures| Some(figures.last_packet_age?.as_secs_f64()),
    );
    gauge(
        page,
        "stream_jitter",
        SECONDS,
        "Interarrival jitter",
        streams,
        |figures| Some(figures.network?.jitter.as_secs_f64()),
    );
    gauge(
        page,
        "stream_playout_delay",
        SECONDS,
        "From arrival to playout",
        streams,
        |figures| Some(figures.network?.playout_delay.as_secs_f64()),
    );
    gauge(
        page,
        "stream_drift",
        RATIO,
        "How much faster the sender's clock runs than ours",
        streams,
        |figures| Some(figures.network?.drift_ppm / 1e6),
    );
}

fn counter<V: Display>(
    page: &mut Page,
    name: &str,
    unit: Option<&str>,
    help: &str,
    streams: &[Arc<Figures>],
    value: impl Fn(&Figures) -> Option<V>,
) {
    page.counters(name, unit, help, lines(streams, value));
}

fn gauge<V: Display>(
    page: &mut Page,
    name: &str,
    unit: Option<&str>,
    help: &str,
    streams: &[Arc<Figures>],
    value: impl Fn(&Figures) -> Option<V>,
) {
    page.gauges(name, unit, help, lines(streams, value));
}
