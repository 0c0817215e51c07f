//! The questions, one per file.

mod mix;
mod publish;
mod read;
mod throughput;

use crate::{measure::Run, report::Answer};

/// A question and who answers it.
pub struct Question {
    pub name: &'static str,
    pub asks: &'static str,
    pub answer: fn(&Run) -> anyhow::Result<Answer>,
}

/// All questions, in the order of the page.
pub const QUESTIONS: [Question; 4] = [
    Question {
        name: "publish",
        asks: publish::ASKS,
        answer: publish::answer,
    },
    Question {
        name: "throughput",
        asks: throughput::ASKS,
        answer: throughput::answer,
    },
    Question {
        name: "read",
        asks: read::ASKS,
        answer: read::answer,
    },
    Question {
        name: "mix",
        asks: mix::ASKS,
        answer: mix::answer,
    },
];
