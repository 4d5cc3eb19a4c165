//! POP server, apart from what the protocol session reports itself.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about POP users and their mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PopEvent {
    /// Where the accounts are.
    Accounts {
        /// Name of the instance.
        instance: Option<String>,
        /// The file, or `pam:`.
        source: String,
    },
    /// A user has logged in.
    LoggedIn {
        /// Who.
        user: String,
        /// The client's transport address.
        address: String,
    },
    /// An address is not served, because it has failed to log in too often.
    Blocked {
        /// The client's address.
        address: String,
    },
    /// A mailbox was made.
    MailboxCreated {
        /// Whose.
        user: String,
    },
    /// A mailbox that will not be usable.
    MailboxNotAccessible {
        /// Its name.
        name: String,
    },
    /// A mailbox cannot be opened.
    MailboxUnavailable {
        /// Whose.
        user: String,
        /// Why.
        reason: String,
    },
    /// A message is not as long as it was when it was listed.
    SizeChanged {
        /// Its content file.
        name: String,
        /// Bytes then.
        listed: u64,
        /// Bytes now.
        found: u64,
    },
    /// A message cannot be read.
    Unreadable {
        /// Its content file.
        name: String,
        /// Why.
        reason: String,
    },
    /// A message cannot be deleted.
    DeleteFailed {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// What a session has done.
    Done {
        /// Who.
        user: String,
        /// Messages and bytes.
        retrieved: (usize, u64),
        /// Messages and bytes.
        deleted: (usize, u64),
    },
}

impl Fact for PopEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Accounts { .. } => kind::POP_ACCOUNTS,
            Self::LoggedIn { .. } => kind::POP_LOGIN,
            Self::Blocked { .. } => kind::POP_BLOCKED,
            Self::MailboxCreated { .. } => kind::POP_MAILBOX_CREATED,
            Self::MailboxNotAccessible { .. } => kind::MAILBOX_NOT_ACCESSIBLE,
            Self::MailboxUnavailable { .. } => kind::MAILBOX_UNAVAILABLE,
            Self::SizeChanged { .. } => kind::MESSAGE_CHANGED,
            Self::Unreadable { .. } => kind::MESSAGE_UNREADABLE,
            Self::DeleteFailed { .. } => kind::POP_DELETE_FAILED,
            Self::Done { .. } => kind::POP_DONE,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            Self::Accounts { instance, .. } => Fields { instance: instance.clone(), ..Fields::default() },
            Self::LoggedIn { user, .. } | Self::MailboxCreated { user } | Self::Done { user, .. } => {
                Fields { user: Some(user.clone()), ..Fields::default() }
            }
            Self::Blocked { address } => Fields { peer: Some(address.clone()), ..Fields::default() },
            Self::MailboxNotAccessible { .. } => Fields::default(),
            Self::MailboxUnavailable { user, reason } => {
                Fields { user: Some(user.clone()), ..Fields::reason(reason) }
            }
            Self::SizeChanged { found, .. } => Fields { size: Some(*found), ..Fields::default() },
            Self::Unreadable { reason, .. } => Fields::reason(reason),
            Self::DeleteFailed { id, reason } => Fields { msgid: Some(id.clone()), ..Fields::reason(reason) },
        }
    }
}

impl fmt::Display for PopEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accounts { instance, source } => {
                if let Some(name) = instance.as_deref().filter(|name| !name.is_empty()) {
                    write!(f, "[{name}] ")?;
                }
                write!(f, "pop server authentication secrets from \"{source}\"")
            }
            Self::LoggedIn { user, address } => {
                write!(f, "pop authentication of {} connected from {address}", Peer(user))
            }
            Self::Blocked { address } => {
                write!(f, "pop address blocked after repeated authentication failures: {address}")
            }
            Self::MailboxCreated { user } => {
                write!(f, "created pop-by-name sub-directory [{}]", Peer(user))
            }
            Self::MailboxNotAccessible { name } => {
                write!(f, "pop-by-name sub-directory [{name}] is not accessible")
            }
            Self::MailboxUnavailable { user, reason } => {
                write!(f, "mailbox of {} is unavailable: {reason}", Peer(user))
            }
            Self::SizeChanged { name, listed, found } => {
                write!(f, "message [{name}] has {found} bytes and was listed with {listed}")
            }
            Self::Unreadable { name, reason } => write!(f, "cannot read message file: [{name}]: {reason}"),
            Self::DeleteFailed { id, reason } => write!(f, "failed to delete message [{id}]: {reason}"),
            Self::Done { user, retrieved, deleted } => write!(
                f,
                "pop session of {}: {} messages ({} bytes) retrieved, {} messages ({} bytes) deleted",
                Peer(user),
                retrieved.0,
                retrieved.1,
                deleted.0,
                deleted.1
            ),
        }
    }
}
