//! One instance: its spool, its roles, and how they are wired.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::address::Remote;
use crate::config::{FilterSpec, ProcessSettings, Settings};
use crate::dns;
use crate::filter::Tools;
use crate::forward::{Engine, Reason, RunReport, account};
use crate::log::{self, Context, LoginEvent, PopEvent, ProcessEvent, Server, SpoolEvent, StartEvent};
use crate::net::connect;
use crate::net::ledger::Ledger;
use crate::net::limits::ConnectionLimits;
use crate::net::listener::Bound;
use crate::role::admin::{AdminRole, Forwarding, Wiring};
use crate::role::bind::{ServerSockets, Sockets};
use crate::role::doorbell::Doorbell;
use crate::role::forward::{self, REQUESTS, Triggers};
use crate::role::login::{Accounts, Logins, Source};
use crate::role::pop::PopRole;
use crate::role::serve::{self, Service};
use crate::role::settings::{self, NextHop};
use crate::role::smtp::{Listeners, SmtpRole};
use crate::role::tls::Tls;
use crate::role::upkeep::Upkeep;
use crate::spool::Spool;

/// Forwards in this process.
struct Asks {
    queue: mpsc::Sender<Reason>,
    /// When a client has gone (`--forward-on-disconnect`).
    on_disconnect: bool,
}

impl Listeners for Asks {
    fn message_stored(&self) {}

