//! Sending messages on for clients that wait for the outcome (`--immediate`).
//!
//! Each client has a [`Line`] of its own: a task with one connection to a next hop, made for its first message and kept for those that
//! follow. The message is in the spool, durable and locked, while it is on its way. One party owns it: when the client is told
//! that it is taken, whatever is left to do is ours; when it is told anything else, nothing stays here that would be sent. A client that
//! goes away without an answer aborts nothing, and its message becomes one like any other in the spool.
//!
//! Lines share one limit on connections. Those to one destination that are being made have half of it at most. One that is kept for a silent client is given up when somebody waits for its place.

mod attempt;
mod filters;
mod line;
mod ways;

use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::forward::answer::{self, Answer};
use crate::forward::engine::lock;
use crate::forward::{Engine, EngineConfig};
use crate::net::limits::Seat;
use crate::spool::{LockedMessage, Spool};
use ways::Ways;

/// What becomes of a message that its client was told is not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Refused {
    /// It is removed: it is the client's again.
    #[default]
    Removed,
    /// It is set aside as `.bad`, for people to look at.
    Kept,
}

/// What sending at once has to know.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// As for other forwarding.
    pub engine: EngineConfig,
    /// What becomes of refused messages.
    pub refused: Refused,
}

/// What the lines of one instance share.
pub struct Proxy {
    engine: Arc<Engine>,
    ways: Ways,
    refused: Mutex<Refused>,
    tasks: TaskTracker,
    /// Called when a message stays in the spool for another attempt.
    left: Box<dyn Fn() + Send + Sync>,
}

impl Proxy {
    /// Lines run as `tasks`. After `stop` no connection is kept; `cut` breaks off what has not ended by then. `left` is called, often and
    /// from any thread, when a message stays in the spool that somebody has to send later.
    pub fn new(
        spool: Arc<Spool>,
        config: ProxyConfig,
        tasks: TaskTracker,
        stop: CancellationToken,
        cut: CancellationToken,
        left: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        let refused = Mutex::new(config.refused);
        let engine = Engine::cut_by(spool, config.engine, stop, cut);
        Arc::new(Self { engine, ways: Ways::default(), refused, tasks, left })
    }

    /// Connections and messages from now on follow this; connections that exist stay.
    pub fn reload(&self, config: ProxyConfig) {
        *lock(&self.refused) = config.refused;
        self.engine.reload(config.engine);
    }

    fn refused(&self) -> Refused {
        *lock(&self.refused)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// A message and who waits for its answer.
struct Letter {
    message: LockedMessage,
    client: Arc<Seat>,
    told: oneshot::Sender<Answer>,
}

/// The way out of one client's messages. Dropped, it lets its connection go when the message in hand is through.
#[derive(Debug)]
pub struct Line {
    proxy: Arc<Proxy>,
    letters: Option<mpsc::Sender<Letter>>,
}

impl Line {
    /// A line that has not been used.
    #[must_use]
    pub fn new(proxy: &Arc<Proxy>) -> Self {
        Self { proxy: Arc::clone(proxy), letters: None }
    }

    /// Sends a message and tells what its client is to be told. Dropping this future aborts nothing.
    pub async fn send(&mut self, message: LockedMessage, client: Arc<Seat>) -> Answer {
        let (told, answer) = oneshot::channel();
        let letters = self.letters.get_or_insert_with(|| line::start(&self.proxy));
        let sent = letters.send(Letter { message, client, told }).await;
        let lost = match sent {
            Ok(()) => answer.await,
            // The task has ended by a bug.
            Err(_) => {
                self.letters = None;
                return self.lost();
            }
        };
        lost.unwrap_or_else(|_| self.lost())
    }

    /// The answer to a message that a task had which has ended by a bug. The runtime has reported it, and the message, unless it was dealt
    /// with, was put back by its guard.
    fn lost(&self) -> Answer {
        (self.proxy.left)();
        answer::FAILED.into()
    }
}

#[cfg(test)]
mod tests;
