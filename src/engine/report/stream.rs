//! A stream at one moment: the one shape in which the report, the API and the page have it.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audio::meter,
    engine::Admitted,
    ledger::{Entry, Network, NetworkEntry, NetworkRow, SourceKind, StreamState},
    mixer::Levels,
    os::now_ns,
};

/// The figures of one stream at one moment. Reading them locks nothing but the label, for the time of a copy.
#[derive(Debug, Clone)]
pub(crate) struct StreamFigures {
    pub(crate) admitted: Arc<Admitted>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) state: StreamState,
    pub(crate) levels: Levels,
    pub(crate) ledger: Entry,
    /// Present for a stream that comes over a network; without its events, and once it has ended without the age
    /// of its last packet.
    pub(crate) network: Option<NetworkEntry>,
    /// Samples dropped since the look before, if there was one.
    pub(crate) dropped_now: u64,
}

impl StreamFigures {
    /// Reads them.
    pub(crate) fn read(admitted: &Arc<Admitted>) -> Self {
        // Before the account: of a stream that ended, the last figures are read then.
        let state = admitted.state();
        let account = admitted.account();
        let network = account.network().map(Network::figures);
        Self {
            admitted: Arc::clone(admitted),
            label: admitted.label(),
            state,
            levels: admitted.levels(),
            ledger: account.read(),
            network: match state {
                StreamState::Ended => network,
                _ => network.map(|network| network.at(now_ns())),
            },
            dropped_now: 0,
        }
    }

    /// Time since the last packet, of a stream that comes over a network and has not ended.
    pub(crate) fn last_packet_age(&self) -> Option<Duration> {
        self.network.as_ref()?.last_packet_age
    }
}

/// A stream. Samples are interleaved.
///
/// While it runs, its figures are read one after the other, and `in_ring_samples` is of the mixer's last
/// look at its ring: so the two sides of the equation may be apart by the frames that are on their way.
/// Once its state is `ended` all figures are final, and the equation is exact.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Stream)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct StreamReport {
    /// No other stream that runs has it; one that ended may.
    pub id: String,
    /// The label for people; null without one.
    pub label: Option<String>,
    /// How many streams were admitted before it.
    pub number: u64,
    /// The kind of its source.
    pub kind: SourceKind,
    /// Where it comes from, for people.
    pub source: String,
    /// How far it has come.
    pub state: StreamState,
    /// The room that it is in, or on its way to.
    pub room: String,
    /// Its ring in the pool. Once it has ended another stream may have it.
    pub slot: usize,
    /// When it was admitted, since the start of the server.
    pub admitted_at_s: f64,
    /// Since then; null once it has ended.
    pub age_s: Option<f64>,
    /// In dB; null for silence.
    pub gain_db: Option<f32>,
    /// Whether it is consumed without being heard, by command.
    pub muted: bool,
    /// While any stream is solo, those that are not are not heard.
    pub solo: bool,
    /// Its level before gain and mute, in the last tenth of a second, in dB of full scale; null for silence.
    pub peak_dbfs: Option<f32>,
    /// Whether it talks, before gain and mute, by its room's threshold and hold.
    pub talking: bool,
    /// The time for which it talked.
    pub talking_s: f64,
    /// Ring space in use.
    pub ring_filled_bytes: u64,
    /// Samples are dropped of it right now.
    pub dropping: bool,
    /// Where its samples went.
    #[serde(flatten)]
    pub ledger: Entry,
    /// Some figures of its network side.
    #[serde(flatten)]
    pub row: NetworkRow,
    /// All figures of its network side; null unless it comes over a network.
    pub network: Option<NetworkEntry>,
}

impl StreamReport {
    /// Reports these figures, `uptime` after the start. Locks and allocates.
    pub(crate) fn new(figures: &StreamFigures, uptime: Duration) -> Self {
        let StreamFigures {
            admitted, levels, ..
        } = figures;
        let runs = figures.state != StreamState::Ended;
        let mut network = figures.network.clone();
        if let (Some(entry), Some(account)) = (&mut network, admitted.account().network()) {
            account.read_events(entry);
        }
        Self {
            id: admitted.id().to_owned(),
            label: figures.label.as_deref().map(str::to_owned),
            number: admitted.number(),
            kind: admitted.kind(),
            source: admitted.from().to_owned(),
            state: figures.state,
            room: admitted.room().name().to_owned(),
            slot: admitted.slot(),
            admitted_at_s: admitted.at().as_secs_f64(),
            age_s: runs.then(|| uptime.saturating_sub(admitted.at()).as_secs_f64()),
            gain_db: finite(levels.gain.db()),
            muted: levels.muted,
            solo: levels.solo,
            peak_dbfs: finite(meter::dbfs(levels.peak)),
            talking: levels.talking,
            talking_s: levels.talked.as_secs_f64(),
            ring_filled_bytes: levels.ring_filled_bytes,
            dropping: runs && figures.dropped_now > 0,
            ledger: figures.ledger,
            row: NetworkRow::new(network.as_ref()),
            network,
        }
    }
}

/// JSON has no infinity: silence is null.
pub(crate) fn finite(db: f32) -> Option<f32> {
    db.is_finite().then_some(db)
}
