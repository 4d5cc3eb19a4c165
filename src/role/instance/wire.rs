//! How the roles of an instance are wired: what each one is given, and who hears of what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::dns;
use crate::filter::Chain;
use crate::forward::{Engine, Reason, account};
use crate::log::{self, Context, StartEvent};
use crate::net::ledger::{Fact, Ledger};
use crate::net::limits::ConnectionLimits;
use crate::role::admin::{AdminRole, Forwarding, Wiring};
use crate::role::doorbell::Doorbell;
use crate::role::instance::Forwards;
use crate::role::instance::announce::{look_at_mailboxes, program_warning};
use crate::role::instance::handle::Handle;
use crate::role::login::{Accounts, Logins, Source};
use crate::role::pop::PopRole;
use crate::role::serve::Service as _;
use crate::role::settings::{self, NextHop};
use crate::role::smtp::{Listeners, SmtpRole, SmtpSettings};
use crate::role::tls::Tls;
use crate::spool::Spool;

/// Forwards in this process.
struct Asks {
    queue: mpsc::Sender<Reason>,
    /// When a client has gone (`--forward-on-disconnect`).
    on_disconnect: bool,
    /// What has failed is tried again by itself.
    retries: bool,
}

impl Listeners for Asks {
    fn message_stored(&self) {}

    fn rescan(&self) {
        // A full queue means that a run is coming anyway.
        let _ = self.queue.try_send(Reason::Rescan);
    }

    fn message_left(&self) {
        if self.retries {
            let _ = self.queue.try_send(Reason::Retry);
        }
    }

    fn session_ended(&self) {
        if self.on_disconnect {
            let _ = self.queue.try_send(Reason::Disconnect);
        }
    }
}

/// Nobody wants to hear of messages: they are stored until something else forwards them.
struct Quiet;

impl Listeners for Quiet {
    fn message_stored(&self) {}
    fn rescan(&self) {}
    fn message_left(&self) {}
    fn session_ended(&self) {}
}

/// What the process has for its instances.
pub(super) struct Wires<'a> {
    /// How long idle connections to a next hop are kept.
    pub(super) keep: Duration,
    /// How many files the process may have open.
    pub(super) descriptors: u64,
    /// Who sends what is stored.
    pub(super) forwards: Forwards,
    /// Cancelled when the process is to end.
    pub(super) stop: &'a CancellationToken,
    /// Asks for forwarding in this process.
    pub(super) ask: mpsc::Sender<Reason>,
}

