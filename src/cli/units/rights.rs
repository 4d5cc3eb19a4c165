//! What the user of the services may do with a file, by owner, group and mode.
//!
//! Access control lists are not looked at: they can only lead to a line more than is needed.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::os::identity;

/// Whom the installed units run their services as.
pub(super) const SERVICE_USER: &str = "emailrelay";

const READ: u32 = 4;
const WRITE: u32 = 2;
const PASS: u32 = 1;

/// The user of the services and its groups; where there is no such user yet, somebody without any.
#[derive(Debug, Default)]
pub(super) struct Who {
    uid: Option<u32>,
    groups: Vec<u32>,
}

impl Who {
    /// The user of the services on this machine.
    pub(super) fn service() -> Self {
        let user = identity::lookup(SERVICE_USER).ok();
        let groups = user.as_ref().map(identity::groups).unwrap_or_default();
        Self { uid: user.map(|user| user.uid), groups }
    }

    /// Whether the absolute path is a file that can be opened for reading.
    pub(super) fn may_read(&self, file: &Path) -> bool {
        self.may_reach(file) && self.may(file, READ)
    }

    /// Whether files can be made in the directory.
    pub(super) fn may_write_in(&self, directory: &Path) -> bool {
        directory.is_dir() && self.may_reach(directory) && self.may(directory, WRITE | PASS)
    }

    fn may_reach(&self, path: &Path) -> bool {
        let Ok(real) = std::fs::canonicalize(path) else { return false };
        real.ancestors().skip(1).all(|above| self.may(above, PASS))
            && path.ancestors().skip(1).all(|above| self.may(above, PASS))
    }

    fn may(&self, path: &Path, wanted: u32) -> bool {
        metadata(path).is_ok_and(|found| self.granted(&found) & wanted == wanted)
    }

    /// The bits that count for us: the first that fit (POSIX.1-2017, 4.5).
    fn granted(&self, found: &Metadata) -> u32 {
        let shift = if self.uid == Some(found.uid()) {
            6
        } else if self.groups.contains(&found.gid()) {
            3
        } else {
            0
        };
        (found.mode() >> shift) & 7
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_class_that_fits_first_decides() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "").unwrap();
        let found = metadata(&file).unwrap();
        let owner = Who { uid: Some(found.uid()), groups: vec![] };
        let member = Who { uid: None, groups: vec![found.gid()] };
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mode(&file, 0o640);
        mode(directory.path(), 0o755);
        assert_eq!([&owner, &member, &Who::default()].map(|who| who.may_read(&file)), [true, true, false]);
        mode(&file, 0o044);
        assert_eq!([&owner, &member, &Who::default()].map(|who| who.may_read(&file)), [false, true, true]);
        // Who cannot pass a directory above it cannot read it.
        mode(directory.path(), 0o710);
        assert_eq!([&owner, &member, &Who::default()].map(|who| who.may_read(&file)), [false, true, false]);
        assert_eq!([&owner, &member].map(|who| who.may_write_in(directory.path())), [true, false]);
        assert!(!owner.may_read(&directory.path().join("other")));
        mode(directory.path(), 0o700);
    }
}
