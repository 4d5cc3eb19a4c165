//! Files by which roles tell each other something.
//!
//! | file | meaning |
//! |---|---|
//! | `forward.request` | there is something to send |
//! | `smtp.disabled` | the SMTP server answers new connections with 421 while it exists |
//! | `dnsbl.stop` | no DNS block list is asked until the time in it, in seconds since 1970 |
//! | `forward.backoff` | destinations that forwarders leave alone: see `trouble` |
//!
//! Whoever wants forwarding makes `forward.request`, and the forwarder's path unit watches for it. The forwarder removes it
//! before it lists the spool, so a request made during a run starts another run and none is lost.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::disk::{Access, Disk, DiskResult};
use super::error::SpoolError;
use super::{Spool, trouble, unix_time};

/// The file that says that there is something to send.
pub const FORWARD_REQUEST: &str = "forward.request";
pub(super) const SMTP_DISABLED: &str = "smtp.disabled";
const DNSBL_STOP: &str = "dnsbl.stop";
const DNSBL_STOP_NEW: &str = "dnsbl.stop.tmp";

/// A control file is not longer.
const MAX_CONTROL: usize = 64;

/// The name is that of a file by which roles talk.
pub(super) fn is_control(name: &str) -> bool {
    [FORWARD_REQUEST, SMTP_DISABLED, DNSBL_STOP, DNSBL_STOP_NEW, trouble::FILE, trouble::FILE_NEW]
        .contains(&name)
}

/// Replaces a file as a whole, by way of a temporary one.
pub(super) fn replace(disk: &dyn Disk, temporary: &str, name: &str, text: &[u8]) -> DiskResult<()> {
    let file = match disk.create(temporary) {
        // Left by a crash.
        Err(Errno::EEXIST) => disk.unlink(temporary).and_then(|()| disk.create(temporary)),
        created => created,
    }?;
    let written = disk.write(&file, text).and_then(|()| disk.replace(temporary, name));
    if written.is_err() {
        let _ = disk.unlink(temporary);
    }
    written
}

impl Spool {
    /// Asks for a forwarding run. To ask twice is the same as once.
    ///
    /// # Errors
    /// The file could not be made; the messages then wait for the next run of the timer.
    pub fn request_forward(&self) -> Result<(), SpoolError> {
        match self.shared.disk.create(FORWARD_REQUEST) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(SpoolError { action: "request forwarding", errno }),
        }
    }

    /// A forwarding run was asked for.
    #[must_use]
    pub fn forward_requested(&self) -> bool {
        self.shared.disk.facts_at(FORWARD_REQUEST).is_ok()
    }

    /// Takes the request away and tells whether there was one. To be called before the spool is listed.
    ///
    /// # Errors
    /// The file could not be removed: it would start the forwarder again and again.
    pub fn take_forward_request(&self) -> Result<bool, SpoolError> {
        self.remove_control(FORWARD_REQUEST, "take forward request")
    }

    /// The same for a directory that is not going to be opened.
    ///
    /// # Errors
    /// As for [`Spool::take_forward_request`].
    pub fn forget_forward_request(directory: &Path) -> io::Result<bool> {
        match std::fs::remove_file(directory.join(FORWARD_REQUEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    /// The SMTP server has been switched off by an administrator.
    #[must_use]
    pub fn smtp_disabled(&self) -> bool {
        self.shared.disk.facts_at(SMTP_DISABLED).is_ok()
    }

    /// Switches the SMTP server off, for connections from now on and until it is switched on again.
    ///
    /// # Errors
    /// The file could not be made.
    pub fn disable_smtp(&self) -> Result<(), SpoolError> {
        match self.shared.disk.create(SMTP_DISABLED) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(SpoolError { action: "disable smtp", errno }),
        }
    }

    /// Switches the SMTP server on.
    ///
    /// # Errors
    /// The file could not be removed.
    pub fn enable_smtp(&self) -> Result<(), SpoolError> {
        self.remove_control(SMTP_DISABLED, "enable smtp").map(drop)
    }

    /// Keeps DNS block lists from being asked for so long; zero seconds end that.
    ///
    /// # Errors
    /// The file could not be written or removed; the old state stays.
    pub fn stop_dnsbl(&self, seconds: u32) -> Result<(), SpoolError> {
        const ACTION: &str = "switch dnsbl";
        if seconds == 0 {
            return self.remove_control(DNSBL_STOP, ACTION).map(drop);
        }
        let until = unix_time().as_secs().saturating_add(u64::from(seconds));
        replace(&*self.shared.disk, DNSBL_STOP_NEW, DNSBL_STOP, format!("{until}\n").as_bytes())
            .map_err(|errno| SpoolError { action: ACTION, errno })
    }

    /// DNS block lists are not to be asked now. A file that does not tell its time says so for ever.
    #[must_use]
    pub fn dnsbl_stopped(&self) -> bool {
        let disk = &self.shared.disk;
        let Ok((file, _)) = disk.open(DNSBL_STOP, Access::Read) else { return false };
        let text = disk.read(&file, MAX_CONTROL).unwrap_or_default();
        let until = str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u64>().ok());
        until.is_none_or(|until| unix_time().as_secs() < until)
    }

    fn remove_control(&self, name: &str, action: &'static str) -> Result<bool, SpoolError> {
        match self.shared.disk.unlink(name) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(SpoolError { action, errno }),
        }
    }
}
