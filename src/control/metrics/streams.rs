//! The families of single streams, for as many streams as have series of their own.

use std::sync::Arc;

use super::{
    Scrape,
    page::{BYTES, Page, RATIO, SECONDS},
};
use crate::{
    audio::meter::FULL_SCALE,
    engine::StreamFigures,
    ledger::{Entry, NetworkEntry},
};

/// Before the families of single streams.
const STREAM: &str = "stream_";

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
    page.terms(
        STREAM,
        &Entry::TERMS,
        |metric| metric.of_streams,
        &with
            .iter()
            .map(|figures| ([label(figures)], &figures.ledger)),
    );
    levels(page, with);
    page.terms(
        STREAM,
        &NetworkEntry::TERMS,
        |metric| metric.of_streams,
        &with
            .iter()
            .filter_map(|figures| Some(([label(figures)], figures.network.as_ref()?))),
    );
}

fn id(figures: &StreamFigures) -> &str {
    figures.admitted.id()
}

fn label(figures: &StreamFigures) -> (&'static str, &str) {
    ("stream", id(figures))
}

/// The levels of the mixer's strips, which are in no account.
fn levels(page: &mut Page, streams: &[Arc<StreamFigures>]) {
    type Level = fn(&StreamFigures) -> f64;
    let of = |level: Level| {
        let streams = streams.iter();
        streams.map(move |figures| ([label(figures)], level(figures)))
    };
    families! { page:
        gauges "stream_ring_filled" BYTES "Space in use in its ring"
            => of(|figures| figures.levels.ring_filled_bytes as f64);
        gauges "stream_peak" RATIO
            "Largest magnitude in the last tenth of a second before gain and mute, of full scale"
            => of(|figures| f64::from(figures.levels.peak) / f64::from(FULL_SCALE));
        gauges "stream_talking" None "Whether it talks, before gain and mute: 1 or 0"
            => of(|figures| f64::from(u8::from(figures.levels.talking)));
        counters "stream_talking" SECONDS "The time for which it talked"
            => of(|figures| figures.levels.talked.as_secs_f64());
        gauges "stream_gain" RATIO "The gain that was commanded last"
            => of(|figures| f64::from(figures.levels.gain.linear()));
        gauges "stream_muted" None "Whether it is muted by command: 1 or 0"
            => of(|figures| f64::from(u8::from(figures.levels.muted)));
        gauges "stream_solo" None "Whether it is solo: 1 or 0"
            => of(|figures| f64::from(u8::from(figures.levels.solo)));
    }
}
