//! Hints to the kernel about files.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Starts writing the dirty pages of `file` to disk and returns at once, so that a later `fdatasync` has less to wait for
/// (sync_file_range(2) with `SYNC_FILE_RANGE_WRITE`). A hint only: errors mean that the file system cannot, and are ignored.
#[expect(unsafe_code, reason = "neither std nor nix wraps sync_file_range")]
pub fn start_writeback(file: &File) {
    // SAFETY: the descriptor is open while `file` is borrowed; the call reads and writes no memory of ours.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
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
