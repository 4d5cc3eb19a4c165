//! Deleting messages, so that none is lost which somebody else still needs.
//!
//! 1. The envelope's name is removed. This is the claim: if somebody else has renamed it, the name is not there any more,
//!    and nothing of the message is touched.
//! 2. The content is removed unless an envelope of the same name is left, in whatever state: beside the content, or in
//!    any sub-directory. All sub-directories are read once, behind the spool directory, because a message is delivered by
//!    making its copies first and removing the original last.
//! 3. The directories are synced, once each.
//!
//! A crash between the steps leaves content that no envelope refers to, which the sweep removes.

use std::collections::HashSet;

use nix::errno::Errno;

use super::{Letter, Mailbox};
use crate::spool::disk::{Disk, Kind};
use crate::spool::id::{BAD, BUSY, CONTENT, MessageId, NEW, READY};
use crate::spool::{Durability, StoreError};

/// What every name of an envelope has in it, whatever its state.
const ENVELOPE: &str = ".envelope";
/// A state that operators use: set aside by hand.
const HOLD: &str = ".envelope.hold";

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
        let in_spool = |letter: &&&Letter| letter.shared || self.folder.is_none();
        let candidates: Vec<_> = claimed
            .iter()
            .filter(in_spool)
            .filter(|letter| !has_envelope(&*self.shared.disk, &letter.id))
            .map(|letter| &letter.id)
            .collect();
        let mut unneeded: HashSet<&MessageId> = candidates.into_iter().collect();
        let read = if unneeded.is_empty() { Ok(()) } else { self.keep_those_in_folders(&mut unneeded) };
        for letter in claimed {
            let disk = self.content_disk(letter);
            let free = match in_spool(&letter) {
                // What cannot be looked at may refer to it.
                true => read.is_ok() && unneeded.contains(&letter.id),
                false => true,
            };
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

    /// Takes away from `unneeded` what an envelope in a sub-directory refers to.
    fn keep_those_in_folders(&self, unneeded: &mut HashSet<&MessageId>) -> Result<(), Errno> {
        let disk = &self.shared.disk;
        let mut folders = Vec::new();
        disk.list(None, &mut |name, kind| {
            if kind == Kind::Directory {
                folders.push(name.to_owned());
            }
        })?;
        for folder in folders.iter().filter(|name| !matches!(name.as_str(), "." | "..")) {
            let listed = disk.list(Some(folder), &mut |name, _| {
                if let Some(id) = refers_to(name) {
                    unneeded.remove(&id);
                }
            });
            match listed {
                // Removed meanwhile, or no directory any more.
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
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

/// Whether there is an envelope, in whatever state. The names that a message can go back and forth between are looked at
/// twice.
fn has_envelope(disk: &dyn Disk, id: &MessageId) -> bool {
    let suffixes = [NEW, READY, BUSY, READY, BAD, BUSY, HOLD];
    suffixes.iter().any(|suffix| !matches!(disk.facts_at(&id.file(suffix)), Err(Errno::ENOENT)))
}

/// The message that a file belongs to, if it is an envelope in any state, known or not.
fn refers_to(name: &str) -> Option<MessageId> {
    let (stem, rest) = name.split_at_checked(name.rfind(ENVELOPE)?)?;
    (rest == ENVELOPE || rest.starts_with(".envelope.")).then(|| stem.parse().ok()).flatten()
}
