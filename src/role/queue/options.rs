//! The command line of `emailrelay-queue`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::number;
use crate::role::site::Site;
use crate::role::words::{Arguments, Level, Spec, Takes, spec};
use crate::spool::MessageState;

/// The spool directory of packaged installations.
const DEFAULT_SPOOL_DIR: &str = "/var/spool/emailrelay";
/// What nobody has touched for so long has been left behind: as long as forwarders leave others' messages alone.
const DEFAULT_STALE_AFTER: Duration = Duration::from_secs(600);
/// Reason of a message that is given up.
const DEFAULT_REASON: &str = "given up by the administrator";
/// Stands for ids on standard input.
const FROM_INPUT: &str = "-";

/// What follows the program's name, in its help.
pub(crate) const WORDS: &str = "[options] <command> [<id>...]";
/// What the program is for.
pub(crate) const ABOUT: &str =
    "Shows the messages in a spool directory, and holds, releases, retries, fails or deletes them.";

/// The commands, and what they do.
pub(crate) const COMMANDS: [(&str, &str); 9] = [
    ("list", "the messages, oldest first"),
    ("show", "envelope and header of messages"),
    ("hold", "keeps messages back until they are released"),
    ("release", "ends that"),
    ("retry", "makes waiting, failed or held messages due now, and asks for forwarding"),
    ("fail", "gives waiting messages up, as if the next hop had refused them"),
    ("delete", "removes messages, and does not ask"),
    ("import-local", "delivers what versions up to 2.4 set aside for local users"),
    ("check", "looks for files without a message, messages left behind, damaged envelopes"),
];

/// Names an option in code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opt {
    Command,
    DeliveryDir,
    DryRun,
    Help,
    Ids,
    Json,
    Reason,
    SpoolDir,
    StaleAfter,
    State,
    To,
    Verbose,
    Version,
}

use Level::Basic;
use Takes::{Nothing, Value};

/// All options, in the order of the help text.
#[rustfmt::skip]
pub(crate) const TABLE: &[Spec<Opt>] = &[
    spec(Opt::Command, 'c', "command", Value("command"), Basic, "import-local: gives each message to a command on its standard input, with the user's name as its last argument; words are separated by blanks, there is no shell"),
    spec(Opt::DeliveryDir, 'd', "delivery-dir", Value("dir"), Basic, "import-local: delivers into the mailboxes below this directory (default that of /etc/emailrelay.conf if the spool directory is its, or else the spool directory)"),
    spec(Opt::DryRun, 'n', "dry-run", Nothing, Basic, "import-local: tells what would be done, and does nothing"),
    spec(Opt::Help, 'h', "help", Nothing, Basic, "shows this help"),
    spec(Opt::Ids, 'i', "ids", Nothing, Basic, "list: prints the ids only, one on a line"),
    spec(Opt::Json, 'j', "json", Nothing, Basic, "prints one JSON object instead of text"),
    spec(Opt::Reason, 'r', "reason", Value("text"), Basic, "fail: the reason that is noted and reported"),
    spec(Opt::SpoolDir, 's', "spool-dir", Value("dir"), Basic, "sets the spool directory, or a mailbox below it (default that of /etc/emailrelay.conf, or /var/spool/emailrelay)"),
    spec(Opt::StaleAfter, ' ', "stale-after", Value("time"), Basic, "says after what time a file that nobody holds has been left behind (default 10m); a message that is busy is not touched before"),
    spec(Opt::State, ' ', "state", Value("states"), Basic, "list: only messages in these states: ready, busy, failed, held, new"),
    spec(Opt::To, 't', "to", Value("address"), Basic, "import-local: sends each message to this address instead, or with @example.com to the user's name at that domain"),
    spec(Opt::Verbose, 'v', "verbose", Nothing, Basic, "tells what was done with each message"),
    spec(Opt::Version, 'V', "version", Nothing, Basic, "shows the version"),
];

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    Version,
    Run(Options),
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    List,
    Show,
    Act(Verb),
    Import,
    Check,
}

/// What is done with single messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Hold,
    Release,
    Retry,
    Fail,
    Delete,
}

/// Where messages for local users go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Mailboxes below a directory; none for the spool directory.
    Mailboxes(Option<PathBuf>),
    /// Into the queue, all to one address.
    Address(String),
    /// Into the queue, to the names of the users at this domain.
    Domain(String),
    /// A program and its first arguments.
    Command(Vec<String>),
}

/// A command with all that belongs to it.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) command: Command,
    pub(super) spool_dir: PathBuf,
    pub(super) ids: Ids,
    pub(super) states: Vec<MessageState>,
    pub(super) only_ids: bool,
    pub(super) json: bool,
    pub(super) reason: String,
    pub(super) stale_after: Duration,
    pub(super) target: Target,
    pub(super) dry_run: bool,
    pub(super) verbose: bool,
}

