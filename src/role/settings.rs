//! From what the administrator wrote to what each part wants to know.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use crate::config::keywords::BareLf;
use crate::config::tls::TlsStart;
use crate::config::{self, FilterSpec, ProcessSettings, Settings, Verbosity};
use crate::dns::dnsbl::Dnsbl;
use crate::filter::{Chain, Tools};
use crate::forward::account::Accounts;
use crate::forward::backoff::Schedule;
use crate::forward::outcome::{InDoubt, Policy};
use crate::forward::proxy::{ProxyConfig, Refused};
use crate::forward::{EngineConfig, Scope, Secure};
use crate::log::{self, Context, Journal, JournalText, Level, LogConfig, Stderr};
use crate::net::alternatives::Alternatives;
use crate::net::connect;
use crate::net::ledger::Ledger;
use crate::os::identity::User;
use crate::pop::{self, PopConfig};
use crate::program::{Limits, Runner};
use crate::role::admin::AdminSettings;
use crate::role::login::Logins;
use crate::role::pop::PopSettings;
use crate::role::sandbox::{require_network, require_next_hops};
use crate::role::smtp::SmtpSettings;
use crate::smtp::client::{ClientConfig, StartTls};
use crate::smtp::server::{self, Anonymous, Extensions, ServerConfig};
use crate::spool::{DeliveryDir, Durability, Spool, SpoolConfig};
use crate::tls::{Acceptor, Connector};
use crate::verify::Verifier;

/// Connections at most when `--smtp-max-connections` is not given.
const MAX_CONNECTIONS: u64 = 1000;

/// Share of the file descriptors that connections may take when it is not given: a message in hand needs more than one.
const DESCRIPTOR_SHARE: u64 = 4;

/// Shortest wait for the reply to the final dot (RFC 5321 section 4.5.3.2.6).
const FINAL_DOT: Duration = Duration::from_secs(600);

/// The spool's settings.
pub fn spool(settings: &Settings) -> SpoolConfig {
    SpoolConfig {
        durability: match settings.durability {
            config::Durability::Full => Durability::Full,
            config::Durability::None => Durability::None,
        },
        writeback: crate::os::file::start_writeback,
        ..SpoolConfig::default()
    }
}

/// What filters are made with.
pub fn filter_tools(settings: &Settings, spool: &Arc<Spool>) -> Tools {
    let limits = Limits { running: count(settings.filter.running), wait: settings.filter.wait };
    Tools {
        spool: Arc::clone(spool),
        runner: Arc::new(Runner::new(limits)),
        timeout: settings.filter.timeout,
        delivery: Arc::new(spool.delivery_dir()),
        domain: domain(settings),
        abandon_warning: settings.compat.abandon_warning,
        alternatives: Arc::default(),
    }
}

/// The directory of mailboxes, if a filter delivers into it.
fn delivery(settings: &Settings, spool: &Spool) -> anyhow::Result<DeliveryDir> {
    let mut filters = settings.filter.server.iter().chain(&settings.filter.client);
    match &settings.delivery_dir {
        Some(path) if filters.any(|filter| matches!(filter, FilterSpec::Deliver(_))) => {
            DeliveryDir::open(path).map_err(|error| {
                anyhow!(
                    "invalid delivery directory: {}: {}",
                    path.display(),
                    error.errno.desc().to_lowercase()
                )
            })
        }
        _ => Ok(spool.delivery_dir()),
    }
}

/// The filters of the SMTP server and of forwarding, from what may have changed since `tools` were made.
///
/// # Errors
/// A filter is not built into this version, or one of them or the address verifier needs a network that there is not.
pub fn filters(settings: &Settings, tools: &Tools) -> anyhow::Result<Filters> {
    let tools = Tools {
        timeout: settings.filter.timeout,
        delivery: Arc::new(delivery(settings, &tools.spool)?),
        domain: domain(settings),
        abandon_warning: settings.compat.abandon_warning,
        ..tools.clone()
    };
    let remote = settings.filter.server.iter().filter_map(FilterSpec::remote);
    for address in remote.filter(|address| settings.smtp.enabled && !address.is_unix()) {
        require_network(&format!("the filter at {address}"))?;
    }
    let looks_up = settings.filter.server.iter().any(|spec| matches!(spec, FilterSpec::Mx(_)));
    if looks_up && settings.smtp.enabled {
        require_network("the filter mx:")?;
    }
    let verifier = settings.smtp.verifier.remote().filter(|_| settings.smtp.enabled);
    if let Some(address) = verifier.filter(|address| !address.is_unix()) {
        require_network(&format!("the address verifier at {address}"))?;
    }
    let chain = |specs: &[FilterSpec], what: &str| {
        let chain = Chain::new(specs, &tools);
        let chain = chain.map_err(|reason| anyhow!("invalid {what} specification: {reason}"))?;
        Ok::<_, anyhow::Error>(chain.map(Arc::new))
    };
    Ok(Filters {
        server: chain(&settings.filter.server, "filter")?,
        client: chain(&settings.filter.client, "client filter")?,
    })
}

