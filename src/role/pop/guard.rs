//! Guessing of passwords is made slow: each failed login of an address waits longer than the one before, and an address that
//! goes on is not served for a while. Nobody else waits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A failure doubles the wait of the one before, up to this many times the first.
const MAX_FACTOR: u32 = 16;
/// Without a failure for so long an address starts anew.
const FORGET: Duration = Duration::from_secs(15 * 60);
/// So many failures
const MAX_FAILURES: u32 = 20;
/// within so long
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// and the address is not served for so long.
const BLOCK: Duration = Duration::from_secs(10 * 60);
/// So many addresses are remembered; those that failed longest ago are forgotten for new ones.
const MAX_ADDRESSES: usize = 4096;

/// Remembers addresses by their failures. An IPv6 address stands for its /64.
#[derive(Debug, Default)]
pub(super) struct Guard {
    records: Mutex<HashMap<IpAddr, Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    /// Failures since the address started anew.
    failures: u32,
    last: Instant,
    /// Failures since, and the begin of the window.
    recent: (u32, Instant),
    blocked_until: Option<Instant>,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// How long its reply waits.
    pub(super) delay: Duration,
    /// The address is blocked from now on.
    pub(super) blocks: bool,
}

impl Guard {
    /// A login has failed; the first one waits for `delay`. A delay of zero switches all of this off. Loopback and unix
    /// peers (`None`) are many users in one and never wait.
    pub(super) fn failed(&self, ip: Option<IpAddr>, delay: Duration, now: Instant) -> Failure {
        let Some(key) = key(ip).filter(|_| !delay.is_zero()) else {
            return Failure { delay: Duration::ZERO, blocks: false };
        };
        let mut records = self.lock();
        make_room(&mut records, &key, now);
        let record = records.entry(key).or_insert(Record {
            failures: 0,
            last: now,
            recent: (0, now),
            blocked_until: None,
        });
        if now.saturating_duration_since(record.last) >= FORGET {
            record.failures = 0;
        }
        let factor = 1 << record.failures.min(MAX_FACTOR.ilog2());
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        if now.saturating_duration_since(record.recent.1) >= WINDOW {
            record.recent = (0, now);
        }
        record.recent.0 += 1;
        let blocks = record.recent.0 >= MAX_FAILURES;
        if blocks {
            record.recent = (0, now);
            record.blocked_until = now.checked_add(BLOCK);
        }
        Failure { delay: delay * factor, blocks }
    }

    /// Whether an address is not served now.
    pub(super) fn blocks(&self, ip: IpAddr, now: Instant) -> bool {
        let Some(key) = key(Some(ip)) else { return false };
        self.lock().get(&key).and_then(|record| record.blocked_until).is_some_and(|until| now < until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(records: &mut HashMap<IpAddr, Record>, key: &IpAddr, now: Instant) {
    if records.len() < MAX_ADDRESSES || records.contains_key(key) {
        return;
    }
    records.retain(|_, record| now.saturating_duration_since(record.last) < FORGET);
    if records.len() >= MAX_ADDRESSES
        && let Some(oldest) = records.iter().min_by_key(|(_, record)| record.last).map(|(key, _)| *key)
    {
        records.remove(&oldest);
    }
}

fn key(ip: Option<IpAddr>) -> Option<IpAddr> {
    let ip = ip?.to_canonical();
    match ip {
        ip if ip.is_loopback() => None,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
        v4 => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_failure_waits_longer_and_others_do_not_wait() {
        let (guard, start) = (Guard::default(), Instant::now());
        let seconds: Vec<u64> =
            (0..7).map(|_| guard.failed(ip("192.0.2.1"), SECOND, start).delay.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 16, 16]);
        assert_eq!(guard.failed(ip("192.0.2.2"), SECOND, start).delay, SECOND);
        assert_eq!(guard.failed(ip("192.0.2.1"), SECOND, start + FORGET).delay, SECOND);
        for exempt in [None, ip("127.0.0.9"), ip("::1"), ip("::ffff:127.0.0.1")] {
            assert_eq!(guard.failed(exempt, SECOND, start).delay, Duration::ZERO);
        }
        assert_eq!(guard.failed(ip("192.0.2.1"), Duration::ZERO, start).delay, Duration::ZERO);
    }

    #[test]
    fn the_twentieth_failure_blocks_the_address_for_ten_minutes() {
        let (guard, start) = (Guard::default(), Instant::now());
        let one = |n: u32| guard.failed(ip("2001:db8::1"), SECOND, start + SECOND * n).blocks;
        assert!((1..MAX_FAILURES).all(|n| !one(n)));
        assert!(one(MAX_FAILURES));
        let neighbour = ip("2001:db8::2").unwrap();
        assert!(guard.blocks(neighbour, start + SECOND * 30), "the whole /64");
        assert!(!guard.blocks(ip("2001:db8:0:1::1").unwrap(), start + SECOND * 30));
        assert!(!guard.blocks(neighbour, start + SECOND * MAX_FAILURES + BLOCK));
    }

    #[test]
    fn slow_failures_do_not_block() {
        let (guard, start) = (Guard::default(), Instant::now());
        assert!((0..100).all(|n| !guard.failed(ip("192.0.2.1"), SECOND, start + SECOND * 60 * n).blocks));
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let (guard, start) = (Guard::default(), Instant::now());
        for number in 0..10_000_u32 {
            let ip = IpAddr::from((number + 0x0a00_0000).to_be_bytes());
            guard.failed(Some(ip), SECOND, start + Duration::from_millis(number.into()));
        }
        assert_eq!(guard.lock().len(), MAX_ADDRESSES);
        assert!(guard.lock().contains_key(&IpAddr::from(0x0a00_270f_u32.to_be_bytes())), "the last one");
    }
}
