//! Listing the spool.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::disk::Kind;
use super::error::SpoolError;
use super::id::{CONTENT, FileKind, MessageId, READY, classify};
use super::inspect::{Listed, MessageState};
use super::{Spool, unix_time};

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

/// A directory that was changed less than this ago may change again without a new time stamp.
pub(super) const SETTLED: Duration = Duration::from_secs(2);

/// The list of names that was asked for last, as long as somebody has it.
#[derive(Debug, Default)]
pub(super) struct NameLists(Mutex<Option<(MessageState, Duration, Weak<str>)>>);

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
        let messages = self.messages(&[MessageState::Ready])?;
        Ok(messages.into_iter().map(|Listed { id, since, .. }| Waiting { id, since }).collect())
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
        let list = self.name_list(state)?;
        Ok(list.split_terminator('\0').map(str::to_owned).collect())
    }

    /// The same in one piece, each id with a NUL behind it: a hundred thousand take four megabytes. Who asks at the same time, or while
    /// nothing has changed, gets the same one.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn name_list(&self, state: MessageState) -> Result<Arc<str>, SpoolError> {
        let mut last = self.shared.name_lists.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |errno| SpoolError { action: "list spool directory", errno };
        let changed = self.shared.disk.facts_at(".").map_err(failed)?.changed;
        if let Some((of, when, list)) = &*last
            && (*of, *when) == (state, changed)
            && let Some(list) = list.upgrade()
        {
            return Ok(list);
        }
        let list = self.list_names(state.suffix())?;
        // Later changes have other time stamps.
        if unix_time().saturating_sub(changed) >= SETTLED {
            *last = Some((state, changed, Arc::downgrade(&list)));
        }
        Ok(list)
    }

    fn list_names(&self, suffix: &str) -> Result<Arc<str>, SpoolError> {
        let (mut text, mut ends) = (String::new(), Vec::new());
        self.list(None, |name, _| {
            if name.strip_suffix(suffix).is_some_and(MessageId::can_be) {
                text.push_str(name);
                ends.push(text.len());
            }
        })?;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut names: Vec<&str> =
            starts.zip(&ends).map(|(start, end)| text.get(start..*end).unwrap_or_default()).collect();
        names.sort_unstable();
        let mut list = String::with_capacity(text.len());
        for id in names.iter().filter_map(|name| name.strip_suffix(suffix)) {
            list.push_str(id);
            list.push('\0');
        }
        Ok(list.into())
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

    pub(super) fn each_message(&self, mut each: impl FnMut(MessageId, FileKind)) -> Result<(), SpoolError> {
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
