//! Filters, and the programs that they and address verifiers run.

use std::fmt;
use std::time::Duration;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about filters. `word` is `filter`, `client-filter` or `routing-filter`, `name` that of the filter or of all filters
/// of the position, joined by commas.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterEvent {
    /// A message comes to the filters.
    Started {
        /// Position.
        word: &'static str,
        /// Name.
        name: String,
        /// Message.
        id: String,
    },
    /// A program is run.
    Running {
        /// Position.
        word: &'static str,
        /// Name.
        name: String,
        /// Message.
        id: String,
        /// Path of the program.
        path: String,
    },
    /// What a program has written.
    Output {
        /// The beginning of it.
        text: String,
    },
    /// A program ended with another exit code than that for "go on".
    ExitCode {
        /// Position.
        word: &'static str,
        /// Name.
        name: String,
        /// Exit code.
        code: u32,
        /// Text for the client.
        response: String,
        /// SMTP code of the text.
        reply: Option<u16>,
        /// The program wants the message left alone, which is nothing to worry about.
        abandoned: bool,
    },
    /// A program took too long.
    TimedOut {
        /// Position.
        word: &'static str,
        /// Name.
        name: String,
        /// The limit.
        after: Duration,
    },
    /// The verdict of a position's filters.
    Verdict(FilterVerdict),
    /// A message was refused to the client for a filter.
    Rejected {
        /// Why.
        reason: String,
        /// Name.
        name: String,
    },
    /// A message could not be filtered.
    Exception {
        /// Why.
        reason: String,
        /// Name.
        name: String,
    },
    /// A network filter cannot be used.
    Fault {
        /// Position.
        word: &'static str,
        /// Name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Filters were skipped behind one that left the message where it was.
    Skipped {
        /// Name of the one that ended it.
        name: String,
    },
    /// A filter has spoilt the message's files.
    InvalidFiles {
        /// Name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A detail of a filter's work.
    Note {
        /// The line.
        text: String,
    },
    /// A program was told to end and has not yet.
    WaitingForKilled {
        /// Number of its process.
        pid: i32,
    },
    /// It has ended now.
    KilledHasEnded {
        /// Number of its process.
        pid: i32,
    },
}

/// What the filters of a position said of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterVerdict {
    /// Position.
    pub word: &'static str,
    /// Name.
    pub name: String,
    /// Message.
    pub id: String,
    /// `ok`, `ok(abandon)` or `failed`.
    pub result: &'static str,
    /// ` +rescan` or ` +break`, or nothing.
    pub flag: &'static str,
    /// Text for the client.
    pub response: String,
    /// Why, if that is not the response.
    pub reason: String,
    /// How long it took.
    pub took: Duration,
    /// For the journal: `ok`, `abandon` or `fail`.
    pub outcome: &'static str,
}

impl Fact for FilterEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Started { .. } | Self::Output { .. } => kind::FILTER_DETAIL,
            Self::Running { .. } | Self::Note { .. } => kind::FILTER_RUNNING,
            Self::ExitCode { abandoned: true, .. } => kind::FILTER_ABANDONED,
            Self::ExitCode { .. } => kind::FILTER_EXIT,
            Self::TimedOut { .. } => kind::FILTER_TIMEOUT,
            Self::Verdict(_) => kind::FILTER_VERDICT,
            Self::Rejected { .. } => kind::FILTER_REJECTED,
            Self::Exception { .. } => kind::FILTER_EXCEPTION,
            Self::Fault { .. } => kind::FILTER_FAULT,
            Self::Skipped { .. } => kind::FILTERS_SKIPPED,
            Self::InvalidFiles { .. } => kind::FILTER_INVALID_FILES,
            Self::WaitingForKilled { .. } | Self::KilledHasEnded { .. } => kind::FILTER_KILLED,
        }
    }

    fn fields(&self) -> Fields {
        let named = |name: &str| Fields { filter: Some(name.to_owned()), ..Fields::default() };
        match self {
            Self::Started { name, id, .. } | Self::Running { name, id, .. } => {
                Fields { msgid: Some(id.clone()), ..named(name) }
            }
            Self::ExitCode { name, code, reply, .. } => {
                Fields { exit: Some(*code), reply_code: *reply, ..named(name) }
            }
            Self::Verdict(verdict) => verdict.fields(),
            Self::Rejected { reason, name }
            | Self::Exception { reason, name }
            | Self::Fault { reason, name, .. }
            | Self::InvalidFiles { what: reason, name } => {
                Fields { reason: Some(reason.clone()), ..named(name) }
            }
            Self::TimedOut { name, .. } | Self::Skipped { name } => named(name),
            Self::Output { .. }
            | Self::Note { .. }
            | Self::WaitingForKilled { .. }
            | Self::KilledHasEnded { .. } => Fields::default(),
        }
    }
}

impl FilterVerdict {
    fn fields(&self) -> Fields {
        let reason = Some(&self.reason).filter(|reason| !reason.is_empty()).unwrap_or(&self.response);
        Fields {
            filter: Some(self.name.clone()),
            result: Some(self.outcome),
            took_ms: u64::try_from(self.took.as_millis()).ok(),
            reason: Some(reason).filter(|reason| !reason.is_empty()).cloned(),
            ..Fields::msgid(&self.id)
        }
    }
}

impl fmt::Display for FilterEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { word, name, id } => write!(f, "{word} [{}]: [{id}]", Peer(name)),
            Self::Running { word, name, id, path } => {
                write!(f, "{word} [{}]: [{id}]: running {}", Peer(name), Peer(path))
            }
            Self::Output { text } => write!(f, "executable output: [{}]", Peer(text)),
            Self::ExitCode { word, name, code, response, reply, .. } => {
                write!(f, "{word} [{}] failed: exit code {code}: [{}]", Peer(name), Peer(response))?;
                reply.map_or(Ok(()), |reply| write!(f, "({reply})"))
            }
            Self::TimedOut { word, name, after } => {
                write!(f, "{word} [{}] timed out after {}s", Peer(name), after.as_secs())
            }
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Rejected { reason, .. } => write!(f, "rejected by filter: [{}]", Peer(reason)),
            Self::Exception { reason, .. } => write!(f, "message processing exception: {}", Peer(reason)),
            Self::Fault { word, name, reason } => {
                write!(f, "{word} [{}]: error: {}", Peer(name), Peer(reason))
            }
            Self::Skipped { name } => {
                let name = Peer(name);
                write!(f, "filter [{name}] abandoned with message files still present: later filters skipped")
            }
            Self::InvalidFiles { name, what } => {
                write!(f, "filter [{}] left invalid message files: {}", Peer(name), Peer(what))
            }
            Self::Note { text } => write!(f, "{}", Peer(text)),
            Self::WaitingForKilled { pid } => write!(f, "waiting for killed process to terminate: pid {pid}"),
            Self::KilledHasEnded { pid } => write!(f, "killed process has terminated: pid {pid}"),
        }
    }
}

impl fmt::Display for FilterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { word, name, id, result, flag, response, reason, .. } = self;
        write!(f, "{word} [{}]: [{id}]: {result}{flag} response=[{}]", Peer(name), Peer(response))?;
        if reason.is_empty() || reason == response {
            return Ok(());
        }
        write!(f, " reason=[{}]", Peer(reason))
    }
}
