//! `emailrelay-resubmit`: lets messages that have failed be tried again, unless they have failed too often.
//!
//! Made for a timer: what comes back as failed again is counted by the reasons in its envelope.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::admin::actions::log_action;
use super::site::{self, Site};
use super::words::{self, Arguments, HelpPart, Level, Spec, Takes, complain, help, print, spec};
use crate::VERSION;
use crate::admin::Action;
use crate::config::number;
use crate::log::{self, Context, LogConfig};
use crate::os::{clock, journal};
use crate::role::sysexits::USAGE;
use crate::spool::{ActionError, FailedMessage, MessageId, Spool, SpoolConfig};

/// Name in messages when the caller gives none.
const PROGRAM: &str = "emailrelay-resubmit";
/// The spool directory of packaged installations.
const DEFAULT_SPOOL_DIR: &str = "/var/spool/emailrelay";
/// A message that has failed so often stays.
const DEFAULT_LIMIT: usize = 5;

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "[options] [<spool-dir>]";
/// What the program is for.
pub(crate) const ABOUT: &str = "Lets messages that could not be delivered be tried again.";

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    DryRun,
    Help,
    Limit,
    OlderThan,
    Only,
    SpoolDir,
    Verbose,
    Version,
}

use Level::Basic;
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::DryRun, 'n', "dry-run", Nothing, Basic, "tells which messages would be tried again, and does nothing"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help"),
    spec(Opt::Limit, 'l', "limit", Value("number"), Basic, "leaves messages that have failed so often (default 5; 0 for no limit)"),
    spec(Opt::OlderThan, 'o', "older-than", Value("time"), Basic, "leaves messages that have failed since so long ago"),
    spec(Opt::Only, ' ', "only", Value("codes"), Basic, "takes only messages that failed with one of these reply codes, such as 450,4xx, or none for no reply"),
    spec(Opt::SpoolDir, 's', "spool-dir", Value("dir"), Basic, "sets the spool directory, as the first word does (default that of /etc/emailrelay.conf, or /var/spool/emailrelay)"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Basic, "tells what is done with each message"),
    spec(Opt::Version, 'V', "version", Nothing, Basic, "shows the version"),
];

/// Which messages are taken.
#[derive(Debug)]
struct Options {
    spool_dir: PathBuf,
    limit: Option<usize>,
    older_than: Duration,
    /// None for all.
    only: Option<Vec<Code>>,
    dry_run: bool,
    verbose: bool,
}

/// A reply code, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Exact(u16),
    /// `4xx`.
    Class(u16),
    /// There was no reply.
    Absent,
}

/// Runs the program with its whole argument list, the program's name first. Returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut arguments = arguments.into_iter();
    let program = words::program_name(arguments.next().as_deref(), PROGRAM);
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        print(&help::text(&program, WORDS, ABOUT, TABLE, HelpPart::Full));
        return 0;
    }
    let errors = &arguments.errors;
    let options = if errors.is_empty() { options(&arguments, site::read) } else { Err(errors.join("; ")) };
    match options {
        Err(error) => {
            complain(&program, &format!("error: {error}"));
            USAGE
        }
        Ok(_) if arguments.has(Opt::Version) => {
            print(&format!("{VERSION}\n"));
            0
        }
        Ok(options) => run(&program, &options),
    }
}

fn options(arguments: &Arguments<Opt>, site: impl FnOnce() -> Site) -> Result<Options, String> {
    let text = |id| arguments.value(id).map(OsStr::to_string_lossy);
    let word = match arguments.words.as_slice() {
        [] => arguments.value(Opt::SpoolDir).map(PathBuf::from),
        [word] => Some(PathBuf::from(word)),
        _ => return Err("there is one spool directory at most".to_owned()),
    };
    let limit = match text(Opt::Limit) {
        None => DEFAULT_LIMIT,
        Some(text) => number::digits(&text)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or_else(|| format!("invalid number for --limit: [{text}]"))?,
    };
    let older_than = match text(Opt::OlderThan) {
        None => Duration::ZERO,
        Some(text) => {
            number::duration(&text).ok_or_else(|| format!("invalid time for --older-than: [{text}]"))?
        }
    };
    let codes = |text: &str| text.split(',').map(code).collect::<Option<Vec<Code>>>();
    let only = match text(Opt::Only) {
        None => None,
        Some(text) => Some(codes(&text).ok_or_else(|| format!("invalid codes for --only: [{text}]"))?),
    };
    Ok(Options {
        spool_dir: word.or_else(|| site().spool_dir).unwrap_or_else(|| DEFAULT_SPOOL_DIR.into()),
        limit: (limit > 0).then_some(limit),
        older_than,
        only,
        dry_run: arguments.has(Opt::DryRun),
        verbose: arguments.has(Opt::Verbose),
    })
}

fn code(text: &str) -> Option<Code> {
    match text.trim() {
        "none" => Some(Code::Absent),
        text => match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().filter(|class| (2..=5).contains(class)).map(Code::Class),
            None => text.parse().ok().filter(|code| (200..600).contains(code)).map(Code::Exact),
        },
    }
}

