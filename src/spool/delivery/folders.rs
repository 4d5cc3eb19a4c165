//! Which mailboxes a message goes to.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;

use super::error::DeliveryError;
use super::stage::{Copies, Place};
use super::{CopyStyle, DeliveryDir, Original};
use crate::spool::disk::{Disk, Kind};
use crate::spool::envelope::Envelope;
use crate::spool::{Durability, MailboxName};

/// Names a recipient whose mailbox has the message, behind the envelope's end.
const DELIVERED: &str = "X-MailRelay-Delivered:";

/// The mailbox that [`Folders::Mailboxes`] leaves out.
const POSTMASTER: &str = "postmaster";

/// Which sub-directories of the spool get a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// All of them.
    All,
    /// Those that do not begin with a dot, without `postmaster`.
    Mailboxes,
}

/// A sub-directory, or a link that may lead to one.
struct Candidate {
    name: String,
    link: bool,
}

impl Original {
    /// Copies the message into sub-directories of the spool. A link to a directory counts as one: only who owns the spool
    /// can have put it there.
    ///
    /// # Errors
    /// A copy could not be made; none is left.
    pub fn copy(&self, folders: Folders, style: CopyStyle) -> Result<Copies, DeliveryError> {
        let (disk, path) = (&self.shared.disk, &self.shared.path);
        let mut copies = Copies::new(self.shared.durability);
        for candidate in candidates(&**disk, path)? {
            let Some(folder) = open_candidate(&**disk, path, &candidate)? else { continue };
            let Candidate { name, link } = candidate;
            if folders == Folders::Mailboxes && (name.starts_with('.') || name == POSTMASTER) {
                copies.skipped.push(name);
                continue;
            }
            let place = Place { disk: folder, path: path.join(&name) };
            // What is shared is looked for in real sub-directories before content is removed.
            let style = CopyStyle { envelope_only: style.envelope_only && !link, ..style };
            copies.add(self, place, style, &self.bytes)?;
            copies.to.push(name);
        }
        if copies.is_empty() {
            return Ok(copies);
        }
        self.sync_shared(style)?;
        Ok(copies)
    }

    /// Copies the message into the mailbox of each local recipient; a mailbox that is not there is made. Each copy names
    /// its own recipient only: who else got the message may be a secret.
    ///
    /// # Errors
    /// A recipient's name is no mailbox, or a copy could not be made; none is left.
    pub fn deliver(&self, directory: &DeliveryDir, style: CopyStyle) -> Result<Copies, DeliveryError> {
        // Somebody else's directory does not see the content in the spool directory.
        let style = CopyStyle { envelope_only: false, ..style };
        let mut copies = Copies::new(self.shared.durability);
        let done = delivered(&self.envelope);
        let names: BTreeSet<&str> = self.envelope.local.iter().map(String::as_str).collect();
        let names = names.into_iter().filter(|name| !done.contains(*name));
        // All are looked at before the first mailbox is made.
        let parse = |name: &str| name.parse().map_err(|_| DeliveryError::Name(name.to_owned()));
        let names = names.map(parse).collect::<Result<Vec<MailboxName>, _>>()?;
        for name in names {
            let (disk, created) = open_or_make(directory, &name)?;
            let place = Place { disk, path: directory.path.join(name.as_str()) };
            let envelope = Envelope {
                local: vec![name.as_str().to_owned()],
                remote: Vec::new(),
                ..self.envelope.clone()
            };
            copies.add(self, place, style, &envelope.to_bytes())?;
            if created {
                copies.created.push(name.as_str().to_owned());
            }
            copies.to.push(name.as_str().to_owned());
        }
        if !copies.created.is_empty() && self.shared.durability == Durability::Full {
            let synced = directory.disk.sync_directory();
            synced.map_err(|errno| DeliveryError::Sync { path: directory.path.clone(), errno })?;
        }
        Ok(copies)
    }

    /// Content that mailboxes share with us must be durable before they refer to it.
    fn sync_shared(&self, style: CopyStyle) -> Result<(), DeliveryError> {
        if !style.envelope_only || self.shared.durability == Durability::None {
            return Ok(());
        }
        let synced =
            self.shared.disk.sync_file(&self.content).and_then(|()| self.shared.disk.sync_directory());
        synced.map_err(|errno| DeliveryError::Sync { path: self.shared.path.clone(), errno })
    }
}

/// In the order of their names.
fn candidates(disk: &dyn Disk, path: &Path) -> Result<Vec<Candidate>, DeliveryError> {
    let mut found = Vec::new();
    let listed = disk.list(None, &mut |name, kind| {
        let link = kind == Kind::Other;
        if (link || kind == Kind::Directory) && !matches!(name, "." | "..") {
            found.push(Candidate { name: name.to_owned(), link });
        }
    });
    listed.map_err(|errno| DeliveryError::List { path: path.to_owned(), errno })?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// None: it is gone, or leads to no directory.
fn open_candidate(
    disk: &dyn Disk,
    path: &Path,
    candidate: &Candidate,
) -> Result<Option<Arc<dyn Disk>>, DeliveryError> {
    let Candidate { name, link } = candidate;
    let opened = if *link { disk.follow_folder(name) } else { disk.open_folder(name) };
    match opened {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(errno) => Err(DeliveryError::Folder { path: path.join(name), errno }),
    }
}

/// The mailbox, and whether it was made.
fn open_or_make(directory: &DeliveryDir, name: &MailboxName) -> Result<(Arc<dyn Disk>, bool), DeliveryError> {
    let failed = |errno| DeliveryError::Folder { path: directory.path.join(name.as_str()), errno };
    match directory.disk.open_folder(name.as_str()) {
        Err(Errno::ENOENT) => {}
        opened => return Ok((opened.map_err(failed)?, false)),
    }
    let made = match directory.disk.make_folder(name.as_str()) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(failed(errno)),
    };
    Ok((directory.disk.open_folder(name.as_str()).map_err(failed)?, made))
}

/// The line that notes a recipient.
pub(in crate::spool) fn delivered_line(name: &str) -> Vec<u8> {
    format!("{DELIVERED} {name}").into_bytes()
}

/// Recipients that an earlier attempt has served.
pub(in crate::spool) fn delivered(envelope: &Envelope) -> BTreeSet<String> {
    let lines = envelope.trailer.iter().map(|line| String::from_utf8_lossy(line));
    lines.filter_map(|line| line.strip_prefix(DELIVERED).map(|name| name.trim().to_owned())).collect()
}
