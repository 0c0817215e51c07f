//! The mixer thread's requests to the host beyond the share of an ordinary thread: a real-time priority,
//! memory that stays in RAM, a CPU of its own.
//!
//! Each is requested by itself, before the first tick. The server runs without those that the host refuses:
//! a [`RealtimeRefused`] says which permission is missing and how to grant it.
//!
//! # A mixer that never sleeps
//! would keep its CPU from every ordinary thread, the ingest threads and the one that ends the server
//! among them. Overdue ticks follow each other with a rest in between, so that the mixer sleeps at least
//! once a tick. Against a tick that does not end there is the kernel's own guard, which leaves ordinary
//! threads a share of each CPU (`kernel.sched_rt_runtime_us`), or the service manager's `LimitRTTIME=`,
//! which ends the process; this module sets no such limit, since it would outlive the server in a
//! program that embeds it.
//!
//! # Locked memory
//! is the whole process's, each page from its first touch on (`MCL_ONFAULT`). A pool of a thousand rings
//! costs what its streams use of it, not a gigabyte at the start; a server that wants that too builds its
//! pool with [`prefault`](super::Settings::prefault). Locking the rings alone would leave the mixer's own
//! state, its code and the ledgers to be swapped out.

use std::{fs, io, thread};

use nix::{
    libc,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        mman::{MlockAllFlags, mlockall},
        resource::{Resource, getrlimit},
    },
    unistd::Pid,
};
use serde::Serialize;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy_param,
};

use super::EngineError;
use crate::queue::Host;

/// Priorities that `SCHED_FIFO` knows.
const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=99;

const FIFO: ThreadSchedulePolicy =
    ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);

/// The mixer thread's requests to the host. The default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Realtime {
    /// Priority under `SCHED_FIFO`, 1 to 99; without one the thread is scheduled as the process is.
    pub priority: Option<u8>,
    /// Whether the process's memory is locked in RAM, each page from its first touch on.
    pub lock_memory: bool,
    /// The one CPU that the thread runs on.
    pub mixer_cpu: Option<usize>,
}

/// The grants to the mixer thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RealtimeReport {
    /// How the thread is scheduled, as the kernel says.
    pub scheduler: Scheduler,
    /// Its real-time priority, if it has one.
    pub priority: Option<u8>,
    /// Whether the process's memory is locked in RAM.
    pub memory_locked: bool,
    /// The CPU that the thread was bound to.
    pub mixer_cpu: Option<usize>,
}

/// How a thread is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// `SCHED_FIFO`: before every ordinary thread.
    Fifo,
    /// Any other.
    Other,
}

/// Something that was asked for and that the host refused. The server runs without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RealtimeRefused {
    /// No real-time priority.
    #[error(
        "cannot schedule the mixer thread under SCHED_FIFO with priority {priority} ({reason}): {remedy}"
    )]
    Scheduler {
        /// The priority that was asked for.
        priority: u8,
        /// The kernel's reason.
        reason: io::Error,
        /// The missing permission, and how to grant it.
        remedy: String,
    },
    /// Memory may be swapped out.
    #[error("cannot lock memory with mlockall ({reason}): {remedy}")]
    Memory {
        /// The kernel's reason.
        reason: io::Error,
        /// The missing permission, and how to grant it.
        remedy: String,
    },
    /// The mixer thread runs on any CPU.
    #[error("cannot bind the mixer thread to CPU {cpu} ({reason}): {remedy}")]
    Cpu {
        /// The CPU that was asked for.
        cpu: usize,
        /// The kernel's reason.
        reason: io::Error,
        /// Which CPUs there are.
        remedy: String,
    },
}

/// The host's grants and refusals.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) report: RealtimeReport,
    pub(super) refused: Vec<RealtimeRefused>,
}

impl Realtime {
    /// Whether there can be such a priority and such a CPU: errors come before a
    /// pool is built or a file is opened.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        if let Some(cpu) = self.mixer_cpu {
            // On a thread of its own, which ends with its binding: only the kernel knows the cpuset.
            let probe = thread::Builder::new().spawn(move || bind(cpu));
            let bound = probe.map_err(EngineError::Mixer)?.join();
            bound.expect("binding a thread does not panic")?;
        }
        Ok(())
    }

    /// Whether the kernel knows such a priority.
    pub(super) fn check_priority(&self) -> Result<(), EngineError> {
        match self.priority {
            Some(priority) if !PRIORITIES.contains(&priority) => {
                Err(EngineError::RealtimePriority(priority))
            }
            _ => Ok(()),
        }
    }

    /// Asks for it all, for the calling thread.
    pub(super) fn claim(&self) -> Granted {
        let mut refused = Vec::new();
        let mut granted = |claimed: Result<(), RealtimeRefused>| match claimed {
            Ok(()) => true,
            Err(refusal) => {
                refused.push(refusal);
                false
            }
        };
        let mixer_cpu = self.mixer_cpu.filter(|&cpu| granted(bind(cpu)));
        let memory_locked = self.lock_memory && granted(lock_memory());
        if let Some(priority) = self.priority {
            granted(schedule(priority));
        }
        let (scheduler, priority) = scheduled();
        Granted {
            report: RealtimeReport {
                scheduler,
                priority,
                memory_locked,
                mixer_cpu,
            },
            refused,
        }
    }
}

