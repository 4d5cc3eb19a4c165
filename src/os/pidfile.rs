//! The pid file: whole at every moment, locked while we live, removed only if it is ours.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process;

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use super::identity::User;
use super::reason;

/// Our pid file; dropping it removes it.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Locked for as long as we live.
    file: Flock<File>,
    /// A copy of this object in a forked child must not remove the file.
    owner: u32,
}

/// Why there is no pid file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PidFileError {
    /// Another process holds it.
    #[error("already running: pid {0}")]
    AlreadyRunning(String),
    /// It cannot be made.
    #[error("invalid pid file: cannot create file: {}: {reason}", path.display())]
    Create {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl PidFile {
    /// Makes the pid file at the absolute `path`, mode 0644, with missing parent directories (0755), for this process: in the daemon, after
    /// the fork. What root creates here for a later `owner` is given to it (the directories) or to its group (the file),
    /// so that it can be removed without root.
    ///
    /// # Errors
    /// If another process runs with this pid file, or it cannot be written.
    pub fn create(path: &Path, owner: Option<&User>) -> Result<PidFile, PidFileError> {
        let failed =
            |error: &io::Error| PidFileError::Create { path: path.to_owned(), reason: reason(error) };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        create_parents(parent, owner).map_err(|error| failed(&error))?;
        // Two that start in the same moment take turns; where the directory cannot be locked, the later one wins.
        let turn = File::open(parent)
            .ok()
            .and_then(|directory| Flock::lock(directory, FlockArg::LockExclusive).ok());
        refuse_if_held(path)?;
        let file = write_new(path, owner).map_err(|error| failed(&error))?;
        drop(turn);
        Ok(PidFile { path: path.to_owned(), file, owner: process::id() })
    }

    /// Is the file at our path still the one we made?
    fn is_ours(&self) -> bool {
        let (Ok(there), Ok(here)) = (fs::symlink_metadata(&self.path), self.file.metadata()) else {
            return false;
        };
        there.dev() == here.dev() && there.ino() == here.ino() && self.owner == process::id()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_if_held(path: &Path) -> Result<(), PidFileError> {
    let Ok(mut file) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) else {
        return Ok(());
    };
    let mut pid = String::new();
    let _ = (&mut file).take(32).read_to_string(&mut pid);
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Err((_, nix::Error::EWOULDBLOCK)) => Err(PidFileError::AlreadyRunning(pid.trim().to_owned())),
        _ => Ok(()),
    }
}

/// Writes under a temporary name, then renames: readers never see an empty file.
fn write_new(path: &Path, owner: Option<&User>) -> io::Result<Flock<File>> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", process::id()));
    let temporary = PathBuf::from(temporary);
    // A process with our id died before its rename, or we share the directory with another pid namespace.
    let _ = fs::remove_file(&temporary);
    let result = fill(&temporary, owner).and_then(|file| fs::rename(&temporary, path).map(|()| file));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn fill(path: &Path, owner: Option<&User>) -> io::Result<Flock<File>> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    // The umask may be 077.
    file.set_permissions(PermissionsExt::from_mode(0o644))?;
    if let Some(user) = owner {
        let _ = chown(path, None, Some(user.gid));
    }
    writeln!(file, "{}", process::id())?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

fn create_parents(path: &Path, owner: Option<&User>) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_parents(parent, owner)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    if let Some(user) = owner {
        let _ = chown(path, Some(user.uid), Some(user.gid));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_our_pid_and_goes_with_us() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a/b/emailrelay.pid");
        let pid_file = PidFile::create(&path, None).expect("create");
        assert_eq!(fs::read_to_string(&path).expect("read"), format!("{}\n", process::id()));
        assert_eq!(fs::metadata(&path).expect("metadata").mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(directory.path().join("a")).expect("metadata").mode() & 0o777, 0o755);
        drop(pid_file);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(path.parent().expect("parent")).expect("list").count(), 0);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("pid");
        let first = PidFile::create(&path, None).expect("create");
        let refused = PidFile::create(&path, None).expect_err("held");
        assert_eq!(refused.to_string(), format!("already running: pid {}", process::id()));
        assert!(path.exists());
        drop(first);
    }

    #[test]
    fn a_left_over_file_is_replaced() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("pid");
        fs::write(&path, "1\n").expect("write");
        let _pid_file = PidFile::create(&path, None).expect("create");
        assert_eq!(fs::read_to_string(&path).expect("read"), format!("{}\n", process::id()));
    }

    #[test]
    fn the_file_of_somebody_else_is_not_removed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("pid");
        let pid_file = PidFile::create(&path, None).expect("create");
        fs::remove_file(&path).expect("remove");
        fs::write(&path, "1\n").expect("write");
        drop(pid_file);
        assert_eq!(fs::read_to_string(&path).expect("still there"), "1\n");
    }

    #[test]
    fn an_impossible_place_is_named() {
        let error = PidFile::create(Path::new("/proc/nowhere/pid"), None).expect_err("impossible");
        let expected = "invalid pid file: cannot create file: /proc/nowhere/pid: no such file or directory";
        assert_eq!(error.to_string(), expected);
    }
}
