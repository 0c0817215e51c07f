//! The generated part of `docs/measurements.md`, and the figures beside it.

use std::{fmt::Write, fs, path::Path};

use anyhow::Context;

use crate::{questions::QUESTIONS, report::Answer};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/measurements.md");
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/measurements.json");
const BEGIN: &str = "<!-- rivals:begin -->";
const END: &str = "<!-- rivals:end -->";

/// Puts the answers in place of earlier ones to the same questions.
pub fn write(answers: Vec<Answer>) -> anyhow::Result<()> {
    let mut all: Vec<Answer> = if Path::new(FIGURES).exists() {
        let text = fs::read_to_string(FIGURES).with_context(|| format!("reading {FIGURES}"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{FIGURES} is not what this program wrote; delete it"))?
    } else {
        Vec::new()
    };
    all.retain(|old| answers.iter().all(|new| new.question != old.question));
    all.extend(answers);
    all.sort_by_key(|answer| {
        QUESTIONS
            .iter()
            .position(|question| question.name == answer.question)
    });

    let page = fs::read_to_string(PAGE).with_context(|| format!("reading {PAGE}"))?;
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} has no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} has no line {END} after {BEGIN}"))?;
    let page = format!("{before}{BEGIN}\n\n{}{END}{after}", markdown(&all)?);
    fs::write(PAGE, page).with_context(|| format!("writing {PAGE}"))?;
    let figures = serde_json::to_string_pretty(&all)? + "\n";
    fs::write(FIGURES, figures).with_context(|| format!("writing {FIGURES}"))
}

fn markdown(answers: &[Answer]) -> anyhow::Result<String> {
    let mut page = String::new();
    for answer in answers {
        writeln!(page, "### {}\n\n{}\n", answer.question, answer.asks)?;
        writeln!(page, "`{}`", answer.command)?;
        if let Some(machine) = &answer.machine {
            writeln!(page, "on {machine}.")?;
        }
        writeln!(page, "\n{}\n", answer.rows_table())?;
        if !answer.bars.is_empty() {
            writeln!(page, "{}\n", answer.bars_table())?;
        }
        for note in &answer.notes {
            writeln!(page, "- {note}")?;
        }
        if !answer.notes.is_empty() {
            writeln!(page)?;
        }
    }
    Ok(page)
}
