//! The task behind a line: its connection, and one message after the other.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::attempt::{self, Attempt};
use super::{Letter, Proxy, Refused};
use crate::forward::answer::{self, Answer};
use crate::forward::basis::Basis;
use crate::forward::deliver;
use crate::forward::destination::Destination;
use crate::forward::engine::Engine;
use crate::forward::finish::{self, Finish, HandedBack};
use crate::forward::open::{self, Open};
use crate::forward::permits::Permit;
use crate::net::client::Connection;
use crate::net::ledger::Entry;
use crate::net::stream::Stream;

/// All connections are in use, and none has become free in the time that there is for making one.
const NO_PLACE: &str = "too many connections to next hops: raise --forward-connections-max";

/// The program cannot wait any longer.
pub(super) const STOPPED: &str = "shutting down";

/// A connection that a line keeps.
pub(super) struct Kept {
    pub(super) connection: Connection<Stream>,
    /// The peer's address.
    pub(super) relay: String,
    pub(super) destination: Destination,
    pub(super) basis: Basis,
    _place: Permit,
    _line: Option<Entry>,
}

/// Starts the task. It ends when the sender is dropped.
pub(super) fn start(proxy: &Arc<Proxy>) -> mpsc::Sender<Letter> {
    let (letters, received) = mpsc::channel(1);
    proxy.tasks.spawn(run(Arc::clone(proxy), received));
    letters
}

async fn run(proxy: Arc<Proxy>, mut letters: mpsc::Receiver<Letter>) {
    let mut kept = None;
    while let Some(letter) = next(&proxy, &mut kept, &mut letters).await {
        carry(&proxy, &mut kept, letter).await;
    }
    if let Some(kept) = kept {
        kept.quit(&proxy.engine).await;
    }
}

/// The next message. Meanwhile the connection is given up if it dies, others need its place, or the process stops.
async fn next(
    proxy: &Arc<Proxy>,
    kept: &mut Option<Kept>,
    letters: &mut mpsc::Receiver<Letter>,
) -> Option<Letter> {
    let Some(Kept { connection, .. }) = kept else { return letters.recv().await };
    let engine = &proxy.engine;
    let is_dead = tokio::select! {
        biased;
        letter = letters.recv() => return letter,
        () = connection.idle() => true,
        () = engine.crowded() => false,
        () = engine.stop.cancelled() => false,
    };
    if let Some(kept) = kept.take()
        && !is_dead
    {
        kept.leave(proxy);
    }
    letters.recv().await
}

/// Sends one message and answers its client.
async fn carry(proxy: &Arc<Proxy>, kept: &mut Option<Kept>, letter: Letter) {
    let Letter { message, client, told } = letter;
    let attempt = attempt::make(proxy, kept, message).await;
    // From here on the client is told the truth about what is done now: looked at once.
    let orphaned = client.is_gone() || told.is_closed() || proxy.engine.cut.is_cancelled();
    let answer = match attempt {
        Attempt::Settled(answer) => answer,
        Attempt::Lost => {
            (proxy.left)();
            answer::FAILED.into()
        }
        Attempt::Ended { finish, answer, fault } => settle(proxy, *finish, answer, fault, orphaned).await,
    };
    // A client that could not wait does not hear it.
    let _ = told.send(answer);
}

/// Does what the outcome asks for, before the client hears of it.
async fn settle(
    proxy: &Arc<Proxy>,
    finish: Finish,
    answer: Answer,
    fault: Option<String>,
    orphaned: bool,
) -> Answer {
    let engine = Arc::clone(&proxy.engine);
    // compat: 2.6 told its client one thing and did another.
    let refused = proxy.refused();
    let ours = finish.is_sent() || orphaned || (refused == Refused::Kept && engine.config().policy.compat26);
    let leaves = ours && finish.leaves_message();
    let reply = words(&answer, fault);
    let done = spawn_blocking(move || {
        if !ours {
            return finish::hand_back(&engine, finish, reply, refused);
        }
        drop(finish::apply(&engine, finish));
        HandedBack::Done
    });
    let (left, answer) = match done.await {
        Ok(HandedBack::Done) => (leaves, answer),
        Ok(HandedBack::StillOurs) => (true, Answer::Accepted),
        // The runtime has reported the panic. Where the message is now cannot be known: the client keeps it, and somebody looks.
        Err(_) => (true, answer),
    };
    if left {
        (proxy.left)();
    }
    answer
}

/// The answer as the log has it, with what is behind it.
fn words(answer: &Answer, fault: Option<String>) -> String {
    let Answer::Refused { code, text } = answer else { return String::new() };
    match fault.filter(|fault| !fault.contains(text.as_str())) {
        Some(fault) => format!("{code} {text}: {fault}"),
        None => format!("{code} {text}"),
    }
}

/// Makes a connection, as soon as there are few enough.
pub(super) async fn connect(proxy: &Proxy, destination: &Destination) -> Result<Kept, String> {
    let engine = &proxy.engine;
    let config = engine.config();
    // In this order: who waits for a destination that does not answer takes no place from others.
    let leave = async {
        Some((proxy.ways.enter(destination, config.total).await?, engine.permit(destination).await))
    };
    let leave = async {
        match config.connect.timeout {
            Some(limit) => timeout(limit, leave).await.ok().flatten(),
            None => leave.await,
        }
    };
    let made = async {
        let (_way, place) = leave.await.ok_or_else(|| NO_PLACE.to_owned())?;
        let line = config.ledger.as_ref().map(|ledger| ledger.outgoing(&destination.address));
        let Open { connection, relay, basis } = open::open(engine, destination, line.as_ref()).await?;
        Ok(Kept { connection, relay, destination: destination.clone(), basis, _place: place, _line: line })
    };
    tokio::select! {
        biased;
        made = made => made,
        () = engine.cut.cancelled() => Err(STOPPED.to_owned()),
    }
}

impl Kept {
    /// Whether the next message to `destination` may go over it.
    pub(super) async fn serves(&self, engine: &Engine, destination: &Destination) -> bool {
        self.destination == *destination && self.basis.holds(engine).await
    }

    /// Says goodbye without keeping anybody waiting.
    pub(super) fn leave(self, proxy: &Arc<Proxy>) {
        let engine = Arc::clone(&proxy.engine);
        proxy.tasks.spawn(async move { self.quit(&engine).await });
    }

    async fn quit(self, engine: &Engine) {
        // The place is free, and the connection written off, when it is closed.
        let Self { connection, _place, _line, .. } = self;
        connection.quit(&mut deliver::trace(engine, None)).await;
    }
}