    fn rescan(&self) {
        // A full queue means that a run is coming anyway.
        let _ = self.queue.try_send(Reason::Rescan);
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
    fn session_ended(&self) {}
}

/// What was opened with the rights of the starting user.
#[derive(Debug, Default)]
pub struct Resources {
    /// Listening sockets.
    pub sockets: ServerSockets,
    /// Secrets files.
    pub accounts: Accounts,
    /// Keys and certificates.
    pub tls: Tls,
}

/// An instance that is ready to run.
pub struct Instance {
    context: Context,
    settings: Settings,
    /// How long idle connections to a next hop are kept.
    keep: Duration,
    spool: Arc<Spool>,
    filters: Tools,
    smtp: Option<Arc<SmtpRole>>,
    admin: Option<Arc<AdminRole>>,
    engine: Option<Arc<Engine>>,
    /// Connections are written down, if there is anybody who may ask.
    ledger: Option<Arc<Ledger>>,
    doorbell: Option<Arc<Doorbell>>,
    requests: Option<mpsc::Receiver<Reason>>,
    sockets: ServerSockets,
    /// Who may log in at the SMTP server.
    logins: Option<Arc<Logins>>,
    /// Our accounts at the next hop.
    ours: Option<Arc<account::Accounts>>,
    pop: Option<Arc<PopRole>>,
    tls: Tls,
    stop: CancellationToken,
    /// Cancelled when the sessions have ended, so that the doorbell's last ring is not missed.
    after_sessions: CancellationToken,
}

impl Instance {
    /// Wires the instance. `split` is true in the role programs, where forwarding is another process.
    ///
    /// # Errors
    /// If the spool cannot be used.
    pub fn new(
        settings: Settings,
        resources: Resources,
        process: &ProcessSettings,
        descriptors: u64,
        split: bool,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let context = Context::unit(&settings.name);
        if split && settings.smtp.enabled {
            needs_network(&settings)?;
        }
        let spool = Spool::open(&settings.spool_dir, settings::spool(&settings))?;
        if !spool.writable() {
            let path = settings.spool_dir.display().to_string();
            log::emit(&context, &StartEvent::DirectoryNotWritable { path }.into());
        }
        let keep = process.linger.unwrap_or_default();
        let (ask, requests) = mpsc::channel(REQUESTS);
        let tools = settings::filter_tools(&settings, &spool);
        let filters = settings::filters(&settings, &tools)?;
        let Resources { sockets, accounts, tls } = resources;
        let ours = accounts.client.map(|source| {
            account::Accounts::new(source, settings.forward.auth_policy.clone(), context.clone())
        });
        let (ledger, facts) = settings.admin.enabled.then(Ledger::new).unzip();
        // The administration program sends only when it is asked to.
        let forwards = !(split && settings.admin.enabled);
        let next_hop = NextHop {
            accounts: ours.clone(),
            tls: tls.connector.clone(),
            filters: filters.client,
            keep,
            alternatives: Arc::clone(&tools.alternatives),
        };
        let engine = settings::engine(&settings, &next_hop, ledger.clone(), context.clone())
            .filter(|_| forwards)
            .map(|config| Engine::new(Arc::clone(&spool), config, stop.child_token()));
        let admin = ledger.clone().zip(facts).map(|(ledger, facts)| {
            let config = settings::admin(&settings, &next_hop, &ledger, context.clone());
            let forwarding = if split { Forwarding::Elsewhere } else { Forwarding::Here(ask.clone()) };
            let terminate = settings.admin.terminate.then(|| stop.clone());
            let wiring = Wiring { ledger, facts, forwarding, terminate };
            AdminRole::new(Arc::clone(&spool), config, wiring, context.clone(), stop.child_token())
        });
        let doorbell = split.then(Arc::<Doorbell>::default);
        let hears: Arc<dyn Listeners> = match (&doorbell, &engine) {
            (Some(doorbell), _) => Arc::clone(doorbell) as Arc<dyn Listeners>,
            (None, Some(_)) => Arc::new(Asks { queue: ask, on_disconnect: settings.forward.on_disconnect }),
            _ => Arc::new(Quiet),
        };
        let logins = accounts.server.map(|source| {
            let (policy, domain) = (settings.auth_policy.clone(), settings::domain(&settings));
            Logins::new(source, policy, domain, context.clone(), settings.smtp.auth_delay.is_some())
        });
        let smtp = if settings.smtp.enabled {
            if let Some(text) = program_warning(settings.smtp.verifier.program(), "verifier") {
                log::emit(&context, &StartEvent::Configuration { text }.into());
            }
            let limits = settings::limits(&settings, descriptors);
            let limits = ConnectionLimits::new(limits.0, limits.1);
            let config = settings::smtp(&settings, logins.clone(), tls.acceptor.clone(), filters.server)
                .context("cannot start verifiers")?;
            let stop = stop.child_token();
            Some(SmtpRole::new(Arc::clone(&spool), config, limits, context.clone(), hears, stop))
        } else {
            None
        };
        if let (Some(smtp), Some(ledger)) = (&smtp, &ledger) {
            smtp.gate().keep(Arc::clone(ledger));
        }
        let pop = pop_role(&settings, accounts.pop, &tls, &spool, &context, stop);
        if let (Some(pop), Some(ledger)) = (&pop, &ledger) {
            pop.gate().keep(Arc::clone(ledger));
        }
        Ok(Self {
            context,
            settings,
            keep,
            spool,
            filters: tools,
            smtp,
            pop,
            admin,
            engine,
            ledger,
            doorbell,
            requests: Some(requests),
            sockets,
            logins,
            ours,
            tls,
            stop: stop.clone(),
            after_sessions: CancellationToken::new(),
        })
    }

    /// Whether clients on other machines are offered to send their passwords in clear.
    fn exposes_passwords(&self) -> bool {
        let Some(logins) = &self.logins else { return false };
        let reachable = |listener: &Bound| listener.local().ip().is_some_and(|ip| !ip.is_loopback());
        logins.offer().clear.iter().any(|mechanism| mechanism.shows_secret())
            && self.sockets.smtp.bound.iter().any(reachable)
    }

    /// What is said at the start.
    pub fn announce(&self) {
        if self.exposes_passwords() {
            log::emit(&self.context, &LoginEvent::Exposed.into());
        }
        let instance = Some(&self.settings.name).filter(|name| !name.is_empty()).cloned();
        let ServerSockets { smtp, admin, pop } = &self.sockets;
        self.announce_filters();
        for (server, sockets) in [(Server::Smtp, smtp), (Server::Admin, admin), (Server::Pop, pop)] {
            self.announce_server(server, sockets);
        }
        if let Some(pop) = &self.pop {
            let (instance, source) = (instance.clone(), pop.logins().source());
            log::emit(&Context::default(), &PopEvent::Accounts { instance, source }.into());
        }
        if let Some(to) = self.settings.forward.to.as_ref().filter(|_| self.engine.is_some()) {
            // The line carries the instance's name in any log format.
            let context = Context::default();
            log::emit(&context, &StartEvent::ForwardingTo { instance, address: to.to_string() }.into());
        }
    }

