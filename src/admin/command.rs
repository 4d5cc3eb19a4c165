//! Commands, and who may give them.

use super::event::Scope;
use super::text;

/// What a client may do; each right includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look, but not at the content of messages.
    ReadOnly,
    /// Look at everything, and see to it that mail moves.
    Operator,
    /// Everything.
    Full,
}

/// The state of a message, as administrators speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits to be sent.
    Ready,
    /// Is being sent.
    Busy,
    /// Has failed for good.
    Failed,
    /// Is kept back by an administrator.
    Held,
    /// Is being received.
    New,
}

/// What can be done with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Failed, held, or waiting for its next attempt: is tried again.
    Requeue {
        /// And forwarding is asked for at once.
        now: bool,
    },
    /// Is not sent until it is released.
    Hold,
    /// The end of that.
    Release,
    /// Is removed.
    Delete,
}

impl Action {
    /// The word in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue { .. } => "requeue",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Delete => "delete",
        }
    }
}

/// Topics of `info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// One line.
    Copyright,
    /// Who made it.
    Credit,
    /// The version number alone.
    Version,
    /// That there is none.
    Warranty,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Names the commands.
    Help,
    /// Ids of the messages in one of the states ready, failed and held.
    List(State),
    /// All failed messages are tried again.
    UnfailAll,
    /// Asks for a forwarding run.
    Forward,
    /// Sends everything now, over connections of its own.
    Flush {
        /// With counts in the reply.
        verbose: bool,
    },
    /// Sockets and connections.
    Status,
    /// Events from now on; none: no more.
    Notify(Option<Scope>),
    /// The process id.
    Pid,
    /// Switches the SMTP server on or off.
    Smtp {
        /// On.
        enable: bool,
    },
    /// DNS block lists are not asked for so many seconds; zero: they are.
    Dnsbl(u32),
    /// A text about the program.
    Info(Topic),
    /// Stops the program.
    Terminate,
    /// Ends the connection.
    Quit,
    /// Everything about one message.
    Show(String),
    /// Why one message is where it is, and what comes next.
    Explain(String),
    /// Does something with one message.
    Act(Action, String),
    /// Gives one message up.
    Fail {
        /// The message.
        id: String,
        /// Why; for the envelope and for people.
        reason: String,
    },
    /// Removes failed messages.
    Purge {
        /// Those that failed so many seconds ago or longer.
        older: u64,
    },
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    Unknown,
    /// Known, but not with these words; the reply.
    Usage(String),
}

/// Reads the words of a line; none if there are none. `terminate` tells whether that command exists.
pub(super) fn parse(line: &str, terminate: bool) -> Option<Result<Command, Mistake>> {
    let mut words = line.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    let verb = words.next()?.to_ascii_lowercase();
    let first = words.next();
    let keyword = first.map(str::to_ascii_lowercase).unwrap_or_default();
    let usage = |text: &str| Err(Mistake::Usage(text.to_owned()));
    Some(match verb.as_str() {
        "help" => Ok(Command::Help),
        "list" => Ok(Command::List(State::Ready)),
        "failures" => Ok(Command::List(State::Failed)),
        "held" => Ok(Command::List(State::Held)),
        "unfail-all" => Ok(Command::UnfailAll),
        "forward" => Ok(Command::Forward),
        "flush" => Ok(Command::Flush { verbose: keyword == "verbose" }),
        "status" => Ok(Command::Status),
        "notify" => Ok(Command::Notify(match keyword.as_str() {
            "off" => None,
            "all" => Some(Scope::All),
            _ => Some(Scope::Classic),
        })),
        "pid" => Ok(Command::Pid),
        "smtp" => match keyword.as_str() {
            "enable" => Ok(Command::Smtp { enable: true }),
            "disable" => Ok(Command::Smtp { enable: false }),
            _ => usage(text::USAGE_SMTP),
        },
        "dnsbl" => dnsbl(&keyword, words.next()).map_or_else(|| usage(text::USAGE_DNSBL), Ok),
        "info" => match keyword.as_str() {
            "copyright" => Ok(Command::Info(Topic::Copyright)),
            "credit" => Ok(Command::Info(Topic::Credit)),
            "version" => Ok(Command::Info(Topic::Version)),
            "warranty" => Ok(Command::Info(Topic::Warranty)),
            _ => usage(text::USAGE_INFO),
        },
        "terminate" if terminate => Ok(Command::Terminate),
        "quit" => Ok(Command::Quit),
        "fail" => fail(line).map_or_else(|| usage(text::USAGE_FAIL), Ok),
        "purge" => purge(&keyword, words.next()).map_or_else(|| usage(text::USAGE_PURGE), Ok),
        "show" | "explain" | "requeue" | "unfail" | "hold" | "release" | "delete" => {
            let now = words.next().is_some_and(|word| word.eq_ignore_ascii_case("now"));
            first.map_or_else(|| usage(&text::usage_id(&verb)), |id| Ok(about(&verb, id.to_owned(), now)))
        }
        _ => Err(Mistake::Unknown),
    })
}

