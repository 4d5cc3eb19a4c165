//! Pumps a client session over a stream.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::net::read::read_some;
use crate::sasl::Secret;
use crate::smtp::client::{Event, Fault, MessageResult, Outgoing, Output, Session};

/// How long a polite close may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Where the content of the message in hand comes from.
pub trait Content: Send {
    /// The next piece and whether it is the last; an empty last piece is fine.
    ///
    /// # Errors
    /// A read error: the transfer is broken off, and with it the connection, because SMTP has no other way to take back
    /// half a message.
    fn next(&mut self) -> impl Future<Output = io::Result<(Vec<u8>, bool)>> + Send;
}

/// How a step with the server ended other than as wanted.
#[derive(Debug)]
pub enum Broken {
    /// The session is over.
    Fault(Fault),
    /// The content could not be read.
    Content(io::Error),
}

/// What the server decided about a message.
#[derive(Debug)]
pub struct Answered {
    /// The decision.
    pub result: MessageResult,
    /// The session has ended behind it.
    pub fault: Option<Fault>,
}

/// A client session and its stream.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    session: Session,
}

/// How far the opening of a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// A message can be sent.
    Ready,
    /// The connection is to be made secure first: [`Connection::secured`].
    StartTls,
    /// A fresh token is wanted for this entry of the account: [`Connection::renew`].
    NewToken {
        /// Counted from 0.
        entry: usize,
    },
}

/// What the session wants next, when it is not to be carried out here.
enum Want {
    Ready,
    StartTls,
    Token(usize),
    Content,
    Done(MessageResult),
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Joins a fresh session to a connected stream.
    pub fn new(stream: S, session: Session) -> Self {
        Self { stream, session }
    }

    /// The session, for what it knows of the server.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The stream and the session, to make the stream secure. Nothing has been read that the session does not have.
    pub fn into_parts(self) -> (S, Session) {
        (self.stream, self.session)
    }

    /// The same session on the stream that was made secure.
    pub fn secured(stream: S, mut session: Session) -> Self {
        session.secured(now());
        Self { stream, session }
    }

    /// Goes on with the login that wanted a fresh token; without one it is over, or goes on in another way.
    pub fn renew(&mut self, token: Option<Secret>) {
        self.session.renewed(token, now());
    }

    /// Greeting and EHLO, until a message can be sent or the connection must be made secure.
    ///
    /// # Errors
    /// The fault that ended the session.
    pub async fn ready(&mut self, log: &mut (dyn FnMut(Event) + Send)) -> Result<Opened, Fault> {
        loop {
            match self.step(log).await? {
                Want::Ready => return Ok(Opened::Ready),
                Want::StartTls => return Ok(Opened::StartTls),
                Want::Token(entry) => return Ok(Opened::NewToken { entry }),
                Want::Content | Want::Done(_) | Want::Closed => {}
            }
        }
    }

