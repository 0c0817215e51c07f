//! Any sender on any path: the books are exact, and the mix is the reference.

use proptest::{prelude::*, sample::select};

use crate::emulator::{Coding, Kind, MS, Path, SECOND, Sender, check};

/// One action of a sender.
#[derive(Debug, Clone)]
enum Step {
    Talk(u64),
    Pause(u64),
    ComfortNoise(u64),
    Press(u8, u64),
    Instead(Kind),
    Coding(Coding),
    /// After longer than any packet is under way.
    Restart,
    RestartNear(u16),
    ChangeSource,
}

/// One action of the path.
#[derive(Debug, Clone)]
struct Trouble {
    loss: f64,
    rows: bool,
    twice: f64,
    jitter_ms: u64,
    overtaking: f64,
    stalls: bool,
    malformed: f64,
    garbage: f64,
}

const SEGMENT_PAUSE_MS: u64 = 1500;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (60u64..700).prop_map(Step::Talk),
        1 => (20u64..1000).prop_map(Step::Pause),
        1 => (20u64..1000).prop_map(Step::ComfortNoise),
        1 => (0u8..16, 40u64..400).prop_map(|(key, ms)| Step::Press(key, ms)),
        1 => select(vec![Kind::Unsupported, Kind::Odd, Kind::Empty]).prop_map(Step::Instead),
        1 => select(vec![Coding::MuLaw, Coding::ALaw, Coding::Linear]).prop_map(Step::Coding),
        1 => Just(Step::Restart),
        1 => (1u16..100).prop_map(Step::RestartNear),
        1 => Just(Step::ChangeSource),
    ]
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let loss = select(vec![0.0, 0.02, 0.2]);
    let twice = select(vec![0.0, 0.1]);
    let jitter_ms = select(vec![0, 5, 30]);
    let overtaking = select(vec![0.0, 0.05, 0.3]);
    let dirt = select(vec![0.0, 0.2]);
    (
        loss,
        any::<bool>(),
        twice,
        jitter_ms,
        overtaking,
        any::<bool>(),
        dirt.clone(),
        dirt,
    )
        .prop_map(
            |(loss, rows, twice, jitter_ms, overtaking, stalls, malformed, garbage)| Trouble {
                loss,
                rows,
                twice,
                jitter_ms,
                overtaking,
                stalls,
                malformed,
                garbage,
            },
        )
}

fn sender(seed: u64, lengths: &[u64], wraps: bool, steps: &[Step]) -> Sender {
    let mut sender = Sender::new(seed).coding(Coding::Linear).lengths(lengths);
    if wraps {
        sender = sender.about_to_wrap();
    }
    // It is proved at once: before that, forgotten packets would look like a pause.
    sender.protect(2).talk(10);
    for step in steps {
        match *step {
            Step::Talk(ms) => sender.talk_for(ms),
            Step::Pause(ms) => sender.talk(1).pause(ms).talk(1),
            Step::ComfortNoise(ms) => sender.talk(1).comfort_noise(ms).talk(1),
            Step::Press(key, ms) => sender.talk(1).press(key, ms).talk(1),
            Step::Instead(Kind::Odd) if sender.coding != Coding::Linear => &mut sender,
            Step::Instead(kind) => sender.talk(2).instead(kind).talk(1),
            Step::Coding(coding) => {
                sender.coding = coding;
                &mut sender
            }
            Step::Restart => sender.talk(1).restart(SEGMENT_PAUSE_MS).talk(10),
            Step::RestartNear(back) => sender.talk(1).restart_near(SEGMENT_PAUSE_MS, back).talk(10),
            Step::ChangeSource => sender.talk(1).change_source(SEGMENT_PAUSE_MS).talk(10),
        };
    }
    sender
}

fn path(seed: u64, trouble: &Trouble) -> Path {
    let mut path = Path::clear(seed)
        .losing(trouble.loss)
        .doubling(trouble.twice)
        .jitter(trouble.jitter_ms * MS)
        .overtaking(trouble.overtaking, 250 * MS)
        .dirty(trouble.malformed, trouble.garbage);
    if trouble.rows {
        path = path.losing_rows(0.02, 0.3);
    }
    if trouble.stalls {
        path = path.stalling(3 * SECOND, 300 * MS).beginning_in_time();
    }
    path
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_accounts_are_exact_and_the_mix_is_the_reference(
        seed in any::<u64>(),
        lengths in select(vec![vec![160], vec![160, 160, 80], vec![80], vec![480], vec![730], vec![160, 37, 480, 1, 320]]),
        wraps in any::<bool>(),
        // Segments shorter than ten seconds: after that the path may be taken for the sender's clock.
        steps in prop::collection::vec(step(), 1..9),
        trouble in trouble(),
        delay_ms in select(vec![80u64, 120, 160]),
    ) {
        let sender = sender(seed, &lengths, wraps, &steps);
        let path = path(seed, &trouble);
        check(seed, sender, path, delay_ms);
    }
}
