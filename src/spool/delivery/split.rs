//! Splitting a message into several: the same content, other recipients each.
//!
//! The new messages are written like any other, as `ID.envelope.new`, and get their final names together, when the whole
//! chain of filters has let the message through. Before that nobody sees them, and whoever drops [`Parts`] removes them.

use std::fs::File;
use std::sync::Arc;

use nix::errno::Errno;

use super::Original;
use super::error::DeliveryError;
use crate::spool::envelope::Envelope;
use crate::spool::id::{CONTENT, MessageId, NEW, READY, STATES};
use crate::spool::{Durability, Shared};

/// How many ids are tried before giving up.
const MAX_CLASHES: usize = 1000;

/// Messages split off, written and not visible yet. Dropping them removes them.
#[must_use = "messages that are dropped are removed again"]
pub struct Parts {
    shared: Arc<Shared>,
    /// With their content, which is locked so that the sweep leaves it alone, and the suffix that the envelope has.
    parts: Vec<(MessageId, File, &'static str)>,
}

impl Parts {
    /// For the parts of this message.
    pub fn of(original: &Original) -> Self {
        Self { shared: Arc::clone(&original.shared), parts: Vec::new() }
    }

    /// The id of the next part. It is not reserved.
    #[must_use]
    pub fn next_id(&self) -> MessageId {
        self.shared.ids.next()
    }

    /// Makes the content of a part; its id is not the wanted one if that was taken. The part has no envelope yet.
    ///
    /// # Errors
    /// The file could not be made.
    pub fn add(&mut self, original: &Original, wanted: MessageId) -> Result<MessageId, DeliveryError> {
        let mut id = wanted;
        for _ in 0..MAX_CLASHES {
            let name = id.file(CONTENT);
            match self.make_content(original, &id) {
                Ok(content) => {
                    self.parts.push((id.clone(), content, NEW));
                    return Ok(id);
                }
                Err(Errno::EEXIST) => id = self.shared.ids.next(),
                Err(errno) => {
                    return Err(DeliveryError::SplitContent { path: self.shared.path.join(name), errno });
                }
            }
        }
        Err(DeliveryError::SplitContent {
            path: self.shared.path.join(id.file(CONTENT)),
            errno: Errno::EEXIST,
        })
    }

    /// Writes the envelope of a part.
    ///
    /// # Errors
    /// It could not be written.
    pub fn write_envelope(&self, id: &MessageId, envelope: &Envelope) -> Result<(), DeliveryError> {
        let name = id.file(NEW);
        let disk = &self.shared.disk;
        let written = disk.create(&name).and_then(|file| {
            disk.write(&file, &envelope.to_bytes())?;
            if self.shared.durability == Durability::Full { disk.sync_file(&file) } else { Ok(()) }
        });
        written.map_err(|errno| DeliveryError::SplitEnvelope { path: self.shared.path.join(name), errno })
    }

    /// Makes all parts visible and durable, ready to be sent. They are still removed with this value, unless they are
    /// [kept](Self::keep).
    ///
    /// # Errors
    /// One could not be.
    pub fn publish(&mut self) -> Result<(), DeliveryError> {
        self.publish_as(READY)
    }

    /// The same in another state.
    pub(in crate::spool) fn publish_as(&mut self, suffix: &'static str) -> Result<(), DeliveryError> {
        let shared = Arc::clone(&self.shared);
        for (id, _, state) in &mut self.parts {
            let renamed = shared.disk.rename(&id.file(NEW), &id.file(suffix));
            renamed.map_err(|errno| DeliveryError::SplitEnvelope {
                path: shared.path.join(id.file(suffix)),
                errno,
            })?;
            *state = suffix;
        }
        shared.committer.flush().map_err(|error| DeliveryError::Flush(Box::new(error)))
    }

    /// They stay: the original has given up their recipients.
    pub fn keep(mut self) -> KeptParts {
        let ids = self.parts.drain(..).map(|(id, ..)| id).collect();
        KeptParts { shared: Arc::clone(&self.shared), ids }
    }

    fn make_content(&self, original: &Original, id: &MessageId) -> Result<File, Errno> {
        let disk = &self.shared.disk;
        let name = id.file(CONTENT);
        let linked = disk.link_from(&**disk, &original.id.file(CONTENT), &name);
        let content = match linked {
            Ok(()) => disk.open(&name, crate::spool::disk::Access::Read).map(|(file, _)| file),
            Err(Errno::EEXIST) => return Err(Errno::EEXIST),
            Err(_) => disk.create(&name).and_then(|file| {
                disk.try_lock(&file)?;
                disk.copy(&original.content, &file)?;
                Ok(file)
            }),
        };
        let made = content.and_then(|file| {
            let taken = STATES.iter().any(|suffix| disk.facts_at(&id.file(suffix)).is_ok());
            if taken {
                return Err(Errno::EEXIST);
            }
            if self.shared.durability == Durability::Full {
                disk.sync_file(&file)?;
            }
            Ok(file)
        });
        made.inspect_err(|_| {
            let _ = disk.unlink(&name);
        })
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for (id, _, suffix) in &self.parts {
            let removed = self.shared.disk.unlink(&id.file(suffix));
            // A part that somebody has taken is theirs.
            if removed.is_ok() || *suffix == NEW {
                let _ = self.shared.disk.unlink(&id.file(CONTENT));
            }
        }
    }
}

/// Parts that are messages of their own now.
pub struct KeptParts {
    shared: Arc<Shared>,
    ids: Vec<MessageId>,
}

impl KeptParts {
    /// Removes them, because the original was not accepted after all. One that a forwarder has taken is sent.
    pub fn undo(self) {
        for id in &self.ids {
            if self.shared.disk.unlink(&id.file(READY)).is_ok() {
                let _ = self.shared.disk.unlink(&id.file(CONTENT));
            }
        }
        self.shared.committer.directory_changed();
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|(id, _, _)| id)).finish()
    }
}
