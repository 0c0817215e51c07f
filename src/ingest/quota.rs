//! How many streams each source address has, over all threads of a listener.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The count of each address's streams. Clones share it. Locked when a stream comes or goes, never per
/// packet.
#[derive(Debug, Clone)]
pub struct Quota {
    max: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
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
        Self {
            max,
            counts: Arc::default(),
        }
    }

    /// A part of this address's quota, if any is left.
    pub fn take(&self, address: IpAddr) -> Option<Share> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= self.max {
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
        let counts = &self.quota.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
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
        assert!(quota.counts.lock().unwrap().is_empty());
    }
}
