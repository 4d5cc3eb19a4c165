//! Whether the spool can take a message: asked at every MAIL command, so answered from memory when it can be.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::disk::{Disk, DiskResult, Space};
use super::error::StoreError;
use super::unix_time;

/// How long a directory that could not be written is left alone.
const REPROBE: Duration = Duration::from_secs(10);
/// How long the figure of free space is good.
const SPACE_AGE: Duration = Duration::from_secs(1);

/// What is known of the directory.
pub(super) struct Health {
    state: Mutex<State>,
}

struct State {
    /// Set while the directory cannot be written: why, and when it was seen.
    unwritable: Option<(Errno, Instant)>,
    space: Option<(Space, Instant)>,
}

impl Health {
    pub(super) fn probe(disk: &dyn Disk) -> Self {
        let unwritable = probe(disk).err().map(|errno| (errno, Instant::now()));
        Self { state: Mutex::new(State { unwritable, space: None }) }
    }

    pub(super) fn writable(&self) -> bool {
        self.lock().unwritable.is_none()
    }

    /// Learns from a failure, so that the next client is refused before it sends its message.
    pub(super) fn saw(&self, error: &StoreError) {
        match error {
            // Trouble of the process, not of the directory.
            StoreError::Directory(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {}
            StoreError::Directory(errno) => self.lock().unwritable = Some((*errno, Instant::now())),
            StoreError::Full(_) => self.lock().space = None,
            _ => {}
        }
    }

    /// What is known without a look at the disk. See [`Spool::known_to_take`](super::Spool::known_to_take).
    pub(super) fn known(&self, needed: u64) -> Option<Result<(), StoreError>> {
        let now = Instant::now();
        let state = self.lock();
        match (state.unwritable, state.space) {
            (Some((errno, seen)), _) => {
                (now.duration_since(seen) < REPROBE).then_some(Err(StoreError::Directory(errno)))
            }
            (None, Some((space, seen))) => {
                (now.duration_since(seen) < SPACE_AGE).then(|| enough(space, needed))
            }
            (None, None) => None,
        }
    }

    /// See [`Spool::check`](super::Spool::check). A disk that does not answer holds up nobody who asks for what is known.
    pub(super) fn check(&self, disk: &dyn Disk, needed: u64) -> Result<(), StoreError> {
        if let Some(known) = self.known(needed) {
            return known;
        }
        if !self.writable() {
            let found = probe(disk);
            self.lock().unwritable = found.err().map(|errno| (errno, Instant::now()));
            found.map_err(StoreError::create)?;
        }
        let space = disk.space().map_err(StoreError::create)?;
        self.lock().space = Some((space, Instant::now()));
        enough(space, needed)
    }

    /// Makes the next check probe again.
    #[cfg(test)]
    pub(super) fn expire(&self) {
        let mut state = self.lock();
        state.unwritable = state.unwritable.map(|(errno, seen)| (errno, seen - REPROBE));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enough(space: Space, needed: u64) -> Result<(), StoreError> {
    if space.bytes < needed || !space.inodes { Err(StoreError::Full(Errno::ENOSPC)) } else { Ok(()) }
}

/// Creates and removes a file. The name is that of E-MailRelay 2.6: `.<s>.<us>.<n>.<pid>.tmp`.
fn probe(disk: &dyn Disk) -> DiskResult<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    disk.refresh()?;
    let now = unix_time();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!(".{}.{:06}.{count}.{}.tmp", now.as_secs(), now.subsec_micros(), std::process::id());
    disk.create(&name)?;
    disk.unlink(&name)
}

/// The name is that of a probe, left by a process that was killed.
pub(super) fn is_probe(name: &str) -> bool {
    let Some(middle) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")) else {
        return false;
    };
    let numbers = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    middle.split('.').count() == 4 && middle.split('.').all(numbers)
}

#[cfg(test)]
mod tests {
    use super::is_probe;

    #[test]
    fn only_probes_are_probes() {
        assert!(is_probe(".1795170755.000123.0.77.tmp"));
        assert!(!is_probe(".x.tmp"));
        assert!(!is_probe("1.2.3.4.tmp"));
        assert!(!is_probe(".1.2.3.tmp"));
    }
}
