//! A stream, as the API shows it.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audio::meter,
    control::{api::status::finite, sampler::Figures},
    engine::Admitted,
    ledger::{Entry, NetworkEntry, StreamState},
    mixer::Levels,
    os::now_ns,
};

/// A stream.
///
/// While it runs, its figures are read one after the other, and `in_ring_samples` is of the mixer's last
/// look at its ring: so the two sides of the equation may be apart by the frames that are on their way.
/// Once its state is `ended` all figures are final, and the equation is exact.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::control::api) struct StreamBody {
    /// No other stream that runs has it; one that ended may.
    pub(in crate::control::api) id: String,
    /// The label for people; null without one.
    pub(in crate::control::api) label: Option<String>,
    /// How many streams were admitted before it.
    pub(in crate::control::api) number: u64,
    /// `synthetic`, `file`, `rtp`, `audiosocket`, `tcp`, ...
    pub(in crate::control::api) kind: String,
    /// Where it comes from, for people.
    pub(in crate::control::api) source: String,
    pub(in crate::control::api) state: StreamState,
    /// Its ring in the pool. Once it has ended another stream may have it.
    pub(in crate::control::api) slot: usize,
    /// When it was admitted, since the start of the server.
    pub(in crate::control::api) admitted_at_s: f64,
    /// Since then; null once it has ended.
    pub(in crate::control::api) age_s: Option<f64>,
    /// In dB; null for silence.
    pub(in crate::control::api) gain_db: Option<f32>,
    /// Whether it is consumed without being heard, by command.
    pub(in crate::control::api) muted: bool,
    /// While any stream is solo, those that are not are not heard.
    pub(in crate::control::api) solo: bool,
    /// Its level before gain and mute, in the last tenth of a second, in dB of full scale; null for silence.
    pub(in crate::control::api) peak_dbfs: Option<f32>,
    /// Ring space in use.
    pub(in crate::control::api) ring_filled_bytes: u64,
    /// Samples are dropped of it right now.
    pub(in crate::control::api) dropping: bool,
    #[serde(flatten)]
    pub(in crate::control::api) ledger: Entry,
    /// From arrival to playout; null unless it comes over a network. So are the next five.
    pub(in crate::control::api) playout_delay_ms: Option<f64>,
    pub(in crate::control::api) jitter_ms: Option<f64>,
    /// How much faster the sender's clock runs than ours.
    pub(in crate::control::api) drift_ppm: Option<f64>,
    pub(in crate::control::api) received_packets: Option<u64>,
    /// Expected by the sender's numbers and not received.
    pub(in crate::control::api) lost_packets: Option<u64>,
    /// Since its last packet, or since samples came on its connection; null once it has ended, too.
    pub(in crate::control::api) last_packet_age_ms: Option<f64>,
}

impl StreamBody {
    pub(in crate::control::api) fn running(figures: &Figures, now: Duration) -> Self {
        let age = now.saturating_sub(figures.admitted.at()).as_secs_f64();
        Self {
            age_s: Some(age),
            dropping: figures.dropped_now > 0,
            last_packet_age_ms: figures.last_packet_age.map(milliseconds),
            ..Self::new(
                &figures.admitted,
                figures.state,
                &figures.levels,
                &figures.ledger,
                figures.network.as_ref(),
            )
        }
    }

    /// As it is now. Whether samples are dropped of it, only snapshots know.
    pub(in crate::control::api) fn read(admitted: &Admitted, now: Duration) -> Self {
        // Before the account: of a stream that ended, the last figures are read then.
        let state = admitted.state();
        let levels = admitted.levels();
        let account = admitted.account();
        let network = account
            .network()
            .map(|network| network.figures().at(now_ns()));
        let age = now.saturating_sub(admitted.at()).as_secs_f64();
        let mut body = Self::new(admitted, state, &levels, &account.read(), network.as_ref());
        if state != StreamState::Ended {
            body.age_s = Some(age);
            body.last_packet_age_ms = network
                .and_then(|network| network.last_packet_age)
                .map(milliseconds);
        }
        body
    }

    fn new(
        admitted: &Admitted,
        state: StreamState,
        levels: &Levels,
        ledger: &Entry,
        network: Option<&NetworkEntry>,
    ) -> Self {
        let ms =
            |of: fn(&NetworkEntry) -> Duration| network.map(|network| milliseconds(of(network)));
        let from = admitted.from();
        Self {
            id: admitted.id().to_owned(),
            label: admitted.label().map(|label| (*label).to_owned()),
            number: admitted.number(),
            kind: kind(from).to_owned(),
            source: from.to_owned(),
            state,
            slot: admitted.slot(),
            admitted_at_s: admitted.at().as_secs_f64(),
            age_s: None,
            gain_db: finite(levels.gain.db()),
            muted: levels.muted,
            solo: levels.solo,
            peak_dbfs: finite(meter::dbfs(levels.peak)),
            ring_filled_bytes: levels.ring_filled_bytes,
            dropping: false,
            ledger: *ledger,
            playout_delay_ms: ms(|network| network.playout_delay),
            jitter_ms: ms(|network| network.jitter),
            drift_ppm: network.map(|network| network.drift_ppm),
            received_packets: network.map(|network| network.totals.received),
            lost_packets: network.map(|network| network.totals.lost),
            last_packet_age_ms: None,
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The first word of where a stream comes from.
pub(super) fn kind(from: &str) -> &str {
    from.split(' ').next().unwrap_or(from)
}
