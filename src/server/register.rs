//! The accounts of all streams, those that ended too, in bounded memory.
//!
//! A server that runs for months has more streams than anybody wants to read of. The latest that ended
//! are kept one by one; of the others the sum is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::{Account, Entry};

/// Streams that ended and are kept one by one, at least.
const ENDED_MAX: usize = 10_000;

/// Every account of a server.
#[derive(Debug)]
pub(super) struct Register {
    accounts: Mutex<Accounts>,
    /// Accounts after which ended ones are summed up.
    kept_max: usize,
}

/// The accounts, while nobody adds one.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// In the order of their admission.
    pub(super) kept: Vec<Arc<Account>>,
    /// The sum of those that are not kept, and how many they are.
    pub(super) summed: Entry,
    pub(super) summed_streams: usize,
}

impl Register {
    /// Of a server with so many streams at once, at most.
    pub(super) fn new(streams_max: usize) -> Self {
        Self {
            accounts: Mutex::default(),
            kept_max: streams_max + 2 * ENDED_MAX,
        }
    }

    pub(super) fn add(&self, account: Arc<Account>) {
        let mut accounts = self.lock();
        if accounts.kept.len() >= self.kept_max {
            accounts.sum_up(ENDED_MAX);
        }
        accounts.kept.push(account);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Sums up the oldest accounts that ended, so many of them.
    fn sum_up(&mut self, count: usize) {
        let Self {
            kept,
            summed,
            summed_streams,
        } = self;
        let mut left = count;
        kept.retain(|account| {
            // A stream that runs is known to its source or to the mixer, too.
            if left == 0 || Arc::strong_count(account) > 1 {
                return true;
            }
            left -= 1;
            summed.add(&account.read());
            *summed_streams += 1;
            false
        });
    }

    /// Streams there were.
    pub(super) fn streams(&self) -> usize {
        self.kept.len() + self.summed_streams
    }

    /// All accounts added up.
    pub(super) fn total(&self) -> Entry {
        let mut total = self.summed;
        for account in &self.kept {
            total.add(&account.read());
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: usize) -> Arc<Account> {
        let account = Account::new(id.to_string());
        account.offer(1);
        account.settle();
        Arc::new(account)
    }

    #[test]
    fn ended_streams_are_summed_up_and_running_ones_are_kept() {
        let register = Register::new(10);
        let running: Vec<_> = (0..10).map(account).collect();
        for account in &running {
            register.add(Arc::clone(account));
        }
        let ended = 100_000;
        for id in 0..ended {
            register.add(account(10 + id));
        }
        let accounts = register.lock();
        assert!(accounts.kept.len() <= 10 + 2 * ENDED_MAX);
        assert!(accounts.kept.len() >= 10 + ENDED_MAX);
        assert_eq!(accounts.streams(), 10 + ended);
        assert_eq!(accounts.total().offered, 10 + ended as u64);
        for (kept, running) in accounts.kept.iter().zip(&running) {
            assert!(Arc::ptr_eq(kept, running));
        }
        // The latest are there one by one.
        assert_eq!(accounts.kept.last().unwrap().id(), (9 + ended).to_string());
    }
}
