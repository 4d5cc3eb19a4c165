//! The options of `emailrelay-notify`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::number;
use crate::message::report::Returned;
use crate::role::site::Site;
use crate::role::words::{Arguments, HelpPart, Level, Spec, Takes, spec};

/// The spool directory of packaged installations.
const DEFAULT_SPOOL_DIR: &str = "/var/spool/emailrelay";
/// Senders are told after so long that a message is late.
const DEFAULT_DELAY: Duration = Duration::from_secs(4 * 3600);
/// Messages up to this size are returned whole.
const DEFAULT_RETURN_SIZE: u64 = 100 * 1024;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    Help(HelpPart),
    Version,
    Run(Options),
}

/// How reports are made.
#[derive(Debug)]
pub(super) struct Options {
    /// Where the messages are.
    pub(super) spool_dir: PathBuf,
    /// Where reports go, if not there.
    pub(super) to_spool: Option<PathBuf>,
    /// What takes reports instead: a program and its arguments.
    pub(super) command: Option<Vec<String>>,
    /// Messages that were reported stay.
    pub(super) keep: bool,
    /// How long a message waits until its sender is told.
    pub(super) delay: Option<Duration>,
    /// Messages that have waited for so long are given up.
    pub(super) max_age: Option<Duration>,
    /// Who gets the reports that have no addressee.
    pub(super) postmaster: Option<String>,
    /// What is returned at most.
    pub(super) returned: Returned,
    /// The largest message that is returned whole.
    pub(super) return_size: u64,
    /// Our domain, and whether it was asked for.
    pub(super) domain: String,
    pub(super) domain_named: bool,
    /// Nothing is changed and nothing sent.
    pub(super) dry_run: bool,
    pub(super) verbose: bool,
}

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    Command,
    Delay,
    Domain,
    DryRun,
    Help,
    Keep,
    MaxAge,
    Postmaster,
    Return,
    ReturnSize,
    SpoolDir,
    ToSpool,
    Verbose,
    Version,
}

use Level::Basic;
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::Command, 'c', "command", Value("command"), Basic, "gives each report to a command on its standard input, with the address as its last argument, instead of putting it into a spool; words are separated by blanks, there is no shell"),
    spec(Opt::Delay, ' ', "delay", Value("time"), Basic, "tells senders once that a message is late when it has been tried for so long (default 4h; 0 for never)"),
    spec(Opt::Domain, 'd', "domain", Value("domain"), Basic, "sets the domain that reports come from; is also added to addresses that have none"),
    spec(Opt::DryRun, 'n', "dry-run", Nothing, Basic, "tells what would be reported, and does nothing"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help"),
    spec(Opt::Keep, 'k', "keep", Nothing, Basic, "keeps messages that were reported, and marks them; otherwise they are deleted"),
    spec(Opt::MaxAge, ' ', "max-age", Value("time"), Basic, "gives up messages that have waited for so long, and reports delays, also where nothing was ever tried; not for a spool that is read over POP"),
    spec(Opt::Postmaster, 'p', "postmaster", Value("address"), Basic, "sends the reports here that must not go to a sender, such as those about reports"),
    spec(Opt::Return, 'r', "return", Value("what"), Basic, "returns the message, its header only (headers), or nothing (default message)"),
    spec(Opt::ReturnSize, ' ', "return-size", Value("bytes"), Basic, "returns only the header of messages that are bigger (default 100k)"),
    spec(Opt::SpoolDir, 's', "spool-dir", Value("dir"), Basic, "sets the spool directory, as the first word does (default that of /etc/emailrelay.conf, or /var/spool/emailrelay)"),
    spec(Opt::ToSpool, 't', "to-spool", Value("dir"), Basic, "puts reports into another spool directory"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Basic, "tells also which messages are not reported again"),
    spec(Opt::Version, 'V', "version", Nothing, Basic, "shows the version"),
];

/// Reads a command line, without the program's name.
///
/// # Errors
/// All that is wrong with it, unless help is asked for.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    site: impl FnOnce() -> Site,
) -> Result<Request, Vec<String>> {
    let arguments = Arguments::new(TABLE, arguments);
    if arguments.has(Opt::Help) {
        return Ok(Request::Help(HelpPart::Full));
    }
    if !arguments.errors.is_empty() {
        return Err(arguments.errors.iter().map(|text| format!("error: {text}")).collect());
    }
    if arguments.has(Opt::Version) {
        return Ok(Request::Version);
    }
    options(&arguments, site()).map(Request::Run).map_err(|error| vec![format!("error: {error}")])
}

