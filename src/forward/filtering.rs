//! The client filters: messages pass them before they are queued for a connection, so that no server waits for a filter, and what a
//! filter says of the destination counts.
//!
//! Messages of one destination pass in order, a few at the same time; slow filters for one do not hold up those for another. Only so
//! many that have passed wait for their connection, because each keeps a file open and has to be put back if it cannot be sent.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::filter::Chain;
use crate::forward::destination::Destination;
use crate::forward::engine::{Engine, lock};
use crate::forward::examine;
use crate::forward::ticket::Ticket;
use crate::spool::{Envelope, LockedMessage};

/// Messages that have passed and wait for a connection, for each connection that their destination may have.
const AHEAD: usize = 2;

/// A message that has passed the filters, locked, with its place among those that may.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) message: LockedMessage,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Messages whose filters do not wait for those of others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Group {
    /// The destination is known, or the envelope names none that makes sense.
    To(Option<Destination>),
    /// A filter is to find it, by this text of the envelope.
    Routed(String),
}

/// Where messages wait for filters.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    queues: Mutex<HashMap<Group, Queue>>,
    /// A filter wants no further message taken in this run.
    broken: AtomicBool,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Ticket>,
    workers: usize,
    places: Arc<Semaphore>,
}

impl Stage {
    /// A run begins.
    pub(crate) fn begin(&self) {
        self.broken.store(false, Ordering::Release);
    }

    /// No further message may be taken in this run.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Ends the taking of messages. True if it had been ended before.
    pub(crate) fn stop_taking(&self) -> bool {
        self.broken.swap(true, Ordering::AcqRel)
    }

    fn pop(&self, group: &Group) -> Option<(Ticket, Arc<Semaphore>)> {
        let mut queues = lock(&self.queues);
        let queue = queues.get_mut(group)?;
        match queue.waiting.pop_front() {
            Some(ticket) => Some((ticket, Arc::clone(&queue.places))),
            None => {
                queue.workers -= 1;
                if queue.workers == 0 {
                    queues.remove(group);
                }
                None
            }
        }
    }
}

/// Takes a message in. `destination` is where it goes if the filters do not change that.
pub(crate) fn submit(
    engine: &Arc<Engine>,
    chain: &Arc<Chain>,
    ticket: Ticket,
    envelope: &Envelope,
    destination: Option<Destination>,
) {
    if engine.stage.is_broken() {
        return lock(&engine.tally).left(ticket.id(), None);
    }
    let group = match envelope.forward_to.as_str() {
        "" => Group::To(destination),
        text => Group::Routed(text.to_owned()),
    };
    let connections = engine.config().per_destination.max(1);
    // A chain that always ends the run after one message must not see two.
    let at_once = if chain.ends_runs() { 1 } else { connections };
    let start = {
        let mut queues = lock(&engine.stage.queues);
        let queue = queues.entry(group.clone()).or_insert_with(|| Queue {
            waiting: VecDeque::new(),
            workers: 0,
            places: Arc::new(Semaphore::new(connections.saturating_mul(AHEAD))),
        });
        queue.waiting.push_back(ticket);
        let start = queue.workers < at_once && queue.waiting.len() > queue.workers;
        queue.workers += usize::from(start);
        start
    };
    if start {
        engine.workers.spawn(work(Arc::clone(engine), Arc::clone(chain), group));
    }
}

async fn work(engine: Arc<Engine>, chain: Arc<Chain>, group: Group) {
    while let Some((ticket, places)) = engine.stage.pop(&group) {
        // The semaphore is never closed.
        let Ok(place) = places.acquire_owned().await else { return };
        if engine.stop.is_cancelled() || engine.stage.is_broken() {
            lock(&engine.tally).left(ticket.id(), None);
            continue;
        }
        examine::pass(&engine, &chain, ticket, place).await;
    }
}
