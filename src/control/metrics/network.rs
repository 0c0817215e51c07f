//! The families of what comes from networks and goes to them, of the server as a whole and of each address.
//!
//! Labels are bounded: addresses are those of the settings, and reasons are a fixed list.

use std::{collections::BTreeMap, iter};

use super::{Scrape, page::Page};
use crate::{
    engine::Handle,
    ledger::{ListenerEntry, NetworkEntry},
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
        &iter::once(([], &network)),
    );
    listeners(page, &scrape.state.handle);
    rtp_out(page, &scrape.state.handle);
}

fn listeners(page: &mut Page, handle: &Handle) {
    type ByReason = fn(&ListenerEntry) -> BTreeMap<&'static str, u64>;
    // Two of one name would be the same series twice.
    let mut by_name: BTreeMap<String, ListenerEntry> = BTreeMap::new();
    for listener in handle.listeners() {
        let entry = by_name.entry(listener.name().to_owned()).or_default();
        entry.add(&listener.read());
    }
    let families: [(_, _, ByReason); 2] = [
        (
            "ingest_refused",
            "Streams, connections and datagrams that were refused",
            ListenerEntry::refused,
        ),
        (
            "ingest_malformed",
            "Input that was not what it claimed to be",
            ListenerEntry::malformed,
        ),
    ];
    for (name, help, counts) in families {
        let lines = by_name.iter().flat_map(|(listener, entry)| {
            let counts = counts(entry).into_iter();
            counts.map(|(reason, times)| ([("listener", &**listener), ("reason", reason)], times))
        });
        page.counters(name, None, help, lines);
    }
    let entries = by_name.iter();
    page.terms(
        "",
        &ListenerEntry::TERMS,
        |_| true,
        &entries.map(|(listener, entry)| ([("listener", &**listener)], entry)),
    );
}

fn rtp_out(page: &mut Page, handle: &Handle) {
    // One target of a room named twice would be the same series twice.
    let mut by_target: BTreeMap<(String, &str), RtpSent> = BTreeMap::new();
    for (target, sent) in handle.rtp_out() {
        let key = (target.address.to_string(), &*target.room);
        by_target.entry(key).or_default().add(&sent);
    }
    let entries = by_target.iter();
    page.terms(
        "",
        &RtpSent::TERMS,
        |_| true,
        &entries.map(|((target, room), sent)| ([("target", &**target), ("room", *room)], sent)),
    );
}
