//! Counts the system calls of this thread, by the kernel's own tracepoint.

use std::fs;

use anyhow::Context;
use perf_event::{Builder, events::Tracepoint};

/// How many system calls `work` makes on this thread.
///
/// # Errors
/// If the host does not let this process count: it takes `perf_event_paranoid` of at most 1 or
/// `CAP_PERFMON`, and a readable tracefs.
pub fn count(work: impl FnOnce()) -> anyhow::Result<u64> {
    let id = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .find_map(|tracefs| {
            fs::read_to_string(format!("{tracefs}/events/raw_syscalls/sys_enter/id")).ok()
        })
        .context("tracefs cannot be read")?;
    let id = id
        .trim()
        .parse()
        .context("the tracepoint's id is no number")?;
    let mut counter = Builder::new(Tracepoint::with_id(id))
        .include_kernel()
        .build()
        .context("opening a counter of system calls")?;
    counter.enable()?;
    work();
    counter.disable()?;
    // The call that ends the counting is the last one counted.
    Ok(counter.read()?.saturating_sub(1))
}
