//! One destination: the messages that wait for it, the connections to it, and whether it is being left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::forward::backoff::{DestinationBackoff, Schedule};
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
    /// Connections that the destination has shown it allows, if it has shown a limit.
    cap: Option<usize>,
    /// Until when that is believed, in unix seconds: the limit may have been met by chance.
    cap_until: u64,
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
    pub(crate) fn new(destination: Destination, backoff: DestinationBackoff) -> Self {
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            established: 0,
            cap: None,
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

    /// Whether a further connection is worth making, of `most` that are allowed; if so it counts as made. One connection serves
    /// a short queue: another is only added when every one there is has work waiting behind it. The first one tries the way
    /// alone, so that a destination which does not answer takes no more than one place among the connections in all.
    pub(crate) fn wants_worker(&self, now: u64, most: usize) -> bool {
        let mut state = self.lock();
        let untried = state.workers > 0 && state.established == 0;
        let wanted = state.queue.len() > state.workers && !untried;
        state.add_worker(wanted, now, most)
    }

    /// The same when a message has waited behind transfers that take their time: however short the queue, it is not to
    /// wait longer as long as more connections are allowed.
    pub(crate) fn wants_help(&self, now: u64, most: usize) -> bool {
        let mut state = self.lock();
        // One that is being made will take the message.
        let coming = state.workers > state.established;
        let wanted = !state.queue.is_empty() && !coming;
        state.add_worker(wanted, now, most)
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

    /// A worker has given up its connection for the sake of other destinations. It is still counted, and will make another.
    pub(crate) fn made_way(&self, was_established: bool) {
        self.lock().established -= usize::from(was_established);
    }

    /// A worker's session has failed and will not be made again.
    pub(crate) fn failed(&self, was_established: bool, now: u64, schedule: Schedule) -> AfterFault {
        let mut state = self.lock();
        state.strike_off();
        state.established -= usize::from(was_established);
        if state.established > 0 {
            state.cap = Some(state.established);
            state.cap_until = now.saturating_add(THROTTLED_FOR);
            return AfterFault::FewerConnections;
        }
        // Those that are still being made may yet get through; the last one decides.
        if state.workers > 0 {
            state.in_question = true;
            return AfterFault::FewerConnections;
        }
        state.backoff.fault(now, schedule);
        AfterFault::Down(state.queue.drain(..).collect(), state.backoff.until())
    }

    /// Forgets the back-off: somebody has asked for an attempt now.
    pub(crate) fn try_again(&self) {
        let mut state = self.lock();
        state.backoff.success();
        state.cap = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change above leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add_worker(&mut self, wanted: bool, now: u64, most: usize) -> bool {
        if now >= self.cap_until {
            self.cap = None;
        }
        let most = self.cap.map_or(most, |cap| cap.min(most)).max(1);
        let added = wanted && !self.in_question && self.workers < most;
        self.workers += usize::from(added);
        added
    }

    /// A worker is gone. What was learnt about the number of connections holds as long as there are any: the limit may
    /// have been met by chance, and a long-lived process would keep to it for ever.
    fn strike_off(&mut self) {
        self.workers -= 1;
        if self.workers == 0 {
            self.cap = None;
            self.in_question = false;
        }
    }
}

#[cfg(test)]
mod tests;
