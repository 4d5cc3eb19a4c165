//! Pumps an administration session over a stream.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin::{Answer, CloseReason, FlushEnd, Notice, Output, Request, Session};
use crate::net::limits::Seat;
use crate::net::read::{consume, read_some};
use crate::net::server::{finish, now, until, within};
use crate::os::readiness::Hangup;

/// Replies are written when so many bytes have gathered, even if there is more to say.
const MAX_UNSENT: usize = 64 * 1024;

/// How long a client may leave a reply or an event unread before it is taken for gone. Until then it costs only its place:
/// nothing more is read from it, and events above a limit are dropped and counted.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(600);

/// What a session asks of the rest of the program.
pub trait Handler: Send {
    /// Answers a question. The session takes no input and no events until the answer is there.
    fn ask(&mut self, request: Request) -> impl Future<Output = Answer> + Send;

    /// Begins to send everything.
    fn flush(&mut self);

    /// Waits for the end of that; for ever if it was not begun. Cancel-safe.
    fn flushed(&mut self) -> impl Future<Output = FlushEnd> + Send;

    /// Ends the program.
    fn terminate(&mut self);
}

/// How a session is run.
#[derive(Debug)]
pub struct Driver {
    /// Cancelled when the role stops.
    pub stop: CancellationToken,
    /// The session's place among the connections.
    pub seat: Arc<Seat>,
    /// What happens, for those who want to hear of it.
    pub notices: Receiver<Notice>,
    /// Tells that a client which has nothing more to say has gone altogether; none if that cannot be told.
    pub hangup: Option<Hangup>,
}

impl Driver {
    /// Runs `session` until it closes and returns why it did.
    pub async fn run<S, H>(self, stream: &mut S, session: &mut Session, handler: &mut H) -> CloseReason
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        H: Handler,
    {
        let Self { stop, seat, notices, hangup } = self;
        let mut pump = Pump {
            stream,
            session,
            handler,
            notices,
            subscribed: false,
            unread: Vec::new(),
            unsent: Vec::new(),
        };
        loop {
            if let Some(reason) = pump.settle().await {
                finish(pump.stream).await;
                return reason;
            }
            seat.set_idle(pump.session.idle_since());
            let Pump { stream, session, handler, notices, subscribed, unread, .. } = &mut pump;
            let deadline = session.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = stop.cancelled() => session.end(CloseReason::Shutdown),
                () = seat.vacated() => session.end(CloseReason::MadeRoom),
                end = handler.flushed() => session.flushed(&end),
                notice = notices.recv(), if *subscribed => tell(session, notice),
                () = hung_up(hangup.as_ref()), if session.said_all() => session.peer_closed(None),
                read = within(deadline, read_some(*stream, unread)), if !session.said_all() => match read {
                    None => session.timer(now()),
                    Some(Ok(0)) => session.peer_closed(None),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => session.peer_closed(Some(&crate::os::reason(&error))),
                },
                () = until(deadline) => session.timer(now()),
            }
            seat.set_idle(None);
        }
    }
}

/// Never, if it cannot be told.
async fn hung_up(hangup: Option<&Hangup>) {
    match hangup {
        Some(hangup) => hangup.wait().await,
        None => pending().await,
    }
}

fn tell(session: &mut Session, notice: Result<Notice, RecvError>) {
    match notice {
        Ok(notice) => session.notice(&notice),
        Err(RecvError::Lagged(count)) => session.lost(count),
        // The one who tells ends with the role, which is about to stop.
        Err(RecvError::Closed) => session.end(CloseReason::Shutdown),
    }
}

/// A session with its two sides: the peer, and the rest of the program.
struct Pump<'a, S, H> {
    stream: &'a mut S,
    session: &'a mut Session,
    handler: &'a mut H,
    notices: Receiver<Notice>,
    /// The session wants to hear of what `notices` has.
    subscribed: bool,
    unread: Vec<u8>,
    unsent: Vec<u8>,
}

impl<S, H> Pump<'_, S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
{
    /// Feeds what is pending and carries out what the session wants until it wants more input (`None`) or is closed.
    async fn settle(&mut self) -> Option<CloseReason> {
        loop {
            while let Some(output) = self.session.next() {
                match output {
                    Output::Send(bytes) => {
                        self.unsent.extend_from_slice(&bytes);
                        if self.unsent.len() >= MAX_UNSENT {
                            self.write().await;
                        }
                    }
                    Output::Ask(request) => {
                        let answer = self.handler.ask(request).await;
                        self.session.answer(answer);
                    }
                    Output::Flush => self.handler.flush(),
                    Output::Terminate => self.handler.terminate(),
                    Output::Close(reason) => {
                        self.write().await;
                        return Some(reason);
                    }
                }
            }
            let taken = if self.unread.is_empty() { 0 } else { self.session.input(&self.unread, now()) };
            consume(&mut self.unread, taken);
            self.subscribe();
            if taken == 0 {
                self.write().await;
                // A peer that could not be written to has ended the session.
                match self.session.next() {
                    Some(Output::Close(reason)) => return Some(reason),
                    Some(_) | None => return None,
                }
            }
        }
    }

    /// Events from before the command are not told.
    fn subscribe(&mut self) {
        let wanted = self.session.wants_events();
        if wanted && !self.subscribed {
            self.notices = self.notices.resubscribe();
        }
        self.subscribed = wanted;
    }

    /// Writes the replies that have gathered.
    async fn write(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.unsent);
        let work = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let done = timeout(WRITE_TIMEOUT, work).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = done {
            self.session.peer_closed(Some(&crate::os::reason(&error)));
        }
    }
}

#[cfg(test)]
mod tests;
