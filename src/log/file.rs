//! The log file: a new one each day or hour if its name says so, opened again when rotated, with its directory.

use std::fs::{DirBuilder, File, OpenOptions, metadata};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::os;

/// The path is looked at this often, to see whether the file was rotated away.
const LOOK: Duration = Duration::from_secs(1);

/// After a failure the file is opened again this much later.
const RETRY: Duration = Duration::from_secs(60);

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    /// As configured, with `%d` and `%h`.
    template: String,
    /// User and group for new files, so that they can be opened again after root was left.
    owner: Option<(u32, u32)>,
    path: PathBuf,
    file: File,
    looked: Instant,
    retry: Option<Instant>,
}

/// The file could not be opened; the old one stays in use.
#[derive(Debug)]
pub(super) struct OpenFailed {
    pub(super) path: PathBuf,
    pub(super) reason: String,
}

impl LogFile {
    pub(super) fn open(
        template: &str,
        owner: Option<(u32, u32)>,
        now: &Zoned,
    ) -> Result<LogFile, OpenFailed> {
        let path = expand(template, now);
        let file = open(&path, owner)
            .map_err(|error| OpenFailed { path: path.clone(), reason: os::reason(&error) })?;
        Ok(LogFile { template: template.to_owned(), owner, path, file, looked: Instant::now(), retry: None })
    }

    /// Appends one line.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)
    }

    /// Opens the file again if its name changed with the hour, it was rotated away, or `force` is set. A failure is
    /// reported once, and tried again each minute.
    pub(super) fn refresh(&mut self, now: &Zoned, clock: Instant, force: bool) -> Result<(), OpenFailed> {
        let moved = self.template.contains('%').then(|| expand(&self.template, now));
        let moved = moved.filter(|path| *path != self.path);
        if !force && moved.is_none() && !self.is_replaced(clock) {
            return Ok(());
        }
        let path = moved.unwrap_or_else(|| self.path.clone());
        let failed_before = self.retry.is_some();
        if self.retry.is_some_and(|retry| clock < retry) && !force {
            return Ok(());
        }
        match open(&path, self.owner) {
            Ok(file) => {
                (self.file, self.path, self.retry, self.looked) = (file, path, None, clock);
                Ok(())
            }
            Err(error) => {
                self.retry = Some(clock + RETRY);
                if failed_before && !force {
                    Ok(())
                } else {
                    Err(OpenFailed { path, reason: os::reason(&error) })
                }
            }
        }
    }

    /// Is there another file, or none, at our path? Looked at once a second at most.
    fn is_replaced(&mut self, clock: Instant) -> bool {
        if self.retry.is_some() {
            return true;
        }
        if clock.saturating_duration_since(self.looked) < LOOK {
            return false;
        }
        self.looked = clock;
        match (metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(here)) => (there.dev(), there.ino()) != (here.dev(), here.ino()),
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// The first `%d` becomes the date and the first `%h` the hour, in local time.
fn expand(template: &str, now: &Zoned) -> PathBuf {
    let date = now.strftime("%Y%m%d").to_string();
    let hour = now.strftime("%H").to_string();
    PathBuf::from(template.replacen("%d", &date, 1).replacen("%h", &hour, 1))
}

fn open(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    match append(path, owner) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(directory) = path.parent() {
                create_directories(directory, owner)?;
            }
            append(path, owner)
        }
        result => result,
    }
}

/// Opens for appending; a new file gets mode 0660 whatever the umask.
fn append(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    match OpenOptions::new().append(true).create_new(true).mode(0o660).open(path) {
        Ok(file) => {
            file.set_permissions(PermissionsExt::from_mode(0o660))?;
            if let Some((user, group)) = owner {
                let _ = fchown(&file, Some(user), Some(group));
            }
            Ok(file)
        }
        // Not blocking if somebody put a fifo there.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path)
        }
        Err(error) => Err(error),
    }
}

fn create_directories(directory: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    if directory.is_dir() || directory.as_os_str().is_empty() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        create_directories(parent, owner)?;
    }
    DirBuilder::new().mode(0o750).create(directory)?;
    let made = File::open(directory)?;
    made.set_permissions(PermissionsExt::from_mode(0o750))?;
    if let Some((user, group)) = owner {
        let _ = fchown(&made, Some(user), Some(group));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;

    fn at(hour: i8) -> Zoned {
        date(2026, 11, 20).at(hour, 28, 7, 0).to_zoned(TimeZone::UTC).expect("time")
    }

    #[test]
    fn the_name_follows_date_and_hour() {
        assert_eq!(expand("/var/log/%d/er-%h-%d.log", &at(7)), Path::new("/var/log/20261120/er-07-%d.log"));
        let directory = tempfile::tempdir().expect("directory");
        let template = format!("{}/a/b/log-%h", directory.path().display());
        let mut log = LogFile::open(&template, None, &at(7)).expect("open");
        log.write(b"one\n").expect("write");
        log.refresh(&at(8), Instant::now(), false).expect("refresh");
        log.write(b"two\n").expect("write");
        let directory = directory.path().join("a/b");
        assert_eq!(fs::read(directory.join("log-07")).expect("read"), b"one\n");
        assert_eq!(fs::read(directory.join("log-08")).expect("read"), b"two\n");
        assert_eq!(fs::metadata(directory.join("log-08")).expect("metadata").mode() & 0o777, 0o660);
        assert_eq!(fs::metadata(&directory).expect("metadata").mode() & 0o777, 0o750);
    }

    #[test]
    fn a_rotated_file_is_noticed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log");
        let mut log = LogFile::open(&path.display().to_string(), None, &at(7)).expect("open");
        let start = Instant::now();
        fs::rename(&path, directory.path().join("log.1")).expect("rotate");
        log.refresh(&at(7), start, false).expect("not looked at yet");
        assert!(!path.exists());
        log.refresh(&at(7), start + 2 * LOOK, false).expect("refresh");
        assert!(path.exists());
        fs::rename(&path, directory.path().join("log.2")).expect("rotate");
        log.refresh(&at(7), start + 2 * LOOK, true).expect("forced");
        assert!(path.exists());
    }

    #[test]
    fn a_failure_is_reported_once_and_tried_each_minute() {
        let directory = tempfile::tempdir().expect("directory");
        let template = format!("{}/log-%h", directory.path().display());
        let mut log = LogFile::open(&template, None, &at(7)).expect("open");
        fs::create_dir(directory.path().join("log-08")).expect("a directory is in the way");
        let start = Instant::now();
        let failed = log.refresh(&at(8), start, false).expect_err("reported");
        assert_eq!(failed.reason, "is a directory");
        log.refresh(&at(8), start + RETRY / 2, false).expect("not tried");
        log.refresh(&at(8), start + 2 * RETRY, false).expect("tried, not reported again");
        log.write(b"still here\n").expect("write");
        assert_eq!(fs::read(directory.path().join("log-07")).expect("read"), b"still here\n");
        fs::remove_dir(directory.path().join("log-08")).expect("remove");
        log.refresh(&at(8), start + 4 * RETRY, false).expect("works again");
        log.write(b"new\n").expect("write");
        assert_eq!(fs::read(directory.path().join("log-08")).expect("read"), b"new\n");
    }
}
