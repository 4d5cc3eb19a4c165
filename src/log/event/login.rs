//! Logins, and the secrets files they are judged by.

use std::fmt;

use super::{Fact, Fields};
use crate::log::escape::Peer;
use crate::log::kind::{self, Kind};

/// What is logged about logins.
#[derive(Clone, Debug, PartialEq)]
pub enum LoginEvent {
    /// A client has logged in, or failed to.
    Login {
        /// Whether it did.
        accepted: bool,
        /// The mechanism, in lower case.
        mechanism: String,
        /// The kind of secret; none: there is no such account.
        kind: Option<&'static str>,
        /// Who it says it is, if it said so.
        user: Option<String>,
        /// The account's line in the file, if there is a file.
        line: Option<u32>,
    },
    /// Clients on other machines may send their passwords in clear.
    Exposed,
    /// An address has failed too often.
    Throttled,
    /// A client has waited too long for its password to be looked at.
    Crowded,
    /// PAM does not let a user in, or cannot say.
    PamError {
        /// What it says.
        text: String,
    },
    /// A changed secrets file is in use.
    SecretsRead {
        /// The file.
        path: String,
    },
    /// What follows is about this file.
    SecretsProblems {
        /// The file.
        path: String,
    },
    /// Something in it deserves a look.
    SecretsWarning {
        /// File, line and problem.
        text: String,
    },
    /// Something in it is wrong.
    SecretsError {
        /// File, line and problem.
        text: String,
    },
    /// A changed file is not used.
    SecretsKept {
        /// The file.
        path: String,
    },
    /// A file is gone.
    SecretsGone {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
    },
}

impl Fact for LoginEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Login { accepted: true, .. } => kind::LOGIN,
            Self::Login { accepted: false, .. } => kind::LOGIN_FAILED,
            Self::PamError { .. } => kind::PAM_ERROR,
            Self::Exposed => kind::LOGIN_EXPOSED,
            Self::Throttled => kind::LOGIN_THROTTLED,
            Self::Crowded => kind::LOGIN_CROWDED,
            Self::SecretsRead { .. } => kind::SECRETS_READ,
            Self::SecretsProblems { .. } | Self::SecretsWarning { .. } => kind::SECRETS_WARNING,
            Self::SecretsError { .. } => kind::SECRETS_ERROR,
            Self::SecretsKept { .. } => kind::SECRETS_KEPT,
            Self::SecretsGone { .. } => kind::SECRETS_GONE,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            Self::Login { user, .. } => Fields { user: user.clone(), ..Fields::default() },
            Self::SecretsGone { reason, .. } => Fields::reason(reason),
            Self::SecretsError { text } | Self::SecretsWarning { text } | Self::PamError { text } => {
                Fields::reason(text)
            }
            _ => Fields::default(),
        }
    }
}

impl fmt::Display for LoginEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { accepted, mechanism, kind, user, line } => {
                let done = if *accepted { "successful" } else { "failed" };
                write!(f, "{done} authentication of remote client using mechanism [{mechanism}] and ")?;
                match kind {
                    Some("pam") => f.write_str("pam account")?,
                    kind => write!(f, "{} secret", kind.unwrap_or("missing"))?,
                }
                if let Some(user) = user {
                    write!(f, " for [{}]", Peer(user))?;
                }
                line.map_or(Ok(()), |line| write!(f, " from line {line}"))
            }
            Self::Exposed => f.write_str(
                "clients can send passwords to the smtp server without encryption: see --server-tls-required and --server-auth-config",
            ),
            Self::Throttled => f.write_str("too many authentication failures from this address"),
            Self::Crowded => f.write_str("too many passwords are being checked: login put off"),
            Self::SecretsRead { path } => write!(f, "re-reading secrets file: {path}"),
            Self::SecretsProblems { path } => write!(f, "problems reading secrets file [{path}]..."),
            Self::SecretsWarning { text } | Self::SecretsError { text } | Self::PamError { text } => {
                f.write_str(text)
            }
            Self::SecretsKept { path } => {
                write!(f, "secrets file not used: [{path}]: the accounts of before stay")
            }
            Self::SecretsGone { path, reason } => {
                write!(f, "cannot read secrets file: {path}: {reason}: the accounts of before stay")
            }
        }
    }
}
