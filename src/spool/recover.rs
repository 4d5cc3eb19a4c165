//! Taking back messages whose forwarder died.

use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;

use super::disk::{Access, Disk};
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE, interrupted_line};
use super::error::SpoolError;
use super::id::{BUSY, FileKind, MessageId, READY};
use super::{Shared, Spool, unix_time};

/// What [`Spool::recover`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages that are ready again.
    pub unlocked: Vec<MessageId>,
    /// Stale ones that could not be renamed, with what the system said.
    pub failed: Vec<(MessageId, Errno)>,
}

impl Spool {
    /// Puts every `.busy` message back whose file nobody has locked and which has been in that state for `older_than`
    /// or longer. The age protects E-MailRelay 2.6 and scripts, which take messages by the rename alone; 600 seconds
    /// is usual.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn recover(&self, older_than: Duration) -> Result<Recovery, SpoolError> {
        let mut report = Recovery::default();
        for id in self.messages_of(FileKind::Busy)? {
            match recover_one(&self.shared, &id, older_than) {
                Ok(true) => report.unlocked.push(id),
                Ok(false) => {}
                Err(errno) => report.failed.push((id, errno)),
            }
        }
        if !report.unlocked.is_empty() {
            self.shared.committer.directory_changed();
        }
        Ok(report)
    }
}

fn recover_one(shared: &Shared, id: &MessageId, older_than: Duration) -> Result<bool, Errno> {
    let disk = &shared.disk;
    let busy = id.file(BUSY);
    let (file, _) = match disk.open(&busy, Access::Edit) {
        Ok(opened) => opened,
        Err(Errno::ENOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    };
    if !disk.try_lock(&file)? {
        return Ok(false);
    }
    // Its owner may have finished, and somebody else have taken it, between our open and our lock. Everybody locks the
    // file before it is renamed to this name, so while we hold the lock the name stays or belongs to another file.
    let facts = disk.facts(&file)?;
    match disk.facts_at(&busy) {
        Ok(now) if now.same_file(&facts) && is_older(facts.changed, older_than) => {}
        Ok(_) | Err(Errno::ENOENT) => return Ok(false),
        Err(errno) => return Err(errno),
    }
    // Not for the message's sake: it comes back also when its file cannot be read or written.
    let _ = count_interruption(&**disk, &file);
    disk.rename(&busy, &id.file(READY))?;
    Ok(true)
}

/// Notes that a process has died with the message in hand, so that one that kills every forwarder is found out.
fn count_interruption(disk: &dyn Disk, file: &File) -> Result<(), Errno> {
    let bytes = disk.read(file, MAX_ENVELOPE + 1)?;
    let Ok(envelope) = Envelope::parse(&bytes) else { return Ok(()) };
    let line = interrupted_line(&envelope, unix_time().as_secs());
    let addition = AppendStyle::of(&bytes).append(&[line]);
    if bytes.len() + addition.len() > MAX_ENVELOPE {
        return Ok(());
    }
    disk.write(file, &addition)
}

/// A time stamp is that far from now. One from the future, left by a clock that was wrong, counts as well: otherwise
/// its file would wait for that time to come.
pub(super) fn is_older(stamp: Duration, age: Duration) -> bool {
    unix_time().abs_diff(stamp) >= age
}
