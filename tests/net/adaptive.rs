//! An adaptive delay: what is heard is pieces of what was sent, bit for bit and in order; between them is
//! a cross-fade, or what the ledger names as missing; and the delay stays between its bounds.

use std::rc::Rc;

use mixpool::ledger::{Entry, NetworkEntry};

use crate::emulator::{self, Coding, MS, Path, SECOND, Sender, Sent, Setup, What, pieces};

const FLOOR_MS: u64 = 50;
const CEILING_MS: u64 = 400;
/// A cross-fade is so long at most, in samples.
const FADE: usize = 128;
/// Samples of a packet: 20 ms.
const PACKET: usize = 160;
/// A path may be taken for a sender's clock for a moment, and followed by so many samples.
const SLIPS: usize = 8;
const SEEDS: std::ops::Range<u64> = 0..2;

/// The outcome of a stream.
struct Heard {
    entry: Entry,
    network: NetworkEntry,
    /// Samples of the stream's time that play without the sender's, by when they play.
    silent: Vec<usize>,
    /// How long after its arrival by the shortest way each piece's first sample plays.
    delays_ms: Vec<f64>,
}

impl Heard {
    /// Samples of the stream's time that play without the sender's after so many seconds.
    fn silent_after(&self, seconds: usize) -> usize {
        let late = |&&at: &&usize| at > seconds * 8000;
        self.silent.iter().filter(late).count()
    }
}

/// Plays what this sender sent, in packets of 20 ms and without a pause, and checks all laws.
fn check(seed: u64, mut sender: Sender, mut path: Path) -> Heard {
    let sent = sender.sent();
    let arrivals = path.carry(&sent);
    let setup = Setup::adaptive(FLOOR_MS, CEILING_MS);
    let mut rig = setup.silent_gaps().rig();
    rig.run(&arrivals);
    rig.rest(3000);
    let (entry, network) = rig.only();
    let mix = rig.output();

    // Packets that never came, and those that did.
    let came = |sent: &Rc<Sent>| {
        arrivals.iter().any(|arrival| match &arrival.what {
            What::Packet(packet) => packet.number == sent.number,
            _ => false,
        })
    };
    let came: Vec<_> = sent.iter().map(came).collect();
    let offered = came.iter().filter(|&&came| came).count() * PACKET;
    let slipped = offered.abs_diff(entry.offered as usize);
    assert!(slipped <= SLIPS, "seed {seed}: {slipped}: {network:?}");
    assert_eq!(
        entry.mixed + entry.dropped_late + entry.discarded,
        entry.offered,
        "seed {seed}"
    );

    let samples: Vec<_> = sent.iter().flat_map(|sent| sent.samples.clone()).collect();
    let pieces = pieces(mix, &samples);
    let (mut silent, mut faded, mut passed) = (Vec::new(), 0, 0);
    for pair in pieces.windows(2) {
        let [one, next] = pair else { continue };
        let end = one.at + one.length;
        let before = silent.len();
        assert!(
            next.from >= one.from + one.length,
            "seed {seed}: out of order: {one:?} {next:?}"
        );
        // As long as what was passed over: a gap, though it be of one sample. Otherwise a fade, which
        // may pass through zero, but stays nowhere.
        let gap = next.at - end == next.from - (one.from + one.length);
        let zeros = (end..next.at)
            .filter(|&at| mix[at] == 0 && (gap || mix[at - 1] == 0 || mix[at + 1] == 0));
        silent.extend(zeros);
        let sounds = next.at - end - (silent.len() - before);
        assert!(
            sounds <= FADE,
            "seed {seed}: {sounds} unknown after {one:?}"
        );
        faded += sounds;
        passed += next.from - (one.from + one.length);
    }
    let (first, last) = (pieces.first().unwrap(), pieces.last().unwrap());
    let before = first.from;
    let after = samples.len() - (last.from + last.length);
    let lost: usize = came.iter().filter(|&&came| !came).count() * PACKET;
    // Each sample that was sent is heard, was in a cross-fade, was lost, or was dropped and counted.
    let unheard = before + passed + after;
    let named = lost + (entry.dropped_late + entry.discarded) as usize;
    assert!(
        (named..=named + faded + slipped).contains(&unheard),
        "seed {seed}: {unheard} unheard, {named} named, {faded} faded: {network:?}"
    );
    // And each moment without one is counted. Losses before the first and after the last are none.
    assert_eq!(
        entry.concealed as usize,
        silent.len(),
        "seed {seed}: {network:?}"
    );

    let delay = |piece: &emulator::Piece| {
        let plays_ns = (SECOND + piece.at as u64 * 125_000) as f64;
        let packet = piece.from / PACKET;
        let inside_ns = (piece.from % PACKET) as f64 * 125_000.0;
        (plays_ns - inside_ns - sent[packet].at_ns as f64) / MS as f64 - 10.0
    };
    let delays_ms: Vec<_> = pieces.iter().map(delay).collect();
    for delay_ms in &delays_ms {
        let range = FLOOR_MS as f64 - 2.0..=CEILING_MS as f64 + 2.0;
        assert!(range.contains(delay_ms), "seed {seed}: {delay_ms} ms");
    }
    Heard {
        entry,
        network,
        silent,
        delays_ms,
    }
}

