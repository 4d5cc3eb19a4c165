//! A server that cannot be reached is left alone for a while, and is not complained of for each message.
//!
//! Otherwise a thousand messages in the queue would each wait for a connection that does not come, and each fill a line of the log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Position;

/// Connections that fail in a row before the server is left alone.
const FAILURES: u32 = 5;

/// For how long. Then one message tries.
const REST: Duration = Duration::from_secs(10);

/// The same trouble of messages that wait in the queue is told again after so long.
const TOLD: Duration = Duration::from_secs(60);

/// What is known of a server.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Why the last one failed.
    reason: String,
    /// Nobody tries before.
    rest: Option<Instant>,
    /// What was told, and when.
    told: Option<(String, Instant)>,
}

impl Breaker {
    /// Why there is no connection now, without trying; none: try.
    pub(super) fn objection(&self, now: Instant) -> Option<String> {
        let mut state = self.lock();
        let rest = state.rest?;
        if now < rest {
            return Some(state.reason.clone());
        }
        // The others wait for what becomes of this one.
        state.rest = now.checked_add(REST);
        None
    }

    /// There is a connection.
    pub(super) fn reached(&self) {
        *self.lock() = State::default();
    }

    /// There is none, for this reason.
    pub(super) fn failed(&self, reason: &str, now: Instant) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        reason.clone_into(&mut state.reason);
        if state.failures >= FAILURES {
            state.rest = now.checked_add(REST);
        }
    }

    /// Whether to tell of this trouble. A client that is refused is always worth a line: it was told, too.
    pub(super) fn is_news(&self, position: Position, trouble: &str, now: Instant) -> bool {
        let mut state = self.lock();
        let known = state.told.as_ref().is_some_and(|(told, at)| told == trouble && now - *at < TOLD);
        if known && position != Position::Server {
            return false;
        }
        state.told = Some((trouble.to_owned(), now));
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_give_a_rest_and_one_try_behind_it() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            assert_eq!(breaker.objection(start), None);
            breaker.failed("refused", start);
        }
        let last = start + REST - Duration::from_millis(1);
        assert_eq!(breaker.objection(last).as_deref(), Some("refused"));
        let after = start + REST;
        assert_eq!(breaker.objection(after), None);
        assert_eq!(breaker.objection(after).as_deref(), Some("refused"), "one tries");
        breaker.failed("refused again", after);
        assert_eq!(breaker.objection(after).as_deref(), Some("refused again"));
        assert_eq!(breaker.objection(after + REST), None);
        breaker.reached();
        assert_eq!(breaker.objection(after), None);
        breaker.failed("refused", after);
        assert_eq!(breaker.objection(after), None, "a single one is nothing");
    }

    #[test]
    fn trouble_in_the_queue_is_told_once_and_clients_always() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let news = |position, trouble, seconds| {
            breaker.is_news(position, trouble, start + Duration::from_secs(seconds))
        };
        assert!(news(Position::Client, "refused", 0));
        assert!(!news(Position::Client, "refused", 1) && !news(Position::Routing, "refused", 59));
        assert!(news(Position::Client, "silent", 59));
        assert!(news(Position::Client, "silent", 119));
        assert!(news(Position::Server, "silent", 120) && news(Position::Server, "silent", 121));
        breaker.reached();
        assert!(news(Position::Client, "silent", 122), "it was well in between");
    }
}
