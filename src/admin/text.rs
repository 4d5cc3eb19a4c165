//! The fixed texts of the dialogue. Those of E-MailRelay 2.6 do not change: scripts match them.

use super::command::{Right, State};

/// Behind every reply.
pub(super) const PROMPT: &str = "E-MailRelay> ";
pub(super) const OK: &str = "OK";
pub(super) const NONE: &str = "<none>";
pub(super) const UNRECOGNISED: &str = "error: unrecognised command";
pub(super) const DENIED: &str = "error: permission denied";
pub(super) const TOO_LONG: &str = "error: line too long";
pub(super) const STILL_WORKING: &str = "error: still working";
pub(super) const INVALID_ID: &str = "error: invalid message id";

/// To a client over the limit of connections.
pub const TOO_MANY_CONNECTIONS: &str = "error: too many connections\n";

/// Commands of 2.6 in the order of its help, each with the right it needs.
const COMMANDS: [(&str, Right); 14] = [
    ("dnsbl", Right::Full),
    ("failures", Right::ReadOnly),
    ("flush", Right::Operator),
    ("forward", Right::Operator),
    ("help", Right::ReadOnly),
    ("info", Right::ReadOnly),
    ("list", Right::ReadOnly),
    ("notify", Right::ReadOnly),
    ("pid", Right::ReadOnly),
    ("quit", Right::ReadOnly),
    ("smtp", Right::Full),
    ("status", Right::ReadOnly),
    ("terminate", Right::Full),
    ("unfail-all", Right::Operator),
];

/// Commands about single messages, which 2.6 does not have.
const MESSAGE_COMMANDS: [(&str, Right); 9] = [
    ("delete", Right::Full),
    ("explain", Right::ReadOnly),
    ("fail", Right::Full),
    ("held", Right::ReadOnly),
    ("hold", Right::Operator),
    ("purge", Right::Full),
    ("release", Right::Operator),
    ("requeue", Right::Operator),
    ("show", Right::ReadOnly),
];

/// The reply to `help`: the line of 2.6, and one more for what it does not have. Only what the client may use.
pub(super) fn help(right: Right, terminate: bool, short: bool) -> Vec<String> {
    let names = |commands: &[(&str, Right)]| {
        let usable =
            commands.iter().filter(|(name, needs)| *needs <= right && (terminate || *name != "terminate"));
        usable.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![format!("commands: {}", names(&COMMANDS))];
    if !short {
        lines.push(format!("messages: {}", names(&MESSAGE_COMMANDS)));
    }
    lines
}

pub(super) const USAGE_SMTP: &str = "usage: smtp {disable|enable}";
pub(super) const USAGE_DNSBL: &str = "usage: dnsbl {start|stop <timeout>}";
pub(super) const USAGE_INFO: &str = "usage: info {copyright|credit|version|warranty}";

pub(super) const USAGE_FAIL: &str = "usage: fail <id> <text>";
pub(super) const USAGE_PURGE: &str = "usage: purge failed older=<seconds>";

/// The usage line of a command that needs a message id.
pub(super) fn usage_id(command: &str) -> String {
    let more = if command == "requeue" || command == "unfail" { " [now]" } else { "" };
    format!("usage: {command} <id>{more}")
}

pub(super) const COPYRIGHT: &str = "Copyright (C) 2026 the authors of this E-MailRelay";

pub(super) const WARRANTY: [&str; 3] = [
    "This program comes without any warranty, to the extent permitted by law.",
    "It is free software under the MIT licence or the Apache licence 2.0, whichever you prefer.",
    "",
];

pub(super) const CREDIT: [&str; 3] = [
    "E-MailRelay was invented and maintained for more than twenty years by Graeme Walker.",
    "This program does the same work with none of that code.",
    "",
];

impl State {
    /// The word in `show` and `explain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Held => "held",
            Self::New => "new",
        }
    }
}