    /// Filters that cannot be run are noticed before the first message is.
    fn announce_filters(&self) {
        let filter = &self.settings.filter;
        for program in filter.server.iter().chain(&filter.client).map(FilterSpec::program) {
            if let Some(text) = program_warning(program, "filter") {
                log::emit(&self.context, &StartEvent::Configuration { text }.into());
            }
        }
    }

    fn announce_server(&self, server: Server, sockets: &Sockets) {
        let instance = Some(&self.settings.name).filter(|name| !name.is_empty());
        for listener in &sockets.bound {
            let (instance, address) = (instance.cloned(), listener.local().to_string());
            // The line carries the instance's name in any log format.
            log::emit(&Context::default(), &StartEvent::Listening { instance, server, address }.into());
        }
        let without = &sockets.without_address;
        if !without.is_empty() {
            let interfaces = without.clone();
            log::emit(&self.context, &StartEvent::NoAddresses { interfaces }.into());
        }
        if let Some(interface) = without.first().filter(|_| sockets.bound.is_empty()).cloned() {
            log::emit(&self.context, &StartEvent::WaitingForInterface { server, interface }.into());
        }
    }

    /// The parts of the instance that supervision needs while it runs.
    pub fn handle(&self) -> Handle {
        Handle {
            context: self.context.clone(),
            settings: self.settings.clone(),
            keep: self.keep,
            spool: Arc::clone(&self.spool),
            filters: self.filters.clone(),
            smtp: self.smtp.clone(),
            pop: self.pop.clone(),
            admin: self.admin.clone(),
            tls: self.tls.clone(),
            engine: self.engine.clone(),
            logins: self.logins.clone(),
            ours: self.ours.clone(),
            ledger: self.ledger.clone(),
        }
    }

    /// Runs all roles until they are stopped, or have done what they were to do. Returns the last forwarding report of
    /// an instance that only forwards.
    pub async fn run(mut self, process: &ProcessSettings) -> anyhow::Result<Option<RunReport>> {
        if self.settings.ends_after_first_run()
            && let Some(engine) = self.engine.take()
        {
            let linger = process.linger.unwrap_or_default();
            let forwarding = forward::once(engine, Arc::clone(&self.spool), linger, process.stop_timeout);
            let upkeep = self.upkeep();
            let (report, ()) = tokio::join!(forwarding, upkeep.once());
            return Ok(Some(report));
        }
        let forwarding = self.forwarding(process.stop_timeout);
        let serving = self.serving(process.idle_exit, process.stop_timeout)?;
        let ringing = self.ringing();
        let upkeep = self.upkeep();
        let (stop, keeps_tidy) = (self.stop.clone(), self.smtp.is_some() || self.engine.is_some());
        let sweeping = async {
            // A process that only serves mailboxes leaves no rubbish, and is not to look into that of others.
            if keeps_tidy {
                upkeep.run(stop).await;
            }
        };
        let checking = self.checking();
        let served = async {
            serving.await;
            self.after_sessions.cancel();
            // The end of serving by idleness is the end of the instance.
            if self.smtp.is_some() || self.admin.is_some() || self.pop.is_some() {
                self.stop.cancel();
            }
        };
        let watching = async {
            if let Some(admin) = &self.admin {
                admin.watch().await;
            }
        };
        let renewing = self.tls.watch(self.stop.clone());
        tokio::join!(served, forwarding, ringing, sweeping, checking, watching, renewing);
        Ok(None)
    }

