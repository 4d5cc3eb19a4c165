//! Pumps a server session over a stream.

use std::future::{Future, pending, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::net::limits::Seat;
use crate::net::read::{consume, read_some};
use crate::smtp::line::MAX_AUTH_LINE;
use crate::smtp::server::{Answer, CloseReason, Event, Output, Question, Session};

/// Input given to the session at a time. The replies that so much input can provoke bound the output buffer, because
/// it is written out before more is taken (RFC 2920 section 3.2). The longest line must fit into it.
const SLICE: usize = MAX_AUTH_LINE;

/// Replies are written when so many bytes have gathered, even if there is more input to answer.
const MAX_UNSENT: usize = 64 * 1024;

/// While a message is being stored no more is read once so many bytes wait.
const MAX_UNREAD: usize = 16 * 1024;

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

    /// The words for a connection that broke while it was read.
    fn broken(&mut self, error: &io::Error) -> String {
        crate::os::reason(error)
    }
}

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The session has closed.
    Closed(CloseReason),
    /// The connection is to be made secure. Nothing has been read that the session has not taken: after
    /// [`Session::secured`] the next run begins with what comes then, and with nothing else.
    StartTls,
}

/// How a session is run.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Limit on the time that a peer may leave replies unread; `None` waits for ever.
    pub write_timeout: Option<Duration>,
    /// Cancelled when the role stops: the session ends as soon as no message is in its data or filter phase.
    pub stop: CancellationToken,
    /// The session's place among the connections.
    pub seat: Arc<Seat>,
}

impl Driver {
    /// Runs `session` until it closes, or has to be made secure.
    pub async fn run<S, H>(&self, stream: &mut S, session: &mut Session, handler: &mut H) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        H: Handler,
    {
        let wire =
            Wire { stream, unread: Vec::new(), used: 0, unsent: Vec::new(), limit: self.write_timeout };
        let mut pump = Pump { wire, session, handler, stop: &self.stop, seat: &self.seat };
        let mut stopping = false;
        loop {
            if let Some(ended) = pump.settle().await {
                if ended != Ended::StartTls {
                    finish(pump.wire.stream).await;
                }
                return ended;
            }
            self.seat.set_known(pump.session.is_known());
            self.seat.set_idle(pump.session.idle_since());
            let Pump { wire, session, handler, .. } = &mut pump;
            let deadline = session.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    session.shutdown(now());
                }
                () = self.seat.vacated() => session.make_room(now()),
                // A session that is busy takes nothing, and what it does not take must not pile up.
                () = until(deadline), if session.is_busy() => session.timer(now()),
                read = within(deadline, wire.read()), if !session.is_busy() => match read {
                    None => session.timer(now()),
                    Some(Ok(0)) => session.peer_closed(None, now()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => session.peer_closed(Some(&handler.broken(&error)), now()),
                }
            }
            self.seat.set_idle(None);
        }
    }
}

/// A session with its two sides: the peer, and the rest of the program.
struct Pump<'a, S, H> {
    wire: Wire<'a, S>,
    session: &'a mut Session,
    handler: &'a mut H,
    stop: &'a CancellationToken,
    seat: &'a Seat,
}

