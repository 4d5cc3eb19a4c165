//! Pumps a POP session over a stream.

use std::future::{Future, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::net::limits::Seat;
use crate::net::read::{consume, read_some};
use crate::net::server::{finish, now, until, within};
use crate::pop::{Answer, Channel, CloseReason, Event, Output, Question, Session};

/// Replies are written when so many bytes have gathered, even if there is more to say. With a block of a message and its
/// line ends this bounds what a session keeps for a slow reader.
const MAX_UNSENT: usize = 64 * 1024;

/// What a session asks of the rest of the program.
pub trait Handler<S>: Send {
    /// Answers a question. The session takes no input until the answer is there.
    fn ask(&mut self, question: Question) -> impl Future<Output = Answer> + Send;

    /// The open message is not needed any more.
    fn close_content(&mut self);

    /// Makes the connection secure, and tells what it is then; none if that fails, which it has logged.
    fn secure(&mut self, stream: S) -> impl Future<Output = Option<(S, Channel)>> + Send;

    /// The session is over, and its last reply about to be sent: what it holds can be given back.
    fn closing(&mut self);

    /// Logs a fact.
    fn log(&mut self, event: Event);
}

/// How a session is run.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Limit on the time that a peer may take nothing of a reply; `None` waits for ever.
    pub write_timeout: Option<Duration>,
    /// Cancelled when the role stops: the session ends as soon as it is not in the middle of a reply.
    pub stop: CancellationToken,
    /// The session's place among the connections.
    pub seat: Arc<Seat>,
}

impl Driver {
    /// Runs `session` until it closes and returns why it did.
    pub async fn run<S, H>(&self, stream: S, session: &mut Session, handler: &mut H) -> CloseReason
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        H: Handler<S>,
    {
        let wire = Wire {
            stream: Some(stream),
            unread: Vec::new(),
            used: 0,
            unsent: Vec::new(),
            limit: self.write_timeout,
        };
        let mut pump = Pump { wire, session, handler, stop: &self.stop, stopping: false };
        loop {
            if let Some(reason) = pump.settle().await {
                if let Some(stream) = &mut pump.wire.stream {
                    finish(stream).await;
                }
                return reason;
            }
            self.seat.set_known(pump.session.is_logged_in());
            self.seat.set_idle(pump.session.idle_since());
            let Pump { wire, session, stopping, .. } = &mut pump;
            let deadline = session.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !*stopping => {}
                () = self.seat.vacated() => session.make_room(),
                // A session that is busy takes nothing, and what it does not take must not pile up.
                () = until(deadline), if session.is_busy() => session.timer(now()),
                read = within(deadline, wire.read()), if !session.is_busy() => match read {
                    None => session.timer(now()),
                    Some(Ok(0)) => session.peer_closed(None),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => session.peer_closed(Some(&crate::os::reason(&error))),
                }
            }
            self.seat.set_idle(None);
        }
    }
}

/// A session with its two sides: the peer, and the rest of the program.
struct Pump<'a, S, H> {
    wire: Wire<S>,
    session: &'a mut Session,
    handler: &'a mut H,
    stop: &'a CancellationToken,
    /// The session has been told to stop.
    stopping: bool,
}

impl<S, H> Pump<'_, S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler<S>,
{
    /// Feeds what is pending and carries out what the session wants until it wants more input (`None`) or is closed.
    async fn settle(&mut self) -> Option<CloseReason> {
        loop {
            while let Some(output) = self.session.next() {
                match output {
                    Output::Send(bytes) => {
                        self.wire.gather(bytes);
                        if self.wire.unsent.len() >= MAX_UNSENT {
                            self.wire.flush(self.session).await;
                        }
                    }
                    Output::Ask(question) => self.ask(question).await,
                    Output::CloseContent => self.handler.close_content(),
                    Output::StartTls => self.secure().await,
                    Output::Log(event) => self.handler.log(event),
                    Output::Close(reason) => {
                        self.handler.closing();
                        self.wire.flush(self.session).await;
                        return Some(reason);
                    }
                }
            }
            // Also between the replies to commands that came together.
            if !self.stopping && self.stop.is_cancelled() {
                self.stopping = true;
                self.session.shutdown();
                continue;
            }
            let pending = self.wire.pending();
            let taken = if pending.is_empty() { 0 } else { self.session.input(pending, now()) };
            self.wire.used += taken;
            if taken > 0 {
                continue;
            }
            if self.wire.unsent.is_empty() {
                break;
            }
            self.wire.flush(self.session).await;
        }
        self.wire.drop_used();
        None
    }

    /// Gets an answer. Replies wait for one that is there at once, and go out in one piece with its own; else they go out
    /// while it is being looked for.
    async fn ask(&mut self, question: Question) {
        let mut answer = pin!(self.handler.ask(question));
        let at_once = tokio::select! {
            biased;
            answer = &mut answer => Some(answer),
            () = ready(()) => None,
        };
        let answer = match at_once {
            Some(answer) => answer,
            None => {
                self.wire.flush(self.session).await;
                answer.await
            }
        };
        self.session.answer(answer, now());
    }

    /// The handshake, unless there are bytes that came before it.
    async fn secure(&mut self) {
        self.wire.flush(self.session).await;
        if !self.wire.pending().is_empty() {
            return self.session.plaintext_after_stls();
        }
        let Some(stream) = self.wire.stream.take() else { return self.session.tls_failed() };
        let Some((stream, channel)) = self.handler.secure(stream).await else {
            return self.session.tls_failed();
        };
        self.wire.stream = Some(stream);
        self.session.tls_started(channel, now());
    }
}

/// A stream with what has been read and not taken, and what is to be written.
struct Wire<S> {
    /// None once a handshake has failed.
    stream: Option<S>,
    unread: Vec<u8>,
    /// Bytes at the front of `unread` that the session has taken.
    used: usize,
    unsent: Vec<u8>,
    limit: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    async fn read(&mut self) -> io::Result<usize> {
        match &mut self.stream {
            Some(stream) => read_some(stream, &mut self.unread).await,
            None => Ok(0),
        }
    }

    fn pending(&self) -> &[u8] {
        self.unread.get(self.used..).unwrap_or_default()
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

    /// Writes the replies that have gathered. A peer that cannot be written to, or takes nothing for too long, is gone; one
    /// that takes a little now and then is only slow.
    async fn flush(&mut self, session: &mut Session) {
        let bytes = std::mem::take(&mut self.unsent);
        let Some(stream) = self.stream.as_mut().filter(|_| !bytes.is_empty()) else { return };
        let mut rest = &bytes[..];
        let written = loop {
            if rest.is_empty() {
                break limited(self.limit, stream.flush()).await;
            }
            match limited(self.limit, stream.write(rest)).await {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    session.sent(now());
                }
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = written {
            session.peer_closed(Some(&crate::os::reason(&error)));
        }
    }
}

async fn limited<T>(limit: Option<Duration>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        Some(limit) => timeout(limit, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
        None => work.await,
    }
}

#[cfg(test)]
mod tests;
