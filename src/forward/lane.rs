//! One destination: the messages that wait for it, the connections to it, and whether it is being left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::address::Remote;
use crate::forward::backoff::{DestinationBackoff, Schedule};
use crate::forward::ticket::Ticket;

/// A destination. Slow or dead ones never hold up others, because each has its own queue and its own connections.
#[derive(Debug)]
pub(crate) struct Lane {
    target: Remote,
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
    /// Connections that the configuration allows.
    max: usize,
    backoff: DestinationBackoff,
}

/// What the failure of a session means for its lane.
#[derive(Debug)]
pub(crate) enum AfterFault {
    /// Other connections are fine: the destination limits their number, and this one is given up.
    FewerConnections,
    /// Nothing works: these messages stay untouched in the spool until the destination's back-off is over, at this
    /// time in unix seconds.
    Down(Vec<Ticket>, u64),
}

impl Lane {
    pub(crate) fn new(target: Remote, max_connections: usize, schedule: Schedule) -> Self {
        let max = max_connections.max(1);
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            established: 0,
            cap: max,
            max,
            backoff: DestinationBackoff::new(schedule, 0),
        };
        Self { target, state: Mutex::new(state), wake: Notify::new() }
    }

    pub(crate) fn target(&self) -> &Remote {
        &self.target
    }

    /// Queues a message, unless the destination is being left alone at `now` (unix seconds); then it tells until when.
    pub(crate) fn push(&self, ticket: Ticket, now: u64) -> Result<(), u64> {
        let mut state = self.lock();
        if !state.backoff.may_try(now) {
            return Err(state.backoff.until());
        }
        state.queue.push_back(ticket);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether a further connection is worth making; if so it counts as made. One connection serves a short queue:
    /// another is only added when every one there is has work waiting behind it.
    pub(crate) fn wants_worker(&self) -> bool {
        let mut state = self.lock();
        let wanted = state.workers < state.cap && state.queue.len() > state.workers;
        if wanted {
            state.workers += 1;
        }
        wanted
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

    pub(crate) fn established(&self) {
        let mut state = self.lock();
        state.established += 1;
        state.backoff.success();
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
    /// A worker is gone. What was learnt about the number of connections holds as long as there are any: the limit may
    /// have been met by chance, and a long-lived process would keep to it for ever.
    fn strike_off(&mut self) {
        self.workers -= 1;
        if self.workers == 0 {
            self.cap = self.max;
        }
    }
}
