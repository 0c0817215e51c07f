//! The feed's messages: JSON, with what ten updates a second have of each stream as a byte, in base64.
//!
//! A column has an entry for each slot of the pool, free ones too, so that its place names the stream.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::Serialize;

use super::{
    Seat,
    rooms::{self, Opened, Rooms},
};
use crate::{
    audio::{
        Gain,
        meter::{self, Extremes},
    },
    control::{events::Event, sampler::Snapshot},
    engine::{STALL, Settings, StreamFigures, TickReport, silence},
    ledger::{Entry, NetworkEntry, SourceKind, StreamState, Term, Unit, Value},
};

/// The bits of `flags`.
const MUTED: u64 = 1;
const SOLO: u64 = 2;
const WAITING: u64 = 4;

/// Stands for silence in `gain_db`, as JSON has no infinity.
const SILENCE_DB: f32 = -200.0;

/// The first message to a viewer.
pub(super) struct Hello<'a> {
    pub(super) number: u64,
    pub(super) instance: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) block_samples: usize,
    pub(super) uptime: Duration,
    pub(super) roster: &'a [Option<Seat>],
    pub(super) rooms: &'a Rooms,
    pub(super) streams: &'a [Arc<StreamFigures>],
    pub(super) columns: &'a Columns,
    pub(super) room_columns: &'a Columns,
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
    pub(super) rooms_before: &'a Rooms,
    pub(super) rooms: &'a Rooms,
    pub(super) columns: Option<&'a Columns>,
    pub(super) room_columns: Option<&'a Columns>,
    pub(super) events: &'a [Arc<Event>],
}

/// Columns that change slowly, or are read rather than watched, by name; terms of the tables have their key. Values
/// that viewers know already are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Columns(BTreeMap<&'static str, Vec<Value>>);

/// The terms that are columns.
const LEDGER: [&str; 4] = [
    "concealed_samples",
    "drop_rate",
    "missing_rate",
    "ring_high_water_bytes",
];
const NETWORK: [&str; 2] = ["jitter_ms", "drift_ppm"];

/// Slot, id, kind, source, when it was admitted, as which one, its label, and the place of its room.
type Start<'a> = (
    usize,
    &'a str,
    SourceKind,
    &'a str,
    u64,
    u64,
    Option<&'a str>,
    usize,
);

#[derive(Serialize)]
struct HelloBody<'a> {
    number: u64,
    server: ServerBody<'a>,
    streams: Vec<Start<'a>>,
    rooms: Vec<Opened<'a>>,
    slow: &'a Columns,
    room_slow: &'a Columns,
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
    rooms_max: usize,
    ring_bytes: usize,
    uptime_ms: u64,
    /// Whether there is a folder for recordings.
    records: bool,
    /// Whether the server is a node of a cluster.
    cluster: bool,
}

#[derive(Serialize)]
struct UpdateBody<'a> {
    number: u64,
    uptime_ms: u64,
    /// Samples per channel that the mix has.
    position_samples: u64,
    ticks: u64,
    late_ticks: u64,
    tick_time: TickReport,
    streams: u64,
    clipped_samples: u64,
    limited_samples: u64,
    ledger: &'a Entry,
    mix: MixBody,
    level: String,
    fill: String,
    drops: String,
    /// A bit for each slot, the first in the lowest.
    talking: String,
    room_level: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    started: Vec<Start<'a>>,
    /// Places of rooms that closed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rooms_closed: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rooms_opened: Vec<Opened<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slow: Option<&'a Columns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_slow: Option<&'a Columns>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a Event>,
}

#[derive(Serialize)]
struct MixBody {
    /// Peak of each channel.
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
                rooms_max: self.settings.rooms_max,
                ring_bytes: self.settings.ring_bytes,
                uptime_ms: milliseconds(self.uptime),
                records: self.settings.recordings.is_some(),
                cluster: self.settings.cluster.is_some(),
            },
            streams: started(&nobody, self.roster, self.streams),
            rooms: rooms::opened(&Rooms::new(), self.rooms),
            slow: self.columns,
            room_slow: self.room_columns,
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
            tick_time: status.tick_time,
            streams: streams.len() as u64,
            clipped_samples: status.clipped_samples,
            limited_samples: status.limited_samples,
            ledger: &status.ledger,
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
            talking: bits(slots, streams, |figures| figures.levels.talking),
            ended: ended.map(|(slot, _)| slot).collect(),
            started: started(self.before, self.roster, streams),
            room_level: rooms::levels(self.rooms),
            rooms_closed: rooms::closed(self.rooms_before, self.rooms),
            rooms_opened: rooms::opened(self.rooms_before, self.rooms),
            slow: self.columns,
            room_slow: self.room_columns,
            events: self.events.iter().map(Arc::as_ref).collect(),
        };
        event("update", &body)
    }
}

