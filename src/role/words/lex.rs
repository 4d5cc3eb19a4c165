//! Splits an argument list into options and words by the rules of the 2.x command lines.
//!
//! Long options are `--name`, `--name=value` or `--name value`; letters may be joined, the last of them may take a value
//! (`-tf joe@example.com`, `-fjoe@example.com`). `--` ends the options, and so does the first word that is not one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Spec, Takes};

/// The longest part of an unknown option's name that is repeated in an error, in characters.
const MAX_SHOWN: usize = 64;

/// What an argument list says, before values are looked at.
#[derive(Debug)]
pub(crate) struct Arguments<Id: 'static> {
    table: &'static [Spec<Id>],
    given: Vec<Given<Id>>,
    /// What follows the options.
    pub(crate) words: Vec<OsString>,
    /// Texts of what is wrong, in order.
    pub(crate) errors: Vec<String>,
}

/// Where options may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Up to the first word.
    OptionsFirst,
    /// Anywhere, up to `--`.
    Mixed,
}

#[derive(Debug)]
struct Given<Id> {
    id: Id,
    value: Option<OsString>,
    /// The option as written, for error texts: `--from` or `-f`.
    spelling: String,
}

impl<Id: Copy + PartialEq> Arguments<Id> {
    /// Reads the arguments, without the program's name, by the options of `table`.
    pub(crate) fn new(table: &'static [Spec<Id>], arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self::read(table, arguments, Order::OptionsFirst)
    }

    /// The same for a program with commands, where options may stand behind words as well.
    pub(crate) fn mixed(table: &'static [Spec<Id>], arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self::read(table, arguments, Order::Mixed)
    }

    fn read(table: &'static [Spec<Id>], arguments: impl IntoIterator<Item = OsString>, order: Order) -> Self {
        let mut result = Self { table, given: Vec::new(), words: Vec::new(), errors: Vec::new() };
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            let bytes = argument.as_bytes();
            if bytes == b"--" {
                result.words.extend(rest);
                break;
            } else if let Some(long) = bytes.strip_prefix(b"--") {
                result.long(long, &mut rest);
            } else if let Some(letters) = bytes.strip_prefix(b"-").filter(|letters| !letters.is_empty()) {
                result.letters(letters, &mut rest);
            } else if argument.to_string_lossy().starts_with(['\u{2013}', '\u{2014}']) {
                let shown = shown(&argument.to_string_lossy());
                result.errors.push(format!("\"{shown}\" is not an option: use two ascii hyphens"));
            } else {
                result.words.push(argument);
                if order == Order::OptionsFirst {
                    result.words.extend(rest);
                    break;
                }
            }
        }
        result.check_repeats();
        result
    }

    /// How often a switch is on.
    pub(crate) fn count(&self, id: Id) -> usize {
        self.of(id).filter(|given| switch_is_on(given.value.as_deref()) != Some(false)).count()
    }

    /// Whether an option was given, for switches whether it is on.
    pub(crate) fn has(&self, id: Id) -> bool {
        self.count(id) > 0
    }

    /// The value of a single-valued option.
    pub(crate) fn value(&self, id: Id) -> Option<&OsStr> {
        self.of(id).find_map(|given| given.value.as_deref())
    }

    /// The values of a repeatable option, in order.
    pub(crate) fn values(&self, id: Id) -> impl Iterator<Item = &OsStr> {
        self.of(id).filter_map(|given| given.value.as_deref())
    }

    fn of(&self, id: Id) -> impl Iterator<Item = &Given<Id>> {
        self.given.iter().filter(move |given| given.id == id)
    }

    fn long(&mut self, text: &[u8], rest: &mut impl Iterator<Item = OsString>) {
        let (name, value) = match text.iter().position(|&byte| byte == b'=') {
            Some(equals) => (text.get(..equals).unwrap_or_default(), text.get(equals + 1..)),
            None => (text, None),
        };
        let Some(spec) = self.table.iter().find(|spec| spec.name.as_bytes() == name) else {
            let name = shown(&String::from_utf8_lossy(name));
            self.errors.push(format!("invalid option: \"--{name}\""));
            return;
        };
        let spelling = format!("--{}", spec.name);
        let value = value.map(|value| OsString::from_vec(value.to_vec()));
        match (&spec.takes, value) {
            (Takes::Nothing, Some(value)) if switch_is_on(Some(&value)).is_none() => {
                self.errors.push(format!("cannot give a value with \"{spelling}\" (maybe)"));
            }
            (Takes::Value(_), None) => match rest.next() {
                None => self.errors.push(format!("no value supplied for \"{spelling}\"")),
                Some(next) if next.as_bytes().starts_with(b"-") => {
                    let next = shown(&next.to_string_lossy());
                    self.errors.push(format!(
                        "\"{spelling} {next}\" is probably a mistake, use \"{spelling}=... {next}\" or \"{spelling}={next}\""
                    ));
                }
                Some(next) => self.add(spec, Some(next), spelling),
            },
            (_, value) => self.add(spec, value, spelling),
        }
    }

    fn letters(&mut self, mut letters: &[u8], rest: &mut impl Iterator<Item = OsString>) {
        while let Some((&letter, behind)) = letters.split_first() {
            let Some(spec) =
                self.table.iter().find(|spec| spec.letter.is_some_and(|own| own == char::from(letter)))
            else {
                let unknown = String::from_utf8_lossy(letters).chars().next().unwrap_or_default();
                self.errors.push(format!("invalid option: \"-{}\"", shown(unknown.encode_utf8(&mut [0; 4]))));
                return;
            };
            let spelling = format!("-{}", char::from(letter));
            if !matches!(spec.takes, Takes::Value(_)) {
                self.add(spec, None, spelling);
                letters = behind;
                continue;
            }
            let attached = behind.strip_prefix(b"=").unwrap_or(behind);
            let value =
                if behind.is_empty() { rest.next() } else { Some(OsStr::from_bytes(attached).to_owned()) };
            match value {
                None => self.errors.push(format!("no value supplied for {spelling}")),
                value => self.add(spec, value, spelling),
            }
            return;
        }
    }

    fn add(&mut self, spec: &Spec<Id>, value: Option<OsString>, spelling: String) {
        self.given.push(Given { id: spec.id, value, spelling });
    }

    fn check_repeats(&mut self) {
        let errors: Vec<String> = self.table.iter().filter_map(|spec| self.repeat_error(spec)).collect();
        self.errors.extend(errors);
    }

    /// What is wrong with the second use of an option, if anything.
    fn repeat_error(&self, spec: &Spec<Id>) -> Option<String> {
        let mut uses = self.of(spec.id);
        let first = uses.next()?;
        let is_on = |given: &Given<Id>| switch_is_on(given.value.as_deref());
        match spec.takes {
            Takes::Nothing => uses
                .find(|given| is_on(given) != is_on(first))
                .map(|given| format!("conflicting values: \"{}\"", given.spelling)),
            _ if spec.repeats => None,
            _ => uses
                .find(|given| given.value != first.value)
                .map(|given| format!("duplicate use of \"{}\"", given.spelling)),
        }
    }
}

/// What a value given to a switch means; nothing for a text that is no such value.
fn switch_is_on(value: Option<&OsStr>) -> Option<bool> {
    let Some(value) = value else { return Some(true) };
    match value.to_string_lossy().trim().to_ascii_lowercase().as_str() {
        "" | "yes" | "y" | "true" | "t" | "1" | "on" => Some(true),
        "no" | "n" | "false" | "f" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// A text from the command line as it may appear in an error: printable and not too long.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect()
}
