//! The feed's messages: JSON, with what ten updates a second have of each stream as a byte, in base64.
//!
//! A column has an entry for each slot of the pool, free ones too, so that its place names the stream.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Serialize;

use super::Seat;
use crate::{
    audio::meter::{self, Extremes},
    control::{
        events::Event,
        sampler::{Figures, Snapshot},
    },
    engine::{STALL, Settings, TickReport, silence},
    ledger::{Entry, StreamState},
};

/// The bits of `flags`.
const MUTED: u8 = 1;
const SOLO: u8 = 2;
const WAITING: u8 = 4;

/// Stands for silence in `gain_mdb`, which JSON has no infinity for.
const SILENCE_MDB: i32 = -200_000;

/// Stands for a stream that comes over no network in `jitter_us`.
const NO_JITTER: i64 = -1;

/// The first message to a viewer.
pub(super) struct Hello<'a> {
    pub(super) number: u64,
    pub(super) instance: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) block_samples: usize,
    pub(super) uptime: Duration,
    pub(super) roster: &'a [Option<Seat>],
    pub(super) streams: &'a [Arc<Figures>],
    pub(super) columns: &'a Columns,
    pub(super) events: &'a [Arc<Event>],
    pub(super) wave: &'a VecDeque<Extremes>,
    pub(super) wave_at: u64,
}

/// The changes of a snapshot.
pub(super) struct Update<'a> {
    pub(super) number: u64,
    pub(super) ring_bytes: u64,
    pub(super) snapshot: &'a Snapshot,
    pub(super) block_samples: usize,
    /// Samples of a stream since the snapshot before, about.
    pub(super) samples_now: u64,
    /// The streams in the slots, as viewers know them, and now.
    pub(super) before: &'a [Option<Seat>],
    pub(super) roster: &'a [Option<Seat>],
    pub(super) columns: Option<&'a Columns>,
    pub(super) events: &'a [Arc<Event>],
}

/// Columns that change slowly, or are read rather than watched: whole numbers, of which most are short.
/// Values that viewers know already are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Columns {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drop_ppm: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_ppm: Vec<u32>,
    /// Whole seconds since the last packet, of a stream that is stalled; else 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stalled_s: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    concealed_samples: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jitter_us: Vec<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drift_ppb: Vec<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ring_high_water_bytes: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gain_mdb: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<u8>,
}

/// Slot, id, source, when it was admitted, as which one, and its label.
type Start<'a> = (usize, &'a str, &'a str, u64, u64, Option<&'a str>);

#[derive(Serialize)]
struct HelloBody<'a> {
    number: u64,
    server: ServerBody<'a>,
    streams: Vec<Start<'a>>,
    slow: &'a Columns,
    events: Vec<&'a Event>,
    wave: String,
    wave_at: u64,
}

#[derive(Serialize)]
struct ServerBody<'a> {
    instance: &'a str,
    version: &'a str,
    rate_hz: u32,
    channels: u16,
    block_samples: usize,
    tick_ns: u64,
    slots: usize,
    ring_bytes: usize,
    uptime_ms: u64,
    /// Whether there is a folder for recordings.
    records: bool,
}

#[derive(Serialize)]
struct UpdateBody<'a> {
    number: u64,
    uptime_ms: u64,
    /// Samples per channel that the mix has.
    position_samples: u64,
    ticks: u64,
    late_ticks: u64,
    tick_time_ns: TimesBody,
    streams: u64,
    clipped_samples: u64,
    limited_samples: u64,
    ledger: LedgerBody,
    mix: MixBody,
    level: String,
    fill: String,
    drops: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    started: Vec<Start<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<&'a Columns>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a Event>,
}

#[derive(Serialize)]
struct TimesBody {
    p50: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
}

/// Samples.
#[derive(Serialize)]
struct LedgerBody {
    offered: u64,
    mixed: u64,
    muted: u64,
    dropped_full: u64,
    dropped_late: u64,
    discarded: u64,
    in_ring: u64,
    lost: u64,
}

#[derive(Serialize)]
struct MixBody {
    /// Of each channel.
    peak: Vec<u16>,
    rms: Vec<u16>,
    /// The lowest and the highest sample of each piece, 16 bits each, the less significant byte first.
    wave: String,
    /// The number of its first piece.
    wave_at: u64,
}

impl Hello<'_> {
    pub(super) fn encode(&self) -> Bytes {
        let format = self.settings.format;
        let tick_ns = self.block_samples as u64 * 1_000_000_000 / u64::from(format.rate_hz());
        let nobody = vec![None; self.roster.len()];
        let body = HelloBody {
            number: self.number,
            server: ServerBody {
                instance: self.instance,
                version: env!("CARGO_PKG_VERSION"),
                rate_hz: format.rate_hz(),
                channels: format.channels(),
                block_samples: self.block_samples,
                tick_ns,
                slots: self.settings.streams_max,
                ring_bytes: self.settings.ring_bytes,
                uptime_ms: milliseconds(self.uptime),
                records: self.settings.recordings.is_some(),
            },
            streams: started(&nobody, self.roster, self.streams),
            slow: self.columns,
            events: self.events.iter().map(Arc::as_ref).collect(),
            wave: wave(self.wave),
            wave_at: self.wave_at,
        };
        event("hello", &body)
    }
}

