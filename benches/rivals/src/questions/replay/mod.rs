//! How fast are files mixed, beside the programs that people mix files with?
//!
//! All mix the same files, in turn, the page cache warm. Every output is compared with what plain
//! arithmetic says, sample by sample. The files are loud enough that sums leave 16 bits: that is where
//! the programs differ.

mod files;
mod programs;

use std::fs;

use anyhow::{Context, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::{
    files::Files,
    programs::{MIXPOOL, Program, installed},
};
use crate::{
    measure::{Run, Times, order, time},
    report::{Answer, Bar, Rows, Unit},
};

pub const ASKS: &str = "How fast are files mixed, beside the programs that people mix files with? The \
limit: reading all files and writing as many bytes as the mix has.";

const LIMIT: &str = "reading and writing alone";
/// A contender that took so long is not run again: ffmpeg takes minutes to mix a thousand files.
const ENOUGH_NS: f64 = 30e9;

pub fn answer(run: &Run) -> anyhow::Result<Answer> {
    let mut answer = Answer::per("mix", Unit::Milliseconds);
    let before = raise_descriptors()?;
    let (programs, absent) = installed()?;
    let seconds = run.count(60, 2);
    let mut cases = Vec::new();
    for (count, rounds) in [
        (run.count(32, 8), run.count(11, 1)),
        (run.count(1000, 32), run.count(5, 1)),
    ] {
        let case = format!("{count} files of {seconds} s");
        let files = Files::make(count, seconds)?;
        let rows = measure(&programs, &files, rounds)?;
        answer.case(&case, LIMIT, files.bytes(), &rows);
        cases.push(case);
    }
    let largest = cases.last().context("there are cases")?;
    let rivals = answer
        .rows
        .iter()
        .filter(|row| row.case == *largest && ![LIMIT, MIXPOOL].contains(&row.contender.as_str()));
    if let Some(best) = rivals.min_by(|one, other| one.median_ns.total_cmp(&other.median_ns)) {
        let faster = best.median_ns / answer.median(largest, MIXPOOL);
        let what = format!("{largest}: `{}` / `{MIXPOOL}`", best.contender);
        answer.bars = vec![Bar::at_least(what, faster, 5.0)];
    }
    for program in &programs {
        answer.note(program.describe());
    }
    if !absent.is_empty() {
        answer.note(format!("Not installed here: {}.", absent.join(", ")));
    }
    answer.note(format!(
        "A program that has taken {:.0} s in all is not run again; `rounds` in the JSON tells how often each was.",
        ENOUGH_NS / 1e9
    ));
    answer.note(format!(
        "Each program opens all files at once: 1000 files take a limit of more than 1000 open files. This run raised \
its own from {before}; a shell does so with `ulimit -n`."
    ));
    Ok(answer)
}

/// As many open files as this host allows; returns the previous limit. Programs started inherit it.
fn raise_descriptors() -> anyhow::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of open files")?;
    Ok(soft)
}

/// Every program and the limit, in turn, on files of one kind.
fn measure(programs: &[Program], files: &Files, rounds: usize) -> anyhow::Result<Rows> {
    let mut times = vec![Times::default(); programs.len() + 1];
    files.read_and_write()?; // into the page cache
    for round in 0..rounds {
        for index in order(times.len(), round) {
            if times[index].total() > ENOUGH_NS {
                continue;
            }
            // Each makes its own, as the first did.
            fs::remove_file(files.mix())?;
            let (took, done) = match programs.get(index) {
                Some(program) => {
                    let mut command = program.command(files);
                    let (took, output) = time(|| command.output());
                    (took, check(program, files, &output?))
                }
                None => time(|| files.read_and_write()),
            };
            done?;
            times[index].note(took, 1);
        }
    }
    let names = programs.iter().map(|program| program.name.to_owned());
    let rows = names.chain([LIMIT.to_owned()]).zip(times);
    Ok(rows.collect())
}

/// Sees that the program's mix is what its own rule of clipping makes of the files.
fn check(program: &Program, files: &Files, output: &std::process::Output) -> anyhow::Result<()> {
    let name = program.name;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {}", errors.trim());
    let mix = files::samples(&files.mix())?;
    let expected = files.expected(program.clipping);
    ensure!(
        mix.len() == expected.len(),
        "{name}: {} samples, not {}",
        mix.len(),
        expected.len()
    );
    let differing = mix
        .iter()
        .zip(expected)
        .filter(|(one, other)| *one != *other)
        .count();
    ensure!(
        differing == 0,
        "{name}: {differing} of {} samples are not those of {:?}",
        mix.len(),
        program.clipping
    );
    Ok(())
}
