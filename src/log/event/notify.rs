//! Reports to senders.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about reports.
#[derive(Clone, Debug, PartialEq)]
pub enum NotifyEvent {
    /// A report is on its way.
    Reported {
        /// The id of the message that it is about.
        id: String,
        /// Who gets it.
        to: String,
        /// The message is late, and has not failed.
        delayed: bool,
        /// The id of the report, if it is in a spool.
        report: Option<String>,
    },
    /// A failed message has nobody to be reported to.
    NotReported {
        /// The message's id.
        id: String,
        /// Why.
        why: &'static str,
    },
    /// A message has waited too long.
    GivenUp {
        /// The message's id.
        id: String,
    },
    /// A report could not be made, or a message not be marked or deleted.
    Fault {
        /// The message's id.
        id: String,
        /// Why.
        reason: String,
    },
}

impl Fact for NotifyEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            NotifyEvent::Reported { .. } => kind::REPORTED,
            NotifyEvent::NotReported { .. } => kind::NOT_REPORTED,
            NotifyEvent::GivenUp { .. } => kind::GIVEN_UP,
            NotifyEvent::Fault { .. } => kind::REPORT_FAILED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            NotifyEvent::Reported { id, to, .. } => Fields { rcpts: Some(to.clone()), ..Fields::msgid(id) },
            NotifyEvent::GivenUp { id } => Fields::msgid(id),
            NotifyEvent::NotReported { id, why } => Fields { msgid: Some(id.clone()), ..Fields::reason(why) },
            NotifyEvent::Fault { id, reason } => Fields { msgid: Some(id.clone()), ..Fields::reason(reason) },
        }
    }
}

impl fmt::Display for NotifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotifyEvent::Reported { id, to, delayed, report } => {
                let what = if *delayed { "delay" } else { "failure" };
                write!(f, "{what} of [{id}] reported to <{}>", Peer(to))?;
                report.as_ref().map_or(Ok(()), |report| write!(f, " by [{report}]"))
            }
            NotifyEvent::NotReported { id, why } => write!(f, "failure of [{id}] not reported: {why}"),
            NotifyEvent::GivenUp { id } => write!(f, "giving up [{id}]: it is too old"),
            NotifyEvent::Fault { id, reason } => write!(f, "cannot report [{id}]: {}", Peer(reason)),
        }
    }
}
