//! Hints to the kernel about files, and who may use a socket file.

use std::fs::{File, Permissions, set_permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Mode of a unix socket that everybody may connect to.
const FOR_ALL: u32 = 0o777;

/// Starts writing the dirty pages of `file` to disk and returns at once, so that a later `fdatasync` has less to wait for
/// (sync_file_range(2) with `SYNC_FILE_RANGE_WRITE`). A hint only: errors mean that the file system cannot, and are ignored.
#[expect(unsafe_code, reason = "neither std nor nix wraps sync_file_range")]
pub fn start_writeback(file: &File) {
    // SAFETY: the descriptor is open while `file` is borrowed; the call reads and writes no memory of ours.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Gives a unix socket that root has bound to `group`, or to everybody when there is none.
///
/// # Errors
/// The error of the system call that failed.
pub fn share_socket(path: &Path, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => chown(path, None, Some(group)),
        None => set_permissions(path, Permissions::from_mode(FOR_ALL)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_content_is_not_touched() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(b"content").expect("write");
        start_writeback(file.as_file());
        assert_eq!(std::fs::read(file.path()).expect("read"), b"content");
    }
}
