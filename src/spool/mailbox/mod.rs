//! Mailboxes: the ready messages of the spool, or of one of its sub-directories, for reading and deleting.
//!
//! A [`Mailbox`] is a snapshot: what arrives later is not in it, and what others take meanwhile is noticed when it is
//! opened or removed. A sub-directory is locked for as long as a mailbox of it lives; the spool directory itself is
//! shared by design.

mod list;
mod remove;

use std::fs::File;
use std::io;
use std::sync::Arc;

use nix::errno::Errno;

use super::delivery::MailboxName;
use super::disk::{self, Access, Disk, Hold};
use super::id::CONTENT;
use super::{MessageId, Shared, Spool};
pub(super) use list::Snapshot;
use list::{Letter, Listing};
pub use remove::{Held, Removal};

/// The messages that one user sees.
pub struct Mailbox {
    shared: Arc<Shared>,
    folder: Option<Folder>,
    list: Arc<Listing>,
}

/// A sub-directory, locked.
struct Folder {
    disk: Arc<dyn Disk>,
    name: MailboxName,
    created: bool,
    _hold: Hold,
}

/// A mailbox cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// Another session has it.
    #[error("mailbox is in use")]
    InUse,
    /// Its directory cannot be made.
    #[error("failed to create pop-by-name sub-directory [{name}] ({})", .errno.desc().to_lowercase())]
    Create {
        /// The mailbox.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// It cannot be read.
    #[error("cannot read mailbox: {}", .0.desc().to_lowercase())]
    Unreadable(Errno),
}

/// The content of a message cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Somebody has removed it since the list was made.
    #[error("message is gone")]
    Gone,
    /// The system failed us.
    #[error("{}", .0.desc().to_lowercase())]
    Io(Errno),
}

impl ContentError {
    /// For content that was opened by the name of its message: what is no regular file is none of ours, and so as good as gone.
    pub(super) fn of(errno: Errno) -> Self {
        if errno == Errno::ENOENT || disk::is_not_regular(errno) { Self::Gone } else { Self::Io(errno) }
    }
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        // What has no number of the system's is a fault of reading all the same.
        Self::Io(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

impl Spool {
    /// Opens the sub-directory of this name as a mailbox, or the spool directory itself. A sub-directory that does not
    /// exist is made.
    ///
    /// # Errors
    /// See [`MailboxError`].
    pub fn mailbox(&self, name: Option<&MailboxName>) -> Result<Mailbox, MailboxError> {
        let shared = Arc::clone(&self.shared);
        let Some(name) = name else {
            let list = shared.snapshot.list(&*shared.disk).map_err(MailboxError::Unreadable)?;
            return Ok(Mailbox { shared, folder: None, list });
        };
        let (disk, created) = self.folder(name)?;
        let Some(hold) = disk.hold().map_err(MailboxError::Unreadable)? else {
            return Err(MailboxError::InUse);
        };
        let list = Listing::read(&*disk, Some(&*shared.disk)).map_err(MailboxError::Unreadable)?;
        let folder = Folder { disk, name: name.clone(), created, _hold: hold };
        Ok(Mailbox { shared, folder: Some(folder), list: Arc::new(list) })
    }

    fn folder(&self, name: &MailboxName) -> Result<(Arc<dyn Disk>, bool), MailboxError> {
        let disk = &self.shared.disk;
        match disk.open_folder(name.as_str()) {
            Err(Errno::ENOENT) => {}
            found => return Ok((found.map_err(MailboxError::Unreadable)?, false)),
        }
        match disk.make_folder(name.as_str()) {
            Ok(()) => self.shared.committer.directory_changed(),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(MailboxError::Create { name: name.as_str().to_owned(), errno }),
        }
        Ok((disk.open_folder(name.as_str()).map_err(MailboxError::Unreadable)?, true))
    }

    /// The sub-directories that are mailboxes or may become one by their names, and whether files can be made in each.
    ///
    /// # Errors
    /// The spool directory cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<(MailboxName, bool)>, super::SpoolError> {
        let mut names = Vec::new();
        self.list(None, |name, kind| {
            if kind == disk::Kind::Directory
                && let Ok(name) = name.parse::<MailboxName>()
            {
                names.push(name);
            }
        })?;
        let usable = |name: &MailboxName| {
            let folder = self.shared.disk.open_folder(name.as_str());
            folder.is_ok_and(|folder| super::health::Health::probe(&*folder).writable())
        };
        Ok(names.into_iter().map(|name| (usable(&name), name)).map(|(usable, name)| (name, usable)).collect())
    }
}

impl Mailbox {
    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.letters.len()
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.list.total
    }

    /// The size in bytes of a message, counted from 0; 0 if there is none of this number.
    #[must_use]
    pub fn size(&self, index: usize) -> u64 {
        self.letter(index).map_or(0, |letter| letter.size)
    }

    /// The id of a message.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<&MessageId> {
        self.letter(index).map(|letter| &letter.id)
    }

    /// The name by which clients know a message: that of its content file, the same in every mailbox.
    #[must_use]
    pub fn unique_name(&self, index: usize) -> String {
        self.letter(index).map(|letter| letter.id.file(CONTENT)).unwrap_or_default()
    }

    /// The mailbox's directory was made when it was opened.
    #[must_use]
    pub fn created(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.created)
    }

    /// The content of a message, open for reading at its start, and its length now.
    ///
    /// # Errors
    /// It is gone, or cannot be opened.
    pub fn open(&self, index: usize) -> Result<(File, u64), ContentError> {
        let letter = self.letter(index).ok_or(ContentError::Gone)?;
        let name = letter.id.file(CONTENT);
        match self.content_disk(letter).open(&name, Access::Read) {
            Ok((file, facts)) => Ok((file, facts.size)),
            Err(Errno::ENOENT) => Err(ContentError::Gone),
            Err(errno) => Err(ContentError::Io(errno)),
        }
    }

    fn letter(&self, index: usize) -> Option<&Letter> {
        self.list.letters.get(index)
    }

    /// Where the envelopes are.
    fn disk(&self) -> &dyn Disk {
        self.folder.as_ref().map_or(&*self.shared.disk, |folder| &*folder.disk)
    }

    fn content_disk(&self, letter: &Letter) -> &dyn Disk {
        if letter.shared { &*self.shared.disk } else { self.disk() }
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.folder.as_ref().map(|folder| folder.name.as_str());
        f.debug_struct("Mailbox").field("name", &name).field("count", &self.count()).finish()
    }
}

/// Bytes that a message takes in a list.
#[cfg(test)]
pub(super) const LETTER_SIZE: usize = size_of::<Letter>();
