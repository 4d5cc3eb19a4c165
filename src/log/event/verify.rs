//! Address verifiers.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about address verifiers; the recipient that was refused is told of by the session.
#[derive(Clone, Debug, PartialEq)]
pub enum VerifyEvent {
    /// A program is started.
    Executing {
        /// Its file.
        path: String,
        /// Its six arguments.
        arguments: Vec<String>,
    },
    /// A program has ended.
    Exit {
        /// Its exit code; 128 and more for a signal.
        code: u8,
        /// The lines of its output.
        lines: Vec<String>,
    },
    /// A program cannot be started.
    NotStarted {
        /// Why.
        reason: String,
    },
    /// A server is asked.
    Request {
        /// The address in question.
        address: String,
        /// The client's transport address.
        client: String,
    },
    /// A server has answered.
    Response {
        /// Its line.
        line: String,
    },
    /// A server could not be asked, or did not answer.
    Fault {
        /// Why.
        reason: String,
    },
    /// An answer names a mailbox or address that must not be used.
    BadAnswer {
        /// What is wrong.
        reason: String,
    },
}

impl Fact for VerifyEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            VerifyEvent::Executing { .. } | VerifyEvent::Request { .. } => kind::VERIFIER_ASKED,
            VerifyEvent::Exit { .. } | VerifyEvent::Response { .. } => kind::VERIFIER_ANSWERED,
            VerifyEvent::NotStarted { .. } | VerifyEvent::Fault { .. } => kind::VERIFIER_FAULT,
            VerifyEvent::BadAnswer { .. } => kind::VERIFIER_BAD_ANSWER,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            VerifyEvent::NotStarted { reason }
            | VerifyEvent::Fault { reason }
            | VerifyEvent::BadAnswer { reason } => Fields::reason(reason),
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for VerifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyEvent::Executing { path, arguments } => {
                write!(f, "address verifier: executing [{}]", Peer(path))?;
                bracketed(f, arguments)
            }
            VerifyEvent::Exit { code, lines } => {
                write!(f, "address verifier: exit code {code}:")?;
                bracketed(f, lines)
            }
            // The reason, which names files, is in the journal's field.
            VerifyEvent::NotStarted { .. } => f.write_str("address verifier: exec error"),
            VerifyEvent::Request { address, client } => {
                write!(f, "verification request: [{}] ({})", Peer(address), Peer(client))
            }
            VerifyEvent::Response { line } => write!(f, "verification response: [{}]", Peer(line)),
            VerifyEvent::Fault { reason } => write!(f, "error: {}", Peer(reason)),
            VerifyEvent::BadAnswer { reason } => write!(f, "address verifier: {reason}"),
        }
    }
}

fn bracketed(f: &mut fmt::Formatter<'_>, items: &[String]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, " [{}]", Peer(item)))
}
