//! Typed values: the table as a [`clap::Command`], and clap's complaints in our words.
//!
//! What comes here is already in one form, `--name=value`, once per option.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::given::printable;
use super::merge::{Entries, Entry};
use super::table::{self, Kind, Opt, Roles};
use crate::config::address::{AddressError, Local, Remote};
use crate::config::interface::{self, InvalidItem, Item};
use crate::config::{Facility, number};

/// Why the program cannot go on, when it is not the spelling of options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// `usage error: ...`
    Usage(String),
    /// `error: ...`
    Error(String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

/// The values of `--interface`.
#[derive(Debug, Clone)]
pub(super) struct Interfaces(pub(super) Vec<Item>);

/// The command of a program, with the options of its roles. Values that lack a port get `default_port`.
pub(super) fn command(name: &'static str, roles: Roles, default_port: Option<u16>) -> Command {
    let options = table::all().filter(|opt| opt.old.is_none() && opt.roles.meets(roles));
    Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(options.map(|opt| argument(opt, default_port)))
}

fn argument(opt: &'static Opt, default_port: Option<u16>) -> Arg {
    let mut arg = Arg::new(opt.name).long(opt.name).help(opt.help).hide(!opt.is_visible());
    if let Some(letter) = opt.short {
        arg = arg.short(letter);
    }
    if !opt.alias.is_empty() {
        arg = arg.alias(opt.alias);
    }
    match opt.kind {
        Kind::Switch => return arg.action(ArgAction::SetTrue),
        Kind::Count => return arg.action(ArgAction::Count),
        Kind::Facility => arg = arg.num_args(0..=1).require_equals(true).default_missing_value("mail"),
        Kind::Scopes => arg = arg.num_args(0..=1).require_equals(true).default_missing_value(""),
        _ => {}
    }
    if !opt.default.is_empty() {
        arg = arg.default_value(opt.default);
    }
    arg.value_name(opt.metavar).value_parser(parser(opt.kind, default_port))
}

/// A value that is not what the option takes; empty when there is nothing more to say.
#[derive(Debug, thiserror::Error)]
#[error("invalid value")]
struct Invalid;

fn parser(kind: Kind, default_port: Option<u16>) -> ValueParser {
    match kind {
        Kind::Switch | Kind::Count | Kind::Scopes | Kind::Text => ValueParser::string(),
        Kind::Secret | Kind::Path | Kind::Program => ValueParser::os_string(),
        Kind::Choice(words) => PossibleValuesParser::new(words).into(),
        Kind::Facility => ValueParser::from(|text: &str| Facility::parse(text).ok_or(Invalid)),
        Kind::Port => ValueParser::from(|text: &str| {
            number::digits(text).and_then(|n| u16::try_from(n).ok()).ok_or(Invalid)
        }),
        Kind::Number(min, max) => ValueParser::from(move |text: &str| {
            let number = number::digits(text).and_then(|number| u32::try_from(number).ok());
            number.filter(|number| (min..=max).contains(number)).ok_or(Invalid)
        }),
        Kind::Seconds => ValueParser::from(|text: &str| number::seconds(text).ok_or(Invalid)),
        Kind::Period => {
            ValueParser::from(|text: &str| number::seconds(text).and_then(number::limit).ok_or(Invalid))
        }
        Kind::Duration => ValueParser::from(|text: &str| number::duration(text).ok_or(Invalid)),
        Kind::Size => ValueParser::from(|text: &str| number::size(text).ok_or(Invalid)),
        Kind::Address => ValueParser::from(move |text: &str| Remote::parse(text, default_port)),
        Kind::LocalAddress => ValueParser::from(|text: &str| Local::parse(text)),
        Kind::Interfaces => ValueParser::from(|text: &str| interface::parse_list(text).map(Interfaces)),
    }
}

/// Gives the values of one instance, or of the process, their types.
///
/// # Errors
/// The first value that its option does not take: addresses of the next hop first, then in the order of the
/// consistency checks.
pub(super) fn parse(command: Command, entries: &Entries) -> Result<Values, Failure> {
    let mut ordered: Vec<&Entry> = entries.values().collect();
    ordered.sort_by_key(|entry| match entry.opt.kind {
        Kind::Address => 0,
        Kind::Facility => 1,
        Kind::Period => 2,
        _ => 3,
    });
    let args = ordered.into_iter().flat_map(canonical);
    command.try_get_matches_from(args).map(Values).map_err(|error| failure(&error, entries))
}

fn canonical(entry: &Entry) -> Vec<OsString> {
    let name = format!("--{}", entry.opt.name);
    let bare = matches!(entry.opt.kind, Kind::Switch | Kind::Count)
        || (entry.value.is_empty() && matches!(entry.opt.kind, Kind::Facility | Kind::Scopes));
    if bare {
        return (0..entry.count).map(|_| OsString::from(&name)).collect();
    }
    vec![OsString::from_vec([name.as_bytes(), b"=", entry.value.as_bytes()].concat())]
}

/// The one place where clap's errors become ours.
fn failure(error: &clap::Error, entries: &Entries) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let shown = text(ContextKind::InvalidArg);
    let name = shown.trim_start_matches('-').split(['=', ' ', '[']).next().unwrap_or_default();
    let entry = entries.get(name);
    let place = entry.map(|entry| entry.origin.suffix()).unwrap_or_default();
    let value = entry.map(|entry| printable(&entry.value.to_string_lossy())).unwrap_or_default();
    let cause = std::error::Error::source(error);
    let usage = |text: String| Failure::Usage(format!("{text}{place}"));
    match entry.map(|entry| entry.opt.kind) {
        Some(Kind::Address) => {
            let reason = cause.and_then(|cause| cause.downcast_ref::<AddressError>());
            let reason = reason.copied().unwrap_or(AddressError::Form);
            usage(format!("invalid --{name} address: \"{value}\": {reason}"))
        }
        Some(Kind::LocalAddress) => {
            Failure::Error(format!("address error: invalid network address: {value}: 0{place}"))
        }
        Some(Kind::Period) => usage("invalid --poll period: try --forward-on-disconnect".to_owned()),
        Some(Kind::Facility) => usage(
            "invalid --syslog facility: use 'mail', 'user', 'daemon', or 'local0' to 'local7'".to_owned(),
        ),
        Some(Kind::Interfaces) => match cause.and_then(|cause| cause.downcast_ref::<InvalidItem>()) {
            Some(item) => usage(item.to_string()),
            None => usage(format!("invalid --{name} item: \"{value}\"")),
        },
        Some(Kind::Choice(words)) => {
            usage(format!("invalid value for --{name}: \"{value}\": use {}", words.join(" or ")))
        }
        Some(Kind::Secret) => usage(format!("invalid value for --{name}")),
        Some(_) => usage(format!("invalid value for --{name}: \"{value}\"")),
        None => unexpected(error.kind()),
    }
}

