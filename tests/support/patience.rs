//! Waiting for an event, for as long as any machine may take to bring it.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

/// Far beyond what any event here takes on a busy machine: it ends a test that would hang, and asserts no timing.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it holds.
#[track_caller]
pub fn wait_until(event: &str, mut holds: impl FnMut() -> bool) {
    wait_for(event, || holds().then_some(()));
}

/// Waits until there is one.
#[track_caller]
pub fn wait_for<T>(event: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {event}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Looks until it is as wanted.
#[track_caller]
pub fn look_until<T: Display>(mut look: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if wanted(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "still {}", brief(&seen));
        thread::sleep(Duration::from_millis(20));
    }
}

/// As much of a text as a person reads in a failure.
pub fn brief(text: impl Display) -> String {
    const CHARACTERS_MAX: usize = 300;
    let text = text.to_string();
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{} ... ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}
