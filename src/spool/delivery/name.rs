//! Names of mailboxes: sub-directories, whatever a verifier, an envelope or a user name says.

use std::fmt;
use std::str::FromStr;

use crate::spool::control;
use crate::spool::id::classify;

/// Longest name, in bytes.
const MAX_NAME: usize = 128;

/// The directories of a maildir: a mailbox of this name could turn the directory above it into one.
const MAILDIR: [&str; 3] = ["tmp", "cur", "new"];

/// Name of a mailbox: one directory below the delivery directory, and never a name that means something else there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

/// The text is no name of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid mailbox name: {}", crate::smtp::escape::printable(.0.as_bytes()))]
pub struct InvalidMailbox(String);

impl MailboxName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailboxName {
    type Err = InvalidMailbox;

    fn from_str(text: &str) -> Result<Self, InvalidMailbox> {
        let plain = !text.is_empty()
            && text.len() <= MAX_NAME
            && !text.starts_with('.')
            && !text.contains('/')
            && !text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER);
        // The delivery directory may be the spool directory.
        let taken = MAILDIR.contains(&text) || classify(text).is_some() || control::is_control(text);
        if plain && !taken { Ok(Self(text.to_owned())) } else { Err(InvalidMailbox(text.to_owned())) }
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_one_directory_of_its_own() {
        for name in ["bob", "Bob Jones", "bob@x.net", "jörg", "a.b", "new2", "~", "-x", &"x".repeat(128)] {
            assert_eq!(name.parse::<MailboxName>().unwrap().as_str(), name);
        }
        let long = "x".repeat(129);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/",
            "../up",
            "a\0b",
            "a\nb",
            "a\u{85}b",
            "a\u{fffd}",
            "tmp",
            "cur",
            "new",
            "x.envelope",
            "x.content",
            "x.envelope.new",
            "forward.request",
            "smtp.disabled",
            &long,
        ] {
            assert!(name.parse::<MailboxName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_error_cannot_break_a_log_line() {
        let error = "../a\nb".parse::<MailboxName>().unwrap_err();
        assert_eq!(error.to_string(), "invalid mailbox name: ../a\\nb");
    }
}
