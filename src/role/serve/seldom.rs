//! Warnings that one peer gets only once in a while, however often it gives cause.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many peers are told apart; the rest are taken for one.
const MAX_PEERS: usize = 1024;

/// Lets a fact through once in a period for each peer.
#[derive(Debug)]
pub(crate) struct Seldom {
    period: Duration,
    last: Mutex<HashMap<Option<IpAddr>, Instant>>,
}

impl Seldom {
    pub(crate) fn new(period: Duration) -> Self {
        Self { period, last: Mutex::default() }
    }

    /// True for the first time in a period. `peer` is `None` for unix-domain peers.
    pub(crate) fn admits(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |at: &Instant| now.saturating_duration_since(*at) >= self.period;
        if last.get(&peer).is_some_and(|at| !over(at)) {
            return false;
        }
        if last.len() >= MAX_PEERS {
            last.retain(|_, at| !over(at));
        }
        let key = peer.filter(|_| last.len() < MAX_PEERS);
        if last.get(&key).is_some_and(|at| !over(at)) {
            return false;
        }
        last.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn once_in_a_period_for_each_peer() {
        let (start, period) = (Instant::now(), Duration::from_secs(60));
        let seldom = Seldom::new(period);
        assert!(seldom.admits(ip(1), start));
        assert!(!seldom.admits(ip(1), start + period / 2));
        assert!(seldom.admits(ip(2), start + period / 2));
        assert!(seldom.admits(ip(1), start + period));
    }

    #[test]
    fn many_peers_share_one_place() {
        let (start, period) = (Instant::now(), Duration::from_secs(60));
        let seldom = Seldom::new(period);
        let let_through = (0..10_000).filter(|n| seldom.admits(ip(*n), start)).count();
        assert_eq!(let_through, MAX_PEERS + 1);
        assert!(seldom.admits(ip(20_000), start + period));
        assert_eq!(seldom.last.lock().unwrap().len(), 1);
    }
}
