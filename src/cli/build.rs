//! From typed values to [`Settings`] and [`ProcessSettings`]: what options imply, and what deserves a warning.

mod access;

use std::path::PathBuf;
use std::time::Duration;

use self::access::{client_auth, dnsbl, policy, server_auth, verifier};
use super::merge::{Entries, Entry};
use super::tls;
use super::typed::{Failure, Values};
use super::{Environment, Program, filters};
use crate::admin::Right;
use crate::config::interface::{self, Item, Place, Server};
use crate::config::keywords::{self, ClientKeywords, Parsed, ServerKeywords};
use crate::config::number::limit;
use crate::config::tls::TlsKeywords;
use crate::config::verifier::VerifierSpec;
use crate::config::{
    AdminSettings, Anonymous, Compat, Durability, FilterSettings, ForwardSettings, InDoubt, LogFormat,
    LogSettings, PopSettings, ProcessSettings, Reach, Retry, Settings, SmtpSettings, Verbosity,
};
use crate::sasl::Policy;

/// How long clients wait for the reply to a message at least (RFC 5321 section 4.5.3.2.6).
const CLIENT_PATIENCE: Duration = Duration::from_secs(600);

/// What the modes `--as-server`, `--as-client` and `--as-proxy` of the first instance mean for the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) program: Program,
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) proxy: bool,
}

impl Mode {
    pub(super) fn new(program: Program, process: &Entries, first: &Entries) -> Self {
        Self {
            program,
            server: process.contains_key("as-server"),
            client: first.contains_key("as-client"),
            proxy: first.contains_key("as-proxy"),
        }
    }

    /// Whether anything is logged. The role programs always log.
    pub(super) fn logs(self, process: &Entries) -> bool {
        let role = self.program != Program::Relay;
        role || self.server || self.client || self.proxy || process.contains_key("log")
    }

    /// Whether the program goes to the background. The role programs are looked after by the service manager.
    pub(super) fn daemon(self, process: &Entries) -> bool {
        self.program == Program::Relay && !self.client && !process.contains_key("no-daemon")
    }
}

/// What is to be said about settings that are accepted.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// For standard error.
    pub(super) user: Vec<String>,
    /// For the log, once it is open.
    pub(super) log: Vec<String>,
}

impl Remarks {
    pub(super) fn both(&mut self, text: &str) {
        self.user.push(text.to_owned());
        self.log.push(text.to_owned());
    }
}

