//! One instance: its spool, its roles, and how they are wired.

mod announce;
mod handle;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::address::Remote;
use crate::config::{ProcessSettings, Settings};
use crate::dns;
use crate::filter::Tools;
use crate::forward::{Engine, Reason, RunReport, account};
use crate::log::{self, Context, StartEvent};
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
use crate::role::smtp::{Listeners, SmtpRole, SmtpSettings};
use crate::role::tls::Tls;
use crate::role::upkeep::Upkeep;
use crate::spool::Spool;

use self::announce::look_at_mailboxes;
pub(crate) use self::announce::program_warning;
pub use self::handle::Handle;

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
        // The administration program sends only when it is asked to, the SMTP server only what its clients wait for.
        let forwards = !(split && (settings.admin.enabled || settings.smtp.enabled));
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
            (None, Some(_)) => {
                let (on_disconnect, retries) = (settings.forward.on_disconnect, retries(&settings));
                Arc::new(Asks { queue: ask, on_disconnect, retries })
            }
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
            let immediate = settings::immediate(&settings, &next_hop, ledger.clone(), context.clone())?;
            let config = settings::smtp(&settings, logins.clone(), tls.acceptor.clone(), filters.server)
                .context("cannot start verifiers")?;
            let config = SmtpSettings { immediate, ..config };
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
            let asked = &self.settings.forward;
            let reason = if asked.by_hand || !asked.remembers { Reason::Startup } else { Reason::Scheduled };
            let spool = Arc::clone(&self.spool);
            let forwarding = forward::once(engine, spool, reason, linger, process.stop_timeout);
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
            retry: retries(&self.settings),
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

/// Whether a process that goes on forwards by itself what has failed for now.
fn retries(settings: &Settings) -> bool {
    (settings.forward.poll.is_some() || settings.forward.on_disconnect) && !settings.compat.forwarding
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
