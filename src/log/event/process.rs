//! Life of the process.

use std::fmt;
use std::time::Duration;

use super::{Fact, Fields};
use crate::log::kind::{self, Kind};

/// What is logged about the process itself: stop, reload, shortages, the log.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessEvent {
    /// A graceful stop begins.
    ShuttingDown {
        /// The signal's name, or what else asked for it.
        cause: String,
    },
    /// The stop is complete.
    ShutdownComplete,
    /// The stop timeout passed with sessions left.
    StopForced {
        /// How many.
        sessions: usize,
    },
    /// No session for the idle-exit time.
    IdleExit {
        /// That time.
        after: Duration,
    },
    /// A reload worked.
    Reloaded,
    /// A reload failed, nothing changed.
    ReloadFailed {
        /// Why.
        reason: String,
    },
    /// A changed option cannot be changed by a reload.
    ReloadPartial {
        /// Its name, without dashes.
        option: String,
    },
    /// Counts, on request.
    Status {
        /// As `systemctl status` shows them.
        text: String,
    },
    /// No descriptor left for a new connection. At most once a minute.
    TooManyFiles,
    /// There are descriptors again.
    AcceptingResumed,
    /// accept() failed.
    AcceptFailed {
        /// Why.
        reason: String,
    },
    /// A session panicked.
    Bug {
        /// What is known.
        text: String,
    },
    /// Log files were opened again.
    LogReopened,
    /// The log file cannot be opened.
    LogFileFailed {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// Lines were lost.
    LinesLost {
        /// How many.
        count: u64,
    },
    /// Warnings of one kind from one peer were counted instead of written.
    Repeated {
        /// How many.
        count: u64,
        /// The kind that was folded.
        kind: &'static Kind,
        /// The peer.
        peer: Option<String>,
    },
}

impl Fact for ProcessEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            ProcessEvent::ShuttingDown { .. } => kind::SHUTTING_DOWN,
            ProcessEvent::ShutdownComplete => kind::SHUTDOWN_COMPLETE,
            ProcessEvent::StopForced { .. } => kind::STOP_FORCED,
            ProcessEvent::IdleExit { .. } => kind::IDLE_EXIT,
            ProcessEvent::Reloaded => kind::RELOADED,
            ProcessEvent::ReloadFailed { .. } => kind::RELOAD_FAILED,
            ProcessEvent::ReloadPartial { .. } => kind::RELOAD_PARTIAL,
            ProcessEvent::Status { .. } => kind::STATUS,
            ProcessEvent::TooManyFiles => kind::TOO_MANY_FILES,
            ProcessEvent::AcceptingResumed => kind::ACCEPTING_RESUMED,
            ProcessEvent::AcceptFailed { .. } => kind::ACCEPT_FAILED,
            ProcessEvent::Bug { .. } => kind::BUG,
            ProcessEvent::LogReopened => kind::LOG_REOPENED,
            ProcessEvent::LogFileFailed { .. } => kind::LOG_FILE_FAILED,
            ProcessEvent::LinesLost { .. } => kind::LINES_LOST,
            ProcessEvent::Repeated { .. } => kind::REPEATED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            ProcessEvent::ShuttingDown { cause } => Fields::reason(cause),
            ProcessEvent::ReloadFailed { reason }
            | ProcessEvent::AcceptFailed { reason }
            | ProcessEvent::LogFileFailed { reason, .. } => Fields::reason(reason),
            ProcessEvent::Bug { text } => Fields::reason(text),
            ProcessEvent::Repeated { kind, peer, .. } => {
                Fields { peer: peer.clone(), ..Fields::reason(kind.name) }
            }
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for ProcessEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProcessEvent::ShuttingDown { cause } => write!(f, "shutting down: {cause}"),
            ProcessEvent::ShutdownComplete => f.write_str("shutdown complete"),
            ProcessEvent::StopForced { sessions } => write!(f, "stop timeout: closing {sessions} sessions"),
            ProcessEvent::IdleExit { after } => write!(f, "stopping: no session for {}s", after.as_secs()),
            ProcessEvent::Reloaded => f.write_str("configuration reloaded"),
            ProcessEvent::ReloadFailed { reason } => write!(f, "reload failed: {reason}"),
            ProcessEvent::ReloadPartial { option } => {
                write!(f, "reload: change of --{option} needs a restart")
            }
            ProcessEvent::Status { text } => write!(f, "status: {text}"),
            ProcessEvent::TooManyFiles => f.write_str("too many open files: accepting paused"),
            ProcessEvent::AcceptingResumed => f.write_str("accepting resumed"),
            ProcessEvent::AcceptFailed { reason } => {
                write!(f, "socket accept error: cannot accept on listening socket: {reason}")
            }
            ProcessEvent::Bug { text } => write!(f, "internal error: {text}"),
            ProcessEvent::LogReopened => f.write_str("log files reopened"),
            ProcessEvent::LogFileFailed { path, reason } => {
                write!(f, "cannot open log file: {path}: {reason}")
            }
            ProcessEvent::LinesLost { count } => write!(f, "{count} log lines lost"),
            ProcessEvent::Repeated { count, .. } => write!(f, "last message repeated {count} times"),
        }
    }
}
