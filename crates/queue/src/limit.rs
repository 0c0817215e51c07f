//! One limit of a host beside what a pool needs of it.

use std::fmt;

/// One limit of a host beside what is needed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitCheck {
    /// What is limited, with its unit last.
    pub name: &'static str,
    /// What sets the limit, by the host's own name for it.
    pub set_by: &'static str,
    /// What is needed of it.
    pub needed: u64,
    /// What the host has for this process; `None` if there is no limit.
    pub found: Option<u64>,
    /// Whether it fits.
    pub ok: bool,
    /// What to do where it does not.
    pub remedy: &'static str,
}

impl LimitCheck {
    /// Compares what is needed with what was found.
    pub fn new(
        name: &'static str,
        set_by: &'static str,
        needed: u64,
        found: Option<u64>,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            set_by,
            needed,
            found,
            ok: found.is_none_or(|found| needed <= found),
            remedy,
        }
    }
}

impl fmt::Display for LimitCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            set_by,
            needed,
            found,
            ok,
            remedy,
        } = *self;
        write!(f, "{name} ({set_by}): {needed} needed, ")?;
        match found {
            Some(found) => write!(f, "{found} found")?,
            None => write!(f, "no limit")?,
        }
        if ok { Ok(()) } else { write!(f, "; {remedy}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_names_the_figures_and_the_remedy() {
        let vmas = |found| LimitCheck::new("vmas", "vm.max_map_count", 1001, found, "raise it");
        assert_eq!(
            vmas(Some(10)).to_string(),
            "vmas (vm.max_map_count): 1001 needed, 10 found; raise it"
        );
        assert_eq!(
            vmas(Some(1001)).to_string(),
            "vmas (vm.max_map_count): 1001 needed, 1001 found"
        );
        assert_eq!(
            vmas(None).to_string(),
            "vmas (vm.max_map_count): 1001 needed, no limit"
        );
    }
}
