//! The cost of one publish.
//!
//! A batch is published into room, timed as a whole; then it is read and compared with what was sent,
//! untimed. The contenders take turns, in another order in every round.

mod beside;
mod calls;
mod laps;

use self::laps::Heat;
use crate::{
    contenders::{
        Contender, EventfdPerMessage, FromC, InPlace, Mixpool, Room, Visit, Woken, visit_all,
    },
    measure::Run,
    report::{Answer, Bar, Unit},
};

pub const ASKS: &str = "What does one publish cost, into a ring that stays in the cache and into one \
that does not? The limit: memcpy of the same bytes into shared memory, lapped the same way.";

const LIMIT: &str = "memcpy";
/// With room for a header before each copy: no rival can have its messages on cache lines of their own.
const SPACED: &str = "memcpy, 8 bytes apart";
const OURS: &str = Mixpool::NAME;
const SIZES: [usize; 4] = [32, 320, 1920, 16_384];
/// The size that the bars are about, and the cases of it.
const USUAL: usize = 320;
const USUAL_WARM: &str = "320 bytes, warm";
const USUAL_READ: &str = "320 bytes, the other core reading";
const COLD_RING_BYTES: usize = 1 << 20;

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("publish", Unit::Nanoseconds);
    for size in SIZES {
        let warm = Room {
            ring_bytes: warm_ring_bytes(size),
            message_bytes: size,
        };
        let cold = Room {
            ring_bytes: COLD_RING_BYTES,
            message_bytes: size,
        };
        answer.case(
            &format!("{size} bytes, warm"),
            LIMIT,
            size,
            &laps::measure(run, warm, Heat::Warm)?,
        );
        answer.case(
            &format!("{size} bytes, cold"),
            LIMIT,
            size,
            &laps::measure(run, cold, Heat::Cold)?,
        );
    }
    answer.case(USUAL_READ, LIMIT, USUAL, &beside::measure(run)?);
    judge(&mut answer);
    calls::count(run, &mut answer)?;
    Ok(answer)
}

/// Fits the first cache of a core, but for the largest messages.
fn warm_ring_bytes(size: usize) -> usize {
    (8 * size).next_power_of_two().max(16 << 10)
}

fn judge(answer: &mut Answer) {
    let ours = answer.median(USUAL_WARM, OURS);
    let best = |any_size: bool| {
        let rivals = Rivals::of(any_size).0.into_iter();
        let medians = rivals.map(|rival| (answer.median(USUAL_WARM, rival), rival));
        medians
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .expect("there are rivals")
    };
    let (messages, messages_name) = best(true);
    let (raw, raw_name) = best(false);
    let from_c = answer.median(USUAL_WARM, FromC::NAME);
    let eventfd = answer.median(USUAL_WARM, EventfdPerMessage::NAME);
    answer.bars = vec![
        Bar::at_most(
            format!("{USUAL_WARM}: `{OURS}` / `{LIMIT}`"),
            answer.times_limit(USUAL_WARM, OURS),
            1.5,
        ),
        Bar::at_most(
            format!(
                "{USUAL_WARM}: `{OURS}` / best rival with messages of any size (`{messages_name}`)"
            ),
            ours / messages,
            1.0,
        ),
        Bar::at_most(
            format!("{USUAL_WARM}: `{OURS}` / best rival without messages (`{raw_name}`)"),
            ours / raw,
            1.0,
        ),
        Bar::at_least(
            format!("{USUAL_WARM}: `{}` / `{OURS}`", EventfdPerMessage::NAME),
            eventfd / ours,
            20.0,
        ),
        Bar::at_most(
            format!("{USUAL_WARM}: `{}` - `{OURS}`, ns", FromC::NAME),
            from_c - ours,
            4.0,
        ),
        Bar::at_most(format!("{USUAL_WARM}: `{}`, ns", FromC::NAME), from_c, 15.7),
    ];
}

/// The rivals that carry messages of any size, or those that do not.
struct Rivals(Vec<&'static str>, bool);

impl Rivals {
    fn of(any_size: bool) -> Self {
        let mut rivals = Self(Vec::new(), any_size);
        visit_all(&mut rivals).expect("naming never fails");
        rivals
    }
}

impl Visit for Rivals {
    fn visit<C: Contender>(&mut self) -> anyhow::Result<()> {
        let ours = [Mixpool::NAME, InPlace::NAME, Woken::NAME, FromC::NAME].contains(&C::NAME);
        if C::ANY_SIZE == self.1 && !ours {
            self.0.push(C::NAME);
        }
        Ok(())
    }
}
