//! Configuration files: one option per line, as [`crate::config::line`] reads it.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::given::{Given, Origin, lookup, missing, unknown};
use crate::config::line::{self, Line};

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
        let bytes = line::text(bytes);
        if bytes.contains(&0) {
            return Err(FileError::NulByte(path.to_owned()));
        }
        if bytes.trim_ascii_start().starts_with(PEM) {
            return Err(FileError::Pem(path.to_owned()));
        }
        let path: Rc<Path> = Rc::from(path);
        for line in line::lines(bytes) {
            self.line(line, &Origin::File(Rc::clone(&path), line.number));
        }
        Ok(())
    }

    fn line(&mut self, line: Line<'_>, origin: &Origin) {
        let name = self.name(line, origin);
        match lookup(&name) {
            Some((prefix, opt)) => self.option(prefix, opt, &name, line.value, origin),
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

    /// What the line is about; dashes in front of it belong to the command line.
    fn name(&mut self, line: Line<'_>, origin: &Origin) -> String {
        let (key, name) = (String::from_utf8_lossy(line.key), String::from_utf8_lossy(line.name()));
        if name.len() != key.len() && lookup(&name).is_some() {
            self.warnings
                .push(format!("\"{key}\" should be \"{name}\" in a configuration file{}", origin.suffix()));
        }
        name.into_owned()
    }
}

/// Lower-case letters, digits and dashes, and perhaps the prefix of an instance in front.
fn is_name(name: &str) -> bool {
    let tail = name.split_once('-').map_or(name, |(_, tail)| tail);
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(letter) && tail.bytes().all(word)
}