impl Update<'_> {
    pub(super) fn encode(&self) -> Bytes {
        let Snapshot {
            at,
            status,
            mix,
            streams,
            ..
        } = self.snapshot;
        let slots = self.roster.len();
        let channels = &mix.channels;
        let changed = self.before.iter().zip(self.roster).enumerate();
        let number = |seat: &Option<Seat>| seat.as_ref().map(|seat| seat.number);
        let ended =
            changed.filter(|(_, (before, now))| before.is_some() && number(before) != number(now));
        let body = UpdateBody {
            number: self.number,
            uptime_ms: milliseconds(*at),
            position_samples: status.ticks * self.block_samples as u64,
            ticks: status.ticks,
            late_ticks: status.late_ticks,
            tick_time_ns: (&status.tick_time).into(),
            streams: streams.len() as u64,
            clipped_samples: status.clipped_samples,
            limited_samples: status.limited_samples,
            ledger: (&status.ledger).into(),
            mix: MixBody {
                peak: channels.iter().map(|level| level.peak).collect(),
                rms: channels.iter().map(|level| level.rms as u16).collect(),
                wave: wave(&mix.pieces),
                wave_at: mix.pieces_before,
            },
            level: bytes(slots, streams, |figures| level_byte(figures.levels.peak)),
            fill: bytes(slots, streams, |figures| {
                fill_byte(figures.levels.ring_filled_bytes, self.ring_bytes)
            }),
            drops: bytes(slots, streams, |figures| {
                share_byte(figures.dropped_now, self.samples_now)
            }),
            ended: ended.map(|(slot, _)| slot).collect(),
            started: started(self.before, self.roster, streams),
            slow: self.columns,
            events: self.events.iter().map(Arc::as_ref).collect(),
        };
        event("update", &body)
    }
}

impl Columns {
    /// All of them.
    pub(super) fn of(slots: usize, streams: &[Arc<Figures>]) -> Self {
        Self {
            drop_ppm: column(slots, streams, 0, |figures| ppm(figures.ledger.drop_rate())),
            missing_ppm: column(slots, streams, 0, |figures| {
                ppm(figures.ledger.missing_rate())
            }),
            stalled_s: column(slots, streams, 0, |figures| {
                let silence = silence(&figures.ledger, figures.last_packet_age);
                if silence < STALL {
                    0
                } else {
                    silence.as_secs() as u32
                }
            }),
            concealed_samples: column(slots, streams, 0, |figures| figures.ledger.concealed),
            jitter_us: column(slots, streams, 0, |figures| {
                let network = figures.network.as_ref();
                network.map_or(NO_JITTER, |gauges| gauges.jitter.as_micros() as i64)
            }),
            drift_ppb: column(slots, streams, 0, |figures| {
                let network = figures.network.as_ref();
                network.map_or(0, |gauges| (gauges.drift_ppm * 1e3).round() as i64)
            }),
            ring_high_water_bytes: column(slots, streams, 0, |figures| {
                figures.ledger.ring_high_water_bytes
            }),
            gain_mdb: column(slots, streams, 0, |figures| {
                ((figures.levels.gain.db() * 1e3).round() as i32).max(SILENCE_MDB)
            }),
            flags: column(slots, streams, 0, |figures| {
                let levels = &figures.levels;
                let bit = |on, bit| if on { bit } else { 0 };
                bit(levels.muted, MUTED)
                    | bit(levels.solo, SOLO)
                    | bit(figures.state == StreamState::Waiting, WAITING)
            }),
        }
    }

    /// Those that differ from the last sent.
    pub(super) fn since(&self, told: &Self) -> Self {
        fn changed<T: Clone + PartialEq>(now: &[T], told: &[T]) -> Vec<T> {
            if now == told {
                Vec::new()
            } else {
                now.to_vec()
            }
        }
        Self {
            drop_ppm: changed(&self.drop_ppm, &told.drop_ppm),
            missing_ppm: changed(&self.missing_ppm, &told.missing_ppm),
            stalled_s: changed(&self.stalled_s, &told.stalled_s),
            concealed_samples: changed(&self.concealed_samples, &told.concealed_samples),
            jitter_us: changed(&self.jitter_us, &told.jitter_us),
            drift_ppb: changed(&self.drift_ppb, &told.drift_ppb),
            ring_high_water_bytes: changed(
                &self.ring_high_water_bytes,
                &told.ring_high_water_bytes,
            ),
            gain_mdb: changed(&self.gain_mdb, &told.gain_mdb),
            flags: changed(&self.flags, &told.flags),
        }
    }
}

/// In parts per million. A rate above nothing stays above it.
fn ppm(rate: f64) -> u32 {
    (rate * 1e6).ceil() as u32
}

