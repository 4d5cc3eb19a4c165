//! Taking back messages whose forwarder died.

use std::fs::File;
use std::time::Duration;

use nix::errno::Errno;

use super::disk::{Access, Disk, Facts};
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE, interrupted_line};
use super::error::{ActionError, SpoolError};
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

    /// The same for one message, durably. False: it is not busy, or somebody is at work on it.
    ///
    /// # Errors
    /// It could not be put back.
    pub fn recover_message(&self, id: &MessageId, older_than: Duration) -> Result<bool, ActionError> {
        let failed = |errno| match errno {
            Errno::EEXIST => ActionError::Exists,
            errno => ActionError::Io { action: "unlock", id: id.clone(), errno },
        };
        let recovered = recover_one(&self.shared, id, older_than).map_err(failed)?;
        if recovered {
            self.shared.committer.directory_changed();
            self.flush().map_err(ActionError::Sync)?;
        }
        Ok(recovered)
    }

    /// For how long a `.busy` message has been left behind by its process, if [`recover`](Self::recover) would put it back.
    ///
    /// # Errors
    /// Its file cannot be opened, or not be locked.
    pub(super) fn stale_for(&self, id: &MessageId, older_than: Duration) -> Result<Option<Duration>, Errno> {
        let left = left_behind(&self.shared, id, older_than)?;
        Ok(left.map(|(_, facts)| unix_time().saturating_sub(facts.changed)))
    }
}

fn recover_one(shared: &Shared, id: &MessageId, older_than: Duration) -> Result<bool, Errno> {
    let Some((file, _)) = left_behind(shared, id, older_than)? else { return Ok(false) };
    // Not for the message's sake: it comes back also when its file cannot be read or written.
    let _ = count_interruption(&*shared.disk, &file);
    shared.disk.rename(&id.file(BUSY), &id.file(READY))?;
    Ok(true)
}

/// The `.busy` file of a message, locked by us, and what is known of it; none if it has an owner, or may have one.
fn left_behind(
    shared: &Shared,
    id: &MessageId,
    older_than: Duration,
) -> Result<Option<(File, Facts)>, Errno> {
    let disk = &shared.disk;
    let busy = id.file(BUSY);
    let (file, _) = match disk.open(&busy, Access::Edit) {
        Ok(opened) => opened,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    if !disk.try_lock(&file)? {
        return Ok(None);
    }
    // Its owner may have finished, and somebody else have taken it, between our open and our lock. Everybody locks the
    // file before it is renamed to this name, so while we hold the lock the name stays or belongs to another file.
    let facts = disk.facts(&file)?;
    match disk.facts_at(&busy) {
        Ok(now) if now.same_file(&facts) && is_older(facts.changed, older_than) => Ok(Some((file, facts))),
        Ok(_) | Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
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
