//! Every stream that was admitted, and what all of them came to, in bounded memory.
//!
//! A server that runs for months has more streams than anybody wants to read of. The latest that ended
//! are kept one by one; of the others the sum is.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Admitted;
use crate::ledger::{Account, Entry, NetworkTotals};

/// Streams that ended and are kept one by one.
const ENDED_MAX: usize = 10_000;

/// The streams of a server.
#[derive(Debug, Default)]
pub(super) struct Register {
    accounts: Mutex<Accounts>,
}

/// The streams, locked.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// In the order of their admission.
    running: Vec<Arc<Admitted>>,
    /// In the order in which their end was noticed.
    ended: VecDeque<Arc<Admitted>>,
    /// The latest of each name.
    by_id: HashMap<String, Arc<Admitted>>,
    /// Sum over all streams that ended, kept or not.
    ended_total: Total,
    /// All there were.
    count: u64,
    /// Running ones after which the next addition looks for those that ended.
    sweep_at: usize,
}

/// Totals of streams.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total {
    /// How many.
    pub(super) streams: u64,
    pub(super) ledger: Entry,
    pub(super) network: NetworkTotals,
}

impl Total {
    fn add(&mut self, account: &Account) {
        self.streams += 1;
        self.ledger.add(&account.read());
        if let Some(network) = account.network() {
            self.network.add(&network.totals());
        }
    }
}

impl Register {
    pub(super) fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// The name of a stream that asks for this one: itself, unless a running stream has it.
    pub(super) fn free_id(&self, id: String) -> String {
        if !self.is_running(&id) {
            return id;
        }
        let numbered = (2_u64..).map(|number| format!("{id}~{number}"));
        let mut free = numbered.filter(|id| !self.is_running(id));
        free.next().expect("there are more numbers than streams")
    }

    pub(super) fn is_running(&self, id: &str) -> bool {
        self.by_id
            .get(id)
            .is_some_and(|admitted| admitted.is_running())
    }

    /// Adds a stream, made with its number: how many came before it.
    pub(super) fn add(&mut self, admit: impl FnOnce(u64) -> Admitted) -> Arc<Admitted> {
        if self.running.len() >= self.sweep_at {
            self.sweep();
            self.sweep_at = (2 * self.running.len()).max(64);
        }
        let admitted = Arc::new(admit(self.count));
        self.count += 1;
        self.by_id
            .insert(admitted.id().to_owned(), Arc::clone(&admitted));
        self.running.push(Arc::clone(&admitted));
        admitted
    }

    /// Moves those that ended to their own, and forgets the oldest of them beyond what is kept.
    fn sweep(&mut self) {
        let Self {
            running,
            ended,
            by_id,
            ended_total,
            ..
        } = self;
        running.retain(|admitted| {
            let runs = admitted.is_running();
            if !runs {
                ended_total.add(admitted.account());
                ended.push_back(Arc::clone(admitted));
            }
            runs
        });
        for forgotten in ended.drain(..ended.len().saturating_sub(ENDED_MAX)) {
            let latest = by_id.get(forgotten.id());
            if latest.is_some_and(|latest| Arc::ptr_eq(latest, &forgotten)) {
                by_id.remove(forgotten.id());
            }
        }
    }

    /// Streams there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Streams that run, in the order of their admission.
    pub(super) fn running(&mut self) -> &[Arc<Admitted>] {
        self.sweep();
        &self.running
    }

    /// The latest that ended, the last one last.
    pub(super) fn ended(&mut self) -> impl DoubleEndedIterator<Item = &Arc<Admitted>> {
        self.sweep();
        self.ended.iter()
    }

    /// All that ended.
    pub(super) fn ended_count(&mut self) -> u64 {
        self.sweep();
        self.ended_total.streams
    }

