//! Errors of the spool, by what the caller has to do about them.

use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::disk::{self, Facts};
use super::envelope::{EnvelopeError, InvalidAddress};
use super::id::MessageId;
use super::lock::LockedMessage;

/// The text of a system error, in the lower case that messages have.
fn reason(errno: Errno) -> String {
    errno.desc().to_lowercase()
}

/// The spool directory cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid spool directory: {}: {}", path.display(), reason(*errno))]
pub struct OpenError {
    /// The directory as configured.
    pub path: PathBuf,
    /// What the system said.
    pub errno: Errno,
}

/// A message was not stored. Nothing of it is left, and the sender must be told to try again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space, inodes or quota left, or less than the reserve and the announced size need.
    #[error("spool directory is full: {}", reason(*.0))]
    Full(Errno),
    /// Files cannot be created: the directory is gone or may not be written.
    #[error("cannot create file in spool directory: {}", reason(*.0))]
    Directory(Errno),
    /// No free id was found.
    #[error("no free message id")]
    NoId,
    /// Writing failed for another reason than lack of space.
    #[error("cannot write {name}: {}", reason(*errno))]
    Write {
        /// The file.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// The kernel could not make the message durable. What it had accepted to write may be lost, so this is never
    /// tried again with the same data.
    #[error("cannot sync {name}: {}", reason(*errno))]
    Sync {
        /// The file or directory.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// The finished message could not be given its final name.
    #[error("cannot rename envelope file to {name}: {}", reason(*errno))]
    Rename {
        /// The name.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// More recipients than a file may hold.
    #[error("envelope too large")]
    EnvelopeTooLarge,
    /// Committed before it had an envelope, or after a failure.
    #[error("message is not complete")]
    Incomplete,
    /// The commit thread is gone.
    #[error("spool is closed")]
    Closed,
}

impl StoreError {
    pub(super) fn create(errno: Errno) -> Self {
        if disk::is_full(errno) { Self::Full(errno) } else { Self::Directory(errno) }
    }

    pub(super) fn write(name: String, errno: Errno) -> Self {
        if disk::is_full(errno) { Self::Full(errno) } else { Self::Write { name, errno } }
    }

    /// The reply to the SMTP client: code and text (RFC 5321 section 4.2.3). The cause is for the log only.
    #[must_use]
    pub fn refusal(&self) -> (u16, &'static str) {
        match self {
            Self::Full(_) | Self::Directory(_) | Self::NoId | Self::Write { .. } => {
                (452, "insufficient system storage")
            }
            Self::EnvelopeTooLarge => (552, "envelope too large"),
            Self::Sync { .. } | Self::Rename { .. } | Self::Incomplete | Self::Closed => {
                (451, "local error in processing")
            }
        }
    }
}

/// The spool directory could not be listed, or a request file not be made or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action}: {}", reason(*errno))]
pub struct SpoolError {
    /// What was tried, such as `list spool directory`.
    pub action: &'static str,
    /// What the system said.
    pub errno: Errno,
}

/// What an administrator wanted was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// There is no envelope of that id in any state.
    #[error("no such message")]
    NoSuchMessage,
    /// It is being received or sent.
    #[error("message is busy")]
    Busy,
    /// It is not held.
    #[error("message is not held")]
    NotHeld,
    /// It does not wait to be sent: it is held, or has failed.
    #[error("message is not ready")]
    NotReady,
    /// It cannot be taken.
    #[error("cannot lock {id}: {reason}")]
    Lock {
        /// The message.
        id: MessageId,
        /// Why.
        reason: String,
    },
    /// There is another envelope of the same id in the wanted state.
    #[error("message exists already in that state")]
    Exists,
    /// The system failed us.
    #[error("cannot {action} {id}: {}", reason(*errno))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The message.
        id: MessageId,
        /// What the system said.
        errno: Errno,
    },
    /// The directory could not be listed.
    #[error(transparent)]
    Spool(SpoolError),
    /// It is done, but a power cut may undo it.
    #[error(transparent)]
    Sync(StoreError),
    /// The message is ready, but its time could not be changed.
    #[error(transparent)]
    Finish(FinishError),
}

