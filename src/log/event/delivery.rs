//! Delivery into mailboxes, and what filters of our own do with messages.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about copies of messages, and about their routing.
#[derive(Clone, Debug, PartialEq)]
pub enum DeliveryEvent {
    /// A message was copied into sub-directories.
    Copied {
        /// `filter` or another position.
        word: &'static str,
        /// The message's id.
        id: String,
        /// Those that have a copy.
        to: Vec<String>,
        /// Those that are left out.
        skipped: Vec<String>,
    },
    /// There is nothing to copy into. Once.
    NoFolders {
        /// The spool directory.
        path: String,
    },
    /// A message goes to mailboxes outside the spool.
    Delivering {
        /// The message's id.
        id: String,
        /// The directory of the mailboxes.
        path: String,
    },
    /// A mailbox was made.
    MailboxCreated {
        /// Its name.
        name: String,
    },
    /// A recipient's mailbox has a message.
    Delivered {
        /// The message's id.
        id: String,
        /// The recipient.
        name: String,
    },
    /// A message was split: this is one of the parts.
    Split {
        /// `filter` or another position.
        word: &'static str,
        /// The part's id.
        id: String,
        /// The domain it goes to.
        domain: String,
        /// It is new, and not the original.
        created: bool,
    },
    /// A message has no remote recipients to be split by.
    NothingToSplit {
        /// `filter` or another position.
        word: &'static str,
    },
    /// The mail exchangers of a domain are looked up.
    LookingUp {
        /// `filter` or another position.
        word: &'static str,
        /// The domain.
        domain: String,
    },
    /// The next hop of a message was looked up.
    Routed {
        /// `filter` or another position.
        word: &'static str,
        /// The message's id.
        id: String,
        /// The next hop; empty for that of all mail, or if there is none.
        address: String,
        /// Why there is none.
        error: Option<String>,
    },
}

impl Fact for DeliveryEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            DeliveryEvent::Copied { .. }
            | DeliveryEvent::Delivering { .. }
            | DeliveryEvent::Delivered { .. } => kind::DELIVERED,
            DeliveryEvent::NoFolders { .. } => kind::NO_MAILBOXES,
            DeliveryEvent::MailboxCreated { .. } => kind::MAILBOX_CREATED,
            DeliveryEvent::Split { .. } | DeliveryEvent::NothingToSplit { .. } => kind::SPLIT,
            DeliveryEvent::LookingUp { .. } | DeliveryEvent::Routed { .. } => kind::ROUTED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            DeliveryEvent::Copied { id, to, .. } => {
                Fields { rcpts: Some(Fields::join(to)), ..Fields::msgid(id) }
            }
            DeliveryEvent::Delivered { id, name } => {
                Fields { rcpts: Some(name.clone()), ..Fields::msgid(id) }
            }
            DeliveryEvent::Routed { id, error, .. } => Fields { reason: error.clone(), ..Fields::msgid(id) },
            DeliveryEvent::Delivering { id, .. } | DeliveryEvent::Split { id, .. } => Fields::msgid(id),
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for DeliveryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeliveryEvent::Copied { word, id, to, skipped } => {
                write!(f, "{word} [copy:]: {id} copied to [{}]", Peer(&to.join(",")))?;
                if skipped.is_empty() { Ok(()) } else { write!(f, " not [{}]", Peer(&skipped.join(","))) }
            }
            DeliveryEvent::NoFolders { path } => {
                write!(f, "copy filter: no sub-directories of [{}] to copy in to", Peer(path))
            }
            DeliveryEvent::Delivering { id, path } => {
                write!(f, "delivery: delivering {id} to [{}/<mbox>]", Peer(path))
            }
            DeliveryEvent::MailboxCreated { name } => {
                write!(f, "delivery: creating mailbox [{}]", Peer(name))
            }
            DeliveryEvent::Delivered { name, .. } => {
                let name = Peer(name);
                write!(f, "delivery: recipient [{name}]: delivery to mailbox [{name}]")
            }
            DeliveryEvent::Split { word, id, domain, created } => {
                let doing = if *created { "creating" } else { "updating" };
                write!(f, "{word} [split:] {doing} [{id}]: forward-to=[{}]", Peer(domain))
            }
            DeliveryEvent::NothingToSplit { word } => {
                write!(f, "{word} [split:]: no remote domains: nothing to do")
            }
            DeliveryEvent::LookingUp { word, domain } => {
                write!(f, "{word} [mx:] looking up [{}]", Peer(domain))
            }
            DeliveryEvent::Routed { word, id, address, error } => {
                write!(f, "{word} [mx:]: [{id}]: setting forward-to-address [{address}]")?;
                error.as_ref().map_or(Ok(()), |error| write!(f, " ({})", Peer(error)))
            }
        }
    }
}
