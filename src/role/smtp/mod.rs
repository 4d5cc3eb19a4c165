//! The SMTP server role: listeners, sessions, and the way from a session to the spool.

mod accept;
mod events;
mod follow;
mod idle;
mod seldom;
mod session;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::log::Context;
use crate::net::address::Endpoint;
use crate::net::limits::ConnectionLimits;
use crate::net::listener::Listener;
use crate::smtp::server::ServerConfig;
use crate::spool::Spool;

pub use follow::Named;
use seldom::Seldom;

/// How often a client over a connection limit is reported.
const REPORT_CROWD: Duration = Duration::from_secs(60);

/// How often a client is reported that leaves out angle brackets: it does so in every message.
const REPORT_SYNTAX: Duration = Duration::from_secs(3600);

/// The part of the stop timeout that clients may take who came in the moment of an idle exit.
const DRAIN_SHARE: u32 = 4;

/// What can change while the role runs (on reload). A session keeps what it started with.
#[derive(Debug)]
pub struct SmtpSettings {
    /// The session's side.
    pub session: Arc<ServerConfig>,
    /// Connections from other than local networks are accepted.
    pub remote_clients: bool,
    /// Connections are closed with a reset (`nolinger`).
    pub reset_on_close: bool,
}

/// What the rest of the process wants to hear of. Both are called often and must not block.
pub trait Listeners: Send + Sync {
    /// A message is in the spool.
    fn message_stored(&self);
    /// A client has gone, whether or not it left a message.
    fn session_ended(&self);
}

/// The SMTP server of one instance.
pub struct SmtpRole {
    pub(super) spool: Arc<Spool>,
    pub(super) limits: Arc<ConnectionLimits>,
    pub(super) context: Context,
    /// Cancelled when the role stops taking connections and messages.
    pub(super) stop: CancellationToken,
    /// Cancelled when sessions that have not ended by then are cut off.
    pub(super) kill: CancellationToken,
    pub(super) sessions: TaskTracker,
    /// Clients over a connection limit.
    crowd: Seldom,
    /// Clients that leave out angle brackets.
    syntax: Seldom,
    settings: RwLock<Arc<SmtpSettings>>,
    listeners: Arc<dyn Listeners>,
    stored: AtomicU64,
    served: AtomicU64,
}

impl SmtpRole {
    /// A role that is not listening yet.
    #[must_use]
    pub fn new(
        spool: Arc<Spool>,
        settings: SmtpSettings,
        limits: Arc<ConnectionLimits>,
        context: Context,
        listeners: Arc<dyn Listeners>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            spool,
            limits,
            context,
            stop,
            kill: CancellationToken::new(),
            sessions: TaskTracker::new(),
            crowd: Seldom::new(REPORT_CROWD),
            syntax: Seldom::new(REPORT_SYNTAX),
            settings: RwLock::new(Arc::new(settings)),
            listeners,
            stored: AtomicU64::new(0),
            served: AtomicU64::new(0),
        })
    }

    /// Sessions from now on run with these settings.
    pub fn reload(&self, settings: SmtpSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Serves on `listeners`, and on the addresses that the `named` interfaces will have, until the role is stopped, or until it has been idle for `idle_exit`; then lets the sessions end.
    ///
    /// A session between messages ends at once with 421; one in the middle of a message may finish it within `stop_timeout`.
    pub async fn run(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        named: Vec<Named>,
        idle_exit: Option<Duration>,
        stop_timeout: Duration,
    ) {
        let listeners: Vec<Arc<Listener>> = listeners.into_iter().map(Arc::new).collect();
        let loops = TaskTracker::new();
        let accepting = self.stop.child_token();
        let mut switches = HashMap::new();
        for listener in &listeners {
            let switch = accepting.child_token();
            loops.spawn(accept::run(Arc::clone(self), Arc::clone(listener), switch.clone()));
            if let Endpoint::Ip(address) = listener.local() {
                switches.insert(*address, switch);
            }
        }
        loops.spawn(follow::run(Arc::clone(self), named, switches, loops.clone(), accepting.clone()));
        loops.close();
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = idle::watch(self, idle_exit) => {
                // No loop may take a connection behind the drain's back and then greet it with 421.
                accepting.cancel();
                loops.wait().await;
                // What is left of the service manager's patience is for messages in transfer.
                let _ = timeout(stop_timeout / DRAIN_SHARE, idle::drain(self, &listeners)).await;
            }
        }
        self.stop.cancel();
        loops.wait().await;
        drop(listeners);
        self.sessions.close();
        if timeout(stop_timeout, self.sessions.wait()).await.is_err() {
            self.kill.cancel();
            self.sessions.wait().await;
        }
    }

    /// One line for people: connections and messages.
    #[must_use]
    pub fn status(&self) -> String {
        format!(
            "{} connections, {} messages stored from {} sessions",
            self.limits.total(),
            self.stored.load(Ordering::Relaxed),
            self.served.load(Ordering::Relaxed)
        )
    }

    /// Sessions that have begun so far.
    fn sessions_so_far(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn settings(&self) -> Arc<SmtpSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn peer_context(&self, peer: &Endpoint) -> Context {
        self.context.with_peer(&peer.host(), peer.port())
    }

    fn message_stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
        self.listeners.message_stored();
    }

    fn session_ended(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.listeners.session_ended();
    }
}
