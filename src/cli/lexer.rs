//! The command line, cut into uses of options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::given::{Given, Origin, lookup, missing, printable, unknown};
use super::table::{self, Arity, Opt};

/// What the command line says, before anything is put together.
#[derive(Debug, Default)]
pub(super) struct Lexed {
    pub(super) given: Vec<Given>,
    /// What is neither an option nor the value of one: the configuration file.
    pub(super) others: Vec<OsString>,
    pub(super) errors: Vec<String>,
}

/// Cuts arguments, without the program's own name. `is_pem` says whether there is a file of that name with a key or certificate.
/// Never fails: what is wrong is in `errors`.
pub(super) fn arguments(args: &[OsString], is_pem: &dyn Fn(&OsStr) -> bool) -> Lexed {
    let mut lexed = Lexed::default();
    let mut rest = Rest { args: args.iter(), is_pem };
    while let Some(arg) = rest.args.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            lexed.others.extend(rest.args.by_ref().cloned());
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            lexed.long(long, &mut rest);
        } else if let Some(letters) = bytes.strip_prefix(b"-").filter(|letters| !letters.is_empty()) {
            lexed.short(letters, &mut rest);
        } else if let Some(error) = typographic_dash(arg) {
            lexed.errors.push(error);
        } else {
            lexed.others.push(arg.clone());
        }
    }
    lexed
}

/// The arguments that have not been looked at.
struct Rest<'a> {
    args: std::slice::Iter<'a, OsString>,
    is_pem: &'a dyn Fn(&OsStr) -> bool,
}

impl Rest<'_> {
    /// compat: `--server-tls FILE` of 1.7 to 1.9. Nothing but a file with a certificate is taken for such a value: what is behind a
    /// switch may be the configuration file.
    fn old_value(&mut self, opt: &Opt) -> Option<OsString> {
        let next = self.args.as_slice().first()?;
        let is_value = !opt.value_for.is_empty() && (self.is_pem)(next);
        is_value.then(|| self.args.next().cloned()).flatten()
    }
}

impl Lexed {
    fn long(&mut self, text: &[u8], rest: &mut Rest<'_>) {
        let (name, value) = split_value(text);
        let name = String::from_utf8_lossy(name);
        let spelled = format!("--{name}");
        let Some((prefix, opt)) = lookup(&name) else {
            self.errors.push(unknown(&spelled, &Origin::CommandLine));
            return;
        };
        let value = match value {
            None if opt.kind.arity() == Arity::Required => match self.separate_value(&spelled, rest) {
                Some(value) => Some(value),
                None => return,
            },
            None => rest.old_value(opt),
            value => value,
        };
        self.add(Given::new(opt, prefix, spelled, value, Origin::CommandLine));
    }

    /// The value in the argument behind a long option. One that looks like an option was probably forgotten.
    fn separate_value(&mut self, spelled: &str, rest: &mut Rest<'_>) -> Option<OsString> {
        let Some(next) = rest.args.next() else {
            self.errors.push(missing(spelled, &Origin::CommandLine));
            return None;
        };
        if next.as_bytes().starts_with(b"-") {
            let next = printable(&next.to_string_lossy());
            self.errors.push(format!(
                "\"{spelled} {next}\" is probably a mistake, use \"{spelled}=... {next}\" or \"{spelled}={next}\""
            ));
            return None;
        }
        Some(next.clone())
    }

    /// Letters: any number of switches, and at the end perhaps one with a value, which may be in the same argument.
    fn short(&mut self, letters: &[u8], rest: &mut Rest<'_>) {
        let mut letters = letters;
        while let Some((letter, behind)) = split_char(letters) {
            let spelled = format!("-{letter}");
            let Some(opt) = table::find_short(letter) else {
                self.errors.push(unknown(&spelled, &Origin::CommandLine));
                return;
            };
            let takes_all = opt.kind.arity() == Arity::Required;
            let value = match behind.strip_prefix(b"=") {
                Some(value) => Some(value),
                None if takes_all && !behind.is_empty() => Some(behind),
                None => None,
            };
            let done = value.is_some() || takes_all;
            let value = match value {
                Some(value) => Some(OsString::from_vec(value.to_vec())),
                None if takes_all => rest.args.next().cloned(),
                None if behind.is_empty() => rest.old_value(opt),
                None => None,
            };
            self.add(Given::new(opt, None, spelled, value, Origin::CommandLine));
            if done {
                return;
            }
            letters = behind;
        }
    }

    fn add(&mut self, given: Result<Given, String>) {
        match given {
            Ok(given) => self.given.push(given),
            Err(error) => self.errors.push(error),
        }
    }
}

/// Name and value of `name=value`. A `=` behind anything that cannot be a name belongs to the (unknown) name.
fn split_value(text: &[u8]) -> (&[u8], Option<OsString>) {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    let end = text.iter().position(|byte| !in_name(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match rest.strip_prefix(b"=") {
        Some(value) => (name, Some(OsString::from_vec(value.to_vec()))),
        None => (text, None),
    }
}

/// The first character, a replacement character when the bytes are none, and the bytes behind it.
fn split_char(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if first.is_ascii() {
        return Some((char::from(*first), rest));
    }
    // No option has such a letter, so the rest is of no interest.
    Some((String::from_utf8_lossy(bytes).chars().next().unwrap_or(char::REPLACEMENT_CHARACTER), &[]))
}

/// Dashes that word processors and web pages make of hyphens.
fn typographic_dash(arg: &OsStr) -> Option<String> {
    let text = arg.to_str()?;
    if !text.starts_with(['\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2015}', '\u{2212}'])
    {
        return None;
    }
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    Some(format!("\"{}\" is not an option: use two ascii hyphens", printable(name)))
}
