//! Further addresses of a destination that an envelope names by one address.
//!
//! Routing by mail exchanger finds several addresses for a domain, and `ForwardToAddress` holds one. The others are kept here
//! for as long as the process lives: a message that another process routed is tried at the one address, and routed anew
//! if that fails.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Destinations that are remembered. With more, all are forgotten, and come back as messages for them do.
const MAX_DESTINATIONS: usize = 10_000;

/// Which addresses stand for the same destination.
#[derive(Debug, Default)]
pub struct Alternatives(Mutex<HashMap<SocketAddr, Vec<SocketAddr>>>);

impl Alternatives {
    /// Remembers that these addresses, best first, lead to the destination that is named by the first of them.
    pub fn remember(&self, addresses: &[SocketAddr]) {
        let Some((first, others)) = addresses.split_first() else { return };
        let mut known = self.lock();
        if others.is_empty() {
            known.remove(first);
            return;
        }
        if known.len() >= MAX_DESTINATIONS && !known.contains_key(first) {
            known.clear();
        }
        known.insert(*first, others.to_vec());
    }

    /// The address and all that may stand for it, in the order in which they are to be tried.
    #[must_use]
    pub fn of(&self, address: SocketAddr) -> Vec<SocketAddr> {
        let mut all = vec![address];
        all.extend(self.lock().get(&address).into_iter().flatten());
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<SocketAddr>>> {
        // Plain data, whole whatever panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: u32) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from(host).into(), 25)
    }

    #[test]
    fn the_first_address_names_the_others() {
        let alternatives = Alternatives::default();
        alternatives.remember(&[address(1), address(2), address(3)]);
        assert_eq!(alternatives.of(address(1)), [address(1), address(2), address(3)]);
        assert_eq!(alternatives.of(address(2)), [address(2)]);
        alternatives.remember(&[address(1)]);
        assert_eq!(alternatives.of(address(1)), [address(1)]);
        alternatives.remember(&[]);
    }

    #[test]
    fn they_do_not_grow_for_ever() {
        let alternatives = Alternatives::default();
        for host in 0..=u32::try_from(MAX_DESTINATIONS).unwrap() {
            alternatives.remember(&[address(host), address(0)]);
        }
        assert!(alternatives.lock().len() <= MAX_DESTINATIONS);
        assert_eq!(alternatives.of(address(10_000)).len(), 2);
    }
}
