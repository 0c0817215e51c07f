//! How does mixpool compare with its rivals, and with what the machine allows?
//!
//! One question per file in [`questions`]; every contender of a question is measured in the same run,
//! in turn, and its data is checked. `--quick` asks everything for a moment, to see that it works:
//! its times mean nothing.

mod contenders;
mod docs;
mod machine;
mod measure;
mod memory;
mod questions;
mod report;
mod syscalls;
mod turns;

use std::process::ExitCode;

use clap::{Parser, builder::PossibleValuesParser};

use crate::{machine::Machine, measure::Run, questions::QUESTIONS};

/// Measures mixpool against its rivals in one run.
#[derive(Debug, Parser)]
struct Args {
    /// The questions to answer, or `all`.
    #[arg(required = true, value_name = "QUESTION", value_parser = names())]
    questions: Vec<String>,
    /// Ask every contender for a moment and check its data; the times mean nothing.
    #[arg(long)]
    quick: bool,
    /// Also write the tables into `docs/measurements.md` and the figures into
    /// `docs/measurements.json`; questions that were not asked keep what stands there.
    #[arg(long, conflicts_with = "quick")]
    write_docs: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(
        QUESTIONS
            .iter()
            .map(|question| question.name)
            .chain(["all"]),
    )
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let asked = |name| {
        args.questions
            .iter()
            .any(|asked| asked == name || asked == "all")
    };
    let run = Run::new(args.quick)?;
    let machine = Machine::detect();
    let mut answers = Vec::new();
    for question in QUESTIONS.iter().filter(|question| asked(question.name)) {
        eprintln!("{} ...", question.name);
        let mut answer = (question.answer)(&run)?;
        answer.name_it(question, &machine);
        if args.quick {
            // They are bars for times that mean something.
            answer.bars.clear();
        }
        println!("{answer}");
        answers.push(answer);
    }
    if args.write_docs {
        docs::write(answers)?;
    }
    Ok(())
}
