//! Delivery: copies of messages in mailboxes, which are sub-directories of the spool or of a directory of their own.
//!
//! A message is delivered to all its mailboxes or to none. Copies are written first ([`Copies`]), where nobody sees them,
//! and become visible together; only then is the original removed, or accepted with what is left of its recipients. A
//! crash in between leaves some of them visible, each whole, and the original in the state that it had: it is not
//! acknowledged, or is delivered again, so that a message may arrive twice but never not at all.
//!
//! Nothing is written outside the directory of the mailboxes: a mailbox is a [`MailboxName`](super::MailboxName), and links are not followed
//! but for those that stand in the spool directory for its mailboxes ([`Original::copy`]).

mod edit;
mod error;
mod folders;
mod maildir;
mod name;
mod split;
mod stage;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use super::disk::{Access, Disk, RealDisk};
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE};
use super::error::{OpenError, PeekError};
use super::id::{BUSY, CONTENT, MessageId, NEW};
use super::{Shared, Spool, lock, unix_time};
pub(super) use edit::Edited;
pub use error::DeliveryError;
pub use folders::Folders;
pub(super) use folders::{delivered, delivered_line};
pub(super) use maildir::{TMP, is_ours as is_maildir_file, open as open_maildir};
pub use name::{InvalidMailbox, MailboxName};
pub use split::{KeptParts, Parts};
pub use stage::{Copies, Published};

/// How copies are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyStyle {
    /// The content is shared by a hard link where that is possible, and copied otherwise.
    pub hardlink: bool,
    /// Only the envelope is copied; the content stays in the spool directory, where POP finds it. Maildirs and mailboxes
    /// behind a link get the content all the same.
    pub envelope_only: bool,
}

/// The directory of local recipients' mailboxes.
pub struct DeliveryDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl DeliveryDir {
    /// Opens a directory outside the spool.
    ///
    /// # Errors
    /// It is not there, is no directory, or may not be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        match RealDisk::open(path) {
            Ok(disk) => Ok(Self { disk: Arc::new(disk), path: path.to_owned() }),
            Err(errno) => Err(OpenError { path: path.to_owned(), errno }),
        }
    }

    /// Its path, as configured.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::fmt::Debug for DeliveryDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DeliveryDir").field(&self.path).finish()
    }
}

impl Spool {
    /// The spool directory itself, as the directory of mailboxes.
    #[must_use]
    pub fn delivery_dir(&self) -> DeliveryDir {
        DeliveryDir { disk: Arc::clone(&self.shared.disk), path: self.shared.path.clone() }
    }
}

/// Where a message is on its way, and so which of its files is the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Received and not accepted yet.
    New,
    /// Locked for forwarding.
    Locked,
}

impl Stage {
    /// That of a message whose envelope has this file name.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        [Self::New, Self::Locked].into_iter().find(|stage| name.ends_with(stage.suffix()))
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::New => NEW,
            Self::Locked => BUSY,
        }
    }
}

/// A message that copies are made of, as its files are now. Whoever uses it is the owner of the message, or works for
/// them.
pub struct Original {
    shared: Arc<Shared>,
    id: MessageId,
    stage: Stage,
    content: File,
    envelope: Envelope,
    /// The envelope file, byte for byte.
    bytes: Vec<u8>,
}

impl Spool {
    /// A message as its files are now: filters may have changed them.
    ///
    /// # Errors
    /// A file is gone, or the envelope is damaged.
    pub fn original(&self, id: &MessageId, stage: Stage) -> Result<Original, PeekError> {
        Original::of(&self.shared, id, stage)
    }
}

impl Original {
    pub(super) fn of(shared: &Arc<Shared>, id: &MessageId, stage: Stage) -> Result<Self, PeekError> {
        let disk = &shared.disk;
        let open = |name: &str| disk.open(name, Access::Read).map_err(lock::open_error);
        let (content, _) = open(&id.file(CONTENT))?;
        let (file, facts) = open(&id.file(stage.suffix()))?;
        let bytes = disk.read(&file, MAX_ENVELOPE + 1).map_err(PeekError::Io)?;
        let envelope = lock::parse_envelope(&bytes, &facts)?;
        Ok(Self { shared: Arc::clone(shared), id: id.clone(), stage, content, envelope, bytes })
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The path of its envelope, to be shown.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.shared.path.join(self.id.file(self.stage.suffix()))
    }

    /// The path that the envelope of a message has in this stage, to be shown.
    #[must_use]
    pub fn envelope_path(spool: &Spool, id: &MessageId, stage: Stage) -> PathBuf {
        spool.shared.path.join(id.file(stage.suffix()))
    }

    /// The envelope as it is now.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Notes in the envelope that these recipients have the message, so that another attempt leaves them out.
    ///
    /// # Errors
    /// The note could not be written.
    pub fn note_delivered(&self, names: &[String]) -> Result<(), DeliveryError> {
        let name = self.id.file(self.stage.suffix());
        let lines: Vec<Vec<u8>> = names.iter().map(|name| folders::delivered_line(name)).collect();
        let disk = &self.shared.disk;
        let written = disk
            .open(&name, Access::Edit)
            .and_then(|(file, _)| disk.write(&file, &AppendStyle::of(&self.bytes).append(&lines)));
        written.map_err(|errno| DeliveryError::Envelope { path: self.shared.path.join(name), errno })
    }

    /// Removes the original, which is delivered wherever it had to be. With `keep_content` its content stays for the
    /// mailboxes that refer to it, and without if there are any.
    ///
    /// # Errors
    /// The envelope could not be removed: the message is still there.
    pub fn remove(&self, keep_content: bool) -> Result<(), DeliveryError> {
        let name = self.id.file(self.stage.suffix());
        match self.shared.disk.unlink(&name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(DeliveryError::Envelope { path: self.shared.path.join(name), errno }),
        }
        // What cannot be looked at may refer to it.
        if !keep_content && self.shared.is_needed(&self.id, unix_time()) == Ok(false) {
            // What stays here has no envelope, and the sweep will try again.
            let _ = self.shared.disk.unlink(&self.id.file(CONTENT));
        }
        self.shared.committer.directory_changed();
        Ok(())
    }
}

impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Original").field(&self.id).finish()
    }
}
