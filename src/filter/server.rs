//! Connections to the servers behind network filters, kept and used again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::Position;
use super::breaker::Breaker;
use crate::config::address::Remote;
use crate::net::connect::{self, Options};
use crate::net::stream::Stream;

/// Idle connections that are kept to one server.
const MAX_IDLE: usize = 8;

/// How long one is kept: not much longer than servers put up with.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);

/// What makes a server unusable. The texts are those that log matchers know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection.
    #[error("{0}")]
    Connect(String),
    /// It was closed before the answer was there.
    #[error("peer disconnected")]
    Disconnected,
    /// It does not answer.
    #[error("response timeout: no response after {seconds}s while connected to {address}")]
    Silent {
        /// The limit.
        seconds: u64,
        /// Who does not.
        address: String,
    },
    /// It answers without end.
    #[error("response line too long")]
    TooLong,
    /// Other nonsense, in the words of the protocol.
    #[error("{0}")]
    Protocol(String),
    /// A file of ours.
    #[error("{0}")]
    Local(String),
}

/// A server and the connections to it.
#[derive(Debug)]
pub(super) struct Server {
    address: Remote,
    limit: Option<Duration>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    breaker: Breaker,
}

/// One connection, with what was read and not yet used.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    peer: String,
    input: Vec<u8>,
    /// It has answered before: that it is dead now is no fault of the server's.
    pub(super) is_used: bool,
}

impl Server {
    pub(super) fn new(address: Remote, limit: Option<Duration>) -> Self {
        Self { address, limit, idle: Mutex::default(), breaker: Breaker::default() }
    }

    /// Its name in log lines: `HOST/PORT/ip`, or the path of the socket.
    pub(super) fn name(&self) -> String {
        match &self.address {
            Remote::Host { host, port } => format!("{host}/{port}/ip"),
            Remote::Ip(address) => format!("{}/{}/ip", address.ip(), address.port()),
            other => other.to_string(),
        }
    }

    /// Whether to tell of this trouble.
    pub(super) fn is_news(&self, position: Position, trouble: &str) -> bool {
        self.breaker.is_news(position, trouble, Instant::now())
    }

    /// The time at which an exchange that begins now is too late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.limit.and_then(|limit| Instant::now().checked_add(limit))
    }

    /// An idle connection, or a new one.
    pub(super) async fn connection(&self) -> Result<Connection, Fault> {
        match self.take_idle() {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    pub(super) async fn connect(&self) -> Result<Connection, Fault> {
        if let Some(reason) = self.breaker.objection(Instant::now()) {
            return Err(Fault::Connect(reason));
        }
        let options = Options { timeout: self.limit, ..Options::default() };
        match connect::connect(&self.address, &options, &mut |_| {}).await {
            Ok((stream, peer)) => {
                self.breaker.reached();
                Ok(Connection { stream, peer: peer.to_string(), input: Vec::new(), is_used: false })
            }
            Err(error) => {
                let reason = error.to_string();
                self.breaker.failed(&reason, Instant::now());
                Err(Fault::Connect(reason))
            }
        }
    }

    /// Keeps a connection on which nothing is under way for the next message.
    pub(super) fn keep(&self, mut connection: Connection) {
        connection.is_used = true;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        idle.retain(|(_, since)| now.duration_since(*since) < MAX_IDLE_TIME);
        if idle.len() < MAX_IDLE {
            idle.push((connection, now));
        }
    }

    /// What makes an answer in time of `work`, on a connection to `peer`.
    pub(super) async fn within<T>(
        &self,
        deadline: Option<Instant>,
        peer: &str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let Some(deadline) = deadline else { return work.await };
        let seconds = self.limit.unwrap_or_default().as_secs();
        let silent = || Fault::Silent { seconds, address: peer.to_owned() };
        timeout_at(deadline, work).await.unwrap_or_else(|_| Err(silent()))
    }

    /// The one used last: the others may grow old.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, since) = idle.pop()?;
        (since.elapsed() < MAX_IDLE_TIME).then_some(connection)
    }
}

impl Connection {
    /// The other end, for messages.
    pub(super) fn peer(&self) -> String {
        self.peer.clone()
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let work = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        work.await.map_err(|_: std::io::Error| Fault::Disconnected)
    }

    /// Forgets what has come in without being asked for; false if the other end has closed.
    pub(super) fn forget_input(&mut self) -> bool {
        self.input.clear();
        let mut stale = [0; 1024];
        loop {
            match now_or_never(self.stream.read(&mut stale)) {
                None => return true,
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) => return false,
            }
        }
    }

    /// One line without its end and carriage returns before it.
    pub(super) async fn line(&mut self, longest: usize) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                while line.last() == Some(&b'\r') {
                    line.pop();
                }
                return if line.len() > longest { Err(Fault::TooLong) } else { Ok(line) };
            }
            if self.input.len() > longest {
                return Err(Fault::TooLong);
            }
            self.more().await?;
        }
    }

    /// Whatever comes next, at most `limit` bytes.
    pub(super) async fn some(&mut self, limit: usize) -> Result<Vec<u8>, Fault> {
        if self.input.is_empty() {
            self.more().await?;
        }
        let count = self.input.len().min(limit);
        Ok(self.input.drain(..count).collect())
    }

    /// Nothing has come that was not used.
    pub(super) fn is_drained(&self) -> bool {
        self.input.is_empty()
    }

    /// Some of an answer has come.
    async fn more(&mut self) -> Result<(), Fault> {
        match self.stream.read_buf(&mut self.input).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Fault::Disconnected),
        }
    }
}

fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
