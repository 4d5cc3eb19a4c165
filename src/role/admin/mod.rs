//! The administration role: who may come in, and the way from a session to the spool.
//!
//! All of it works on the files of the spool, so it needs no other role, and is as true for what E-MailRelay 2.6 or a
//! script does there. Only `forward` and `terminate` differ: in `emailrelay` they reach the process itself.

pub(in crate::role) mod actions;
pub(in crate::role) mod explain;
mod flush;
mod hub;
mod rights;
mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminConfig, MAX_NOTICES, Notice, Right, TOO_MANY_CONNECTIONS};
use crate::config::Reach;
use crate::forward::{EngineConfig, Reason};
use crate::log::{AdminEvent, Context, Event, Server};
use crate::net::ledger::{Fact, Ledger};
use crate::net::limits::ConnectionLimits;
use crate::role::serve::{Arrival, Gate, Service, not_local};
use crate::spool::Spool;

use rights::Rights;

/// Connections at the same time.
pub const MAX_CONNECTIONS: usize = 64;

/// Connections at the same time of one local user other than root.
const MAX_PER_USER: usize = 8;

/// How `forward` is carried out.
#[derive(Debug, Clone)]
pub enum Forwarding {
    /// By this process.
    Here(mpsc::Sender<Reason>),
    /// By another one, through the request file.
    Elsewhere,
}

/// What can change while the role runs.
#[derive(Debug)]
pub struct AdminSettings {
    /// Who may connect over TCP.
    pub reach: Reach,
    /// `help` is the one line of 2.6.
    pub short_help: bool,
    /// What they may do.
    pub tcp_right: Right,
    /// How everything is sent at once; none: there is no next hop.
    pub engine: Option<EngineConfig>,
}

/// What the role is connected with.
#[derive(Debug)]
pub struct Wiring {
    /// The connections of the instance.
    pub ledger: Arc<Ledger>,
    /// What it tells.
    pub facts: mpsc::Receiver<Fact>,
    /// Who forwards.
    pub forwarding: Forwarding,
    /// Cancelled by `terminate`; none: there is no such command.
    pub terminate: Option<CancellationToken>,
}

/// The administration server of one instance.
pub struct AdminRole {
    spool: Arc<Spool>,
    gate: Gate,
    config: Arc<AdminConfig>,
    rights: Rights,
    settings: RwLock<Arc<AdminSettings>>,
    ledger: Arc<Ledger>,
    forwarding: Forwarding,
    terminate: Option<CancellationToken>,
    /// Where the events come from, until they are taken up.
    facts: Mutex<Option<mpsc::Receiver<Fact>>>,
    teller: broadcast::Sender<Notice>,
    /// Connections of each local user.
    users: Mutex<HashMap<u32, usize>>,
}

impl AdminRole {
    /// A role that is not listening yet. To be made when the process is who it will be.
    #[must_use]
    pub fn new(
        spool: Arc<Spool>,
        settings: AdminSettings,
        wiring: Wiring,
        context: Context,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let limits = ConnectionLimits::new(MAX_CONNECTIONS, MAX_CONNECTIONS);
        let gate = Gate::new(Server::Admin, limits, context, stop);
        gate.keep(Arc::clone(&wiring.ledger));
        let config = AdminConfig {
            version: crate::VERSION.to_owned(),
            pid: std::process::id(),
            terminate: wiring.terminate.is_some(),
            short_help: settings.short_help,
        };
        Arc::new(Self {
            spool,
            gate,
            config: Arc::new(config),
            rights: Rights::of_this_process(),
            settings: RwLock::new(Arc::new(settings)),
            ledger: wiring.ledger,
            forwarding: wiring.forwarding,
            terminate: wiring.terminate,
            facts: Mutex::new(Some(wiring.facts)),
            teller: broadcast::channel(MAX_NOTICES).0,
            users: Mutex::default(),
        })
    }

    /// Gathers what is told to clients, until the role is stopped.
    pub async fn watch(&self) {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(facts) = facts {
            let elsewhere = matches!(self.forwarding, Forwarding::Elsewhere);
            let (spool, context) = (Arc::clone(&self.spool), self.gate.context.clone());
            let hub = hub::Hub::new(spool, context, self.teller.clone(), elsewhere);
            hub.run(facts, self.gate.stop.clone()).await;
        }
    }

    /// Connections and commands from now on follow these settings.
    pub fn reload(&self, settings: AdminSettings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// One line for people.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{} administrators, {} so far", self.gate.limits.total(), self.gate.served())
    }

    fn settings(&self) -> Arc<AdminSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service for AdminRole {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn objection(&self, ip: IpAddr) -> Option<Event> {
        match self.settings().reach {
            Reach::Everywhere => None,
            Reach::LocalNetworks => not_local(Server::Admin, ip),
            Reach::ThisHost => (!ip.is_loopback()).then(|| AdminEvent::NotLoopback { ip }.into()),
        }
    }

    fn too_many(&self) -> Vec<u8> {
        TOO_MANY_CONNECTIONS.as_bytes().to_vec()
    }

    fn session(self: Arc<Self>, arrival: Arrival) -> impl Future<Output = ()> + Send {
        session::run(self, arrival)
    }
}
