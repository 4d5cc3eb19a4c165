//! One connection to one destination: made when there is work, used for many messages, kept for a while when idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::forward::deliver::{self, Sent};
use crate::forward::engine::{Engine, lock};
use crate::forward::finish::Finish;
use crate::forward::lane::{AfterFault, Lane};
use crate::forward::open::{self, Open};
use crate::forward::permits::Permit;
use crate::forward::ticket::Ticket;
use crate::log::{self, ForwardEvent};
use crate::os::clock::unix_now;

/// How a session came to its end.
enum End {
    /// There was nothing more to send, or the process stops.
    Finished,
    /// Other destinations wait for a connection and have fewer.
    MadeWay,
    /// The process stops, and the session was not even made.
    NotMade,
    /// It failed.
    Fault(SessionFault),
}

struct SessionFault {
    text: String,
    /// Messages that the session had finished before: what worked a moment ago is worth a new connection.
    finished: usize,
    /// The message in hand has to answer for it, and has been put off or set aside.
    blames_message: bool,
    /// The connection had lain idle: that it is dead is no news.
    was_stale: bool,
}

impl SessionFault {
    fn before_any_message(text: String) -> Self {
        Self { text, finished: 0, blames_message: false, was_stale: false }
    }
}

/// Sessions in a row that may break over their first message before the destination is to blame rather than the messages.
const MAX_BLAMED: u32 = 2;

/// A transfer that takes longer is not waited for by other messages.
const SLOW: Duration = Duration::from_millis(500);

/// Serves a lane until its queue is empty, then lets the connection go.
pub(crate) async fn run(engine: Arc<Engine>, lane: Arc<Lane>) {
    let mut place = Place { engine: &engine, lane: &lane, permit: None, established: false, held: true };
    let mut blamed = 0;
    loop {
        place.wait_for_permit().await;
        let Some(ticket) = take(&engine, &lane) else {
            if place.leave() {
                return;
            }
            continue;
        };
        match session(&engine, &mut place, ticket).await {
            End::NotMade => {}
            End::MadeWay => place.make_way(),
            End::Finished => {
                if place.leave() {
                    return;
                }
            }
            End::Fault(fault) => {
                blamed = if fault.finished == 0 && fault.blames_message { blamed + 1 } else { 0 };
                // Servers may limit the messages of one connection, and one message may upset a server that takes all others.
                let goes_on = fault.finished > 0 || (1..MAX_BLAMED).contains(&blamed);
                if !goes_on {
                    return place.give_up(&fault.text);
                }
                if !fault.was_stale {
                    log::emit(&engine.context(), &ForwardEvent::ClientError { reason: fault.text }.into());
                }
                if place.leave() {
                    return;
                }
            }
        }
    }
}

/// A worker's place among those of its lane. However the worker ends, the place is given up, so that no message is left
/// queued for somebody who is gone.
struct Place<'a> {
    engine: &'a Arc<Engine>,
    lane: &'a Arc<Lane>,
    permit: Option<Permit>,
    established: bool,
    held: bool,
}

impl Place<'_> {
    /// Without one when the process stops: then there is nothing to be connected for.
    async fn wait_for_permit(&mut self) {
        if self.permit.is_none() {
            self.permit = tokio::select! {
                biased;
                () = self.engine.stop.cancelled() => None,
                permit = self.engine.permit(self.lane.destination()) => Some(permit),
            };
        }
    }

    fn establish(&mut self) {
        self.lane.established();
        self.established = true;
        self.engine.man(self.lane);
    }

    /// A message was sent. Whether the connection is to be given up for others.
    fn is_to_make_way(&mut self) -> bool {
        self.permit.as_mut().is_some_and(Permit::makes_way)
    }

    fn make_way(&mut self) {
        self.lane.made_way(std::mem::take(&mut self.established));
        self.permit = None;
    }

    /// See [`Lane::leave`].
    fn leave(&mut self) -> bool {
        let left = self.lane.leave(std::mem::take(&mut self.established));
        self.held = !left;
        left
    }

    fn give_up(mut self, fault: &str) {
        for reason in self.lane.complain(fault, unix_now()) {
            log::emit(&self.engine.context(), &ForwardEvent::ClientError { reason }.into());
        }
        self.fail(fault);
    }

    fn fail(&mut self, fault: &str) {
        self.held = false;
        let schedule = self.engine.config().schedule;
        let after = self.lane.failed(self.established, unix_now(), schedule);
        if let AfterFault::Down(untouched, until) = after {
            let mut tally = lock(&self.engine.tally);
            tally.fault(fault);
            for ticket in &untouched {
                tally.left(ticket.id(), Some(until));
            }
            drop(tally);
            let (address, reason) = (self.lane.destination().to_string(), fault.to_owned());
            let next = Duration::from_secs(until.saturating_sub(unix_now()));
            log::emit(&self.engine.context(), &ForwardEvent::BackOff { address, reason, next }.into());
            // Only now, because with the last ticket the run ends.
            drop(untouched);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.held {
            self.fail("a forwarding task has ended by a bug");
        }
    }
}