/// The table and its command disagree; the tests see to it that this does not happen.
fn unexpected(kind: ErrorKind) -> Failure {
    Failure::Error(format!("invalid options: {kind}"))
}

/// Values by option name. A name that is not the program's, or of another type, has no value.
#[derive(Debug)]
pub(super) struct Values(ArgMatches);

impl Values {
    pub(super) fn on(&self, name: &str) -> bool {
        self.value::<bool>(name).unwrap_or_default()
    }

    pub(super) fn count(&self, name: &str) -> u8 {
        self.value::<u8>(name).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name)
    }

    pub(super) fn path(&self, name: &str) -> Option<OsString> {
        self.value(name)
    }

    pub(super) fn port(&self, name: &str) -> Option<u16> {
        self.value(name)
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.value(name)
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.value(name)
    }

    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        self.value(name)
    }

    pub(super) fn facility(&self, name: &str) -> Option<Facility> {
        self.value(name)
    }

    pub(super) fn address(&self, name: &str) -> Option<Remote> {
        self.value(name)
    }

    pub(super) fn local_address(&self, name: &str) -> Option<Local> {
        self.value(name)
    }

    pub(super) fn interfaces(&self, name: &str) -> Vec<Item> {
        self.value::<Interfaces>(name).map(|Interfaces(items)| items).unwrap_or_default()
    }

    fn value<T: Clone + Send + Sync + 'static>(&self, name: &str) -> Option<T> {
        self.0.try_get_one(name).ok().flatten().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_a_sound_command() {
        command("emailrelay", Roles::ALL, None).debug_assert();
    }

    #[test]
    fn every_default_and_sample_is_a_value_of_its_option() {
        for opt in table::all().filter(|opt| opt.old.is_none() && opt.kind.arity() == table::Arity::Required)
        {
            for value in [opt.default, opt.sample].into_iter().filter(|value| !value.is_empty()) {
                let arg = format!("--{}={value}", opt.name);
                let parsed = command("emailrelay", Roles::ALL, None).try_get_matches_from([&arg]);
                assert!(parsed.is_ok(), "{arg}");
            }
        }
    }
}
