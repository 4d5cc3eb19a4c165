//! Is what we write to stderr read by the journal?

use std::env;
use std::io::stderr;
use std::path::Path;

use nix::sys::stat::fstat;

/// journald's native socket.
const SOCKET: &str = "/run/systemd/journal/socket";

/// How important a line on stderr is, for a journal that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Something must be done.
    Error,
    /// Somebody should look.
    Warning,
}

impl Priority {
    /// What the journal expects at the beginning of the line, sd-daemon(3).
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Priority::Error => "<3>",
            Priority::Warning => "<4>",
        }
    }
}

/// True if stderr is connected to the journal and journald's native socket is there, so that structured entries can replace text.
///
/// `JOURNAL_STREAM` (systemd.exec(5)) names device and inode of the stream that the manager gave us; it is inherited by children whose
/// stderr may be something else, hence the comparison.
pub fn stderr_is_journal() -> bool {
    let Some((device, inode)) = env::var("JOURNAL_STREAM").ok().as_deref().and_then(parse) else {
        return false;
    };
    fstat(stderr()).is_ok_and(|stat| stat.st_dev == device && stat.st_ino == inode)
        && Path::new(SOCKET).exists()
}

fn parse(stream: &str) -> Option<(u64, u64)> {
    let (device, inode) = stream.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_device_and_inode() {
        assert_eq!(parse("9:12345"), Some((9, 12345)));
        assert_eq!(parse("9"), None);
        assert_eq!(parse("9:x"), None);
        assert_eq!(parse(""), None);
    }
}
