//! Random steps of a model: the numbers stand for any stream, room or track there is.

use proptest::prelude::*;

#[derive(Debug, Clone)]
pub enum Step {
    OpenRoom(usize),
    CloseRoom(usize),
    Admit(usize),
    Say(usize, bool),
    Move(usize, usize, bool),
    Open(usize, usize),
    Close(usize),
    Mute(usize, bool),
    Solo(usize, bool),
    Gain(usize, f32),
    End(usize),
    Leave(usize),
    Tick,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 0usize..60;
    let step = prop_oneof![
        2 => n().prop_map(Step::OpenRoom),
        1 => n().prop_map(Step::CloseRoom),
        3 => n().prop_map(Step::Admit),
        12 => (n(), any::<bool>()).prop_map(|(who, loud)| Step::Say(who, loud)),
        5 => (n(), n(), any::<bool>()).prop_map(|(who, to, fade)| Step::Move(who, to, fade)),
        1 => (n(), n()).prop_map(|(who, of)| Step::Open(who, of)),
        1 => n().prop_map(Step::Close),
        1 => (n(), any::<bool>()).prop_map(|(who, on)| Step::Mute(who, on)),
        1 => (n(), any::<bool>()).prop_map(|(who, on)| Step::Solo(who, on)),
        2 => (n(), prop_oneof![Just(0.0), Just(1.0), 0f32..8.0]).prop_map(|(who, gain)| Step::Gain(who, gain)),
        1 => n().prop_map(Step::End),
        1 => n().prop_map(Step::Leave),
        8 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..250)
}
