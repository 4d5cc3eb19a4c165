//! Deleting messages, so that none is lost which somebody else still needs.
//!
//! 1. The envelope's name is removed. This is the claim: if somebody else has renamed it, the name is not there any more,
//!    and nothing of the message is touched.
//! 2. The content is removed unless an envelope of the same name is left that needs it, in whatever state: beside the
//!    content, or in any sub-directory. All sub-directories are read once, behind the spool directory, because a message is delivered by
//!    making its copies first and removing the original last.
//! 3. The directories are synced, once each.
//!
//! A crash between the steps leaves content that no envelope refers to, which the sweep removes.

use std::collections::HashSet;

use nix::errno::Errno;

use super::{Letter, Mailbox};
use crate::spool::disk::Disk;
use crate::spool::id::{CONTENT, MessageId, READY};
use crate::spool::{Durability, StoreError, needs};

/// What became of messages that were to be deleted.
#[derive(Debug, Default)]
pub struct Removal {
    /// Messages that are gone, those included that had gone before.
    pub removed: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that stay.
    pub held: Vec<Held>,
    /// Content that nobody needs and that could not be removed: the sweep will try again.
    pub left: Vec<(String, Errno)>,
    /// The changes were made but may not survive a power cut.
    pub unsynced: Option<StoreError>,
}

/// A message that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The message.
    pub id: MessageId,
    /// What the system said; none if somebody else is at work on it, such as a forwarder.
    pub errno: Option<Errno>,
}

impl Mailbox {
    /// Deletes the messages with these numbers, counted from 0. All are tried, whatever becomes of the others.
    #[must_use = "messages may have stayed"]
    pub fn remove(&self, indexes: impl IntoIterator<Item = usize>) -> Removal {
        let mut removal = Removal::default();
        let mut claimed = Vec::new();
        for letter in indexes.into_iter().filter_map(|index| self.letter(index)) {
            match self.claim(&letter.id) {
                Ok(Claim::Ours) => claimed.push(letter),
                Ok(Claim::Gone) => {}
                Ok(Claim::Theirs) => {
                    removal.held.push(Held { id: letter.id.clone(), errno: None });
                    continue;
                }
                Err(errno) => {
                    removal.held.push(Held { id: letter.id.clone(), errno: Some(errno) });
                    continue;
                }
            }
            removal.removed += 1;
            removal.bytes = removal.bytes.saturating_add(letter.size);
        }
        self.remove_contents(&claimed, &mut removal);
        if !claimed.is_empty() {
            removal.unsynced = self.sync().err();
        }
        removal
    }

    fn claim(&self, id: &MessageId) -> Result<Claim, Errno> {
        match self.disk().unlink(&id.file(READY)) {
            Ok(()) => Ok(Claim::Ours),
            Err(Errno::ENOENT) if has_envelope(self.disk(), id) => Ok(Claim::Theirs),
            Err(Errno::ENOENT) => Ok(Claim::Gone),
            Err(errno) => Err(errno),
        }
    }

    fn remove_contents(&self, claimed: &[&Letter], removal: &mut Removal) {
        let in_spool = |letter: &Letter| letter.shared || self.folder.is_none();
        let shared = claimed.iter().filter(|letter| in_spool(letter)).map(|letter| letter.id.clone());
        let mut unneeded: HashSet<MessageId> =
            shared.filter(|id| !has_envelope(&*self.shared.disk, id)).collect();
        let read = self.shared.drop_needed(&mut unneeded);
        for letter in claimed {
            let disk = self.content_disk(letter);
            // What cannot be looked at may refer to it.
            let free = !in_spool(letter) || (read.is_ok() && unneeded.contains(&letter.id));
            if !free || has_envelope(disk, &letter.id) {
                continue;
            }
            let name = letter.id.file(CONTENT);
            match disk.unlink(&name) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => removal.left.push((name, errno)),
            }
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.shared.durability == Durability::None {
            return Ok(());
        }
        if let Some(folder) = &self.folder {
            let name = folder.name.as_str();
            folder
                .disk
                .sync_directory()
                .map_err(|errno| StoreError::Sync { name: name.to_owned(), errno })?;
        }
        // Grouped with what other sessions wait for.
        self.shared.committer.directory_changed();
        self.shared.committer.flush()
    }
}

/// Whose a message is, once it was tried to take it.
enum Claim {
    Ours,
    /// Somebody has renamed the envelope.
    Theirs,
    /// Somebody has removed it.
    Gone,
}

/// Whether there is an envelope, in whatever state; what cannot be looked at may be one.
fn has_envelope(disk: &dyn Disk, id: &MessageId) -> bool {
    needs::has_envelope(disk, id).unwrap_or(true)
}
