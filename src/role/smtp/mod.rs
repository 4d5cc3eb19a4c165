//! The SMTP server role: sessions, and the way from a session to the spool.

mod events;
mod filtering;
mod screen;
mod secure;
mod session;
mod storing;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::dns::dnsbl::Dnsbl;
use crate::filter::Chain;
use crate::forward::proxy::{Proxy, ProxyConfig};
use crate::log::{Context, Event, Server};
use crate::net::limits::ConnectionLimits;
use crate::role::login::Logins;
use crate::role::serve::{Arrival, Gate, Seldom, Service, not_local};
use crate::smtp::reply;
use crate::smtp::server::ServerConfig;
use crate::spool::Spool;
use crate::tls::Acceptor;
use crate::verify::Verifier;

/// How often a client is reported that leaves out angle brackets: it does so in every message.
const REPORT_SYNTAX: Duration = Duration::from_secs(3600);

/// What can change while the role runs (on reload). A session keeps what it started with.
#[derive(Debug)]
pub struct SmtpSettings {
    /// The session's side.
    pub session: Arc<ServerConfig>,
    /// The same for programs of this machine that hand messages over.
    pub handover: Arc<ServerConfig>,
    /// Connections from other than local networks are accepted.
    pub remote_clients: bool,
    /// Who may log in; none: nobody needs to.
    pub logins: Option<Arc<Logins>>,
    /// What each message passes before it is acknowledged.
    pub filters: Option<Arc<Chain>>,
    /// How messages are sent on before they are acknowledged; none: they are not.
    pub immediate: Option<ProxyConfig>,
    /// Connections are closed with a reset (`nolinger`).
    pub reset_on_close: bool,
    /// Decides about the addresses of recipients.
    pub verifier: Arc<Verifier>,
    /// Makes connections secure.
    pub tls: Option<Arc<Acceptor>>,
    /// All connections begin with a TLS handshake.
    pub implicit_tls: bool,
    /// Block lists that are asked about a client before it is greeted, or at its first MAIL.
    pub dnsbl: Option<Arc<Dnsbl>>,
    /// A client that they have is told so.
    pub dnsbl_reply: bool,
    /// They are asked at MAIL, and only about a client that has not logged in.
    pub dnsbl_defer: bool,
}

/// What the rest of the process wants to hear of. All are called often and must not block.
pub trait Listeners: Send + Sync {
    /// A message is in the spool.
    fn message_stored(&self);
    /// A filter wants messages forwarded now.
    fn rescan(&self);
    /// A message that was to be sent on at once stays in the spool, and its client does not send it again.
    fn message_left(&self);
    /// A client has gone, whether or not it left a message.
    fn session_ended(&self);
}

/// The SMTP server of one instance.
pub struct SmtpRole {
    pub(super) spool: Arc<Spool>,
    gate: Gate,
    /// Clients that leave out angle brackets.
    syntax: Seldom,
    settings: RwLock<Arc<SmtpSettings>>,
    listeners: Arc<dyn Listeners>,
    stored: AtomicU64,
    /// Sends messages on while their clients wait.
    proxy: Option<Arc<Proxy>>,
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
        let gate = Gate::new(Server::Smtp, limits, context, stop);
        let proxy = settings.immediate.clone().map(|config| {
            let (tasks, stop, cut) = (gate.sessions.clone(), gate.stop.clone(), gate.kill.clone());
            let hears = Arc::clone(&listeners);
            Proxy::new(Arc::clone(&spool), config, tasks, stop, cut, Box::new(move || hears.message_left()))
        });
        Arc::new(Self {
            spool,
            gate,
            syntax: Seldom::new(REPORT_SYNTAX),
            settings: RwLock::new(Arc::new(settings)),
            listeners,
            stored: AtomicU64::new(0),
            proxy,
        })
    }

    /// Sessions from now on run with these settings.
    pub fn reload(&self, settings: SmtpSettings) {
        if let (Some(proxy), Some(config)) = (&self.proxy, &settings.immediate) {
            proxy.reload(config.clone());
        }
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// One line for people: connections and messages.
    #[must_use]
    pub fn status(&self) -> String {
        format!(
            "{} connections, {} messages stored from {} sessions",
            self.gate.limits.total(),
            self.stored.load(Ordering::Relaxed),
            self.gate.served()
        )
    }

    fn settings(&self) -> Arc<SmtpSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn message_stored(&self) {
        self.count_stored();
        self.listeners.message_stored();
    }

    /// The message is dealt with here.
    fn count_stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    fn message_left(&self) {
        self.listeners.message_left();
    }

    fn session_ended(&self) {
        self.gate.session_ended();
        self.listeners.session_ended();
    }
}

impl Service for SmtpRole {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn objection(&self, ip: IpAddr) -> Option<Event> {
        if self.settings().remote_clients { None } else { not_local(Server::Smtp, ip) }
    }

    fn implicit_tls(&self) -> bool {
        self.settings().implicit_tls
    }

    fn too_many(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        reply::TOO_MANY_CONNECTIONS.write_to(&mut bytes);
        bytes
    }

    fn session(self: Arc<Self>, arrival: Arrival) -> impl Future<Output = ()> + Send {
        session::run(self, arrival)
    }
}