/// The settings of the process.
pub(super) fn process(
    name: &str,
    mode: Mode,
    entries: &Entries,
    values: &Values,
    remarks: &mut Remarks,
) -> ProcessSettings {
    let seconds = |name| values.duration(name).unwrap_or_default();
    let path = |name| values.path(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    ProcessSettings {
        name: name.to_owned(),
        daemon: mode.daemon(entries),
        pid_file: path("pid-file"),
        user: values.text("user").unwrap_or_default(),
        log: log(mode, entries, values, remarks),
        stop_timeout: seconds("stop-timeout"),
        idle_exit: limit(seconds("idle-exit")),
        linger: limit(seconds("linger")),
        strict_exit: values.on("strict-exit"),
        config_files: Vec::new(),
    }
}

fn log(mode: Mode, entries: &Entries, values: &Values, remarks: &mut Remarks) -> LogSettings {
    let mut format = LogFormat::default();
    for word in format.add(&values.text("log-format").unwrap_or_default()) {
        remarks.user.push(format!("unknown --log-format item [{word}]"));
    }
    format.time |= values.on("log-time");
    format.address |= values.on("log-address");
    let enabled = mode.logs(entries);
    // `--syslog` has a facility when given; without it, `--log` in `emailrelay` means syslog too.
    let implied = mode.program == Program::Relay && !values.on("no-syslog") && !mode.client;
    let settings = LogSettings {
        enabled,
        verbosity: match values.count("verbose") {
            0 => Verbosity::Normal,
            1 => Verbosity::Verbose,
            _ => Verbosity::Extra,
        },
        debug: values.on("debug"),
        syslog: values.facility("syslog").or(implied.then(Default::default)).filter(|_| enabled),
        file: values.path("log-file").filter(|path| !path.is_empty()).map(PathBuf::from),
        format,
        close_stderr: values.on("close-stderr") || mode.server || mode.proxy,
    };
    let closed = settings.close_stderr && settings.file.is_none() && settings.syslog.is_none();
    if enabled && closed && mode.program == Program::Relay {
        let blame = if values.on("close-stderr") {
            "--close-stderr"
        } else if mode.server {
            "--as-server"
        } else {
            "--as-proxy"
        };
        remarks.user.push(format!(
            "logging will stop because {blame} closes the standard error stream soon after startup"
        ));
    }
    settings
}

/// The settings of one instance.
///
/// # Errors
/// Something in a value is known and not built, or two values do not go together.
pub(super) fn instance(
    name: &str,
    program: Program,
    env: &Environment,
    entries: &Entries,
    values: &Values,
    tls_keywords: TlsKeywords,
    remarks: &mut Remarks,
) -> Result<Settings, Failure> {
    let mut compat = if values.text("compat").is_some() { Compat::V2_6 } else { Compat::default() };
    let anonymous = anonymous(entries, values, remarks);
    let domain = values.text("domain");
    if let Some(domain) =
        domain.as_deref().filter(|domain| !domain.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        let label = idna::domain_to_ascii(domain).unwrap_or_default();
        remarks.user.push(format!("the domain should be printable ascii: try using \"{label}\""));
    }
    let forward = forward(program, compat, entries, values, remarks)?;
    compat.forwarding |= forward.keywords.compat26;
    let server_policy = policy(values, "server-auth-config", Policy::parse, remarks);
    let smtp = smtp(program, env, entries, values, remarks)?;
    let pop = pop(program, entries, values, remarks)?;
    let interfaces = interfaces(values, remarks);
    let admin = admin(program, entries, values, &interfaces);
    let servers = [
        (Server::Smtp, smtp.enabled),
        (Server::Pop, pop.enabled),
        (Server::Admin, admin.enabled && admin.port.is_some()),
    ];
    for (server, on) in servers {
        warn_of_all_addresses(server, on, program, &interfaces, remarks);
    }
    Ok(Settings {
        name: name.to_owned(),
        spool_dir: PathBuf::from(values.path("spool-dir").unwrap_or_default()),
        delivery_dir: values.path("delivery-dir").filter(|path| !path.is_empty()).map(PathBuf::from),
        domain,
        durability: match values.text("durability").as_deref() {
            Some("none") => Durability::None,
            _ => Durability::Full,
        },
        anonymous,
        compat,
        sweep: !values.on("no-sweep"),
        auth_policy: if compat.mechanisms { server_policy.old() } else { server_policy },
        interfaces,
        smtp,
        pop,
        admin,
        forward,
        server_tls: tls::server(values, tls_keywords)?,
        client_tls: tls::client(values, tls_keywords, remarks)?,
        filter: filter(program, env, entries, values, remarks)?,
    })
}

fn filter(
    program: Program,
    env: &Environment,
    entries: &Entries,
    values: &Values,
    remarks: &mut Remarks,
) -> Result<FilterSettings, Failure> {
    let mut filters = |name| {
        let found = filters::of(entries, name, env)?.unwrap_or_default();
        found.warnings.iter().for_each(|warning| remarks.both(warning));
        Ok::<_, Failure>(found.filters)
    };
    let server = if program == Program::Forward { Vec::new() } else { filters("filter")? };
    let client = filters("client-filter")?;
    let timeout = values.duration("filter-timeout").and_then(limit);
    let longest = timeout.unwrap_or_default().saturating_mul(u32::try_from(server.len()).unwrap_or(u32::MAX));
    if longest > CLIENT_PATIENCE {
        remarks.both("filters may take longer than clients wait for a reply: reduce --filter-timeout");
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let automatic = u32::try_from(processors).unwrap_or(1).saturating_mul(4).max(8);
    Ok(FilterSettings {
        server,
        client,
        timeout,
        running: values.number("filter-max").unwrap_or(automatic),
        wait: values.duration("filter-queue-timeout").unwrap_or_default(),
    })
}

fn anonymous(entries: &Entries, values: &Values, remarks: &mut Remarks) -> Anonymous {
    let Some(_) = entries.get("anonymous") else { return Anonymous::default() };
    let list = values.text("anonymous").unwrap_or_default();
    if list.is_empty() {
        return Anonymous::ALL;
    }
    let mut hidden = Anonymous::default();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "server" => hidden.server = true,
            "vrfy" => hidden.vrfy = true,
            "content" => hidden.content = true,
            "client" => hidden.client = true,
            _ => remarks.user.push(format!("unknown --anonymous item [{word}]")),
        }
    }
    hidden
}