/// A minute of noise that is loud for a second and nearly silent for half of one.
fn speech(seed: u64) -> Sender {
    let mut sender = Sender::new(seed).coding(Coding::Linear);
    sender.protect(3);
    for _ in 0..40 {
        sender.quiet = false;
        sender.talk(50);
        sender.quiet = true;
        sender.talk(25);
    }
    sender
}

#[test]
fn on_a_clear_path_nothing_is_missing_at_the_floor_delay() {
    for seed in SEEDS {
        let heard = check(seed, speech(seed), Path::clear(seed));
        assert_eq!((heard.entry.concealed, heard.entry.dropped_late), (0, 0));
        let last_ms = heard.delays_ms.last().unwrap();
        assert!((*last_ms - FLOOR_MS as f64).abs() < 12.0, "{last_ms} ms");
    }
}

#[test]
fn what_is_lost_is_a_gap_of_its_length() {
    for seed in SEEDS {
        let path = Path::clear(seed).losing(0.05).losing_rows(0.01, 0.3);
        let heard = check(seed, speech(seed), path);
        assert!(heard.entry.concealed > 0 && heard.entry.dropped_late == 0);
    }
}

#[test]
fn the_delay_grows_with_the_jitter_until_nothing_is_missing() {
    for seed in SEEDS {
        let path = Path::clear(seed).jitter(100 * MS);
        let heard = check(seed, speech(seed), path);
        assert_eq!(heard.entry.dropped_late, 0);
        assert!(
            heard.silent_after(30) <= 30 * 8000 / 500,
            "more than one sample in 500"
        );
    }
}

#[test]
fn a_dozen_packets_at_once_every_250_ms_are_soon_whole() {
    for seed in SEEDS {
        let sender = speech(seed).in_bursts_of(13);
        let path = Path::clear(seed);
        let heard = check(seed, sender, path);
        assert_eq!(heard.silent_after(10), 0);
    }
}

#[test]
fn a_stall_is_missed_once_and_late_for_nobody() {
    for seed in SEEDS {
        let path = Path::clear(seed).stalling(20 * SECOND, 300 * MS);
        let heard = check(seed, speech(seed), path);
        assert!(heard.entry.concealed > 0);
        assert_eq!(heard.entry.dropped_late, 0);
    }
}

#[test]
fn what_was_overtaken_is_late_or_in_its_place() {
    for seed in SEEDS {
        let path = Path::clear(seed).overtaking(0.1, 150 * MS).doubling(0.05);
        let heard = check(seed, speech(seed), path);
        assert!(heard.network.totals.reordered > 0 && heard.network.totals.duplicate > 0);
    }
}

#[test]
fn packets_all_at_once_stay_in_order_and_are_counted() {
    for seed in SEEDS {
        let path = Path::clear(seed)
            .losing(0.03)
            .doubling(0.03)
            .jitter(40 * MS)
            .overtaking(0.05, 150 * MS)
            .stalling(9 * SECOND, 300 * MS);
        check(seed, speech(seed), path);
    }
}

#[test]
fn a_perfect_stream_is_whole_whatever_its_phase() {
    const PHASES: u64 = 1000;
    let failed: Vec<_> = (0..PHASES)
        .filter(|&phase| !is_whole(phase, 20 * MS / PHASES))
        .collect();
    assert!(
        failed.is_empty(),
        "{} fail: {:?}...",
        failed.len(),
        failed.first()
    );
}

/// Whether each sample of a sender that begins in this phase of a tick is heard in its place, at the default delay:
/// without jitter, or with up to 2 ms of it.
fn is_whole(phase: u64, step_ns: u64) -> bool {
    let mut sender = Sender::new(phase).coding(Coding::Linear);
    sender.start_ns = SECOND + 100 * MS + phase * step_ns;
    for _ in 0..3 {
        sender.quiet = false;
        sender.talk(25);
        sender.quiet = true;
        sender.talk(25);
    }
    let sent = sender.sent();
    let arrivals = Path::clear(phase).jitter(phase % 2 * 2 * MS).carry(&sent);
    let mut rig = Setup::adaptive(20, 500).rig();
    rig.run(&arrivals);
    rig.rest(300);
    let (entry, network) = rig.only();
    let lost = [
        entry.discarded,
        entry.dropped_late,
        entry.concealed,
        network.totals.late,
    ];
    let samples: Vec<_> = sent.iter().flat_map(|sent| sent.samples.clone()).collect();
    let first = rig.output().iter().position(|&sample| sample != 0);
    let first = first.unwrap_or(rig.output().len());
    lost == [0; 4] && rig.output()[first..].starts_with(&samples)
}
