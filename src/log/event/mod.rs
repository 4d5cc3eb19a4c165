//! Every fact that can be logged, one variant for each, with its text, its kind, and its journal fields.

mod admin;
mod delivery;
mod dnsbl;
mod filter;
mod forward;
mod login;
mod notify;
mod pop;
mod process;
mod server;
mod spool;
mod start;
mod tls;
mod verify;

use std::fmt;

pub use admin::AdminEvent;
pub use delivery::DeliveryEvent;
pub use dnsbl::DnsblEvent;
pub use filter::{FilterEvent, FilterVerdict};
pub use forward::{Delivery, ForwardEvent};
pub use login::LoginEvent;
pub use notify::NotifyEvent;
pub use pop::PopEvent;
pub use process::ProcessEvent;
pub use server::ServerEvent;
pub use spool::SpoolEvent;
pub use start::StartEvent;
pub use tls::TlsEvent;
pub use verify::VerifyEvent;

use super::escape::Peer;
use super::kind::{Kind, Level};

/// Longest journal field, bytes.
const MAX_FIELD: usize = 4096;

/// So many recipients are named in a text line.
const NAMED: usize = 2;

/// A fact. Its text comes from `Display`; tools match these texts, they do not change.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Start-up and listening.
    Start(StartEvent),
    /// Life of the process.
    Process(ProcessEvent),
    /// SMTP server.
    Server(ServerEvent),
    /// Filters and the programs that are run.
    Filter(FilterEvent),
    /// Logins and secrets files.
    Login(LoginEvent),
    /// Block lists.
    Dnsbl(DnsblEvent),
    /// Forwarding.
    Forward(ForwardEvent),
    /// POP server.
    Pop(PopEvent),
    /// Spool directory.
    Spool(SpoolEvent),
    /// Address verifiers.
    Verify(VerifyEvent),
    /// Administration.
    Admin(AdminEvent),
    /// Encryption.
    Tls(TlsEvent),
    /// Mailboxes.
    Delivery(DeliveryEvent),
    /// Reports to senders.
    Notify(NotifyEvent),
    /// An event of a protocol session that carries its own text. Peer text in it is escaped already.
    Protocol {
        /// What kind it is; gives the level.
        kind: &'static Kind,
        /// The text of the line.
        text: String,
        /// Journal fields.
        fields: Fields,
    },
}

/// Journal fields of an entry, written with the prefix `EMAILRELAY_`. `MSGID`, `PEER` and `INSTANCE` are taken from the context
/// where an event does not set them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `MSGID`: the full message id.
    pub msgid: Option<String>,
    /// `PEER`: the client's address.
    pub peer: Option<String>,
    /// `FROM`: the return path; empty for `<>`.
    pub from: Option<String>,
    /// `RCPTS`: recipients, separated by commas; cut when very long.
    pub rcpts: Option<String>,
    /// `SIZE`: bytes.
    pub size: Option<u64>,
    /// `NEXT_HOP`: the address messages go to.
    pub next_hop: Option<String>,
    /// `REPLY_CODE`: of the deciding SMTP reply.
    pub reply_code: Option<u16>,
    /// `REASON`: why.
    pub reason: Option<String>,
    /// `USER`: who authenticated.
    pub user: Option<String>,
    /// `INSTANCE`: name of the instance.
    pub instance: Option<String>,
    /// `FILTER`: name of the filter, or of all filters of a position.
    pub filter: Option<String>,
    /// `RESULT`: `ok`, `abandon` or `fail`.
    pub result: Option<&'static str>,
    /// `EXIT`: exit code of a program.
    pub exit: Option<u32>,
    /// `MS`: how long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// `TLS`: protocol and cipher.
    pub tls: Option<String>,
}

/// The servers a process can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// SMTP.
    Smtp,
    /// POP3.
    Pop,
    /// Administration.
    Admin,
}

/// What every area's events offer.
trait Fact: fmt::Display {
    fn kind(&self) -> &'static Kind;
    fn fields(&self) -> Fields;
}

impl Event {
    /// What kind of event it is.
    pub fn kind(&self) -> &'static Kind {
        match self {
            Event::Protocol { kind, .. } => kind,
            other => other.fact().map_or(super::kind::SESSION_NOTE, Fact::kind),
        }
    }

    /// How important it is.
    pub fn level(&self) -> Level {
        self.kind().level
    }

    /// `MESSAGE_ID=` in the journal.
    pub fn message_id(&self) -> &'static str {
        self.kind().id
    }

    /// The journal fields of the event itself.
    pub fn fields(&self) -> Fields {
        match self {
            Event::Protocol { fields, .. } => fields.clone(),
            other => other.fact().map(Fact::fields).unwrap_or_default(),
        }
    }

    fn fact(&self) -> Option<&dyn Fact> {
        match self {
            Event::Start(event) => Some(event),
            Event::Process(event) => Some(event),
            Event::Server(event) => Some(event),
            Event::Filter(event) => Some(event),
            Event::Login(event) => Some(event),
            Event::Dnsbl(event) => Some(event),
            Event::Forward(event) => Some(event),
            Event::Pop(event) => Some(event),
            Event::Spool(event) => Some(event),
            Event::Verify(event) => Some(event),
            Event::Admin(event) => Some(event),
            Event::Tls(event) => Some(event),
            Event::Delivery(event) => Some(event),
            Event::Notify(event) => Some(event),
            Event::Protocol { .. } => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Protocol { text, .. } => f.write_str(text),
            other => other.fact().map_or(Ok(()), |fact| fact.fmt(f)),
        }
    }
}

macro_rules! areas {
    ($($area:ident($event:ident)),+) => {
        $(impl From<$event> for Event {
            fn from(event: $event) -> Event {
                Event::$area(event)
            }
        })+
    };
}

areas!(
    Start(StartEvent),
    Process(ProcessEvent),
    Server(ServerEvent),
    Filter(FilterEvent),
    Login(LoginEvent),
    Dnsbl(DnsblEvent),
    Forward(ForwardEvent),
    Pop(PopEvent),
    Spool(SpoolEvent),
    Verify(VerifyEvent),
    Admin(AdminEvent),
    Tls(TlsEvent),
    Delivery(DeliveryEvent),
    Notify(NotifyEvent)
);

impl Fields {
    /// Fields with a reason only.
    pub fn reason(reason: &str) -> Fields {
        Fields { reason: Some(reason.to_owned()), ..Fields::default() }
    }

    /// Fields with a message id only.
    pub fn msgid(id: &str) -> Fields {
        Fields { msgid: Some(id.to_owned()), ..Fields::default() }
    }

    /// The value of `RCPTS` for these recipients, cut after the last whole one that fits.
    pub fn join(recipients: &[String]) -> String {
        let mut joined = String::new();
        for recipient in recipients {
            if joined.len() + recipient.len() >= MAX_FIELD {
                joined.push_str("...");
                break;
            }
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(recipient);
        }
        joined
    }
}

impl Server {
    /// The word in lines and option values.
    pub fn word(self) -> &'static str {
        match self {
            Server::Smtp => "smtp",
            Server::Pop => "pop",
            Server::Admin => "admin",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Recipients as delivery records name them: `<a@example.com,b@example.com (+3)>`.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<")?;
        for (index, name) in self.0.iter().take(NAMED).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}", Peer(name))?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => f.write_str(">"),
            more => write!(f, " (+{more})>"),
        }
    }
}

#[cfg(test)]
mod tests;
