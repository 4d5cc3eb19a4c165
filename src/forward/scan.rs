//! Looking at the spool: which messages are due, to which destination each one goes, and how many connections that is worth.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::forward::config::Scope;
use crate::forward::destination::Destination;
use crate::forward::engine::{Engine, lock};
use crate::forward::known::Wait;
use crate::forward::lane::Lane;
use crate::forward::tally::Left;
use crate::forward::ticket::Ticket;
use crate::forward::{Reason, filtering, finish, worker};
use crate::os::clock::unix_now;
use crate::spool::{
    Envelope, Interrupted, MessageId, PeekError, Peeked, RetryState, Spool, SpoolError, Stamp, Waiting,
};

/// Envelopes looked at in one visit to the blocking pool.
const SCAN_BATCH: usize = 64;

/// A message, and what was found out about it.
struct Look {
    id: MessageId,
    found: Found,
}

enum Found {
    /// The envelope is the one that has said why the message waits.
    Unchanged,
    Read(Box<Peeked>),
    Gone,
    Unreadable(PeekError),
}

impl Look {
    /// Reads an envelope, unless it has this stamp. Blocking.
    fn at(spool: &Spool, id: MessageId, known: Option<Stamp>) -> Self {
        let found = match known {
            Some(stamp) if spool.stamp(&id) == Some(stamp) => Found::Unchanged,
            _ => match spool.peek(&id) {
                Ok(Some(peeked)) => Found::Read(Box::new(peeked)),
                Ok(None) => Found::Gone,
                Err(error) => Found::Unreadable(error),
            },
        };
        Self { id, found }
    }
}