    /// Sends one message. Call it only after [`ready`](Self::ready), and again only after it succeeded.
    ///
    /// # Errors
    /// The fault that ended the session, or the failure to read the content.
    pub async fn send<C: Content>(
        &mut self,
        message: Outgoing,
        content: &mut C,
        log: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Answered, Broken> {
        self.session.send(message, now());
        let mut result = None;
        loop {
            let want = match (self.step(log).await, result.take()) {
                (Ok(want), kept) => {
                    result = kept;
                    want
                }
                // What was decided stands, even if the server closes right behind it.
                (Err(fault), Some(result)) => return Ok(Answered { result, fault: Some(fault) }),
                (Err(fault), None) => return Err(Broken::Fault(fault)),
            };
            match want {
                Want::Content => {
                    let (chunk, last) = content.next().await.map_err(Broken::Content)?;
                    self.session.content(&chunk, last, now());
                }
                Want::Done(done) => result = Some(done),
                Want::Ready => {
                    if let Some(done) = result.take() {
                        return Ok(Answered { result: done, fault: None });
                    }
                }
                Want::StartTls | Want::Token(_) | Want::Closed => {}
            }
        }
    }

    /// Gives a transfer up after its future was dropped, and tells how far it was.
    pub fn abandon(&mut self, why: &str) -> Option<Fault> {
        self.session.closed(Some(why), now());
        while let Some(output) = self.session.next() {
            if let Output::Fault(fault) = output {
                return Some(fault);
            }
        }
        None
    }

    /// Waits while the connection is idle; returns when the server has closed it or said something.
    pub async fn idle(&mut self) {
        let mut unexpected = Vec::new();
        let _ = read_some(&mut self.stream, &mut unexpected).await;
    }

    /// Says QUIT, waits shortly for the reply and closes.
    pub async fn quit(mut self, log: &mut (dyn FnMut(Event) + Send)) {
        self.session.quit(now());
        while let Ok(want) = self.step(log).await {
            if matches!(want, Want::Closed) {
                break;
            }
        }
        // Closing a secure stream takes a peer that reads.
        let _ = timeout(CLOSE_TIME, self.stream.shutdown()).await;
    }

    /// Pumps until the session wants something that only the caller can give.
    async fn step(&mut self, log: &mut (dyn FnMut(Event) + Send)) -> Result<Want, Fault> {
        loop {
            while let Some(output) = self.session.next() {
                match output {
                    Output::Send(bytes) => self.write(&bytes).await,
                    Output::Log(event) => log(event),
                    Output::Ready => return Ok(Want::Ready),
                    Output::StartTls => {
                        self.look_for_plaintext().await;
                        if self.session.awaits_handshake() {
                            return Ok(Want::StartTls);
                        }
                    }
                    Output::NeedToken(entry) => return Ok(Want::Token(entry)),
                    Output::NeedContent => return Ok(Want::Content),
                    Output::Done(result) => return Ok(Want::Done(result)),
                    Output::Fault(fault) => return Err(fault),
                    Output::Close => return Ok(Want::Closed),
                }
            }
            self.read().await;
        }
    }

    /// Gives the session what has come in clear behind the reply to STARTTLS and is there by now.
    async fn look_for_plaintext(&mut self) {
        let mut bytes = Vec::new();
        tokio::select! {
            biased;
            // The end of the stream, or an error, is for the handshake to find.
            _ = read_some(&mut self.stream, &mut bytes) => {}
            () = std::future::ready(()) => {}
        }
        self.session.input(&bytes, now());
    }

    /// Writes all of `bytes` and reads at the same time: a server that answers early and stops reading must not leave
    /// both sides waiting for each other.
    async fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut input = Vec::new();
        // Once the session is over nothing limits the time that a peer who reads no more could take.
        while !self.session.is_over() {
            let deadline = self.session.deadline().map(Instant::from_std);
            let progress = exchange(&mut self.stream, rest, &mut input);
            let done = match deadline {
                Some(deadline) => timeout_at(deadline, progress).await,
                None => Ok(progress.await),
            };
            match done {
                Err(_) => return self.session.timer(now()),
                Ok(Ok(Progress::Flushed)) => return,
                Ok(Ok(Progress::Wrote(count))) => {
                    rest = rest.get(count..).unwrap_or_default();
                    self.session.progress(now());
                }
                Ok(Ok(Progress::Read(0))) => return self.session.closed(None, now()),
                Ok(Ok(Progress::Read(_))) => {
                    self.session.input(&input, now());
                    input.clear();
                }
                Ok(Err(error)) => return self.session.closed(Some(&crate::os::reason(&error)), now()),
            }
        }
    }

    async fn read(&mut self) {
        let mut input = Vec::new();
        let deadline = self.session.deadline().map(Instant::from_std);
        let read = read_some(&mut self.stream, &mut input);
        let done = match deadline {
            Some(deadline) => timeout_at(deadline, read).await,
            None => Ok(read.await),
        };
        match done {
            Err(_) => self.session.timer(now()),
            Ok(Ok(0)) => self.session.closed(None, now()),
            Ok(Ok(_)) => self.session.input(&input, now()),
            Ok(Err(error)) => self.session.closed(Some(&crate::os::reason(&error)), now()),
        }
    }
}

enum Progress {
    /// All is with the kernel.
    Flushed,
    Wrote(usize),
    Read(usize),
}

/// Whichever comes first: room to write, or something to read. With no more to write the stream is flushed: a secure one takes more than it
/// has sent.
async fn exchange<S>(stream: &mut S, output: &[u8], input: &mut Vec<u8>) -> io::Result<Progress>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    poll_fn(|cx| {
        let mut writer = Pin::new(&mut *stream);
        let wrote = match output {
            [] => writer.as_mut().poll_flush(cx).map_ok(|()| Progress::Flushed),
            _ => writer.as_mut().poll_write(cx, output).map_ok(Progress::Wrote),
        };
        if wrote.is_ready() {
            return wrote;
        }
        let mut read = std::pin::pin!(read_some(stream, input));
        read.as_mut().poll(cx).map(|count| count.map(Progress::Read))
    })
    .await
}

fn now() -> std::time::Instant {
    // The runtime's clock, so that tests can pause it.
    Instant::now().into_std()
}

#[cfg(test)]
mod tests;
