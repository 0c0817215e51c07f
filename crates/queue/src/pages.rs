//! What kind of pages a pool's memory gets, and what the host has of huge ones.

use std::{fmt, fs, path::Path};

/// How the pages of a pool come. The default is small pages, each at its first touch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pages {
    /// All of them are there, in both views, before the pool is given out.
    pub(super) present: bool,
    /// They never leave RAM.
    pub(super) locked: bool,
    /// Bytes of a huge page, where they are wanted and the host has them.
    #[cfg_attr(
        loom,
        expect(dead_code, reason = "the model checker's memory has no pages")
    )]
    pub(super) huge_bytes: Option<usize>,
}

/// Whether this process may have huge pages for shared memory, which is what rings are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Who asks for them gets them, while the kernel has memory that hangs together.
    Offered {
        /// Bytes of one.
        page_bytes: usize,
    },
    /// The host keeps them from shared memory.
    Off,
    /// They are switched off for this process: by itself, or by who started it.
    OffForProcess,
    /// The kernel has none, or does not tell.
    Unknown,
}

impl HugePages {
    /// Reads what the host says. `status` is the text of `/proc/self/status`.
    pub(super) fn detect(status: &str) -> Self {
        let settings = Path::new("/sys/kernel/mm/transparent_hugepage");
        let read = |file: &str| fs::read_to_string(settings.join(file)).ok();
        let page_bytes = read("hpage_pmd_size")
            .and_then(|text| text.trim().parse().ok())
            .filter(|bytes: &usize| bytes.is_power_of_two());
        let (Some(page_bytes), Some(all_sizes)) = (page_bytes, read("shmem_enabled")) else {
            return Self::Unknown;
        };
        // Newer kernels have a setting for each size, which may refer to the one for all.
        let this_size = read(&format!("hugepages-{}kB/shmem_enabled", page_bytes >> 10));
        if status
            .lines()
            .any(|line| is_field(line, "THP_enabled:", "0"))
        {
            return Self::OffForProcess;
        }
        if is_offered(this_size.as_deref(), &all_sizes) {
            Self::Offered { page_bytes }
        } else {
            Self::Off
        }
    }

    /// Bytes of a huge page, where there are any to have.
    pub fn page_bytes(self) -> Option<usize> {
        match self {
            Self::Offered { page_bytes } => Some(page_bytes),
            _ => None,
        }
    }

    /// What to do to have them; `None` where they are offered.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Offered { .. } => None,
            Self::Off => Some(
                "`echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled` gives them to who asks",
            ),
            Self::OffForProcess => {
                Some("start the process without PR_SET_THP_DISABLE (a service manager may set it)")
            }
            Self::Unknown => Some(
                "it takes a kernel with transparent huge pages, and /sys/kernel/mm to tell of them",
            ),
        }
    }
}

impl fmt::Display for HugePages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offered { .. } => "offered to shared memory that asks for them",
            Self::Off => "off for shared memory on this host",
            Self::OffForProcess => "switched off for this process",
            Self::Unknown => "not known to this host",
        })
    }
}

fn is_field(line: &str, name: &str, value: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.trim() == value)
}

/// Whether memory that asks for huge pages gets them, by the setting of their size and by that of all
/// sizes.
fn is_offered(this_size: Option<&str>, all_sizes: &str) -> bool {
    let chosen = |setting: &str| -> Option<String> {
        let (_, rest) = setting.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let all_sizes = chosen(all_sizes);
    let setting = match this_size.and_then(chosen) {
        // These two stand above every size.
        _ if matches!(all_sizes.as_deref(), Some("deny" | "force")) => all_sizes,
        Some(word) if word != "inherit" => Some(word),
        _ => all_sizes,
    };
    matches!(
        setting.as_deref(),
        Some("always" | "within_size" | "advise" | "force")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "always within_size advise never deny force\n";
    const ONE: &str = "always inherit within_size advise never\n";

    fn choose(setting: &str, word: &str) -> String {
        setting.replace(word, &format!("[{word}]"))
    }

    fn offered(one: Option<&str>, all: &str) -> bool {
        is_offered(
            one.map(|word| choose(ONE, word)).as_deref(),
            &choose(ALL, all),
        )
    }

    #[test]
    fn an_old_kernel_has_one_setting() {
        for (word, expected) in [
            ("always", true),
            ("within_size", true),
            ("advise", true),
            ("force", true),
            ("never", false),
            ("deny", false),
        ] {
            assert_eq!(offered(None, word), expected, "{word}");
            assert_eq!(offered(Some("inherit"), word), expected, "{word}");
        }
        assert!(!is_offered(None, "something else"));
    }

    #[test]
    fn the_setting_of_a_size_wins_but_over_deny_and_force() {
        assert!(offered(Some("advise"), "never"));
        assert!(!offered(Some("never"), "always"));
        assert!(!offered(Some("always"), "deny"));
        assert!(offered(Some("never"), "force"));
    }

    #[test]
    fn a_process_without_huge_pages_is_told_so() {
        let said = HugePages::detect("Threads:\t1\nTHP_enabled:\t0\n");
        assert!(
            matches!(said, HugePages::OffForProcess | HugePages::Unknown),
            "{said:?}"
        );
        assert_ne!(
            HugePages::detect("THP_enabled:\t1\n"),
            HugePages::OffForProcess
        );
    }

    #[test]
    fn where_there_are_none_the_remedy_is_named() {
        for none in [HugePages::Off, HugePages::OffForProcess, HugePages::Unknown] {
            assert!(none.page_bytes().is_none() && none.remedy().is_some());
        }
        let some = HugePages::Offered {
            page_bytes: 2 << 20,
        };
        assert!(some.page_bytes() == Some(2 << 20) && some.remedy().is_none());
    }
}