/// The filters of an instance.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Of the SMTP server.
    pub server: Option<Arc<Chain>>,
    /// Of forwarding.
    pub client: Option<Arc<Chain>>,
}

/// The SMTP server's settings, but for sending at once; who may log in is known already. Without `tls` there is none, whatever the
/// settings.
///
/// # Errors
/// The system refuses the thread that starts verifier programs.
pub fn smtp(
    settings: &Settings,
    logins: Option<Arc<Logins>>,
    tls: Option<Arc<Acceptor>>,
    filters: Option<Arc<Chain>>,
) -> std::io::Result<SmtpSettings> {
    let server_tls = settings.server_tls.as_ref().filter(|_| tls.is_some());
    let starts = |start| server_tls.is_some_and(|tls| tls.start == start);
    let keywords = &settings.smtp.keywords;
    let session = ServerConfig {
        domain: domain(settings),
        anonymous: Anonymous {
            server: settings.anonymous.server,
            vrfy: settings.anonymous.vrfy,
            content: settings.anonymous.content,
        },
        max_size: settings.smtp.max_size,
        extensions: Extensions {
            pipelining: keywords.pipelining,
            chunking: keywords.chunking,
            smtputf8: keywords.smtputf8,
            smtputf8_strict: keywords.smtputf8_strict,
            enhanced_status_codes: keywords.enhanced_status_codes,
        },
        strict_address: keywords.strict_address,
        strict_parsing: keywords.strict_parsing,
        alabels: keywords.alabels,
        bare_lf: match keywords.bare_lf {
            BareLf::Accept => server::BareLf::Accept,
            BareLf::Smuggling => server::BareLf::Smuggling,
            BareLf::Reject => server::BareLf::Reject,
        },
        idle_timeout: settings.smtp.idle_timeout,
        habits: if settings.compat.dialogue { server::Habits::Old } else { server::Habits::New },
        max_recipients: settings.smtp.max_recipients,
        auth_delay: settings.smtp.auth_delay,
        starttls: starts(TlsStart::OnCommand),
        tls_required: server_tls.is_some_and(|tls| tls.required),
        trace: log::is_enabled(Level::Verbose),
        ..ServerConfig::default()
    };
    Ok(SmtpSettings {
        handover: Arc::new(handover(&session)),
        session: Arc::new(session),
        dnsbl: settings.smtp.dnsbl.clone().map(Dnsbl::new).map(Arc::new),
        dnsbl_reply: keywords.dnsbl_reply,
        dnsbl_defer: keywords.dnsbl_defer,
        remote_clients: settings.smtp.remote_clients,
        logins,
        filters,
        immediate: None,
        reset_on_close: !keywords.linger,
        implicit_tls: starts(TlsStart::AtOnce),
        tls,
        verifier: Verifier::new(
            settings.smtp.verifier.clone(),
            settings.filter.timeout,
            count(settings.smtp.verifier_parallel),
        )?,
    })
}

/// What differs for programs of this machine that hand messages over: content comes by BDAT, byte for byte, and nothing of it leaves the machine.
fn handover(session: &ServerConfig) -> ServerConfig {
    let extensions = Extensions { chunking: true, smtputf8: true, ..session.extensions };
    // An account of this machine may have a name only.
    ServerConfig {
        extensions,
        strict_address: false,
        starttls: false,
        tls_required: false,
        ..session.clone()
    }
}

