//! Noticing that files have been replaced, by inode, size and time of the last change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What files looked like when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<Mark>>);

/// One file: device, inode, size, and the time of the last change.
type Mark = (u64, u64, u64, i64, i64);

impl Stamp {
    /// Looks at the files now; of a directory also at what it contains. Blocking.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut marks = Vec::new();
        for path in paths {
            marks.push(mark(path));
            if path.is_dir() {
                let mut inside: Vec<PathBuf> =
                    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
                inside.sort_unstable();
                marks.extend(inside.iter().map(|path| mark(path)));
            }
        }
        Self(marks)
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_growing_and_removing_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.pem");
        fs::write(&file, "one").unwrap();
        let both = [file.clone(), directory.path().to_owned()];
        let first = Stamp::of(&both);
        assert_eq!(first, Stamp::of(&both));
        fs::write(directory.path().join("new"), "two").unwrap();
        fs::rename(directory.path().join("new"), &file).unwrap();
        let second = Stamp::of(&both);
        assert_ne!(first, second);
        fs::write(&file, "longer").unwrap();
        let third = Stamp::of(&both);
        assert_ne!(second, third);
        fs::remove_file(&file).unwrap();
        assert_ne!(third, Stamp::of(&both));
    }
}