fn smtp(
    program: Program,
    env: &Environment,
    entries: &Entries,
    values: &Values,
    remarks: &mut Remarks,
) -> Result<SmtpSettings, Failure> {
    let off = ["dont-serve", "no-smtp", "as-client"].into_iter().any(|name| entries.contains_key(name));
    let enabled = match program {
        Program::Relay => !off,
        Program::Smtp => true,
        Program::Forward | Program::Pop | Program::Admin => false,
    };
    let keywords: Parsed<ServerKeywords> =
        keywords::server(&values.text("server-smtp-config").unwrap_or_default());
    let remote_clients = values.on("remote-clients");
    let auth = enabled.then(|| server_auth(values, "server-auth", remarks)).transpose()?.flatten();
    let verifier = verifier(entries, env, remarks)?;
    if enabled && remote_clients && auth.is_none() && verifier == VerifierSpec::AcceptAll {
        remarks.both(
            "--remote-clients without --server-auth or --address-verifier lets anybody send mail through this server",
        );
    }
    Ok(SmtpSettings {
        enabled,
        port: values.port("port").unwrap_or_default(),
        remote_clients,
        max_size: values.size("size").filter(|size| *size > 0),
        idle_timeout: values.duration("idle-timeout").and_then(limit),
        keywords: known(keywords, remarks),
        max_connections: values.number("smtp-max-connections"),
        max_per_address: values.number("smtp-max-per-address").filter(|number| *number > 0),
        auth,
        auth_delay: values.duration("smtp-auth-delay").and_then(limit),
        max_recipients: values.number("smtp-max-recipients").unwrap_or(u32::MAX),
        verifier,
        verifier_parallel: values.number("verifier-parallel").unwrap_or(1),
        dnsbl: dnsbl(values)?,
    })
}

fn pop(
    program: Program,
    entries: &Entries,
    values: &Values,
    remarks: &mut Remarks,
) -> Result<PopSettings, Failure> {
    let enabled = match program {
        Program::Relay => entries.contains_key("pop"),
        Program::Pop => true,
        Program::Smtp | Program::Forward | Program::Admin => false,
    };
    let auth = enabled.then(|| server_auth(values, "pop-auth", remarks)).transpose()?.flatten();
    if enabled && auth.is_none() {
        return Err(Failure::Usage(format!("{} requires --pop-auth", program.as_str())));
    }
    let remote_clients = values.on("remote-clients");
    if enabled && remote_clients && !values.on("server-tls-required") && !values.on("pop-tls-connection") {
        remarks.log.push(
            "pop clients may send passwords in clear: add --server-tls and --server-tls-required".to_owned(),
        );
    }
    Ok(PopSettings {
        enabled,
        port: values.port("pop-port").unwrap_or_default(),
        remote_clients,
        auth,
        auth_delay: values.duration("pop-auth-delay").unwrap_or_default(),
        implicit_tls: values.on("pop-tls-connection"),
        by_name: values.on("pop-by-name"),
        no_delete: values.on("pop-no-delete"),
        idle_timeout: values.duration("idle-timeout").and_then(limit),
        max_connections: values.number("pop-max-connections").unwrap_or(u32::MAX),
        max_per_address: values.number("pop-max-per-address").filter(|number| *number > 0),
    })
}

/// The administration server is there when its port is given, and in its own program always: on other sockets if there is no
/// port.
fn admin(program: Program, entries: &Entries, values: &Values, interfaces: &[Item]) -> AdminSettings {
    let port = values.port("admin").filter(|_| entries.contains_key("admin"));
    let open = |item: &Item| {
        item.server == Some(Server::Admin)
            && match &item.place {
                Place::Ip { address, .. } => !address.is_loopback(),
                Place::Interface { .. } | Place::Any => true,
                Place::Unix(_) | Place::Abstract(_) | Place::Fd(_) | Place::FdName(_) => false,
            }
    };
    AdminSettings {
        enabled: program == Program::Admin || (program == Program::Relay && port.is_some()),
        port,
        terminate: values.on("admin-terminate"),
        tcp_right: match values.text("admin-tcp-role").as_deref() {
            Some("operator") => Right::Operator,
            Some("read-only") => Right::ReadOnly,
            _ => Right::Full,
        },
        reach: if values.on("remote-clients") {
            Reach::Everywhere
        } else if interfaces.iter().any(open) {
            Reach::LocalNetworks
        } else {
            Reach::ThisHost
        },
    }
}

/// A server without an address of its own listens everywhere, which for administration deserves a word in any case.
fn warn_of_all_addresses(server: Server, on: bool, program: Program, items: &[Item], remarks: &mut Remarks) {
    // The role programs take what the service manager has bound.
    let told = !items.is_empty() || (server == Server::Admin && program == Program::Relay);
    if on && told && interface::places(items, server).is_empty() {
        let name = server.as_str();
        remarks.both(&format!("{name} server is listening on all addresses: add {name}=... to --interface"));
    }
}

