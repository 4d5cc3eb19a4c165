//! Listing the spool.

use std::path::Path;

use super::Spool;
use super::disk::Kind;
use super::error::SpoolError;
use super::id::{CONTENT, FileKind, MessageId, READY, classify};
use super::operate::MessageState;

/// A message that is ready to be forwarded. Kept small: a list of 100 000 takes four megabytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The message.
    pub id: MessageId,
    /// When it came in, in seconds since 1970: from the id, or for files that others brought the time of the last
    /// write.
    pub since: u64,
}

impl Waiting {
    /// Puts a list into the order of E-MailRelay 2.6: that of the file names, byte by byte.
    pub fn sort_by_name(list: &mut [Self]) {
        list.sort_by_cached_key(|message| message.id.file(READY));
    }
}

/// Numbers of messages by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready to be forwarded, those that wait for their next attempt included.
    pub waiting: usize,
    /// Being forwarded.
    pub busy: usize,
    /// Failed for good.
    pub bad: usize,
    /// Kept back by an administrator.
    pub held: usize,
}

impl Spool {
    /// The messages that are ready, oldest first: by time and sequence number as numbers. Reads the directory once and
    /// opens nothing; a link or directory that is named like an envelope is listed too, and found out when it is
    /// locked.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn waiting(&self) -> Result<Vec<Waiting>, SpoolError> {
        let mut waiting = Vec::new();
        self.each_message(|id, kind| {
            if kind == FileKind::Ready {
                waiting.push(Waiting { since: id.order().map_or(0, |(seconds, _)| seconds), id });
            }
        })?;
        for message in waiting.iter_mut().filter(|message| message.id.order().is_none()) {
            // One that has gone meanwhile is noticed when it is locked.
            if let Ok(facts) = self.shared.disk.facts_at(&message.id.file(READY)) {
                message.since = facts.modified.as_secs();
            }
        }
        waiting.sort_unstable_by(|one, other| {
            let seq = |message: &Waiting| message.id.order().map_or(0, |(_, seq)| seq);
            (one.since, seq(one)).cmp(&(other.since, seq(other))).then_with(|| one.id.cmp(&other.id))
        });
        Ok(waiting)
    }

    /// Whether there is any ready message in a directory. False if it cannot be read: opening it as a spool will tell.
    #[must_use]
    pub fn has_waiting(directory: &Path) -> bool {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name())
            .any(|name| name.to_str().and_then(classify).is_some_and(|(_, kind)| kind == FileKind::Ready))
    }

    /// Counts messages by state.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn counts(&self) -> Result<Counts, SpoolError> {
        let mut counts = Counts::default();
        self.each_message(|_, kind| match kind {
            FileKind::Ready => counts.waiting += 1,
            FileKind::Busy => counts.busy += 1,
            FileKind::Bad => counts.bad += 1,
            FileKind::Held => counts.held += 1,
            FileKind::Content | FileKind::New | FileKind::Temporary => {}
        })?;
        Ok(counts)
    }

    /// Size of a message's content in bytes; none if it has none, or has gone.
    #[must_use]
    pub fn content_size(&self, id: &MessageId) -> Option<u64> {
        self.shared.disk.facts_at(&id.file(CONTENT)).ok().map(|facts| facts.size)
    }

    /// The messages that failed for good, in no order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn failed(&self) -> Result<Vec<MessageId>, SpoolError> {
        self.messages_of(FileKind::Bad)
    }

    /// The ids of the messages in one of the states ready, failed and held, in the byte order of their file names, as
    /// E-MailRelay 2.6 lists them. Opens nothing.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self, state: MessageState) -> Result<Vec<String>, SpoolError> {
        let suffix = state.suffix();
        let mut names = Vec::new();
        self.list(None, |name, _| {
            if name.strip_suffix(suffix).is_some_and(|stem| stem.parse::<MessageId>().is_ok()) {
                names.push(name.to_owned());
            }
        })?;
        names.sort_unstable();
        for name in &mut names {
            name.truncate(name.len() - suffix.len());
        }
        Ok(names)
    }

    pub(super) fn messages_of(&self, wanted: FileKind) -> Result<Vec<MessageId>, SpoolError> {
        let mut found = Vec::new();
        self.each_message(|id, kind| {
            if kind == wanted {
                found.push(id);
            }
        })?;
        Ok(found)
    }

    fn each_message(&self, mut each: impl FnMut(MessageId, FileKind)) -> Result<(), SpoolError> {
        self.list(None, |name, _| {
            if let Some((stem, kind)) = classify(name)
                && let Ok(id) = stem.parse()
            {
                each(id, kind);
            }
        })
    }

    pub(super) fn list(
        &self,
        folder: Option<&str>,
        mut each: impl FnMut(&str, Kind),
    ) -> Result<(), SpoolError> {
        self.shared
            .disk
            .list(folder, &mut each)
            .map_err(|errno| SpoolError { action: "list spool directory", errno })
    }
}
