//! What every server role does around its sessions: accepting, judging and counting clients, following the addresses of
//! interfaces, ending when idle, and stopping in good order.
//!
//! A role implements [`Service`] and keeps a [`Gate`]; [`run`] does the rest.

mod accept;
mod follow;
mod idle;
mod seldom;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::network;
use crate::log::{self, Context, Event, ProcessEvent, Server, ServerEvent};
use crate::net::address::Endpoint;
use crate::net::ledger::Ledger;
use crate::net::limits::{Admission, ConnectionLimits};
use crate::net::listener::Listener;
use crate::net::stream::Stream;

pub use follow::Named;
pub(crate) use seldom::Seldom;

/// How often a client over a connection limit is reported.
const REPORT_CROWD: Duration = Duration::from_secs(60);

/// The part of the stop timeout that clients may take who came in the moment of an idle exit.
const DRAIN_SHARE: u32 = 4;

/// A client that may come in.
pub struct Arrival {
    /// The connection.
    pub stream: Stream,
    /// The other end.
    pub peer: Endpoint,
    /// Where log lines about the client belong.
    pub context: Context,
    /// Its place; given back on drop.
    pub admission: Admission,
    /// It begins with a TLS handshake.
    pub implicit_tls: bool,
}

/// A server role, as the code around its sessions sees it.
pub trait Service: Send + Sync + 'static {
    /// The role's counts and switches.
    fn gate(&self) -> &Gate;

    /// Why clients with this address are not served: the warning that says so; none if they are.
    fn objection(&self, ip: IpAddr) -> Option<Event>;

    /// Whether clients begin with a TLS handshake, whatever the socket.
    fn implicit_tls(&self) -> bool {
        false
    }

    /// The reply to a client over a connection limit.
    fn too_many(&self) -> Vec<u8>;

    /// Serves one client to its end.
    fn session(self: Arc<Self>, arrival: Arrival) -> impl Future<Output = ()> + Send;
}

/// The objection to a client that is not local.
#[must_use]
pub fn not_local(server: Server, ip: IpAddr) -> Option<Event> {
    (!network::is_local(ip)).then(|| ServerEvent::NotLocal { server, ip }.into())
}

/// What every server role counts, and what stops it.
#[derive(Debug)]
pub struct Gate {
    /// Which server it is.
    pub server: Server,
    /// Connections, counted and limited.
    pub limits: Arc<ConnectionLimits>,
    /// Where the log lines belong.
    pub context: Context,
    /// Cancelled when the role stops taking connections and messages.
    pub stop: CancellationToken,
    /// Cancelled when sessions that have not ended by then are cut off.
    pub kill: CancellationToken,
    /// The sessions, and work of theirs that may outlive them.
    pub sessions: TaskTracker,
    /// Clients over a connection limit.
    crowd: Seldom,
    served: AtomicU64,
    ledger: OnceLock<Arc<Ledger>>,
}

impl Gate {
    /// A gate that nobody has come through.
    #[must_use]
    pub fn new(
        server: Server,
        limits: Arc<ConnectionLimits>,
        context: Context,
        stop: CancellationToken,
    ) -> Self {
        Self {
            server,
            limits,
            context,
            stop,
            kill: CancellationToken::new(),
            sessions: TaskTracker::new(),
            crowd: Seldom::new(REPORT_CROWD),
            served: AtomicU64::new(0),
            ledger: OnceLock::new(),
        }
    }

    /// Sockets and connections are written down from now on.
    pub fn keep(&self, ledger: Arc<Ledger>) {
        let _ = self.ledger.set(ledger);
    }

    /// Where they are written down, if they are.
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.ledger.get()
    }

    /// Whether there are no connections, and nothing is done that one of them has left: its client need not wait for a filter, or for
    /// a next hop.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.limits.total() == 0 && self.sessions.is_empty()
    }

    /// Sessions that have ended so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// A session has ended.
    pub fn session_ended(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    fn peer_context(&self, peer: &Endpoint) -> Context {
        self.context.with_peer(&peer.host(), peer.port())
    }
}

/// Serves on `listeners`, and on the addresses that the `named` interfaces will have, until the role is stopped, or until it
/// has been idle for `idle_exit`; then lets the sessions end.
///
/// What a session does at a stop is its own matter; it is cut off `stop_timeout` later.
pub async fn run<S: Service>(
    service: &Arc<S>,
    listeners: Vec<Listener>,
    named: Vec<Named>,
    idle_exit: Option<Duration>,
    stop_timeout: Duration,
) {
    let gate = service.gate();
    let listeners: Vec<Arc<Listener>> = listeners.into_iter().map(Arc::new).collect();
    let written = gate.ledger.get().map(|ledger| {
        listeners.iter().map(|listener| ledger.listening(listener.local())).collect::<Vec<_>>()
    });
    let loops = TaskTracker::new();
    let accepting = gate.stop.child_token();
    let mut switches = HashMap::new();
    for listener in &listeners {
        let switch = accepting.child_token();
        loops.spawn(accept::run(Arc::clone(service), Arc::clone(listener), switch.clone()));
        if let Endpoint::Ip(address) = listener.local() {
            switches.insert(*address, switch);
        }
    }
    loops.spawn(follow::run(Arc::clone(service), named, switches, loops.clone(), accepting.clone()));
    loops.close();
    tokio::select! {
        () = gate.stop.cancelled() => {}
        () = idle::watch(gate, idle_exit) => {
            // No loop may take a connection behind the drain's back and then turn it away.
            accepting.cancel();
            loops.wait().await;
            // What is left of the service manager's patience is for messages in transfer.
            let _ = timeout(stop_timeout / DRAIN_SHARE, idle::drain(service, &listeners)).await;
        }
    }
    gate.stop.cancel();
    loops.wait().await;
    drop((listeners, written));
    gate.sessions.close();
    if timeout(stop_timeout, gate.sessions.wait()).await.is_err() {
        log::emit(&gate.context, &ProcessEvent::StopForced { sessions: gate.sessions.len() }.into());
        gate.kill.cancel();
        gate.sessions.wait().await;
    }
}

/// Reports a panic of a session: the message that goes to standard error is lost in a daemon.
pub(crate) struct Alarm<'a> {
    /// Where the session's log lines belong.
    pub(crate) context: &'a Context,
    /// Whose session it is.
    pub(crate) server: Server,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = format!("{} session ended by a panic", self.server);
            log::emit(self.context, &ProcessEvent::Bug { text }.into());
        }
    }
}
