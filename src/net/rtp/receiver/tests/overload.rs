//! More streams than a thread holds: which of them play, and what becomes of the others.

use super::rig::{MS, Rig, Sender, Setup};
use crate::ledger::StreamState;

const PHONES: [&str; 10] = [
    "192.0.2.1:4000",
    "192.0.2.2:4000",
    "192.0.2.3:4000",
    "192.0.2.4:4000",
    "192.0.2.5:4000",
    "192.0.2.6:4000",
    "192.0.2.7:4000",
    "192.0.2.8:4000",
    "192.0.2.9:4000",
    "192.0.2.10:4000",
];

fn ten_phones() -> (Rig, Vec<Sender>) {
    let rig = Setup::new().slots(10).payload("96=L16/8000/1").rig();
    let phones = (1..).zip(PHONES);
    let phones = phones.map(|(ssrc, from)| Sender::new(from, ssrc));
    (rig, phones.collect())
}

/// A tenth of a second in which packets wait for so long before the thread works on them.
fn run(rig: &mut Rig, phones: &mut [Sender], waited_ns: u64) {
    for _ in 0..5 {
        rig.hear_for(&mut phones.iter_mut().collect::<Vec<_>>(), 1);
        let now = rig.now_ns;
        rig.receiver().look(waited_ns, now);
    }
}

fn states(rig: &Rig) -> Vec<StreamState> {
    rig.heard
        .iter()
        .map(|heard| heard.account.state())
        .collect()
}

fn shed(rig: &Rig) -> usize {
    let shed = |state: &&StreamState| **state == StreamState::Shed;
    states(rig).iter().filter(shed).count()
}

#[test]
fn the_youngest_streams_are_shed_and_the_rest_is_whole() {
    let (mut rig, mut phones) = ten_phones();
    run(&mut rig, &mut phones[..9], 0);
    for _ in 0..9 {
        run(&mut rig, &mut phones[..9], 15 * MS);
    }
    assert_eq!(
        shed(&rig),
        0,
        "what waits for less than a period is on time"
    );
    while shed(&rig) == 0 {
        assert!(rig.now_ns < 60_000 * MS);
        run(&mut rig, &mut phones[..9], 30 * MS);
    }
    let mut expected = vec![StreamState::Waiting; 9];
    // An eighth of nine, rounded up.
    expected[7..].fill(StreamState::Shed);
    assert_eq!(states(&rig), expected);
    for _ in 0..3 {
        run(&mut rig, &mut phones, 0);
    }
    let refused = |rig: &Rig| rig.listener().refused()["overloaded"];
    assert_eq!((rig.streams(), refused(&rig)), (9, 1));
    assert_eq!(states(&rig), expected);
    let before = rig.now_ns;
    while shed(&rig) > 0 {
        assert!(rig.now_ns < before + 60_000 * MS);
        run(&mut rig, &mut phones[..9], 0);
    }
    run(&mut rig, &mut phones[..9], 0);
    rig.pass(10);
    for (heard, phone) in rig.heard.iter().zip(&phones).take(7) {
        heard.assert_heard(&phone.since(1));
        assert_eq!(heard.entry().discarded, 0);
    }
    for heard in &rig.heard[7..] {
        let (entry, network) = (heard.entry(), heard.network());
        assert!(entry.discarded_overload > 0 && !heard.is_contiguous());
        assert_eq!((entry.lost, network.totals.lost), (0, 0));
        let events: Vec<_> = network.events.iter().map(|event| &event.what[..]).collect();
        let expected = [
            "shed: its thread has more streams than it holds",
            "plays again",
        ];
        assert_eq!(events, expected);
    }
    // Once all are back and there was time for a while, others are taken, too.
    for _ in 0..100 {
        run(&mut rig, &mut phones[..9], 0);
    }
    run(&mut rig, &mut phones, 0);
    assert_eq!(rig.streams(), 10);
}

#[test]
fn packets_that_waited_until_streams_were_shed_are_discarded() {
    let (mut rig, mut phones) = ten_phones();
    while shed(&rig) == 0 {
        assert!(rig.now_ns < 60_000 * MS);
        run(&mut rig, &mut phones, 100 * MS);
    }
    let discarded = rig.heard[0].entry().discarded_overload;
    assert_eq!(discarded, 0);
    // It came before, and is read only now.
    let bytes = phones[0].next();
    let at = rig.now_ns - 50 * MS;
    rig.receiver()
        .datagram(&bytes, super::rig::address(PHONES[0]), at);
    run(&mut rig, &mut phones, 0);
    let (entry, network) = (rig.heard[0].entry(), rig.heard[0].network());
    assert_eq!((entry.discarded_overload, entry.lost), (160, 0));
    assert_eq!(
        network.totals.received,
        u64::from(phones[0].sequence - 1000)
    );
}
