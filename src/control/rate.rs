//! How much one address may ask for: requests a second, and connections at once.
//!
//! The tables are bounded: addresses that ask for nothing are forgotten, and when more ask at once than
//! there are places, those without a place share one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Addresses of which the requests are counted one by one.
const ADDRESSES_MAX: usize = 4096;

/// The client's identity: an IPv4 address, or the network of an IPv6 one, as its host may choose the rest.
fn asker(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Requests of each address: so many a second, and twice as many at once.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: f64,
    /// None stands for all that found no place.
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket>>,
}

/// The requests that an address has left.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    requests: f64,
    at: Instant,
}

impl Bucket {
    /// The requests that are left now.
    fn filled(&self, per_second: f64, most: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.requests + since * per_second).min(most)
    }

    /// A request comes now.
    ///
    /// # Errors
    /// How long to wait until the next is taken.
    fn take(&mut self, per_second: f64, most: f64, now: Instant) -> Result<(), Duration> {
        let requests = self.filled(per_second, most, now);
        let taken = requests >= 1.0;
        *self = Self {
            requests: if taken { requests - 1.0 } else { requests },
            at: now,
        };
        if taken {
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - requests) / per_second))
        }
    }
}

/// Requests of one kind by all addresses: so many a second, and more at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    most: f64,
    bucket: Mutex<Bucket>,
}

impl Rate {
    /// So many a second; at once a second's, and `burst` more.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        let most = per_second + f64::from(burst);
        let bucket = Bucket {
            requests: most,
            at: now,
        };
        Self {
            per_second,
            most,
            bucket: Mutex::new(bucket),
        }
    }

    /// A request comes now. Returns whether it is taken.
    pub(super) fn take(&self, now: Instant) -> bool {
        let taken = lock(&self.bucket).take(self.per_second, self.most, now);
        taken.is_ok()
    }
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second.max(1)),
            buckets: Mutex::default(),
        }
    }

    /// A request comes from there now.
    ///
    /// # Errors
    /// How long to wait until the next is taken.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let most = 2.0 * self.per_second;
        let filled = |bucket: &Bucket| bucket.filled(self.per_second, most, now);
        let mut buckets = lock(&self.buckets);
        let mut asker = Some(asker(from));
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&asker) {
            buckets.retain(|_, bucket| filled(bucket) < most);
            if buckets.len() >= ADDRESSES_MAX {
                asker = None;
            }
        }
        let full = Bucket {
            requests: most,
            at: now,
        };
        let bucket = buckets.entry(asker).or_insert(full);
        bucket.take(self.per_second, most, now)
    }
}

/// Connections of each address, and all.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Connections that found no place.
    refused: u64,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; another may have it once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    asker: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// So many connections are open.
    InAll(usize),
    /// So many are open from this address.
    FromAddress(usize),
}

impl Places {
    pub(super) fn new(max: usize, per_address_max: usize) -> Self {
        Self {
            max,
            per_address_max,
            taken: Mutex::default(),
        }
    }

    /// Connections that have a place, and how many found none so far.
    pub(super) fn count(&self) -> (usize, u64) {
        let taken = lock(&self.taken);
        (taken.all, taken.refused)
    }

    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, NoPlace> {
        let asker = asker(from);
        let mut taken = lock(&self.taken);
        let taken = &mut *taken;
        if taken.all >= self.max {
            taken.refused += 1;
            return Err(NoPlace::InAll(self.max));
        }
        let count = taken.by_address.entry(asker).or_default();
        if *count >= self.per_address_max {
            taken.refused += 1;
            return Err(NoPlace::FromAddress(self.per_address_max));
        }
        *count += 1;
        taken.all += 1;
        Ok(Place {
            places: Arc::clone(self),
            asker,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.places.taken);
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.asker) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.asker);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_rate_of_all_is_a_burst_and_then_so_many_a_second() {
        let begun = Instant::now();
        let rate = Rate::new(20, 5, begun);
        let taken = |now| (0..100).filter(|_| rate.take(now)).count();
        assert_eq!(taken(begun), 25);
        assert_eq!(taken(begun + Duration::from_millis(500)), 10);
        assert_eq!(taken(begun + Duration::from_secs(60)), 25);
    }

    #[test]
    fn an_address_may_burst_and_then_goes_at_its_rate() {
        let rates = Rates::new(10);
        let begun = Instant::now();
        let taken = (0..100).filter(|_| rates.take(address(1), begun).is_ok());
        assert_eq!(taken.count(), 20);
        assert_eq!(
            rates.take(address(1), begun),
            Err(Duration::from_millis(100))
        );
        // Another one is not hindered.
        assert_eq!(rates.take(address(2), begun), Ok(()));
        let second = (0..1000).filter(|&ms| {
            let now = begun + Duration::from_millis(1 + ms);
            rates.take(address(1), now).is_ok()
        });
        assert_eq!(second.count(), 10);
    }

    #[test]
    fn the_table_is_bounded_and_those_without_a_place_share_one() {
        let rates = Rates::new(1);
        let now = Instant::now();
        for number in 0..10_000 {
            let _ = rates.take(address(number), now);
        }
        assert!(lock(&rates.buckets).len() <= ADDRESSES_MAX + 1);
        assert!(rates.take(address(20_000), now).is_err());
        // Later the others have asked for nothing, and are forgotten.
        let later = now + Duration::from_secs(10);
        assert_eq!(rates.take(address(20_000), later), Ok(()));
        assert!(lock(&rates.buckets).len() < 3);
    }

    #[test]
    fn a_host_of_ipv6_is_one_whatever_address_it_takes() {
        let rates = Rates::new(1);
        let now = Instant::now();
        for (address, taken) in [
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::1", true),
        ] {
            let asked = rates.take(address.parse().unwrap(), now);
            assert_eq!(asked.is_ok(), taken, "{address}");
        }
    }

    #[test]
    fn places_are_bounded_in_all_and_per_address_and_released() {
        let places = Arc::new(Places::new(3, 2));
        let first = places.take(address(1)).unwrap();
        let _second = places.take(address(1)).unwrap();
        assert_eq!(
            places.take(address(1)).unwrap_err(),
            NoPlace::FromAddress(2)
        );
        let third = places.take(address(2)).unwrap();
        assert_eq!(places.take(address(3)).unwrap_err(), NoPlace::InAll(3));
        drop(first);
        let again = places.take(address(1)).unwrap();
        drop((again, third));
        assert_eq!(lock(&places.taken).by_address.len(), 1);
    }
}
