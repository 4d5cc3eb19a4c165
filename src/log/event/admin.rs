//! Administration.

use std::fmt;
use std::net::IpAddr;

use super::{Fact, Fields};
use crate::log::kind::{self, Kind};

/// What is logged about administrators. `by` is the peer's address, or user and process of a local one.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminEvent {
    /// A local user without the right was sent away.
    Refused {
        /// The user.
        uid: u32,
        /// The process.
        pid: i32,
    },
    /// A client that is not on this host, and only those are served.
    NotLoopback {
        /// The client.
        ip: IpAddr,
    },
    /// Something was done with a message, or with forwarding.
    Action {
        /// The word of the command.
        action: &'static str,
        /// The message's id, if it is about one.
        id: Option<String>,
        /// Who did it.
        by: String,
    },
    /// All failed messages are tried again.
    Unfailed {
        /// How many.
        count: usize,
        /// Who did it.
        by: String,
    },
    /// The SMTP server was switched on or off.
    SmtpSwitched {
        /// On.
        enabled: bool,
        /// Who did it.
        by: String,
    },
    /// The use of DNS block lists was switched on, or off for a while.
    DnsblSwitched {
        /// For how long; 0: on.
        seconds: u32,
    },
    /// The program is to end.
    Terminate {
        /// Who wants it.
        by: String,
    },
    /// The spool directory cannot be watched: there are no events.
    Blind {
        /// Why.
        reason: String,
    },
}

impl Fact for AdminEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            AdminEvent::Refused { .. } => kind::ADMIN_REFUSED,
            AdminEvent::NotLoopback { .. } => kind::NOT_LOCAL,
            AdminEvent::Action { .. } => kind::ADMIN_ACTION,
            AdminEvent::Unfailed { .. } => kind::UNFAILED,
            AdminEvent::SmtpSwitched { .. } => kind::SMTP_SWITCHED,
            AdminEvent::DnsblSwitched { .. } => kind::DNSBL_SWITCHED,
            AdminEvent::Terminate { .. } => kind::TERMINATE,
            AdminEvent::Blind { .. } => kind::SPOOL_NOT_WATCHED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            AdminEvent::Action { id: Some(id), .. } => Fields::msgid(id),
            AdminEvent::NotLoopback { ip } => Fields { peer: Some(ip.to_string()), ..Fields::default() },
            AdminEvent::Blind { reason } => Fields::reason(reason),
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for AdminEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminEvent::Refused { uid, pid } => write!(f, "admin connection refused: uid={uid} pid={pid}"),
            AdminEvent::NotLoopback { ip } => {
                write!(f, "configured to reject non-local admin connection: {ip} is not a loopback address")
            }
            AdminEvent::Action { action, id: Some(id), by } => write!(f, "admin: {action} [{id}] by {by}"),
            AdminEvent::Action { action, id: None, by } => write!(f, "admin: {action} by {by}"),
            AdminEvent::Unfailed { count, by } => write!(f, "unfail: {count} message(s) by {by}"),
            AdminEvent::SmtpSwitched { enabled, by } => {
                write!(f, "smtp {} by {by}", if *enabled { "enabled" } else { "disabled" })
            }
            AdminEvent::DnsblSwitched { seconds: 0 } => f.write_str("dnsbl enabled"),
            AdminEvent::DnsblSwitched { seconds } => write!(f, "dnsbl disabled for {seconds}s"),
            AdminEvent::Terminate { by } => write!(f, "received a terminate command from {by}"),
            AdminEvent::Blind { reason } => write!(f, "no events for notify: {reason}"),
        }
    }
}
