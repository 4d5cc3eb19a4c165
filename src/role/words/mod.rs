//! Command lines of the tools, by the rules of 2.x: a table of options, the words of a command line, the help text.

pub(crate) mod help;
mod lex;
pub(crate) mod shown;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

pub(crate) use lex::Arguments;

/// How much help is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HelpPart {
    /// The options that most people need.
    Basic,
    /// All of them.
    Full,
}

/// Where an option is shown in help texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Basic,
    Usual,
    Special,
    Hidden,
}

/// Whether an option has a value, and what help texts call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Optional(&'static str),
    Value(&'static str),
}

/// An option as the table has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec<Id> {
    pub(crate) id: Id,
    pub(crate) letter: Option<char>,
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) repeats: bool,
    pub(crate) level: Level,
    pub(crate) help: &'static str,
}

/// An option that may be given once.
pub(crate) const fn spec<Id: Copy>(
    id: Id,
    letter: char,
    name: &'static str,
    takes: Takes,
    level: Level,
    help: &'static str,
) -> Spec<Id> {
    let letter = if letter == ' ' { None } else { Some(letter) };
    Spec { id, letter, name, takes, repeats: false, level, help }
}

/// The same, as often as one likes.
pub(crate) const fn repeats<Id: Copy>(spec: Spec<Id>) -> Spec<Id> {
    Spec { repeats: true, ..spec }
}

/// The base name that a program was called by.
pub(crate) fn program_name(argument: Option<&OsStr>, default: &str) -> String {
    let name = argument.and_then(|argument| Path::new(argument).file_name());
    name.map_or_else(|| default.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Tells the caller; a caller who does not listen changes nothing about the outcome.
pub(crate) fn complain(program: &str, text: &str) {
    let _ = writeln!(io::stderr(), "{program}: {text}");
}

/// Prints, and does not mind a closed pipe.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
