//! Copies on their way into mailboxes: first all are written, then all become visible.
//!
//! A copy in a plain mailbox is content and envelope as in the spool directory; it becomes visible when `ID.envelope.new`
//! is renamed. A maildir gets the content only, written in `tmp` and moved to `new`. Until all are visible the originals
//! are untouched, and whoever drops [`Copies`] takes all of them back.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;

use super::error::DeliveryError;
use super::maildir::{self, Maildir};
use super::{CopyStyle, Original};
use crate::spool::Durability;
use crate::spool::disk::{Access, Disk};
use crate::spool::id::{CONTENT, MessageId, NEW, READY};
use crate::spool::needs::has_accepted;

/// Written copies that nobody sees yet. Dropping them removes them.
#[must_use = "copies that are dropped are removed again"]
pub struct Copies {
    staged: Vec<Staged>,
    durability: Durability,
    /// Mailboxes that get a copy, or have it already, in order.
    pub to: Vec<String>,
    /// Sub-directories that are no mailboxes for this purpose.
    pub skipped: Vec<String>,
    /// Mailboxes that were made.
    pub created: Vec<String>,
}

/// Copies that are visible and durable.
pub struct Published(Vec<Staged>);

/// A place for a copy.
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
}

enum Staged {
    Plain {
        place: Place,
        id: MessageId,
        /// The content is here, and not in the spool directory.
        has_content: bool,
        /// The envelope: its lock keeps the sweep and other deliveries of the same message away.
        _claim: File,
        visible: bool,
    },
    Maildir {
        place: Place,
        tmp: Arc<dyn Disk>,
        new: Arc<dyn Disk>,
        name: String,
        visible: bool,
    },
}

impl Copies {
    pub(super) fn new(durability: Durability) -> Self {
        Self { staged: Vec::new(), durability, to: Vec::new(), skipped: Vec::new(), created: Vec::new() }
    }

    /// Writes one more copy. A mailbox that has the message already is left as it is.
    pub(super) fn add(
        &mut self,
        original: &Original,
        place: Place,
        style: CopyStyle,
        envelope: &[u8],
    ) -> Result<(), DeliveryError> {
        let staged = match maildir::open(&*place.disk).map_err(|errno| place.folder_error(errno))? {
            Some(maildir) => Some(self.stage_in_maildir(original, place, style, maildir)?),
            None => self.stage_plain(original, place, style, envelope)?,
        };
        self.staged.extend(staged);
        Ok(())
    }

    /// Makes all copies visible and durable.
    ///
    /// # Errors
    /// One of them could not be; all are taken back.
    pub fn publish(mut self) -> Result<Published, DeliveryError> {
        for staged in &mut self.staged {
            staged.reveal()?;
        }
        if self.durability == Durability::Full {
            self.staged.iter().try_for_each(Staged::sync_directories)?;
        }
        Ok(Published(std::mem::take(&mut self.staged)))
    }

