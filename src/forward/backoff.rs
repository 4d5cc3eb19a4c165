//! When to try again: per message, and per destination.
//!
//! All pure: times are unix seconds, jitter comes from a seed that the caller picks (the same seed gives the same time).

use std::time::Duration;

/// The waiting times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Wait after the first failed attempt; doubled after each further one.
    pub first: Duration,
    /// Longest wait between two attempts.
    pub max: Duration,
    /// How long after the first attempt a message is given up.
    pub give_up: Duration,
}

impl Default for Schedule {
    /// 5 minutes doubling to 4 hours, for 5 days (RFC 5321 section 4.5.4.1 asks for at least 4 to 5 days).
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5 * 60),
            max: Duration::from_secs(4 * 60 * 60),
            give_up: Duration::from_secs(5 * 24 * 60 * 60),
        }
    }
}

impl Schedule {
    /// The time of the next attempt, after `attempts` failed ones of which the last has ended at `now`; `None` if the message
    /// has been tried for long enough. The last attempt is not put off beyond that time.
    pub fn next_attempt(&self, first_try: u64, attempts: u32, now: u64, seed: u64) -> Option<u64> {
        // A clock that was set back makes a message younger, which can only prolong its life.
        let last = self.end(first_try.min(now)).unwrap_or(u64::MAX);
        if now >= last {
            return None;
        }
        Some(now.saturating_add(self.delay(attempts, seed)).min(last))
    }

    /// When a message is given up that was first tried then; `None`: never.
    #[must_use]
    pub fn end(&self, first_try: u64) -> Option<u64> {
        first_try.checked_add(self.give_up.as_secs())
    }

    /// When a message may be tried again with which in hand so many processes in a row have died, the last of them by
    /// `at`. The first time it may be chance, and at once; from then on it is not to stand before all others.
    pub fn after_interruptions(&self, count: u32, at: u64, now: u64) -> Option<u64> {
        // What is to be set aside need not wait for it.
        let later = count.checked_sub(1).filter(|later| (1..MAX_INTERRUPTIONS - 1).contains(later))?;
        let delay = self.delay(later, at);
        Some(at.min(now).saturating_add(delay))
    }

    /// Seconds to wait after `attempts` failed attempts in a row, at least 1.
    pub fn delay(&self, attempts: u32, seed: u64) -> u64 {
        let doublings = attempts.saturating_sub(1);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let delay = self.first.as_secs().saturating_mul(factor).min(self.max.as_secs());
        jittered(delay, seed ^ u64::from(attempts)).max(1)
    }
}

/// Moves a delay by up to 10 % either way, so that what failed together is not retried together.
fn jittered(delay: u64, seed: u64) -> u64 {
    let span = delay / 10;
    let width = span.saturating_mul(2).saturating_add(1);
    (delay - span).saturating_add(scrambled(seed) % width)
}

