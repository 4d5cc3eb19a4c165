//! One connection to one destination: made when there is work, used for many messages, kept for a while when idle.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use crate::forward::deliver;
use crate::forward::engine::{Engine, lock, unix_now};
use crate::forward::finish::Finish;
use crate::forward::lane::{AfterFault, Lane};
use crate::log::{self, ForwardEvent};
use crate::net::client::Connection;
use crate::net::connect;
use crate::net::stream::Stream;
use crate::smtp::client::{ClientConfig, Session};
use crate::spool::MessageId;

/// How a session came to its end.
enum End {
    /// There was nothing more to send, or the process stops.
    Finished,
    /// It failed.
    Fault(SessionFault),
}

struct SessionFault {
    text: String,
    /// Messages that the session had finished before: what worked a moment ago is worth a new connection.
    finished: usize,
    established: bool,
}

/// Serves a lane until its queue is empty, then lets the connection go.
pub(crate) async fn run(engine: Arc<Engine>, lane: Arc<Lane>) {
    // The semaphore is never closed.
    let Ok(_permit) = Arc::clone(&engine.permits).acquire_owned().await else { return };
    loop {
        let Some(id) = take(&engine, &lane) else {
            if lane.leave(false) {
                return;
            }
            continue;
        };
        match session(&engine, &lane, id).await {
            End::Finished => {
                if lane.leave(true) {
                    return;
                }
            }
            // Servers may limit the messages of one connection.
            End::Fault(fault) if fault.finished > 0 => {
                log::emit(&engine.context(), &ForwardEvent::ClientError { reason: fault.text }.into());
                if lane.leave(true) {
                    return;
                }
            }
            End::Fault(fault) => return give_up(&engine, &lane, fault),
        }
    }
}

fn give_up(engine: &Arc<Engine>, lane: &Lane, fault: SessionFault) {
    match lane.failed(fault.established, unix_now()) {
        AfterFault::FewerConnections => {}
        AfterFault::Down(untouched) => {
            let mut tally = lock(&engine.tally);
            tally.fault(&fault.text);
            tally.held_back(untouched.len());
            drop(tally);
            for id in untouched {
                engine.done_with(&id);
            }
        }
    }
    log::emit(&engine.context(), &ForwardEvent::ClientError { reason: fault.text }.into());
}

/// The next message of the lane. When the process stops, what is queued is left in the spool.
fn take(engine: &Engine, lane: &Lane) -> Option<MessageId> {
    if !engine.stop.is_cancelled() {
        return lane.pop();
    }
    while let Some(id) = lane.pop() {
        lock(&engine.tally).held_back(1);
        engine.done_with(&id);
    }
    None
}

/// One session, from connect to QUIT. `first` is not touched before the session is established.
async fn session(engine: &Arc<Engine>, lane: &Lane, first: MessageId) -> End {
    let before = |text: String| {
        lane.put_back(first.clone());
        End::Fault(SessionFault { text, finished: 0, established: false })
    };
    let (stream, peer) = match connect::connect(lane.target(), &engine.config().connect).await {
        Ok(connected) => connected,
        Err(error) => return before(error.to_string()),
    };
    let relay = peer.to_string();
    let config = client_config(engine, &stream);
    let mut connection = Connection::new(stream, Session::new(config, Instant::now().into_std()));
    if let Err(fault) = connection.ready(&mut deliver::trace(engine, None)).await {
        return before(fault.to_string());
    }
    lane.established();
    match converse(engine, lane, &mut connection, first, &relay).await {
        Ok(Quit::Politely) => connection.quit(&mut deliver::trace(engine, None)).await,
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
    lane: &Lane,
    connection: &mut Connection<Stream>,
    first: MessageId,
    relay: &str,
) -> Result<Quit, SessionFault> {
    let mut finished = 0;
    let mut next = Some(first);
    let mut done: Option<Finish> = None;
    let mut rested = false;
    loop {
        if let Some(job) = deliver::advance(engine, done.take(), next.take()).await {
            let sent = deliver::send(engine, connection, job, relay, rested).await;
            rested = false;
            if let Some(fault) = sent.fault {
                // A message that was decided upon before the session broke counts: the server was well until then.
                finished += usize::from(sent.decided);
                if let Some(untouched) = deliver::after_fault(engine, sent.finish).await {
                    lane.put_back(untouched);
                }
                return Err(SessionFault { text: fault, finished, established: true });
            }
            finished += 1;
            done = Some(sent.finish);
        }
        next = take(engine, lane);
        if next.is_none() {
            deliver::advance(engine, done.take(), None).await;
            next = match wait_for_work(engine, lane, connection).await {
                Ok(id) => {
                    rested = true;
                    // A connection that has lain idle is worth being made again if it turns out to be dead.
                    finished += 1;
                    Some(id)
                }
                Err(quit) => return Ok(quit),
            };
        }
    }
}

/// Keeps an idle connection for messages that follow closely.
async fn wait_for_work(
    engine: &Engine,
    lane: &Lane,
    connection: &mut Connection<Stream>,
) -> Result<MessageId, Quit> {
    let give_up = sleep(engine.config().keep);
    tokio::pin!(give_up);
    loop {
        if let Some(id) = take(engine, lane) {
            return Ok(id);
        }
        tokio::select! {
            () = lane.changed() => {}
            () = &mut give_up => return Err(Quit::Politely),
            () = engine.stop.cancelled() => return Err(Quit::Politely),
            () = engine.rest.cancelled() => return Err(Quit::Politely),
            () = connection.idle() => return Err(Quit::AlreadyClosed),
        }
    }
}

/// The domain is the EHLO argument if it looks like one; else our address on this connection, as a literal
/// (RFC 5321 section 4.1.4).
fn client_config(engine: &Engine, stream: &Stream) -> Arc<ClientConfig> {
    let config = engine.config();
    let config = &config.client;
    if config.ehlo_name.contains('.') {
        return Arc::new(config.clone());
    }
    let name = match stream.local().and_then(|local| local.ip()) {
        Some(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => config.ehlo_name.clone(),
    };
    Arc::new(ClientConfig { ehlo_name: name, ..config.clone() })
}
