//! What the engine has to know.

use std::sync::Arc;
use std::time::Duration;

use crate::config::address::Remote;
use crate::config::tls::TlsStart;
use crate::filter::Chain;
use crate::forward::account::Accounts;
use crate::forward::backoff::Schedule;
use crate::forward::outcome::Policy;
use crate::log::Context;
use crate::net::connect;
use crate::net::ledger::Ledger;
use crate::smtp::client::ClientConfig;
use crate::tls::Connector;

/// Which messages a run is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// Those that are due. The run answers the request file.
    #[default]
    Due,
    /// All that wait, whatever their time. The request file is left to whoever makes ordinary runs.
    Everything,
}

/// What the engine has to know.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The next hop for messages whose envelope names none.
    pub next_hop: Remote,
    /// The SMTP side.
    pub client: ClientConfig,
    /// How connections are made.
    pub connect: connect::Options,
    /// Our accounts at next hops; none: we log in nowhere.
    pub accounts: Option<Arc<Accounts>>,
    /// How connections are made secure; none: they are not.
    pub tls: Option<Secure>,
    /// Connections to one destination.
    pub per_destination: usize,
    /// Connections in all.
    pub total: usize,
    /// When a temporary failure is tried again, and when it is given up.
    pub schedule: Schedule,
    /// How replies are judged.
    pub policy: Policy,
    /// What each message passes before it is sent.
    pub filters: Option<Arc<Chain>>,
    /// How long an idle connection is kept for messages that follow.
    pub keep: Duration,
    /// Age from which a `.busy` file that nobody locks is taken back.
    pub busy_age: Duration,
    /// Which messages the runs are about.
    pub scope: Scope,
    /// Destinations in trouble are noted in the spool directory, for the process that comes after this one.
    pub remembers: bool,
    /// Where connections are written down, for administration.
    pub ledger: Option<Arc<Ledger>>,
    /// Where the log lines belong.
    pub context: Context,
}

/// TLS towards next hops.
#[derive(Debug, Clone)]
pub struct Secure {
    /// Makes connections secure.
    pub connector: Arc<Connector>,
    /// When; by command also the session has to know of it.
    pub start: TlsStart,
}

#[cfg(test)]
impl EngineConfig {
    /// For engines of tests that connect to nobody.
    pub(crate) fn example() -> Self {
        Self {
            next_hop: Remote::Ip("192.0.2.1:25".parse().unwrap()),
            client: ClientConfig::default(),
            connect: connect::Options::default(),
            per_destination: 4,
            total: 16,
            schedule: Schedule::default(),
            policy: Policy::default(),
            keep: Duration::ZERO,
            busy_age: Duration::ZERO,
            accounts: None,
            tls: None,
            filters: None,
            scope: Scope::Due,
            remembers: false,
            ledger: None,
            context: Context::default(),
        }
    }
}