/// The next message of the lane. When the process stops, what is queued is left in the spool.
fn take(engine: &Engine, lane: &Lane) -> Option<Ticket> {
    if !engine.stop.is_cancelled() {
        return lane.pop();
    }
    while let Some(ticket) = lane.pop() {
        lock(&engine.tally).left(ticket.id(), None);
        drop(ticket);
    }
    None
}

/// One session, from connect to QUIT. `first` is not touched before the session is established.
async fn session(engine: &Arc<Engine>, place: &mut Place<'_>, first: Ticket) -> End {
    let lane = place.lane;
    let line = engine.config().ledger.as_ref().map(|ledger| ledger.outgoing(&lane.destination().address));
    let opened = tokio::select! {
        biased;
        // Nothing is lost with a session that has not begun, so a stop need not wait for it.
        () = engine.stop.cancelled() => None,
        opened = open::open(engine, lane.destination(), line.as_ref()) => Some(opened),
    };
    let mut opened = match opened {
        Some(Ok(opened)) => opened,
        Some(Err(text)) => {
            lane.put_back(first);
            return End::Fault(SessionFault::before_any_message(text));
        }
        None => {
            lane.put_back(first);
            return End::NotMade;
        }
    };
    place.establish();
    let end = match converse(engine, place, &mut opened, first).await {
        Ok(Quit::AlreadyClosed) => return End::Finished,
        Ok(Quit::Politely) => End::Finished,
        Ok(Quit::MakingWay) => End::MadeWay,
        Err(fault) => return End::Fault(fault),
    };
    opened.connection.quit(&mut deliver::trace(engine, None)).await;
    end
}

/// How to leave a connection.
enum Quit {
    Politely,
    /// The same, because others wait who have fewer.
    MakingWay,
    AlreadyClosed,
}

/// Sends message after message. Finishing one and taking the next is one visit to the disk.
async fn converse(
    engine: &Arc<Engine>,
    place: &mut Place<'_>,
    opened: &mut Open,
    first: Ticket,
) -> Result<Quit, SessionFault> {
    let lane = place.lane;
    let mut finished = 0;
    let mut next = Some(first);
    let mut done: Option<Finish> = None;
    let mut rested = false;
    loop {
        if let Some(job) = deliver::advance(engine, lane, done.take(), next.take()).await {
            let sent = deliver::send(engine, &mut opened.connection, job, &opened.relay, rested);
            let sent = helped(engine, lane, sent).await;
            rested = false;
            done = Some(after_attempt(engine, lane, sent, &mut finished).await?);
            if place.is_to_make_way() {
                deliver::advance(engine, lane, done.take(), None).await;
                return Ok(Quit::MakingWay);
            }
        }
        next = take(engine, lane);
        if next.is_none() {
            deliver::advance(engine, lane, done.take(), None).await;
            match wait_for_work(engine, lane, opened).await {
                Ok(ticket) => next = Some(ticket),
                Err(quit) => return Ok(quit),
            }
            rested = true;
            // A connection that has lain idle is worth being made again if it turns out to be dead.
            finished += 1;
        }
    }
}

/// Draws the conclusions for lane and session from what became of an attempt. `finished` counts those of the session.
async fn after_attempt(
    engine: &Arc<Engine>,
    lane: &Arc<Lane>,
    sent: Sent,
    finished: &mut usize,
) -> Result<Finish, SessionFault> {
    if sent.server_well {
        recovered(engine, lane);
        // Also a message that was decided upon before the session broke counts: the server was well until then.
        *finished += 1;
    }
    let (blames_message, was_stale) = (sent.blames_message(), sent.was_stale);
    let Some(text) = sent.fault else { return Ok(sent.finish) };
    if let Some(untouched) = deliver::after_fault(engine, sent.finish).await {
        lane.put_back(untouched);
    }
    Err(SessionFault { text, finished: *finished, blames_message, was_stale })
}

/// Does `work`; as long as it takes, those who wait behind it get connections of their own.
async fn helped<T>(engine: &Arc<Engine>, lane: &Arc<Lane>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(SLOW) => engine.help(lane),
        }
    }
}

/// The destination is well; if it was not, the log is to tell how often that was seen.
fn recovered(engine: &Engine, lane: &Lane) {
    if let Some(reason) = lane.well() {
        log::emit(&engine.context(), &ForwardEvent::ClientError { reason }.into());
    }
}

/// Keeps an idle connection for messages that follow closely.
async fn wait_for_work(engine: &Engine, lane: &Lane, opened: &mut Open) -> Result<Ticket, Quit> {
    let give_up = sleep(engine.config().keep);
    tokio::pin!(give_up);
    loop {
        if let Some(ticket) = take(engine, lane) {
            if opened.basis.holds(engine).await {
                return Ok(ticket);
            }
            lane.put_back(ticket);
            return Err(Quit::Politely);
        }
        tokio::select! {
            () = lane.changed() => {}
            () = engine.crowded() => return Err(Quit::Politely),
            () = &mut give_up => return Err(Quit::Politely),
            () = engine.stop.cancelled() => return Err(Quit::Politely),
            () = engine.rest.cancelled() => return Err(Quit::Politely),
            () = opened.connection.idle() => return Err(Quit::AlreadyClosed),
        }
    }
}