impl Columns {
    pub(super) fn new<const N: usize>(columns: [(&'static str, Vec<Value>); N]) -> Self {
        Self(columns.into())
    }

    /// All of them.
    pub(super) fn of(slots: usize, streams: &[Arc<StreamFigures>]) -> Self {
        type Of = fn(&StreamFigures) -> Value;
        let column = |of: &dyn Fn(&StreamFigures) -> Value| {
            column(slots, streams, Value::Whole(0), |figures| of(figures))
        };
        let ledger = Term::chosen(&Entry::TERMS, &LEDGER).map(|term| {
            let of = |figures: &StreamFigures| short((term.of)(&figures.ledger), term.unit);
            (term.key, column(&of))
        });
        let network = Term::chosen(&NetworkEntry::TERMS, &NETWORK).map(|term| {
            let of = |figures: &StreamFigures| {
                let value = figures.network.as_ref().map_or(Value::Absent, term.of);
                short(value, term.unit)
            };
            (term.key, column(&of))
        });
        let own: [(_, Of); 3] = [
            // Whole seconds since the last packet, of a stream that is stalled; else 0.
            ("stalled_s", |figures| {
                let silence = silence(&figures.ledger, figures.last_packet_age());
                Value::Whole(if silence < STALL {
                    0
                } else {
                    silence.as_secs()
                })
            }),
            ("gain_db", |figures| gain_db(figures.levels.gain)),
            ("flags", |figures| {
                let levels = &figures.levels;
                let bit = |on, bit| if on { bit } else { 0 };
                Value::Whole(
                    bit(levels.muted, MUTED)
                        | bit(levels.solo, SOLO)
                        | bit(figures.state == StreamState::Waiting, WAITING),
                )
            }),
        ];
        let own = own.into_iter().map(|(name, of)| (name, column(&of)));
        Self(ledger.chain(network).chain(own).collect())
    }

    /// Columns that differ from the last sent.
    pub(super) fn since(&self, told: &Self) -> Self {
        let now = self.0.iter();
        let changed = now.filter(|(name, values)| told.0.get(*name) != Some(values));
        Self(
            changed
                .map(|(name, values)| (*name, values.clone()))
                .collect(),
        )
    }
}

pub(super) fn gain_db(gain: Gain) -> Value {
    let db = f64::from(gain.db().max(SILENCE_DB));
    short(Value::Real(db), Unit::Count)
}

/// In few digits. A rate above nothing stays above it.
fn short(value: Value, unit: Unit) -> Value {
    match value {
        Value::Real(0.0) => Value::Whole(0),
        Value::Real(rate) if unit == Unit::Ratio => Value::Real((rate * 1e6).ceil() / 1e6),
        Value::Real(figure) => Value::Real((figure * 1e3).round() / 1e3),
        value => value,
    }
}

/// A figure of each slot, and `free` where there is no stream.
fn column<T: Copy>(
    slots: usize,
    streams: &[Arc<StreamFigures>],
    free: T,
    of: impl Fn(&StreamFigures) -> T,
) -> Vec<T> {
    let mut column = vec![free; slots];
    for figures in streams {
        if let Some(place) = column.get_mut(figures.admitted.slot()) {
            *place = of(figures);
        }
    }
    column
}

fn bytes(
    slots: usize,
    streams: &[Arc<StreamFigures>],
    of: impl Fn(&StreamFigures) -> u8,
) -> String {
    BASE64.encode(column(slots, streams, 0, of))
}

fn bits(
    slots: usize,
    streams: &[Arc<StreamFigures>],
    of: impl Fn(&StreamFigures) -> bool,
) -> String {
    let column = column(slots, streams, false, of);
    let byte = |bits: &[bool]| bits.iter().rfold(0, |byte, &bit| byte << 1 | u8::from(bit));
    BASE64.encode(column.chunks(8).map(byte).collect::<Vec<u8>>())
}

/// Streams that are somewhere now, and were not, or had another label or room.
fn started<'a>(
    before: &[Option<Seat>],
    roster: &[Option<Seat>],
    streams: &'a [Arc<StreamFigures>],
) -> Vec<Start<'a>> {
    streams
        .iter()
        .filter_map(|figures| {
            let admitted = &figures.admitted;
            let slot = admitted.slot();
            let seat = roster.get(slot)?.as_ref()?;
            let is_known = before.get(slot)?.as_ref() == Some(seat);
            (seat.number == admitted.number() && !is_known).then(|| {
                (
                    slot,
                    admitted.id(),
                    admitted.kind(),
                    admitted.from(),
                    milliseconds(admitted.at()),
                    admitted.number(),
                    figures.label.as_deref(),
                    seat.room,
                )
            })
        })
        .collect()
}

/// Half decibels: 255 is full scale, 1 is 127 dB below it, 0 is silence.
pub(super) fn level_byte(peak: u16) -> u8 {
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
        // A server that says nothing of itself.
        assert_eq!((fill_byte(5, 0), share_byte(5, 0)), (255, 255));
    }

    #[test]
    fn columns_that_did_not_change_are_left_out() {
        let columns = |flags: [u64; 2], gain_db| {
            let flags = flags.map(Value::Whole).into();
            Columns(BTreeMap::from([("flags", flags), ("gain_db", gain_db)]))
        };
        let gain_db = vec![Value::Whole(0), Value::Real(-3.0)];
        let told = columns([0, MUTED], gain_db.clone());
        let now = columns([SOLO, MUTED], gain_db);
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
