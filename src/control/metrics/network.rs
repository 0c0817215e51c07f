//! The families of what comes from networks and goes to them, of the server as a whole and of each address.
//!
//! Labels are bounded: addresses are those of the settings, and reasons are a fixed list.

use std::{collections::BTreeMap, iter};

use super::{
    Scrape,
    page::{Labels, PACKETS, Page, SAMPLES, STREAMS},
};
use crate::{
    engine::Handle,
    ledger::{ListenerEntry, Malformed, NetworkEntry, Refusal},
    output::RtpSent,
};

pub(super) fn write(page: &mut Page, scrape: &Scrape) {
    let network = NetworkEntry {
        totals: scrape.snapshot.status.network,
        ..NetworkEntry::default()
    };
    page.terms(
        "",
        &NetworkEntry::TERMS,
        |metric| metric.of_server,
        &iter::once((None, &network)),
    );
    listeners(page, &listener_figures(&scrape.state.handle));
    rtp_out(page, &scrape.state.handle);
}

/// A listener's input that became no stream.
#[derive(Debug)]
struct ListenerFigures {
    name: String,
    entry: ListenerEntry,
}

/// All listeners, by name: two of one name would be the same series twice.
fn listener_figures(handle: &Handle) -> Vec<ListenerFigures> {
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

fn listeners(page: &mut Page, listeners: &[ListenerFigures]) {
    fn labels<'l>(listener: &'l ListenerFigures, reason: &'static str) -> Labels<'l, 2> {
        [("listener", &listener.name), ("reason", reason)]
    }
    let by_name = |figure: fn(&ListenerEntry) -> u64| {
        listeners
            .iter()
            .map(move |listener| ([("listener", &*listener.name)], figure(&listener.entry)))
    };
    page.counters(
        "ingest_refused",
        None,
        "Streams, connections and datagrams that were refused",
        listeners.iter().flat_map(|listener| {
            let refused = Refusal::ALL.into_iter().zip(listener.entry.refused);
            refused.map(|(why, times)| (labels(listener, why.name()), times))
        }),
    );
    page.counters(
        "ingest_malformed",
        None,
        "Input that was not what it claimed to be",
        listeners.iter().flat_map(|listener| {
            let malformed = Malformed::ALL.into_iter().zip(listener.entry.malformed);
            malformed.map(|(how, times)| (labels(listener, how.name()), times))
        }),
    );
    page.counters(
        "ingest_unadmitted",
        PACKETS,
        "Packets of sources that have no stream: too few to prove one, refused, or overtaken by a goodbye",
        by_name(|entry| entry.unadmitted),
    );
    page.counters(
        "ingest_receive_errors",
        None,
        "Failed calls to receive from a socket",
        by_name(|entry| entry.receive_errors),
    );
    page.counters(
        "ingest_kernel_dropped",
        PACKETS,
        "Packets for which the kernel had no room",
        by_name(|entry| entry.kernel_drops),
    );
    page.counters(
        "ingest_timed_out",
        STREAMS,
        "Streams that were idle for too long",
        by_name(|entry| entry.timed_out),
    );
}

fn rtp_out(page: &mut Page, handle: &Handle) {
    // One target named twice would be the same series twice.
    let mut by_target: BTreeMap<String, RtpSent> = BTreeMap::new();
    for (target, sent) in handle.rtp_out() {
        by_target
            .entry(target.address.to_string())
            .or_default()
            .add(&sent);
    }
    for (name, unit, help, figure) in [
        (
            "rtp_out_sent",
            PACKETS,
            "Packets of the mix that were sent",
            (|sent| sent.packets) as fn(&RtpSent) -> u64,
        ),
        (
            "rtp_out_unsent",
            PACKETS,
            "Packets of the mix that the host could not send",
            |sent| sent.unsent_packets,
        ),
        (
            "rtp_out_refusals",
            None,
            "How often the kernel told that nobody listens there",
            |sent| sent.refusals,
        ),
        (
            "rtp_out_lost",
            SAMPLES,
            "Samples of the mix that the sending thread was too slow for",
            |sent| sent.lost_samples,
        ),
    ] {
        let lines = by_target
            .iter()
            .map(|(target, sent)| ([("target", &**target)], figure(sent)));
        page.counters(name, unit, help, lines);
    }
}
