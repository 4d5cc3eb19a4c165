//! Configuration files: one option per line.
//!
//! A line is a key, which is a long name without dashes, then any run of blanks, tabs and `=`, then the value
//! up to the end of the line.
//! Lines whose first character is `#` are comments; there are no comments behind values. One pair
//! of double quotes around a value is removed; nothing is escaped.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::given::{Given, Origin, lookup, missing, unknown};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) given: Vec<Given>,
    /// The files that were read; one unless a directory was named.
    pub(super) files: Vec<PathBuf>,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Why a file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("error reading configuration file: {}", .0.display())]
    Unreadable(PathBuf),
    #[error("invalid character in configuration file: {}", .0.display())]
    NulByte(PathBuf),
    #[error("not a configuration file but a key or certificate: {}", .0.display())]
    Pem(PathBuf),
}

/// The `*.conf` files of a directory in the order of their names, or the file itself. Each as it is shown,
/// and as it is opened.
fn files(shown: &Path, real: &Path) -> Result<Vec<(PathBuf, PathBuf)>, FileError> {
    let unreadable = |_| FileError::Unreadable(shown.to_owned());
    if !real.is_dir() {
        return Ok(vec![(shown.to_owned(), real.to_owned())]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(real).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let path = real.join(&name);
        if path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir() {
            files.push((shown.join(&name), path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How a file with a key or a certificate begins (RFC 7468).
const PEM: &[u8] = b"-----BEGIN";

/// Whether it is a file with a key or a certificate.
pub(super) fn is_pem(path: &Path) -> bool {
    let mut start = Vec::new();
    // Reading a pipe could take for ever.
    let file = std::fs::File::open(path).ok().filter(|_| path.is_file());
    let read = file.map(|file| file.take(PEM.len() as u64).read_to_end(&mut start));
    matches!(read, Some(Ok(_))) && start == PEM
}

impl Read {
    /// Adds a file, or all `*.conf` files of a directory. The file `real` is called `shown` in messages.
    pub(super) fn add(&mut self, shown: &Path, real: &Path) -> Result<(), FileError> {
        for (shown, real) in files(shown, real)? {
            let bytes = std::fs::read(&real).map_err(|_| FileError::Unreadable(shown.clone()))?;
            self.text(&shown, &bytes)?;
            self.files.push(real);
        }
        Ok(())
    }

    /// Reads the text of one file.
    pub(super) fn text(&mut self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.contains(&0) {
            return Err(FileError::NulByte(path.to_owned()));
        }
        if bytes.trim_ascii_start().starts_with(PEM) {
            return Err(FileError::Pem(path.to_owned()));
        }
        let path: Rc<Path> = Rc::from(path);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.line(line, &Origin::File(Rc::clone(&path), index + 1));
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], origin: &Origin) {
        let line = trim_start(line, is_separator);
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        let end = line.iter().position(|byte| is_separator(*byte)).unwrap_or(line.len());
        let (key, rest) = line.split_at(end);
        let value = unquoted(trim_end(trim_start(rest, is_separator)));
        let name = self.name(key, origin);
        match lookup(&name) {
            Some((prefix, opt)) => self.option(prefix, opt, &name, value, origin),
            // A line that does not even look like an option may be anything, a key or a letter: none of it is shown.
            None if !is_name(&name) => self.errors.push(format!("invalid option{}", origin.suffix())),
            None => self.errors.push(unknown(&format!("--{name}"), origin)),
        }
    }

    fn option(
        &mut self,
        prefix: Option<String>,
        opt: &'static super::table::Opt,
        name: &str,
        value: &[u8],
        origin: &Origin,
    ) {
        let spelled = format!("--{name}");
        if !opt.in_file {
            self.errors.push(format!("\"{spelled}\" is only for the command line{}", origin.suffix()));
            return;
        }
        let value = (!value.is_empty()).then(|| OsString::from_vec(value.to_vec()));
        if value.is_none() && opt.kind.arity() == super::table::Arity::Required {
            self.errors.push(missing(&spelled, origin));
            return;
        }
        match Given::new(opt, prefix, spelled, value, origin.clone()) {
            Ok(given) => self.given.push(given),
            Err(error) => self.errors.push(error),
        }
    }

    /// The key without dashes in front of it, which belong to the command line.
    fn name(&mut self, key: &[u8], origin: &Origin) -> String {
        let key = String::from_utf8_lossy(key);
        let name = key.trim_start_matches('-');
        if name.len() != key.len() && lookup(name).is_some() {
            self.warnings
                .push(format!("\"{key}\" should be \"{name}\" in a configuration file{}", origin.suffix()));
        }
        name.to_owned()
    }
}

fn is_separator(byte: u8) -> bool {
    byte == b'=' || is_blank(byte)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Lower-case letters, digits and dashes, and perhaps the prefix of an instance in front.
fn is_name(name: &str) -> bool {
    let tail = name.split_once('-').map_or(name, |(_, tail)| tail);
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(letter) && tail.bytes().all(word)
}

fn trim_start(bytes: &[u8], what: fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|byte| !what(*byte)).unwrap_or(bytes.len());
    bytes.split_at(start).1
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    bytes.split_at(end).0
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