/// One step of SplitMix64: near seeds give far results.
fn scrambled(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The state of one destination: well, or in trouble and left alone for a while.
#[derive(Clone, Debug)]
pub struct DestinationBackoff {
    seed: u64,
    failures: u32,
    until: u64,
}

impl DestinationBackoff {
    /// A destination that is believed to be well.
    pub fn new(seed: u64) -> Self {
        Self { seed, failures: 0, until: 0 }
    }

    /// A destination that an earlier process has seen fail so often, to be left alone until then. A time that is further away
    /// than any this program picks is not believed.
    #[must_use]
    pub fn restored(self, failures: u32, until: u64, now: u64, schedule: Schedule) -> Self {
        let longest = schedule.max.as_secs().saturating_add(schedule.max.as_secs() / 10);
        Self { failures, until: until.min(now.saturating_add(longest)), ..self }
    }

    /// Sessions that have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether a session may be opened at `now`.
    pub fn may_try(&self, now: u64) -> bool {
        self.failures == 0 || now >= self.until
    }

    /// Whether the last session was good, or none was made.
    pub fn is_well(&self) -> bool {
        self.failures == 0
    }

    /// When it may be tried again, in unix seconds; a time gone by for a destination that is well.
    pub fn until(&self) -> u64 {
        self.until
    }

    /// A session was opened: the destination is well.
    pub fn success(&mut self) {
        self.failures = 0;
    }

    /// A session failed. Sessions that fail side by side count as one failure.
    pub fn fault(&mut self, now: u64, schedule: Schedule) {
        if self.may_try(now) {
            self.failures = self.failures.saturating_add(1);
            self.until = now.saturating_add(schedule.delay(self.failures, self.seed));
        }
    }
}

/// Processes in a row that may die with a message in hand before it is set aside.
pub const MAX_INTERRUPTIONS: u32 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const NOW: u64 = 1_800_000_000;

    fn about(expected: u64, delay: u64) -> bool {
        delay.abs_diff(expected) <= expected / 10
    }

    #[test]
    fn delays_double_from_five_minutes_to_four_hours() {
        let schedule = Schedule::default();
        let expected = [5, 10, 20, 40, 80, 160, 240, 240].map(|minutes| minutes * MINUTE);
        for (attempts, expected) in (1..).zip(expected) {
            let delay = schedule.delay(attempts, 7);
            assert!(about(expected, delay), "{attempts}: {delay}");
        }
        assert!(about(4 * HOUR, schedule.delay(u32::MAX, 7)));
        assert!(about(5 * MINUTE, schedule.delay(0, 7)));
    }

    #[test]
    fn jitter_depends_on_the_seed() {
        let schedule = Schedule::default();
        let delays: std::collections::BTreeSet<u64> = (0..100).map(|seed| schedule.delay(3, seed)).collect();
        assert!(delays.len() > 50);
        assert_eq!(schedule.delay(3, 9), schedule.delay(3, 9));
    }

    #[test]
    fn a_message_is_given_up_after_five_days_and_not_before_a_last_attempt() {
        let schedule = Schedule::default();
        let end = NOW + 5 * DAY;
        assert_eq!(schedule.next_attempt(NOW, 30, end - MINUTE, 1), Some(end));
        assert_eq!(schedule.next_attempt(NOW, 30, end, 1), None);
        assert_eq!(schedule.next_attempt(NOW, 30, end + DAY, 1), None);
        let next = schedule.next_attempt(NOW + DAY, 1, NOW, 1).unwrap();
        assert!(about(5 * MINUTE, next - NOW), "clock set back");
    }

    #[test]
    fn a_destination_in_trouble_is_left_alone_for_longer_and_longer() {
        let (mut destination, schedule) = (DestinationBackoff::new(3), Schedule::default());
        assert!(destination.may_try(NOW));
        destination.fault(NOW, schedule);
        destination.fault(NOW + 1, schedule);
        assert!(!destination.may_try(NOW + 4 * MINUTE));
        let second = NOW + 6 * MINUTE;
        assert!(destination.may_try(second), "the second of two parallel failures does not count");
        destination.fault(second, schedule);
        assert!(!destination.may_try(second + 8 * MINUTE));
        assert!(destination.may_try(second + 12 * MINUTE));
        destination.success();
        assert!(destination.may_try(second));
    }

    #[test]
    fn what_an_earlier_process_has_seen_goes_on() {
        let schedule = Schedule::default();
        let restored = |until| DestinationBackoff::new(0).restored(3, until, NOW, schedule);
        let mut destination = restored(NOW + 20 * MINUTE);
        assert!(!destination.may_try(NOW + 19 * MINUTE));
        let later = NOW + 20 * MINUTE;
        assert!(destination.may_try(later));
        destination.fault(later, schedule);
        assert_eq!(destination.failures(), 4);
        assert!(about(40 * MINUTE, destination.until() - later));
        assert!(restored(u64::MAX).may_try(NOW + 5 * HOUR), "no time that we pick");
        assert!(restored(NOW - DAY).may_try(NOW));
    }

    #[test]
    fn a_message_that_was_in_hand_at_several_ends_waits_longer_and_longer() {
        let after = |count| Schedule::default().after_interruptions(count, NOW, NOW + 1);
        assert_eq!((after(0), after(1), after(MAX_INTERRUPTIONS)), (None, None, None));
        assert!(about(5 * MINUTE, after(2).unwrap() - NOW));
        assert!(about(20 * MINUTE, after(4).unwrap() - NOW));
        let set_back = Schedule::default().after_interruptions(2, NOW + DAY, NOW).unwrap();
        assert!(about(5 * MINUTE, set_back - NOW), "clock set back");
    }

    proptest! {
        #[test]
        fn no_values_break_the_schedule(
            first in any::<u64>(), max in any::<u64>(), give_up in any::<u64>(),
            first_try in any::<u64>(), attempts in any::<u32>(), now in any::<u64>(), seed in any::<u64>(),
        ) {
            let schedule = Schedule {
                first: Duration::from_secs(first),
                max: Duration::from_secs(max),
                give_up: Duration::from_secs(give_up),
            };
            if let Some(next) = schedule.next_attempt(first_try, attempts, now, seed) {
                prop_assert!(next > now);
            }
        }
    }
}
