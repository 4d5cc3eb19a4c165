//! The POP3 server role: sessions, and the way from a session to accounts and mailboxes.

mod ahead;
mod content;
mod events;
mod guard;
mod secure;
mod session;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log::{Context, Event, PopEvent, Server};
use crate::net::limits::ConnectionLimits;
use crate::pop::{PopConfig, reply};
use crate::role::login::Logins;
use crate::role::serve::{Arrival, Gate, Service, not_local};
use crate::spool::Spool;
use crate::tls::Acceptor;

use guard::Guard;

/// What can change while the role runs (on reload). A session keeps what it started with.
#[derive(Debug)]
pub struct PopSettings {
    /// The session's side.
    pub session: Arc<PopConfig>,
    /// Connections from other than local networks are accepted.
    pub remote_clients: bool,
    /// Who may log in.
    pub logins: Arc<Logins>,
    /// Makes connections secure; none: they stay in clear.
    pub tls: Option<Arc<Acceptor>>,
    /// Clients begin with a TLS handshake, whatever the socket.
    pub implicit_tls: bool,
    /// Each user has a sub-directory.
    pub by_name: bool,
    /// What clients delete stays.
    pub no_delete: bool,
    /// How long the reply to the first failed login of an address waits; zero: guessing is not slowed down.
    pub auth_delay: Duration,
}

/// The POP server of one instance.
pub struct PopRole {
    spool: Arc<Spool>,
    gate: Gate,
    guard: Guard,
    settings: RwLock<Arc<PopSettings>>,
    retrieved: AtomicUsize,
    deleted: AtomicUsize,
}

impl PopRole {
    /// A role that is not listening yet.
    #[must_use]
    pub fn new(
        spool: Arc<Spool>,
        settings: PopSettings,
        limits: Arc<ConnectionLimits>,
        context: Context,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            spool,
            gate: Gate::new(Server::Pop, limits, context, stop),
            guard: Guard::default(),
            settings: RwLock::new(Arc::new(settings)),
            retrieved: AtomicUsize::new(0),
            deleted: AtomicUsize::new(0),
        })
    }

    /// Sessions from now on run with these settings.
    pub fn reload(&self, settings: PopSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Who may log in.
    #[must_use]
    pub fn logins(&self) -> Arc<Logins> {
        Arc::clone(&self.settings().logins)
    }

    /// One line for people: connections and messages.
    #[must_use]
    pub fn status(&self) -> String {
        format!(
            "{} pop connections, {} messages retrieved and {} deleted in {} sessions",
            self.gate.limits.total(),
            self.retrieved.load(Ordering::Relaxed),
            self.deleted.load(Ordering::Relaxed),
            self.gate.served()
        )
    }

    fn settings(&self) -> Arc<PopSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service for PopRole {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn implicit_tls(&self) -> bool {
        self.settings().implicit_tls
    }

    fn objection(&self, ip: IpAddr) -> Option<Event> {
        if !self.settings().remote_clients
            && let Some(objection) = not_local(Server::Pop, ip)
        {
            return Some(objection);
        }
        let blocked = self.guard.blocks(ip, Instant::now().into_std());
        blocked.then(|| PopEvent::Blocked { address: ip.to_string() }.into())
    }

    fn too_many(&self) -> Vec<u8> {
        format!("{}\r\n", reply::TOO_MANY_CONNECTIONS).into_bytes()
    }

    fn session(self: Arc<Self>, arrival: Arrival) -> impl Future<Output = ()> + Send {
        session::run(self, arrival)
    }
}
