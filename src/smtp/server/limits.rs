//! Limits of a session: what a peer can make grow, or make us wait for, ends here.

use std::time::{Duration, Instant};

/// Protocol errors of a connection; the last is answered, then the session closes.
pub const MAX_ERRORS: u16 = 8;
/// VRFY commands per connection that are really looked at.
pub const MAX_VRFY: u8 = 20;
/// Refused logins of a connection; with the last the session closes.
pub const MAX_AUTH_FAILURES: u8 = 5;
/// Longest name in EHLO and HELO, in bytes (RFC 5321 §4.5.3.1.2).
pub const MAX_PEER_NAME: usize = 255;
/// Bytes of replies waiting to be fetched at which no more input is taken.
pub const MAX_QUEUED: usize = 16 * 1024;
/// Longest silence before the first EHLO, if the configured limit is not shorter.
pub const MAX_IDLE_BEFORE_HELLO: Duration = Duration::from_secs(300);
/// Content over twice the size limit by this many bytes ends the session.
pub const OVERSIZE_SLACK: u64 = 1024 * 1024;
/// Chunks of BDAT smaller than this are small: their cost is that of the command, not that of their bytes.
pub const SMALL_CHUNK: u64 = 1024;
/// Small chunks of one message; one more refuses it.
pub const MAX_SMALL_CHUNKS: u32 = 10_000;
/// Bytes that the recipients of one message may take, each counted with [`RECIPIENT_OVERHEAD`]: what an envelope file
/// has room for, and the most that a client can make us keep.
pub const MAX_RECIPIENT_BYTES: usize = 896 * 1024;
/// Bytes of a recipient besides its address: its line in the envelope, its place in memory.
pub const RECIPIENT_OVERHEAD: usize = 32;
/// Least average rate of content, in bytes per second over ten minutes.
pub const RATE_FLOOR: u64 = 100;

/// Protocol errors after which each reply waits.
const SLOW_ERRORS: u16 = 4;
/// How long it waits.
pub(super) const SLOW_DELAY: Duration = Duration::from_secs(1);
/// Other refusals with 5xx weigh this part of a protocol error.
const REFUSALS_PER_ERROR: u16 = 5;

/// Errors of a peer, in fifths.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errors(u16);

impl Errors {
    pub(super) fn count_error(&mut self) {
        self.0 = self.0.saturating_add(REFUSALS_PER_ERROR);
    }

    pub(super) fn count_refusal(&mut self) {
        self.0 = self.0.saturating_add(1);
    }

    /// Replies are to be delayed.
    pub(super) fn slow(self) -> bool {
        self.0 >= SLOW_ERRORS * REFUSALS_PER_ERROR
    }

    /// The session is to be closed.
    pub(super) fn too_many(self) -> bool {
        self.0 >= MAX_ERRORS * REFUSALS_PER_ERROR
    }
}

/// Watches the rate of content over the last ten minutes, minute by minute.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// Bytes of the last minutes, the current one first.
    minutes: [u64; MINUTES],
    /// Whole minutes seen, up to [`MINUTES`].
    seen: usize,
    /// End of the current minute.
    tick: Instant,
}

const MINUTES: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { minutes: [0; MINUTES], seen: 0, tick: now + MINUTE }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        if let Some(current) = self.minutes.first_mut() {
            *current = current.saturating_add(bytes as u64);
        }
    }

    /// When to call [`Rate::too_slow`] next.
    pub(super) fn deadline(&self) -> Instant {
        self.tick
    }

    /// Ends the minute if it is over; true if the last ten were below the floor.
    ///
    /// A call that comes late makes the minute longer and not the ones after it empty: we may have been stopped
    /// ourselves, and what we did not read is not the peer's fault.
    pub(super) fn too_slow(&mut self, now: Instant) -> bool {
        if now < self.tick {
            return false;
        }
        self.tick = now + MINUTE;
        self.seen = self.seen.saturating_add(1);
        let floor = RATE_FLOOR.saturating_mul(MINUTE.as_secs()).saturating_mul(MINUTES as u64);
        let slow = self.seen >= MINUTES && self.minutes.iter().sum::<u64>() < floor;
        self.minutes.rotate_right(1);
        if let Some(current) = self.minutes.first_mut() {
            *current = 0;
        }
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_weigh_five_refusals() {
        let mut errors = Errors::default();
        (0..3).for_each(|_| errors.count_error());
        (0..4).for_each(|_| errors.count_refusal());
        assert!(!errors.slow());
        errors.count_refusal();
        assert!(errors.slow());
        (0..4).for_each(|_| errors.count_error());
        assert!(errors.too_many());
    }

    #[test]
    fn any_ten_minutes_must_reach_the_floor() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        rate.add(1_000_000);
        for minute in 1..=10 {
            assert!(!rate.too_slow(start + MINUTE * minute), "{minute}");
        }
        assert!(rate.too_slow(start + MINUTE * 11), "the first minute no longer counts");

        let mut rate = Rate::new(start);
        for minute in 1..=30 {
            rate.add(6000);
            assert!(!rate.too_slow(start + MINUTE * minute), "{minute}");
            assert!(!rate.too_slow(start + MINUTE * minute + Duration::from_secs(59)));
        }
    }
}