    /// There is nothing to make visible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    fn stage_plain(
        &self,
        original: &Original,
        place: Place,
        style: CopyStyle,
        bytes: &[u8],
    ) -> Result<Option<Staged>, DeliveryError> {
        let id = original.id.clone();
        let (content_name, envelope_name) = (id.file(CONTENT), id.file(NEW));
        let no_envelope = |errno| DeliveryError::Envelope { path: place.path.join(&envelope_name), errno };
        let no_content = |errno| DeliveryError::Content { path: place.path.join(&content_name), errno };
        let Some(claim) = claim(&*place.disk, &id).map_err(no_envelope)? else { return Ok(None) };
        let drop_claim = || {
            let _ = place.disk.unlink(&envelope_name);
        };
        if !style.envelope_only {
            let made = self.make_content(original, &*place.disk, &content_name, style);
            made.map_err(no_content).inspect_err(|_| drop_claim())?;
        }
        let written = place.disk.write(&claim, bytes).and_then(|()| self.sync_file(&*place.disk, &claim));
        if let Err(errno) = written {
            drop_claim();
            if !style.envelope_only {
                let _ = place.disk.unlink(&content_name);
            }
            return Err(no_envelope(errno));
        }
        let has_content = !style.envelope_only;
        Ok(Some(Staged::Plain { place, id, has_content, _claim: claim, visible: false }))
    }

    fn stage_in_maildir(
        &self,
        original: &Original,
        place: Place,
        style: CopyStyle,
        folders: Maildir,
    ) -> Result<Staged, DeliveryError> {
        let Maildir { tmp, new } = folders;
        let name = maildir::unique_name();
        match self.make_content(original, &*tmp, &name, style) {
            Ok(()) => Ok(Staged::Maildir { place, tmp, new, name, visible: false }),
            Err(errno) => Err(DeliveryError::MaildirWrite { path: place.path.join("tmp").join(name), errno }),
        }
    }

    /// Makes a second name for the content, or a copy of it. What has the name was left by a crash, because the name is
    /// claimed.
    fn make_content(
        &self,
        original: &Original,
        target: &dyn Disk,
        name: &str,
        style: CopyStyle,
    ) -> Result<(), Errno> {
        match target.unlink(name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        // It fails on another file system, with too many links, or where the kernel protects links.
        if style.hardlink
            && target.link_from(&*original.shared.disk, &original.id.file(CONTENT), name).is_ok()
        {
            return self.sync_link(original, target, name);
        }
        let file = target.create(name)?;
        let filled = target.copy(&original.content, &file).and_then(|()| self.sync_file(target, &file));
        filled.inspect_err(|_| {
            let _ = target.unlink(name);
        })
    }

    fn sync_link(&self, original: &Original, target: &dyn Disk, name: &str) -> Result<(), Errno> {
        let synced = target.open(name, Access::Read).and_then(|(file, facts)| {
            // The name was exchanged under our hands.
            let same = facts.same_file(&target.facts(&original.content)?);
            if same { self.sync_file(target, &file) } else { Err(Errno::EAGAIN) }
        });
        synced.inspect_err(|_| {
            let _ = target.unlink(name);
        })
    }

    fn sync_file(&self, disk: &dyn Disk, file: &File) -> Result<(), Errno> {
        match self.durability {
            Durability::Full => disk.sync_file(file),
            Durability::None => Ok(()),
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.staged.iter().for_each(Staged::remove);
    }
}

impl Published {
    /// Takes the copies back, because the message was not accepted after all. One that somebody has taken meanwhile is
    /// delivered.
    pub fn undo(self) {
        self.0.iter().for_each(Staged::remove);
    }
}

impl Staged {
    fn reveal(&mut self) -> Result<(), DeliveryError> {
        match self {
            Self::Plain { place, id, visible, .. } => {
                let moved = place.disk.rename(&id.file(NEW), &id.file(READY));
                moved.map_err(|errno| DeliveryError::Envelope {
                    path: place.path.join(id.file(READY)),
                    errno,
                })?;
                *visible = true;
            }
            Self::Maildir { place, tmp, new, name, visible, .. } => {
                let moved = tmp.move_to(name, &**new, name);
                moved.map_err(|errno| DeliveryError::MaildirMove {
                    path: place.path.join("new").join(&*name),
                    errno,
                })?;
                *visible = true;
            }
        }
        Ok(())
    }

    fn sync_directories(&self) -> Result<(), DeliveryError> {
        let (place, synced) = match self {
            Self::Plain { place, .. } => (place, place.disk.sync_directory()),
            Self::Maildir { place, new, .. } => (place, new.sync_directory()),
        };
        synced.map_err(|errno| DeliveryError::Sync { path: place.path.clone(), errno })
    }

    /// Removes the copy, the part first that makes it visible; what holds the claim goes last.
    fn remove(&self) {
        match self {
            Self::Plain { place, id, has_content, visible, .. } => {
                let gone = !*visible || place.disk.unlink(&id.file(READY)).is_ok();
                // Somebody has it: then the content is theirs.
                if gone && *has_content {
                    let _ = place.disk.unlink(&id.file(CONTENT));
                }
                if !*visible {
                    let _ = place.disk.unlink(&id.file(NEW));
                }
            }
            Self::Maildir { tmp, new, name, visible, .. } => {
                let _ = if *visible { new.unlink(name) } else { tmp.unlink(name) };
            }
        }
    }
}

impl Place {
    fn folder_error(&self, errno: Errno) -> DeliveryError {
        DeliveryError::Folder { path: self.path.clone(), errno }
    }
}

/// Makes the envelope, empty and locked: from now on nobody else delivers this message here. None: it is here already.
/// `EAGAIN`: somebody else is at it.
fn claim(disk: &dyn Disk, id: &MessageId) -> Result<Option<File>, Errno> {
    if has_accepted(disk, id)? {
        return Ok(None);
    }
    let name = id.file(NEW);
    let claim = match disk.create(&name) {
        Err(Errno::EEXIST) => {
            let (left_over, _) = disk.open(&name, Access::Edit)?;
            if !disk.try_lock(&left_over)? {
                return Err(Errno::EAGAIN);
            }
            disk.unlink(&name)?;
            disk.create(&name)?
        }
        created => created?,
    };
    // Somebody may have taken it for left over before it was locked.
    if !disk.try_lock(&claim)? || disk.facts(&claim)?.links == 0 {
        return Err(Errno::EAGAIN);
    }
    // Or have been done between our look and our claim.
    match has_accepted(disk, id) {
        Ok(false) => Ok(Some(claim)),
        found => {
            let _ = disk.unlink(&name);
            found.map(|_| None)
        }
    }
}
