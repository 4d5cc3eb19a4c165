//! Files by which roles tell each other something. `forward.request`: "there is something to send".
//!
//! Whoever wants forwarding makes it, and the forwarder's path unit watches for it. The forwarder removes it before it
//! lists the spool, so a request made during a run starts another run and none is lost.

use nix::errno::Errno;

use super::Spool;
use super::error::SpoolError;

/// Name of the file.
const FORWARD_REQUEST: &str = "forward.request";

/// While this file exists, new SMTP connections are answered with 421.
const SMTP_DISABLED: &str = "smtp.disabled";

/// The name is that of a file by which roles talk.
pub(super) fn is_request(name: &str) -> bool {
    [FORWARD_REQUEST, SMTP_DISABLED].contains(&name)
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

    /// The SMTP server has been switched off by an administrator: the file `smtp.disabled` is there.
    #[must_use]
    pub fn smtp_disabled(&self) -> bool {
        self.shared.disk.facts_at(SMTP_DISABLED).is_ok()
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
        match self.shared.disk.unlink(FORWARD_REQUEST) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(SpoolError { action: "take forward request", errno }),
        }
    }
}
