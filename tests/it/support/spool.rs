//! A spool directory for one test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A spool directory that goes away with the value.
pub(crate) struct TempSpool {
    dir: TempDir,
}

impl TempSpool {
    /// An empty spool that the group may write, as the installed one.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-spool.").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2770)).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The path as an option value.
    pub(crate) fn arg(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// Puts a message there by hand: envelope with this suffix and these lines behind its end, and content.
    pub(crate) fn plant(
        &self,
        id: &str,
        suffix: &str,
        from: &str,
        to: &[&str],
        trailer: &str,
        content: &[u8],
    ) {
        let recipients: String = to.iter().map(|to| format!("X-MailRelay-To-Remote: {to}\r\n")).collect();
        let empty: String = [
            "Authentication",
            "Client",
            "ClientCertificate",
            "MailFromAuthIn",
            "MailFromAuthOut",
            "ForwardTo",
            "ForwardToAddress",
            "ClientAccountSelector",
        ]
        .map(|name| format!("X-MailRelay-{name}: \r\n"))
        .concat();
        let envelope = format!(
            "X-MailRelay-Format: #2821.8\r\nX-MailRelay-Content: 8bit\r\nX-MailRelay-From: {from}\r\n\
             X-MailRelay-ToCount: {}\r\n{recipients}{empty}X-MailRelay-Utf8MailboxNames: 0\r\n\
             X-MailRelay-End: 1\r\n{trailer}",
            to.len()
        );
        fs::write(self.path().join(format!("{id}.content")), content).unwrap();
        fs::write(self.path().join(format!("{id}{suffix}")), envelope).unwrap();
    }

    /// The names of all files, sorted, but for the notes about destinations in trouble, which are about no message.
    pub(crate) fn files(&self) -> Vec<String> {
        list(self.path()).into_iter().filter(|name| name != "forward.backoff").collect()
    }

    /// The names of the files with this ending, sorted.
    pub(crate) fn ending(&self, suffix: &str) -> Vec<String> {
        self.files().into_iter().filter(|name| name.ends_with(suffix)).collect()
    }

    /// Envelopes of messages that wait.
    pub(crate) fn ready(&self) -> Vec<String> {
        self.ending(".envelope")
    }

    /// Envelopes of messages that somebody works on.
    pub(crate) fn busy(&self) -> Vec<String> {
        self.ending(".envelope.busy")
    }

    /// Envelopes of messages that have failed for good.
    pub(crate) fn bad(&self) -> Vec<String> {
        self.ending(".envelope.bad")
    }

    /// An envelope by file name.
    pub(crate) fn envelope(&self, name: &str) -> Envelope {
        Envelope::parse(&fs::read(self.path().join(name)).unwrap())
    }

    /// The content that belongs to an envelope file, by the envelope's name in any state.
    pub(crate) fn content(&self, envelope: &str) -> Vec<u8> {
        fs::read(self.content_path(envelope)).unwrap()
    }

    fn content_path(&self, envelope: &str) -> PathBuf {
        let (id, _) = envelope.split_once(".envelope").expect("an envelope's name");
        self.path().join(format!("{id}.content"))
    }
}

/// The names of the plain files in a directory, sorted; none if there is no such directory.
pub(crate) fn list(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The header-like lines of an envelope file, read by rules of its own: not by the code under test.
pub(crate) struct Envelope {
    fields: BTreeMap<String, Vec<String>>,
}

impl Envelope {
    fn parse(bytes: &[u8]) -> Self {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8_lossy(bytes).lines() {
            if let Some((name, value)) = line.split_once(':') {
                let name = name.trim_start_matches("X-MailRelay-").to_owned();
                fields.entry(name).or_default().push(value.trim().to_owned());
            }
        }
        Self { fields }
    }

    /// All values of a field, its name without `X-MailRelay-`.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.get(name).map(|values| values.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    /// The first value of a field, empty if there is none.
    pub(crate) fn first(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }
}
