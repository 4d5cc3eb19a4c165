//! Filter scripts for one test, in a directory of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory of scripts that goes away with the value.
pub(crate) struct Scripts {
    dir: TempDir,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("emailrelay-scripts.").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// An executable shell script with this body; its path.
    pub(crate) fn shell(&self, name: &str, body: &str) -> String {
        self.file(name, &format!("#!/bin/sh\n{body}\n"), 0o755)
    }

    /// A file with this text and mode; its path.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Where a file of this name is, or would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}
