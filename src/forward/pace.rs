//! How often the spool is looked at because somebody has asked. Where mail comes in all the time there is a request all the time,
//! and to list a long backlog takes a while: most of the time is left to others.

use std::time::Duration;

use tokio::time::Instant;

/// After a look there is none for so many times as long as it took.
const REST: u32 = 4;

/// But never longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// A look that took less is no burden.
const SHORT: Duration = Duration::from_millis(10);

/// When the spool may be looked at again.
#[derive(Debug, Default)]
pub(crate) struct Pace(Option<Instant>);

impl Pace {
    /// When the next look is due, if somebody asks for one: a time gone by if nothing speaks against it.
    pub(crate) fn next(&self) -> Instant {
        self.0.unwrap_or_else(Instant::now)
    }

    /// The spool was looked at.
    pub(crate) fn looked(&mut self, begun: Instant, ended: Instant) {
        let took = ended.saturating_duration_since(begun);
        let rest = if took < SHORT { Duration::ZERO } else { took.saturating_mul(REST).min(LONGEST) };
        self.0 = Some(ended + rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_looks_are_seldom() {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        assert!(pace.next() <= Instant::now());
        let rest = |pace: &mut Pace, millis: u64| {
            let ended = begun + Duration::from_millis(millis);
            pace.looked(begun, ended);
            pace.next() - ended
        };
        assert_eq!(rest(&mut pace, 9), Duration::ZERO);
        assert_eq!(rest(&mut pace, 10), Duration::from_millis(40));
        assert_eq!(rest(&mut pace, 60_000), LONGEST);
    }
}
