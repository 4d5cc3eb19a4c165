//! A failed or held message comes back, and gets all of its time again.
//!
//! What earlier attempts have left must not count: a message that was given up because it was too old would fail again at
//! once, and so would one that was held for longer than messages are tried.

use nix::errno::Errno;

use super::disk::Access;
use super::envelope::{AppendStyle, Envelope, MAX_ENVELOPE, fresh_start};
use super::error::ActionError;
use super::id::{MessageId, READY};
use super::{Durability, Spool, unix_time};

impl Spool {
    /// Makes a message ready that is failed or held, as `suffix` says. False: there is no such file.
    ///
    /// The file is not locked: whoever reports the failure at this moment finds the message gone, as ever, and the lines of
    /// several administrators at the same time say the same.
    pub(super) fn bring_back(&self, id: &MessageId, suffix: &str) -> Result<bool, ActionError> {
        match self.start_afresh(id, suffix) {
            Ok(true) => self.shift(id, suffix, READY),
            Ok(false) => Ok(false),
            Err(errno) => Err(ActionError::Io { action: "write the envelope of", id: id.clone(), errno }),
        }
    }

    /// Notes, durably, that nothing counts that was before. False: there is no such file.
    fn start_afresh(&self, id: &MessageId, suffix: &str) -> Result<bool, Errno> {
        let disk = &self.shared.disk;
        // The rename would be refused, and the note be for nothing.
        if disk.facts_at(&id.file(READY)).is_ok() {
            return Ok(true);
        }
        let bytes = match disk.open(&id.file(suffix), Access::Read) {
            Ok((file, _)) => disk.read(&file, MAX_ENVELOPE + 1)?,
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        // One that is damaged comes back as it is: the forwarder tells what is wrong with it.
        let Ok(envelope) = Envelope::parse(&bytes) else { return Ok(true) };
        let Some(lines) = fresh_start(&envelope, unix_time().as_secs()) else { return Ok(true) };
        let addition = AppendStyle::of(&bytes).append(&lines);
        if bytes.len() + addition.len() > MAX_ENVELOPE {
            return Err(Errno::EFBIG);
        }
        let (file, _) = disk.open(&id.file(suffix), Access::Edit)?;
        disk.write(&file, &addition)?;
        if self.shared.durability == Durability::Full {
            disk.sync_file(&file)?;
        }
        Ok(true)
    }
}
