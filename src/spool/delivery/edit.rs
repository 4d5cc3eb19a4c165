//! Changes that filters of our own make to a message that is on its way.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;

use super::error::DeliveryError;
use super::{Original, Stage};
use crate::spool::Durability;
use crate::spool::envelope::{Envelope, MAX_ENVELOPE};
use crate::spool::id::{CONTENT, EDIT, MessageId};

/// New text of an envelope that is not accepted yet.
const NEW_EDIT: &str = ".envelope.new.tmp";
/// New text of the content.
const CONTENT_EDIT: &str = ".content.tmp";

/// Envelopes of locked messages that were put in the place of the old ones, locked, until the owner of the message takes
/// them over. Without that there would be a moment in which nobody has the lock.
#[derive(Debug, Default)]
pub(in crate::spool) struct Edited(Mutex<HashMap<MessageId, File>>);

impl Edited {
    /// The file that took the place of this message's envelope.
    pub(in crate::spool) fn take(&self, id: &MessageId) -> Option<File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    fn put(&self, id: &MessageId, file: File) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), file);
    }
}

impl Original {
    /// Puts this envelope in the place of the message's.
    ///
    /// # Errors
    /// It could not be written; the old one is as it was.
    pub fn replace_envelope(&self, envelope: &Envelope) -> Result<(), DeliveryError> {
        let bytes = envelope.to_bytes();
        let name = self.id.file(self.stage.suffix());
        let edit = self.id.file(match self.stage {
            Stage::New => NEW_EDIT,
            Stage::Locked => EDIT,
        });
        let disk = &self.shared.disk;
        let replaced = self.create_anew(&edit).and_then(|file| {
            if bytes.len() > MAX_ENVELOPE {
                return Err(Errno::EFBIG);
            }
            disk.write(&file, &bytes)?;
            self.sync(&file)?;
            if !disk.try_lock(&file)? {
                return Err(Errno::EAGAIN);
            }
            disk.replace(&edit, &name)?;
            Ok(file)
        });
        match replaced {
            Ok(file) => {
                if self.stage == Stage::Locked {
                    self.shared.edited.put(&self.id, file);
                }
                Ok(())
            }
            Err(errno) => {
                let _ = disk.unlink(&edit);
                Err(DeliveryError::Edit { path: self.shared.path.join(name), errno })
            }
        }
    }

    /// The content from its start, up to `limit` bytes of it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content_start(&self, limit: usize) -> Result<Vec<u8>, DeliveryError> {
        let read = self.shared.disk.read(&self.content, limit);
        read.map_err(|errno| DeliveryError::Edit {
            path: self.shared.path.join(self.id.file(CONTENT)),
            errno,
        })
    }

    /// Puts lines in front of the content. The file is a new one, so that messages that share the old one keep it.
    ///
    /// # Errors
    /// The new content could not be written; the old one is as it was.
    pub fn prepend(&self, lines: &[u8]) -> Result<(), DeliveryError> {
        let (name, edit) = (self.id.file(CONTENT), self.id.file(CONTENT_EDIT));
        let disk = &self.shared.disk;
        let replaced = self.create_anew(&edit).and_then(|file| {
            disk.write(&file, lines)?;
            disk.copy(&self.content, &file)?;
            // Before the rename: otherwise a power cut could leave the name on an empty file.
            self.sync(&file)?;
            disk.replace(&edit, &name)
        });
        replaced.map_err(|errno| {
            let _ = disk.unlink(&edit);
            DeliveryError::Edit { path: self.shared.path.join(name), errno }
        })
    }

    /// The owner of the message is alone with these names, so what has one was left by a crash.
    fn create_anew(&self, name: &str) -> Result<File, Errno> {
        match self.shared.disk.create(name) {
            Err(Errno::EEXIST) => self.shared.disk.unlink(name).and_then(|()| self.shared.disk.create(name)),
            created => created,
        }
    }

    fn sync(&self, file: &File) -> Result<(), Errno> {
        match self.shared.durability {
            Durability::Full => self.shared.disk.sync_file(file),
            Durability::None => Ok(()),
        }
    }
}