/// The administration server's settings.
pub fn admin(
    settings: &Settings,
    next_hop: &NextHop,
    ledger: &Arc<Ledger>,
    context: Context,
) -> AdminSettings {
    let engine = engine(settings, next_hop, Some(Arc::clone(ledger)), context);
    AdminSettings {
        reach: settings.admin.reach,
        tcp_right: settings.admin.tcp_right,
        short_help: settings.compat.dialogue,
        engine,
    }
}

/// Connections in all and from one address. `descriptors` is the process's limit on open files.
pub fn limits(settings: &Settings, descriptors: u64) -> (usize, usize) {
    let automatic = MAX_CONNECTIONS.min(descriptors / DESCRIPTOR_SHARE);
    let total = settings.smtp.max_connections.map_or(automatic, u64::from);
    let per_address = settings.smtp.max_per_address.map_or(u64::MAX, u64::from);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    (count(total), count(per_address))
}

/// The POP server's settings; who may log in is known already. Without `tls` there is none, whatever the settings.
pub fn pop(settings: &Settings, logins: Arc<Logins>, tls: Option<Arc<Acceptor>>) -> PopSettings {
    let pop = &settings.pop;
    // compat: TLS from the first byte is for SMTP; here both options offer STLS.
    let stls = match settings.server_tls.as_ref().filter(|_| tls.is_some()) {
        None => pop::StartTls::No,
        Some(server_tls) if server_tls.required && !settings.compat.pop_in_clear => pop::StartTls::Required,
        Some(_) => pop::StartTls::Offered,
    };
    let session = PopConfig {
        idle_timeout: pop.idle_timeout,
        tls: stls,
        habits: if settings.compat.dialogue { pop::Habits::Old } else { pop::Habits::New },
        trace: log::is_enabled(Level::Verbose),
        ..PopConfig::default()
    };
    let product = session.product.clone().filter(|_| !settings.anonymous.server);
    PopSettings {
        session: Arc::new(PopConfig { product, ..session }),
        remote_clients: pop.remote_clients,
        logins,
        implicit_tls: pop.implicit_tls && tls.is_some(),
        tls,
        by_name: pop.by_name,
        no_delete: pop.no_delete,
        auth_delay: pop.auth_delay,
    }
}

/// Connections of POP clients at most: in all, and from one address.
pub fn pop_limits(settings: &Settings) -> (usize, usize) {
    (count(settings.pop.max_connections), settings.pop.max_per_address.map_or(usize::MAX, count))
}

/// What forwarding needs beside its settings.
#[derive(Debug, Clone)]
pub struct NextHop {
    /// Our accounts there.
    pub accounts: Option<Arc<Accounts>>,
    /// Makes connections secure.
    pub tls: Option<Arc<Connector>>,
    /// What each message passes before it is sent.
    pub filters: Option<Arc<Chain>>,
    /// How long idle connections are kept.
    pub keep: Duration,
    /// Further addresses of next hops that a filter has looked up.
    pub alternatives: Arc<Alternatives>,
}

/// The forwarding engine's settings; `None` when there is no next hop. All connections are written down in the `ledger`.
pub fn engine(
    settings: &Settings,
    next_hop: &NextHop,
    ledger: Option<Arc<Ledger>>,
    context: Context,
) -> Option<EngineConfig> {
    let forward = &settings.forward;
    let compat26 = settings.compat.forwarding;
    Some(EngineConfig {
        next_hop: forward.to.clone()?,
        client: client(settings, next_hop.tls.is_some()),
        tls: settings
            .client_tls
            .as_ref()
            .zip(next_hop.tls.clone())
            .map(|(settings, connector)| Secure { connector, start: settings.start }),
        connect: connect::Options {
            timeout: forward.connection_timeout,
            bind: forward.client_interface.map(|local| local.0),
            reset_on_close: !forward.keywords.linger,
            proxy_login: None,
            alternatives: Arc::clone(&next_hop.alternatives),
        },
        accounts: next_hop.accounts.clone(),
        per_destination: count(forward.connections),
        total: connections(settings),
        schedule: Schedule {
            first: forward.retry.first,
            max: forward.retry.max,
            give_up: forward.retry.give_up.unwrap_or(Duration::MAX),
        },
        policy: Policy {
            compat26,
            in_doubt: match forward.in_doubt {
                config::InDoubt::Retry => InDoubt::Retry,
                config::InDoubt::Fail => InDoubt::Fail,
            },
        },
        filters: next_hop.filters.clone(),
        keep: next_hop.keep.max(forward.idle),
        busy_age: forward.busy_timeout,
        scope: Scope::Due,
        remembers: forward.remembers,
        ledger,
        context,
    })
}

