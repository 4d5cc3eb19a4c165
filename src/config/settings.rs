//! What one instance is to do: everything parsed, checked and with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Local, Remote};
use super::auth::{ClientAuth, ServerAuth};
use super::compat::Compat;
use super::dnsbl::Dnsbl;
use super::filter::FilterSettings;
use super::interface::{Item, Server};
use super::keywords::{ClientKeywords, ServerKeywords};
use super::tls::{ClientTls, ServerTls};
use super::verifier::VerifierSpec;
use crate::admin::Right;
use crate::sasl::Policy;

/// How sure a message is on disk before it is acknowledged (`--durability`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Content, envelope and directory are synced first.
    #[default]
    Full,
    /// Nothing is synced; a power cut can lose acknowledged mail.
    None,
}

/// What `--anonymous` hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anonymous {
    /// `server`: product and domain in greeting and EHLO reply.
    pub server: bool,
    /// `vrfy`: VRFY is not offered.
    pub vrfy: bool,
    /// `content`: no Received line is added.
    pub content: bool,
    /// `client`: nothing about the submitting client in AUTH= towards the next hop.
    pub client: bool,
}

impl Anonymous {
    /// Everything hidden.
    pub const ALL: Self = Self { server: true, vrfy: true, content: true, client: true };
}

/// What becomes of a message whose final dot was sent and never answered (`--in-doubt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InDoubt {
    /// It is sent again: it may arrive twice.
    #[default]
    Retry,
    /// It becomes `.bad`: it may not arrive.
    Fail,
}

/// When failed messages are tried again, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Wait after the first failure (`--retry-first`); doubles each time.
    pub first: Duration,
    /// Longest wait (`--retry-max`), not less than `first`.
    pub max: Duration,
    /// A message first tried so long ago becomes `.bad` (`--retry-give-up`). `None`: never.
    pub give_up: Option<Duration>,
}

/// The SMTP server of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpSettings {
    /// Whether there is an SMTP server at all.
    pub enabled: bool,
    /// `--port`; 0 lets the kernel choose.
    pub port: u16,
    /// `--remote-clients`.
    pub remote_clients: bool,
    /// `--size`, bytes; `None` is unlimited.
    pub max_size: Option<u64>,
    /// `--idle-timeout`; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// `--server-smtp-config`.
    pub keywords: ServerKeywords,
    /// `--smtp-max-connections`; `None`: 1000 or a quarter of the file descriptors, whichever is less.
    pub max_connections: Option<u32>,
    /// `--smtp-max-per-address`; `None` is unlimited. Loopback and unix sockets are exempt.
    pub max_per_address: Option<u32>,
    /// `--server-auth`; `None`: nobody needs to log in.
    pub auth: Option<ServerAuth>,
    /// `--smtp-auth-delay`: how long the first refused login waits. `None`: refused logins neither wait nor count.
    pub auth_delay: Option<Duration>,
    /// `--smtp-max-recipients` of one message.
    pub max_recipients: u32,
    /// `--address-verifier`.
    pub verifier: VerifierSpec,
    /// `--verifier-parallel`: recipients that are checked at the same time, at least 1.
    pub verifier_parallel: u32,
    /// `--dnsbl`.
    pub dnsbl: Option<Dnsbl>,
}

/// The POP server of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PopSettings {
    /// Whether there is a POP server at all.
    pub enabled: bool,
    /// `--pop-port`; 0 lets the kernel choose.
    pub port: u16,
    /// `--remote-clients`.
    pub remote_clients: bool,
    /// `--pop-auth`; always there when the server is enabled.
    pub auth: Option<ServerAuth>,
    /// `--pop-auth-delay`: how long the first refused login waits. Zero: refused logins neither wait nor count.
    pub auth_delay: Duration,
    /// `--pop-tls-connection`: clients begin with a TLS handshake.
    pub implicit_tls: bool,
    /// `--pop-by-name`: each user has a sub-directory.
    pub by_name: bool,
    /// `--pop-no-delete`: what clients delete stays.
    pub no_delete: bool,
    /// `--idle-timeout`; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// `--pop-max-connections`.
    pub max_connections: u32,
    /// `--pop-max-per-address`; `None` is unlimited. Loopback and unix sockets are exempt.
    pub max_per_address: Option<u32>,
}