impl Engine {
    /// Lists the spool and queues what is due.
    pub(super) async fn scan(self: &Arc<Self>, reason: Reason) {
        if reason.is_explicit() {
            lock(&self.known).forget();
        } else {
            let next = lock(&self.pace).next();
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep_until(next) => {}
            }
        }
        let begun = Instant::now();
        self.compare_notes().await;
        let mut left = lock(&self.tally).start_scan();
        let waiting = match self.listed().await {
            Ok(waiting) => waiting,
            Err(error) => return self.local_error(&error),
        };
        lock(&self.ignored).keep_listed(&waiting);
        lock(&self.known).keep_listed(&waiting);
        let mut rest = waiting.into_iter();
        while !self.stop.is_cancelled() {
            let batch: Vec<MessageId> = rest.by_ref().take(SCAN_BATCH).map(|entry| entry.id).collect();
            if batch.is_empty() {
                break;
            }
            self.dispatch(batch, &mut left).await;
        }
        lock(&self.pace).looked(begun, Instant::now());
    }

    /// The messages that are ready. A request file is answered by that.
    async fn listed(&self) -> Result<Vec<Waiting>, String> {
        let (spool, by_name) = (Arc::clone(&self.spool), self.config().policy.compat26);
        let scope = self.config().scope;
        let listed = spawn_blocking(move || {
            if scope == Scope::Due {
                spool.take_forward_request()?;
            }
            let mut waiting = spool.waiting()?;
            if by_name {
                Waiting::sort_by_name(&mut waiting);
            }
            Ok::<_, SpoolError>(waiting)
        });
        match listed.await {
            Ok(listed) => listed.map_err(|error| error.to_string()),
            Err(panic) => Err(panic.to_string()),
        }
    }

    /// Looks at a batch of envelopes and queues those that are due. `left` are those that the run has left behind before.
    async fn dispatch(self: &Arc<Self>, mut batch: Vec<MessageId>, left: &mut Left) {
        {
            let in_run = lock(&self.in_run);
            batch.retain(|id| {
                let busy = in_run.contains(id);
                if let Some(until) = left.remove(id).filter(|_| busy) {
                    lock(&self.tally).left(id, until);
                }
                !busy
            });
        }
        let mut waits = self.known_to_wait(&batch);
        let (spool, ids) = (Arc::clone(&self.spool), batch.clone());
        let stamps: Vec<Option<Stamp>> =
            batch.iter().map(|id| waits.get(id).map(|(stamp, _)| *stamp)).collect();
        let looked = spawn_blocking(move || {
            let looks = batch.into_iter().zip(stamps);
            looks.map(|(id, known)| Look::at(&spool, id, known)).collect::<Vec<_>>()
        });
        // The runtime reports the panic.
        let Ok(looked) = looked.await else { return ids.iter().for_each(|id| self.try_later(id)) };
        for Look { id, found } in looked {
            match found {
                Found::Unchanged => {
                    let until = waits.remove(&id).map(|(_, until)| until);
                    lock(&self.tally).found_waiting(1, until);
                }
                Found::Read(peeked) => self.judge(id, *peeked),
                Found::Gone => {}
                Found::Unreadable(error) => self.ignoring(&id, &error.into()),
            }
        }
    }

    /// Those that had to wait when they were read, and still have to if their envelope is the same, with the time until when.
    fn known_to_wait(&self, batch: &[MessageId]) -> HashMap<MessageId, (Stamp, u64)> {
        let known = lock(&self.known).of(batch);
        let holds = |(id, stamp, wait)| Some((id, (stamp, self.still_waits(&wait)?)));
        known.into_iter().filter_map(holds).collect()
    }

    /// Queues a message, or remembers why it has to wait.
    fn judge(self: &Arc<Self>, id: MessageId, peeked: Peeked) {
        let Peeked { envelope, retry, stamp } = peeked;
        let wait = self.reason_to_wait(&envelope, &retry);
        match wait.as_ref().and_then(|wait| self.still_waits(wait)) {
            Some(until) => {
                lock(&self.tally).found_waiting(1, Some(until));
                if let (Some(stamp), Some(wait)) = (stamp, wait) {
                    lock(&self.known).note(id, stamp, wait);
                }
            }
            None => self.enqueue(id, &envelope),
        }
    }

    /// The time that a message has to wait for; none if it is due, or if time does not matter.
    pub(crate) fn waits_for(&self, retry: &RetryState) -> Option<u64> {
        match self.config().scope {
            Scope::Due => {
                let (now, schedule) = (unix_now(), self.config().schedule);
                let after = |Interrupted { count, at }| schedule.after_interruptions(count, at, now);
                retry.next_attempt.max(retry.interrupted.and_then(after)).filter(|next| *next > now)
            }
            Scope::Everything => None,
        }
    }

    fn enqueue(self: &Arc<Self>, id: MessageId, envelope: &Envelope) {
        // A directory that changes while it is listed may show a name twice.
        let Some(ticket) = Ticket::draw(self, id) else { return };
        let filters = self.config().filters.clone();
        match (self.destination(envelope), filters) {
            (Ok(destination), None) => self.queue(ticket, destination),
            (destination, Some(chain)) => filtering::submit(self, &chain, ticket, envelope, destination.ok()),
            (Err(reason), None) => {
                let engine = Arc::clone(self);
                self.workers.spawn_blocking(move || finish::unroutable(&engine, &ticket, reason));
            }
        }
    }

    /// Why a message that was read has to wait, if it has to.
    fn reason_to_wait(&self, envelope: &Envelope, retry: &RetryState) -> Option<Wait> {
        if let Some(next) = self.waits_for(retry) {
            return Some(Wait::Until(next));
        }
        // Filters may change where it goes, but a destination that is in trouble is not worth their work; unless a filter has
        // yet to find it.
        let finds = self.config().filters.is_some() && !envelope.forward_to.is_empty();
        let destination = self.destination(envelope).ok().filter(|_| !finds)?;
        self.left_alone(&destination).map(|_| Wait::For(Arc::new(destination)))
    }

    /// Until when a message has to wait for this reason, if the reason still holds.
    fn still_waits(&self, wait: &Wait) -> Option<u64> {
        match wait {
            Wait::Until(next) => Some(*next).filter(|next| *next > unix_now()),
            Wait::For(destination) => self.left_alone(destination),
        }
    }

    /// Until when the destination is left alone.
    fn left_alone(&self, destination: &Destination) -> Option<u64> {
        let now = unix_now();
        if let Some(lane) = lock(&self.lanes).get(destination) {
            return lane.left_alone(now);
        }
        let recalled = self.recalled(destination);
        (!recalled.may_try(now)).then(|| recalled.until())
    }

    /// Where a message with this envelope goes, or the reason why it cannot go anywhere.
    pub(crate) fn destination(&self, envelope: &Envelope) -> Result<Destination, String> {
        Destination::of(envelope, &self.config().next_hop)
    }

    /// Hands a message to the lane of its destination.
    pub(crate) fn queue(self: &Arc<Self>, ticket: Ticket, destination: Destination) {
        let lane = self.lane(destination);
        match lane.push(ticket, unix_now()) {
            Ok(()) => self.man(&lane),
            Err((ticket, until)) => lock(&self.tally).left(ticket.id(), Some(until)),
        }
    }

    fn lane(&self, destination: Destination) -> Arc<Lane> {
        if let Some(lane) = lock(&self.lanes).get(&destination) {
            return Arc::clone(lane);
        }
        let recalled = self.recalled(&destination);
        let lane = Arc::new(Lane::new(destination.clone(), recalled));
        Arc::clone(lock(&self.lanes).entry(destination).or_insert(lane))
    }

    /// Starts as many workers for a lane as are worth having now.
    pub(crate) fn man(self: &Arc<Self>, lane: &Arc<Lane>) {
        while lane.wants_worker(unix_now(), self.config().per_destination) {
            self.workers.spawn(worker::run(Arc::clone(self), Arc::clone(lane)));
        }
    }

    /// Starts a worker for a lane in which a message has waited behind others for a while.
    pub(crate) fn help(self: &Arc<Self>, lane: &Arc<Lane>) {
        if lane.wants_help(unix_now(), self.config().per_destination) {
            self.workers.spawn(worker::run(Arc::clone(self), Arc::clone(lane)));
        }
    }
}
