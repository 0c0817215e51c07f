//! The `mixpool` command.
fn main() {}
