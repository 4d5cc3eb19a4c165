//! One destination: the messages that wait for it, the connections to it, and whether it is being left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::forward::backoff::DestinationBackoff;
use crate::forward::destination::Destination;
use crate::forward::ticket::Ticket;
use crate::spool;

/// Seconds for which a destination is taken at its word about the number of connections.
const THROTTLED_FOR: u64 = 5 * 60;

/// Seconds after which a fault that goes on is reported again.
const REMIND_AFTER: u64 = 60 * 60;

/// A destination. Slow or dead ones never hold up others, because each has its own queue and its own connections.
#[derive(Debug)]
pub(crate) struct Lane {
    destination: Destination,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Ticket>,
    /// Tasks that hold or are making a connection.
    workers: usize,
    /// Those of them that are past EHLO.
    established: usize,
    /// Connections that the destination has shown it allows.
    cap: usize,
    /// Until when that is believed, in unix seconds: the limit may have been met by chance.
    cap_until: u64,
    /// Connections that the configuration allows.
    max: usize,
    /// A connection has failed, and none of the others has been made yet: no more are tried before that is known.
    in_question: bool,
    backoff: DestinationBackoff,
    /// It was seen to be well, and nobody has been told yet.
    recovered: bool,
    /// What is wrong with the destination, unless it is well.
    trouble: Option<Trouble>,
}

/// A fault that has been reported.
#[derive(Debug)]
struct Trouble {
    text: String,
    /// How often it has come again since.
    again: u32,
    /// When it was reported, in unix seconds.
    reported: u64,
}

impl Trouble {
    fn summary(&self) -> Option<String> {
        (self.again > 0).then(|| format!("{} (again: {})", self.text, self.again))
    }
}

/// What the failure of a session means for its lane.
#[derive(Debug)]
pub(crate) enum AfterFault {
    /// Other connections are fine, or may yet turn out to be: the destination limits their number, and this one is given
    /// up.
    FewerConnections,
    /// Nothing works: these messages stay untouched in the spool until the destination's back-off is over, at this
    /// time in unix seconds.
    Down(Vec<Ticket>, u64),
}

impl Lane {
    pub(crate) fn new(destination: Destination, max_connections: usize, backoff: DestinationBackoff) -> Self {
        let max = max_connections.max(1);
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            established: 0,
            cap: max,
            max,
            cap_until: 0,
            in_question: false,
            trouble: None,
            recovered: false,
            backoff,
        };
        Self { destination, state: Mutex::new(state), wake: Notify::new() }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Queues a message, unless the destination is being left alone at `now` (unix seconds); then it comes back, with the time
    /// until when.
    pub(crate) fn push(&self, ticket: Ticket, now: u64) -> Result<(), (Ticket, u64)> {
        let mut state = self.lock();
        if !state.backoff.may_try(now) {
            return Err((ticket, state.backoff.until()));
        }
        state.queue.push_back(ticket);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Until when the destination is being left alone, if it is at `now` (unix seconds).
    pub(crate) fn left_alone(&self, now: u64) -> Option<u64> {
        let state = self.lock();
        (!state.backoff.may_try(now)).then(|| state.backoff.until())
    }

    /// Whether a further connection is worth making; if so it counts as made. One connection serves a short queue:
    /// another is only added when every one there is has work waiting behind it. The first one tries the way alone, so
    /// that a destination which does not answer takes no more than one place among the connections in all.
    pub(crate) fn wants_worker(&self, now: u64) -> bool {
        let mut state = self.lock();
        let untried = state.workers > 0 && state.established == 0;
        let wanted = state.queue.len() > state.workers && !untried;
        state.add_worker(wanted, now)
    }

    /// The same when a message has waited behind transfers that take their time: however short the queue, it is not to
    /// wait longer as long as more connections are allowed.
    pub(crate) fn wants_help(&self, now: u64) -> bool {
        let mut state = self.lock();
        // One that is being made will take the message.
        let coming = state.workers > state.established;
        let wanted = !state.queue.is_empty() && !coming;
        state.add_worker(wanted, now)
    }

    /// Nothing waits, nobody works, and the destination is well: a new lane would be the same.
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.workers == 0 && state.trouble.is_none() && state.backoff.is_well()
    }

