//! The questions, one per file.

mod mix;

use crate::{measure::Run, report::Answer};

/// A question and who answers it.
pub struct Question {
    pub name: &'static str,
    pub asks: &'static str,
    pub answer: fn(&Run) -> anyhow::Result<Answer>,
}

/// All questions, in the order of the page.
pub const QUESTIONS: [Question; 1] = [Question {
    name: "mix",
    asks: mix::ASKS,
    answer: mix::answer,
}];