impl Wires<'_> {
    /// Makes the roles.
    ///
    /// # Errors
    /// If the spool cannot be used, or something is configured that the process cannot do.
    pub(super) fn connect(
        self,
        settings: Settings,
        accounts: Accounts,
        tls: Tls,
        doorbell: Option<&Arc<Doorbell>>,
    ) -> anyhow::Result<Handle> {
        let context = Context::unit(&settings.name);
        if self.forwards == Forwards::Elsewhere && settings.smtp.enabled {
            needs_network(&settings)?;
        }
        let spool = open_spool(&settings, &context)?;
        let filters = settings::filter_tools(&settings, &spool);
        let chains = settings::filters(&settings, &filters)?;
        let Accounts { client, server, pop } = accounts;
        let ours = client.map(|source| {
            account::Accounts::new(source, settings.forward.auth_policy.clone(), context.clone())
        });
        let (ledger, facts) = settings.admin.enabled.then(Ledger::new).unzip();
        let mut parts = Handle {
            context,
            keep: self.keep,
            spool,
            filters,
            smtp: None,
            pop: None,
            admin: None,
            tls,
            engine: None,
            logins: None,
            ours,
            ledger,
            settings,
        };
        let next_hop = parts.next_hop(chains.client);
        parts.engine = self.engine(&parts, &next_hop);
        parts.admin = facts.and_then(|facts| self.admin(&parts, &next_hop, facts));
        parts.logins = server.map(|source| logins(&parts, source));
        parts.smtp = self.smtp(&parts, &next_hop, chains.server, doorbell)?;
        parts.pop = self.pop(&parts, pop);
        Ok(parts)
    }

    /// The administration program sends only when it is asked to, the SMTP server only what its clients wait for.
    fn engine(&self, parts: &Handle, next_hop: &NextHop) -> Option<Arc<Engine>> {
        let settings = &parts.settings;
        if self.forwards == Forwards::Elsewhere && (settings.admin.enabled || settings.smtp.enabled) {
            return None;
        }
        let config = settings::engine(settings, next_hop, parts.ledger.clone(), parts.context.clone())?;
        Some(Engine::new(Arc::clone(&parts.spool), config, self.stop.child_token()))
    }

    fn admin(
        &self,
        parts: &Handle,
        next_hop: &NextHop,
        facts: mpsc::Receiver<Fact>,
    ) -> Option<Arc<AdminRole>> {
        let ledger = Arc::clone(parts.ledger.as_ref()?);
        let config = settings::admin(&parts.settings, next_hop, &ledger, parts.context.clone());
        let forwarding = match self.forwards {
            Forwards::Here => Forwarding::Here(self.ask.clone()),
            Forwards::Elsewhere => Forwarding::Elsewhere,
        };
        let terminate = parts.settings.admin.terminate.then(|| self.stop.clone());
        let wiring = Wiring { ledger, facts, forwarding, terminate };
        let (spool, context) = (Arc::clone(&parts.spool), parts.context.clone());
        Some(AdminRole::new(spool, config, wiring, context, self.stop.child_token()))
    }

    fn smtp(
        &self,
        parts: &Handle,
        next_hop: &NextHop,
        filters: Option<Arc<Chain>>,
        doorbell: Option<&Arc<Doorbell>>,
    ) -> anyhow::Result<Option<Arc<SmtpRole>>> {
        let (settings, context) = (&parts.settings, parts.context.clone());
        if !settings.smtp.enabled {
            return Ok(None);
        }
        if let Some(text) = program_warning(settings.smtp.verifier.program(), "verifier") {
            log::emit(&context, &StartEvent::Configuration { text }.into());
        }
        let (total, per_address) = settings::limits(settings, self.descriptors);
        let limits = ConnectionLimits::new(total, per_address);
        let immediate = settings::immediate(settings, next_hop, parts.ledger.clone(), context.clone())?;
        let config = settings::smtp(settings, parts.logins.clone(), parts.tls.acceptor.clone(), filters)
            .context("cannot start verifiers")?;
        let config = SmtpSettings { immediate, ..config };
        let (hears, stop) = (self.listeners(parts, doorbell), self.stop.child_token());
        let smtp = SmtpRole::new(Arc::clone(&parts.spool), config, limits, context, hears, stop);
        if let Some(ledger) = &parts.ledger {
            smtp.gate().keep(Arc::clone(ledger));
        }
        Ok(Some(smtp))
    }

    /// Who hears of messages.
    fn listeners(&self, parts: &Handle, doorbell: Option<&Arc<Doorbell>>) -> Arc<dyn Listeners> {
        match (doorbell, &parts.engine) {
            (Some(doorbell), _) => Arc::clone(doorbell) as Arc<dyn Listeners>,
            (None, Some(_)) => Arc::new(Asks {
                queue: self.ask.clone(),
                on_disconnect: parts.settings.forward.on_disconnect,
                retries: retries(&parts.settings),
            }),
            (None, None) => Arc::new(Quiet),
        }
    }

    fn pop(&self, parts: &Handle, accounts: Option<Source>) -> Option<Arc<PopRole>> {
        let (settings, context) = (&parts.settings, parts.context.clone());
        let source = accounts.filter(|_| settings.pop.enabled)?;
        if settings.pop.by_name {
            look_at_mailboxes(&parts.spool, &context);
        }
        let (policy, domain) = (settings.auth_policy.clone(), settings::domain(settings));
        // Addresses that fail too often are the role's own matter.
        let logins = Logins::new(source, policy, domain, context.clone(), false);
        let (total, per_address) = settings::pop_limits(settings);
        let limits = ConnectionLimits::new(total, per_address);
        let config = settings::pop(settings, logins, parts.tls.acceptor.clone());
        let pop = PopRole::new(Arc::clone(&parts.spool), config, limits, context, self.stop.child_token());
        if let Some(ledger) = &parts.ledger {
            pop.gate().keep(Arc::clone(ledger));
        }
        Some(pop)
    }
}

fn open_spool(settings: &Settings, context: &Context) -> anyhow::Result<Arc<Spool>> {
    let spool = Spool::open(&settings.spool_dir, settings::spool(settings))?;
    if !spool.writable() {
        let path = settings.spool_dir.display().to_string();
        log::emit(context, &StartEvent::DirectoryNotWritable { path }.into());
    }
    Ok(spool)
}

/// Who may log in at the SMTP server.
fn logins(parts: &Handle, source: Source) -> Arc<Logins> {
    let settings = &parts.settings;
    let (policy, domain) = (settings.auth_policy.clone(), settings::domain(settings));
    Logins::new(source, policy, domain, parts.context.clone(), settings.smtp.auth_delay.is_some())
}

/// Whether a process that goes on forwards by itself what has failed for now.
pub(super) fn retries(settings: &Settings) -> bool {
    (settings.forward.poll.is_some() || settings.forward.on_disconnect) && !settings.compat.forwarding
}

/// The units of the role programs give the SMTP server no network; what needs it must not fail silently.
///
/// # Errors
/// If something is configured that needs the network, and nothing can be sent.
fn needs_network(settings: &Settings) -> anyhow::Result<()> {
    let Some(dnsbl) = &settings.smtp.dnsbl else { return Ok(()) };
    let servers = dnsbl.server.map_or_else(dns::system_servers, |server| vec![server]);
    dns::network(&servers).map_err(|error| {
        let reason = crate::os::reason(&error);
        anyhow::anyhow!(
            "--dnsbl needs the network, which the service does not have ({reason}): {NETWORK_HINT}"
        )
    })
}

/// What to do about it.
const NETWORK_HINT: &str =
    "install the drop-in examples/systemd/network.conf with the addresses of your name servers";
