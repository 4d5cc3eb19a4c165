//! The list of a mailbox: made once, at login.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nix::errno::Errno;

use crate::spool::disk::{Disk, DiskResult, Kind};
use crate::spool::id::{CONTENT, FileKind, MessageId, classify};
use crate::spool::scan::SETTLED;
use crate::spool::unix_time;

/// The messages of a mailbox in the order of their envelopes' names, byte by byte.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) letters: Vec<Letter>,
    pub(super) total: u64,
}

/// One message. A list of 100 000 takes four megabytes.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) id: MessageId,
    pub(super) size: u64,
    /// The content is not beside the envelope but in the spool directory.
    pub(super) shared: bool,
}

/// The last list of the spool directory, as long as a session has it.
#[derive(Debug, Default)]
pub(in crate::spool) struct Snapshot(Mutex<Option<(Duration, Weak<Listing>)>>);

impl Snapshot {
    /// The list that other sessions have, if the directory has not changed since; else a new one.
    pub(super) fn list(&self, disk: &dyn Disk) -> DiskResult<Arc<Listing>> {
        let changed = disk.facts_at(".")?.changed;
        let last = self.lock().clone();
        if let Some((when, list)) = last
            && when == changed
            && let Some(list) = list.upgrade()
        {
            return Ok(list);
        }
        let list = Arc::new(Listing::read(disk, None)?);
        if unix_time().saturating_sub(changed) >= SETTLED {
            *self.lock() = Some((changed, Arc::downgrade(&list)));
        }
        Ok(list)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Duration, Weak<Listing>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    /// Lists the directory `disk`. Content that is not there is looked for in `parent`. Envelopes are not opened; a
    /// message without content, or with none in it, is left out.
    pub(super) fn read(disk: &dyn Disk, parent: Option<&dyn Disk>) -> DiskResult<Self> {
        let mut names = Names::default();
        disk.list(None, &mut |name, kind| {
            if kind == Kind::File && matches!(classify(name), Some((_, FileKind::Ready))) {
                names.add(name);
            }
        })?;
        let mut list = Self { letters: Vec::with_capacity(names.ends.len()), total: 0 };
        for name in names.sorted() {
            let Some(id) = classify(name).and_then(|(stem, _)| stem.parse::<MessageId>().ok()) else {
                continue;
            };
            if let Some((size, shared)) = size_of(disk, parent, &id.file(CONTENT))? {
                list.total = list.total.saturating_add(size);
                list.letters.push(Letter { id, size, shared });
            }
        }
        Ok(list)
    }
}

fn size_of(disk: &dyn Disk, parent: Option<&dyn Disk>, content: &str) -> DiskResult<Option<(u64, bool)>> {
    for (disk, shared) in [(Some(disk), false), (parent, true)] {
        let Some(disk) = disk else { continue };
        match disk.facts_at(content) {
            Ok(facts) if facts.regular && facts.size > 0 => return Ok(Some((facts.size, shared))),
            Ok(_) => return Ok(None),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// File names in one piece of memory, to be sorted as they are.
#[derive(Default)]
struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    fn add(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    fn sorted(&self) -> Vec<&str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        let mut names: Vec<&str> =
            spans.map(|(start, end)| self.text.get(start..*end).unwrap_or_default()).collect();
        names.sort_unstable();
        names
    }
}
