//! Message ids and the names of a message's files.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Literal first part of every id we make.
const PREFIX: &str = "emailrelay";

pub(crate) const CONTENT: &str = ".content";
pub(crate) const NEW: &str = ".envelope.new";
pub(crate) const READY: &str = ".envelope";
pub(crate) const BUSY: &str = ".envelope.busy";
pub(crate) const BAD: &str = ".envelope.bad";
/// Kept back by an administrator. No version of E-MailRelay looks at it.
pub(crate) const HELD: &str = ".envelope.hold";
pub(crate) const EDIT: &str = ".envelope.busy.tmp";
/// All states of an envelope.
pub(crate) const STATES: [&str; 5] = [NEW, READY, BUSY, BAD, HELD];

/// Name of a message: `emailrelay.<pid>.<seconds>.<seq>`, or whatever stands before `.envelope` in a file that others
/// put into the spool.
///
/// Ids of our form are kept as numbers, so a list of a hundred thousand of them needs no heap. Ids compare by time, then
/// sequence number.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Ours { seconds: u64, seq: u64, pid: u32 },
    Foreign(Arc<str>),
}

impl MessageId {
    /// The id of our form with these parts.
    #[must_use]
    pub fn new(pid: u32, seconds: u64, seq: u64) -> Self {
        Self(Repr::Ours { seconds, seq, pid })
    }

    /// When the message came in, seconds since 1970, if the id tells.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        self.order().map(|(seconds, _)| seconds)
    }

    /// The message whose content has this file name.
    #[must_use]
    pub fn of_content_file(name: &str) -> Option<Self> {
        name.strip_suffix(CONTENT)?.parse().ok()
    }

    /// Whether a text can be an id, which is sooner said than the id is made.
    pub(crate) fn can_be(text: &str) -> bool {
        !text.is_empty() && !text.starts_with('.') && !text.contains(['/', '\0'])
    }

    /// Name of the file with this suffix.
    pub(crate) fn file(&self, suffix: &str) -> String {
        format!("{self}{suffix}")
    }

    /// Time and sequence number, if the id has our form.
    pub(crate) fn order(&self) -> Option<(u64, u64)> {
        match &self.0 {
            Repr::Ours { seconds, seq, .. } => Some((*seconds, *seq)),
            Repr::Foreign(_) => None,
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Ours { seconds, seq, pid } => write!(f, "{PREFIX}.{pid}.{seconds}.{seq}"),
            Repr::Foreign(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text cannot be the name of a message: it is empty or `.`-something that the shell hides, or has a `/` or NUL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message id")]
pub struct InvalidId;

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if !Self::can_be(text) {
            return Err(InvalidId);
        }
        Ok(Self(ours(text).unwrap_or_else(|| Repr::Foreign(text.into()))))
    }
}

fn ours(text: &str) -> Option<Repr> {
    let mut parts = text.strip_prefix(PREFIX)?.strip_prefix('.')?.split('.');
    let pid = u32::try_from(number(parts.next()?)?).ok()?;
    let seconds = number(parts.next()?)?;
    let seq = number(parts.next()?)?;
    parts.next().is_none().then_some(Repr::Ours { seconds, seq, pid })
}

/// A number in the one form that is printed back unchanged.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Source of ids: process id, the second, and a counter per process and spool.
pub(crate) struct Ids {
    pid: u32,
    next: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { pid: std::process::id(), next: AtomicU64::new(1) }
    }

    pub(crate) fn next(&self) -> MessageId {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        MessageId::new(self.pid, super::unix_time().as_secs(), seq)
    }
}

/// What a file in the spool directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Content,
    New,
    Ready,
    Busy,
    Bad,
    Held,
    /// Text of a file that is being edited, or the reply of a filter.
    Temporary,
}

/// Splits a file name into the id's text and the kind; none for files that are not ours.
pub(crate) fn classify(name: &str) -> Option<(&str, FileKind)> {
    SUFFIXES.iter().find_map(|(suffix, kind)| Some((name.strip_suffix(suffix)?, *kind)))
}

const SUFFIXES: [(&str, FileKind); 10] = [
    (CONTENT, FileKind::Content),
    (READY, FileKind::Ready),
    (BUSY, FileKind::Busy),
    (BAD, FileKind::Bad),
    (HELD, FileKind::Held),
    (NEW, FileKind::New),
    (EDIT, FileKind::Temporary),
    (".envelope.new.tmp", FileKind::Temporary),
    (".content.tmp", FileKind::Temporary),
    (".content.spamd", FileKind::Temporary),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_our_form_sort_by_number_and_print_unchanged() {
        let mut ids: Vec<MessageId> =
            ["emailrelay.9.1795170755.10", "emailrelay.10.1795170755.2", "emailrelay.7.99.1"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        ids.sort();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["emailrelay.7.99.1", "emailrelay.10.1795170755.2", "emailrelay.9.1795170755.10"]);
    }

    #[test]
    fn odd_ids_are_kept_as_text() {
        for text in ["foo", "emailrelay.1.2", "emailrelay.01.2.3", "emailrelay.1.2.3.4", "emailrelay.1.+2.3"]
        {
            let id: MessageId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(id.order(), None);
        }
        for text in ["", ".", "a/b", ".hidden", "a\0"] {
            assert_eq!(text.parse::<MessageId>(), Err(InvalidId));
        }
    }

    #[test]
    fn an_id_is_small() {
        assert!(size_of::<MessageId>() <= 24);
    }

    #[test]
    fn only_exact_tails_are_ours() {
        assert_eq!(classify("x.envelope"), Some(("x", FileKind::Ready)));
        assert_eq!(classify("x.envelope.busy"), Some(("x", FileKind::Busy)));
        assert_eq!(classify("x.envelope.hold"), Some(("x", FileKind::Held)));
        assert_eq!(classify("x.envelope.busy.tmp"), Some(("x", FileKind::Temporary)));
        assert_eq!(classify("x.content.local"), None);
        assert_eq!(classify("forward.request"), None);
    }
}