    fn serving(
        &mut self,
        idle_exit: Option<Duration>,
        stop_timeout: Duration,
    ) -> anyhow::Result<impl Future<Output = ()> + use<>> {
        let sockets = std::mem::take(&mut self.sockets);
        let smtp = serving(self.smtp.clone(), sockets.smtp, idle_exit, stop_timeout)?;
        let admin = serving(self.admin.clone(), sockets.admin, idle_exit, stop_timeout)?;
        let pop = serving(self.pop.clone(), sockets.pop, idle_exit, stop_timeout)?;
        Ok(async {
            tokio::join!(smtp, admin, pop);
        })
    }

    fn forwarding(&mut self, stop_timeout: Duration) -> impl Future<Output = ()> + use<> {
        let forward = &self.settings.forward;
        let triggers = Triggers {
            at_start: forward.at_start,
            poll: forward.poll,
            on_disconnect: forward.on_disconnect,
            retry: (forward.poll.is_some() || forward.on_disconnect) && !self.settings.compat,
        };
        let (engine, requests) = (self.engine.clone(), self.requests.take());
        async move {
            if let (Some(engine), Some(requests)) = (engine, requests) {
                forward::serve(engine, triggers, requests, stop_timeout).await;
            }
        }
    }

    /// Looks the next hop's name up, so that a mistyped one is noticed before the first message waits for it.
    fn checking(&self) -> impl Future<Output = ()> + use<> {
        let forward = &self.settings.forward;
        let bind = forward.client_interface.map(|local| local.0);
        let (to, context, stop) = (forward.to.clone(), self.context.clone(), self.stop.clone());
        let lookup = async move {
            if let Some(Remote::Host { host, port }) = to
                && let Err(error) = connect::resolve(&host, port, bind).await
            {
                log::emit(&context, &StartEvent::NextHopUnresolved { reason: error.to_string() }.into());
            }
        };
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = lookup => {}
            }
        }
    }

    fn upkeep(&self) -> Upkeep {
        let (spool, context) = (Arc::clone(&self.spool), self.context.clone());
        Upkeep { spool, context, remove: self.settings.sweep, receives: self.smtp.is_some() }
    }

    fn ringing(&self) -> impl Future<Output = ()> + use<> {
        let (doorbell, spool) = (self.doorbell.clone(), Arc::clone(&self.spool));
        let (context, stop) = (self.context.clone(), self.after_sessions.clone());
        async move {
            if let Some(doorbell) = doorbell {
                doorbell.run(spool, context, stop).await;
            }
        }
    }
}

/// Serves on the sockets of one server, if the instance has it.
fn serving<S: Service>(
    service: Option<Arc<S>>,
    sockets: Sockets,
    idle_exit: Option<Duration>,
    stop_timeout: Duration,
) -> anyhow::Result<impl Future<Output = ()> + use<S>> {
    let Sockets { bound, named, .. } = sockets;
    let listeners = bound.into_iter().map(Bound::into_listener).collect::<Result<Vec<_>, _>>()?;
    Ok(async move {
        if let Some(service) = service {
            serve::run(&service, listeners, named, idle_exit, stop_timeout).await;
        }
    })
}

/// What is wrong with a program file already. It may be put right while we run, so that is no reason not to start.
fn program_warning(path: Option<&Path>, what: &str) -> Option<String> {
    let path = path?;
    if !path.exists() {
        return Some(format!("{what} program does not exist: {}", path.display()));
    }
    path.is_dir().then(|| format!("invalid program: {}", path.display()))
}

fn pop_role(
    settings: &Settings,
    accounts: Option<Source>,
    tls: &Tls,
    spool: &Arc<Spool>,
    context: &Context,
    stop: &CancellationToken,
) -> Option<Arc<PopRole>> {
    let source = accounts.filter(|_| settings.pop.enabled)?;
    if settings.pop.by_name {
        look_at_mailboxes(spool, context);
    }
    let (policy, domain) = (settings.auth_policy.clone(), settings::domain(settings));
    // Addresses that fail too often are the role's own matter.
    let logins = Logins::new(source, policy, domain, context.clone(), false);
    let (total, per_address) = settings::pop_limits(settings);
    let limits = ConnectionLimits::new(total, per_address);
    let config = settings::pop(settings, logins, tls.acceptor.clone());
    Some(PopRole::new(Arc::clone(spool), config, limits, context.clone(), stop.child_token()))
}