    pub(crate) fn pop(&self) -> Option<Ticket> {
        self.lock().queue.pop_front()
    }

    /// Returns a message that was popped but not touched to the head of the queue. Whoever has an idle connection may
    /// take it: the one who returns it may be about to end.
    pub(crate) fn put_back(&self, ticket: Ticket) {
        self.lock().queue.push_front(ticket);
        self.wake.notify_one();
    }

    /// Waits until a message may have been queued.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// A session has got past EHLO.
    pub(crate) fn established(&self) {
        let mut state = self.lock();
        state.established += 1;
        state.in_question = false;
    }

    /// The destination has decided about a message: only that shows that it is well, since one that greets nicely may
    /// still refuse to work. Returns what is to be said about the trouble that is over.
    pub(crate) fn well(&self) -> Option<String> {
        let mut state = self.lock();
        state.backoff.success();
        state.recovered = true;
        state.trouble.take()?.summary()
    }

    /// What other processes should know: its trouble, or that it is over. None: nothing is known.
    pub(crate) fn news(&self) -> Option<Option<spool::Trouble>> {
        let mut state = self.lock();
        let recovered = std::mem::take(&mut state.recovered);
        if state.backoff.is_well() {
            return recovered.then_some(None);
        }
        Some(Some(spool::Trouble { failures: state.backoff.failures(), until: state.backoff.until() }))
    }

    /// A session has failed at `now` (unix seconds). Returns what is to be said about it: what was said already is not said
    /// for every attempt, but counted.
    pub(crate) fn complain(&self, text: &str, now: u64) -> Vec<String> {
        let mut state = self.lock();
        let mut lines = Vec::new();
        if let Some(trouble) = &mut state.trouble {
            let same = trouble.text == text;
            trouble.again += u32::from(same);
            if same && now.saturating_sub(trouble.reported) < REMIND_AFTER {
                return lines;
            }
            lines.extend(trouble.summary());
            if same {
                (trouble.again, trouble.reported) = (0, now);
                return lines;
            }
        }
        state.trouble = Some(Trouble { text: text.to_owned(), again: 0, reported: now });
        lines.push(text.to_owned());
        lines
    }

    /// A worker wants to end in good order. It may not (`false`) while messages are queued: a message may have been
    /// queued after the worker last looked, and nobody else was started for it because the worker was still counted.
    pub(crate) fn leave(&self, was_established: bool) -> bool {
        let mut state = self.lock();
        state.established -= usize::from(was_established);
        let may_leave = state.queue.is_empty();
        if may_leave {
            state.strike_off();
        }
        may_leave
    }

    /// A worker's session has failed and will not be made again.
    pub(crate) fn failed(&self, was_established: bool, now: u64) -> AfterFault {
        let mut state = self.lock();
        state.strike_off();
        state.established -= usize::from(was_established);
        if state.established > 0 {
            state.cap = state.established;
            state.cap_until = now.saturating_add(THROTTLED_FOR);
            return AfterFault::FewerConnections;
        }
        // Those that are still being made may yet get through; the last one decides.
        if state.workers > 0 {
            state.in_question = true;
            return AfterFault::FewerConnections;
        }
        state.backoff.fault(now);
        AfterFault::Down(state.queue.drain(..).collect(), state.backoff.until())
    }

