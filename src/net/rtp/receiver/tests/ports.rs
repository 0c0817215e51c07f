//! A stream that changes its port in mid-call, and others that may not take it over.

use std::time::Duration;

use super::rig::{PTIME, Sender, Setup, rig};
use crate::playout::Delay;

const PHONE: &str = "192.0.2.1:40000";
const MOVED: &str = "192.0.2.1:40100";

#[test]
fn a_stream_that_goes_on_from_another_port_is_the_same_stream() {
    let mut setup = Setup::new().payload("96=L16/8000");
    setup.settings.playout.delay = Delay::Fixed(Duration::from_millis(200));
    let mut rig = setup.rig();
    let mut phone = Sender::new(PHONE, 1);
    rig.hear_for(&mut [&mut phone], 50);
    let overtaken = phone.next();
    phone.from = MOVED;
    rig.pass(1);
    rig.hear_for(&mut [&mut phone], 2);
    // It was sent before the change, and comes in time.
    rig.datagram(&overtaken, PHONE);
    rig.hear_for(&mut [&mut phone], 48);
    rig.pass(15);
    let heard = rig.only();
    heard.assert_heard(&phone.since(1));
    let (entry, network) = (heard.entry(), heard.network());
    assert!(heard.is_contiguous() && entry.concealed == 0);
    assert_eq!((network.totals.received, network.totals.lost), (101, 0));
    assert_eq!(network.events[0].what, "moved to 192.0.2.1:40100");
    // And back again.
    phone.from = PHONE;
    rig.hear_for(&mut [&mut phone], 10);
    assert_eq!((rig.streams(), rig.heard.len()), (1, 1));
    assert_eq!(rig.listener().unadmitted, 0);
}

/// How a stranger's packets differ from the stream's.
type Change = fn(&Sender) -> Sender;

#[test]
fn a_stranger_with_the_source_number_takes_nothing_over() {
    let far = |sender: &Sender| Sender {
        sequence: sender.sequence.wrapping_add(20_000),
        ..sender.clone()
    };
    let later = |sender: &Sender| Sender {
        timestamp: sender.timestamp.wrapping_add(100_000),
        ..sender.clone()
    };
    let same = |sender: &Sender| sender.clone();
    // While the stream is live, and once it is silent: from another address, or where nothing goes on.
    let cases: [(bool, &str, Change); 4] = [
        (true, MOVED, same),
        (false, "192.0.2.2:40000", same),
        (false, MOVED, far),
        (false, MOVED, later),
    ];
    for (live, from, change) in cases {
        let mut rig = rig();
        let mut phone = Sender::new(PHONE, 1);
        rig.hear_for(&mut [&mut phone], 20);
        let mut stranger = change(&phone);
        stranger.from = from;
        for _ in 0..20 {
            if live {
                rig.hear(&mut phone);
            }
            rig.now_ns += PTIME / 4;
            rig.hear_for(&mut [&mut stranger], 1);
        }
        if !live {
            phone.timestamp += 20 * 160;
        }
        rig.hear_for(&mut [&mut phone], 5);
        rig.pass(10);
        assert_eq!(rig.heard.len(), 2, "{live} {from}");
        rig.heard[0].assert_heard(&phone.since(1));
        assert!(rig.heard[0].network().events.is_empty());
    }
}
