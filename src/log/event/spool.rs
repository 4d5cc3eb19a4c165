//! Spool directory.

use std::fmt;

use super::{Fact, Fields};
use crate::log::kind::{self, Kind};

/// What is logged about the spool's files.
#[derive(Clone, Debug, PartialEq)]
pub enum SpoolEvent {
    /// Another process has the message.
    LockFailed {
        /// The message's id.
        id: String,
    },
    /// An envelope cannot be used.
    Ignored {
        /// The message's id.
        id: String,
        /// Path of the envelope.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The reason of a failure could not be written into the envelope.
    ReasonLost {
        /// The message's id.
        id: String,
        /// Name of the envelope file.
        file: String,
        /// The system's error.
        error: String,
    },
    /// A file of a sent message cannot be deleted.
    DeleteFailed {
        /// The message's id.
        id: String,
        /// `envelope` or `content`.
        what: &'static str,
        /// Name of the file.
        file: String,
        /// The system's error.
        error: String,
    },
    /// A message locked by a dead process is free again.
    Recovered {
        /// The message's id.
        id: String,
    },
    /// A left-over file was removed.
    Swept {
        /// Its name.
        file: String,
    },
    /// Left-over files that are too young to be removed.
    Orphans {
        /// How many.
        count: usize,
    },
    /// The disk did not confirm a write.
    SyncFailed {
        /// What was written.
        path: String,
        /// The system's error.
        reason: String,
    },
    /// Another operation failed.
    StoreFailed {
        /// What and why.
        reason: String,
    },
}

impl Fact for SpoolEvent {
    fn kind(&self) -> &'static Kind {
        match self {
            SpoolEvent::LockFailed { .. } => kind::LOCK_FAILED,
            SpoolEvent::Ignored { .. } => kind::IGNORED,
            SpoolEvent::ReasonLost { .. } => kind::REASON_LOST,
            SpoolEvent::DeleteFailed { .. } => kind::DELETE_FAILED,
            SpoolEvent::Recovered { .. } => kind::RECOVERED,
            SpoolEvent::Swept { .. } => kind::SWEPT,
            SpoolEvent::Orphans { .. } => kind::ORPHANS,
            SpoolEvent::SyncFailed { .. } => kind::SYNC_FAILED,
            SpoolEvent::StoreFailed { .. } => kind::STORE_FAILED,
        }
    }

    fn fields(&self) -> Fields {
        match self {
            SpoolEvent::LockFailed { id } | SpoolEvent::Recovered { id } => Fields::msgid(id),
            SpoolEvent::Ignored { id, reason, .. } => {
                Fields { msgid: Some(id.clone()), ..Fields::reason(reason) }
            }
            SpoolEvent::ReasonLost { id, error, .. } | SpoolEvent::DeleteFailed { id, error, .. } => {
                Fields { msgid: Some(id.clone()), ..Fields::reason(error) }
            }
            SpoolEvent::SyncFailed { reason, .. } | SpoolEvent::StoreFailed { reason } => {
                Fields::reason(reason)
            }
            SpoolEvent::Swept { .. } | SpoolEvent::Orphans { .. } => Fields::default(),
        }
    }
}

impl fmt::Display for SpoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolEvent::LockFailed { id } => write!(f, "cannot lock file: \"{id}.envelope\""),
            SpoolEvent::Ignored { path, reason, .. } => write!(f, "ignoring \"{path}\": {reason}"),
            SpoolEvent::ReasonLost { file, error, .. } => {
                write!(f, "cannot re-open envelope file to append the failure reason: [{file}] ({error})")
            }
            SpoolEvent::DeleteFailed { what, file, error, .. } => {
                write!(f, "failed to delete {what} file [{file}] ({error})")
            }
            SpoolEvent::Recovered { id } => write!(f, "recovered envelope [{id}.envelope.busy]"),
            SpoolEvent::Swept { file } => write!(f, "removed left-over file [{file}]"),
            SpoolEvent::Orphans { count } => write!(f, "left-over files in the spool directory: {count}"),
            SpoolEvent::SyncFailed { path, reason } => {
                write!(f, "message store error: cannot write to disk: {path}: {reason}")
            }
            SpoolEvent::StoreFailed { reason } => write!(f, "message store error: {reason}"),
        }
    }
}