    /// The latest of this name.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Admitted>> {
        self.by_id.get(id).cloned()
    }

    /// All that are kept, in the order of their admission.
    pub(super) fn kept(&self) -> Vec<Arc<Admitted>> {
        let mut kept: Vec<_> = self.ended.iter().chain(&self.running).cloned().collect();
        kept.sort_by_key(|admitted| admitted.number());
        kept
    }

    /// All accounts added up.
    pub(super) fn total(&mut self) -> Total {
        self.sweep();
        let mut total = self.ended_total;
        for admitted in &self.running {
            total.add(admitted.account());
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Packet, StreamState};

    /// Adds a stream that offered one sample; it runs until its account says that it ended.
    fn add(accounts: &mut Accounts, id: &str) -> Arc<Account> {
        let account = Arc::new(Account::new(id));
        account.offer(1);
        account.settle();
        accounts.add(|number| Admitted::for_test(Arc::clone(&account), number));
        account
    }

    #[test]
    fn ended_streams_are_summed_up_and_running_ones_are_kept() {
        let mut accounts = Accounts::default();
        let running: Vec<_> = (0..10)
            .map(|id| add(&mut accounts, &id.to_string()))
            .collect();
        let ended = 30_000;
        for id in 0..ended {
            add(&mut accounts, &(10 + id).to_string()).advance(StreamState::Ended);
        }
        assert_eq!(accounts.total().ledger.offered, 10 + ended);
        assert_eq!(accounts.total().streams, 10 + ended);
        assert_eq!(accounts.count(), 10 + ended);
        let kept = accounts.kept();
        assert_eq!(kept.len(), 10 + ENDED_MAX);
        assert!(accounts.by_id.len() == kept.len());
        for (number, kept) in kept[..running.len()].iter().enumerate() {
            assert!(kept.is_running() && kept.id() == number.to_string());
        }
        // The latest are there one by one, in order.
        assert!(kept.is_sorted_by_key(|admitted| admitted.number()));
        assert_eq!(kept.last().unwrap().id(), (9 + ended).to_string());
        assert!(accounts.find("10").is_none() && accounts.find("0").is_some());
    }

    #[test]
    fn a_stream_that_ends_is_counted_once() {
        let mut accounts = Accounts::default();
        let account = add(&mut accounts, "a");
        assert_eq!(accounts.total().ledger.offered, 1);
        assert_eq!(accounts.running().len(), 1);
        account.advance(StreamState::Ended);
        assert_eq!(accounts.total().ledger.offered, 1);
        assert_eq!(accounts.running().len(), 0);
        assert_eq!(accounts.ended().count(), 1);
        assert_eq!(accounts.total().ledger.offered, 1);
    }

    #[test]
    fn an_account_that_is_still_held_keeps_no_stream_alive() {
        let mut accounts = Accounts::default();
        let account = add(&mut accounts, "a");
        let held = Arc::clone(accounts.running()[0].account());
        account.advance(StreamState::Ended);
        assert!(!accounts.is_running("a"));
        assert_eq!(accounts.running().len(), 0);
        assert_eq!(held.read().offered, 1);
    }

    #[test]
    fn what_a_network_did_to_a_stream_outlives_it() {
        let mut accounts = Accounts::default();
        let account = Arc::new(Account::with_network("a", 0));
        account.network().unwrap().count(Packet::Received);
        accounts.add(|number| Admitted::for_test(Arc::clone(&account), number));
        assert_eq!(accounts.total().network.received, 1);
        account.network().unwrap().count(Packet::Received);
        account.advance(StreamState::Ended);
        assert_eq!(accounts.total().network.received, 2);
        assert_eq!(accounts.running().len(), 0);
    }

    #[test]
    fn running_streams_have_unique_names_and_ended_ones_free_them() {
        let mut accounts = Accounts::default();
        assert_eq!(accounts.free_id("a".to_owned()), "a");
        let first = add(&mut accounts, "a");
        assert_eq!(accounts.free_id("a".to_owned()), "a~2");
        let second = add(&mut accounts, "a~2");
        assert_eq!(accounts.free_id("a".to_owned()), "a~3");
        first.advance(StreamState::Ended);
        assert_eq!(accounts.free_id("a".to_owned()), "a");
        second.advance(StreamState::Ended);
        assert_eq!(accounts.free_id("a".to_owned()), "a");
    }
}
