//! Folding of what a peer can cause at will.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::kind::{Kind, Level};

/// So many warnings of one kind from one peer are written within [`WINDOW`].
const BURST: u32 = 10;

/// Length of a window; it starts with the first warning.
const WINDOW: Duration = Duration::from_secs(1);

/// So many peers are told apart at a time; the rest share one count for each kind.
const MAX_PEERS: usize = 1024;

/// Counts warnings by kind and peer, so that one peer can neither fill the log nor hide another one.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    windows: HashMap<Key, Window>,
    /// The earliest end of a window.
    due: Option<Instant>,
}

type Key = (&'static str, Option<Arc<str>>);

#[derive(Debug)]
struct Window {
    kind: &'static Kind,
    end: Instant,
    seen: u32,
    folded: u64,
}

/// Warnings that were counted instead of written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) kind: &'static Kind,
    pub(super) peer: Option<Arc<str>>,
    pub(super) count: u64,
}

impl Limiter {
    /// Is this kind of event limited at all? Never what is only information, such as delivery records.
    pub(super) fn applies(kind: &Kind) -> bool {
        kind.by_peer && kind.level == Level::Warning
    }

    /// May this event be written? If not it is counted.
    pub(super) fn admit(&mut self, kind: &'static Kind, peer: Option<&Arc<str>>, now: Instant) -> bool {
        let mut key = (kind.id, peer.cloned());
        if self.windows.len() >= MAX_PEERS && !self.windows.contains_key(&key) {
            key.1 = None;
        }
        let end = now + WINDOW;
        let window = self.windows.entry(key).or_insert(Window { kind, end, seen: 0, folded: 0 });
        self.due = Some(self.due.map_or(end, |due| due.min(end)));
        window.seen = window.seen.saturating_add(1);
        if window.seen <= BURST {
            return true;
        }
        window.folded += 1;
        false
    }

    /// Is a window over?
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Forgets the windows that are over, all of them if `now` is None, and returns what they folded.
    pub(super) fn take(&mut self, now: Option<Instant>) -> Vec<Folded> {
        let over = |window: &Window| now.is_none_or(|now| window.end <= now);
        let folded = self
            .windows
            .extract_if(|_, window| over(window))
            .filter(|(_, window)| window.folded > 0)
            .map(|((_, peer), window)| Folded { kind: window.kind, peer, count: window.folded })
            .collect();
        self.due = self.windows.values().map(|window| window.end).min();
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind;
    use super::*;

    fn peer(name: &str) -> Option<Arc<str>> {
        Some(name.into())
    }

    #[test]
    fn more_than_ten_a_second_are_folded() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        let one = peer("192.0.2.1");
        let written = (0..50).filter(|_| limiter.admit(kind::LONG_LINE, one.as_ref(), start)).count();
        assert_eq!(written, 10);
        assert!(limiter.admit(kind::LONG_LINE, peer("192.0.2.2").as_ref(), start), "peers are told apart");
        assert!(limiter.admit(kind::TOO_BIG, one.as_ref(), start), "kinds are told apart");
        assert!(!limiter.is_due(start));
        assert!(limiter.take(Some(start)).is_empty());
        let later = start + WINDOW;
        assert!(limiter.is_due(later));
        let folded = Folded { kind: kind::LONG_LINE, peer: one.clone(), count: 40 };
        assert_eq!(limiter.take(Some(later)), [folded]);
        assert!(limiter.admit(kind::LONG_LINE, one.as_ref(), later));
        assert!(limiter.take(None).is_empty());
        assert!(!limiter.is_due(later + WINDOW));
    }

    #[test]
    fn many_peers_do_not_grow_it() {
        let start = Instant::now();
        let mut limiter = Limiter::default();
        let written = (0..100_000)
            .filter(|n| limiter.admit(kind::LONG_LINE, peer(&n.to_string()).as_ref(), start))
            .count();
        assert_eq!(written, MAX_PEERS + BURST as usize);
        assert_eq!(limiter.windows.len(), MAX_PEERS + 1);
        assert_eq!(
            limiter.take(None).iter().map(|folded| folded.count).sum::<u64>(),
            100_000 - written as u64
        );
    }

    #[test]
    fn information_is_never_limited() {
        for kind in kind::ALL.iter().filter(|kind| Limiter::applies(kind)) {
            assert_eq!(kind.level, Level::Warning, "{}", kind.name);
        }
        for kind in [kind::STORED, kind::FORWARDED, kind::DEFERRED, kind::FAILED, kind::CONNECTED] {
            assert!(!Limiter::applies(kind), "{}", kind.name);
        }
    }
}