fn bind(cpu: usize) -> Result<(), RealtimeRefused> {
    let mut cpus = CpuSet::new();
    let bound = cpus
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &cpus));
    bound.map_err(|errno| RealtimeRefused::Cpu {
        cpu,
        reason: errno.into(),
        remedy: format!(
            "this host has no such CPU online, or the process's cpuset leaves it out; it runs on {} now",
            status_field("Cpus_allowed_list:").unwrap_or_default()
        ),
    })
}

fn lock_memory() -> Result<(), RealtimeRefused> {
    let limit = Host::detect().locked_bytes;
    let mut flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    if limit.is_none() {
        // Under a limit an allocation to come could fail for it, and with it the server: what the mixer
        // needs is there by now.
        flags |= MlockAllFlags::MCL_FUTURE;
    }
    mlockall(flags).map_err(|errno| RealtimeRefused::Memory {
        reason: errno.into(),
        remedy: memory_remedy(limit, &status_field("VmSize:").unwrap_or_default()),
    })
}

fn schedule(priority: u8) -> Result<(), RealtimeRefused> {
    let asked = ThreadPriorityValue::try_from(priority).expect("checked with the settings");
    let asked = ThreadPriority::Crossplatform(asked);
    set_thread_priority_and_policy(thread_native_id(), asked, FIFO).map_err(|error| {
        let (limit, _hard) = getrlimit(Resource::RLIMIT_RTPRIO).unwrap_or_default();
        RealtimeRefused::Scheduler {
            priority,
            reason: match error {
                thread_priority::Error::OS(errno) => io::Error::from_raw_os_error(errno),
                other => io::Error::other(other),
            },
            remedy: scheduler_remedy(priority, limit, may_schedule()),
        }
    })
}

/// How the calling thread is scheduled: it may have been started under a real-time policy.
fn scheduled() -> (Scheduler, Option<u8>) {
    match thread_schedule_policy_param(thread_native_id()) {
        Ok((FIFO, parameters)) => (Scheduler::Fifo, Some(parameters.sched_priority as u8)),
        _ => (Scheduler::Other, None),
    }
}

fn scheduler_remedy(priority: u8, limit: u64, capable: bool) -> String {
    if capable || limit >= u64::from(priority) {
        return "RLIMIT_RTPRIO or CAP_SYS_NICE would allow it: a container forbids it (docker run \
                --cap-add SYS_NICE), or its cgroup has no real-time budget (cpu.rt_runtime_us)"
            .to_owned();
    }
    format!(
        "it takes RLIMIT_RTPRIO of {priority} or more, here it is {limit}, or CAP_SYS_NICE: ulimit -r, \
         rtprio in limits.conf, LimitRTPRIO= of a systemd unit, or setcap cap_sys_nice+ep"
    )
}

fn memory_remedy(limit: Option<u64>, address_space: &str) -> String {
    let Some(limit) = limit else {
        return "RLIMIT_MEMLOCK or CAP_IPC_LOCK would allow it: a container forbids it".to_owned();
    };
    format!(
        "it takes RLIMIT_MEMLOCK of the address space, {address_space}, here {} kB are left, or \
         CAP_IPC_LOCK: ulimit -l unlimited, memlock in limits.conf, LimitMEMLOCK=infinity of a systemd \
         unit, or setcap cap_ipc_lock+ep",
        limit / 1024
    )
}

fn may_schedule() -> bool {
    const CAP_SYS_NICE: u64 = 1 << 23;
    status_field("CapEff:")
        .and_then(|hex| u64::from_str_radix(&hex, 16).ok())
        .is_some_and(|capabilities| capabilities & CAP_SYS_NICE != 0)
}

/// A field of `/proc/self/status`.
fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_the_limit_that_is_too_low_and_how_to_raise_it() {
        let said = scheduler_remedy(10, 5, false);
        for part in [
            "RLIMIT_RTPRIO of 10",
            "here it is 5",
            "ulimit -r",
            "LimitRTPRIO=",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let said = memory_remedy(Some(8 << 20), "2200000 kB");
        for part in [
            "2200000 kB",
            "8192 kB are left",
            "ulimit -l",
            "LimitMEMLOCK=",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_refusal_that_no_limit_explains_is_the_containers() {
        for said in [
            scheduler_remedy(10, 10, false),
            scheduler_remedy(10, 0, true),
            memory_remedy(None, "1 kB"),
        ] {
            assert!(said.contains("a container forbids it"), "{said}");
        }
    }

    #[test]
    fn a_thread_that_asks_for_nothing_is_refused_nothing() {
        let granted = Realtime::default().claim();
        assert!(granted.refused.is_empty());
        assert!(!granted.report.memory_locked);
        assert_eq!(granted.report.mixer_cpu, None);
    }
}