fn run(program: &str, options: &Options) -> u8 {
    // Without a log there still is standard output.
    let _log = log::init(&LogConfig::of_tool(PROGRAM, program));
    let Ok(spool) = Spool::open(&options.spool_dir, SpoolConfig::default()) else {
        complain(program, "invalid spool directory");
        return 1;
    };
    let mut failed = match spool.failed() {
        Ok(failed) => failed,
        Err(error) => {
            complain(program, &error.to_string());
            return 1;
        }
    };
    failed.sort_unstable();
    let mut any = false;
    for id in failed {
        match consider(&spool, &id, options) {
            Ok(None) => {
                any = true;
                tell(program, options, &id);
            }
            Ok(Some(why)) if options.verbose => print(&format!("{program}: leaving {id}: {why}\n")),
            Ok(Some(_)) => {}
            Err(error) => complain(program, &format!("{id}: {error}")),
        }
    }
    if any && !options.dry_run {
        // The forwarder's timer finds them in any case.
        let _ = spool.request_forward();
    }
    0
}

/// Brings a message back, or tells why it stays.
fn consider(spool: &Spool, id: &MessageId, options: &Options) -> Result<Option<String>, String> {
    let why = match spool.take_failed(id).map_err(|error| error.to_string())? {
        // It has gone, or is being reported.
        None => return Ok(Some("somebody else has it".to_owned())),
        Some(message) => refuse(&message, options, clock::unix_now()),
    };
    if why.is_some() {
        return Ok(why);
    }
    if options.dry_run {
        // As the rename would.
        let is_free = matches!(spool.peek(id), Ok(None));
        return if is_free { Ok(None) } else { Err(ActionError::Exists.to_string()) };
    }
    match spool.requeue(id) {
        Ok(()) => Ok(None),
        Err(ActionError::NoSuchMessage) => Ok(Some("it has gone".to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

/// Why a message is not to be brought back, if so.
fn refuse(message: &FailedMessage<'_>, options: &Options, now: u64) -> Option<String> {
    let failures = message.failures();
    if options.limit.is_some_and(|limit| failures >= limit) {
        return Some(format!("it has failed {failures} times"));
    }
    if now.saturating_sub(message.failed_at()) < options.older_than.as_secs() {
        return Some("it has failed not long ago".to_owned());
    }
    let code = message.retry_state().reason_code;
    let wanted = |only: &Vec<Code>| only.iter().any(|wanted| wanted.matches(code));
    match &options.only {
        Some(only) if !wanted(only) => {
            Some(code.map_or_else(|| "there was no reply".to_owned(), |code| format!("the reply was {code}")))
        }
        _ => None,
    }
}

impl Code {
    fn matches(self, code: Option<u16>) -> bool {
        match self {
            Self::Exact(exact) => code == Some(exact),
            Self::Class(class) => code.is_some_and(|code| code / 100 == class),
            Self::Absent => code.is_none(),
        }
    }
}

fn tell(program: &str, options: &Options, id: &MessageId) {
    if (options.verbose && !journal::stderr_is_journal()) || options.dry_run {
        print(&format!("{program}: resubmitting {id}\n"));
    }
    if !options.dry_run {
        let action = Action::Requeue { now: false };
        log_action(&Context::default(), action.as_str(), id, program);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        options(&Arguments::new(TABLE, words.iter().map(OsString::from)), Site::default)
    }

    #[test]
    fn options_have_defaults_and_limits() {
        let defaults = parse(&[]).unwrap();
        assert_eq!((defaults.limit, defaults.older_than), (Some(5), Duration::ZERO));
        assert_eq!(defaults.spool_dir, PathBuf::from("/var/spool/emailrelay"));
        let given = parse(&["--limit=0", "-o", "2h", "--only", "450,5xx,none", "/x"]).unwrap();
        assert_eq!((given.limit, given.older_than.as_secs()), (None, 7200));
        assert_eq!(given.only.unwrap(), [Code::Exact(450), Code::Class(5), Code::Absent]);
        assert_eq!(given.spool_dir, PathBuf::from("/x"));
        for (words, error) in [
            (&["--limit=x"][..], "invalid number for --limit: [x]"),
            (&["--older-than=5y"], "invalid time for --older-than: [5y]"),
            (&["--only=4x"], "invalid codes for --only: [4x]"),
            (&["--only=6xx"], "invalid codes for --only: [6xx]"),
            (&["a", "b"], "there is one spool directory at most"),
        ] {
            assert_eq!(parse(words).unwrap_err(), error, "{words:?}");
        }
    }

    #[test]
    fn codes_match_by_class_too() {
        assert!(Code::Class(4).matches(Some(450)) && !Code::Class(4).matches(Some(550)));
        assert!(Code::Absent.matches(None) && !Code::Class(4).matches(None));
        assert!(Code::Exact(550).matches(Some(550)) && !Code::Exact(550).matches(Some(551)));
    }
}
