//! A secrets file that may change while we run.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use thiserror::Error;
use zeroize::Zeroizing;

use super::read::{Report, parse};
use super::table::Secrets;
use crate::os;
use crate::sasl::Secret;

/// The file is looked at no more often than this.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How often a file that is gone is reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Largest file, bytes.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// Permission for others than owner and group. The group may read: it is how a service without root reads its files.
const OTHERS: u32 = 0o007;

/// Why a file cannot be used at the start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It cannot be read at all.
    #[error("cannot read secrets file: {}: {reason}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It has errors; [`Report::errors`] has one or more.
    #[error("invalid secrets file")]
    Invalid(Report),
}

/// What a look at the file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// A changed file is in use from now on.
    Read {
        /// What deserves a look.
        warnings: Vec<String>,
    },
    /// The file has changed and is not used; the contents are those of before.
    Broken {
        /// What is wrong with it.
        errors: Vec<String>,
    },
    /// There is no file any more; the contents are those of before.
    Gone {
        /// What happened.
        reason: String,
    },
}

/// A file and its last good contents.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    pepper: Secret,
    current: RwLock<Arc<Secrets>>,
    seen: Mutex<Seen>,
}

/// What was seen at the last look.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    looked: Instant,
    /// When it was last reported that the file is gone.
    missed: Option<Instant>,
}

/// Changes whenever a file does: device, inode, size, and the times of change of content and status in nanoseconds.
type Stamp = [i128; 5];

impl Store {
    /// Reads a file for the first time. Blocking, like everything here but [`Store::current`].
    ///
    /// # Errors
    /// It cannot be read, or has errors.
    pub fn open(path: &Path, now: Instant) -> Result<(Self, Report), OpenError> {
        let pepper = Secret::new(os::random::bytes::<32>().to_vec());
        let read = |reason| OpenError::Read { path: path.to_owned(), reason };
        let (bytes, stamp, others) = load(path).map_err(|error| read(os::reason(&error)))?;
        let (secrets, mut report) = interpret(path, &bytes, &pepper);
        if others {
            report.warnings.push(format!("secrets file [{}] can be read by others", path.display()));
        }
        if !report.errors.is_empty() {
            return Err(OpenError::Invalid(report));
        }
        let current = RwLock::new(Arc::new(secrets));
        let seen = Mutex::new(Seen { stamp, looked: now, missed: None });
        Ok((Self { path: path.to_owned(), pepper, current, seen }, report))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last good contents.
    pub fn current(&self) -> Arc<Secrets> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it is time for another look.
    pub fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen().looked) >= CHECK_EVERY
    }

    /// Looks at the file and reads it if it has changed. None: nothing is to be said.
    pub fn refresh(&self, now: Instant) -> Option<Refreshed> {
        let mut seen = self.seen();
        seen.looked = now;
        let found = std::fs::metadata(&self.path).map(|meta| stamp(&meta));
        if found.as_ref().is_ok_and(|found| *found == seen.stamp) {
            seen.missed = None;
            return None;
        }
        match found.and_then(|found| load(&self.path).map_err(|error| denied(&mut seen, found, error))) {
            Ok((bytes, stamp, _)) => {
                seen.stamp = stamp;
                seen.missed = None;
                Some(self.replace(&bytes))
            }
            // It is there and cannot be read: said once for each change, below.
            Err(error) if seen.missed.is_none_or(|at| now.saturating_duration_since(at) >= REPORT_EVERY) => {
                seen.missed = Some(now);
                Some(Refreshed::Gone { reason: os::reason(&error) })
            }
            Err(_) => None,
        }
    }

    fn replace(&self, bytes: &[u8]) -> Refreshed {
        let (secrets, report) = interpret(&self.path, bytes, &self.pepper);
        if !report.errors.is_empty() {
            return Refreshed::Broken { errors: report.errors };
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secrets);
        Refreshed::Read { warnings: report.warnings }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is there but cannot be read will not get better before it changes again.
fn denied(seen: &mut Seen, found: Stamp, error: io::Error) -> io::Error {
    seen.stamp = found;
    seen.missed = None;
    error
}

fn interpret(path: &Path, bytes: &[u8], pepper: &Secret) -> (Secrets, Report) {
    let credential = |name: &str| os::credentials::read(name).map_err(|error| error.to_string());
    parse(bytes, path, pepper.clone(), &credential)
}

/// Content, stamp, and whether others may read it.
fn load(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, Stamp, bool)> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(meta.len().min(MAX_FILE)).unwrap_or(0) + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("file too large"));
    }
    Ok((bytes, stamp(&meta), meta.mode() & OTHERS != 0))
}

fn stamp(meta: &Metadata) -> Stamp {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    [
        meta.dev().into(),
        meta.ino().into(),
        meta.size().into(),
        nanos(meta.mtime(), meta.mtime_nsec()),
        nanos(meta.ctime(), meta.ctime_nsec()),
    ]
}
