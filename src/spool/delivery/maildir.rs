//! Maildirs: a directory with `tmp`, `new` and `cur` in it, of which each message is one file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

use crate::spool::disk::Disk;
use crate::spool::unix_time;

/// Where files are written.
pub(in crate::spool) const TMP: &str = "tmp";
/// Where readers find new files.
const NEW: &str = "new";
/// Where readers keep the others.
const CUR: &str = "cur";

/// The directories of a maildir that a delivery needs.
pub(in crate::spool) struct Maildir {
    pub(in crate::spool) tmp: Arc<dyn Disk>,
    pub(in crate::spool) new: Arc<dyn Disk>,
}

/// The maildir; none if it is not one. A link in the place of one of its directories is none either.
pub(in crate::spool) fn open(disk: &dyn Disk) -> Result<Option<Maildir>, Errno> {
    let mut folders = Vec::with_capacity(3);
    for name in [TMP, NEW, CUR] {
        match disk.open_folder(name) {
            Ok(folder) => folders.push(folder),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
    let mut folders = folders.into_iter();
    Ok(folders.next().zip(folders.next()).map(|(tmp, new)| Maildir { tmp, new }))
}

/// A name that no other delivery has: `<seconds>.<microseconds>.<pid>.<host>.<n>`.
pub(super) fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = unix_time();
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned());
    let host = host.replace(['/', '\\', '.'], "_");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{:06}.{}.{host}.{count}", now.as_secs(), now.subsec_micros(), std::process::id())
}

/// The name is one of ours, whichever process made it.
pub(in crate::spool) fn is_ours(name: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [seconds, micros, pid, host, count] => {
            [seconds, micros, pid, count].into_iter().all(|part| number(part))
                && micros.len() == 6
                && !host.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_known_again() {
        let (one, other) = (unique_name(), unique_name());
        assert_ne!(one, other);
        assert!(is_ours(&one) && is_ours(&other), "{one} {other}");
        for name in [
            "1795170755.M1P2.host",
            "1.2.3.4.5",
            "1.000002.3.host",
            "1.000002.3.host.4.5",
            "x.000002.3.host.4",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
