//! Bounds on connections: how many in all, and how many from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the connections of one server role.
#[derive(Debug)]
pub struct ConnectionLimits {
    max_total: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many connections as allowed in all.
    Total,
    /// There are as many connections from this address as allowed.
    Address,
}

/// A counted connection; the count goes down on drop.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<ConnectionLimits>,
    address: Option<IpAddr>,
}

impl ConnectionLimits {
    /// Limits of at least one connection each.
    #[must_use]
    pub fn new(max_total: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max_total: max_total.max(1),
            max_per_address: max_per_address.max(1),
            counts: Mutex::default(),
        })
    }

    /// The limit on all.
    #[must_use]
    pub fn max_total(&self) -> usize {
        self.max_total
    }

    /// The limit per address.
    #[must_use]
    pub fn max_per_address(&self) -> usize {
        self.max_per_address
    }

    /// How many connections there are now.
    #[must_use]
    pub fn total(&self) -> usize {
        self.lock().total
    }

    /// Counts a connection in. `address` is `None` for unix-domain peers; these and loopback addresses are exempt from
    /// the limit per address, as all local programs share them.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admission, Refused> {
        let address = address.filter(|ip| !ip.is_loopback());
        let mut counts = self.lock();
        if counts.total >= self.max_total {
            return Err(Refused::Total);
        }
        if let Some(ip) = address {
            let count = counts.by_address.entry(ip).or_default();
            if *count >= self.max_per_address {
                return Err(Refused::Address);
            }
            *count += 1;
        }
        counts.total += 1;
        Ok(Admission { limits: Arc::clone(self), address })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        // The counts are plain numbers, valid after any panic.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.limits.lock();
        counts.total -= 1;
        if let Some(ip) = self.address
            && let Some(count) = counts.by_address.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn the_limit_per_address_spares_others_and_loopback() {
        let limits = ConnectionLimits::new(10, 2);
        let first = limits.admit(ip(1)).unwrap();
        let _second = limits.admit(ip(1)).unwrap();
        assert_eq!(limits.admit(ip(1)).unwrap_err(), Refused::Address);
        let _other = limits.admit(ip(2)).unwrap();
        let _local: Vec<_> =
            (0..5).map(|_| limits.admit(Some(IpAddr::from([127, 0, 0, 1]))).unwrap()).collect();
        drop(first);
        let _again = limits.admit(ip(1)).unwrap();
    }

    #[test]
    fn the_total_counts_everybody_and_forgets_the_gone() {
        let limits = ConnectionLimits::new(2, 2);
        let a = limits.admit(None).unwrap();
        let b = limits.admit(ip(1)).unwrap();
        assert_eq!(limits.admit(None).unwrap_err(), Refused::Total);
        drop((a, b));
        assert_eq!(limits.total(), 0);
        assert!(limits.lock().by_address.is_empty());
    }
}
