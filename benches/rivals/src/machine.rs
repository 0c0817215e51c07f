//! The machine of the measurements.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// Huge pages for shared memory, as the kernel writes its setting.
    pub shared_huge_pages: String,
    pub memory_bytes: u64,
}

impl Machine {
    /// Reads this machine. Fields that the host hides are empty.
    pub fn detect() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.split(' ').next().and_then(|kib| kib.parse().ok());
        let chosen = |setting: &str| {
            let choice = setting
                .split_once('[')
                .and_then(|(_, rest)| rest.split_once(']'));
            choice.map_or(String::new(), |(choice, _)| choice.to_owned())
        };
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            shared_huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
            memory_bytes: kib.unwrap_or(0) * 1024,
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {} cores, {:.1} GiB, Linux {}, huge pages for shared memory: {}",
            self.processor,
            self.cores,
            self.memory_bytes as f64 / (1_u64 << 30) as f64,
            self.kernel,
            self.shared_huge_pages
        )
    }
}
