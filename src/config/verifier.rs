//! The value of `--address-verifier`, read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::address::Remote;
use super::filter::{self, Surroundings};
use super::number;

/// What decides about the addresses of RCPT and VRFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifierSpec {
    /// Nothing: every address is accepted for forwarding (`exit:N`, or an empty value).
    AcceptAll,
    /// A program.
    Program(PathBuf),
    /// `net:`: a server with a line protocol.
    Net(Remote),
    /// `account:`: the accounts of this machine.
    Account(AccountSpec),
}

/// Which accounts are mailboxes, and what becomes of their mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSpec {
    /// Least user id.
    pub low: u32,
    /// Greatest user id.
    pub high: u32,
    /// `lowercase`: the mailbox has the name in lower case.
    pub lowercase: bool,
    /// `remote`: recipients are forwarded, not delivered here.
    pub remote: bool,
    /// `check`: what is no account here is forwarded, not refused.
    pub check: bool,
    /// `shell`: the account must have a login shell.
    pub shell: bool,
    /// `detail=C`: what follows this character in the local part does not count.
    pub detail: Option<char>,
    /// Words that mean nothing, for a warning.
    pub unknown: Vec<String>,
}

/// User ids of people on most systems.
const PEOPLE: (u32, u32) = (1000, 32767);

/// Reads an address verifier: one value, no list.
///
/// # Errors
/// The reason that completes `invalid verifier specification: `.
pub fn parse(value: &OsStr, around: &Surroundings<'_>) -> Result<VerifierSpec, String> {
    let program = |path: &OsStr| Ok(VerifierSpec::Program(filter::absolute(path, around)));
    match value.to_str().and_then(|text| text.split_once(':')) {
        Some(("exit", code)) => match number::digits(code) {
            Some(_) => Ok(VerifierSpec::AcceptAll),
            None => Err(format!("not a numeric exit code: {code}")),
        },
        Some(("net", address)) => Ok(VerifierSpec::Net(filter::address(address)?)),
        Some(("account", list)) => Ok(VerifierSpec::Account(account(list)?)),
        Some(("file", "")) => Err("empty file path".to_owned()),
        Some(("file", path)) => program(OsStr::new(path)),
        _ if value.is_empty() => Ok(VerifierSpec::AcceptAll),
        _ => program(value),
    }
}

impl VerifierSpec {
    /// The program file.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        match self {
            Self::Program(path) => Some(path),
            _ => None,
        }
    }

    /// Where it connects to, if it does.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Net(address) => Some(address),
            _ => None,
        }
    }
}

impl Default for AccountSpec {
    fn default() -> Self {
        Self {
            low: PEOPLE.0,
            high: PEOPLE.1,
            lowercase: false,
            remote: false,
            check: false,
            shell: false,
            detail: None,
            unknown: Vec::new(),
        }
    }
}

fn account(list: &str) -> Result<AccountSpec, String> {
    let mut spec = AccountSpec::default();
    for item in list.split(';').filter(|item| !item.is_empty()) {
        if item.starts_with(|first: char| first.is_ascii_digit()) {
            (spec.low, spec.high) = range(item)?;
        } else {
            word(&mut spec, item);
        }
    }
    Ok(spec)
}

fn word(spec: &mut AccountSpec, item: &str) {
    // compat: up to three letters are taken for one word, whichever of these it holds first.
    let short = |letter| item.len() <= 3 && item.contains(letter);
    match item {
        "lowercase" => spec.lowercase = true,
        "remote" => spec.remote = true,
        "check" => spec.check = true,
        "shell" => spec.shell = true,
        _ if short('l') => spec.lowercase = true,
        _ if short('r') => spec.remote = true,
        _ if short('c') => spec.check = true,
        _ => {
            let detail = item.strip_prefix("detail=").and_then(|text| {
                let mut characters = text.chars();
                characters.next().filter(|c| c.is_ascii_punctuation() && characters.next().is_none())
            });
            match detail {
                Some(character) => spec.detail = Some(character),
                None => spec.unknown.push(item.to_owned()),
            }
        }
    }
}

/// `LOW-HIGH`, `LOW-` or a single number.
fn range(item: &str) -> Result<(u32, u32), String> {
    let user_id = |text: &str| {
        let number = number::digits(text).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| {
            format!("string conversion error: invalid format: expected unsigned integer: {text}")
        })
    };
    let (low, high) = match item.split_once('-') {
        None => (user_id(item)?, user_id(item)?),
        Some((low, "")) => (user_id(low)?, u32::MAX),
        Some((low, high)) => (user_id(low)?, user_id(high)?),
    };
    if low > high {
        return Err("not a valid numeric range".to_owned());
    }
    Ok((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<VerifierSpec, String> {
        let around = Surroundings {
            app_dir: Path::new("/opt/relay"),
            cwd: Path::new("/home/me"),
            is_file: &|_| false,
        };
        parse(text.as_ref(), &around)
    }

    fn accounts(text: &str) -> AccountSpec {
        match read(text) {
            Ok(VerifierSpec::Account(spec)) => spec,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn bad_verifiers_have_their_reason() {
        for (text, reason) in [
            ("exit:x", "not a numeric exit code: x"),
            ("net:x", "invalid host:service format: x"),
            ("net:", "invalid host:service format"),
            ("file:", "empty file path"),
            ("account:20-10", "not a valid numeric range"),
            ("account:1x", "string conversion error: invalid format: expected unsigned integer: 1x"),
            ("account:1-2-3", "string conversion error: invalid format: expected unsigned integer: 2-3"),
            (
                "account:1-99999999999",
                "string conversion error: invalid format: expected unsigned integer: 99999999999",
            ),
        ] {
            assert_eq!(read(text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn kinds_are_told_by_their_prefix() {
        assert_eq!(read(""), Ok(VerifierSpec::AcceptAll));
        assert_eq!(read("exit:99999999"), Ok(VerifierSpec::AcceptAll));
        assert_eq!(read("net:/run/x"), Ok(VerifierSpec::Net(Remote::Unix("/run/x".into()))));
        for (text, path) in [
            ("/bin/v, me", "/bin/v, me"),
            ("file:v", "/home/me/v"),
            ("foo:bar", "/home/me/foo:bar"),
            ("@app/v", "/opt/relay/v"),
        ] {
            assert_eq!(read(text), Ok(VerifierSpec::Program(path.into())), "{text}");
        }
    }

    #[test]
    fn accounts_have_ranges_and_words() {
        assert_eq!(accounts("account:"), AccountSpec::default());
        let spec = accounts("account:500;lowercase;1000-;check");
        assert_eq!(
            (spec.low, spec.high, spec.lowercase, spec.remote, spec.check),
            (1000, u32::MAX, true, false, true)
        );
        let spec = accounts("account:7;detail=+;shell;detail=ab;xyzzy");
        assert_eq!((spec.low, spec.high, spec.detail, spec.shell), (7, 7, Some('+'), true));
        assert_eq!(spec.unknown, ["detail=ab", "xyzzy"]);
    }

    #[test]
    fn of_a_few_letters_only_one_counts() {
        for (text, lowercase, remote, check) in [
            ("lrc", true, false, false),
            ("rc", false, true, false),
            ("c", false, false, true),
            ("cl", true, false, false),
        ] {
            let spec = accounts(&format!("account:{text}"));
            assert_eq!((spec.lowercase, spec.remote, spec.check), (lowercase, remote, check), "{text}");
        }
    }
}
