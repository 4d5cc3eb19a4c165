//! The bounded queue between those who log and the thread that writes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::carrier::Record;
use super::kind::Level;

/// Records that wait at most. What is less important has less room.
const ROOM: usize = 8192;

/// Records on their way to the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something to do for the writer.
    filled: Condvar,
    /// The writer has caught up.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    lost: u64,
    /// A writer runs, and takes what is pushed.
    open: bool,
    /// The writer is at work on records it took.
    writing: bool,
    /// The writer is to write what is left and end.
    closing: bool,
}

/// What the writer finds.
#[derive(Debug)]
pub(super) enum Taken {
    /// Records, and how many were lost since the last time.
    Records(VecDeque<Record>, u64),
    /// Nothing came for a while.
    Nothing,
    /// The end.
    Closed,
}

impl Queue {
    /// Takes the record over, or gives it back if there is no writer. A record for which there is no room is counted as lost.
    pub(super) fn push(&self, record: Record) -> Option<Record> {
        let mut state = self.lock();
        if !state.open {
            return Some(record);
        }
        let room = match record.kind.level {
            Level::Error | Level::Warning => ROOM,
            Level::Info => ROOM / 4 * 3,
            Level::Verbose | Level::Extra | Level::Debug => ROOM / 2,
        };
        if state.records.len() < room {
            let first = state.records.is_empty();
            state.records.push_back(record);
            drop(state);
            if first {
                self.filled.notify_one();
            }
        } else {
            state.lost += 1;
        }
        None
    }

    /// From now on [`Queue::push`] takes records.
    pub(super) fn open(&self) {
        self.lock().open = true;
    }

    /// Ends the writer after what is left; later records are given back.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        state.closing = true;
        drop(state);
        self.filled.notify_all();
    }

    /// For the writer: waits for records, at most as long as `patience`. What was taken before counts as written.
    pub(super) fn take(&self, patience: Duration) -> Taken {
        let mut state = self.lock();
        state.writing = false;
        if state.records.is_empty() {
            self.emptied.notify_all();
            if !state.closing {
                let waited = self
                    .filled
                    .wait_timeout_while(state, patience, |state| state.records.is_empty() && !state.closing);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        if state.records.is_empty() {
            return if state.closing { Taken::Closed } else { Taken::Nothing };
        }
        state.writing = true;
        Taken::Records(std::mem::take(&mut state.records), std::mem::take(&mut state.lost))
    }

    /// Waits until everything pushed so far is written, at most as long as `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut state = self.lock();
        while state.open && (state.writing || !state.records.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Is nothing left to write?
    pub(super) fn is_written(&self) -> bool {
        let state = self.lock();
        !state.writing && state.records.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Context;
    use super::super::event::{Event, Fields};
    use super::super::format::Format;
    use super::super::kind::{self, Kind};
    use super::*;

    fn record(kind: &'static Kind) -> Record {
        let event = Event::Protocol { kind, text: "x".to_owned(), fields: Fields::default() };
        Record::new(Format::default(), &Context::default(), &event)
    }

    #[test]
    fn without_a_writer_records_come_back() {
        let queue = Queue::default();
        assert!(queue.push(record(kind::STORED)).is_some());
        queue.flush(Duration::from_secs(60));
    }

    #[test]
    fn verbose_records_are_lost_first() {
        let queue = Queue::default();
        queue.open();
        for kind in [kind::TRACE, kind::STORED, kind::SAVE_FAILED] {
            for _ in 0..ROOM {
                assert!(queue.push(record(kind)).is_none());
            }
        }
        let Taken::Records(records, lost) = queue.take(Duration::ZERO) else { panic!("records") };
        let count = |kind: &Kind| records.iter().filter(|record| record.kind == kind).count();
        assert_eq!(count(kind::TRACE), ROOM / 2);
        assert_eq!(count(kind::STORED), ROOM / 4);
        assert_eq!(count(kind::SAVE_FAILED), ROOM / 4);
        assert_eq!(lost, 2 * ROOM as u64);
    }

    #[test]
    fn the_writer_ends_after_the_last_record() {
        let queue = Queue::default();
        queue.open();
        assert!(matches!(queue.take(Duration::ZERO), Taken::Nothing));
        assert!(queue.push(record(kind::STORED)).is_none());
        queue.close();
        assert!(queue.push(record(kind::STORED)).is_some(), "closed");
        assert!(matches!(queue.take(Duration::from_secs(60)), Taken::Records(..)));
        assert!(matches!(queue.take(Duration::from_secs(60)), Taken::Closed));
    }
}
