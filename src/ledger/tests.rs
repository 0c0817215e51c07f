use super::*;

fn offered(account: &Account, samples: u64) {
    account.offer(samples);
    account.settle();
}

#[test]
fn samples_that_went_their_ways_balance() {
    let account = Account::new("a");
    offered(&account, 500);
    account.offer(160);
    account.settle_dropped(160);
    for (fate, samples) in [
        (Fate::Mixed, 200),
        (Fate::Muted, 100),
        (Fate::DroppedLate, 50),
        (Fate::Damaged, 25),
        (Fate::Misplaced, 5),
    ] {
        account.count(fate, samples);
    }
    assert_eq!(account.check(|| 120), Ok(Checked::Holds));
    let entry = account.read();
    assert_eq!(entry.dropped(), 160 + 50);
    assert!((entry.drop_rate() - 210.0 / 660.0).abs() < 1e-12);
    assert!((entry.missing_rate() - 210.0 / 660.0).abs() < 1e-12);
}

#[test]
fn lost_and_dropped_samples_are_missing() {
    let account = Account::with_network("a", 0);
    account.offer(800);
    account.settle_late(80);
    account.network().unwrap().set_expected(10, 2, 100);
    let entry = account.read();
    assert_eq!((entry.missing(), entry.sent()), (280, 1000));
    assert!((entry.missing_rate() - 0.28).abs() < 1e-12);
    assert!((entry.drop_rate() - 0.1).abs() < 1e-12);
    let mut both = entry;
    both.add(&entry);
    assert_eq!((both.missing(), both.sent()), (560, 2000));
    assert_eq!(entry.accounted(), 80);
}

#[test]
fn a_sample_too_few_or_too_many_is_an_imbalance() {
    let account = Account::new("a");
    offered(&account, 160);
    assert_eq!(
        account.check(|| 159),
        Err(Imbalance {
            offered: 160,
            accounted: 159
        })
    );
    account.count(Fate::Mixed, 160);
    assert_eq!(
        account.check(|| 1),
        Err(Imbalance {
            offered: 160,
            accounted: 161
        })
    );
    assert_eq!(account.check(|| 0), Ok(Checked::Holds));
}

#[test]
fn nothing_is_said_while_a_frame_is_half_published() {
    let account = Account::new("a");
    account.offer(160);
    assert_eq!(account.check(|| 0), Ok(Checked::Moving));
    account.settle();
    assert_eq!(account.check(|| 160), Ok(Checked::Holds));
    // The frame was offered between the two looks.
    assert_eq!(
        account.check(|| {
            account.offer(160);
            320
        }),
        Ok(Checked::Moving)
    );
}

#[test]
fn what_ingest_drops_itself_is_offered_and_accounted_for() {
    let account = Account::new("a");
    account.offer(160);
    account.settle_late(160);
    account.offer(80);
    account.settle_discarded(80);
    account.miss(160);
    assert_eq!(account.check(|| 0), Ok(Checked::Holds));
    let entry = account.read();
    assert_eq!(
        (entry.offered, entry.dropped(), entry.discarded),
        (240, 160, 80)
    );
    assert_eq!(entry.concealed, 160);
}

#[test]
fn concealment_goes_through_the_ring_and_is_in_no_term() {
    let account = Account::new("a");
    offered(&account, 160);
    account.fill(80);
    assert_eq!(account.check(|| 240), Ok(Checked::Moving));
    account.settle();
    assert_eq!(account.check(|| 240), Ok(Checked::Holds));
    assert_eq!(account.read().in_ring, 160);
    account.count(Fate::Mixed, 160);
    account.count(Fate::Filled, 50);
    assert_eq!(account.check(|| 30), Ok(Checked::Holds));
    assert_eq!(account.read().in_ring, 0);
    // Heard twice.
    account.count(Fate::Filled, 50);
    assert!(account.check(|| 0).is_err());
}

#[test]
fn an_empty_account_has_no_rates() {
    let entry = Account::new("a").read();
    assert!(entry.drop_rate().abs() < f64::EPSILON);
    assert!(entry.missing_rate().abs() < f64::EPSILON);
}

#[test]
fn discarded_samples_have_a_reason_and_are_not_missing() {
    let account = Account::with_network("a", 0);
    let network = account.network().unwrap();
    for (why, samples) in [
        (Discard::LatencyCap, 100),
        (Discard::DelayChange, 20),
        (Discard::Ended, 3),
        (Discard::Overload, 4),
    ] {
        account.offer(samples);
        account.settle_discarded(samples);
        network.discard(why, samples);
    }
    offered(&account, 1_500);
    account.count(Fate::Ended, 1_000);
    account.count(Fate::Damaged, 400);
    account.count(Fate::Misplaced, 100);
    assert_eq!(account.check(|| 0), Ok(Checked::Holds));
    let entry = account.read();
    let reasons = [
        ("latency_cap", 100),
        ("delay_change", 20),
        ("ended", 1_003),
        ("overload", 4),
        ("damaged", 400),
        ("misplaced", 100),
    ];
    assert_eq!((entry.discarded, entry.discards()), (1_627, reasons));
    assert_eq!((entry.dropped(), entry.missing()), (0, 0));
    let mut twice = entry;
    twice.add(&entry);
    assert_eq!(
        twice.discards().map(|(_, samples)| samples),
        [200, 40, 2_006, 8, 800, 200]
    );
}