/// The messages that a command is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ids {
    Given(Vec<String>),
    /// One on each line of standard input.
    Input,
}

/// Reads a command line, without the program's name.
///
/// # Errors
/// What is wrong with it, unless help is asked for.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    site: impl FnOnce() -> Site,
) -> Result<Request, String> {
    let arguments = Arguments::mixed(TABLE, arguments);
    if arguments.has(Opt::Help) {
        return Ok(Request::Help);
    }
    if !arguments.errors.is_empty() {
        return Err(arguments.errors.join("; "));
    }
    if arguments.has(Opt::Version) {
        return Ok(Request::Version);
    }
    options(&arguments, site).map(Request::Run)
}

/// The text above the options in the help.
pub(super) fn about() -> String {
    let rows = COMMANDS.map(|(name, does)| format!("  {name:<14}{does}\n"));
    format!(
        "{ABOUT}\n\n{}\nIds are read from standard input, one on a line, where \"-\" stands for them.",
        rows.concat()
    )
}

fn options(arguments: &Arguments<Opt>, site: impl FnOnce() -> Site) -> Result<Options, String> {
    let (command, words) = command(arguments)?;
    for spec in TABLE {
        let given = arguments.has(spec.id) || arguments.value(spec.id).is_some();
        if given && !belongs(spec.id, command) {
            return Err(format!("--{} does not go with this command", spec.name));
        }
    }
    let text = |id| arguments.value(id).map(OsStr::to_string_lossy);
    let stale_after = match text(Opt::StaleAfter) {
        None => DEFAULT_STALE_AFTER,
        Some(text) => {
            number::duration(&text).ok_or_else(|| format!("invalid time for --stale-after: [{text}]"))?
        }
    };
    // Another spool has nothing to do with what the configuration says.
    let site = match arguments.value(Opt::SpoolDir) {
        Some(named) => Site { spool_dir: Some(named.into()), ..Site::default() },
        None => site(),
    };
    Ok(Options {
        command,
        spool_dir: site.spool_dir.unwrap_or_else(|| DEFAULT_SPOOL_DIR.into()),
        ids: ids(command, words)?,
        states: states(text(Opt::State).as_deref())?,
        only_ids: arguments.has(Opt::Ids),
        json: arguments.has(Opt::Json),
        reason: text(Opt::Reason).map_or_else(|| DEFAULT_REASON.to_owned(), std::borrow::Cow::into_owned),
        stale_after,
        target: target(arguments, site.delivery_dir)?,
        dry_run: arguments.has(Opt::DryRun),
        verbose: arguments.has(Opt::Verbose),
    })
}

fn command(arguments: &Arguments<Opt>) -> Result<(Command, Vec<String>), String> {
    let mut words = arguments.words.iter().map(|word| word.to_string_lossy().into_owned());
    let name = words.next().ok_or_else(|| "a command is needed, such as list; see --help".to_owned())?;
    let command = match name.as_str() {
        "list" => Command::List,
        "show" => Command::Show,
        "hold" => Command::Act(Verb::Hold),
        "release" => Command::Act(Verb::Release),
        "retry" => Command::Act(Verb::Retry),
        "fail" => Command::Act(Verb::Fail),
        "delete" => Command::Act(Verb::Delete),
        "import-local" => Command::Import,
        "check" => Command::Check,
        _ => return Err(format!("no such command: [{}]; see --help", name.escape_debug())),
    };
    Ok((command, words.collect()))
}

/// An option that would be ignored is a mistake.
fn belongs(option: Opt, command: Command) -> bool {
    match option {
        Opt::Command | Opt::DeliveryDir | Opt::To | Opt::DryRun => command == Command::Import,
        Opt::Ids | Opt::State => command == Command::List,
        Opt::Reason => command == Command::Act(Verb::Fail),
        Opt::StaleAfter => matches!(command, Command::Act(_) | Command::Check),
        Opt::Help | Opt::Json | Opt::SpoolDir | Opt::Verbose | Opt::Version => true,
    }
}

fn ids(command: Command, words: Vec<String>) -> Result<Ids, String> {
    let wanted = matches!(command, Command::Show | Command::Act(_));
    match words.as_slice() {
        [] if wanted => Err("an id is needed".to_owned()),
        [_, ..] if !wanted => Err("this command takes no ids".to_owned()),
        [word] if word == FROM_INPUT => Ok(Ids::Input),
        _ => Ok(Ids::Given(words)),
    }
}