fn about(verb: &str, id: String, now: bool) -> Command {
    match verb {
        "show" => Command::Show(id),
        "explain" => Command::Explain(id),
        "hold" => Command::Act(Action::Hold, id),
        "release" => Command::Act(Action::Release, id),
        "delete" => Command::Act(Action::Delete, id),
        _ => Command::Act(Action::Requeue { now }, id),
    }
}

/// All that follows the id is the reason.
fn fail(line: &str) -> Option<Command> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let (_, rest) = line.trim_matches(blank).split_once(blank)?;
    let (id, reason) = rest.trim_start_matches(blank).split_once(blank)?;
    Some(Command::Fail { id: id.to_owned(), reason: reason.trim_matches(blank).to_owned() })
}

/// Of `failed` messages those `older=` than a number of seconds.
fn purge(keyword: &str, older: Option<&str>) -> Option<Command> {
    let (name, seconds) = older?.split_once('=')?;
    let known = keyword == "failed" && name.eq_ignore_ascii_case("older");
    known.then(|| number(seconds)).flatten().map(|older| Command::Purge { older })
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// `start`, `stop` for ever, or `stop` and a number of seconds.
fn dnsbl(keyword: &str, seconds: Option<&str>) -> Option<Command> {
    match (keyword, seconds) {
        ("start", None) => Some(Command::Dnsbl(0)),
        ("stop", None) => Some(Command::Dnsbl(u32::MAX)),
        ("stop", Some(text)) => Some(Command::Dnsbl(number(text)?)),
        _ => None,
    }
}

impl Command {
    /// The least right that it needs.
    pub(super) fn needs(&self) -> Right {
        match self {
            Self::Help
            | Self::List(_)
            | Self::Status
            | Self::Notify(_)
            | Self::Pid
            | Self::Info(_)
            | Self::Quit
            | Self::Show(_)
            | Self::Explain(_) => Right::ReadOnly,
            Self::UnfailAll
            | Self::Forward
            | Self::Flush { .. }
            | Self::Act(Action::Requeue { .. } | Action::Hold | Action::Release, _) => Right::Operator,
            Self::Smtp { .. }
            | Self::Dnsbl(_)
            | Self::Terminate
            | Self::Act(Action::Delete, _)
            | Self::Fail { .. }
            | Self::Purge { .. } => Right::Full,
        }
    }
}

/// Methods of HTTP (RFC 9110 section 9.1) but for DELETE, which is also a command of ours.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The line is the first one of an HTTP request: a web page can make a browser on this machine send one, with commands
/// in its body.
pub(super) fn is_http(line: &str) -> bool {
    let method = line.split(' ').next().unwrap_or_default();
    line.contains(" HTTP/") || (METHODS.contains(&method) && method.len() < line.trim_end().len())
}
