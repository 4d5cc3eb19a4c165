//! Specifications of filters: `--filter` and `--client-filter`.
//!
//! All values of the option are one list, cut at commas; there is no quoting, so a comma cannot be part of a path. What a
//! part begins with tells its kind, and what begins with nothing known is the path of a program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::Remote;
use super::built_in::{CopyWords, MsgidWords, MxWords, SplitWords};
use super::number;
use super::spam::SpamOptions;

/// Exit codes and milliseconds end below this.
const NUMBER_LIMIT: u64 = 4_294_967;

/// Stands for the directory of the running program at the start of a path.
const APP: &str = "@app";

/// One filter of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterSpec {
    /// `exit:N`: as a program that ends with this code at once.
    Exit(u32),
    /// `sleepms:N`: waits, then goes on.
    Sleep(Duration),
    /// `net:ADDRESS`: asks a server, line by line.
    Net(Remote),
    /// `spam:ADDRESS` and `spam-edit:ADDRESS`: asks spamd.
    Spam {
        /// Where it listens.
        address: Remote,
        /// What it returns takes the place of the content (`spam-edit:`), instead of spam being refused.
        edit: bool,
        /// How it is asked.
        options: SpamOptions,
    },
    /// `copy:`: to all sub-directories.
    Copy(CopyWords),
    /// `deliver:`: to the mailboxes of local recipients.
    Deliver(CopyWords),
    /// `split:`: a message for each domain.
    Split(SplitWords),
    /// `mx:`: the next hop by the domain's mail exchangers.
    Mx(MxWords),
    /// `msgid:`: adds a Message-ID.
    Msgid(MsgidWords),
    /// A program.
    Program(ProgramSpec),
}

/// What is said of a prefix that is known and not built.
#[must_use]
fn not_built(prefix: &str) -> String {
    format!("{prefix}: is not built into this version")
}

/// A program and how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Absolute path.
    pub path: PathBuf,
    /// How its arguments are made.
    pub arguments: Arguments,
}

/// Arguments of a filter program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Arguments {
    /// Content and envelope.
    #[default]
    Both,
    /// The words, then content and envelope, unless `{content}` or `{envelope}` stand among them; with facts about the message in
    /// the environment (`exec:`).
    Words(Vec<String>),
    /// The words, then the content only: a command line in the way of E-MailRelay 1.
    Old(Vec<String>),
}

/// What a specification is read against.
pub struct Surroundings<'a> {
    /// Directory of the running program, for `@app`.
    pub app_dir: &'a Path,
    /// What relative paths are relative to.
    pub cwd: &'a Path,
    /// Whether there is a file of this absolute path.
    pub is_file: &'a dyn Fn(&Path) -> bool,
}

/// The filters of a list and what deserves a warning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterList {
    /// In order.
    pub filters: Vec<FilterSpec>,
    /// For standard error and the log.
    pub warnings: Vec<String>,
}

/// Prefixes of later versions. They cannot be taken for names of files without the filter being skipped silently.
const NOT_BUILT: [&str; 3] = ["milter", "rspamd", "dkim"];

impl FilterList {
    /// Reads the value of an option. An empty one is as `exit:0`.
    ///
    /// # Errors
    /// The reason that completes `invalid filter specification: `.
    pub fn parse(list: &OsStr, around: &Surroundings<'_>) -> Result<Self, String> {
        let mut found = Self::default();
        for part in list.as_bytes().split(|byte| *byte == b',').filter(|part| !part.is_empty()) {
            let filter = found.part(OsStr::from_bytes(part), around)?;
            found.filters.push(filter);
        }
        if found.filters.is_empty() {
            found.filters.push(FilterSpec::Exit(0));
        }
        Ok(found)
    }

    fn part(&mut self, part: &OsStr, around: &Surroundings<'_>) -> Result<FilterSpec, String> {
        let Some((prefix, rest)) = part.to_str().and_then(|text| text.split_once(':')) else {
            return Ok(FilterSpec::Program(self.program(part, around)));
        };
        if let Some(built_in) = self.built_in(prefix, rest) {
            return Ok(built_in);
        }
        match prefix {
            "exit" => Ok(FilterSpec::Exit(u32::try_from(number(rest)?).unwrap_or(u32::MAX))),
            "sleepms" => Ok(FilterSpec::Sleep(Duration::from_millis(number(rest)?))),
            "net" => Ok(FilterSpec::Net(address(rest)?)),
            "spam" | "spam-edit" => self.spam(rest, prefix == "spam-edit"),
            "mx" => Ok(FilterSpec::Mx(self.mx(rest))),
            "file" if rest.is_empty() => Err("empty file path".to_owned()),
            "file" => Ok(FilterSpec::Program(self.program(OsStr::new(rest), around))),
            _ if NOT_BUILT.contains(&prefix) || prefix == "exec" => {
                self.new_prefix(part, prefix, rest, around)
            }
            _ => Ok(FilterSpec::Program(self.program(part, around))),
        }
    }

    fn spam(&mut self, rest: &str, edit: bool) -> Result<FilterSpec, String> {
        let (place, options) = rest.split_once(';').unwrap_or((rest, ""));
        let address = address(place)?;
        let (options, unknown) = SpamOptions::parse(options)?;
        self.warnings.extend(unknown.iter().map(|word| format!("filter option ignored: [{word}]")));
        Ok(FilterSpec::Spam { address, edit, options })
    }

    fn mx(&mut self, rest: &str) -> MxWords {
        let (mut ignored, mut invalid) = (Vec::new(), Vec::new());
        let words = MxWords::parse(rest, &mut ignored, &mut invalid);
        self.warnings.extend(ignored.iter().map(|word| format!("filter option ignored: [{word}]")));
        let invalid =
            invalid.iter().map(|word| format!("invalid mx filter configuration: ignoring [{word}]"));
        self.warnings.extend(invalid);
        words
    }