fn interfaces(values: &Values, remarks: &mut Remarks) -> Vec<Item> {
    let mut items = values.interfaces("interface");
    for item in interface::merge(&mut items) {
        remarks.user.push(format!("--interface names {item} more than once"));
    }
    items
}

fn forward(
    program: Program,
    compat: Compat,
    entries: &Entries,
    values: &Values,
    remarks: &mut Remarks,
) -> Result<ForwardSettings, Failure> {
    let as_client = values.address("as-client");
    let as_proxy = values.address("as-proxy");
    let at_start = program == Program::Forward || as_client.is_some() || values.on("forward");
    let on_disconnect = as_proxy.is_some() || values.on("forward-on-disconnect");
    let to = as_client.or(as_proxy).or_else(|| values.address("forward-to"));
    let keywords: Parsed<ClientKeywords> =
        keywords::client(&values.text("client-smtp-config").unwrap_or_default(), compat.forwarding);
    // One message after the other is part of the old behaviour.
    let one = keywords.settings.compat26 && !entries.contains_key("forward-connections");
    let connections = values.number("forward-connections").filter(|_| !one);
    let duration = |name| values.duration(name).unwrap_or_default();
    let client_policy = policy(values, "client-auth-config", Policy::parse_client, remarks);
    let immediate = values.on("immediate");
    // Of the instances of emailrelay-smtp one may send on at once and another not.
    let sends = program != Program::Smtp || immediate;
    let to = to.filter(|_| sends);
    if immediate {
        remark_immediate(to.is_some(), on_disconnect || values.duration("poll").is_some(), program, remarks);
    }
    Ok(ForwardSettings {
        to,
        at_start,
        immediate,
        by_hand: entries.get("forward").is_some_and(Entry::is_by_hand),
        remembers: matches!(program, Program::Forward | Program::Admin),
        on_disconnect,
        poll: values.duration("poll"),
        to_some: values.on("forward-to-some"),
        auth: client_auth(values)?.filter(|_| sends),
        auth_policy: if compat.mechanisms { client_policy.old() } else { client_policy },
        client_interface: values.local_address("client-interface"),
        keywords: known(keywords, remarks),
        connection_timeout: limit(duration("connection-timeout")),
        response_timeout: limit(duration("response-timeout")),
        prompt_timeout: limit(duration("prompt-timeout")),
        connections: connections.unwrap_or(1),
        connections_max: values.number("forward-connections-max").unwrap_or(1),
        idle: duration("forward-idle"),
        retry: retry(duration("retry-first"), duration("retry-max"), duration("retry-give-up"))?,
        in_doubt: match values.text("in-doubt").as_deref() {
            Some("fail") => InDoubt::Fail,
            _ => InDoubt::Retry,
        },
        busy_timeout: values.duration("busy-timeout").unwrap_or(busy_timeout(program)),
    })
}

/// What whoever uses `--immediate` should know.
fn remark_immediate(has_next_hop: bool, retries: bool, program: Program, remarks: &mut Remarks) {
    let mut say = |text: &str| remarks.log.push(text.to_owned());
    if !has_next_hop {
        return say("--immediate has no effect without --forward-to");
    }
    say("using --immediate can result in client timeout errors: try --forward-on-disconnect instead");
    if program == Program::Relay && !retries {
        say(
            "without --poll or --forward-on-disconnect nothing sends the messages whose clients do not wait for --immediate",
        );
    }
}

/// Our own programs lock what they are sending, so a message that nobody locks is free at once; time is only given to
/// E-MailRelay 2.6, which may share the spool with its successor.
fn busy_timeout(program: Program) -> Duration {
    match program {
        Program::Forward | Program::Admin => Duration::ZERO,
        Program::Relay | Program::Smtp | Program::Pop => Duration::from_secs(600),
    }
}

fn retry(first: Duration, max: Duration, give_up: Duration) -> Result<Retry, Failure> {
    if max < first {
        return Err(Failure::Usage("the --retry-max value must not be less than --retry-first".to_owned()));
    }
    Ok(Retry { first, max, give_up: limit(give_up) })
}

/// Keywords that there are; others are only reported.
fn known<T>(parsed: Parsed<T>, remarks: &mut Remarks) -> T {
    remarks.log.extend(parsed.unknown.iter().map(|item| format!("unknown smtp-config item [{item}]")));
    parsed.settings
}
