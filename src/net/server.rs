//! Pumps a server session over a stream.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::net::read::{consume, read_some};
use crate::smtp::server::{Answer, CloseReason, Event, Output, Question, Session};

/// Input given to the session at a time. The replies that so much input can provoke bound the output buffer, because
/// it is written out before more is taken (RFC 2920 section 3.2).
const SLICE: usize = 8 * 1024;

/// How long a closed connection is drained so that the peer can still read the last reply: closing a socket that holds
/// unread bytes sends a reset, which makes the peer's kernel throw received data away.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Bytes read and dropped while draining.
const DRAIN_BYTES: usize = 256 * 1024;

/// What a session asks of the rest of the program.
pub trait Handler: Send {
    /// Answers a question. The session takes no input until the answer is there.
    fn ask(&mut self, question: Question) -> impl Future<Output = Answer> + Send;

    /// Takes content of the open message.
    fn content(&mut self, bytes: Vec<u8>) -> impl Future<Output = ()> + Send;

    /// Drops the open message.
    fn discard(&mut self);

    /// Logs a fact.
    fn log(&mut self, event: Event);
}

/// How a session is run.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Limit on the time that a peer may leave replies unread; `None` waits for ever.
    pub write_timeout: Option<Duration>,
    /// Cancelled when the role stops: the session ends as soon as no message is in its data or filter phase.
    pub stop: CancellationToken,
}

impl Driver {
    /// Runs `session` until it closes and returns why it did.
    pub async fn run<S, H>(&self, stream: &mut S, session: &mut Session, handler: &mut H) -> CloseReason
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        H: Handler,
    {
        let mut untaken = Vec::new();
        let mut stopping = false;
        loop {
            if let Some(reason) = self.settle(stream, session, handler, &mut untaken).await {
                finish(stream).await;
                return reason;
            }
            let deadline = session.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    session.shutdown(now());
                }
                // A session that is busy takes nothing, and what it does not take must not pile up.
                () = until(deadline), if session.is_busy() => session.timer(now()),
                read = within(deadline, read_some(stream, &mut untaken)), if !session.is_busy() => match read {
                    None => session.timer(now()),
                    Some(Ok(0)) => session.peer_closed(None, now()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => session.peer_closed(Some(&crate::os::reason(&error)), now()),
                }
            }
        }
    }

    /// Feeds what is pending and carries out what the session wants until it wants more input (`None`) or is closed.
    async fn settle<S, H>(
        &self,
        stream: &mut S,
        session: &mut Session,
        handler: &mut H,
        untaken: &mut Vec<u8>,
    ) -> Option<CloseReason>
    where
        S: AsyncWrite + Unpin + Send,
        H: Handler,
    {
        let mut used = 0;
        loop {
            if let Some(reason) = self.carry_out(stream, session, handler).await {
                return Some(reason);
            }
            let slice = untaken.get(used..).map(|rest| rest.get(..SLICE).unwrap_or(rest)).unwrap_or_default();
            let taken = if slice.is_empty() { 0 } else { session.input(slice, now()) };
            used += taken;
            if taken == 0 {
                break;
            }
        }
        consume(untaken, used);
        None
    }

    async fn carry_out<S, H>(
        &self,
        stream: &mut S,
        session: &mut Session,
        handler: &mut H,
    ) -> Option<CloseReason>
    where
        S: AsyncWrite + Unpin + Send,
        H: Handler,
    {
        while let Some(output) = session.next() {
            match output {
                Output::Send(bytes) => {
                    if let Err(reason) = self.write(stream, &bytes).await {
                        session.peer_closed(Some(&reason), now());
                    }
                }
                Output::Ask(question) => {
                    let answer = handler.ask(question).await;
                    session.answer(answer, now());
                }
                Output::Content(bytes) => handler.content(bytes).await,
                Output::Discard => handler.discard(),
                Output::Log(event) => handler.log(event),
                Output::Close(reason) => return Some(reason),
            }
        }
        None
    }

    async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S, bytes: &[u8]) -> Result<(), String> {
        let work = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let done = match self.write_timeout {
            Some(limit) => timeout(limit, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
            None => work.await,
        };
        done.map_err(|error| crate::os::reason(&error))
    }
}

async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut dropped = Vec::new();
        let mut total = 0;
        while let Ok(read @ 1..) = read_some(stream, &mut dropped).await {
            dropped.clear();
            total += read;
            if total > DRAIN_BYTES {
                break;
            }
        }
    };
    let _ = timeout(DRAIN_TIME, drain).await;
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// `None` when the deadline passes first.
async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

fn now() -> std::time::Instant {
    // The runtime's clock, so that tests can pause it.
    Instant::now().into_std()
}
