//! One destination: the messages that wait for it, the connections to it, and whether it is being left alone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::address::Remote;
use crate::forward::backoff::{DestinationBackoff, Schedule};
use crate::spool::MessageId;

/// A destination. Slow or dead ones never hold up others, because each has its own queue and its own connections.
#[derive(Debug)]
pub(crate) struct Lane {
    target: Remote,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<MessageId>,
    /// Tasks that hold or are making a connection.
    workers: usize,
    /// Those of them that are past EHLO.
    established: usize,
    /// Connections that the destination has shown it allows.
    cap: usize,
    backoff: DestinationBackoff,
}

/// What the failure of a session means for its lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterFault {
    /// Other connections are fine: the destination limits their number, and this one is given up.
    FewerConnections,
    /// Nothing works: these messages stay untouched in the spool until the destination's back-off is over.
    Down(Vec<MessageId>),
}

impl Lane {
    pub(crate) fn new(target: Remote, max_connections: usize, schedule: Schedule) -> Self {
        let state = State {
            queue: VecDeque::new(),
            workers: 0,
            established: 0,
            cap: max_connections.max(1),
            backoff: DestinationBackoff::new(schedule, 0),
        };
        Self { target, state: Mutex::new(state), wake: Notify::new() }
    }

    pub(crate) fn target(&self) -> &Remote {
        &self.target
    }

    /// Queues a message, unless the destination is being left alone at `now` (unix seconds).
    pub(crate) fn push(&self, id: MessageId, now: u64) -> Result<(), MessageId> {
        let mut state = self.lock();
        if !state.backoff.may_try(now) {
            return Err(id);
        }
        state.queue.push_back(id);
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

    pub(crate) fn pop(&self) -> Option<MessageId> {
        self.lock().queue.pop_front()
    }

    /// Returns a message that was popped but not touched to the head of the queue.
    pub(crate) fn put_back(&self, id: MessageId) {
        self.lock().queue.push_front(id);
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
        state.workers -= usize::from(may_leave);
        may_leave
    }

    /// A worker's session has failed and will not be made again.
    pub(crate) fn failed(&self, was_established: bool, now: u64) -> AfterFault {
        let mut state = self.lock();
        state.workers -= 1;
        state.established -= usize::from(was_established);
        if state.established > 0 {
            state.cap = state.established;
            return AfterFault::FewerConnections;
        }
        state.backoff.fault(now);
        AfterFault::Down(state.queue.drain(..).collect())
    }

    /// Forgets the back-off: somebody has asked for an attempt now.
    pub(crate) fn try_again(&self, max_connections: usize) {
        let mut state = self.lock();
        state.backoff.success();
        state.cap = max_connections.max(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change above leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
