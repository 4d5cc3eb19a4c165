//! What a forwarding run has done.

use std::collections::HashMap;

use crate::spool::MessageId;

/// The result of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Messages that were locked for sending.
    pub taken: usize,
    /// Messages that every recipient's next hop has accepted.
    pub sent: usize,
    /// Messages now `.bad`.
    pub failed: usize,
    /// Messages that wait for another attempt: refused for now, not yet due, or their destination is being left alone.
    pub waiting: usize,
    /// When the first of those that have a time is due, in unix seconds.
    pub next_due: Option<u64>,
    /// The last fault of a session with a next hop, in E-MailRelay's words.
    pub fault: Option<String>,
    /// A fault of our own: the spool cannot be read.
    pub local_error: Option<String>,
}

impl RunReport {
    /// Adds what runs before this one have done for good.
    pub fn add_counts(&mut self, before: &Self) {
        self.taken += before.taken;
        self.sent += before.sent;
        self.failed += before.failed;
    }
}

/// Counts while a run is under way.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    report: RunReport,
    /// Messages that the last listing has found to wait, and when the first of them is due. Counted anew at each listing,
    /// because every listing sees all messages.
    found: usize,
    /// Messages that have been in the run and were left behind in the spool since the last listing, and when each is due.
    left: Left,
    next_due: Option<u64>,
    /// A run is under way. Messages that are sent without one are not counted for one.
    running: bool,
}

/// Messages that wait although the run has had them, with the time that is known.
pub(crate) type Left = HashMap<MessageId, Option<u64>>;

impl Tally {
    pub(crate) fn begin(&mut self) {
        *self = Self { running: true, ..Self::default() };
    }

    /// The run is over; what it has done.
    pub(crate) fn end(&mut self) -> RunReport {
        self.running = false;
        self.found += std::mem::take(&mut self.left).len();
        self.report()
    }

    /// The spool is about to be listed, and all that wait will be found again. Returns those that were left behind before: of
    /// these the listing passes over those that have not quite left the run, which are to be [`left`](Self::left) again.
    pub(crate) fn start_scan(&mut self) -> Left {
        self.found = 0;
        self.next_due = None;
        std::mem::take(&mut self.left)
    }

    pub(crate) fn taken(&mut self) {
        self.report.taken += 1;
    }

    pub(crate) fn sent(&mut self) {
        self.report.sent += 1;
    }

    pub(crate) fn failed(&mut self) {
        self.report.failed += 1;
    }

    /// Messages that a listing has found to wait until then, as far as that is known.
    pub(crate) fn found_waiting(&mut self, count: usize, until: Option<u64>) {
        self.found += count;
        self.due_at(until.filter(|_| count > 0));
    }

    /// A message of the run stays in the spool until then, as far as that is known: it was tried, it is not due after all, nothing
    /// works at its destination, there is trouble of our own, or the process stops.
    pub(crate) fn left(&mut self, id: &MessageId, until: Option<u64>) {
        if self.running {
            self.left.insert(id.clone(), until);
            self.due_at(until);
        }
    }

    pub(crate) fn fault(&mut self, text: &str) {
        self.report.fault = Some(text.to_owned());
    }

    pub(crate) fn local_error(&mut self, text: &str) {
        self.report.local_error = Some(text.to_owned());
    }

    /// Whether some message that waits is due at `now` (unix seconds).
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.next_due.is_some_and(|due| due <= now)
    }

    pub(crate) fn report(&self) -> RunReport {
        RunReport { waiting: self.found + self.left.len(), next_due: self.next_due, ..self.report.clone() }
    }

    fn due_at(&mut self, at: Option<u64>) {
        self.next_due = self.next_due.into_iter().chain(at).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listing_counts_those_that_wait_anew() {
        let mut tally = Tally::default();
        tally.begin();
        let id = |seq| MessageId::new(1, 2, seq);
        tally.start_scan();
        tally.found_waiting(2, Some(30));
        tally.left(&id(1), Some(20));
        tally.left(&id(1), Some(40));
        tally.left(&id(2), None);
        let report = tally.report();
        assert_eq!((report.waiting, report.next_due), (4, Some(20)));
        assert_eq!((tally.is_due(19), tally.is_due(20)), (false, true));
        let before = tally.start_scan();
        assert_eq!(before, Left::from([(id(1), Some(40)), (id(2), None)]));
        assert_eq!((tally.report().waiting, tally.is_due(u64::MAX)), (0, false));
        tally.found_waiting(0, Some(10));
        tally.found_waiting(3, None);
        tally.left(&id(3), None);
        let end = tally.end();
        assert_eq!((end.waiting, end.next_due), (4, None));
        tally.left(&id(4), Some(1));
        assert_eq!(tally.report(), end);
    }
}
