//! Leave to have a connection: so many in all, shared out among the destinations.
//!
//! Whoever has the fewest comes first. A destination with a long queue does not keep its connections until that is empty: as long
//! as others wait who have fewer, it gives up one after the other, the last one after a turn.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::forward::crowd::Crowd;
use crate::forward::destination::Destination;
use crate::forward::engine::lock;

/// Messages after which the only connection of a destination makes way for one that has none.
const TURN: usize = 100;

/// Time after which it does so, however few messages that were.
const TURN_TIME: Duration = Duration::from_secs(10);

/// The permits of an engine.
#[derive(Debug)]
pub(crate) struct Permits {
    state: Mutex<State>,
    /// Those who wait, and what tells those with an idle connection.
    crowd: Crowd,
}

#[derive(Debug)]
struct State {
    total: usize,
    given: usize,
    /// Of the given ones those that are about to be given back for the sake of others.
    leaving: usize,
    shares: HashMap<Destination, Share>,
    /// The number of the next one who waits.
    next: u64,
}

/// What one destination has, and wants.
#[derive(Debug, Default)]
struct Share {
    has: usize,
    leaving: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// Leave to have a connection to a destination; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    destination: Destination,
    since: Instant,
    /// Messages sent.
    used: usize,
    leaving: bool,
}

impl Permits {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let state = State { total: total.max(1), given: 0, leaving: 0, shares: HashMap::new(), next: 0 };
        Arc::new(Self { state: Mutex::new(state), crowd: Crowd::default() })
    }

    /// Waits until there are few enough connections for one more.
    pub(crate) async fn take(self: &Arc<Self>, destination: &Destination) -> Permit {
        // The queue is never dropped with somebody in it, so there is an answer.
        loop {
            let waiter = {
                let mut state = lock(&self.state);
                if state.given < state.total {
                    return self.grant(&mut state, destination);
                }
                self.join(&mut state, destination)
            };
            let _waiting = self.crowd.enter();
            if let Some(permit) = waiter.outcome().await {
                return permit;
            }
        }
    }

    /// Resolves when somebody waits: an idle connection is then better given up.
    pub(crate) async fn crowded(&self) {
        self.crowd.gathered().await;
    }

    /// From now on there may be so many. If there are more, the busy ones make way after their message.
    pub(crate) fn resize(self: &Arc<Self>, total: usize) {
        let mut state = lock(&self.state);
        state.total = total.max(1);
        self.hand_out(state);
    }

    fn grant(self: &Arc<Self>, state: &mut State, destination: &Destination) -> Permit {
        state.given += 1;
        state.shares.entry(destination.clone()).or_default().has += 1;
        Permit {
            permits: Arc::clone(self),
            destination: destination.clone(),
            since: Instant::now(),
            used: 0,
            leaving: false,
        }
    }

    fn join(self: &Arc<Self>, state: &mut State, destination: &Destination) -> Waiter {
        let (give, given) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.shares.entry(destination.clone()).or_default().waiting.push_back((number, give));
        Waiter { permits: Arc::clone(self), destination: destination.clone(), number, given }
    }

    /// Gives what is free to those who wait.
    fn hand_out(self: &Arc<Self>, mut state: std::sync::MutexGuard<'_, State>) {
        let mut granted = Vec::new();
        while state.given < state.total
            && let Some((destination, give)) = state.next_waiting()
        {
            granted.push((give, self.grant(&mut state, &destination)));
        }
        drop(state);
        // The permit of one who waits no longer comes back here when it is dropped.
        granted.into_iter().for_each(|(give, permit)| drop(give.send(permit)));
    }
}

impl State {
    /// Takes the one out of the queue who comes first: of those whose destination has the fewest the one who has waited longest.
    fn next_waiting(&mut self) -> Option<(Destination, oneshot::Sender<Permit>)> {
        let rank = |share: &Share| Some((share.has, share.waiting.front()?.0));
        let first = self.shares.iter().filter_map(|(destination, share)| Some((rank(share)?, destination)));
        let destination = first.min_by_key(|(rank, _)| *rank)?.1.clone();
        let (_, give) = self.shares.get_mut(&destination)?.waiting.pop_front()?;
        Some((destination, give))
    }

    /// Whether a connection of this destination is to make way.
    fn is_wanted(&self, destination: &Destination, turn_is_over: bool) -> bool {
        let staying = self.given - self.leaving;
        if staying > self.total {
            return true;
        }
        let Some(ours) = self.shares.get(destination).map(|share| share.has - share.leaving) else {
            return false;
        };
        // Whoever gets it is not to have more than we keep, or connections would be made for nothing.
        let poorer = |share: &Share| share.has + 1 < ours || (turn_is_over && ours == 1 && share.has == 0);
        let wanted = self.shares.iter().filter(|(other, share)| *other != destination && poorer(share));
        let wanted: usize = wanted.map(|(_, share)| share.waiting.len().min(1)).sum();
        wanted > self.leaving
    }

    fn forget_unused(&mut self, destination: &Destination) {
        if self.shares.get(destination).is_some_and(|share| share.has == 0 && share.waiting.is_empty()) {
            self.shares.remove(destination);
        }
    }
}

impl Permit {
    /// A message was sent. Whether the connection is better given up now, because others wait who have fewer; then it is to
    /// be closed, and this value dropped.
    pub(crate) fn makes_way(&mut self) -> bool {
        self.used += 1;
        let turn_is_over = self.used >= TURN || self.since.elapsed() >= TURN_TIME;
        let mut state = lock(&self.permits.state);
        if !self.leaving && state.is_wanted(&self.destination, turn_is_over) {
            self.leaving = true;
            state.leaving += 1;
            if let Some(share) = state.shares.get_mut(&self.destination) {
                share.leaving += 1;
            }
        }
        self.leaving
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.permits.state);
        state.given -= 1;
        state.leaving -= usize::from(self.leaving);
        if let Some(share) = state.shares.get_mut(&self.destination) {
            share.has -= 1;
            share.leaving -= usize::from(self.leaving);
        }
        state.forget_unused(&self.destination);
        self.permits.hand_out(state);
    }
}

/// One who waits for a permit. Dropping it leaves the queue.
struct Waiter {
    permits: Arc<Permits>,
    destination: Destination,
    number: u64,
    given: oneshot::Receiver<Permit>,
}

impl Waiter {
    async fn outcome(mut self) -> Option<Permit> {
        (&mut self.given).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = lock(&self.permits.state);
        if let Some(share) = state.shares.get_mut(&self.destination) {
            share.waiting.retain(|(number, _)| *number != self.number);
        }
        state.forget_unused(&self.destination);
    }
}

#[cfg(test)]
mod tests;