    /// Forgets the back-off: somebody has asked for an attempt now.
    pub(crate) fn try_again(&self, max_connections: usize) {
        let mut state = self.lock();
        state.backoff.success();
        state.max = max_connections.max(1);
        state.cap = state.max;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change above leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add_worker(&mut self, wanted: bool, now: u64) -> bool {
        if now >= self.cap_until {
            self.cap = self.max;
        }
        let added = wanted && !self.in_question && self.workers < self.cap;
        self.workers += usize::from(added);
        added
    }

    /// A worker is gone. What was learnt about the number of connections holds as long as there are any: the limit may
    /// have been met by chance, and a long-lived process would keep to it for ever.
    fn strike_off(&mut self) {
        self.workers -= 1;
        if self.workers == 0 {
            self.cap = self.max;
            self.in_question = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::address::Remote;
    use crate::forward::backoff::Schedule;
    use crate::forward::{Engine, EngineConfig};
    use crate::spool::{Spool, SpoolConfig};

    const NOW: u64 = 1_800_000_000;

    fn lane() -> Lane {
        let address = Remote::Ip("192.0.2.1:25".parse().unwrap());
        let backoff = DestinationBackoff::new(Schedule::default(), 0);
        Lane::new(Destination { address, selector: String::new() }, 4, backoff)
    }

    /// As if so many workers had been started.
    fn with_workers(count: usize) -> Lane {
        let lane = lane();
        lane.lock().workers = count;
        lane
    }

    fn is_down(after: &AfterFault) -> bool {
        matches!(after, AfterFault::Down(..))
    }

    #[test]
    fn a_destination_is_down_only_when_the_last_of_its_connections_has_failed() {
        let lane = with_workers(3);
        assert!(!is_down(&lane.failed(false, NOW)), "two others are still being made");
        assert!(lane.lock().in_question, "nor is another one tried now");
        assert!(!is_down(&lane.failed(false, NOW)));
        lane.established();
        assert!(!lane.lock().in_question);
        assert!(lane.lock().backoff.may_try(NOW));
        assert_eq!(lane.lock().cap, 4);
        assert!(is_down(&lane.failed(true, NOW)));
        assert!(!lane.lock().backoff.may_try(NOW));
    }

    #[test]
    fn a_limit_on_connections_is_believed_for_five_minutes() {
        let lane = with_workers(2);
        lane.established();
        assert!(!is_down(&lane.failed(false, NOW)));
        assert_eq!(lane.lock().cap, 1);
        assert!(!lane.wants_worker(NOW + THROTTLED_FOR - 1));
        assert_eq!(lane.lock().cap, 1);
        assert!(!lane.wants_worker(NOW + THROTTLED_FOR), "nothing is queued");
        assert_eq!(lane.lock().cap, 4);
    }

    #[test]
    fn the_first_connection_tries_the_way_alone() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path(), SpoolConfig::default()).unwrap();
        let engine = engine(&spool);
        let lane = lane();
        for _ in 0..3 {
            lane.push(Ticket::draw(&engine, spool.next_id()).unwrap(), NOW).unwrap();
        }
        assert!(lane.wants_worker(NOW));
        assert!(!lane.wants_worker(NOW), "whether it gets through is not known yet");
        assert!(!lane.wants_help(NOW));
        lane.established();
        assert!(lane.wants_worker(NOW));
        assert!(lane.wants_worker(NOW));
        assert!(!lane.wants_worker(NOW), "three for three");
        assert!(!lane.wants_help(NOW), "two are on their way");
        lane.established();
        lane.established();
        assert!(lane.wants_help(NOW));
        assert!(!lane.is_at_rest());
        while lane.pop().is_some() {}
    }

    fn engine(spool: &Arc<Spool>) -> Arc<Engine> {
        Engine::new(Arc::clone(spool), EngineConfig::example(), CancellationToken::new())
    }

    #[test]
    fn a_greeting_does_not_end_the_back_off() {
        let lane = with_workers(1);
        lane.failed(false, NOW);
        lane.lock().workers = 1;
        lane.established();
        assert!(!lane.lock().backoff.may_try(NOW));
        assert_eq!(lane.well(), None);
        assert!(lane.lock().backoff.may_try(NOW));
    }

    #[test]
    fn a_fault_is_said_once_and_then_counted() {
        let lane = lane();
        assert_eq!(lane.complain("dead", NOW), ["dead"]);
        assert!(lane.complain("dead", NOW + 1).is_empty());
        assert!(lane.complain("dead", NOW + 2).is_empty());
        assert_eq!(lane.complain("silent", NOW + 3), ["dead (again: 2)", "silent"]);
        assert_eq!(lane.complain("dead", NOW + 4), ["dead"]);
        assert_eq!(lane.well(), None);
        assert_eq!(lane.complain("dead", NOW + 5), ["dead"]);
        assert!(lane.complain("dead", NOW + 6).is_empty());
        assert_eq!(lane.complain("dead", NOW + 5 + REMIND_AFTER), ["dead (again: 2)"]);
        assert!(lane.complain("dead", NOW + 6 + REMIND_AFTER).is_empty());
        assert_eq!(lane.well().as_deref(), Some("dead (again: 1)"));
    }
}
