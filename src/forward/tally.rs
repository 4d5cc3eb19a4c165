//! What a forwarding run has done.

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
    /// Counted anew at each listing, because every listing sees all messages.
    not_due: usize,
    held_back: usize,
    /// Messages that this run has put off or left behind in the spool.
    deferred: usize,
}

impl Tally {
    pub(crate) fn begin(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn start_scan(&mut self) {
        self.not_due = 0;
        self.held_back = 0;
        self.deferred = 0;
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

    /// A message that was found not to be due before `at`.
    pub(crate) fn not_due(&mut self, at: u64) {
        self.not_due += 1;
        self.due_at(at);
    }

    /// A message that was tried and has to wait until `at`.
    pub(crate) fn deferred(&mut self, at: u64) {
        self.deferred += 1;
        self.due_at(at);
    }

    /// Messages that were not tried: because nothing works at their destination, which is left alone until `until`, or
    /// because the process stops.
    pub(crate) fn held_back(&mut self, count: usize, until: Option<u64>) {
        self.held_back += count;
        if let Some(until) = until.filter(|_| count > 0) {
            self.due_at(until);
        }
    }

    pub(crate) fn fault(&mut self, text: &str) {
        self.report.fault = Some(text.to_owned());
    }

    pub(crate) fn local_error(&mut self, text: &str) {
        self.report.local_error = Some(text.to_owned());
    }

    pub(crate) fn report(&self) -> RunReport {
        RunReport { waiting: self.not_due + self.deferred + self.held_back, ..self.report.clone() }
    }

    fn due_at(&mut self, at: u64) {
        self.report.next_due = Some(self.report.next_due.map_or(at, |next| next.min(at)));
    }
}
