//! The production code that the models in `tests/` run: `RUSTFLAGS="--cfg loom" cargo test --release`.

#[path = "../../../src/ledger/gap/ring.rs"]
pub mod ring;