fn states(text: Option<&str>) -> Result<Vec<MessageState>, String> {
    let Some(text) = text else { return Ok(MessageState::ALL.to_vec()) };
    let state = |word: &str| MessageState::ALL.into_iter().find(|state| super::entry::word(*state) == word);
    let states = text.split(',').map(|word| state(word.trim())).collect::<Option<Vec<_>>>();
    states.ok_or_else(|| format!("invalid states for --state: [{}]", text.escape_debug()))
}

fn target(arguments: &Arguments<Opt>, delivery_dir: Option<PathBuf>) -> Result<Target, String> {
    let given = [Opt::Command, Opt::DeliveryDir, Opt::To].map(|id| arguments.value(id));
    match given {
        [None, directory, None] => Ok(Target::Mailboxes(directory.map(PathBuf::from).or(delivery_dir))),
        [Some(command), None, None] => {
            let words: Vec<String> =
                command.to_string_lossy().split_whitespace().map(str::to_owned).collect();
            if words.is_empty() {
                Err("--command needs a command".to_owned())
            } else {
                Ok(Target::Command(words))
            }
        }
        [None, None, Some(address)] => match address.to_str() {
            Some(address) if !is_address(address) => Err("--to needs an address or @domain".to_owned()),
            Some(address) => Ok(match address.strip_prefix('@') {
                Some(domain) => Target::Domain(domain.to_owned()),
                None => Target::Address(address.to_owned()),
            }),
            None => Err("--to needs an address or @domain".to_owned()),
        },
        _ => Err("--command, --delivery-dir and --to do not go together".to_owned()),
    }
}

/// A rough look; the rules of envelopes follow.
fn is_address(text: &str) -> bool {
    let (_, domain) = text.rsplit_once('@').unwrap_or_default();
    !domain.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace() || "<>,".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Options, String> {
        let site = || Site {
            spool_dir: Some("/srv/spool".into()),
            delivery_dir: Some("/srv/in".into()),
            domain: None,
        };
        match parse(words.iter().map(OsString::from), site) {
            Ok(Request::Run(options)) => Ok(options),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn options_stand_anywhere() {
        let options = run(&["-j", "list", "--state=failed,held", "-s", "/x"]).unwrap();
        assert_eq!((options.command, options.json), (Command::List, true));
        assert_eq!(options.states, [MessageState::Failed, MessageState::Held]);
        assert_eq!(options.spool_dir, PathBuf::from("/x"));
        let options = run(&["fail", "a", "--reason", "no such host", "b"]).unwrap();
        assert_eq!(options.ids, Ids::Given(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            (options.reason.as_str(), options.spool_dir),
            ("no such host", PathBuf::from("/srv/spool"))
        );
        assert_eq!(run(&["delete", "-"]).unwrap().ids, Ids::Input);
        assert_eq!(run(&["delete", "--", "--x"]).unwrap().ids, Ids::Given(vec!["--x".to_owned()]));
    }

    #[test]
    fn local_messages_have_one_target() {
        let target = |words: &[&str]| run(&[&["import-local"], words].concat()).map(|options| options.target);
        assert_eq!(target(&[]), Ok(Target::Mailboxes(Some("/srv/in".into()))));
        assert_eq!(target(&["-s", "/x"]), Ok(Target::Mailboxes(None)));
        assert_eq!(target(&["-d", "/m"]), Ok(Target::Mailboxes(Some("/m".into()))));
        assert_eq!(target(&["-t", "@x.org"]), Ok(Target::Domain("x.org".to_owned())));
        assert_eq!(target(&["-t", "a@x.org"]), Ok(Target::Address("a@x.org".to_owned())));
        let command = Target::Command(vec!["procmail".to_owned(), "-d".to_owned()]);
        assert_eq!(target(&["-c", "procmail -d"]), Ok(command));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, error) in [
            (&[][..], "a command is needed, such as list; see --help"),
            (&["lits"], "no such command: [lits]; see --help"),
            (&["hold"], "an id is needed"),
            (&["list", "x"], "this command takes no ids"),
            (&["list", "--to", "a@b"], "--to does not go with this command"),
            (&["list", "--state", "bad"], "invalid states for --state: [bad]"),
            (&["check", "--stale-after", "5x"], "invalid time for --stale-after: [5x]"),
            (&["import-local", "--to", "a"], "--to needs an address or @domain"),
            (&["import-local", "-c", " "], "--command needs a command"),
            (
                &["import-local", "-c", "x", "-d", "y"],
                "--command, --delivery-dir and --to do not go together",
            ),
            (&["--foo", "list"], "invalid option: \"--foo\""),
        ] {
            assert_eq!(run(words).unwrap_err(), error, "{words:?}");
        }
    }

    #[test]
    fn every_command_of_the_help_is_one() {
        for (name, _) in COMMANDS {
            let result = run(&[name]);
            assert!(result.is_ok() || result.is_err_and(|error| error == "an id is needed"), "{name}");
        }
    }
}
