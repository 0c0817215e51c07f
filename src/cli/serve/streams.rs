//! The streams that begin and end, as lines of the log.

use std::time::Duration;

use mixpool::server::{Admitted, Handle};

/// Lines of a look about streams that began, and as many about those that ended. Strangers may begin streams, and must
/// not fill a disk by that: the others of a look are one line.
const LINES_MAX: usize = 20;

/// What the log knows.
#[derive(Debug)]
pub(super) struct StreamLog {
    started: u64,
    ended: u64,
}

impl StreamLog {
    /// Those that were there before are known.
    pub(super) fn new(handle: &Handle) -> Self {
        Self {
            started: handle.streams_count(),
            ended: handle.ended_count(),
        }
    }

    /// Logs what happened since the last look.
    pub(super) fn look(&mut self, handle: &Handle) {
        // In this order: a stream that is counted is among those that run, or among those that ended.
        let started = handle.streams_count();
        let running = handle.running();
        let ended = handle.ended_count();
        let news = usize::try_from(ended - self.ended).unwrap_or(usize::MAX);
        let mut gone = handle.ended(news);
        gone.reverse();
        let fresh = |stream: &&_| (self.started..started).contains(&Admitted::number(stream));
        let mut begun: Vec<_> = gone
            .iter()
            .chain(&running)
            .map(|stream| &**stream)
            .collect();
        begun.retain(fresh);
        begun.sort_by_key(|stream| stream.number());
        begun.dedup_by_key(|stream| stream.number());
        for stream in begun.iter().take(LINES_MAX) {
            tracing::info!(stream = %name(stream), "started, {}", stream.from());
        }
        rest((started - self.started) as usize, "started");
        for stream in gone.iter().take(LINES_MAX) {
            let lasted = handle.uptime().saturating_sub(stream.at());
            tracing::info!(stream = %name(stream), "ended, {}", summary(stream, lasted));
        }
        rest(news, "ended");
        (self.started, self.ended) = (started, ended);
    }
}

fn rest(all: usize, what: &str) {
    let more = all.saturating_sub(LINES_MAX);
    if more > 0 {
        tracing::info!(
            "{more} more streams {what} in the last second; GET /api/v1/streams?phase=all has them"
        );
    }
}

/// The id; behind it the label, in quotes.
fn name(stream: &Admitted) -> String {
    match stream.label() {
        Some(label) => format!("{} \"{label}\"", stream.id()),
        None => stream.id().to_owned(),
    }
}

/// Where it came from, how long it was there, and what of it was not heard.
fn summary(stream: &Admitted, lasted: Duration) -> String {
    let ledger = stream.account().read();
    let lost = stream
        .account()
        .network()
        .map(|network| network.gauges().lost);
    let lost = lost.map_or(String::new(), |lost| format!("{lost} packets lost, "));
    format!(
        "{}, after {} s: {lost}{} of {} samples dropped, {} concealed",
        stream.from(),
        lasted.as_secs(),
        ledger.dropped(),
        ledger.offered,
        ledger.concealed
    )
}
