//! Messages from the wild that other projects test with: spamassassin's samples, and the e-mail test data of CPython.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::need;

/// A message file of another project.
pub(crate) struct Sample {
    pub(crate) name: String,
    /// The bytes of the file, with whatever line ends it has.
    pub(crate) bytes: Vec<u8>,
}

impl Sample {
    /// With CRLF in place of every line end, and at the end: what a client that reads the file as text sends.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 64);
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

/// For `require!`: what is missing of the samples.
pub(crate) fn missing() -> Option<String> {
    let spamassassin = need::file(SPAMASSASSIN);
    let python = || cpython_data().is_none().then(|| "CPython's e-mail test data".to_owned());
    spamassassin.or_else(python)
}

/// All sample messages, sorted by name.
pub(crate) fn all() -> Vec<Sample> {
    let mut files = files_of(Path::new(SPAMASSASSIN), "sample-");
    files.extend(cpython_data().map(|dir| files_of(&dir, "msg_")).unwrap_or_default());
    files.sort();
    let sample = |file: &PathBuf| Sample {
        name: file.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: fs::read(file).unwrap(),
    };
    files.iter().map(sample).collect()
}

fn files_of(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".txt")
    };
    entries.filter(wanted).collect()
}

/// From Debian's libpython3-testsuite, or from the python3 in the PATH.
fn cpython_data() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let of = |dir: PathBuf| dir.join("test/test_email/data");
    if let Some(found) = versions.map(of).find(|dir| dir.is_dir()) {
        return Some(found);
    }
    let script = "import os, test.test_email as t; print(os.path.join(os.path.dirname(t.__file__), 'data'))";
    let output = Command::new(need::find("python3")?).args(["-c", script]).output().ok()?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    (output.status.success() && dir.is_dir()).then_some(dir)
}

const SPAMASSASSIN: &str = "/usr/share/doc/spamassassin/examples";
