//! DNS block lists: what they say of clients, and what follows from it.

use std::fmt;
use std::net::Ipv4Addr;

use super::{Fact, Fields};
use crate::log::kind::{self, Kind};

/// What is logged about the lists' word on a client.
#[derive(Clone, Debug, PartialEq)]
pub enum DnsblEvent {
    /// No list is asked about a client that is near.
    Local {
        /// The client's address; `/` for a unix-domain socket.
        address: String,
    },
    /// A list has the client.
    Denied {
        /// The client's address.
        address: String,
        /// The list.
        list: String,
        /// What it answers.
        answers: Vec<Ipv4Addr>,
    },
    /// A list has not.
    Allowed {
        /// The client's address.
        address: String,
        /// The list.
        list: String,
    },
    /// A list has not answered so far.
    NotChecked {
        /// The client's address.
        address: String,
        /// The list.
        list: String,
        /// Why, if that is known; for the journal.
        reason: String,
    },
    /// A list does not tell because of an error of its own.
    ListError {
        /// The client's address.
        address: String,
        /// The list.
        list: String,
        /// What it answers.
        answers: Vec<Ipv4Addr>,
    },
    /// The client is refused.
    Blocked {
        /// The client's address.
        address: String,
        /// The lists that have it.
        lists: Vec<String>,
    },
    /// The client is refused, or let in, without knowing.
    Timeout {
        /// The client's address.
        address: String,
        /// It is refused.
        blocked: bool,
        /// The lists that could have told.
        lists: Vec<String>,
    },
}

impl DnsblEvent {
    fn address(&self) -> &str {
        match self {
            Self::Local { address }
            | Self::Denied { address, .. }
            | Self::Allowed { address, .. }
            | Self::NotChecked { address, .. }
            | Self::ListError { address, .. }
            | Self::Blocked { address, .. }
            | Self::Timeout { address, .. } => address,
        }
    }
}

impl Fact for DnsblEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Local { .. } | Self::Denied { .. } | Self::Allowed { .. } | Self::NotChecked { .. } => {
                kind::DNSBL_ANSWER
            }
            Self::ListError { .. } => kind::DNSBL_LIST_ERROR,
            Self::Blocked { .. } => kind::DNSBL_BLOCKED,
            Self::Timeout { .. } => kind::DNSBL_TIMEOUT,
        }
    }

    fn fields(&self) -> Fields {
        let reason = match self {
            Self::NotChecked { reason, .. } if !reason.is_empty() => Some(reason.clone()),
            Self::Blocked { lists, .. } | Self::Timeout { lists, .. } => Some(lists.join(" ")),
            _ => None,
        };
        Fields { peer: Some(self.address().to_owned()), reason, ..Fields::default() }
    }
}

impl fmt::Display for DnsblEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { address } => write!(f, "dnsbl: not checking local address [{address}]"),
            Self::Denied { address, list, answers } => {
                write!(f, "dnsbl: address [{address}] denied by [{list}]:{}", Answers(answers))
            }
            Self::Allowed { address, list } => write!(f, "dnsbl: address [{address}] allowed by [{list}]"),
            Self::NotChecked { address, list, .. } => {
                write!(f, "dnsbl: address [{address}] not checked by [{list}]")
            }
            Self::ListError { address, list, answers } => {
                write!(f, "dnsbl: address [{address}] not checked by [{list}]: error{}", Answers(answers))
            }
            Self::Blocked { address, lists } => {
                write!(f, "dnsbl: client address [{address}] blocked by{}", Lists(lists))
            }
            Self::Timeout { address, blocked: true, lists } => {
                write!(
                    f,
                    "dnsbl: client address [{address}] blocked: timeout: no answer from{}",
                    Lists(lists)
                )
            }
            Self::Timeout { address, blocked: false, lists } => {
                write!(f, "dnsbl: client address [{address}]: timeout: no answer from{}", Lists(lists))
            }
        }
    }
}

struct Answers<'a>(&'a [Ipv4Addr]);

impl fmt::Display for Answers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|answer| write!(f, " {answer}"))
    }
}

struct Lists<'a>(&'a [String]);

impl fmt::Display for Lists<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|list| write!(f, " [{list}]"))
    }
}
