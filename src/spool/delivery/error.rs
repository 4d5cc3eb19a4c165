//! Why a message could not be delivered to a mailbox.

use std::path::PathBuf;

use nix::errno::Errno;

use crate::spool::error::{PeekError, StoreError};

/// Copies could not be made, and none is left: the message has to be tried again. The texts are those of E-MailRelay 2.6
/// where it has them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// A recipient's name is no mailbox.
    #[error("delivery: cannot create delivery directory: invalid mailbox name: {}", crate::smtp::escape::printable(.0.as_bytes()))]
    Name(String),
    /// A mailbox is no directory, or cannot be made.
    #[error("delivery: cannot create delivery directory: {}: {}", path.display(), errno.desc().to_lowercase())]
    Folder {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// The directory of the mailboxes cannot be read.
    #[error("delivery: cannot read directory: {}: {}", path.display(), errno.desc().to_lowercase())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A copy of the content cannot be written.
    #[error("delivery: cannot write content file: copy: {}: {}", path.display(), errno.desc().to_lowercase())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A copy of the envelope cannot be written, or not be given its final name.
    #[error("delivery: cannot write envelope file: {}: {}", path.display(), errno.desc().to_lowercase())]
    Envelope {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A file of a maildir cannot be written.
    #[error("delivery: cannot write maildir tmp file: {}: {}", path.display(), errno.desc().to_lowercase())]
    MaildirWrite {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A file of a maildir cannot be made visible.
    #[error("delivery: cannot move maildir file: {}: {}", path.display(), errno.desc().to_lowercase())]
    MaildirMove {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// The kernel could not make a copy durable.
    #[error("delivery: cannot sync: {}: {}", path.display(), errno.desc().to_lowercase())]
    Sync {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A part of a split message has no content.
    #[error("split: cannot copy content file: {}: {}", path.display(), errno.desc().to_lowercase())]
    SplitContent {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A part of a split message has no envelope.
    #[error("split: cannot create envelope file: {}: {}", path.display(), errno.desc().to_lowercase())]
    SplitEnvelope {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// A file of the message cannot be changed.
    #[error("cannot update file: {}: {}", path.display(), errno.desc().to_lowercase())]
    Edit {
        /// The file.
        path: PathBuf,
        /// What the system said.
        errno: Errno,
    },
    /// The spool directory could not be made durable.
    #[error(transparent)]
    Flush(Box<StoreError>),
    /// The message itself cannot be read.
    #[error("delivery: {0}")]
    Original(#[from] PeekError),
}

impl DeliveryError {
    /// The name of the mailbox that it is about, if it is about one.
    #[must_use]
    pub fn folder(&self) -> Option<String> {
        let folder = match self {
            Self::Folder { path, .. } | Self::Sync { path, .. } => Some(path.as_path()),
            Self::Content { path, .. } | Self::Envelope { path, .. } => path.parent(),
            Self::MaildirWrite { path, .. } | Self::MaildirMove { path, .. } => {
                path.parent().and_then(std::path::Path::parent)
            }
            _ => None,
        };
        folder.and_then(std::path::Path::file_name).map(|name| name.to_string_lossy().into_owned())
    }
}