/// State of a file, to notice later that it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Inode number.
    pub inode: u64,
    /// Time of the last change of text, name or mode, since 1970. Unlike that of the last write it cannot be set back.
    pub changed: Duration,
    /// Length in bytes.
    pub size: u64,
}

impl Stamp {
    pub(super) fn of(facts: &Facts) -> Self {
        Self { inode: facts.inode, changed: facts.changed, size: facts.size }
    }
}

/// An envelope could not be read without taking the message. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// The text is damaged. `stamp` lets the caller complain once, and again only when the file has changed.
    #[error("{error}")]
    Envelope {
        /// What is wrong.
        error: EnvelopeError,
        /// Of the damaged file.
        stamp: Stamp,
    },
    /// A link, directory or other thing has the envelope's name.
    #[error("not a regular file")]
    NotRegular,
    /// The system failed us.
    #[error("cannot read envelope file: {}", reason(*.0))]
    Io(Errno),
}

/// A message could not be taken for forwarding.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The envelope cannot be read; the message stays as it was.
    #[error(transparent)]
    Unreadable(#[from] PeekError),
    /// The message can never be sent. It is locked, and the caller fails it with the fault as its reason.
    #[error("{fault}")]
    Unsendable {
        /// The locked message.
        message: Box<LockedMessage>,
        /// What is wrong with it.
        fault: Unsendable,
    },
    /// The system failed us; the message stays as it was.
    #[error("cannot lock {id}: {}", reason(*errno))]
    Io {
        /// The message.
        id: MessageId,
        /// What the system said.
        errno: Errno,
    },
}

impl LockError {
    /// The system failed us, which says nothing about the message: it may be taken another time.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unreadable(PeekError::Io(_)))
    }

    /// The state of the file, if it was read and found damaged.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Unreadable(PeekError::Envelope { stamp, .. }) => Some(*stamp),
            _ => None,
        }
    }
}

/// Why a message can never be sent; the text is the reason in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The content is missing or is not a regular file.
    #[error("cannot open content file")]
    Content,
    /// An address would break the protocol.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
}

/// The envelope of a locked message could not be changed; it is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot update envelope file: {name}: {}", reason(*errno))]
pub struct EditError {
    /// The file that should have taken the place of the envelope.
    pub name: String,
    /// What the system said.
    pub errno: Errno,
}

/// A locked message could not be brought to its next state completely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// The envelope of a sent message could not be removed: it stays `.busy` and will be sent again when it is
    /// recovered.
    #[error("failed to delete envelope file [{name}] ({})", reason(*errno))]
    Envelope {
        /// The file.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// The content of a sent message could not be removed. It has no envelope, so the sweep will try again.
    #[error("failed to delete content file [{name}] ({})", reason(*errno))]
    Content {
        /// The file.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// The message could not be given its next name and stays `.busy`, to be recovered.
    #[error("cannot rename [{from}] to [{to}] ({})", reason(*errno))]
    Rename {
        /// The name it has.
        from: String,
        /// The name it should have.
        to: String,
        /// What the system said.
        errno: Errno,
    },
    /// The message did reach its next state, but the reason could not be recorded.
    #[error("cannot append failure reason [{name}] ({})", reason(*errno))]
    Reason {
        /// The envelope file.
        name: String,
        /// What the system said.
        errno: Errno,
    },
    /// The message was unlocked, but the retry could not be recorded: it will be tried sooner than it should.
    #[error(transparent)]
    Edit(#[from] EditError),
}

impl FinishError {
    /// Whether the message is still in the queue, whatever was to become of it: it is `.busy`, and sent when it has been recovered.
    #[must_use]
    pub fn leaves_it_queued(&self) -> bool {
        match self {
            Self::Envelope { .. } | Self::Rename { .. } => true,
            Self::Content { .. } | Self::Reason { .. } | Self::Edit(_) => false,
        }
    }
}