/// How the SMTP server sends messages on while their clients wait (`--immediate`); `None`: it does not, or there is no next hop.
///
/// # Errors
/// The server is shut off from the network that it needs for that.
pub fn immediate(
    settings: &Settings,
    next_hop: &NextHop,
    ledger: Option<Arc<Ledger>>,
    context: Context,
) -> anyhow::Result<Option<ProxyConfig>> {
    if !settings.smtp.enabled || !settings.forward.immediate {
        return Ok(None);
    }
    let Some(engine) = engine(settings, next_hop, ledger, context) else { return Ok(None) };
    if !engine.next_hop.is_unix() {
        require_next_hops("--immediate")?;
    }
    let removes = settings.forward.keywords.immediate_delete;
    let refused = if removes { Refused::Removed } else { Refused::Kept };
    // A client waits for each message: there is no time that it has to wait for.
    Ok(Some(ProxyConfig { engine: EngineConfig { scope: Scope::Everything, ..engine }, refused }))
}

/// Connections to next hops at most.
pub fn connections(settings: &Settings) -> usize {
    count(settings.forward.connections_max)
}

fn client(settings: &Settings, tls: bool) -> ClientConfig {
    let forward = &settings.forward;
    let keywords = &forward.keywords;
    let final_timeout = if keywords.short_dot {
        forward.response_timeout
    } else {
        forward.response_timeout.map(|time| time.max(FINAL_DOT))
    };
    ClientConfig {
        ehlo_name: domain(settings),
        prompt_timeout: forward.prompt_timeout,
        response_timeout: forward.response_timeout,
        final_timeout,
        pipelining: keywords.pipelining,
        chunking: keywords.chunking,
        eightbit_strict: keywords.eightbit_strict,
        binarymime_strict: keywords.binarymime_strict,
        smtputf8_strict: keywords.smtputf8_strict,
        send_size: keywords.size,
        forward_to_some: forward.to_some,
        starttls: match settings.client_tls.as_ref().filter(|_| tls) {
            Some(tls) if tls.start == TlsStart::OnCommand && tls.required => StartTls::Required,
            Some(tls) if tls.start == TlsStart::OnCommand => StartTls::IfOffered,
            _ => StartTls::Never,
        },
        trace: log::is_enabled(Level::Verbose),
        ..ClientConfig::default()
    }
}

/// Where the log goes. `owner` is who the process has become, to whom a new log file belongs.
pub fn log(
    process: &ProcessSettings,
    identifier: &str,
    owner: Option<&User>,
    journal_text: JournalText,
) -> LogConfig {
    let log = &process.log;
    // Keeps boot scripts quiet: what goes to syslog need not be on the terminal as well.
    let quiet = log.syslog.is_some() && process.daemon && log.close_stderr && log.file.is_none();
    LogConfig {
        identifier: identifier.to_owned(),
        program: process.name.clone(),
        level: log_level(log),
        format: format(&log.format),
        stderr: if quiet { Stderr::Warnings } else { Stderr::All },
        file: log.file.as_ref().map(|path| path.display().to_string()),
        owner: owner.cloned(),
        syslog: log.syslog,
        journal: Journal::IfStderr,
        journal_text,
    }
}

/// The least important level that is logged.
pub fn log_level(log: &config::LogSettings) -> Option<Level> {
    let level = match (log.debug, log.verbosity) {
        (true, _) => Level::Debug,
        (false, Verbosity::Extra) => Level::Extra,
        (false, Verbosity::Verbose) => Level::Verbose,
        (false, Verbosity::Normal) => Level::Info,
    };
    log.enabled.then_some(level)
}

fn format(words: &config::LogFormat) -> log::Format {
    log::Format {
        time: words.time,
        unit: words.unit,
        address: words.address,
        port: words.port,
        msgid: words.msgid,
    }
}

/// Our name.
pub fn domain(settings: &Settings) -> String {
    settings.domain.clone().unwrap_or_else(crate::os::hostname::default_domain)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
