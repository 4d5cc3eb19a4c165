//! One connection to one destination: made when there is work, used for many messages, kept for a while when idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::forward::deliver;
use crate::forward::engine::{Engine, lock, unix_now};
use crate::forward::finish::Finish;
use crate::forward::lane::{AfterFault, Lane};
use crate::forward::open::{self, Open};
use crate::forward::ticket::Ticket;
use crate::log::{self, ForwardEvent};
use crate::net::client::Connection;
use crate::net::stream::Stream;

/// How a session came to its end.
enum End {
    /// There was nothing more to send, or the process stops.
    Finished,
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
    let mut place = Place { engine: &engine, lane: &lane, established: false, held: true };
    let Some(_permit) = engine.permit().await else { return };
    let mut blamed = 0;
    loop {
        let Some(ticket) = take(&engine, &lane) else {
            if place.leave() {
                return;
            }
            continue;
        };
        match session(&engine, &mut place, ticket).await {
            End::NotMade => {}
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
    established: bool,
    held: bool,
}

impl Place<'_> {
    fn establish(&mut self) {
        self.lane.established();
        self.established = true;
        self.engine.man(self.lane);
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
        if let AfterFault::Down(untouched, until) = self.lane.failed(self.established, unix_now()) {
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
    match converse(engine, lane, &mut opened, first).await {
        Ok(Quit::Politely) => opened.connection.quit(&mut deliver::trace(engine, None)).await,
        Ok(Quit::AlreadyClosed) => {}
        Err(fault) => return End::Fault(fault),
    }
    End::Finished
}

/// How to leave an idle connection.
enum Quit {
    Politely,
    AlreadyClosed,
}

/// Sends message after message. Finishing one and taking the next is one visit to the disk.
async fn converse(
    engine: &Arc<Engine>,
    lane: &Arc<Lane>,
    opened: &mut Open,
    first: Ticket,
) -> Result<Quit, SessionFault> {
    let Open { connection, relay, basis } = opened;
    let mut finished = 0;
    let mut next = Some(first);
    let mut done: Option<Finish> = None;
    let mut rested = false;
    loop {
        if let Some(job) = deliver::advance(engine, lane, done.take(), next.take()).await {
            let sent = helped(engine, lane, deliver::send(engine, connection, job, relay, rested)).await;
            rested = false;
            if sent.server_well {
                recovered(engine, lane);
            }
            let (blames_message, was_stale) = (sent.blames_message(), sent.was_stale);
            if let Some(fault) = sent.fault {
                // A message that was decided upon before the session broke counts: the server was well until then.
                finished += usize::from(sent.server_well);
                if let Some(untouched) = deliver::after_fault(engine, sent.finish).await {
                    lane.put_back(untouched);
                }
                return Err(SessionFault { text: fault, finished, blames_message, was_stale });
            }
            finished += 1;
            done = Some(sent.finish);
        }
        next = take(engine, lane);
        if next.is_none() {
            deliver::advance(engine, lane, done.take(), None).await;
            next = match wait_for_work(engine, lane, connection).await {
                Ok(ticket) if !basis.holds(engine).await => {
                    lane.put_back(ticket);
                    return Ok(Quit::Politely);
                }
                Ok(ticket) => {
                    rested = true;
                    // A connection that has lain idle is worth being made again if it turns out to be dead.
                    finished += 1;
                    Some(ticket)
                }
                Err(quit) => return Ok(quit),
            };
        }
    }
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
async fn wait_for_work(
    engine: &Engine,
    lane: &Lane,
    connection: &mut Connection<Stream>,
) -> Result<Ticket, Quit> {
    let give_up = sleep(engine.config().keep);
    tokio::pin!(give_up);
    loop {
        if let Some(ticket) = take(engine, lane) {
            return Ok(ticket);
        }
        tokio::select! {
            () = lane.changed() => {}
            () = engine.crowded() => return Err(Quit::Politely),
            () = &mut give_up => return Err(Quit::Politely),
            () = engine.stop.cancelled() => return Err(Quit::Politely),
            () = engine.rest.cancelled() => return Err(Quit::Politely),
            () = connection.idle() => return Err(Quit::AlreadyClosed),
        }
    }
}
