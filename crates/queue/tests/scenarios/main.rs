//! The queue by scenarios: one process, many threads.

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod churn;
mod close;
mod drops;
mod epoll;
mod integrity;
mod model;
mod polled;
mod random;
mod receivers;
mod seam;
mod stats;
mod wake;
