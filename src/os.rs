//! The operating system: its errors in words, each with what was tried, its reason and, where its number has
//! one, a remedy; its monotonic clock; what it says of this process; and `poll`, which waits for it.

pub(crate) mod poll;

use std::{
    env, fmt, io,
    time::{Duration, SystemTime},
};

use nix::{
    errno::Errno,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        utsname::uname,
    },
    time::{ClockId, clock_gettime},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The monotonic clock in nanoseconds, without entering the kernel on any usual machine.
///
/// # Panics
/// Never: every Linux has this clock.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Duration::from(now).as_nanos() as u64
}

/// The real-time clock in nanoseconds, in which the kernel stamps packets. It may be set at any time.
///
/// # Panics
/// Never: every Linux has this clock.
pub(crate) fn realtime_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has this clock");
    Duration::from(now).as_nanos() as u64
}

/// Raises this process's soft limit of descriptors to `needed`, as far as the hard limit and the kernel let it.
/// Returns the limit in force.
///
/// # Errors
/// The kernel's reason, if the limit cannot be read.
pub fn raise_descriptors(needed: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(during("getrlimit"))?;
    let raised = needed.clamp(soft, hard.max(soft));
    let is_raised = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok();
    Ok(if is_raised { raised } else { soft })
}

/// Where figures come from: beside those of each JSON that the server and the commands write.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Provenance {
    /// Version of mixpool.
    pub version: &'static str,
    /// The command line of the process.
    pub command: String,
    /// The host's name.
    pub host: String,
    /// When the figures were written.
    #[schema(example = "2026-11-28T16:00:00Z")]
    pub utc: String,
}

impl Provenance {
    /// Provenance of figures of this process, now.
    pub fn now() -> Self {
        let arguments: Vec<_> = env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let host = uname().map(|host| host.nodename().to_string_lossy().into_owned());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            command: arguments.join(" "),
            host: host.unwrap_or_default(),
            utc: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }
}

/// Puts what was tried before the kernel's reason: `bind: Address already in use (os error 98); ...`.
pub(crate) fn during<E: Into<io::Error>>(tried: impl fmt::Display) -> impl FnOnce(E) -> io::Error {
    move |error| {
        let error = error.into();
        let remedy = remedy(&error);
        io::Error::new(error.kind(), format!("{tried}: {error}{remedy}"))
    }
}

/// The remedy of an OS error, to be appended to it; empty where the error explains itself.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => "; raise this process's limit of descriptors with `ulimit -n`",
        Some(Errno::ENFILE) => "; raise this host's limit of descriptors, fs.file-max",
        Some(Errno::EADDRINUSE) => "; another socket has this address, so choose another",
        Some(Errno::EADDRNOTAVAIL) => "; this host has no such address",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_why_and_the_remedy_once() {
        let error: io::Error = during("bind")(Errno::EADDRINUSE);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let error = during("cannot listen")(error).to_string();
        assert!(
            error.starts_with("cannot listen: bind: Address already in use"),
            "{error}"
        );
        assert_eq!(error.matches("choose another").count(), 1, "{error}");
        let error: io::Error = during("epoll_create1")(Errno::EMFILE);
        assert!(error.to_string().ends_with("`ulimit -n`"), "{error}");
    }
}