    /// One of our own filters, if it is one.
    fn built_in(&mut self, prefix: &str, options: &str) -> Option<FilterSpec> {
        let mut ignored = Vec::new();
        let filter = match prefix {
            "copy" => FilterSpec::Copy(CopyWords::parse(options, &mut ignored)),
            "deliver" => FilterSpec::Deliver(CopyWords::parse(options, &mut ignored)),
            "split" => FilterSpec::Split(SplitWords::parse(options, &mut ignored)),
            "msgid" => FilterSpec::Msgid(MsgidWords::parse(options, &mut ignored)),
            _ => return None,
        };
        self.warnings.extend(ignored.iter().map(|word| format!("filter option ignored: [{word}]")));
        Some(filter)
    }

    /// A prefix that E-MailRelay 2.6 did not know, and would have taken for the name of a file.
    fn new_prefix(
        &mut self,
        part: &OsStr,
        prefix: &str,
        rest: &str,
        around: &Surroundings<'_>,
    ) -> Result<FilterSpec, String> {
        let path = absolute(part, around);
        if (around.is_file)(&path) {
            self.warnings.push(format!("there is a file \"{}\": it is run as a filter", path.display()));
            return Ok(FilterSpec::Program(ProgramSpec { path, arguments: Arguments::Both }));
        }
        if prefix != "exec" {
            return Err(not_built(prefix));
        }
        let mut words = words(rest);
        if words.is_empty() {
            return Err("empty file path".to_owned());
        }
        let path = absolute(OsStr::new(&words.remove(0)), around);
        Ok(FilterSpec::Program(ProgramSpec { path, arguments: Arguments::Words(words) }))
    }

    /// The whole text is the path, blanks included; but if there is no such file and the first of its words is one, it
    /// is a command line of older versions.
    fn program(&mut self, text: &OsStr, around: &Surroundings<'_>) -> ProgramSpec {
        let path = absolute(text, around);
        let plain = ProgramSpec { path, arguments: Arguments::Both };
        let Some(text) = text.to_str().filter(|text| text.contains(' ')) else { return plain };
        if (around.is_file)(&plain.path) {
            return plain;
        }
        let mut words = words(text);
        let Some(first) = words.first().map(PathBuf::from) else { return plain };
        if !first.is_absolute() || !(around.is_file)(&first) {
            return plain;
        }
        self.warnings.push("filter command-line form is deprecated: use exec:".to_owned());
        words.remove(0);
        ProgramSpec { path: first, arguments: Arguments::Old(words) }
    }
}

pub(super) fn absolute(text: &OsStr, around: &Surroundings<'_>) -> PathBuf {
    let app = text.as_bytes().strip_prefix(APP.as_bytes());
    match app {
        Some(rest) => {
            let mut path = around.app_dir.as_os_str().to_owned();
            path.push(OsStr::from_bytes(rest));
            around.cwd.join(path)
        }
        None => around.cwd.join(text),
    }
}

/// Shell-like words: blanks separate, quotes and backslashes keep them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(rest.next()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (' ' | '\t', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn number(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("numeric value missing".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid numeric value: {text}"));
    }
    match number::digits(text) {
        Some(value) if value < NUMBER_LIMIT => Ok(value),
        _ => Err(format!("numeric value too big: {text}")),
    }
}

/// The address of a server for filters or verifiers.
///
/// # Errors
/// As those of [`FilterList::parse`].
pub(super) fn address(text: &str) -> Result<Remote, String> {
    match Remote::parse(text, None) {
        Ok(Remote::Socks { .. }) => Err(format!("invalid host:service format: {text}")),
        Ok(address) => Ok(address),
        Err(_) if text.is_empty() => Err("invalid host:service format".to_owned()),
        Err(_) => Err(format!("invalid host:service format: {text}")),
    }
}

/// Filters of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterSettings {
    /// `--filter`, in order; empty without the option.
    pub server: Vec<FilterSpec>,
    /// `--client-filter`, in order; empty without the option.
    pub client: Vec<FilterSpec>,
    /// `--filter-timeout`, for each filter and verifier; `None` is for ever.
    pub timeout: Option<Duration>,
    /// `--filter-max`: programs that run at the same time.
    pub running: u32,
    /// `--filter-queue-timeout`: how long one may wait for its turn.
    pub wait: Duration,
}

impl FilterSpec {
    /// The program that is run, if it is one.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        match self {
            Self::Program(program) => Some(&program.path),
            _ => None,
        }
    }

    /// Where it connects to, if it does.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Net(address) | Self::Spam { address, .. } => Some(address),
            _ => None,
        }
    }
}

impl ProgramSpec {
    /// The arguments for a message, and whether facts about it belong into the environment.
    #[must_use]
    pub fn arguments(&self, content: &Path, envelope: &Path) -> (Vec<OsString>, bool) {
        let both = || [content, envelope].map(|path| path.as_os_str().to_owned());
        match &self.arguments {
            Arguments::Both => (both().to_vec(), false),
            Arguments::Old(words) => {
                let words = words.iter().map(OsString::from);
                (words.chain([content.as_os_str().to_owned()]).collect(), false)
            }
            Arguments::Words(words) => {
                let mut placed = false;
                let mut all: Vec<OsString> = Vec::new();
                for word in words {
                    let path = match word.as_str() {
                        "{content}" => content.as_os_str(),
                        "{envelope}" => envelope.as_os_str(),
                        other => OsStr::new(other),
                    };
                    placed |= matches!(word.as_str(), "{content}" | "{envelope}");
                    all.push(path.to_owned());
                }
                if !placed {
                    all.extend(both());
                }
                (all, true)
            }
        }
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
