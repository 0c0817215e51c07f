//! The questions, one per file.

mod build;
mod lease;
mod mix;
mod publish;
mod read;
mod replay;
mod throughput;
mod wake;

use crate::{measure::Run, report::Answer};

/// A question and the code that answers it.
pub struct Question {
    pub name: &'static str,
    pub asks: &'static str,
    pub answer: fn(&Run) -> anyhow::Result<Answer>,
}

/// All questions, in the order of the page.
pub const QUESTIONS: [Question; 8] = [
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
        name: "wake",
        asks: wake::ASKS,
        answer: wake::answer,
    },
    Question {
        name: "lease",
        asks: lease::ASKS,
        answer: lease::answer,
    },
    Question {
        name: "mix",
        asks: mix::ASKS,
        answer: mix::answer,
    },
    Question {
        name: "replay",
        asks: replay::ASKS,
        answer: replay::answer,
    },
    Question {
        name: "build",
        asks: build::ASKS,
        answer: build::answer,
    },
];
