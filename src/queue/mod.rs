//! Bytes between threads.
