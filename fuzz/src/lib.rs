//! The parsers of mixpool: its two folders that depend on no other, and what reads recordings, compiled from where
//! they lie. With all of mixpool and its dependencies, a build for the fuzzer would take ten times as long.

// Linted where they belong; the rest of mixpool calls what no target does.
#![allow(dead_code, clippy::all, clippy::pedantic)]

#[path = "../../src/audio/mod.rs"]
pub mod audio;
#[path = "../../src/wire/mod.rs"]
pub mod wire;
#[path = "../../src/output"]
pub mod output {
    pub mod saved;
}