impl<S, H> Pump<'_, S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    /// Feeds what is pending and carries out what the session wants until it wants more input (`None`) or is closed.
    async fn settle(&mut self) -> Option<Ended> {
        loop {
            while let Some(output) = self.session.next() {
                match output {
                    Output::Send(bytes) => self.wire.gather(bytes),
                    Output::Ask(question) => self.ask(question).await,
                    Output::Content(bytes) => self.handler.content(bytes).await,
                    Output::Discard => self.handler.discard(),
                    Output::Log(event) => self.handler.log(event),
                    Output::Close(reason) => {
                        self.wire.flush(self.session).await;
                        return Some(Ended::Closed(reason));
                    }
                    Output::StartTls => {
                        self.look_for_plaintext().await;
                        if self.session.awaits_handshake() {
                            self.wire.flush(self.session).await;
                            return Some(Ended::StartTls);
                        }
                    }
                }
            }
            let slice = self.wire.pending();
            let taken = if slice.is_empty() { 0 } else { self.session.input(slice, now()) };
            self.wire.used += taken;
            let done = taken == 0;
            if done && self.wire.unsent.is_empty() {
                break;
            }
            if done || self.wire.unsent.len() >= MAX_UNSENT {
                self.wire.flush(self.session).await;
            }
        }
        self.wire.drop_used();
        None
    }

    /// Gives the session what has come in clear behind STARTTLS: in the same piece, or in one that is there by now. A client
    /// that keeps to the protocol waits for the reply.
    async fn look_for_plaintext(&mut self) {
        self.wire.drop_used();
        if self.wire.unread.is_empty() {
            tokio::select! {
                biased;
                // The end of the stream, or an error, is for the handshake to find.
                _ = self.wire.read() => {}
                () = ready(()) => {}
            }
        }
        let bytes = std::mem::take(&mut self.wire.unread);
        self.session.input(&bytes, now());
    }

    /// Gets an answer. Replies wait for one that is there at once, and go out in one piece with its own.
    ///
    /// While a message is being stored the peer may go away, and the log should say that it does not know. One that goes
    /// away while an address is looked at ends the look, and so does a stop.
    async fn ask(&mut self, question: Question) {
        let Self { wire, session, handler, stop, seat } = self;
        let mut answer = pin!(handler.ask(question));
        let at_once = tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            () = ready(()) => None,
        };
        let answer = match at_once {
            Some(answer) => answer,
            None => {
                wire.flush(session).await;
                let idle = session.asks_of_address();
                let mut watched = idle || session.in_transaction_data();
                loop {
                    if idle && !session.asks_of_address() {
                        return;
                    }
                    tokio::select! {
                        biased;
                        answer = &mut answer => break answer,
                        () = stop.cancelled(), if idle => session.shutdown(now()),
                        read = wire.read(), if watched && wire.unread.len() < MAX_UNREAD => match read {
                            Ok(1..) => {}
                            // What it has sent before is still to be looked at; the end will be read again.
                            Ok(0) if !wire.pending().is_empty() => watched = false,
                            Ok(0) => {
                                seat.set_gone();
                                session.peer_closed(None, now());
                                watched = false;
                            }
                            Err(error) => {
                                seat.set_gone();
                                session.peer_closed(Some(&crate::os::reason(&error)), now());
                                watched = false;
                            }
                        }
                    }
                }
            }
        };
        self.session.answer(answer, now());
    }
}

/// A stream with what has been read and not taken, and what is to be written.
struct Wire<'a, S> {
    stream: &'a mut S,
    unread: Vec<u8>,
    /// Bytes at the front of `unread` that the session has taken.
    used: usize,
    unsent: Vec<u8>,
    limit: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<'_, S> {
    async fn read(&mut self) -> io::Result<usize> {
        read_some(self.stream, &mut self.unread).await
    }

    fn pending(&self) -> &[u8] {
        let rest = self.unread.get(self.used..).unwrap_or_default();
        rest.get(..SLICE).unwrap_or(rest)
    }

    fn drop_used(&mut self) {
        consume(&mut self.unread, std::mem::take(&mut self.used));
    }

    fn gather(&mut self, bytes: Vec<u8>) {
        if self.unsent.is_empty() {
            self.unsent = bytes;
        } else {
            self.unsent.extend_from_slice(&bytes);
        }
    }

    /// Writes the replies that have gathered. A peer that cannot be written to is gone.
    async fn flush(&mut self, session: &mut Session) {
        if self.unsent.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.unsent);
        let work = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let done = match self.limit {
            Some(limit) => timeout(limit, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
            None => work.await,
        };
        if let Err(error) = done {
            session.peer_closed(Some(&crate::os::reason(&error)), now());
        }
    }
}

/// Closes politely, within a time that the peer cannot prolong: to close a secure stream takes writing, too.
pub(crate) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let drain = async {
        if stream.shutdown().await.is_err() {
            return;
        }
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

pub(crate) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// `None` when the deadline passes first.
pub(crate) async fn within<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

pub(crate) fn now() -> std::time::Instant {
    // The runtime's clock, so that tests can pause it.
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