/// Forwarding of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSettings {
    /// The next hop. `None`: nothing can be forwarded.
    pub to: Option<Remote>,
    /// `--forward`, `--as-client`: a run at start-up. Always on in `emailrelay-forward`.
    pub at_start: bool,
    /// `--forward` on the command line: somebody wants an attempt now, at destinations that are being left alone too.
    pub by_hand: bool,
    /// Destinations in trouble are noted in the spool directory: a process that forwards once and ends would knock at them
    /// each time it is started. Only in `emailrelay-forward` and `emailrelay-admin`.
    pub remembers: bool,
    /// `--forward-on-disconnect`, `--as-proxy`: a run when an SMTP client goes away.
    pub on_disconnect: bool,
    /// `--immediate`: the SMTP server sends each message on before it acknowledges it.
    pub immediate: bool,
    /// `--poll`: runs at this period.
    pub poll: Option<Duration>,
    /// `--forward-to-some`: go on when some recipients are refused.
    pub to_some: bool,
    /// `--client-auth`; `None`: we log in nowhere.
    pub auth: Option<ClientAuth>,
    /// `--client-auth-config`.
    pub auth_policy: Policy,
    /// `--client-interface`.
    pub client_interface: Option<Local>,
    /// `--client-smtp-config`.
    pub keywords: ClientKeywords,
    /// `--connection-timeout`: lookup, connect and TLS handshake, the latter also of our clients; `None` is for ever.
    pub connection_timeout: Option<Duration>,
    /// `--response-timeout`: each reply; `None` is for ever.
    pub response_timeout: Option<Duration>,
    /// `--prompt-timeout`: the greeting; `None` is for ever.
    pub prompt_timeout: Option<Duration>,
    /// `--forward-connections`, to one destination, at least 1.
    pub connections: u32,
    /// `--forward-connections-max`, in total, at least 1.
    pub connections_max: u32,
    /// `--forward-idle`: how long connections are kept open between runs. Zero: not at all.
    pub idle: Duration,
    /// `--retry-first`, `--retry-max`, `--retry-give-up`.
    pub retry: Retry,
    /// `--in-doubt`.
    pub in_doubt: InDoubt,
    /// `--busy-timeout`: a `.busy` file nobody has locked for so long is taken back. 600 s in `emailrelay`, which may share
    /// the spool with E-MailRelay 2.6, whose files are never locked; none in `emailrelay-forward`.
    pub busy_timeout: Duration,
}

/// From where administrators may connect over TCP. Local sockets are judged by user instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Loopback addresses.
    #[default]
    ThisHost,
    /// Private networks too: `--interface` names an address of this host for administration that is not a loopback
    /// address.
    LocalNetworks,
    /// Anywhere: `--remote-clients`.
    Everywhere,
}

/// The administration server of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Whether there is an administration server at all.
    pub enabled: bool,
    /// `--admin`: the TCP port; 0 lets the kernel choose. `None`: only sockets that are none of TCP.
    pub port: Option<u16>,
    /// `--admin-terminate`.
    pub terminate: bool,
    /// From where.
    pub reach: Reach,
    /// `--admin-tcp-role`: what they may do over TCP.
    pub tcp_right: Right,
}

/// One instance: a spool directory and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The instance's name; empty for the nameless one.
    pub name: String,
    /// `--spool-dir`.
    pub spool_dir: PathBuf,
    /// `--delivery-dir`; `None`: the spool directory.
    pub delivery_dir: Option<PathBuf>,
    /// `--domain`; `None`: derive it from the host's name.
    pub domain: Option<String>,
    /// `--durability`.
    pub durability: Durability,
    /// `--anonymous`.
    pub anonymous: Anonymous,
    /// `--compat 2.6`.
    pub compat: Compat,
    /// Old left-over files in the spool directory are removed: always but with `--no-sweep`.
    pub sweep: bool,
    /// `--interface`, without repeated items; see [`super::interface::places`].
    pub interfaces: Vec<Item>,
    /// `--server-auth-config`, for SMTP and POP.
    pub auth_policy: Policy,
    /// The SMTP server.
    pub smtp: SmtpSettings,
    /// The POP server.
    pub pop: PopSettings,
    /// The administration server.
    pub admin: AdminSettings,
    /// Forwarding.
    pub forward: ForwardSettings,
    /// Filters.
    pub filter: FilterSettings,
    /// TLS of the servers.
    pub server_tls: Option<ServerTls>,
    /// TLS of forwarding.
    pub client_tls: Option<ClientTls>,
}

impl Settings {
    /// The servers of the instance, each with its TCP port if it may have one, in the order in which they start.
    #[must_use]
    pub fn servers(&self) -> Vec<(Server, Option<u16>)> {
        let smtp = self.smtp.enabled.then_some((Server::Smtp, Some(self.smtp.port)));
        let admin = self.admin.enabled.then_some((Server::Admin, self.admin.port));
        let pop = self.pop.enabled.then_some((Server::Pop, Some(self.pop.port)));
        smtp.into_iter().chain(admin).chain(pop).collect()
    }

    /// Whether the instance listens for anybody.
    #[must_use]
    pub fn serves(&self) -> bool {
        !self.servers().is_empty()
    }

    /// Whether there is anything to do: somebody to serve, or a run to make.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.serves() || (self.forward.to.is_some() && (self.forward.at_start || self.forward.poll.is_some()))
    }

    /// Whether the work ends with the run at start-up: nobody is served and nothing starts another run.
    #[must_use]
    pub fn ends_after_first_run(&self) -> bool {
        !self.serves() && self.forward.at_start && self.forward.poll.is_none()
    }
}

/// What holds for the whole process, whatever the number of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The program's name in log lines and messages: the base name of `argv[0]` without its last extension.
    pub name: String,
    /// Go to the background. Never in the role programs.
    pub daemon: bool,
    /// `--pid-file`.
    pub pid_file: Option<PathBuf>,
    /// `--user`; `root` means never to switch.
    pub user: String,
    /// The log.
    pub log: super::LogSettings,
    /// `--stop-timeout`: how long sessions may take to finish when the program is stopped.
    pub stop_timeout: Duration,
    /// `--idle-exit`: end after so long without a session. `None`: never.
    pub idle_exit: Option<Duration>,
    /// `--linger`: how long the forwarder stays for messages that follow. `None`: not at all.
    pub linger: Option<Duration>,
    /// `--strict-exit`: exit code 3 when messages failed.
    pub strict_exit: bool,
    /// The configuration files that were read, in order.
    pub config_files: Vec<PathBuf>,
}