/// A figure of each slot, and `free` where there is no stream.
fn column<T: Copy>(
    slots: usize,
    streams: &[Arc<Figures>],
    free: T,
    of: impl Fn(&Figures) -> T,
) -> Vec<T> {
    let mut column = vec![free; slots];
    for figures in streams {
        if let Some(place) = column.get_mut(figures.admitted.slot()) {
            *place = of(figures);
        }
    }
    column
}

fn bytes(slots: usize, streams: &[Arc<Figures>], of: impl Fn(&Figures) -> u8) -> String {
    BASE64.encode(column(slots, streams, 0, of))
}

/// Streams that are somewhere now, and were not, or were called otherwise.
fn started<'a>(
    before: &[Option<Seat>],
    roster: &[Option<Seat>],
    streams: &'a [Arc<Figures>],
) -> Vec<Start<'a>> {
    streams
        .iter()
        .filter(|figures| {
            let seat = Some(Seat::of(figures));
            let slot = figures.admitted.slot();
            roster.get(slot) == Some(&seat) && before.get(slot) != Some(&seat)
        })
        .map(|figures| {
            let admitted = &figures.admitted;
            (
                admitted.slot(),
                admitted.id(),
                admitted.from(),
                milliseconds(admitted.at()),
                admitted.number(),
                figures.label.as_deref(),
            )
        })
        .collect()
}

/// Half decibels: 255 is full scale, 1 is 127 dB below it, 0 is silence.
fn level_byte(peak: u16) -> u8 {
    // Minus infinity becomes 0.
    (255.0 + 2.0 * meter::dbfs(peak)).round().clamp(0.0, 255.0) as u8
}

/// The root of the share: a few frames in a ring of a minute are seen, too. Only an empty ring is 0.
fn fill_byte(filled: u64, capacity: u64) -> u8 {
    let share = filled as f64 / capacity.max(1) as f64;
    (255.0 * share.sqrt()).ceil().clamp(0.0, 255.0) as u8
}

/// 255 is all of them. Only none is 0.
fn share_byte(some: u64, all: u64) -> u8 {
    (255.0 * some as f64 / all.max(1) as f64)
        .ceil()
        .clamp(0.0, 255.0) as u8
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

fn wave<'a>(pieces: impl IntoIterator<Item = &'a Extremes>) -> String {
    let samples = pieces.into_iter().flat_map(|piece| [piece.min, piece.max]);
    let bytes: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    BASE64.encode(bytes)
}

impl From<&TickReport> for TimesBody {
    fn from(times: &TickReport) -> Self {
        Self {
            p50: times.p50_ns,
            p99: times.p99_ns,
            p99_9: times.p99_9_ns,
            max: times.max_ns,
        }
    }
}

impl From<&Entry> for LedgerBody {
    fn from(ledger: &Entry) -> Self {
        Self {
            offered: ledger.offered,
            mixed: ledger.mixed,
            muted: ledger.muted,
            dropped_full: ledger.dropped_full,
            dropped_late: ledger.dropped_late,
            discarded: ledger.discarded,
            in_ring: ledger.in_ring,
            lost: ledger.lost,
        }
    }
}

/// A server-sent event. JSON as it is made here has no line breaks.
fn event(name: &str, body: &impl Serialize) -> Bytes {
    let mut text = format!("event: {name}\ndata: ").into_bytes();
    serde_json::to_writer(&mut text, body).expect("figures and names");
    text.extend_from_slice(b"\n\n");
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_told_in_half_decibels() {
        assert_eq!(level_byte(32_768), 255);
        assert_eq!(level_byte(16_384), 243);
        assert_eq!(level_byte(1), 74);
        assert_eq!(level_byte(0), 0);
    }

    #[test]
    fn only_nothing_is_told_as_nothing() {
        assert_eq!(fill_byte(0, 1 << 20), 0);
        assert_eq!(fill_byte(1, 1 << 30), 1);
        assert_eq!(fill_byte(344, 1 << 20), 5);
        assert_eq!(fill_byte(1 << 18, 1 << 20), 128);
        assert_eq!(fill_byte(1 << 20, 1 << 20), 255);
        assert_eq!(share_byte(0, 800), 0);
        assert_eq!(share_byte(1, 800), 1);
        assert_eq!(share_byte(900, 800), 255);
        // Of a server that says nothing of itself.
        assert_eq!((fill_byte(5, 0), share_byte(5, 0)), (255, 255));
    }

    #[test]
    fn columns_that_did_not_change_are_left_out() {
        let told = Columns {
            flags: vec![0, MUTED],
            gain_mdb: vec![0, -3000],
            ..Columns::default()
        };
        let now = Columns {
            flags: vec![SOLO, MUTED],
            ..told.clone()
        };
        let text = serde_json::to_string(&now.since(&told)).unwrap();
        assert_eq!(text, r#"{"flags":[2,1]}"#);
        assert_eq!(serde_json::to_string(&now.since(&now)).unwrap(), "{}");
    }

    #[test]
    fn a_waveform_is_pairs_of_samples() {
        let pieces = [Extremes { min: -2, max: 258 }];
        assert_eq!(BASE64.decode(wave(&pieces)).unwrap(), [254, 255, 2, 1]);
    }
}
