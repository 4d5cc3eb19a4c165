//! Addresses that guess passwords are left alone for a while, whatever the number of their connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures within [`PERIOD`] that are put up with.
const MAX_FAILURES: u32 = 20;

/// How long failures count, and how long an address is then turned away.
const PERIOD: Duration = Duration::from_secs(600);

/// So many addresses are watched at a time; when there are more, the one that failed longest ago is forgotten.
const MAX_PEERS: usize = 4096;

/// Counts failed logins by address, of IPv6 by its network of 64 bits. Loopback and unix-domain peers are not counted.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<IpAddr, Count>>);

#[derive(Debug)]
struct Count {
    failures: u32,
    /// Start of the period, or of the time in which it is turned away.
    since: Instant,
    last: Instant,
}

impl Throttle {
    /// Whether a login from here is not even looked at.
    pub(super) fn rejects(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let Some(key) = key(peer) else { return false };
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&key).is_some_and(|count| count.failures > MAX_FAILURES && !count.is_over(now))
    }

    /// Counts a failure; true if from now on the address is turned away.
    pub(super) fn failed(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let Some(key) = key(peer) else { return false };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_PEERS && !counts.contains_key(&key) {
            make_room(&mut counts, now);
        }
        let count = counts.entry(key).or_insert(Count { failures: 0, since: now, last: now });
        if count.is_over(now) {
            *count = Count { failures: 0, since: now, last: now };
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        let reached = count.failures == MAX_FAILURES + 1;
        if reached {
            count.since = now;
        }
        reached
    }
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= PERIOD
    }
}

fn make_room(counts: &mut HashMap<IpAddr, Count>, now: Instant) {
    counts.retain(|_, count| !count.is_over(now));
    if counts.len() >= MAX_PEERS
        && let Some(oldest) = counts.iter().min_by_key(|(_, count)| count.last).map(|(key, _)| *key)
    {
        counts.remove(&oldest);
    }
}

/// What is counted together.
fn key(peer: Option<IpAddr>) -> Option<IpAddr> {
    match peer?.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn over_twenty_failures_in_ten_minutes_are_enough_for_ten_minutes() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let peer = ip("2001:db8::1");
        for n in 0..MAX_FAILURES {
            assert!(!throttle.failed(ip(&format!("2001:db8::{n:x}")), start), "one network");
        }
        assert!(!throttle.rejects(peer, start));
        let later = start + PERIOD / 2;
        assert!(throttle.failed(peer, later) && !throttle.failed(peer, later), "said once");
        assert!(throttle.rejects(peer, later + PERIOD - Duration::from_secs(1)));
        assert!(!throttle.rejects(ip("2001:db8:0:1::1"), later));
        assert!(!throttle.rejects(peer, later + PERIOD));
        assert!(!throttle.failed(peer, later + PERIOD));
    }

    #[test]
    fn those_on_this_machine_are_exempt() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for peer in [ip("127.0.0.1"), ip("::1"), ip("::ffff:127.0.0.1"), None] {
            assert!(!(0..100).any(|_| throttle.failed(peer, now)));
            assert!(!throttle.rejects(peer, now));
        }
    }

    #[test]
    fn many_addresses_do_not_grow_without_limit() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..MAX_PEERS as u32 * 2 {
            throttle.failed(
                Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes())),
                now + Duration::from_millis(n.into()),
            );
        }
        assert!(throttle.0.lock().unwrap().len() <= MAX_PEERS);
    }
}
