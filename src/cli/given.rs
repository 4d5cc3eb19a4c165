//! One use of an option, wherever it was given.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::rc::Rc;

use super::table::{self, Arity, Kind, Opt};

/// Where an option was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    CommandLine,
    /// File and line number, from 1.
    File(Rc<Path>, usize),
}

impl Origin {
    /// What error texts end in: nothing, or ` (file:line)`.
    pub(super) fn suffix(&self) -> String {
        match self {
            Self::CommandLine => String::new(),
            Self::File(path, line) => format!(" ({}:{line})", path.display()),
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(..))
    }
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    On,
    Off,
    Text(OsString),
}

/// One use of an option.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) opt: &'static Opt,
    /// The instance it is for, when it was written with a prefix.
    pub(super) prefix: Option<String>,
    /// As the user wrote it: `--in-port` or `-p`. For messages.
    pub(super) spelled: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Given {
    /// Gives a value its meaning for the option: a word for on or off, an optional value, a value.
    ///
    /// `None` stands for no value at all, which is different from an empty one.
    pub(super) fn new(
        opt: &'static Opt,
        prefix: Option<String>,
        spelled: String,
        value: Option<OsString>,
        origin: Origin,
    ) -> Result<Self, String> {
        let value = match (opt.kind.arity(), value) {
            (Arity::None, None) => Value::On,
            (Arity::None, Some(text)) if is_old_value(opt, &text) => Value::Text(text),
            (Arity::None, Some(text)) => switch_value(&spelled, &text, &origin)?,
            (Arity::Optional, None) => Value::On,
            (Arity::Optional, Some(text)) => optional_value(opt, text),
            (Arity::Required, Some(text)) => Value::Text(text),
            (Arity::Required, None) => return Err(missing(&spelled, &origin)),
        };
        Ok(Self { opt, prefix, spelled, value, origin })
    }
}

/// Whether the value is one that the switch took in older versions.
fn is_old_value(opt: &Opt, text: &OsStr) -> bool {
    !opt.value_for.is_empty() && !text.is_empty() && switch_word(text).is_none()
}

fn switch_value(spelled: &str, text: &OsStr, origin: &Origin) -> Result<Value, String> {
    match switch_word(text) {
        Some(true) => Ok(Value::On),
        Some(false) => Ok(Value::Off),
        None if text.is_empty() => Ok(Value::On),
        // What stands in a file is never shown: it may be the wrong file, full of secrets.
        None if origin.is_file() => Err(format!("cannot give a value with \"{spelled}\"{}", origin.suffix())),
        None => {
            Err(format!("cannot give a value with \"{spelled}\" ({})", printable(&text.to_string_lossy())))
        }
    }
}

fn optional_value(opt: &Opt, text: OsString) -> Value {
    match switch_word(&text) {
        // `1` and `0` are no facility and no scope either.
        Some(true) => Value::On,
        Some(false) => Value::Off,
        None if text.is_empty() || (opt.kind == Kind::Facility && text == *"mail") => Value::On,
        None => Value::Text(text),
    }
}

/// The words for on and off; any case, blanks around them ignored.
fn switch_word(text: &OsStr) -> Option<bool> {
    let word = text.to_str()?.trim().to_ascii_lowercase();
    match word.as_str() {
        "yes" | "y" | "true" | "t" | "1" | "on" => Some(true),
        "no" | "n" | "false" | "f" | "0" | "off" => Some(false),
        _ => None,
    }
}

/// The option behind a long name, with or without the prefix of an instance.
///
/// A name that is an option as it stands is never taken for a prefixed one.
pub(super) fn lookup(name: &str) -> Option<(Option<String>, &'static Opt)> {
    if let Some(opt) = table::find(name) {
        return Some((None, opt));
    }
    let (prefix, rest) = name.split_once('-')?;
    let word = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !word {
        return None;
    }
    table::find(rest).map(|opt| (Some(prefix.to_owned()), opt))
}

/// `no value supplied for ...`: long names in quotes, letters not.
pub(super) fn missing(spelled: &str, origin: &Origin) -> String {
    let long = spelled.starts_with("--");
    let quoted = if long { Cow::Owned(format!("\"{spelled}\"")) } else { Cow::Borrowed(spelled) };
    format!("no value supplied for {quoted}{}", origin.suffix())
}

/// `invalid option: ...`, with a suggestion when one is near.
pub(super) fn unknown(spelled: &str, origin: &Origin) -> String {
    let hint = spelled.strip_prefix("--").and_then(nearest);
    let hint = hint.map(|name| format!(": did you mean \"--{name}\"?")).unwrap_or_default();
    invalid(spelled, origin) + &hint
}

/// `invalid option: ...` for a name that would be right with another prefix.
pub(super) fn invalid(spelled: &str, origin: &Origin) -> String {
    format!("invalid option: \"{}\"{}", printable(spelled), origin.suffix())
}

/// At most 64 characters, none of them a control character.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(64).collect()
}

fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let names = table::all().filter(|opt| opt.is_visible()).map(|opt| opt.name);
    let (distance, nearest) = names.map(|known| (distance(name, known), known)).min()?;
    // Two of three letters changed is another word.
    (distance <= 2 && distance * 2 <= name.chars().count()).then_some(nearest)
}

/// The number of letters inserted, removed, changed or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let mut previous: Vec<usize> = Vec::new();
    let mut before: Option<char> = None;
    let mut row: Vec<usize> = (0..=left.len()).collect();
    for (index, known) in right.chars().enumerate() {
        let mut next = vec![index + 1];
        for (column, letter) in left.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, column) + usize::from(*letter != known))
                .min(at(&row, column + 1) + 1)
                .min(at(&next, column) + 1);
            let left_before = column.checked_sub(1).and_then(|column| left.get(column));
            if left_before == Some(&known) && before == Some(*letter) {
                best = best.min(at(&previous, column - 1) + 1);
            }
            next.push(best);
        }
        previous = std::mem::replace(&mut row, next);
        before = Some(known);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (left, right, expected) in [
            ("port", "port", 0),
            ("prot", "port", 1),
            ("por", "port", 1),
            ("poort", "port", 1),
            ("", "log", 3),
            ("foo", "log", 2),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn names_of_options_are_not_prefixes() {
        for (name, prefix, opt) in [
            ("client-filter", None, "client-filter"),
            ("pop-port", None, "pop-port"),
            ("in-port", Some("in"), "port"),
            ("In_2-spool-dir", Some("In_2"), "spool-dir"),
            ("in-client-filter", Some("in"), "client-filter"),
        ] {
            let (found, row) = lookup(name).unwrap();
            assert_eq!((found.as_deref(), row.name), (prefix, opt), "{name}");
        }
        for bad in ["", "-", "-port", "in-", "a.b-port", "in-out-port", "p"] {
            assert!(lookup(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn unknown_options_are_cut_and_get_a_suggestion() {
        let unknown = |text: &str| super::unknown(text, &Origin::CommandLine);
        assert_eq!(unknown("--foo"), "invalid option: \"--foo\"");
        assert_eq!(unknown("--prot"), "invalid option: \"--prot\": did you mean \"--port\"?");
        assert_eq!(unknown("--a\nb"), "invalid option: \"--a?b\"");
        assert_eq!(unknown(&"x".repeat(100)), format!("invalid option: \"{}\"", "x".repeat(64)));
    }
}
