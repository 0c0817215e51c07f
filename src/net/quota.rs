//! How many streams each source address has, over all threads of a listener.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The count of each address's streams. Clones share it. Locked when a stream comes or goes, never per
/// packet.
#[derive(Debug, Clone)]
pub struct Quota(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    max: AtomicUsize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One stream's part of its address's quota, given back when dropped.
#[derive(Debug)]
pub struct Share {
    quota: Quota,
    address: IpAddr,
}

impl Quota {
    /// At most `max` streams of one address.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Counts {
            max: AtomicUsize::new(max),
            counts: Mutex::default(),
        }))
    }

    /// At most so many from now on. An address that has more keeps them, and gets no other.
    pub(crate) fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part of this address's quota, if any is left.
    pub fn take(&self, address: IpAddr) -> Option<Share> {
        let mut counts = self.counts();
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= self.0.max.load(Ordering::Relaxed) {
            return None;
        }
        counts.insert(address, count + 1);
        Some(Share {
            quota: self.clone(),
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.quota.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_quota_and_gets_back_what_it_gives() {
        let quota = Quota::new(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let first = quota.take(one);
        let second = quota.clone().take(one);
        assert!(first.is_some() && second.is_some() && quota.take(other).is_some());
        assert!(quota.take(one).is_none());
        drop(first);
        assert!(quota.take(one).is_some());
        drop(second);
        assert!(quota.counts().is_empty());
    }

    #[test]
    fn a_lower_quota_revokes_nothing_and_a_higher_one_admits_more() {
        let quota = Quota::new(2);
        let one = "192.0.2.1".parse().unwrap();
        let mut shares: Vec<_> = (0..2).map(|_| quota.take(one).unwrap()).collect();
        quota.set_max(1);
        drop(shares.pop());
        assert!(quota.take(one).is_none(), "one is still there");
        quota.clone().set_max(3);
        assert!(quota.take(one).is_some());
        shares.clear();
        assert!(quota.counts().is_empty());
    }
}