fn options(arguments: &Arguments<Opt>, site: Site) -> Result<Options, String> {
    let text = |id| arguments.value(id).map(OsStr::to_string_lossy);
    let word = match arguments.words.as_slice() {
        [] => None,
        [word] => Some(word.clone()),
        _ => return Err("there is one spool directory at most".to_owned()),
    };
    let named = arguments.value(Opt::SpoolDir).map(OsStr::to_owned);
    let spool_dir = word.or(named).map(PathBuf::from).or(site.spool_dir);
    let command: Option<Vec<String>> =
        text(Opt::Command).map(|text| text.split_whitespace().map(str::to_owned).collect());
    if command.as_ref().is_some_and(Vec::is_empty) {
        return Err("--command needs a command".to_owned());
    }
    if command.is_some() && arguments.has(Opt::ToSpool) {
        return Err("--command and --to-spool do not go together".to_owned());
    }
    let domain = text(Opt::Domain).map(std::borrow::Cow::into_owned).filter(|domain| !domain.is_empty());
    if domain.as_ref().is_some_and(|domain| !is_domain(domain)) {
        return Err("--domain needs a domain".to_owned());
    }
    let time = |id, name: &str| match text(id) {
        None => Ok(None),
        Some(text) => {
            number::duration(&text).map(Some).ok_or_else(|| format!("invalid time for --{name}: [{text}]"))
        }
    };
    Ok(Options {
        spool_dir: spool_dir.unwrap_or_else(|| DEFAULT_SPOOL_DIR.into()),
        to_spool: arguments.value(Opt::ToSpool).map(PathBuf::from),
        command,
        keep: arguments.has(Opt::Keep),
        delay: number::limit(time(Opt::Delay, "delay")?.unwrap_or(DEFAULT_DELAY)),
        max_age: time(Opt::MaxAge, "max-age")?.and_then(number::limit),
        postmaster: text(Opt::Postmaster).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty()),
        returned: match text(Opt::Return).as_deref() {
            None | Some("message") => Returned::Message,
            Some("headers") => Returned::Headers,
            Some("nothing") => Returned::Nothing,
            Some(other) => return Err(format!("--return is message, headers or nothing, not [{other}]")),
        },
        return_size: match text(Opt::ReturnSize) {
            None => DEFAULT_RETURN_SIZE,
            Some(text) => {
                number::size(&text).ok_or_else(|| format!("invalid size for --return-size: [{text}]"))?
            }
        },
        domain_named: domain.is_some() || site.domain.is_some(),
        domain: domain.or(site.domain).unwrap_or_else(crate::os::hostname::default_domain),
        dry_run: arguments.has(Opt::DryRun),
        verbose: arguments.has(Opt::Verbose),
    })
}

/// Good for the right side of an address in a header.
fn is_domain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"<>@,;\"()".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Options, Vec<String>> {
        let site = || Site { spool_dir: Some("/srv/spool".into()), ..Site::default() };
        match parse(words.iter().map(OsString::from), site) {
            Ok(Request::Run(options)) => Ok(options),
            Ok(other) => panic!("{other:?}"),
            Err(errors) => Err(errors),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_site() {
        let options = run(&[]).unwrap();
        assert_eq!(options.spool_dir, PathBuf::from("/srv/spool"));
        assert_eq!(options.delay, Some(DEFAULT_DELAY));
        assert_eq!((options.max_age, options.returned), (None, Returned::Message));
        assert!(!options.keep && !options.domain_named && options.domain.contains('.'));
    }

    #[test]
    fn values_are_read() {
        let options = run(&["--delay=0", "--max-age", "5d", "-r", "headers", "-d", "ex.org", "/x"]).unwrap();
        assert_eq!((options.delay, options.max_age), (None, Some(Duration::from_secs(432_000))));
        assert_eq!((options.returned, options.domain.as_str()), (Returned::Headers, "ex.org"));
        assert_eq!(options.spool_dir, PathBuf::from("/x"));
        let options = run(&["-c", " procmail  -d ", "-s", "/y"]).unwrap();
        assert_eq!(options.command.unwrap(), ["procmail", "-d"]);
        assert_eq!(options.spool_dir, PathBuf::from("/y"));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, error) in [
            (&["--delay", "5x"][..], "error: invalid time for --delay: [5x]"),
            (&["--return-size=big"], "error: invalid size for --return-size: [big]"),
            (&["-r", "all"], "error: --return is message, headers or nothing, not [all]"),
            (&["-c", " "], "error: --command needs a command"),
            (&["-c", "x", "-t", "y"], "error: --command and --to-spool do not go together"),
            (&["-d", "a b"], "error: --domain needs a domain"),
            (&["a", "b"], "error: there is one spool directory at most"),
            (&["--foo"], "error: invalid option: \"--foo\""),
        ] {
            assert_eq!(run(words).unwrap_err(), [error], "{words:?}");
        }
    }
}