/// Says which mailboxes will not be usable.
fn look_at_mailboxes(spool: &Spool, context: &Context) {
    match spool.mailboxes() {
        Ok(mailboxes) => {
            for (name, _) in mailboxes.into_iter().filter(|(_, usable)| !usable) {
                let name = name.as_str().to_owned();
                log::emit(context, &PopEvent::MailboxNotAccessible { name }.into());
            }
        }
        Err(error) => log::emit(context, &SpoolEvent::StoreFailed { reason: error.to_string() }.into()),
    }
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

/// A running instance, as supervision sees it.
pub struct Handle {
    context: Context,
    settings: Settings,
    /// How long idle connections to a next hop are kept.
    keep: Duration,
    spool: Arc<Spool>,
    filters: Tools,
    smtp: Option<Arc<SmtpRole>>,
    pop: Option<Arc<PopRole>>,
    admin: Option<Arc<AdminRole>>,
    tls: Tls,
    engine: Option<Arc<Engine>>,
    logins: Option<Arc<Logins>>,
    ours: Option<Arc<account::Accounts>>,
    ledger: Option<Arc<Ledger>>,
}

impl Handle {
    /// The instance's name; empty for the nameless one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Connections and messages, in words.
    #[must_use]
    pub fn status(&self) -> String {
        let mut parts = Vec::new();
        if let Some(smtp) = &self.smtp {
            parts.push(smtp.status());
        }
        if let Some(pop) = &self.pop {
            parts.push(pop.status());
        }
        if let Some(engine) = &self.engine {
            parts.push(engine.status());
        }
        if let Some(admin) = &self.admin {
            parts.push(admin.status());
        }
        let text = parts.join(", ");
        if self.settings.name.is_empty() { text } else { format!("[{}] {text}", self.settings.name) }
    }

    /// The same with the counts of the spool, to the log.
    pub fn log_status(&self) {
        let counts = self.spool.counts().map(|c| {
            let held = if c.held > 0 { format!(", {} held", c.held) } else { String::new() };
            format!("{} waiting, {} busy, {} bad{held}", c.waiting, c.busy, c.bad)
        });
        let text = format!("{}, {}", self.status(), counts.unwrap_or_else(|error| error.to_string()));
        log::emit(&self.context, &ProcessEvent::Status { text }.into());
    }

    /// Takes over what can change while running; tells what cannot.
    ///
    /// # Errors
    /// Filters cannot be made; nothing has changed.
    pub fn reload(&self, new: &Settings) -> Result<(), String> {
        let filters = settings::filters(new, &self.filters).map_err(|error| error.to_string())?;
        self.tls.reload(new);
        if let Some(smtp) = &self.smtp {
            match settings::smtp(new, self.logins.clone(), self.tls.acceptor.clone(), filters.server) {
                Ok(config) => smtp.reload(config),
                Err(error) => {
                    let reason = format!("cannot start verifiers: {}", crate::os::reason(&error));
                    log::emit(&self.context, &ProcessEvent::ReloadFailed { reason }.into());
                }
            }
        }
        if let Some(pop) = &self.pop {
            pop.reload(settings::pop(new, pop.logins(), self.tls.acceptor.clone()));
            pop.logins().look();
        }
        if let Some(logins) = &self.logins {
            logins.look();
        }
        if let Some(ours) = &self.ours {
            ours.look();
        }
        let next_hop = NextHop {
            accounts: self.ours.clone(),
            tls: self.tls.connector.clone(),
            filters: filters.client,
            keep: self.keep,
            alternatives: Arc::clone(&self.filters.alternatives),
        };
        if let (Some(engine), Some(config)) =
            (&self.engine, settings::engine(new, &next_hop, self.ledger.clone(), self.context.clone()))
        {
            engine.reload(config);
        }
        if let (Some(admin), Some(ledger)) = (&self.admin, &self.ledger) {
            admin.reload(settings::admin(new, &next_hop, ledger, self.context.clone()));
        }
        settings::report_fixed(&self.context, &settings::fixed_instance(&self.settings, new));
        Ok(())
    }
}
