//! What a session asks of the rest of the program, and what it is told.

use std::sync::Arc;

use super::command::{Action, State};

/// What a session asks of the rest of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The ids of the messages in this state.
    List(State),
    /// All failed messages are to be tried again.
    UnfailAll,
    /// A forwarding run.
    Forward,
    /// The lines of `status`.
    Status,
    /// The SMTP server on or off.
    Smtp {
        /// On.
        enable: bool,
    },
    /// No DNS block lists for so many seconds.
    Dnsbl(u32),
    /// The lines of `show`.
    Show {
        /// The message.
        id: String,
        /// With its header.
        header: bool,
    },
    /// The lines of `explain`.
    Explain(String),
    /// Something with one message.
    Act(Action, String),
    /// One message is to be given up.
    Fail {
        /// The message.
        id: String,
        /// Why.
        reason: String,
    },
    /// Failed messages are to be removed; answered by a line with their number.
    Purge {
        /// Those that failed so many seconds ago or longer.
        older: u64,
    },
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// These lines.
    Lines(Vec<String>),
    /// Very many lines, each with a NUL behind it, in one piece that clients may share.
    Block(Arc<str>),
    /// It cannot be done, for this reason.
    Failed(String),
}

/// What came of a `flush`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushEnd {
    /// The error that ended it or kept it from beginning.
    pub error: Option<String>,
    /// Messages sent.
    pub sent: usize,
    /// Messages failed for good.
    pub failed: usize,
    /// Messages left.
    pub left: usize,
}
